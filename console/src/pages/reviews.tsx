// One doubt at a time: the odds, the evidence, an answer by one key, and ten seconds to take it back.

import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type Doubt, type Held, type Point, post, type Review } from "../api";
import { FloorMap } from "../map/view";
import { Empty, attempt, Odds, Panel, short, who } from "../parts";
import { map, products, readReviews, reviews, toast } from "../state";
import { money, number, percent, t, time } from "../words";

const idOf = (r: { visit: string; sku: string }) => `${r.visit}\n${r.sku}`;

export function ReviewsPage() {
  const chosen = useSignal<string | null>(null);
  const last = useSignal<Held | null>(null);
  const second = useSignal(Date.now());
  const waiting = useComputed(() => reviews.value.filter((r) => !r.held));
  const shown = waiting.value.find((r) => idOf(r) === chosen.value) ?? waiting.value[0];
  const heading = useRef<HTMLHeadingElement>(null);

  useEffect(() => {
    const timer = setInterval(() => (second.value = Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const left = last.value ? Math.ceil(last.value.due_us / 1e6 - second.value / 1000) : 0;
  useEffect(() => {
    if (last.value && left <= 0) {
      last.value = null;
      void readReviews();
    }
  }, [left]);

  const answer = (review: Review, quantity: number) =>
    attempt(async () => {
      const place = waiting.value.indexOf(review);
      const next = waiting.value[place + 1] ?? waiting.value[place - 1];
      const held = await post<Held>("/api/reviews/answer", { visit: review.visit, sku: review.sku, quantity });
      last.value = held;
      reviews.value = reviews.value.map((r) => (idOf(r) === idOf(review) ? { ...r, held } : r));
      chosen.value = next ? idOf(next) : null;
      heading.current?.focus();
    });
  const undo = () =>
    attempt(async () => {
      const held = last.value;
      if (!held) return;
      await post("/api/reviews/undo", { visit: held.visit, sku: held.sku });
      last.value = null;
      reviews.value = reviews.value.map((r) => (idOf(r) === idOf(held) ? { ...r, held: null } : r));
      chosen.value = idOf(held);
      toast.value = { words: t("review.undone") };
    });
  const step = (by: number) => {
    const i = waiting.value.findIndex((r) => r === shown);
    const next = waiting.value[Math.min(waiting.value.length - 1, Math.max(0, i + by))];
    if (next) chosen.value = idOf(next);
  };

  useEffect(() => {
    const pressed = (e: KeyboardEvent) => {
      if (e.ctrlKey || e.metaKey || e.altKey || (e.target as Element).matches("input, textarea, select")) return;
      if (/^[0-9]$/.test(e.key) && shown && Number(e.key) <= shown.quantity) void answer(shown, Number(e.key));
      else if (e.key === "u" || e.key === "U") void undo();
      else if (e.key === "ArrowDown" || e.key === "j") step(1);
      else if (e.key === "ArrowUp" || e.key === "k") step(-1);
      else return;
      e.preventDefault();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  });

  return (
    <div class="review-page">
      <Panel title={t("review.queue")} class="queue" aside={t("review.count", { n: waiting.value.length })}>
        <ul class="picks">
          {waiting.value.map((r) => (
            <li key={idOf(r)}>
              <button type="button" aria-current={r === shown ? "true" : undefined} onClick={() => (chosen.value = idOf(r))}>
                <span class="name">{r.quantity} × {r.name}</span>
                <span class="when">{who(r.visit)} · {time(r.left_us)}</span>
                <Odds p={r.probability} low />
              </button>
            </li>
          ))}
        </ul>
      </Panel>
      <div class="doubt">
        <div role="status" class={`held${last.value ? "" : " off"}`}>
          {last.value && (
            <>
              <span>{t("review.held", { n: last.value.quantity, s: Math.max(0, left) })}</span>
              <button type="button" onClick={() => void undo()}>{t("review.undo")} <kbd>U</kbd></button>
            </>
          )}
        </div>
        {shown ? (
          <section class="panel" aria-labelledby="ask">
            <h2 id="ask" ref={heading} tabIndex={-1}>{t("review.ask", { name: shown.name, who: who(shown.visit) })}</h2>
            <p class="lead">
              {t("review.maybe", { n: shown.quantity, p: percent(shown.probability) })} {money(shown.unit_price_minor)} · {time(shown.left_us)}
            </p>
            <div class="answers">
              {Array.from({ length: shown.quantity + 1 }, (_, n) => (
                <button type="button" key={n} class={n ? "primary" : ""} onClick={() => void answer(shown, n)}>
                  <kbd>{n}</kbd> {n ? `${t("review.pays", { n })} · ${money(n * shown.unit_price_minor)}` : t("review.nothing")}
                </button>
              ))}
            </div>
            <p class="keys">{t("review.keys", { digits: `0–${Math.min(9, shown.quantity)}` })}</p>
            {shown.evidence.map((d, i) => (
              <Event key={`${d.source}${d.seq}`} doubt={d} review={shown} n={i + 1} of={shown.evidence.length} />
            ))}
          </section>
        ) : (
          <section class="panel"><Empty icon="reviews" words={t("review.none")} /></section>
        )}
      </div>
    </div>
  );
}

function Event({ doubt, review, n, of }: { doubt: Doubt; review: Review; n: number; of: number }) {
  const shelf = doubt.shelf;
  return (
    <section class="event" aria-label={t("review.event", { n, of })}>
      <h3>
        {t("review.event", { n, of })}
        {shelf && <span class="when">{t("review.at", { time: time(shelf.end_us), plate: doubt.plate ?? "?", g: number(shelf.delta_g) })} ± {number(shelf.sd_g)}</span>}
      </h3>
      <div class="evidence">
        <table>
          <thead>
            <tr><th scope="col">{t("review.who")}</th><th scope="col">{t("review.what")}</th><th scope="col">{t("review.odds")}</th></tr>
          </thead>
          <tbody>
            {doubt.candidates.filter((c, i) => i === 0 || c.probability >= 0.005).slice(0, 8).map((c, i) => (
              <tr key={i} class={c.visit === review.visit && c.sku === review.sku ? "this" : ""}>
                <th scope="row">{c.visit === review.visit ? `${who(c.visit)} (${t("review.this")})` : who(c.visit)}</th>
                <td>{c.sku ? `${Math.abs(c.quantity)} × ${products.value.get(c.sku)?.name ?? c.sku}${c.quantity < 0 ? `, ${t("review.back")}` : ""}` : t("review.nothingHappened")}</td>
                <td><Odds p={c.probability} low={c.probability < 0.5} /></td>
              </tr>
            ))}
          </tbody>
        </table>
        <div class="stack">
        <figure>
          <figcaption>{t("review.curve", { plate: doubt.plate ?? "?" })}</figcaption>
          <Curve doubt={doubt} />
        </figure>
        <figure>
          <figcaption>{doubt.positions.length ? t("review.places") : t("review.placesGone")}</figcaption>
          {map.value && doubt.positions.length > 0 && <Places doubt={doubt} />}
        </figure>
        </div>
      </div>
    </section>
  );
}

const STILL = { trails: false, views: false, names: true };

function Places({ doubt }: { doubt: Doubt }) {
  const key = `${doubt.source}/${doubt.seq}`;
  const still = useRef({ key: "", shoppers: doubt.positions, only: new Set<string>(), focus: null as Point | null });
  if (still.current.key !== key) {
    still.current = { key, shoppers: doubt.positions, only: new Set(doubt.candidates.flatMap((c) => c.visit ?? [])), focus: map.value?.plates.find((p) => p.id === doubt.plate)?.corners[0] ?? null };
  }
  return <div class="places"><FloorMap map={map.value!} shown={STILL} still={still.current} /></div>;
}

/** The plate's weight as steps: flat, a slope while hands are there, flat again, with its standard deviation. */
function Curve({ doubt }: { doubt: Doubt }) {
  const shelf = doubt.shelf;
  if (!shelf || doubt.steps.length === 0) return null;
  const [from, to] = [shelf.start_us - 60e6, shelf.end_us + 60e6];
  const [wide, high] = [320, 130];
  let level = 0;
  const points: [number, number][] = [[from, 0]];
  for (const s of doubt.steps) {
    points.push([Math.max(from, s.start_us), level]);
    level += s.delta_g;
    points.push([s.end_us, level]);
  }
  points.push([to, level]);
  const levels = points.map((p) => p[1]);
  const [least, most] = [Math.min(...levels), Math.max(...levels)];
  const x = (us: number) => 44 + ((us - from) / (to - from)) * (wide - 50);
  const y = (g: number) => 12 + ((most - g) / Math.max(1, most - least)) * (high - 34);
  return (
    <svg class="curve" viewBox={`0 0 ${wide} ${high}`} role="img" aria-label={`${short(doubt.plate ?? "")}: ${number(shelf.delta_g)} g`}>
      <rect class="now" x={x(shelf.start_us)} width={Math.max(2, x(shelf.end_us) - x(shelf.start_us))} y={4} height={high - 24} />
      {[least, most].map((g) => (
        <g key={g}>
          <line class="rule" x1={44} x2={wide - 6} y1={y(g)} y2={y(g)} />
          <text x={40} y={y(g) + 4} text-anchor="end">{number(Math.round(g))}</text>
        </g>
      ))}
      <path class="weight" d={points.map(([us, g], i) => `${i ? "L" : "M"}${x(us).toFixed(1)} ${y(g).toFixed(1)}`).join("")} />
      <text x={x(shelf.end_us)} y={high - 5} text-anchor="middle">{time(shelf.end_us)}</text>
    </svg>
  );
}
