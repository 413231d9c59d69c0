// The map as part of a page: keeps the canvas fitted and drawn, and tells in words what it shows.

import { useEffect, useRef } from "preact/hooks";
import type { Point, Robot, StoreMap } from "../api";
import { devices, type Flash, flashes, moved, names, now, past, robots, stock } from "../state";
import { language, t } from "../words";
import { Floor, type Shown } from "./draw";

const NOBODY: Robot[] = [];

export function FloorMap({ map, shown, still }: { map: StoreMap; shown: Shown; still?: { shoppers: typeof now.shoppers; only: Set<string>; focus: Point | null } }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const floor = useRef<Floor | null>(null);
  useEffect(() => {
    const drawn = new Floor(canvas.current!, map);
    floor.current = drawn;
    drawn.only = still?.only ?? null;
    drawn.focus = still?.focus ?? null;
    let before = new Map<string, Flash>();
    if (!still) (globalThis as { linefreeFloor?: Floor }).linefreeFloor = drawn;
    let told = -1;
    let driven = NOBODY;
    let pastAt: number | null = null;
    let frame = 0;
    const each = (at: number) => {
      const looked = still ? { at_us: 0, what: { shoppers: still.shoppers } } : past.value;
      if (looked) {
        if (pastAt !== looked.at_us) {
          if (pastAt === null) drawn.forget();
          pastAt = looked.at_us;
          // What the shelves had felt just then, instead of what they feel now.
          const plates = still ? [] : (past.value?.what.plates ?? []);
          before = new Map(plates.map(([id, g]) => [id, { kind: g < 0 ? "lift" : "put", until: Infinity }]));
          drawn.move(looked.what.shoppers, at);
        }
      } else if (pastAt !== null || now.told !== told) {
        if (pastAt !== null) drawn.forget();
        pastAt = null;
        told = now.told;
        drawn.move(now.shoppers, at);
      }
      // Of the past nobody knows where robots were.
      const fleet = looked ? NOBODY : robots.value;
      if (fleet !== driven) {
        driven = fleet;
        drawn.drive(fleet, at);
      }
      drawn.frame(at, looked ? before : flashes);
      frame = requestAnimationFrame(each);
    };
    frame = requestAnimationFrame(each);
    const resized = new ResizeObserver(() => drawn.fit());
    resized.observe(canvas.current!);
    const theme = matchMedia("(prefers-color-scheme: dark)");
    const refit = () => drawn.fit();
    theme.addEventListener("change", refit);
    return () => {
      cancelAnimationFrame(frame);
      resized.disconnect();
      theme.removeEventListener("change", refit);
    };
  }, [map, still]);

  const faulty = devices.value.faults.filter((f) => !f.cleared).map((f) => f.device).join("\n");
  const empty = stock.value.filter((s) => s.quantity <= 0).map((s) => s.plate).join("\n");
  useEffect(() => {
    const drawn = floor.current;
    if (!drawn) return;
    drawn.shown = shown;
    drawn.names = names.value;
    drawn.faulty = new Set(faulty.split("\n"));
    drawn.empty = new Set(empty.split("\n"));
    drawn.fit();
  }, [shown.names, shown.trails, shown.views, faulty, empty, map]);
  useEffect(() => {
    if (floor.current) floor.current.names = names.value;
  }, [names.value]);

  moved.value;
  language.value;
  const seen = still?.shoppers.length ?? past.value?.what.shoppers.length ?? now.shoppers.length;
  return <canvas ref={canvas} class="map" role="img" aria-label={t("floor.map", { n: seen })} />;
}
