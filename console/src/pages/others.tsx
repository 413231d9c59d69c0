// Devices, insights: what is read more than it is acted on.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, type Insights } from "../api";
import { Bar, Bars, Panel, Table } from "../parts";
import { devices, products } from "../state";
import { day, hour, number, t, time } from "../words";

export function DevicesPage() {
  const { devices: list, faults, sources } = devices.value;
  const words = (source: string) => {
    const own = faults.filter((f) => f.reported_by === source || f.device === source);
    return own.length ? own[0]!.message : "–";
  };
  return (
    <div class="stack">
      <Panel title={t("devices.title")} aside={list.filter((d) => d.online).length + "/" + list.length}>
        <Table
          caption={t("devices.title")}
          head={[t("devices.name"), t("devices.role"), t("orders.state"), t("devices.version"), t("devices.heard"), t("devices.ledger"), t("devices.words")]}
          rows={list.map((d) => {
            const own = sources.filter((s) => s.source === d.source);
            return {
              key: d.source,
              cells: [d.source, d.role, <span class={d.online ? "ok" : "flag"}>{d.online ? t("devices.online") : t("devices.offline")}</span>, d.version, d.time_us ? day(d.time_us) : "–", own.reduce((s, o) => s + o.contiguous_seq, 0) || "–", words(d.source)],
            };
          })}
        />
      </Panel>
      <Panel title={t("devices.faults")} aside={faults.filter((f) => !f.cleared).length}>
        {faults.length === 0 && <p class="empty">{t("devices.noFaults")}</p>}
        <ul class="plain">
          {faults.map((f) => (
            <li key={f.device + f.fault}>
              <b class={f.cleared ? "" : "flag"}>{f.cleared ? t("devices.cleared") : t("devices.lasts")}</b> · <b>{f.device}</b> {f.fault} · {time(f.time_us)}<br />{f.message}
            </li>
          ))}
        </ul>
      </Panel>
    </div>
  );
}

export function InsightsPage() {
  const told = useSignal<Insights | null>(null);
  useEffect(() => void get<Insights>("/api/insights").then((i) => (told.value = i), () => {}), []);
  const i = told.value;
  if (!i) return <section class="panel" aria-busy="true" />;
  const by = new Map<string, [number, number]>();
  for (const p of i.products) {
    const sum = by.get(p.sku) ?? [0, 0];
    by.set(p.sku, [sum[0] + p.taken, sum[1] + p.put_back]);
  }
  const rows = [...by].sort((a, b) => b[1][0] - a[1][0]);
  const most = Math.max(1, ...rows.map(([, v]) => Math.max(...v)));
  const name = (sku: string) => products.value.get(sku)?.name ?? sku;
  const hours = Object.entries(i.visits_by_hour).map(([h, n]) => ({ name: hour(Number(h) * 3600e6), values: [n] as [number] })).slice(-48);
  const dwell = [...i.dwell_s].sort((a, b) => a - b);
  const median = dwell[Math.floor(dwell.length / 2)];
  const width = dwell.length && dwell[dwell.length - 1]! > 600 ? 120 : 10;
  const stays: { name: string; values: [number] }[] = [];
  for (const s of dwell) {
    const slot = Math.min(29, Math.floor(s / width));
    while (stays.length <= slot) stays.push({ name: `${stays.length * width}–${(stays.length + 1) * width} s`, values: [0] });
    stays[slot]!.values[0]++;
  }
  return (
    <div class="stack">
      <dl class="figures big">
        <div><dt>{t("insights.visits")}</dt><dd>{i.visits}</dd></div>
        <div><dt>{t("insights.conversion")}</dt><dd>{i.visits ? `${Math.round((100 * i.buyers) / i.visits)} %` : "–"}</dd></div>
        <div><dt>{t("insights.dwell")}</dt><dd>{median === undefined ? "–" : median < 120 ? `${Math.round(median)} s` : t("insights.minutes", { n: number(median / 60) })}</dd></div>
      </dl>
      <Panel title={t("insights.products")}>
        <p class="when">{t("insights.note")}</p>
        <p class="legend"><span class="key" /> {t("insights.taken")} <span class="key second" /> {t("insights.back")}</p>
        <Table caption={t("insights.products")} head={[t("stock.product"), "", t("insights.taken"), t("insights.back"), t("insights.rate")].map((h) => h || <span class="unseen">{t("insights.products")}</span>)}
          rows={rows.map(([sku, [taken, back]]) => ({ key: sku, cells: [name(sku), <Bar first={taken} second={back} most={most} />, taken, back, taken ? `${Math.round((100 * back) / taken)} %` : "–"] }))} />
      </Panel>
      <div class="two even">
        <Panel title={t("insights.hours")}>
          <div class="chart"><Bars title={t("insights.hours")} bars={hours} /></div>
          <Table caption={t("insights.hours")} head={[t("insights.hour"), t("insights.visits")]} rows={hours.map((h) => ({ key: h.name, cells: [h.name, h.values[0]] }))} />
        </Panel>
        <Panel title={t("insights.dwells")}>
          <div class="chart"><Bars title={t("insights.dwells")} bars={stays} /></div>
          <Table caption={t("insights.dwells")} head={[t("insights.stay"), t("insights.visits")]} rows={stays.map((s) => ({ key: s.name, cells: [s.name, s.values[0]] }))} />
        </Panel>
      </div>
    </div>
  );
}
