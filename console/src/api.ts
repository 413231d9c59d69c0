// What the store's server answers, and how it is asked. Types follow docs/ref/openapi.json.

import { signal } from "@preact/signals";

export type Point = [number, number];
export type Role = "shopper" | "staff" | "manager" | "ops" | "auditor";
export interface Session { name: string | null; role: Role | null; must_change: boolean; csrf: string }
export interface Plate { id: string; corners: Point[]; height_m: number; skus: string[] }
export interface Product { sku: string; name: string; price_minor: number; weight_g: number }
export interface CameraView { id: string; position: [number, number, number] | null; footprint: Point[] }
export interface StoreMap {
  id: string; name: string; currency: string; timezone: string; floor: Point[];
  gates: { id: string; kind: string; from: Point; to: Point }[];
  gondolas: { id: string; outline: Point[]; facing: Point }[];
  plates: Plate[]; products: Product[]; cameras: CameraView[]; nodes: { id: string; at: Point }[]; ways: [Point, Point][];
}
/** What a price rule did to a line. */
export interface PriceChange { rule: "unit_price" | "multi_buy" | "group" | "coupon" | "points" | "tax"; name: string | null; count: number | null; change_minor: number }
export interface Line {
  sku: string; name: string; quantity: number; unit_price_minor: number; probability: number; review: boolean;
  /** What it costs by the price rules; of a cart's line in the past nobody has said so. */
  amount_minor?: number; explained?: PriceChange[];
}
/** What a line costs. */
export const cost = (l: Line) => l.amount_minor ?? l.quantity * l.unit_price_minor;
export interface Cart {
  visit: string; credential: string | null; party: number; opened_us: number | null; left_us: number | null;
  changed_us: number | null; lines: Line[];
}
export interface Receipt {
  visit: string; credential: string | null; entered_us: number; left_us: number; currency: string;
  charge_minor: number; in_review_minor: number; rules_version: number | null; lines: Line[];
}
export interface Explanation { visit: string | null; robot?: string; sku: string | null; quantity: number; probability: number }
export interface ShelfEvent {
  start_us: number; end_us: number; delta_g: number; sd_g: number; plates: { plate: string; delta_g: number }[];
}
export interface Evidence { source: string; epoch: string; seq: number; shelf: ShelfEvent | null; candidates: Explanation[] }
export interface ReceiptDetail extends Receipt { evidence: Evidence[] }
export interface Shopper { shopper: number; visit: string | null; at: Point; radius_m: number }
export interface Doubt extends Evidence {
  plate: string | null; steps: { start_us: number; end_us: number; delta_g: number; sd_g: number }[]; positions: Shopper[];
}
export interface Held { visit: string; sku: string; quantity: number; who: string; due_us: number }
export interface Review {
  visit: string; left_us: number; sku: string; name: string; quantity: number; unit_price_minor: number;
  probability: number; held: Held | null; evidence: Doubt[];
}
export interface Contest {
  contest: string; visit: string; sku: string; words: string; opened_us: number;
  state: "open" | "refunded" | "refused"; settled_us: number | null; answer: string | null;
}
export interface Money {
  currency: string; charge_minor: number; answered_minor: number; refunded_minor: number; open_minor: number; contested_minor: number;
  answers: { sku: string; quantity: number; charge_minor: number; explained: PriceChange[] }[];
  refunds: { refund: string; amount_minor: number; reason: string; issued_us: number; lines: { sku: string; quantity: number }[] }[];
  contests: Contest[];
  sellers: { seller: string; paid_minor: number; tax_minor: number; commission_minor: number }[];
}
export interface Device { source: string; role: string; online: boolean; time_us: number; version: string; counters: Record<string, number> }
export interface Fault { device: string; fault: string; message: string; cleared: boolean; time_us: number; reported_by: string }
export interface Devices { devices: Device[]; faults: Fault[]; sources: { source: string; epoch: string; contiguous_seq: number; highest_seq: number; last_time_us: number }[] }
export interface Stats {
  messages: number; ledger_seq: number; visits: number; receipts: number; receipts_in_review: number; duplicates: number;
  bus_ok: boolean; ledger_ok: boolean; troubles: string[]; outbox: { lag: number; last_error: string | null } | null;
}
export interface Stock { plate: string; sku: string; counted: number; counted_us: number; quantity: number; delta_g: number }
export interface Misplaced { plate: string; sku: string; quantity: number; probability: number; time_us: number }
export interface Past {
  carts: { visit: string; credential: string | null; opened_us: number; lines: Line[] }[];
  receipts: number; plates: [string, number][]; shoppers: Shopper[];
}
export interface Timeline { from_us: number; to_us: number; buckets: Record<string, number>[] }
export interface Insights {
  products: { sku: string; hour: number; taken: number; put_back: number; misplaced: number; out_of_stock_s: number }[];
  hours: { hour: number; visits: number; buyers: number; dwell_s: number[] }[];
}
export interface Account { name: string; role: Role; must_change: boolean; disabled: boolean; created_us: number; outside: boolean }
export interface AuditRow { n: number; at_us: number; who: string; role: string; action: string; subject: string; detail: string; done: boolean }
export interface Audit { whole: boolean; rows: AuditRow[] }
export interface Suggestion { sku: string; quantity: number | null; up_to: number; on_hand: number | null; reserved: number; daily_mean: number; days: number }
export interface Release { number: number; why: string }
export interface Rollout {
  good: Release | null; before: Release | null; last_back: string | null; canary_share: number; hold_s: number; history: AuditRow[];
  running: { release: Release; stage: "canary" | "all" | "back"; began_us: number; canaries: string[]; well_us: number | null } | null;
  devices: { source: string; role: string; online: boolean; since_us: number; number: number; trial: boolean; wanted: number | null; refused: number | null; refused_why: string | null }[];
}
export interface ConfigText { text: string; digest: string; saved_by: string | null; saved_us: number | null; waits_for_start: boolean }
export interface Saved { ok: boolean; messages: string[] }
export interface PlannedAt { sku: string; plates: string[]; count: number | null }
export interface Planogram { facings: PlannedAt[]; digest: string; commanded: number | null; waits_for_start: boolean }
export interface CalibrationFigure { of: string; key: string; value: number; limit: number }
export interface Me { store: string; timezone: string; currency: string; credential: string; cart: Cart | null; receipts: (Receipt & { money: Money })[]; purse: Purse }
/** Points that a shopper has, and what is shown for the next receipt. */
export interface Purse { points: number; point_worth_minor: number | null; shown_codes: string[]; shown_points: number }
/** Somebody whom the store did not let in. */
export interface Refusal { credential: string; reason: string; at_us: number }
export interface Order {
  order: string; state: string; reason?: string; changed_us: number; channel?: string; placed_us?: number; due_us?: number;
  handover?: "locker" | "counter" | "courier" | "agent";
  lines: { sku: string; quantity: number; picked: number; given_up?: number; instead_of?: string }[];
  question?: { sku: string; missing: number; substitute?: string; until_us: number };
}
export interface Task {
  task: string; task_kind: "pick" | "restock" | "return" | "tidy"; order?: string; sku: string; quantity: number; plate: string;
  assignee?: string; state: string; reason?: string; changed_us: number;
}
export interface Robot {
  robot: string; online: boolean; at: Point | null; node: string | null; base: string[]; horizon: string[]; battery: number;
  charging: boolean; tasks: string[]; unfit: string | null; notice: string | null;
}

