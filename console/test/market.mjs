// A market that takes online orders, has robots, prices by the chain's rules and is paid by UPI: the rest of what the
// console and the phone show. The reference cloud commands the rules; orders come through a channel's signed webhook.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root, Store, storeSync, target, until, wait } from "./store.mjs";

const simulator = process.env.LINEFREE_SIMULATOR ?? join(target, "debug/simulator");
const pretend = join(target, "debug/examples/pretend_store");
const PASSWORD = "only for this test run";
const WATER = "2000000000015";

/** A ring of aisles through the corner shop, with bays, a counter and two robots. */
const ROADS = `
[robots]
edges = [
  ["l1", "l2"], ["l2", "l3"], ["l3", "l4"], ["l4", "k4"], ["k4", "k3"], ["k3", "k2"], ["k2", "k1"], ["k1", "l1"],
  ["l2", "b1"], ["l3", "b2"], ["l1", "c1"], ["l4", "h1"], ["k4", "h2"],
]
${[["l1", 1.6, 0.7], ["l2", 4, 0.7], ["l3", 7, 0.7], ["l4", 10.4, 0.7], ["k1", 1.6, 4.3], ["k2", 4, 4.3], ["k3", 7, 4.3], ["k4", 10.4, 4.3]].map(([id, x, y]) => `[[robots.node]]\nid = "${id}"\nat = [${x}, ${y}]`).join("\n")}
[[robots.node]]
id = "b1"
at = [4, 1.7]
place = "bay"
plates = ["A/1/1", "A/1/2"]
[[robots.node]]
id = "b2"
at = [7, 1.7]
place = "bay"
plates = ["A/1/4", "A/1/5"]
[[robots.node]]
id = "c1"
at = [0.5, 0.7]
place = "bay"
station = "counter"
[[robots.node]]
id = "h1"
at = [11.5, 0.7]
place = "home"
[[robots.node]]
id = "h2"
at = [11.5, 4.3]
place = "home"
[[robots.robot]]
manufacturer = "acme"
serial = "amr-1"
home = "h1"
[[robots.robot]]
manufacturer = "acme"
serial = "amr-2"
home = "h2"
`;

/** What is missing, in words. */
export function missing() {
  if (!existsSync(simulator)) return `${simulator} is not built (cargo build -p simulator)`;
  if (!existsSync(pretend)) return `${pretend} is not built (cargo build -p store-sync --example pretend_store)`;
  return null;
}

