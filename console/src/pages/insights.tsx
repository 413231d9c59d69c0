// What the store's hours say of products and visits; the chain gets the same as events.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, type Insights } from "../api";
import { Bar, Bars, Empty, Panel, Table } from "../parts";
import { products } from "../state";
import { hour, number, t } from "../words";

const SPANS = [24, 168, 744] as const;

export function InsightsPage() {
  const told = useSignal<Insights | null>(null);
  const span = useSignal<number>(168);
  const picked = useSignal("");
  useEffect(() => void get<Insights>(`/api/insights?hours=${span.value}`).then((i) => (told.value = i), () => {}), [span.value]);
  const i = told.value;
  if (!i) return <section class="panel" aria-busy="true" />;
  const none = { taken: 0, put_back: 0, misplaced: 0, out_of_stock_s: 0 };
  const by = new Map<string, typeof none>();
  for (const p of i.products) {
    const sum = by.get(p.sku) ?? { ...none };
    for (const what of Object.keys(none) as (keyof typeof none)[]) sum[what] += p[what];
    by.set(p.sku, sum);
  }
  const rows = [...by].sort((a, b) => b[1].taken - a[1].taken || b[1].out_of_stock_s - a[1].out_of_stock_s);
  const most = Math.max(1, ...rows.map(([, v]) => Math.max(v.taken, v.put_back)));
  const name = (sku: string) => products.value.get(sku)?.name ?? sku;
  const visits = i.hours.reduce((n, h) => n + h.visits, 0);
  const buyers = i.hours.reduce((n, h) => n + h.buyers, 0);
  const dwell = i.hours.flatMap((h) => h.dwell_s).sort((a, b) => a - b);
  const median = dwell[Math.floor(dwell.length / 2)];
  const total = (what: keyof typeof none) => rows.reduce((n, [, v]) => n + v[what], 0);
  const minutes = (s: number) => (s ? t("insights.minutes", { n: number(s / 60) }) : "–");
  const wide = dwell.length && dwell[dwell.length - 1]! > 600 ? 120 : 10;
  const stays: { name: string; values: [number] }[] = [];
  for (const s of dwell) {
    const slot = Math.min(29, Math.floor(s / wide));
    while (stays.length <= slot) stays.push({ name: `${stays.length * wide}–${(stays.length + 1) * wide} s`, values: [0] });
    stays[slot]!.values[0]++;
  }
  const hours = i.hours.map((h) => ({ name: hour(h.hour * 3600e6), values: [h.buyers, h.visits - h.buyers] as [number, number], all: h.visits })).slice(-48);
  const perHour = new Map<number, [number, number]>();
  for (const p of i.products) {
    if (picked.value && p.sku !== picked.value) continue;
    const sum = perHour.get(p.hour) ?? perHour.set(p.hour, [0, 0]).get(p.hour)!;
    sum[0] += p.taken;
    sum[1] += p.put_back;
  }
  const taken = [...perHour].sort((a, b) => a[0] - b[0]).slice(-48).map(([h, values]) => ({ name: hour(h * 3600e6), values: values as [number, number] }));
  const missed = rows.filter(([, v]) => v.out_of_stock_s > 0 || v.misplaced > 0).sort((a, b) => b[1].out_of_stock_s - a[1].out_of_stock_s);
  return (
    <div class="stack">
      <div class="bar-row">
        <div class="segments" role="group" aria-label={t("insights.span")}>
          {SPANS.map((s) => <button type="button" key={s} aria-pressed={span.value === s} onClick={() => (span.value = s)}>{t(`insights.span${s}`)}</button>)}
        </div>
        <p class="when">{t("insights.note")}</p>
      </div>
      <dl class="figures big">
        <div><dt>{t("insights.visits")}</dt><dd>{number(visits)}</dd></div>
        <div><dt>{t("insights.conversion")}</dt><dd>{visits ? `${Math.round((100 * buyers) / visits)} %` : "–"}</dd></div>
        <div><dt>{t("insights.dwell")}</dt><dd>{median === undefined ? "–" : median < 120 ? `${Math.round(median)} s` : t("insights.minutes", { n: number(median / 60) })}</dd></div>
        <div><dt>{t("insights.taken")}</dt><dd>{number(total("taken"))}</dd></div>
        <div><dt>{t("insights.back")}</dt><dd>{number(total("put_back"))}</dd></div>
        <div><dt>{t("insights.outOfStock")}</dt><dd>{minutes(total("out_of_stock_s"))}</dd></div>
        <div><dt>{t("insights.misplaced")}</dt><dd>{number(total("misplaced"))}</dd></div>
      </dl>
      <Panel title={t("insights.products")} aside={rows.length}>
        {rows.length === 0 ? <Empty icon="insights" words={t("insights.none")} /> : (
          <>
            <p class="legend"><span class="key" /> {t("insights.taken")} <span class="key second" /> {t("insights.back")}</p>
            <Table caption={t("insights.products")}
              head={[t("stock.product"), <span class="unseen">{t("insights.products")}</span>, t("insights.taken"), t("insights.back"), t("insights.rate"), t("insights.misplaced"), t("insights.outOfStock")]}
              rows={rows.map(([sku, v]) => ({ key: sku, cells: [name(sku), <Bar first={v.taken} second={v.put_back} most={most} />, v.taken, v.put_back, v.taken ? `${Math.round((100 * v.put_back) / v.taken)} %` : "–", v.misplaced || "–", minutes(v.out_of_stock_s)] }))} />
          </>
        )}
      </Panel>
      <div class="two even">
        <Panel title={t("insights.perHour")} aside={
          <label class="inline">{t("stock.product")}
            <select value={picked.value} onChange={(e) => (picked.value = e.currentTarget.value)}>
              <option value="">{t("insights.all")}</option>
              {rows.map(([sku]) => <option key={sku} value={sku}>{name(sku)}</option>)}
            </select>
          </label>
        }>
          <p class="legend"><span class="key" /> {t("insights.taken")} <span class="key second" /> {t("insights.back")}</p>
          <div class="chart"><Bars title={t("insights.perHour")} bars={taken} /></div>
          <Table caption={t("insights.perHour")} head={[t("insights.hour"), t("insights.taken"), t("insights.back")]} rows={taken.map((h) => ({ key: h.name, cells: [h.name, h.values[0], h.values[1]] }))} />
        </Panel>
        <Panel title={t("insights.lost")} aside={missed.length}>
          {missed.length === 0 ? <Empty icon="stock" words={t("insights.nothingLost")} /> : (
            <Table caption={t("insights.lost")} head={[t("stock.product"), t("insights.outOfStock"), t("insights.misplaced")]}
              rows={missed.map(([sku, v]) => ({ key: sku, cells: [name(sku), minutes(v.out_of_stock_s), v.misplaced || "–"] }))} />
          )}
        </Panel>
        <Panel title={t("insights.hours")}>
          <p class="legend"><span class="key" /> {t("insights.bought")} <span class="key second" /> {t("insights.looked")}</p>
          <div class="chart"><Bars title={t("insights.hours")} bars={hours} /></div>
          <Table caption={t("insights.hours")} head={[t("insights.hour"), t("insights.visits"), t("insights.bought")]} rows={hours.map((h) => ({ key: h.name, cells: [h.name, h.all, h.values[0]] }))} />
        </Panel>
        <Panel title={t("insights.dwells")}>
          <div class="chart"><Bars title={t("insights.dwells")} bars={stays} /></div>
          <Table caption={t("insights.dwells")} head={[t("insights.stay"), t("insights.visits")]} rows={stays.map((s) => ({ key: s.name, cells: [s.name, s.values[0]] }))} />
        </Panel>
      </div>
    </div>
  );
}
