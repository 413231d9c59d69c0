import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { sight } from "../alerts";
import { type CalibrationFigure, get, type Point, type StoreMap } from "../api";
import { Panel, Table } from "../parts";
import { devices, map, stats } from "../state";
import { type Key, number, t } from "../words";

const inside = ([x, y]: Point, polygon: Point[]) => {
  let is = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [a, b] = [polygon[i]!, polygon[j]!];
    if (a[1] > y !== b[1] > y && x < ((b[0] - a[0]) * (y - a[1])) / (b[1] - a[1]) + a[0]) is = !is;
  }
  return is;
};

interface Cells { x0: number; y0: number; step: number; rows: (number | null)[][]; one: number; two: number; by: Map<string, number> }

/** How many cameras see each cell of the floor. */
function coverage(store: StoreMap): Cells {
  const xs = store.floor.map((p) => p[0]);
  const ys = store.floor.map((p) => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const step = Math.max((x1 - x0) / 90, (y1 - y0) / 60, 0.02);
  const rows: (number | null)[][] = [];
  const by = new Map<string, number>();
  let [all, one, two] = [0, 0, 0];
  for (let y = y1 - step / 2; y > y0; y -= step) {
    const row: (number | null)[] = [];
    for (let x = x0 + step / 2; x < x1; x += step) {
      if (!inside([x, y], store.floor)) {
        row.push(null);
        continue;
      }
      const seen = store.cameras.filter((c) => inside([x, y], c.footprint));
      for (const c of seen) by.set(c.id, (by.get(c.id) ?? 0) + 1);
      all++;
      if (seen.length) one++;
      if (seen.length > 1) two++;
      row.push(seen.length);
    }
    rows.push(row);
  }
  for (const [id, n] of by) by.set(id, n / Math.max(1, all));
  return { x0, y0: y1, step, rows, one: one / Math.max(1, all), two: two / Math.max(1, all), by };
}

function Heat({ cells, store }: { cells: Cells; store: StoreMap }) {
  const on = ([x, y]: Point) => `${((x - cells.x0) / cells.step).toFixed(2)},${((cells.y0 - y) / cells.step).toFixed(2)}`;
  const [wide, high] = [cells.rows[0]?.length ?? 1, cells.rows.length];
  return (
    <svg class="heat" viewBox={`0 0 ${wide} ${high}`} role="img" aria-label={t("ops.coverage")} shape-rendering="crispEdges">
      {cells.rows.flatMap((row, y) => row.map((n, x) => (n === null ? null : <rect key={`${x},${y}`} x={x} y={y} width={1.02} height={1.02} class={`seen-${Math.min(3, n)}`} />)))}
      {store.gondolas.map((g) => <polygon key={g.id} points={g.outline.map(on).join(" ")} shape-rendering="auto" />)}
    </svg>
  );
}

export function OpsPage() {
  const store = map.value;
  const cells = useRef<{ of: StoreMap; cells: Cells } | null>(null);
  if (store && cells.current?.of !== store) cells.current = { of: store, cells: coverage(store) };
  const seen = cells.current?.cells;
  const versions = new Map<string, string[]>();
  for (const d of devices.value.devices) versions.set(d.version, [...(versions.get(d.version) ?? []), d.source]);
  const s = stats.value;
  return (
    <div class="two wide-first">
      <div class="stack">
        <Panel title={t("ops.coverage")}>
          {seen && (
            <>
              <Heat cells={seen} store={store!} />
              <p class="legend">
                <span class="key seen-0" /> {t("ops.blind")} <span class="key seen-1" /> 1 <span class="key seen-2" /> 2 <span class="key seen-3" /> {t("ops.seen", { n: 3 })}
              </p>
              <p>{t("ops.coverageText", { p: Math.round(seen.one * 100), q: Math.round(seen.two * 100) })}</p>
              <Sight store={store!} seen={seen} />
            </>
          )}
        </Panel>
      </div>
      <div class="stack">
        <Panel title={t("ops.health")} aside={s && (s.troubles.length || !s.bus_ok || !s.ledger_ok) ? <span class="chip bad">{t("ops.unwell")}</span> : <span class="chip ok">{t("ops.well")}</span>}>
          <ul class="plain">
            {s?.troubles.map((w) => <li key={w}><b class="flag">{w}</b></li>)}
            <li>{t("devices.ledger")}: {number(s?.ledger_seq ?? 0)}</li>
            <li>{!s?.outbox ? t("ops.noCloud") : s.outbox.lag ? t("ops.waiting", { n: s.outbox.lag }) : t("ops.delivered")}</li>
          </ul>
        </Panel>
        <Panel title={t("ops.versions")}>
          <ul class="plain">{[...versions].map(([v, who]) => <li key={v}><b>{v}</b>: {who.join(", ")}</li>)}</ul>
        </Panel>
      </div>
    </div>
  );
}

/** How well each camera sees, by its own account and by its calibration's. */
function Sight({ store, seen }: { store: StoreMap; seen: Cells }) {
  const figures = useSignal<CalibrationFigure[]>([]);
  useEffect(() => void get<CalibrationFigure[]>("/api/calibration").then((f) => (figures.value = f), () => {}), []);
  const told = new Map(devices.value.devices.map((d) => [d.source, sight(d.counters)]));
  const quality = (id: string) => {
    const own = figures.value.filter((f) => f.of === id);
    if (!own.length) return <span class="when">{t("ops.noFigure")}</span>;
    return <span class="quality">{own.map((f) => <Figure key={f.key} figure={f} />)}</span>;
  };
  const shelves = figures.value.filter((f) => f.key === "rms_g");
  return (
    <>
      <Table caption={t("ops.cameras")} head={[t("ops.camera"), t("ops.calibrated"), t("ops.quality"), t("ops.focus"), t("ops.views")]}
        rows={store.cameras.map((c) => {
          const now = told.get(c.id);
          return {
            key: c.id,
            cells: [c.id, c.position ? t("ops.pose") : t("ops.homography"), quality(c.id),
              !now ? <span class="when">{t("ops.notTold")}</span> : now.words ? <b class="flag">{t(now.words)}</b> : <span class="ok">{t("ops.sharp", { p: now.sharp })}</span>,
              `${Math.round((seen.by.get(c.id) ?? 0) * 100)} %`],
          };
        })} />
      {shelves.length > 0 && (
        <Table caption={t("ops.shelves")} head={[t("ops.shelf"), t("ops.quality")]} rows={shelves.map((f) => ({ key: f.of, cells: [f.of, <Figure figure={f} />] }))} />
      )}
    </>
  );
}

/** A figure beside its limit: the nearer, the worse. */
function Figure({ figure: f }: { figure: CalibrationFigure }) {
  const part = Math.min(1, f.value / f.limit);
  return (
    <span class={`odds${part > 0.7 ? " low" : ""}`} title={t("ops.limit", { n: number(f.limit) })}>
      <span>{t(`quality.${f.key}` as Key)}</span>
      <meter min={0} max={1} value={part} aria-hidden="true" />
      <span>{fine(f.value)}</span>
    </span>
  );
}

const fine = (n: number) => (n >= 1 ? number(n) : n.toPrecision(2));
