// The console: lists from the API, movement from the live stream. After a lost connection, or when this page was too
// slow, everything is read again: the ledger is the truth, this page only a view of it.

import { byId } from "./dom.js";
import { FloorMap } from "./map.js";
import { Words, showCarts, showDevices, showReceipts, showStats } from "./panels.js";

const RECEIPTS = 50;

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

/** Runs a job now, or again once when asked while it runs; at most every `pause` ms. */
function gently(job, pause) {
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
        run();
      }
    }, pause);
  };
  return run;
}

function link(state, words) {
  const pill = byId("link");
  pill.dataset.state = state;
  pill.textContent = words;
}

async function start() {
  const store = await get("/api/store");
  document.title = `${store.name} · Linefree`;
  byId("store-name").textContent = store.name;
  const words = new Words(store);
  const map = new FloorMap(byId("map"));
  map.draw(store);
  const shopperOf = new Map();
  const devices = new Map();
  let faults = [];
  let last = null;

  const lists = gently(async () => {
    const [carts, receipts, stats] = await Promise.all([get("/api/carts"), get(`/api/receipts?limit=${RECEIPTS}`), get("/api/stats")]);
    for (const cart of carts) map.name(cart.visit, cart.credential ?? "?");
    showCarts(words, carts, shopperOf);
    showReceipts(words, receipts, stats.receipts);
  }, 250);
  const health = gently(async () => {
    const answer = await get("/api/devices");
    devices.clear();
    for (const d of answer.devices) devices.set(d.source, d);
    faults = answer.faults;
    showDevices(words, [...devices.values()], faults);
  }, 500);
  const figures = gently(async () => {
    const stats = await get("/api/stats");
    const now = performance.now();
    const rate = last ? Math.max(0, Math.round(((stats.messages - last.messages) * 1000) / (now - last.now))) : 0;
    last = { messages: stats.messages, now };
    showStats(stats, rate);
  }, 500);
  const all = () => {
    lists();
    health();
    figures();
  };

  const stream = new EventSource("/api/live");
  stream.addEventListener("open", () => {
    link("live", "live");
    all();
  });
  stream.addEventListener("error", () => link("lost", "connection lost, trying again"));
  stream.addEventListener("missed", all);
  stream.addEventListener("shoppers", (message) => {
    const data = JSON.parse(message.data);
    let named = false;
    for (const s of data.shoppers) {
      if (s.visit && shopperOf.get(s.visit) !== s.shopper) {
        shopperOf.set(s.visit, s.shopper);
        named = true;
      }
    }
    if (named) lists();
    map.move(data);
    if (data.time_us) byId("clock").textContent = words.day(data.time_us);
  });
  stream.addEventListener("status", (message) => {
    const status = JSON.parse(message.data);
    devices.set(status.source, status);
    showDevices(words, [...devices.values()], faults);
  });
  stream.addEventListener("event", (message) => {
    const { body } = JSON.parse(message.data);
    if (body.kind === "shelf_changed") map.shelf(body);
    else if (body.kind === "gate_passed") map.gate(body);
    else if (body.kind === "device_fault") health();
    else if (body.kind !== "item_attributed") lists();
  });
  all();
  setInterval(figures, 2000);
}

start().catch((error) => {
  link("lost", "the store's server does not answer; reload to try again");
  console.error(error);
});
