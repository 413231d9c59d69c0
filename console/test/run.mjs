// The whole store in a browser: people walk in, carts fill, staff settle a doubt by keyboard, money goes back, a shopper
// sees the receipt on the phone and contests a line. Then a market with robots, price rules and UPI (market.mjs). Every
// page is checked with axe, light and dark. `--shots` also writes docs/images/console-*.png.
//
//   node test/run.mjs                the test
//   node test/run.mjs --shots        and the pictures
//   node test/run.mjs --part market  a part alone: plaza, phone, market, office; several by commas
//
// Needs what `cargo xtask setup` installs; says what is missing and ends well where something is.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { market } from "./market.mjs";
import { office } from "./office.mjs";
import { phoneDay } from "./phone.mjs";
import { chromium as executablePath, missing, plaza, root, Store, storeSync, until, wait } from "./store.mjs";

const shots = process.argv.includes("--shots");
const at = process.argv.indexOf("--part");
const parts = at < 0 ? ["plaza", "phone", "market", "office"] : process.argv[at + 1].split(",");
const pace = process.env.LINEFREE_PACE ?? "3";
const why = missing({ devices: parts.includes("plaza") });
if (why) {
  console.log(`skipped: ${why}`);
  process.exit(0);
}
const { chromium } = await import("playwright-core");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PASSWORD = "only for this test run";

const began = Date.now();
const tell = (words) => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${words}`);
const store = new Store();
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1360, height: 850 }, locale: "en-GB", colorScheme: "light" });
// The pages' own policy forbids scripts from elsewhere; axe is run from outside of it.
const problems = [];
const watch = (page) => {
  page.on("pageerror", (e) => problems.push(`${e}`));
  page.on("console", (m) => m.type() === "error" && !/401|403|404|409|ERR_CONNECTION|ERR_EMPTY_RESPONSE/.test(m.text()) && problems.push(m.text()));
};
const page = await context.newPage();
watch(page);

const shot = async (name, of = page) => {
  if (shots) await of.screenshot({ path: join(root, "docs/images", `console-${name}.png`) });
};
const fair = async (name, of = page) => {
  for (const colorScheme of ["light", "dark"]) {
    await of.emulateMedia({ colorScheme });
    await wait(150);
    await of.evaluate(axe);
    const found = await of.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    const told = found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).slice(0, 3).join(" | ")}`);
    if (told.length) problems.push(`axe, ${name}, ${colorScheme}: ${told.join("\n    ")}`);
  }
  await of.emulateMedia({ colorScheme: "light" });
};
const api = (path) => page.evaluate(async (p) => (await fetch(p)).json(), path);
const send = (path, body) =>
  page.evaluate(
    async ([p, b]) => {
      const { csrf } = await (await fetch("/api/session")).json();
      const answer = await fetch(p, { method: "POST", headers: { "Content-Type": "application/json", "X-Linefree-Csrf": csrf }, body: JSON.stringify(b) });
      return answer.json();
    },
    [path, body],
  );
const go = async (name) => {
  await page.evaluate((n) => (location.hash = n), name);
  await page.waitForSelector(`a[href="#${name}"][aria-current=page]`);
  await wait(400);
};

