// How many frames a second the map draws with a crowd: a real server, positions over the real bus, ten times a second.
//
//   node test/frames.mjs [SHOPPERS] [SECONDS]      1000 shoppers and 10 s when left out
//
// Frames are counted by the map itself, on a page of 1360 x 850 in headless Chromium (software rendering). Needs
// `cargo build -p store-sync --bins --example pretend_store`.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { chromium as executablePath, missing, root, Store, storeSync, until, wait } from "./store.mjs";

const crowd = Number(process.argv[2] ?? 1000);
const seconds = Number(process.argv[3] ?? 10);
const pretend = process.env.LINEFREE_PRETEND ?? join(dirname(storeSync), "examples/pretend_store");
const why = missing({ devices: false }) ?? (existsSync(pretend) ? null : `${pretend} is not built`);
if (why) {
  console.log(`skipped: ${why}`);
  process.exit(0);
}
const { chromium } = await import("playwright-core");
const corner = join(root, "store-sync/examples/corner.toml");
const store = await new Store(corner).open();
if (process.env.LINEFREE_DIST) store.console = await (await import("./proxy.mjs")).before(store.console);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await (await browser.newContext({ viewport: { width: 1360, height: 850 } })).newPage();
  await page.goto(`${store.console}#once=${store.once}`);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("New password").fill("only for this test run");
  await page.getByRole("button", { name: "Keep it" }).click();
  store.start("crowd", pretend, [corner, store.bus, String(seconds + 30), String(crowd)]);
  await until("the crowd", () => page.evaluate((n) => globalThis.linefreeFloor?.walkers.size >= n, crowd), 30_000);
  await wait(2000);
  const told = await page.evaluate(async (ms) => {
    const floor = globalThis.linefreeFloor;
    const [frames, moves, began] = [floor.frames, floor.told, performance.now()];
    const gaps = [];
    let last = began;
    let count = floor.frames;
    while (performance.now() - began < ms) {
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      if (floor.frames > count) {
        gaps.push(now - last);
        last = now;
        count = floor.frames;
      }
    }
    const took = performance.now() - began;
    gaps.sort((a, b) => a - b);
    return { fps: ((floor.frames - frames) * 1000) / took, moves: ((floor.told - moves) * 1000) / took, p95: gaps[Math.floor(gaps.length * 0.95)], shoppers: floor.walkers.size };
  }, seconds * 1000);
  console.log(`${told.shoppers} shoppers: ${told.fps.toFixed(1)} frames/s, 95 % of frames within ${told.p95.toFixed(1)} ms, positions ${told.moves.toFixed(1)} times/s`);
} finally {
  await browser.close();
  await store.close();
}
