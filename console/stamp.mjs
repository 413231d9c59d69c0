// Writes dist/sources.sha256: the sum of everything that the built files are made from. A Rust test compares it, so that
// what is committed under dist/ is never older than its sources, on machines without node too.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const files = ["index.html", "me.html", "package-lock.json", "package.json", "tsconfig.json", "vite.config.ts"];
const walk = (folder) => {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) walk(path);
    else files.push(path);
  }
};
walk("src");
walk("public");
const sum = createHash("sha256");
for (const file of files.sort()) sum.update(`${file}\n${readFileSync(file).length}\n`).update(readFileSync(file));
writeFileSync("dist/sources.sha256", `${sum.digest("hex")}\n`);
