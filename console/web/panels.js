// Carts, receipts, devices and figures.

import { byId, colourOf, el, short } from "./dom.js";

export class Words {
  constructor(store) {
    const money = new Intl.NumberFormat(undefined, { style: "currency", currency: store.currency });
    const digits = money.resolvedOptions().maximumFractionDigits;
    this.money = (minor) => money.format(minor / 10 ** digits);
    const zone = { timeZone: store.timezone };
    const time = new Intl.DateTimeFormat(undefined, { ...zone, timeStyle: "medium" });
    const day = new Intl.DateTimeFormat(undefined, { ...zone, dateStyle: "medium", timeStyle: "medium" });
    this.time = (us) => time.format(us / 1000);
    this.day = (us) => day.format(us / 1000);
    this.products = new Map(store.products.map((p) => [p.sku, p.name]));
  }

  who(visit) {
    return visit.credential ?? "never seen entering";
  }
}

function line(words, l) {
  const odds = el("span", "odds", null, el("i"), el("span", "", `${l.review ? "⚑ " : ""}${Math.floor(l.probability * 100)} %`));
  odds.firstChild.style.width = `${Math.round(l.probability * 100)}%`;
  odds.title = l.review ? "in review: a person must look before this is charged" : "probability that this line is right";
  const name = el("span", "name", l.name);
  name.title = `${l.name} (${l.sku})`;
  if (l.review) odds.append(el("span", "unseen", ", in review"));
  return el("li", l.review ? "line review" : "line", null,
    el("span", "count", `${l.quantity} ×`), name, el("span", "price", words.money(l.unit_price_minor * l.quantity)), odds);
}

function head(words, visit, sum, colour) {
  const key = el("span", "dot-key");
  if (colour) key.style.background = colour;
  const who = el("span", "who", short(words.who(visit), 24));
  who.title = visit.visit;
  return el("h3", "", null, key, who, el("span", "sum", sum));
}

/** The carts, changed in place: a card that stays keeps its focus and place. */
export function showCarts(words, carts, shopperOf) {
  const box = byId("carts");
  byId("carts-count").textContent = carts.length === 1 ? "1 visit" : `${carts.length} visits`;
  const cards = carts.map((cart) => {
    const sum = cart.lines.reduce((s, l) => s + l.unit_price_minor * l.quantity, 0);
    const shopper = shopperOf.get(cart.visit);
    const card = el("article", "slip", null, head(words, cart, words.money(sum), shopper && colourOf(shopper)));
    card.dataset.visit = cart.visit;
    const since = cart.opened_us === null ? "" : `since ${words.time(cart.opened_us)}`;
    card.append(el("p", "when", cart.party > 1 ? `${since}, ${cart.party} people` : since));
    card.append(cart.lines.length
      ? el("ul", "lines", null, ...cart.lines.map((l) => line(words, l)))
      : el("p", "empty", "nothing taken yet"));
    return card;
  });
  box.replaceChildren(...(cards.length ? cards : [el("p", "empty", "Nobody is shopping. A visit appears here when somebody passes the gate.")]));
}

let known = null;

/** The receipts; says new ones aloud. */
export function showReceipts(words, receipts, total) {
  const box = byId("receipts");
  byId("receipts-count").textContent = total === undefined ? "" : `${total} issued`;
  const open = new Set([...box.querySelectorAll("details[open]")].map((d) => d.dataset.visit));
  const fresh = known === null ? [] : receipts.filter((r) => !known.has(r.visit));
  known = new Set(receipts.map((r) => r.visit));
  const cards = receipts.map((r) => {
    const card = el("article", fresh.includes(r) ? "slip new" : "slip", null, head(words, r, words.money(r.charge_minor)));
    const seconds = Math.round((r.left_us - r.entered_us) / 1e6);
    const stay = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
    const when = el("p", "when", `left ${words.time(r.left_us)}, stayed ${stay}`);
    if (r.in_review_minor > 0) when.append(el("br"), el("span", "mark", `⚑ ${words.money(r.in_review_minor)} in review`));
    card.append(when, r.lines.length
      ? el("ul", "lines", null, ...r.lines.map((l) => line(words, l)))
      : el("p", "empty", "nothing bought"));
    const proof = el("details", "", null, el("summary", "", "evidence"));
    proof.dataset.visit = r.visit;
    proof.addEventListener("toggle", () => proof.open && showProof(words, proof, r.visit));
    card.append(proof);
    if (open.has(r.visit)) proof.open = true;
    return card;
  });
  box.replaceChildren(...(cards.length ? cards : [el("p", "empty", "No receipt yet. One appears here within seconds of a shopper leaving.")]));
  if (fresh.length) {
    byId("said").textContent = fresh.map((r) => `Receipt for ${words.who(r)}: ${words.money(r.charge_minor)}`).join(". ");
  }
}

