// The console as it was built last, before a store's server with an older one in it: for work on the console without
// building the server each time (`LINEFREE_DIST=1 node test/run.mjs`).

import { existsSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { extname, join } from "node:path";
import { root } from "./store.mjs";

const KINDS = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".webmanifest": "application/manifest+json" };
// As the server says it.
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export async function before(console_, again) {
  // A server that comes back where it was has its page before it still.
  if (again) return again;
  const at = new URL(console_);
  const server = createServer(async (asked, answer) => {
    const path = asked.url.split("?")[0];
    const there = await new Promise((done) => {
      const probe = connect(at.port, at.hostname, () => { probe.destroy(); done(true); }).on("error", () => done(false));
    });
    if (!there) return answer.destroy();
    const file = join(root, "console/dist", path === "/" ? "index.html" : path);
    if (asked.method === "GET" && !path.startsWith("/api") && existsSync(file)) {
      answer.writeHead(200, { "Content-Type": KINDS[extname(file)] ?? "text/plain", "Content-Security-Policy": POLICY });
      answer.end(readFileSync(file));
      return;
    }
    const on = request({ host: at.hostname, port: at.port, path: asked.url, method: asked.method, headers: asked.headers }, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    on.on("error", () => answer.destroy());
    answer.on("close", () => on.destroy());
    asked.pipe(on);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  server.unref();
  return `http://127.0.0.1:${server.address().port}/`;
}
