// The floor as SVG: drawn once from /api/store, then moved by the live stream. Metres, y up; SVG has y down, so every y
// is negated here and nowhere else.

import { byId, colourOf, short, svg } from "./dom.js";

const TRAIL_POINTS = 80;
const FLASH_MS = 1800;

const points = (list) => list.map(([x, y]) => `${x},${-y}`).join(" ");

export class FloorMap {
  constructor(root) {
    this.root = root;
    this.plates = new Map();
    this.gates = new Map();
    this.shoppers = new Map();
    this.names = new Map();
    this.unit = 0.1;
  }

  draw(store) {
    const all = [...store.floor, ...store.gates.flatMap((g) => [g.from, g.to]), ...store.gondolas.flatMap((g) => g.outline)];
    const xs = all.map((p) => p[0]);
    const ys = all.map((p) => p[1]);
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const size = Math.max(x1 - x0, y1 - y0);
    const margin = size * 0.05;
    this.unit = size / 100;
    const u = this.unit;
    this.root.setAttribute("viewBox", `${x0 - margin} ${-y1 - margin} ${x1 - x0 + 2 * margin} ${y1 - y0 + 2 * margin}`);
    this.root.replaceChildren();

    const clip = svg("clipPath", { id: "on-floor" }, svg("polygon", { points: points(store.floor) }));
    const floor = svg("g", {}, svg("polygon", { class: "floor", points: points(store.floor) }));
    const grid = svg("g", { "clip-path": "url(#on-floor)" });
    const step = size > 60 ? 10 : size > 25 ? 5 : 1;
    for (let x = Math.ceil(x0 / step) * step; x <= x1; x += step) {
      grid.append(svg("line", { class: "grid", x1: x, x2: x, y1: -y0, y2: -y1 }));
    }
    for (let y = Math.ceil(y0 / step) * step; y <= y1; y += step) {
      grid.append(svg("line", { class: "grid", x1: x0, x2: x1, y1: -y, y2: -y }));
    }
    const views = svg("g", { "clip-path": "url(#on-floor)" });
    const cameras = svg("g");
    for (const camera of store.cameras) {
      if (camera.footprint.length) views.append(svg("polygon", { class: "view", points: points(camera.footprint) }));
      if (camera.position) {
        const [x, y] = camera.position;
        cameras.append(svg("circle", { class: "camera", cx: x, cy: -y, r: u * 0.9 }, svg("title")));
        cameras.lastChild.firstChild.textContent = `camera ${camera.id}`;
      }
    }
    const shelves = svg("g");
    for (const gondola of store.gondolas) {
      if (!gondola.outline.length) continue;
      const [a, b, , d] = gondola.outline;
      shelves.append(svg("polygon", { class: "gondola", points: points(gondola.outline) }));
      shelves.append(svg("line", { class: "front", x1: a[0], y1: -a[1], x2: b[0], y2: -b[1] }));
      // The name stands beside the left end, where neither a neighbour's back nor a plate covers it.
      const along = Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
      const out = [((a[0] - b[0]) / along) * u * 2.2, ((a[1] - b[1]) / along) * u * 2.2];
      shelves.append(this.text([(a[0] + d[0]) / 2 + out[0], (a[1] + d[1]) / 2 + out[1]], gondola.id, 2.1));
    }
    const names = new Map(store.products.map((p) => [p.sku, p.name]));
    // Higher shelves hide lower ones, as seen from above.
    for (const plate of [...store.plates].sort((a, b) => a.height_m - b.height_m)) {
      const node = svg("polygon", { class: "plate", points: points(plate.corners) }, svg("title"));
      const holds = plate.skus.map((sku) => names.get(sku) ?? sku).join(", ") || "nothing planned";
      node.firstChild.textContent = `${plate.id}: ${holds}`;
      this.plates.set(plate.id, node);
      shelves.append(node);
    }
    const gates = svg("g");
    for (const gate of store.gates) {
      const node = svg("line", { class: "gate", x1: gate.from[0], y1: -gate.from[1], x2: gate.to[0], y2: -gate.to[1] });
      this.gates.set(gate.id, node);
      const [mx, my] = [(gate.from[0] + gate.to[0]) / 2, (gate.from[1] + gate.to[1]) / 2];
      const [cx, cy] = [(x0 + x1) / 2, (y0 + y1) / 2];
      const far = Math.hypot(cx - mx, cy - my) || 1;
      gates.append(node, this.text([mx + ((cx - mx) / far) * u * 3, my + ((cy - my) / far) * u * 3], gate.id, 2.1));
    }
    this.trails = svg("g");
    this.people = svg("g");
    this.root.append(svg("defs", {}, clip), floor, grid, views, shelves, gates, cameras, this.trails, this.people);
  }

  text([x, y], words, size) {
    const node = svg("text", { class: "label", x, y: -y, "font-size": size * this.unit });
    node.textContent = short(words, 18);
    return node;
  }

  /** What to call a visit. */
  name(visit, words) {
    this.names.set(visit, words);
    for (const [key, known] of this.shoppers) if (known.visit === visit) this.label(key, known);
  }

  label(key, known) {
    known.label.textContent = short(this.names.get(known.visit) || known.visit || `#${key}`, 14);
  }

  move(message) {
    const present = new Set();
    for (const shopper of message.shoppers) {
      const key = shopper.shopper;
      present.add(key);
      const colour = colourOf(key);
      let known = this.shoppers.get(key);
      if (!known) {
        const r = this.unit * 1.25;
        const sure = svg("circle", { class: "sure", fill: colour, stroke: colour, r });
        const dot = svg("circle", { class: "dot", fill: colour, r });
        const label = svg("text", { y: -this.unit * 2.6, "font-size": this.unit * 2.3, fill: colour });
        const node = svg("g", { class: "shopper" }, sure, dot, label);
        const trail = svg("polyline", { class: "trail", stroke: colour });
        this.trails.append(trail);
        this.people.append(node);
        known = { node, sure, label, trail, path: [] };
        this.shoppers.set(key, known);
      }
      const [x, y] = shopper.at;
      known.node.style.transform = `translate(${x}px, ${-y}px)`;
      known.sure.setAttribute("r", Math.max(shopper.radius_m, this.unit * 1.25));
      known.visit = shopper.visit;
      this.label(key, known);
      known.path.push([x, y]);
      if (known.path.length > TRAIL_POINTS) known.path.shift();
      known.trail.setAttribute("points", points(known.path));
    }
    for (const [key, known] of this.shoppers) {
      if (present.has(key)) continue;
      known.node.remove();
      known.trail.remove();
      this.shoppers.delete(key);
    }
    const n = present.size;
    byId("map-count").textContent = n === 0 ? "nobody in sight" : n === 1 ? "1 shopper" : `${n} shoppers`;
  }

  flash(node, name) {
    if (!node) return;
    node.classList.remove("lift", "put");
    node.classList.add(name);
    setTimeout(() => node.classList.remove(name), FLASH_MS);
  }

  shelf(body) {
    for (const plate of body.plates) this.flash(this.plates.get(plate.plate), plate.delta_g < 0 ? "lift" : "put");
  }

  gate(body) {
    this.flash(this.gates.get(body.gate), "passed");
  }
}