async function showProof(words, box, visit) {
  const answer = await fetch(`/api/receipts/${encodeURIComponent(visit)}`);
  const list = el("div", "proof");
  if (!answer.ok) {
    list.append(el("p", "", "The evidence could not be read."));
  } else {
    const { evidence } = await answer.json();
    if (!evidence.length) list.append(el("p", "", "No shelf event is connected with this visit."));
    for (const e of evidence) {
      const row = el("div");
      if (e.shelf) {
        const plates = e.shelf.plates.map((p) => p.plate).join(", ");
        row.append(el("b", "", `${words.time(e.shelf.end_us)}  ${e.shelf.delta_g.toFixed(0)} ± ${e.shelf.sd_g.toFixed(0)} g`), ` on ${plates}`);
      } else {
        row.append(el("b", "", `shelf event ${e.source} ${e.seq}`));
      }
      for (const c of e.candidates.slice(0, 4)) {
        const what = c.sku ? `${c.quantity} × ${words.products.get(c.sku) ?? c.sku}` : "nothing";
        const who = c.visit === visit ? "this visit" : c.visit ? short(c.visit, 18) : "nobody known";
        row.append(el("div", "", `${Math.round(c.probability * 100)} %  ${what}, ${who}`));
      }
      list.append(row);
    }
  }
  box.querySelector(".proof")?.remove();
  box.append(list);
}

/** Device states and faults. */
export function showDevices(words, devices, faults) {
  const gone = devices.filter((d) => !d.online).length;
  byId("devices-count").textContent = `${devices.length - gone} of ${devices.length} online`;
  const rows = [...devices].sort((a, b) => a.role.localeCompare(b.role) || a.source.localeCompare(b.source, undefined, { numeric: true }));
  byId("devices").replaceChildren(...rows.map((d) => {
    const chip = el("li", d.online ? "chip" : "chip gone", null, el("span", "", d.source), el("span", "role", d.online ? d.role : `${d.role}, gone`));
    chip.title = [`version ${d.version}`, ...Object.entries(d.counters).map(([name, n]) => `${name}: ${n}`)].join("\n");
    return chip;
  }));
  const lasting = faults.filter((f) => !f.cleared);
  byId("faults").replaceChildren(...lasting.map((f) => el("li", "", `${f.device}: ${f.message} (${f.fault}, ${words.time(f.time_us)})`)));
}

/** The figures of the top strip; `rate` is messages a second. */
export function showStats(stats, rate) {
  const n = (x) => x.toLocaleString();
  const tiles = [
    ["receipts", n(stats.receipts), ""],
    ["in review", n(stats.receipts_in_review), stats.receipts_in_review ? "warn" : ""],
    ["messages/s", n(rate), ""],
    ["events in ledger", n(stats.ledger_seq), ""],
    ["duplicates", n(stats.duplicates), ""],
    ["malformed", n(stats.malformed), stats.malformed ? "warn" : ""],
  ];
  if (stats.lost) tiles.push(["lost", n(stats.lost), "bad"]);
  if (stats.conflicts) tiles.push(["conflicts", n(stats.conflicts), "bad"]);
  if (stats.oddities) tiles.push(["odd events", n(stats.oddities), "warn"]);
  const out = stats.outbox;
  tiles.push(out
    ? ["to the cloud", out.lag ? `${n(out.lag)} waiting` : "all delivered", out.failures_in_a_row ? "warn" : ""]
    : ["to the cloud", "no cloud", ""]);
  byId("tiles").replaceChildren(...tiles.map(([name, value, state]) => el("div", state, null, el("dt", "", name), el("dd", "", value))));
  const alarm = byId("alarm");
  const told = !stats.ledger_ok ? "The ledger cannot be written: check the disk of the store's server. Devices keep their events."
    : !stats.bus_ok ? "The bus is not connected: devices keep their events until it is back." : "";
  alarm.textContent = told;
  alarm.hidden = !told;
}
