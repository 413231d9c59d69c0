// What the pages show: lists from the API, movement from the live stream. After a lost connection, or when this page was
// too slow, everything is read again: the ledger is the truth, this page only a view of it.

import { computed, signal } from "@preact/signals";
import { type Cart, type Contest, type Devices, get, mayRead, type Order, type Past, type Receipt, type Review, type Robot, session, type Shopper, type Stats, type Stock, type StoreMap } from "./api";
import { store as formatsOf } from "./words";

export const map = signal<StoreMap | null>(null);
export const carts = signal<Cart[]>([]);
export const receipts = signal<Receipt[]>([]);
export const reviews = signal<Review[]>([]);
export const contests = signal<Contest[]>([]);
export const devices = signal<Devices>({ devices: [], faults: [], sources: [] });
export const stats = signal<Stats | null>(null);
export const stock = signal<Stock[]>([]);
export const robots = signal<Robot[]>([]);
export const orders = signal<Order[]>([]);
export const link = signal<"live" | "lost" | "off">("off");
export const clock = signal(0);
/** Who is where; read by the map every frame, so not a signal. */
export const now: { time_us: number; shoppers: Shopper[]; told: number } = { time_us: 0, shoppers: [], told: 0 };
/** Counts up with every message of positions, for what is not the map. At most twice a second. */
export const moved = signal(0);
/** The moment of the past that is looked at; `null` for now. */
export const past = signal<{ at_us: number; what: Past } | null>(null);
/** A note at the lower edge, read aloud. */
export const toast = signal<{ words: string; act?: { words: string; run: () => void } } | null>(null);

export const products = computed(() => new Map((map.value?.products ?? []).map((p) => [p.sku, p])));
/** Credentials by visit, of everyone whose cart or receipt is known. */
export const names = computed(() => {
  const known = new Map<string, string>();
  for (const r of receipts.value) if (r.credential) known.set(r.visit, r.credential);
  for (const c of carts.value) if (c.credential) known.set(c.visit, c.credential);
  return known;
});

export type Flash = { kind: "lift" | "put" | "doubt" | "gate"; until: number };
/** What flashes on the map, by plate or gate. */
export const flashes = new Map<string, Flash>();
const FLASH_MS = 2500;
/** Shelf events by identity, until their explanation comes: it names no plates itself. */
const lately = new Map<string, string[]>();
/** Less sure than this flashes as doubtful. */
const DOUBTFUL = 0.9;

/** Runs a job now, or again once when asked while it runs; at most every `pause` ms. */
function gently(job: () => Promise<void>, pause: number) {
  let running = false;
  let again = false;
  const run = async () => {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      await job();
    } catch (error) {
      console.warn(error);
    }
    setTimeout(() => {
      running = false;
      if (again) {
        again = false;
        void run();
      }
    }, pause);
  };
  return run;
}

export const readLists = gently(async () => {
  const [c, r, s] = await Promise.all([get<Cart[]>("/api/carts"), get<Receipt[]>("/api/receipts?limit=200"), get<Stats>("/api/stats")]);
  carts.value = c;
  receipts.value = r;
  stats.value = s;
}, 250);
export const readReviews = gently(async () => {
  [reviews.value, contests.value] = await Promise.all([get<Review[]>("/api/reviews"), get<Contest[]>("/api/contests")]);
}, 400);
export const readDevices = gently(async () => {
  devices.value = await get<Devices>("/api/devices");
}, 500);
export const readStock = gently(async () => {
  stock.value = await get<Stock[]>("/api/stock?limit=1000");
}, 1000);

export const readRobots = async () => {
  robots.value = await get<Robot[]>("/api/robots");
};

export const readOrders = gently(async () => {
  orders.value = await get<Order[]>("/api/orders");
}, 1000);

export function readAll() {
  void readLists();
  void readReviews();
  void readDevices();
  void readStock();
  void readOrders();
  void readRobots().catch(() => {});
}

type EventMessage = { source: string; epoch: string; seq: number; body: Record<string, unknown> & { kind: string } };

function onEvent({ source, epoch, seq, body }: EventMessage) {
  const until = performance.now() + FLASH_MS;
  switch (body.kind) {
    case "shelf_changed": {
      const plates = body.plates as { plate: string; delta_g: number }[];
      for (const p of plates) flashes.set(p.plate, { kind: p.delta_g < 0 ? "lift" : "put", until });
      lately.set(`${source}/${epoch}/${seq}`, plates.map((p) => p.plate));
      if (lately.size > 500) lately.delete(lately.keys().next().value!);
      void readStock();
      return;
    }
    case "item_attributed": {
      const best = (body.candidates as { probability: number }[])[0]?.probability ?? 0;
      const plates = lately.get(`${body.shelf_source}/${body.shelf_epoch}/${body.shelf_seq}`);
      if (best < DOUBTFUL) for (const p of plates ?? []) flashes.set(p, { kind: "doubt", until: until + FLASH_MS });
      return;
    }
    case "gate_passed":
      flashes.set(body.gate as string, { kind: "gate", until });
      return;
    case "device_fault":
      void readDevices();
      return;
    case "visit_closed":
    case "review_answered":
    case "refund_issued":
    case "contest_changed":
    case "receipt_priced":
      void readReviews();
      void readLists();
      return;
    case "order_changed":
      void readOrders();
      return;
    case "insights_told":
      return;
    case "stock_counted":
      void readStock();
      return;
    default:
      void readLists();
  }
}

let stream: EventSource | null = null;

/** Reads the store and follows it, once somebody is signed in. */
export async function follow() {
  if (stream || !mayRead("staff") || session.value?.must_change) return;
  const read = await get<StoreMap>("/api/store");
  map.value = read;
  formatsOf.value = read;
  stream = new EventSource("/api/live");
  stream.addEventListener("open", () => {
    link.value = "live";
    readAll();
  });
  stream.addEventListener("error", () => {
    link.value = "lost";
  });
  stream.addEventListener("missed", readAll);
  let shown = 0;
  stream.addEventListener("shoppers", (message) => {
    const told = JSON.parse(message.data) as { time_us: number; shoppers: Shopper[] };
    Object.assign(now, told, { told: now.told + 1 });
    if (performance.now() - shown < 500) return;
    shown = performance.now();
    moved.value++;
    if (told.time_us) clock.value = told.time_us;
  });
  stream.addEventListener("status", () => void readDevices());
  stream.addEventListener("event", (message) => onEvent(JSON.parse(message.data)));
  readAll();
}

/** Forgets everything when somebody signs out. */
export function unfollow() {
  stream?.close();
  stream = null;
  link.value = "off";
  past.value = null;
  carts.value = [];
  receipts.value = [];
  reviews.value = [];
  robots.value = [];
  orders.value = [];
}
