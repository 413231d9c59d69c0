import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { LOW } from "../alerts";
import { get, may, type Misplaced, post, type Suggestion, type Task } from "../api";
import { attempt, Empty, Odds, Panel, Table } from "../parts";
import { map, products, readStock, stock, toast } from "../state";
import { type Key, number, t, time } from "../words";

export function StockPage() {
  const misplaced = useSignal<Misplaced[]>([]);
  const tasks = useSignal<Task[]>([]);
  const suggestions = useSignal<Suggestion[]>([]);
  const readTasks = () => get<Task[]>("/api/tasks").then((k) => (tasks.value = k), () => {});
  const rows = stock.value;
  useEffect(() => {
    void readStock();
    void get<Misplaced[]>("/api/misplaced").then((m) => (misplaced.value = m), () => {});
    void readTasks();
    void get<Suggestion[]>("/api/reorder").then((r) => (suggestions.value = r.filter((s) => s.quantity)), () => {});
  }, [rows.length]);
  const name = (sku: string) => products.value.get(sku)?.name ?? sku;
  const low = rows.filter((r) => r.quantity <= r.counted * LOW);
  const home = (sku: string) => map.value?.plates.filter((p) => p.skus.includes(sku)).map((p) => p.id).join(", ") || "–";
  return (
    <div class="two even">
      <div class="stack">
        <Panel title={t("stock.title")}>
          {rows.length === 0 ? <Empty icon="stock" words={t("stock.none")} /> : (
            <Table
              caption={t("stock.title")}
              head={[t("stock.plate"), t("stock.product"), t("stock.counted"), t("stock.now"), t("stock.weight")]}
              rows={rows.map((r) => ({ key: r.plate, cells: [r.plate, name(r.sku), `${r.counted} · ${time(r.counted_us)}`, <b class={r.quantity <= r.counted * LOW ? "flag" : ""}>{r.quantity}</b>, `${number(r.delta_g)} g`] }))}
            />
          )}
        </Panel>
        {may("staff") && <CountForm />}
      </div>
      <div class="stack">
        <Panel title={t("stock.restock")} aside={low.length}>
          {low.length === 0 ? <Empty icon="stock" words={t("stock.noRestock")} /> : (
            <Table
              caption={t("stock.restock")}
              head={[t("stock.product"), t("stock.plate"), t("stock.now"), t("stock.fill"), <span class="unseen">{t("orders.next")}</span>]}
              rows={low.map((r) => {
                const task = tasks.value.find((k) => k.task_kind === "restock" && k.plate === r.plate && ["waiting", "assigned", "underway"].includes(k.state));
                const missing = r.counted - Math.max(0, r.quantity);
                return {
                  key: r.plate,
                  cells: [
                    name(r.sku), r.plate, <b class="flag">{r.quantity}/{r.counted}</b>, missing || "–",
                    task ? <span class="chip soon">{t(`orders.task.${task.state}` as Key)}</span> : may("staff") && missing > 0 ? (
                      <button type="button" class="small" onClick={() => void attempt(async () => { await post("/api/tasks", { task_kind: "restock", sku: r.sku, quantity: missing, plate: r.plate }); await readTasks(); })}>{t("stock.give")}<span class="unseen"> {name(r.sku)} {r.plate}</span></button>
                    ) : "",
                  ],
                };
              })}
            />
          )}
        </Panel>
        {suggestions.value.length > 0 && (
          <Panel title={t("stock.order")} aside={suggestions.value.length}>
            <Table caption={t("stock.order")} head={[t("stock.product"), t("stock.now"), t("stock.daily"), t("stock.toOrder")]}
              rows={suggestions.value.map((s) => ({ key: s.sku, cells: [name(s.sku), s.on_hand ?? "–", number(s.daily_mean), <b>{s.quantity}</b>] }))} />
          </Panel>
        )}
        <Panel title={t("stock.misplaced")} aside={misplaced.value.length}>
          {misplaced.value.length === 0 ? <Empty icon="stock" words={t("stock.noMisplaced")} /> : (
            <Table
              caption={t("stock.misplaced")}
              head={[t("stock.product"), t("stock.plate"), t("stock.belongs"), t("stock.sureness"), t("access.when")]}
              rows={misplaced.value.map((m, i) => ({ key: String(i), cells: [`${m.quantity} × ${name(m.sku)}`, m.plate, home(m.sku), <Odds p={m.probability} />, time(m.time_us)] }))}
            />
          )}
        </Panel>
      </div>
    </div>
  );
}

function CountForm() {
  const plate = useSignal("");
  const quantity = useSignal("");
  const plates = map.value?.plates ?? [];
  const sku = plates.find((p) => p.id === plate.value)?.skus[0];
  const note = (e: Event) => {
    e.preventDefault();
    void attempt(async () => {
      await post("/api/stock/count", { plate: plate.value, sku, quantity: Number(quantity.value) });
      toast.value = { words: t("stock.noted") };
      quantity.value = "";
      await readStock();
    });
  };
  return (
    <Panel title={t("stock.count")}>
      <form class="refund" onSubmit={note}>
        <label>
          {t("stock.plate")}
          <select required value={plate.value} onChange={(e) => (plate.value = e.currentTarget.value)}>
            <option value="" />
            {plates.filter((p) => p.skus.length > 0).map((p) => <option key={p.id} value={p.id}>{p.id} · {products.value.get(p.skus[0]!)?.name}</option>)}
          </select>
        </label>
        <label>
          {t("stock.quantity")}
          <input type="number" required min={0} max={100000} value={quantity.value} onInput={(e) => (quantity.value = e.currentTarget.value)} />
        </label>
        <button class="primary">{t("stock.note")}</button>
      </form>
    </Panel>
  );
}
