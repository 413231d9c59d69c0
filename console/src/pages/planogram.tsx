// Which product lies where: shelves as people see them, plate by plate, and saving another order of them.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, may, type PlannedAt, type Planogram, post, type Saved } from "../api";
import { attempt, Empty, Panel } from "../parts";
import { map, products, toast } from "../state";
import { number, t } from "../words";

/** A facing by the plates it lies on. */
const key = (f: PlannedAt) => `${f.sku}@${f.plates.join(",")}`;

export function PlanogramPage() {
  const told = useSignal<Planogram | null>(null);
  const none = useSignal(false);
  const facings = useSignal<PlannedAt[]>([]);
  const chosen = useSignal<string | null>(null);
  const wrong = useSignal<string[]>([]);
  const read = () =>
    get<Planogram>("/api/planogram").then((p) => {
      told.value = p;
      facings.value = p.facings;
      wrong.value = [];
    }, () => (none.value = true));
  useEffect(() => void read(), []);
  const p = told.value;
  const store = map.value;
  if (none.value) return <section class="panel"><Empty icon="planogram" words={t("planogram.off")} /></section>;
  if (!p || !store) return <section class="panel" aria-busy="true" />;
  const was = new Set(p.facings.map(key));
  const is = new Set(facings.value.map(key));
  const changes = [...is].filter((k) => !was.has(k)).length + [...was].filter((k) => !is.has(k)).length;
  const editable = may("manager") && p.commanded === null;
  // Gondola, then shelf from the top, then plates from left to right as store.toml has them.
  const gondolas = new Map<string, Map<string, { height: number; plates: string[] }>>();
  for (const plate of store.plates) {
    const [g = "", s = ""] = plate.id.split("/");
    const shelves = gondolas.get(g) ?? gondolas.set(g, new Map()).get(g)!;
    const shelf = shelves.get(s) ?? shelves.set(s, { height: plate.height_m, plates: [] }).get(s)!;
    shelf.plates.push(plate.id);
  }
  const on = (plate: string) => facings.value.filter((f) => f.plates.includes(plate));
  const name = (sku: string) => products.value.get(sku)?.name ?? sku;
  const save = () =>
    attempt(async () => {
      const answer = await post<Saved>("/api/planogram", { facings: facings.value, from: p.digest });
      wrong.value = answer.ok ? [] : answer.messages;
      if (!answer.ok) return;
      toast.value = { words: t("planogram.saved") };
      chosen.value = null;
      await read();
    });
  return (
    <div class="plan-page">
      <Panel title={t("planogram.title")} id="planogram" aside={<span>{t("planogram.count", { n: facings.value.length, plates: store.plates.length })}</span>}>
        <p class="when">{t("planogram.why")}</p>
        {p.commanded !== null && <p class="note-box">{t("planogram.commanded", { n: p.commanded })}</p>}
        {p.waits_for_start && <p class="note-box">{t("config.waits")}</p>}
        <div class="gondolas">
          {[...gondolas].map(([g, shelves]) => (
            <section key={g} aria-label={t("planogram.gondola", { name: g })} class="gondola">
              <h3>{t("planogram.gondola", { name: g })}</h3>
              {[...shelves].sort((a, b) => b[1].height - a[1].height).map(([s, shelf]) => (
                <ul key={s} class="shelf" aria-label={t("planogram.shelf", { name: s })}>
                  {shelf.plates.map((plate) => {
                    const here = on(plate);
                    const fresh = here.some((f) => !was.has(key(f))) || (!here.length && p.facings.some((f) => f.plates.includes(plate)));
                    return (
                      <li key={plate}>
                        <button type="button" class={`plate${fresh ? " fresh" : ""}${here.length ? "" : " none"}`} aria-pressed={chosen.value === plate} onClick={() => (chosen.value = plate)}>
                          <span class="when">{plate}</span>
                          <span class="name">{here.length ? here.map((f) => name(f.sku)).join(", ") : t("planogram.empty")}</span>
                        </button>
                      </li>
                    );
                  })}
                </ul>
              ))}
            </section>
          ))}
        </div>
      </Panel>
      <Panel title={chosen.value ? t("planogram.plate", { name: chosen.value }) : t("planogram.choose")} id="plate" class="sticky">
        {chosen.value ? <PlateForm key={chosen.value} plate={chosen.value} facings={facings.value} editable={editable} set={(f) => (facings.value = f)} /> : <p class="empty">{t("planogram.chooseWhy")}</p>}
        {editable && (
          <div class="save-bar">
            <p role="status" class="when">{changes ? t("planogram.changes", { n: changes }) : t("planogram.noChanges")}</p>
            {wrong.value.length > 0 && <ul class="plain mono flag" role="alert">{wrong.value.map((m, i) => <li key={i}>{m}</li>)}</ul>}
            <p class="row">
              <button type="button" class="primary" disabled={!changes} onClick={() => void save()}>{t("planogram.save")}</button>
              <button type="button" disabled={!changes} onClick={() => { facings.value = p.facings; wrong.value = []; }}>{t("config.undo")}</button>
            </p>
          </div>
        )}
      </Panel>
    </div>
  );
}

function PlateForm({ plate, facings, editable, set }: { plate: string; facings: PlannedAt[]; editable: boolean; set: (f: PlannedAt[]) => void }) {
  const wish = useSignal("");
  const here = facings.filter((f) => f.plates.includes(plate));
  const list = [...products.value.values()].sort((a, b) => a.name.localeCompare(b.name));
  const clear = (all: PlannedAt[]) => all.map((f) => (f.plates.includes(plate) ? { ...f, plates: f.plates.filter((p) => p !== plate) } : f)).filter((f) => f.plates.length);
  return (
    <>
      {here.length === 0 && <p class="empty">{t("planogram.nothing")}</p>}
      <ul class="plain facings">
        {here.map((f) => (
          <li key={key(f)}>
            <b>{products.value.get(f.sku)?.name ?? f.sku}</b>
            <span class="when mono">{f.sku}</span>
            <span class="when">{f.plates.length > 1 ? t("planogram.across", { plates: f.plates.join(", ") }) : ""} {t("planogram.weight", { g: number(products.value.get(f.sku)?.weight_g ?? 0) })}</span>
            {editable && (
              <label>{t("planogram.full")}
                <input type="number" min={0} max={100000} value={f.count ?? ""} onChange={(e) => { const n = e.currentTarget.value; set(facings.map((x) => (x === f ? { ...x, count: n === "" ? null : Number(n) } : x))); }} />
              </label>
            )}
          </li>
        ))}
      </ul>
      {editable && (
        <form class="column" onSubmit={(e) => { e.preventDefault(); if (wish.value) { set([...clear(facings), { sku: wish.value, plates: [plate], count: null }]); wish.value = ""; } }}>
          <label>{t("planogram.put")}
            <select required value={wish.value} onChange={(e) => (wish.value = e.currentTarget.value)}>
              <option value="" />
              {list.map((p) => <option key={p.sku} value={p.sku}>{p.name} · {p.sku}</option>)}
            </select>
          </label>
          <p class="row">
            <button>{t("planogram.putThere")}</button>
            <button type="button" disabled={!here.length} onClick={() => set(clear(facings))}>{t("planogram.leave")}</button>
          </p>
        </form>
      )}
    </>
  );
}
