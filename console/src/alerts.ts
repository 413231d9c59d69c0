// What somebody should look at now, worst first: read off what the pages know, so that an alert goes when its cause goes.

import { computed } from "@preact/signals";
import { clock, contests, devices, orders, products, reviews, robots, stats, stock } from "./state";
import { type Key, number, t, time } from "./words";

export type Weight = "bad" | "soon";
export interface Alert { id: string; weight: Weight; words: string; more?: string; page: string }

/** A plate is to be filled up when this part of the last count is left. */
export const LOW = 0.34;
/** A doubt that waits longer than this is late, microseconds. */
const DOUBT_US = 10 * 60e6;
/** Frames this much less sharp than usual are out of focus; this much of a picture covered is covered, per cent. */
export const BLURRED = 55;
export const COVERED = 35;

/** How a camera says that it sees; `null` while it has not said. */
export function sight(counters: Record<string, number>) {
  const { sharpness_percent: sharp, covered_percent: covered } = counters;
  if (sharp === undefined || covered === undefined) return null;
  const words: Key | null = covered >= COVERED ? "ops.covered" : sharp < BLURRED ? "ops.blurred" : null;
  return { sharp, covered, words };
}

export const alerts = computed<Alert[]>(() => {
  const list: Alert[] = [];
  const add = (weight: Weight, page: string, id: string, words: string, more?: string) => list.push({ weight, page, id: `${page}/${id}`, words, more });
  const s = stats.value;
  for (const trouble of s?.troubles ?? []) add("bad", "ops", trouble, trouble);
  if (s && !s.bus_ok) add("bad", "ops", "bus", t("alerts.bus"));
  if (s && !s.ledger_ok) add("bad", "ops", "ledger", t("alerts.ledger"));
  if (s?.outbox?.last_error) add("soon", "ops", "cloud", t("alerts.cloud", { n: s.outbox.lag }), s.outbox.last_error);
  for (const f of devices.value.faults) if (!f.cleared) add("bad", "devices", f.device + f.fault, f.message.includes(f.device) ? f.message : `${f.device}: ${f.message}`, t("alerts.since", { time: time(f.time_us) }));
  for (const d of devices.value.devices) {
    if (!d.online) add("bad", "devices", d.source, t("alerts.gone", { name: d.source }), d.time_us ? t("alerts.since", { time: time(d.time_us) }) : undefined);
    const seen = sight(d.counters);
    if (seen?.words) add("bad", "ops", d.source, `${d.source}: ${t(seen.words)}`, t("alerts.sight", { p: seen.sharp, q: seen.covered }));
  }
  for (const r of robots.value) if (r.unfit ?? (!r.online ? t("devices.offline") : null)) add("bad", "orders", r.robot, `${r.robot}: ${r.unfit ?? t("devices.offline")}`);
  for (const c of contests.value) if (c.state === "open") add("soon", "receipts", c.contest, t("alerts.contest", { name: products.value.get(c.sku)?.name ?? c.sku }), c.words);
  const waiting = reviews.value.filter((r) => !r.held);
  const late = waiting.filter((r) => clock.value - r.left_us > DOUBT_US);
  if (waiting.length) add(late.length ? "bad" : "soon", "reviews", "waiting", t("alerts.reviews", { n: waiting.length }), late.length ? t("alerts.late", { n: late.length }) : undefined);
  for (const o of orders.value) {
    const open = !["handed_over", "cancelled", "ready", "on_the_way"].includes(o.state);
    if (open && o.due_us && o.due_us < Date.now() * 1000) add("bad", "orders", o.order, t("alerts.order", { name: o.order }), t("alerts.promised", { time: time(o.due_us) }));
  }
  for (const r of stock.value) {
    const name = products.value.get(r.sku)?.name ?? r.sku;
    if (r.quantity <= 0) add("soon", "stock", r.plate, t("alerts.empty", { name }), r.plate);
    else if (r.quantity <= r.counted * LOW) add("soon", "stock", r.plate, t("alerts.low", { name, n: number(r.quantity) }), r.plate);
  }
  return list.sort((a, b) => Number(b.weight === "bad") - Number(a.weight === "bad"));
});