async function plazaDay() {
  await store.open();
  // Signing in with the printed link.
  await page.goto(`${store.console}#once=${store.once}`);
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await shot("sign-in");
  await fair("sign-in");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("New password").fill(PASSWORD);
  await fair("first password");
  await page.getByRole("button", { name: "Keep it" }).click();
  await page.getByText("nobody in sight").waitFor();
  tell("signed in; the store is empty");

  // A shopper's phone: no name, a code for the gate, which reads it and lets its credential in.
  const mobile = await browser.newContext({ viewport: { width: 400, height: 860 }, deviceScaleFactor: 1.5, locale: "en-GB", colorScheme: "light", acceptDownloads: true });
  const phone = await mobile.newPage();
  watch(phone);
  await phone.goto(`${store.console}me.html`);
  await phone.getByRole("button", { name: "Use this phone" }).waitFor();
  await fair("phone, welcome", phone);
  await shot("phone-welcome", phone);
  const coded = phone.waitForResponse((r) => r.url().endsWith("/api/me/entry"));
  await phone.getByRole("button", { name: "Use this phone" }).click();
  const { code } = await (await coded).json();
  await phone.locator("svg.qr").waitFor();
  await shot("phone-enter", phone);
  await fair("phone, enter", phone);
  const entered = await send("/api/entry/check", { code });
  assert.match(entered.credential, /^app-[0-9a-f]{16}$/);
  assert.match((await send("/api/entry/check", { code })).error, /used already/, "a code is good once");
  tell("a phone has joined; the gate has read its code");

  // Dots appear and carts fill. Whoever the recording calls c1 is that phone's shopper.
  await page.evaluate(() => {
    const at = { left: new Map(), told: [] };
    globalThis.linefreeTimes = at;
    new EventSource("/api/live").addEventListener("event", (m) => {
      const { time_us, body } = JSON.parse(m.data);
      if (body.kind === "gate_passed" && body.direction === "exit") at.left.set(time_us, performance.now());
      if (body.kind === "visit_closed") at.told.push([body.visit, body.left_us, performance.now()]);
    });
  });
  store.play(pace, store.recording({ c1: entered.credential }));
  await page.waitForFunction(() => globalThis.linefreeFloor?.walkers.size >= 3, null, { timeout: 60_000 });
  tell("dots are on the map");
  await page.locator(".card .lines li").first().waitFor({ timeout: 60_000 });
  tell("a cart has filled");
  await page.waitForFunction(() => document.querySelectorAll(".card .lines li").length >= 4, null, { timeout: 60_000 });
  await shot("floor");
  if (shots) {
    await page.emulateMedia({ colorScheme: "dark" });
    await wait(300);
    await shot("floor-dark");
    await page.emulateMedia({ colorScheme: "light" });
  }
  // What the shopper takes is in the basket by itself, and what they put back is out of it again.
  const baskets = [];
  await until("the basket filled, and something put back", async () => {
    const { cart } = await phone.evaluate(async () => (await fetch("/api/me")).json());
    baskets.push((cart?.lines ?? []).map((l) => l.sku));
    return baskets.some((b, i) => i && b.length < baskets[i - 1].length && b.length > 0);
  }, 240_000);
  await phone.locator(".mine li").first().waitFor();
  await shot("phone-basket", phone);
  await fair("phone, basket", phone);
  tell("the phone's basket filled by itself, and what was put back is out of it");
  await until("the recording's end", () => store.played(), 240_000);
  const expected = JSON.parse(readFileSync(join(plaza, "expected.json"), "utf8")).receipts.map((e) => ({ ...e, credential: e.credential === "c1" ? entered.credential : e.credential }));
  const receipts = await until("every receipt", async () => {
    const r = await api("/api/receipts?limit=1000");
    return r.length >= expected.length && r;
  });
  tell(`the recording has ended: ${receipts.length} receipts`);
  const linesOf = (r) => JSON.stringify(r.lines.filter((l) => l.quantity).map((l) => [l.sku, l.quantity]).sort());
  const right = expected.filter((e) => e.lines.length && receipts.some((r) => r.credential === e.credential && !r.in_review_minor && linesOf(r) === linesOf(e)));
  assert.ok(right.length >= 3, `only ${right.length} receipts with lines are as expected`);
  tell(`${right.length} receipts with lines are right to the last item`);
  const waits = await page.evaluate(() => {
    const { left, told } = globalThis.linefreeTimes;
    return told.filter(([, us]) => left.has(us)).map(([, us, ms]) => ms - left.get(us));
  });
  assert.ok(waits.length >= 5, `only ${waits.length} receipts have an exit`);
  const sorted = waits.sort((a, b) => a - b);
  const of = (p) => (sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] / 1000).toFixed(2);
  tell(`from the gate to the receipt, ${sorted.length} receipts at ${pace} times real time: median ${of(0.5)} s, 99th percentile ${of(0.99)} s`);
  // The aim is 5 s; what is refused here is a receipt that does not come while somebody still thinks of it.
  assert.ok(Number(of(0.99)) <= 15, "receipts come too late");

  // Back through the day.
  await go("floor");
  const slider = page.getByRole("slider");
  await slider.waitFor();
  await page.waitForFunction(() => Number(document.querySelector("input[type=range]").max) > 0);
  const [from, to] = await slider.evaluate((s) => [Number(s.min), Number(s.max)]);
  await slider.focus();
  await slider.evaluate((s, v) => { s.value = String(v); s.dispatchEvent(new Event("input", { bubbles: true })); }, from + (to - from) * 0.45);
  await page.getByRole("button", { name: "Back to now" }).waitFor();
  const then = await page.locator(".card").count();
  assert.ok(then > 0, "nobody was in the store in the middle of the day");
  await wait(500);
  await shot("timeline");
  await fair("floor");
  await page.getByRole("button", { name: "Back to now" }).click();
  tell(`in the middle of the day there were ${then} carts`);

  // A doubt, by keyboard alone.
  await go("reviews");
  const before = (await api("/api/reviews")).filter((r) => !r.held);
  assert.ok(before.length >= 2, "the plaza leaves no doubt to be settled");
  await page.locator(".answers button").first().waitFor();
  await page.waitForFunction(() => document.querySelectorAll(".event").length > 0);
  await wait(400);
  await shot("reviews");
  await fair("reviews");
  const first = before[0];
  await page.keyboard.press("1");
  await page.getByText("Answered: 1").waitFor();
  await page.keyboard.press("u");
  await page.getByText("Undone.").waitFor();
  assert.equal((await api("/api/reviews")).filter((r) => !r.held).length, before.length);
  const asked = Date.now();
  await page.keyboard.press("1");
  await page.getByText("Answered: 1").waitFor();
  tell(`a doubt answered by one key in ${Date.now() - asked} ms, undone and answered again`);
  const paid = await until("the charge", async () => {
    const m = await api(`/api/receipts/${first.visit}/money`);
    return m.answers.some((a) => a.sku === first.sku) && m;
  }, 20_000);
  assert.ok(paid.answered_minor >= first.unit_price_minor);
  tell("ten seconds later it is charged");

  // A receipt, and money back.
  await go("receipts");
  const good = receipts.find((r) => r.credential === right.find((e) => e.credential !== entered.credential).credential);
  await page.locator(`.picks button[data-visit="${good.visit}"]`).click();
  await page.getByRole("heading", { name: `Receipts: ${good.credential}` }).waitFor();
  const shownLines = await page.locator("[aria-labelledby=receipt] tbody .line-name").allTextContents();
  assert.deepEqual(shownLines.sort(), good.lines.map((l) => `${l.quantity} × ${l.name}`).sort());
  await page.getByLabel(`Give back how many of ${good.lines[0].name}`).fill("1");
  await page.getByLabel("Reason").fill("damaged");
  await page.getByRole("button", { name: /Issue the refund/ }).click();
  await page.getByText("· damaged").waitFor();
  await wait(300);
  await shot("receipts");
  await fair("receipts");
  tell("the receipt is right, and one item was refunded");

  // The receipt on the phone is right, and there by itself; it can be kept as a file that proves itself.
  const mine = receipts.find((r) => r.credential === entered.credential);
  const own = expected.find((e) => e.credential === entered.credential);
  assert.equal(linesOf(mine), linesOf(own), "the shopper's receipt");
  assert.equal(mine.in_review_minor, 0);
  await phone.getByText(mine.lines[0].name).first().waitFor();
  const saved = phone.waitForEvent("download");
  await phone.getByRole("button", { name: "Keep as a file" }).click();
  const file = join(store.data, "receipt.json");
  await (await saved).saveAs(file);
  const verified = spawnSync(storeSync, ["receipt", "verify", "--key", join(store.data, "store/receipt-key.pub.pem"), file], { encoding: "utf8" });
  assert.equal(verified.status, 0, verified.stdout + verified.stderr);
  tell("the shopper's receipt is right to the last item, and its signature holds");
  await phone.getByText("Why was I charged?").first().click();
  await phone.getByRole("button", { name: "I did not take this" }).click();
  await phone.getByLabel("What happened?").fill("I put it back on its shelf");
  await shot("phone-receipt", phone);
  await fair("phone, receipt", phone);
  await phone.getByRole("button", { name: "Send" }).click();
  await phone.getByText("You contested this").waitFor();
  await phone.getByRole("button", { name: "Privacy" }).click();
  await shot("phone-privacy", phone);
  await fair("phone, privacy", phone);
  tell("the shopper has the receipt on the phone and contested a line");
  await page.reload();
  await page.getByRole("button", { name: /Refund it/ }).waitFor();
  await page.getByLabel("Answer to the shopper").fill("You are right, sorry");
  await page.getByRole("button", { name: /Refund it/ }).click();
  await phone.getByRole("button", { name: "Receipts" }).click();
  await phone.getByText("Refunded.").first().waitFor();
  tell("the contest is settled, and the phone shows it");

  // What is left: counts, orders, people.
  await go("stock");
  const plate = (await api("/api/store")).plates.find((p) => p.skus.length);
  await page.locator("form select").selectOption(plate.id);
  await page.locator("form input[type=number]").fill("12");
  await page.getByRole("button", { name: "Note the count" }).click();
  await page.getByText("Noted.").waitFor();
  await page.locator("tbody").getByText(plate.id).first().waitFor();
  await fair("stock");
  await go("orders");
  await fair("orders");
  await go("access");
  await page.locator("form input").first().fill("sam");
  await page.getByRole("button", { name: "Make an account" }).click();
  await page.getByText("told once").waitFor();
  await shot("access");
  await fair("access");
  await page.locator(".language select").selectOption("de");
  await page.getByRole("heading", { name: "Protokoll" }).waitFor();
  await page.locator(".language select").selectOption("en");
  await mobile.close();
  await context.close();
}

try {
  const tools = { browser, watch, fair, shot, tell };
  if (parts.includes("plaza")) await plazaDay();
  if (parts.includes("phone")) await phoneDay(tools);
  if (parts.includes("market")) await market(tools);
  if (parts.includes("office")) await office(tools);

  assert.deepEqual(problems, []);
  tell("no page has an error, and axe finds nothing, light or dark");
} catch (error) {
  await page.screenshot({ path: "/tmp/linefree-console-failed.png" }).catch(() => {});
  console.error(problems.join("\n"));
  console.error("the page as it was: /tmp/linefree-console-failed.png");
  throw error;
} finally {
  await browser.close();
  await store.close();
}