export async function market({ browser, watch, fair, shot, tell }) {
  const why = missing();
  if (why) return tell(`the market is skipped: ${why}`);
  const store = new Store();
  const config = join(store.data, "store.toml");
  const corner = readFileSync(join(root, "store-sync/examples/corner.toml"), "utf8");
  writeFileSync(config, corner.replace('currency = "EUR"', 'currency = "INR"') + ROADS);
  store.config = config;
  try {
    // The chain's cloud says where it listens.
    const cloud = store.start("cloud", storeSync, ["receive", "--data", join(store.data, "cloud"), "--listen", "127.0.0.1:0"]);
    const at = await until("the cloud", () => /127\.0\.0\.1:\d+/.exec(cloud.words)?.[0]);
    await store.open(["--cloud", `http://${at}/v1/events`, "--payments", "upi://pay?pa=corner@examplebank&pn=Corner%20Shop&mc=5411"]);
    const chain = async (method, path, body) => {
      const answer = await fetch(`http://${at}/v1/stores/corner/${path}`, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
      return answer.json();
    };
    const rules = (percent) => ({ kind: "price_rules", from_us: 0, rules: { currency: "INR", coupons: [{ code: "OPENING", off: { share_bp: percent * 100 }, everyone: true }], multi_buys: [{ id: "3-for-2", sku: WATER, take: 3, deal: { price_of: 2 } }] } });
    await chain("POST", "commands", { command: "rules-1", version: 1, body: rules(10) });
    await chain("POST", "commands", { command: "rules-2", version: 2, body: rules(200) });

    const context = await browser.newContext({ viewport: { width: 1360, height: 850 }, locale: "en-GB", colorScheme: "light" });
    const page = await context.newPage();
    watch(page);
    const api = (path) => page.evaluate(async (p) => (await fetch(p)).json(), path);
    const send = (path, body) => page.evaluate(async ([p, b]) => {
      const { csrf } = await (await fetch("/api/session")).json();
      const answer = await fetch(p, { method: "POST", headers: { "Content-Type": "application/json", "X-Linefree-Csrf": csrf }, body: JSON.stringify(b) });
      if (!answer.ok) throw new Error(`${p}: ${await answer.text()}`);
      return answer.json();
    }, [path, body]);
    const go = async (name) => {
      await page.evaluate((n) => (location.hash = n), name);
      await page.waitForSelector(`a[href="#${name}"][aria-current=page]`);
      await wait(400);
    };
    await page.goto(`${store.console}#once=${store.once}`);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByLabel("New password").fill(PASSWORD);
    await page.getByRole("button", { name: "Keep it" }).click();
    await page.getByText("nobody in sight").waitFor();
    await until("the price rules", async () => (await api("/api/price-rules"))?.version === 1, 30_000);
    const answers = await until("the cloud's answers", async () => {
      const all = await chain("GET", "answers");
      return all.filter((a) => a.accepted !== null).length >= 2 && all;
    }, 30_000);
    const refused = answers.find((a) => a.command === "rules-2");
    assert.ok(refused.reason.includes("share_bp is 20000"), refused.reason);
    tell("the chain's price rules are in force, and rules that are none were refused");

    // An order through a channel, fetched by a robot and handed over for its code.
    const added = execFileSync(storeSync, ["channel", "add", "app", "--data", join(store.data, "store")], { encoding: "utf8" });
    const secret = /whsec_\S+/.exec(added)[0];
    const hook = async (path, body) => {
      const text = JSON.stringify(body);
      const stamp = String(Math.floor(Date.now() / 1000));
      const mac = createHmac("sha256", Buffer.from(secret.slice(6), "base64")).update(`m1.${stamp}.${text}`).digest("base64");
      const headers = { "Content-Type": "application/json", "webhook-id": "m1", "webhook-timestamp": stamp, "webhook-signature": `v1,${mac}` };
      const answer = await fetch(`${store.console}api/hooks/orders/app${path}`, { method: "POST", headers, body: text });
      const told = await answer.json();
      assert.ok(answer.ok, JSON.stringify(told));
      return told;
    };
    const plates = (await api("/api/store")).plates.filter((p) => /^A\/1\/[1245]$/.test(p.id) && p.skus.length);
    for (const plate of plates) await send("/api/stock/count", { plate: plate.id, sku: plate.skus[0], quantity: 9 });
    store.start("robots", simulator, ["amr", "--bus", store.bus, "--store", config, "--speed", "2"]);
    await page.waitForFunction(() => globalThis.linefreeFloor?.robots.size === 2, null, { timeout: 60_000 });
    tell("both robots are on the map");
    const lines = [...new Set(plates.map((p) => p.skus[0]))].slice(0, 2).map((sku) => ({ sku, quantity: 1 }));
    await hook("", { order: "o1", lines, handover: "counter" });
    await page.waitForFunction(() => [...globalThis.linefreeFloor.robots.values()].some((r) => r.told.base.length > 1), null, { timeout: 60_000 });
    await wait(1500);
    await shot("robots", page);
    await fair("floor with robots", page);
    const table = page.locator("summary", { hasText: "Robots as a table" });
    await table.click();
    await page.getByRole("cell", { name: /→/ }).first().waitFor({ timeout: 30_000 });
    tell("a robot drives its way to fetch the order");
    await go("orders");
    await page.locator("tbody th", { hasText: "app.o1" }).waitFor();
    await fair("orders", page);
    const ready = await until("the order at the counter", async () => {
      const o = await hook("/state", { order: "o1" });
      return o.state === "ready" && o;
    }, 180_000);
    tell("the order is at the counter");
    await page.getByLabel("Code").fill(ready.handover_code === "000000" ? "000001" : "000000");
    await page.getByRole("button", { name: "Hand over" }).click();
    await page.getByText(/code/i).last().waitFor();
    assert.equal((await hook("/state", { order: "o1" })).state, "ready", "another code hands nothing over");
    await shot("orders", page);
    await fair("orders, ready", page);
    await page.getByLabel("Code").fill(ready.handover_code);
    await page.getByRole("button", { name: "Hand over" }).click();
    await page.getByText("handed over").first().waitFor();
    tell("it was handed over for its code, and for no other");

    // A shopper's receipt by the chain's prices, to be paid by UPI.
    store.start("shoppers", pretend, [config, store.bus, "60"]);
    const paid = await until("a receipt with lines", async () => {
      const found = await api("/api/receipts?limit=100");
      return found.find((r) => r.lines.some((l) => !l.review) && r.charge_minor > 0);
    }, 90_000);
    assert.equal(paid.rules_version, 1);
    for (const line of paid.lines) {
      assert.equal(line.explained.reduce((s, c) => s + c.change_minor, 0), line.amount_minor, line.sku);
      assert.ok(line.explained.some((c) => c.rule === "coupon" && c.name === "OPENING"), line.sku);
    }
    const { password } = await send("/api/accounts", { name: "phone", role: "shopper", credential: paid.credential });
    const mobile = await browser.newContext({ viewport: { width: 400, height: 900 }, deviceScaleFactor: 1.5, locale: "en-GB", colorScheme: "light" });
    const phone = await mobile.newPage();
    watch(phone);
    await phone.goto(store.console);
    await phone.getByLabel("Name").fill("phone");
    await phone.getByLabel("Password").fill(password);
    await phone.getByRole("button", { name: "Sign in" }).click();
    await phone.getByLabel("New password").fill(PASSWORD);
    await phone.getByRole("button", { name: "Keep it" }).click();
    await phone.getByRole("link", { name: "Go to it" }).click();
    await phone.locator(".qr").waitFor();
    await phone.getByRole("button", { name: "Receipts" }).click();
    const link = phone.getByRole("link", { name: /UPI app/ });
    await link.waitFor();
    const href = await link.getAttribute("href");
    const rupees = (paid.charge_minor / 100).toFixed(2);
    assert.ok(href.startsWith("upi://pay?pa=corner") && href.includes(`am=${rupees}`), `${href}: ${rupees}`);
    await phone.getByRole("img", { name: /UPI payment code/ }).waitFor();
    await phone.getByText("coupon OPENING").first().waitFor();
    await phone.screenshot({ path: join(store.data, "phone.png"), fullPage: true });
    await shot("phone-upi", phone);
    await fair("phone, to be paid by UPI", phone);
    tell(`the phone shows the priced receipt and a UPI link over ${rupees}`);

    await go("receipts");
    await page.locator(`.picks button[data-visit="${paid.visit}"]`).click();
    await page.getByText("coupon OPENING").first().waitFor();
    await page.getByText("Priced by version 1").waitFor();
    await fair("receipts, priced", page);
    // The shopper contests a line; staff let it stand.
    await phone.getByText("Why was I charged?").first().click();
    await phone.getByRole("button", { name: "I did not take this" }).click();
    await phone.getByLabel("What happened?").fill("it was my neighbour");
    await phone.getByRole("button", { name: "Send" }).click();
    await phone.getByText("In dispute").waitFor();
    await page.getByText(/contested: .* in dispute/).waitFor();
    await shot("contest", page);
    await fair("receipts, contested", page);
    await page.getByLabel("Answer to the shopper").fill("the shelf saw you");
    await page.getByRole("button", { name: "Refuse", exact: true }).click();
    await phone.getByText("Not refunded: the shelf saw you").waitFor();
    await page.getByText(/in dispute/).waitFor({ state: "detached" });
    tell("a contest is in dispute until staff have answered");
    await mobile.close();
    await context.close();
  } finally {
    await store.close();
  }
}
