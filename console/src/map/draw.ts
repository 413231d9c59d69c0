// The floor on a canvas, in three layers: what never moves is drawn once, trails when positions come (ten times a
// second), dots every frame. Metres, y up; the one place where y is turned is `place`.

import type { Point, Robot, Shopper, StoreMap } from "../api";
import type { Flash } from "../state";

export interface Shown { trails: boolean; views: boolean; names: boolean }
interface Walker { from: Point; to: Point; since: number; radius: number; visit: string | null; trail: Point[]; seen: number }

/** Colours of shoppers: apart from each other for most colour-blind eyes, on light and on dark. */
const LIGHT = ["#0b6b57", "#b3420f", "#5b3fb5", "#0a66b0", "#9a1f63", "#5f6b00", "#7a4a1e", "#00717a"];
const DARK = ["#4fd1ae", "#ff9a62", "#b7a1ff", "#6fbcff", "#ff8ac4", "#cfd84a", "#e0b184", "#4ddbe6"];

const TRAIL_POINTS = 60;
/** With this many shoppers trails get shorter, so that a frame stays a frame. */
const MANY = 200;
const STEP_MS = 110;
/** Robots are asked for once a second. */
const ROBOT_STEP_MS = 1000;
const ROBOT_M = 0.6;
const AROUND_M = 4;

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Floor {
  private readonly still = document.createElement("canvas");
  private readonly trails = document.createElement("canvas");
  private readonly walkers = new Map<number, Walker>();
  private readonly robots = new Map<string, { from: Point; to: Point; since: number; told: Robot }>();
  /** Of the robots' road map. */
  private readonly nodes: Map<string, Point>;
  private readonly context: CanvasRenderingContext2D;
  private scale = 1;
  private origin: Point = [0, 0];
  private colours: Record<string, string> = {};
  private palette = LIGHT;
  private told = 0;
  shown: Shown = { trails: true, views: true, names: true };
  names = new Map<string, string>();
  faulty = new Set<string>();
  /** Plates that are empty as far as stock is known. */
  empty = new Set<string>();
  frames = 0;
  /** Only these visits are named; everybody when left out. */
  only: Set<string> | null = null;
  /** Show four metres around this place instead of the whole floor. */
  focus: Point | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly map: StoreMap,
  ) {
    this.context = canvas.getContext("2d")!;
    this.nodes = new Map(map.nodes.map((n) => [n.id, n.at]));
    this.fit();
  }

  /** The store's width over its height, for the page's layout. */
  static ratio(map: StoreMap): number {
    const [x0, x1, y0, y1] = bounds(map);
    return (x1 - x0) / Math.max(0.1, y1 - y0);
  }

  place([x, y]: Point): Point {
    return [this.origin[0] + x * this.scale, this.origin[1] - y * this.scale];
  }

  colour(shopper: number): string {
    return this.palette[shopper % this.palette.length]!;
  }

  /** Fits the store into the canvas and draws what never moves again. */
  fit() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.palette = dark ? DARK : LIGHT;
    for (const name of ["floor", "grid", "ink", "faint", "shelf", "plate", "edge", "gate", "view", "lift", "put", "doubt", "fault", "panel"]) {
      this.colours[name] = css(`--map-${name}`);
    }
    const dense = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    for (const c of [this.canvas, this.still, this.trails]) {
      c.width = Math.max(1, Math.round(width * dense));
      c.height = Math.max(1, Math.round(height * dense));
      c.getContext("2d")!.setTransform(dense, 0, 0, dense, 0, 0);
    }
    const f = this.focus;
    const [x0, x1, y0, y1] = f ? [f[0] - AROUND_M, f[0] + AROUND_M, f[1] - AROUND_M, f[1] + AROUND_M] : bounds(this.map);
    const margin = f ? 0 : 26;
    this.scale = Math.max(0.1, Math.min((width - 2 * margin) / (x1 - x0), (height - 2 * margin) / (y1 - y0)));
    this.origin = [(width - (x0 + x1) * this.scale) / 2, (height + (y0 + y1) * this.scale) / 2];
    this.drawStill();
    this.drawTrails();
  }

  private path(c: CanvasRenderingContext2D, points: Point[], close = true) {
    c.beginPath();
    points.forEach((p, i) => (i ? c.lineTo(...this.place(p)) : c.moveTo(...this.place(p))));
    if (close) c.closePath();
  }

  private drawStill() {
    const c = this.still.getContext("2d")!;
    const { map, colours } = this;
    c.clearRect(0, 0, this.still.width, this.still.height);
    c.lineJoin = "round";
    this.path(c, map.floor);
    c.fillStyle = colours.floor!;
    c.fill();
    c.save();
    c.clip();
    const [x0, x1, y0, y1] = bounds(map);
    const step = x1 - x0 > 25 ? 5 : 1;
    c.strokeStyle = colours.grid!;
    c.lineWidth = 1;
    c.beginPath();
    for (let x = Math.ceil(x0 / step) * step; x <= x1; x += step) {
      c.moveTo(...this.place([x, y0]));
      c.lineTo(...this.place([x, y1]));
    }
    for (let y = Math.ceil(y0 / step) * step; y <= y1; y += step) {
      c.moveTo(...this.place([x0, y]));
      c.lineTo(...this.place([x1, y]));
    }
    c.stroke();
    if (this.shown.views) {
      for (const camera of map.cameras) {
        if (!camera.footprint.length) continue;
        this.path(c, camera.footprint);
        c.fillStyle = colours.view!;
        c.globalAlpha = 0.14;
        c.fill();
        c.globalAlpha = 0.7;
        c.setLineDash([5, 5]);
        c.strokeStyle = colours.view!;
        c.stroke();
        c.setLineDash([]);
        c.globalAlpha = 1;
      }
    }
    c.restore();
    this.path(c, map.floor);
    c.strokeStyle = colours.edge!;
    c.lineWidth = 1.5;
    c.stroke();
    c.strokeStyle = colours.grid!;
    c.lineWidth = 4;
    c.beginPath();
    for (const [from, to] of map.ways) {
      c.moveTo(...this.place(from));
      c.lineTo(...this.place(to));
    }
    c.stroke();
    c.strokeStyle = colours.edge!;
    c.lineWidth = 1.5;
    for (const gondola of map.gondolas) {
      if (!gondola.outline.length) continue;
      this.path(c, gondola.outline);
      c.fillStyle = colours.shelf!;
      c.fill();
      c.strokeStyle = colours.edge!;
      c.stroke();
    }
    for (const plate of [...map.plates].sort((a, b) => a.height_m - b.height_m)) {
      this.path(c, plate.corners);
      c.fillStyle = this.faulty.has(plate.id) ? colours.fault! : colours.plate!;
      c.fill();
      c.strokeStyle = this.empty.has(plate.id) ? colours.fault! : colours.edge!;
      c.lineWidth = this.empty.has(plate.id) ? 2 : 0.6;
      c.stroke();
    }
    c.font = "12px system-ui, sans-serif";
    c.textAlign = "center";
    c.textBaseline = "middle";
    for (const gate of map.gates) {
      this.path(c, [gate.from, gate.to], false);
      c.strokeStyle = colours.gate!;
      c.lineWidth = 5;
      c.lineCap = "round";
      c.stroke();
      c.lineCap = "butt";
    }
    const taken: [number, number, number, number][] = [];
    const write = (words: string, at: Point, out: Point) => {
      const [x, y] = this.place(at);
      const wide = c.measureText(words).width + 6;
      const far = Math.hypot(out[0], out[1]) || 1;
      const [cx, cy] = [x + (out[0] / far) * (14 + wide / 3), y - (out[1] / far) * 15];
      const box: [number, number, number, number] = [cx - wide / 2, cy - 8, cx + wide / 2, cy + 8];
      // A name that would cover another is left out; the tables below name everything.
      if (taken.some((o) => o[0] < box[2] && box[0] < o[2] && o[1] < box[3] && box[1] < o[3])) return;
      taken.push(box);
      c.lineWidth = 3;
      c.strokeStyle = colours.panel!;
      c.strokeText(words, cx, cy);
      c.fillStyle = colours.ink!;
      c.fillText(words, cx, cy);
    };
    for (const gondola of map.gondolas) {
      if (!gondola.outline.length) continue;
      // Beside its left end, where neither a neighbour nor a plate is covered.
      const [a, b, , d] = gondola.outline as [Point, Point, Point, Point];
      write(gondola.id, middle([a, d]), [a[0] - b[0], a[1] - b[1]]);
    }
    const centre = middle(map.floor);
    for (const gate of map.gates) {
      const at = middle([gate.from, gate.to]);
      write(gate.id, at, [at[0] - centre[0], at[1] - centre[1]]);
    }
    for (const camera of map.cameras) {
      if (!camera.position) continue;
      const [x, y] = this.place([camera.position[0], camera.position[1]]);
      c.fillStyle = colours.view!;
      c.beginPath();
      c.arc(x, y, 5, 0, 7);
      c.fill();
      c.strokeStyle = colours.panel!;
      c.lineWidth = 1.5;
      c.stroke();
    }
  }

  /** Takes everybody's place. */
  move(shoppers: Shopper[], at: number, jump = false) {
    this.told++;
    for (const s of shoppers) {
      const known = this.walkers.get(s.shopper);
      if (known && !jump) {
        known.from = this.between(known, at);
        known.to = s.at;
        known.since = at;
        known.radius = s.radius_m;
        known.visit = s.visit;
        known.seen = this.told;
        known.trail.push(s.at);
        const most = this.walkers.size > MANY ? 12 : TRAIL_POINTS;
        if (known.trail.length > most) known.trail.splice(0, known.trail.length - most);
      } else {
        this.walkers.set(s.shopper, {
          from: s.at, to: s.at, since: at, radius: s.radius_m, visit: s.visit, seen: this.told,
          trail: jump && known ? known.trail : [s.at],
        });
      }
    }
    for (const [n, w] of this.walkers) if (w.seen !== this.told) this.walkers.delete(n);
    this.drawTrails();
  }

  /** Takes every robot's place and way. */
  drive(robots: Robot[], at: number) {
    const there = new Set<string>();
    for (const robot of robots) {
      if (!robot.at) continue;
      there.add(robot.robot);
      const known = this.robots.get(robot.robot);
      this.robots.set(robot.robot, { from: known ? this.on(known, at) : robot.at, to: robot.at, since: at, told: robot });
    }
    for (const name of this.robots.keys()) if (!there.has(name)) this.robots.delete(name);
  }

  private on(r: { from: Point; to: Point; since: number }, at: number): Point {
    const part = Math.min(1, (at - r.since) / ROBOT_STEP_MS);
    return [r.from[0] + (r.to[0] - r.from[0]) * part, r.from[1] + (r.to[1] - r.from[1]) * part];
  }

  /** Robots as squares, so that nobody takes them for shoppers: their base as a line, their horizon as dots. */
  private drawRobots(at: number): boolean {
    const c = this.context;
    let moving = false;
    const half = Math.max(6, (ROBOT_M / 2) * this.scale);
    for (const robot of this.robots.values()) {
      const here = this.on(robot, at);
      moving ||= at - robot.since < ROBOT_STEP_MS;
      const way = (ids: string[]) => ids.map((id) => this.nodes.get(id)).filter((p): p is Point => !!p);
      const base = [here, ...way(robot.told.base)];
      c.strokeStyle = this.colours.gate!;
      c.lineWidth = 3;
      c.lineJoin = "round";
      if (base.length > 1) {
        this.path(c, base, false);
        c.stroke();
      }
      const rest = [base[base.length - 1]!, ...way(robot.told.horizon)];
      if (rest.length > 1) {
        c.setLineDash([3, 6]);
        this.path(c, rest, false);
        c.stroke();
        c.setLineDash([]);
      }
      const [x, y] = this.place(here);
      c.beginPath();
      c.roundRect(x - half, y - half, 2 * half, 2 * half, half / 3);
      c.fillStyle = robot.told.notice || robot.told.unfit || !robot.told.online ? this.colours.fault! : this.colours.gate!;
      c.fill();
      c.strokeStyle = this.colours.panel!;
      c.lineWidth = 2;
      c.stroke();
      if (!this.shown.names) continue;
      const words = robot.told.robot.split("/").pop()!;
      c.font = "600 12px system-ui, sans-serif";
      c.textAlign = "center";
      c.textBaseline = "alphabetic";
      c.lineWidth = 3.5;
      c.strokeText(words, x, y - half - 5);
      c.fillStyle = this.colours.ink!;
      c.fillText(words, x, y - half - 5);
    }
    return moving;
  }

  /** Forgets every trail: for a jump in time. */
  forget() {
    this.walkers.clear();
  }

  private between(w: Walker, at: number): Point {
    const part = Math.min(1, (at - w.since) / STEP_MS);
    return [w.from[0] + (w.to[0] - w.from[0]) * part, w.from[1] + (w.to[1] - w.from[1]) * part];
  }

  private drawTrails() {
    const c = this.trails.getContext("2d")!;
    c.clearRect(0, 0, this.trails.width, this.trails.height);
    if (!this.shown.trails) return;
    c.lineWidth = 2;
    c.globalAlpha = 0.45;
    c.lineJoin = "round";
    // One path a colour, not one a shopper: strokes are what costs.
    this.palette.forEach((colour, i) => {
      c.beginPath();
      for (const [n, w] of this.walkers) {
        if (n % this.palette.length !== i) continue;
        w.trail.forEach((p, k) => (k ? c.lineTo(...this.place(p)) : c.moveTo(...this.place(p))));
      }
      c.strokeStyle = colour;
      c.stroke();
    });
    c.globalAlpha = 1;
  }

  /** One frame. True while something still moves. */
  frame(at: number, flashes: Map<string, Flash>): boolean {
    const c = this.context;
    this.frames++;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    c.clearRect(0, 0, width, height);
    c.drawImage(this.still, 0, 0, width, height);
    let moving = this.drawFlashes(at, flashes);
    c.drawImage(this.trails, 0, 0, width, height);
    const many = this.walkers.size > MANY;
    const r = many ? 3.5 : 6;
    const places = new Map<number, Point>();
    for (const [n, w] of this.walkers) {
      places.set(n, this.place(this.between(w, at)));
      moving ||= at - w.since < STEP_MS;
    }
    this.palette.forEach((colour, i) => {
      const circles = new Path2D();
      const dots = new Path2D();
      for (const [n, [x, y]] of places) {
        if (n % this.palette.length !== i) continue;
        const sure = Math.max(r, this.walkers.get(n)!.radius * this.scale);
        circles.moveTo(x + sure, y);
        circles.arc(x, y, sure, 0, 7);
        dots.moveTo(x + r, y);
        dots.arc(x, y, r, 0, 7);
      }
      c.fillStyle = colour;
      c.globalAlpha = 0.16;
      c.fill(circles);
      c.globalAlpha = 1;
      c.fill(dots);
      c.strokeStyle = this.colours.panel!;
      c.lineWidth = 1.5;
      if (!many) c.stroke(dots);
    });
    moving = this.drawRobots(at) || moving;
    if (this.shown.names && !many) {
      c.font = "600 12px system-ui, sans-serif";
      c.textAlign = "center";
      c.textBaseline = "alphabetic";
      for (const [n, [x, y]] of places) {
        const visit = this.walkers.get(n)!.visit;
        if (this.only && !(visit && this.only.has(visit))) continue;
        const words = (visit && this.names.get(visit)) || `#${n}`;
        c.lineWidth = 3.5;
        c.strokeStyle = this.colours.panel!;
        c.strokeText(words, x, y - 11);
        c.fillStyle = this.colours.ink!;
        c.fillText(words, x, y - 11);
      }
    }
    return moving;
  }

  private drawFlashes(at: number, flashes: Map<string, Flash>): boolean {
    const c = this.context;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    for (const [id, flash] of flashes) {
      if (at > flash.until) {
        flashes.delete(id);
        continue;
      }
      const gate = flash.kind === "gate" ? this.map.gates.find((g) => g.id === id) : undefined;
      const plate = gate ? undefined : this.map.plates.find((p) => p.id === id);
      const points: Point[] = gate ? [gate.from, gate.to] : (plate?.corners ?? []);
      if (!points.length) continue;
      c.globalAlpha = calm || flash.kind !== "doubt" ? 1 : 0.55 + 0.45 * Math.cos(at / 90);
      this.path(c, points, !gate);
      c.fillStyle = c.strokeStyle = this.colours[flash.kind] ?? this.colours.gate!;
      if (!gate) c.fill();
      c.lineWidth = gate ? 9 : 4;
      c.stroke();
      if (flash.kind === "doubt") {
        const [x, y] = this.place(middle(points));
        c.globalAlpha = 1;
        c.font = "700 15px system-ui, sans-serif";
        c.textAlign = "center";
        c.lineWidth = 4;
        c.strokeStyle = this.colours.panel!;
        c.strokeText("?", x, y + 5);
        c.fillStyle = this.colours.ink!;
        c.fillText("?", x, y + 5);
      }
      c.globalAlpha = 1;
    }
    return flashes.size > 0;
  }
}

const middle = (points: Point[]): Point => [
  points.reduce((s, p) => s + p[0], 0) / points.length,
  points.reduce((s, p) => s + p[1], 0) / points.length,
];

function bounds(map: StoreMap): [number, number, number, number] {
  const all = [...map.floor, ...map.gates.flatMap((g) => [g.from, g.to]), ...map.gondolas.flatMap((g) => g.outline)];
  const xs = all.map((p) => p[0]);
  const ys = all.map((p) => p[1]);
  return [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
}
