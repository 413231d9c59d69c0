// What people who run stores do: sign in at the chain's provider, edit configuration and planogram, roll out and take back,
// look at insights and alerts. A corner shop with made-up shoppers and devices; a real provider; the real server.

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { oidcToml, openProvider } from "./provider.mjs";
import { root, Store, target, until, wait } from "./store.mjs";

const pretend = join(target, "debug/examples/pretend_store");

export async function office({ browser, watch, fair, shot, tell }) {
  if (!existsSync(pretend)) return tell(`the office is skipped: ${pretend} is not built (cargo build -p store-sync --examples)`);
  const provider = await openProvider();
  const store = new Store();
  const config = join(store.data, "store.toml");
  const corner = readFileSync(join(root, "store-sync/examples/corner.toml"), "utf8");
  writeFileSync(config, corner + oidcToml(provider.issuer));
  store.config = config;
  const size = { viewport: { width: 1360, height: 850 }, locale: "en-GB", colorScheme: "light" };
  /** Signs somebody in at the provider, in a browser of their own. */
  const signIn = async (who) => {
    const context = await browser.newContext(size);
    const page = await context.newPage();
    let hash = "";
    page.on("framenavigated", (frame) => (hash = new URL(frame.url()).hash || hash));
    await page.goto(store.console);
    await page.getByRole("link", { name: /Sign in at 127\.0\.0\.1/ }).click();
    await page.locator("input[name=login]").fill(who);
    await page.locator("input[name=password]").fill("any");
    await page.getByRole("button", { name: /sign-in/i }).click();
    await page.getByRole("button", { name: /continue/i }).click();
    await page.waitForURL((url) => url.href.startsWith(store.server));
    // The provider's own pages are not ours to judge.
    watch(page);
    if (store.console !== store.server) await page.goto(store.console + hash);
    return { context, page };
  };
  try {
    await store.open(["--canary-share", "0.5", "--hold-s", "8", "--trial-s", "1"]);

    // Known, without a group that has a role here.
    const eve = await signIn("eve");
    await eve.page.getByText("have no role in this store").waitFor();
    await shot("sign-in-provider", eve.page);
    await fair("sign-in with a provider, refused", eve.page);
    await eve.context.close();
    // Staff may not see what ops may.
    const sami = await signIn("sami");
    await sami.page.getByText("Sami · staff").waitFor();
    assert.equal(await sami.page.locator('a[href="#config"]').count(), 0);
    assert.equal(await sami.page.evaluate(async () => (await fetch("/api/config")).status), 403);
    await sami.context.close();
    const { context, page } = await signIn("olga");
    await page.getByText("Olga · ops").waitFor();
    tell("signed in at a real OpenID Connect provider, each with their own role; one without a role was not let in");

    const api = (path) => page.evaluate(async (p) => (await fetch(p)).json(), path);
    const go = async (name) => {
      await page.evaluate((n) => (location.hash = n), name);
      await page.waitForSelector(`a[href="#${name}"][aria-current=page]`);
      await wait(400);
    };
    // What there is to see before anything has happened.
    for (const name of ["alerts", "reviews", "receipts", "stock", "orders", "insights", "rollout"]) {
      await go(name);
      await fair(`${name}, empty`, page);
    }
    store.start("shoppers", pretend, [config, store.bus, "600"]);
    await until("the first release everywhere", async () => (await api("/api/rollout")).good?.number === 1, 60_000);
    tell("the first release is in force on every device");

    // A mistake is named where it stands, and nothing is saved.
    await go("config");
    const text = page.getByLabel("Contents of store.toml");
    const before = await text.inputValue();
    await text.fill(before.replace('kind = "entry"', 'kind = "entri"'));
    await page.getByText("It would not be taken.").waitFor();
    assert.ok(await page.getByRole("button", { name: "Save and roll out" }).isDisabled());
    await shot("config", page);
    await fair("configuration", page);
    await text.fill(`${before}\n[policy]\nreview_below = 0.8\n`);
    await page.getByText("It would be taken.").waitFor();
    await page.getByRole("button", { name: "Save and roll out" }).click();
    await page.getByText("saved by Olga").waitFor();
    await go("rollout");
    await until("the second release", async () => (await api("/api/rollout")).running?.release.number === 2 || (await api("/api/rollout")).good?.number === 2, 30_000);
    await page.getByText("Release 2 is being rolled out").waitFor();
    await shot("rollout", page);
    await fair("roll-out, under way", page);
    await page.getByText("All run by release 2").waitFor({ timeout: 30_000 });
    tell("a saved configuration reached every device, canaries first");
    await page.getByRole("button", { name: "Take it back" }).click();
    await page.getByLabel("Reason").fill("too many lines are charged");
    await fair("roll-out, taking back", page);
    await page.getByRole("button", { name: "Take it back" }).click();
    await until("the way back", async () => (await api("/api/rollout")).good?.number === 3, 30_000);
    await page.getByText("All run by release 3").waitFor();
    tell("it was taken back under a new number");

    // Another product on a plate.
    await go("planogram");
    await page.locator(".plate").first().click();
    const product = (await api("/api/store")).products.at(-1);
    await page.getByLabel("Put another product here").selectOption(product.sku);
    await page.getByRole("button", { name: "Put it here" }).click();
    await page.getByText(/changes, not saved/).waitFor();
    await shot("planogram", page);
    await fair("planogram", page);
    await page.getByRole("button", { name: "Save and roll out" }).click();
    await page.getByText("Saved. Devices get it by the roll-out.").waitFor();
    const facings = (await api("/api/planogram")).facings;
    assert.ok(facings.some((f) => f.sku === product.sku && f.plates.includes("A/1/1")), "the plate holds the product");
    assert.ok((await api("/api/config")).text.includes("# A made-up corner shop"), "comments stay");
    tell("a plate got another product, and devices are getting it");

    // People have shopped by now: what their hours say.
    const plates = (await api("/api/store")).plates.filter((p) => p.skus.length).slice(0, 6);
    for (const [i, plate] of plates.entries()) {
      await page.evaluate(async ([p, n]) => {
        const { csrf } = await (await fetch("/api/session")).json();
        await fetch("/api/stock/count", { method: "POST", headers: { "Content-Type": "application/json", "X-Linefree-Csrf": csrf }, body: JSON.stringify({ plate: p.id, sku: p.skus[0], quantity: n }) });
      }, [plate, i < 2 ? 0 : 12]);
    }
    await until("shoppers who left with something", async () => (await api("/api/insights")).hours.some((h) => h.buyers >= 2), 120_000);
    for (const name of ["insights", "alerts", "devices", "ops", "stock"]) {
      await go(name);
      await wait(600);
      await shot(name, page);
      await fair(name, page);
    }
    await go("alerts");
    await page.getByText(/cam2: out of focus/).waitFor();
    await go("insights");
    await page.getByRole("button", { name: "a day" }).click();
    await page.getByRole("cell", { name: /min/ }).first().waitFor();
    tell("insights, alerts and devices tell of the made-up shop");

    // Every page fits a phone, light and dark; nothing is wider than the screen.
    await page.setViewportSize({ width: 390, height: 844 });
    for (const name of ["floor", "alerts", "reviews", "receipts", "stock", "orders", "insights", "planogram", "devices", "ops", "rollout", "config", "access"]) {
      await page.evaluate((n) => (location.hash = n), name);
      await wait(400);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${name} is ${over} px wider than a phone`);
      await fair(`${name}, phone size`, page);
      if (process.env.LINEFREE_SMALL) await page.screenshot({ path: join(process.env.LINEFREE_SMALL, `small-${name}.png`) });
    }
    await page.evaluate(() => (location.hash = "alerts"));
    await wait(400);
    await shot("small", page);
    tell("every page fits a phone's screen");

    // The language is the reader's; dark is the system's.
    await page.setViewportSize(size.viewport);
    await context.close();
  } finally {
    await store.close();
    await provider.close();
  }
}
