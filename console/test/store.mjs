// A store for tests: the real server, the real devices playing the plaza recording, all on free ports of this machine.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
export const plaza = join(root, "simulator/recordings/plaza");
export const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const program = (name, variable) => process.env[variable] ?? join(target, "debug", name);
export const storeSync = program("store-sync", "LINEFREE_STORE_SYNC");
export const edgeAgent = program("edge-agent", "LINEFREE_EDGE_AGENT");
export const chromium = process.env.LINEFREE_CHROMIUM ?? "/usr/bin/chromium";

/** What is missing, in words; `null` when everything is there. */
export function missing({ devices = true } = {}) {
  if (!existsSync(chromium)) return `${chromium} is not installed (cargo xtask setup installs Debian's chromium)`;
  if (!existsSync(join(root, "console/node_modules/playwright-core"))) return "console/node_modules is missing (npm --prefix console ci)";
  if (!existsSync(storeSync)) return `${storeSync} is not built (cargo build -p store-sync)`;
  if (devices && !existsSync(edgeAgent)) return `${edgeAgent} is not built (cargo build -p edge-agent)`;
  if (devices && !existsSync(join(plaza, "cameras/plaza.avi"))) return "the demo's video is missing (cargo xtask setup)";
  return null;
}

export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** Asks until the answer is true, or fails with what was waited for. */
export async function until(what, done, atMost = 60_000) {
  const end = Date.now() + atMost;
  for (;;) {
    const answer = await done();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`${what} did not happen within ${atMost / 1000} s`);
    await wait(100);
  }
}

export class Store {
  constructor(config = join(plaza, "store.toml")) {
    this.data = mkdtempSync(join(tmpdir(), "linefree-console-"));
    this.config = config;
    this.children = new Map();
  }

  start(name, command, args) {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    const run = { child, ended: false, words: "" };
    for (const out of [child.stdout, child.stderr]) out.on("data", (d) => (run.words = (run.words + d).slice(-4000)));
    child.on("exit", (code) => Object.assign(run, { ended: true, code }));
    this.children.set(name, run);
    return run;
  }

  async open(more = []) {
    const ready = join(this.data, "ready.json");
    const run = this.start("store", storeSync, ["serve", "--config", this.config, "--data", join(this.data, "store"), "--listen", this.listen ?? "127.0.0.1:0", "--broker", "127.0.0.1:0", "--ready-file", ready, ...more]);
    await until("the store's server", () => {
      if (run.ended) throw new Error(`the store's server ended:\n${run.words}`);
      return existsSync(ready);
    });
    const told = JSON.parse(readFileSync(ready, "utf8"));
    this.server = told.console;
    this.console = process.env.LINEFREE_DIST ? await (await import("./proxy.mjs")).before(told.console, this.console) : told.console;
    this.bus = told.bus;
    const first = join(this.data, "store/first-password");
    this.once = existsSync(first) ? readFileSync(first, "utf8").trim() : "";
    return this;
  }

  /** Kills the server, as a loss of power does. */
  async kill() {
    const run = this.children.get("store");
    run.child.kill("SIGKILL");
    await until("the server's end", () => run.ended);
    rmSync(join(this.data, "ready.json"), { force: true });
  }

  /** Starts it again where it was. */
  reopen(more = []) {
    this.listen = new URL(this.server).host;
    return this.open(more);
  }

  /** The plaza's recording with some people's credentials replaced. */
  recording(credentials) {
    const folder = join(this.data, "recording");
    mkdirSync(folder);
    for (const name of readdirSync(plaza)) if (name !== "gate.jsonl") symlinkSync(join(plaza, name), join(folder, name));
    const gates = readFileSync(join(plaza, "gate.jsonl"), "utf8");
    writeFileSync(join(folder, "gate.jsonl"), gates.replace(/"credential":"([^"]+)"/g, (_, c) => `"credential":"${credentials[c] ?? c}"`));
    return folder;
  }

  /** Plays a recording. */
  play(pace, recording = plaza) {
    for (const role of ["floor", "gate", "shelf", "camera"]) {
      this.start(role, edgeAgent, [role, "--recording", recording, "--pace", String(pace), "--bus", this.bus, "--data", join(this.data, role)]);
    }
  }

  played() {
    for (const [name, run] of this.children) if (run.ended && run.code !== 0) throw new Error(`${name} failed:\n${run.words}`);
    return ["floor", "gate", "shelf", "camera"].every((role) => this.children.get(role).ended);
  }

  async close() {
    for (const { child, ended } of this.children.values()) if (!ended) child.kill("SIGTERM");
    await until("every program's end", () => [...this.children.values()].every((c) => c.ended), 20_000);
    rmSync(this.data, { recursive: true, force: true });
  }
}