export interface Payment {
  visit: string; state: "open" | "contested" | "bad_debt" | "by_hand"; settled: boolean; currency: string; owed_minor: number;
  contested_minor: number; authorised_minor: number; captured_minor: number; refunded_minor: number;
  asking: string | null; asking_minor: number | null; silences: number; pending: boolean; reason: string | null; changed_us: number | null; link?: string;
}

/** Who is signed in; `null` until the server has said. */
export const session = signal<Session | null>(null);

/** The server's own words about why it did not. */
export class Refused extends Error {
  constructor(readonly status: number, words: string) {
    super(words);
  }
}

async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = {};
  if (method !== "GET") headers["X-Linefree-Csrf"] = session.value?.csrf ?? "";
  if (body !== undefined) headers["Content-Type"] = typeof body === "string" ? "text/plain" : "application/json";
  const sent = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
  const answer = await fetch(path, { method, headers, body: sent });
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    if (answer.status === 401 && session.value?.name) session.value = { ...session.value, name: null, role: null };
    throw new Refused(answer.status, (told as { error?: string }).error ?? `${answer.status} ${answer.statusText}`);
  }
  return answer.json();
}

export const get = <T,>(path: string) => ask<T>("GET", path);
export const post = <T,>(path: string, body?: unknown) => ask<T>("POST", path, body);
export const remove = <T,>(path: string) => ask<T>("DELETE", path);

const RANK: Record<Role, number> = { shopper: 0, auditor: 0, staff: 1, manager: 2, ops: 3 };

/** May whoever is signed in change what needs this role? */
export const may = (least: Role) => RANK[session.value?.role ?? "shopper"] >= RANK[least];
/** May they read what needs this role? */
export const mayRead = (least: Role) => session.value?.role === "auditor" || may(least);
