import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type Account, type Audit, get, may, type Point, post, type Role, type StoreMap } from "../api";
import { attempt, Panel, Table } from "../parts";
import { devices, map, stats } from "../state";
import { day, number, t } from "../words";

const inside = ([x, y]: Point, polygon: Point[]) => {
  let is = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [a, b] = [polygon[i]!, polygon[j]!];
    if (a[1] > y !== b[1] > y && x < ((b[0] - a[0]) * (y - a[1])) / (b[1] - a[1]) + a[0]) is = !is;
  }
  return is;
};

interface Cells { x0: number; y0: number; step: number; rows: (number | null)[][]; one: number; two: number; by: Map<string, number> }

/** How many cameras see each cell of the floor. */
function coverage(store: StoreMap): Cells {
  const xs = store.floor.map((p) => p[0]);
  const ys = store.floor.map((p) => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const step = Math.max((x1 - x0) / 90, (y1 - y0) / 60, 0.02);
  const rows: (number | null)[][] = [];
  const by = new Map<string, number>();
  let [all, one, two] = [0, 0, 0];
  for (let y = y1 - step / 2; y > y0; y -= step) {
    const row: (number | null)[] = [];
    for (let x = x0 + step / 2; x < x1; x += step) {
      if (!inside([x, y], store.floor)) {
        row.push(null);
        continue;
      }
      const seen = store.cameras.filter((c) => inside([x, y], c.footprint));
      for (const c of seen) by.set(c.id, (by.get(c.id) ?? 0) + 1);
      all++;
      if (seen.length) one++;
      if (seen.length > 1) two++;
      row.push(seen.length);
    }
    rows.push(row);
  }
  for (const [id, n] of by) by.set(id, n / Math.max(1, all));
  return { x0, y0: y1, step, rows, one: one / Math.max(1, all), two: two / Math.max(1, all), by };
}

function Heat({ cells }: { cells: Cells }) {
  const [wide, high] = [cells.rows[0]?.length ?? 1, cells.rows.length];
  return (
    <svg class="heat" viewBox={`0 0 ${wide} ${high}`} role="img" aria-label={t("ops.coverage")} shape-rendering="crispEdges">
      {cells.rows.flatMap((row, y) => row.map((n, x) => (n === null ? null : <rect key={`${x},${y}`} x={x} y={y} width={1.02} height={1.02} class={`seen-${Math.min(3, n)}`} />)))}
    </svg>
  );
}

export function OpsPage() {
  const store = map.value;
  const cells = useRef<{ of: StoreMap; cells: Cells } | null>(null);
  if (store && cells.current?.of !== store) cells.current = { of: store, cells: coverage(store) };
  const seen = cells.current?.cells;
  const versions = new Map<string, string[]>();
  for (const d of devices.value.devices) versions.set(d.version, [...(versions.get(d.version) ?? []), d.source]);
  const s = stats.value;
  return (
    <div class="two even">
      <div class="stack">
        <Panel title={t("ops.coverage")}>
          {seen && (
            <>
              <Heat cells={seen} />
              <p class="legend">
                <span class="key seen-0" /> {t("ops.blind")} <span class="key seen-1" /> 1 <span class="key seen-2" /> 2 <span class="key seen-3" /> {t("ops.seen", { n: 3 })}
              </p>
              <p>{t("ops.coverageText", { p: Math.round(seen.one * 100), q: Math.round(seen.two * 100) })}</p>
              <Table caption={t("ops.cameras")} head={[t("ops.cameras"), t("ops.calibrated"), t("ops.views")]}
                rows={(store?.cameras ?? []).map((c) => ({ key: c.id, cells: [c.id, c.position ? t("ops.pose") : t("ops.homography"), `${Math.round((seen.by.get(c.id) ?? 0) * 100)} %`] }))} />
            </>
          )}
        </Panel>
      </div>
      <div class="stack">
        <Panel title={t("ops.health")} aside={s && (s.troubles.length || !s.bus_ok || !s.ledger_ok) ? <b class="flag">!</b> : <span class="ok">{t("ops.well")}</span>}>
          <ul class="plain">
            {s?.troubles.map((w) => <li key={w}><b class="flag">{w}</b></li>)}
            <li>{t("devices.ledger")}: {number(s?.ledger_seq ?? 0)}</li>
            <li>{!s?.outbox ? t("ops.noCloud") : s.outbox.lag ? t("ops.waiting", { n: s.outbox.lag }) : t("ops.delivered")}</li>
          </ul>
        </Panel>
        <Panel title={t("ops.versions")}>
          <ul class="plain">{[...versions].map(([v, who]) => <li key={v}><b>{v}</b>: {who.join(", ")}</li>)}</ul>
        </Panel>
        {may("ops") && <ConfigCheck />}
      </div>
    </div>
  );
}

function ConfigCheck() {
  const text = useSignal("");
  const told = useSignal<{ ok: boolean; messages: string[] } | null>(null);
  const check = (e: Event) => {
    e.preventDefault();
    void attempt(async () => {
      told.value = await post("/api/config/check", text.value);
    });
  };
  return (
    <Panel title={t("ops.config")}>
      <p class="when">{t("ops.configWhy")}</p>
      <form onSubmit={check} class="column">
        <label>
          {t("ops.paste")}
          <textarea rows={8} spellcheck={false} required value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />
        </label>
        <button class="primary">{t("ops.check")}</button>
      </form>
      <div role="status">
        {told.value && (
          <>
            <p><b class={told.value.ok ? "ok" : "flag"}>{told.value.ok ? t("ops.fine") : t("ops.wrong")}</b></p>
            <ul class="plain mono">{told.value.messages.map((m, i) => <li key={i}>{m}</li>)}</ul>
          </>
        )}
      </div>
    </Panel>
  );
}

export function AccessPage() {
  const accounts = useSignal<Account[]>([]);
  const audit = useSignal<Audit | null>(null);
  const name = useSignal("");
  const role = useSignal<Role>("staff");
  const made = useSignal<{ name: string; password: string } | null>(null);
  const read = () =>
    attempt(async () => {
      [accounts.value, audit.value] = await Promise.all([get<Account[]>("/api/accounts"), get<Audit>("/api/audit?limit=200")]);
    });
  useEffect(() => void read(), []);
  const add = (e: Event) => {
    e.preventDefault();
    void attempt(async () => {
      const { password } = await post<{ password: string }>("/api/accounts", { name: name.value, role: role.value, credential: null });
      made.value = { name: name.value, password };
      name.value = "";
      await read();
    });
  };
  const disable = (a: Account) =>
    attempt(async () => {
      await post("/api/accounts/disabled", { name: a.name, disabled: !a.disabled });
      await read();
    });
  return (
    <div class="stack">
      <Panel title={t("access.accounts")} aside={accounts.value.length}>
        <Table caption={t("access.accounts")} head={[t("sign.name"), t("access.role"), t("access.state"), t("access.change")]}
          rows={accounts.value.map((a) => ({
            key: a.name,
            cells: [a.name, t(`role.${a.role}`), a.disabled ? t("access.out") : a.must_change ? t("access.waiting") : t("access.active"),
              may("ops") ? <button type="button" class="small" onClick={() => void disable(a)}>{a.disabled ? t("access.enable") : t("access.disable")}<span class="unseen"> {a.name}</span></button> : null],
          }))} />
        {may("ops") && (
          <form class="refund" onSubmit={add}>
            <label>{t("sign.name")}<input required maxLength={64} autocomplete="off" value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} /></label>
            <label>
              {t("access.role")}
              <select value={role.value} onChange={(e) => (role.value = e.currentTarget.value as Role)}>
                {(["staff", "manager", "ops", "auditor"] as const).map((r) => <option key={r} value={r}>{t(`role.${r}`)}</option>)}
              </select>
            </label>
            <button class="primary">{t("access.add")}</button>
          </form>
        )}
        <p role="status">{made.value && <b class="mono">{t("access.made", made.value)}</b>}</p>
      </Panel>
      <Panel title={t("access.audit")} aside={audit.value && <span class={audit.value.whole ? "ok" : "flag"}>{audit.value.whole ? t("access.whole") : t("access.broken")}</span>}>
        <Table caption={t("access.audit")} head={[t("access.when"), t("access.who"), t("access.action"), t("access.subject"), t("access.detail")]}
          rows={(audit.value?.rows ?? []).map((r) => ({ key: String(r.n), cells: [day(r.at_us), `${r.who} (${r.role})`, <>{r.action}{!r.done && <b class="flag"> {t("access.refused")}</b>}</>, r.subject, r.detail] }))} />
      </Panel>
    </div>
  );
}
