// Small parts that several pages use.

import type { ComponentChildren } from "preact";
import { cost, type Line, type PriceChange } from "./api";
import { Refused } from "./api";
import { Icon, type IconName } from "./icons";
import { names, toast } from "./state";
import { type Key, money, number, percent, t } from "./words";

export function Panel(props: { title: string; aside?: ComponentChildren; class?: string; children: ComponentChildren; id?: string }) {
  const id = props.id ?? `p-${props.title.replace(/\W+/g, "-")}`;
  return (
    <section class={`panel ${props.class ?? ""}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{props.title}</h2>
        {props.aside !== undefined && <div class="aside">{props.aside}</div>}
      </header>
      {props.children}
    </section>
  );
}

/** What a list says while it has nothing. */
export function Empty({ icon, words }: { icon: IconName; words: string }) {
  return (
    <div class="nothing">
      <Icon name={icon} />
      <p>{words}</p>
    </div>
  );
}

/** A probability as a bar and a number. */
export function Odds({ p, low }: { p: number; low?: boolean }) {
  return (
    <span class={`odds${low ? " low" : ""}`}>
      <meter min={0} max={1} value={p} aria-hidden="true" />
      <span>{percent(p)} %</span>
    </span>
  );
}

export function Lines({ lines }: { lines: Line[] }) {
  return (
    <ul class="lines">
      {lines.map((l) => (
        <li key={l.sku} class={l.review ? "review" : ""}>
          <span class="count">{l.quantity} ×</span>
          <span class="name" title={l.sku}>
            {l.name}
            {l.review && <span class="flag">{t("line.review")}</span>}
          </span>
          <span class="price">{money(cost(l))}</span>
          <Odds p={l.probability} low={l.review} />
        </li>
      ))}
    </ul>
  );
}

/** How a price came about, rule by rule; nothing where it is quantity times unit price. */
export function Explained({ changes }: { changes?: PriceChange[] }) {
  if (!changes || changes.length < 2) return null;
  return (
    <ul class="explained">
      {changes.map((c, i) => (
        <li key={i}>
          <span>{t(`price.${c.rule}` as Key, { name: c.name ?? "", n: c.rule === "tax" ? number((c.count ?? 0) / 100) : (c.count ?? "") })}</span>
          <span class="num">{money(c.change_minor)}</span>
        </li>
      ))}
    </ul>
  );
}

/** A table that scrolls in itself on narrow screens. */
export function Table(props: { caption: string; head: ComponentChildren[]; rows: { key: string; cells: ComponentChildren[] }[] }) {
  return (
    <div class="scroll" role="group" aria-label={props.caption} tabIndex={0}>
      <table>
        <caption class="unseen">{props.caption}</caption>
        <thead>
          <tr>
            {props.head.map((h, i) => (
              <th key={i} scope="col">{h}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((r) => (
            <tr key={r.key}>
              {r.cells.map((c, i) => (i ? <td key={i}>{c}</td> : <th key={i} scope="row">{c}</th>))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export const who = (visit: string | null, credential?: string | null) =>
  credential ?? (visit ? (names.value.get(visit) ?? short(visit)) : t("review.nobody"));

/** Cut in the middle: the ends of ids tell them apart. */
export const short = (text: string, most = 18) =>
  text.length <= most ? text : `${text.slice(0, Math.ceil(most / 2) - 1)}…${text.slice(-Math.floor(most / 2))}`;

/** Does something and tells when it was refused. */
export async function attempt(act: () => Promise<void>) {
  try {
    await act();
  } catch (error) {
    toast.value = { words: error instanceof Refused ? error.message : String(error) };
  }
}

/** Two amounts as one bar in a table, where their numbers stand beside it. */
export function Bar({ first, second, most }: { first: number; second: number; most: number }) {
  return (
    <svg class="inline-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect class="bar" width={(first / most) * 100} height={10} />
      <rect class="bar second" width={(second / most) * 100} y={6} height={4} />
    </svg>
  );
}

/** A bar chart with its numbers as text for those who do not see it: the table beside it. */
export function Bars({ title, bars }: { title: string; bars: { name: string; values: [number, number?] }[] }) {
  const most = Math.max(1, ...bars.map((b) => b.values[0] + (b.values[1] ?? 0)));
  const high = 150;
  const wide = Math.max(1, bars.length) * 26;
  return (
    <svg class="bars" viewBox={`0 0 ${Math.max(wide, 160)} ${high + 8}`} role="img" aria-label={title} preserveAspectRatio="xMinYMax meet">
      {[0.25, 0.5, 0.75, 1].map((f) => (
        <line key={f} class="rule" x1={0} x2={Math.max(wide, 160)} y1={high - f * (high - 10)} y2={high - f * (high - 10)} />
      ))}
      {bars.map((b, i) => {
        const first = (b.values[0] / most) * (high - 10);
        const second = ((b.values[1] ?? 0) / most) * (high - 10);
        return (
          <g key={b.name}>
            <title>{`${b.name}: ${b.values.filter((v) => v !== undefined).join(" / ")}`}</title>
            <rect class="bar" x={i * 26 + 4} width={18} y={high - first} height={first} rx={2} />
            {second > 0 && <rect class="bar second" x={i * 26 + 4} width={18} y={high - first - second} height={second} rx={2} />}
          </g>
        );
      })}
      <line class="base" x1={0} x2={Math.max(wide, 160)} y1={high} y2={high} />
    </svg>
  );
}
