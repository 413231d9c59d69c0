// The shopper's phone: a code to enter with, the basket as it fills, receipts, and what is known of you.

import { effect, signal, useSignal } from "@preact/signals";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { encode } from "uqr";
import { cost, get, type Line, type Me, type Payment, post, Refused, session, type Session } from "../api";
import { Icon, type IconName } from "../icons";
import { Empty, Explained } from "../parts";
import "../style.css";
import "./me.css";
import { LANGUAGES, language, money, percent, speak, store, t, time } from "../words";

const me = signal<Me | null>(null);
/** What is to be paid, or could not be; a store without a gateway has none. */
const payments = signal<Payment[]>([]);
let gateway = true;
const offline = signal(false);
const forgotten = signal(false);
const tab = signal<"enter" | "basket" | "receipts" | "privacy">("enter");

/** How many come in on the next code. */
const party = signal(1);
/** As gates have it. */
const MAX_PARTY = 20;

/** How often the basket is asked for: quick enough to see it fill. */
const EVERY_MS = 1500;

async function read() {
  if (session.value?.role !== "shopper") return;
  try {
    const told = await get<Me>("/api/me");
    const came = !me.value?.cart && told.cart;
    const left = me.value && told.receipts.length > me.value.receipts.length;
    if (gateway) {
      payments.value = await get<Payment[]>("/api/me/payments").catch((error) => {
        gateway = !(error instanceof Refused && error.status === 404);
        return payments.value;
      });
    }
    me.value = told;
    offline.value = false;
    if (told.timezone !== store.value.timezone || told.currency !== store.value.currency) store.value = { currency: told.currency, timezone: told.timezone };
    if (came && tab.value === "enter") tab.value = "basket";
    if (left) tab.value = "receipts";
  } catch (error) {
    if (error instanceof Refused && error.status === 401) session.value = { name: null, role: null, must_change: false, csrf: "" };
    else offline.value = !(error instanceof Refused);
  }
}

/** A QR code as one SVG path: large squares (a screen is not torn or stained), sharp at every size, and nothing but this page draws it. */
function Qr({ text, label = t("me.code") }: { text: string; label?: string }) {
  const { data, size } = encode(text, { border: 2, ecc: "L" });
  const path = data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return (
    <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shape-rendering="crispEdges">
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}

function Enter() {
  const code = useSignal<{ code: string; until_us: number } | null>(null);
  const second = useSignal(Date.now());
  const refused = useSignal("");
  useEffect(() => {
    const fresh = () =>
      post<{ code: string; until_us: number }>("/api/me/entry", { party: party.value }).then((c) => {
        code.value = c;
        refused.value = "";
      }, (error) => {
        if (error instanceof Refused) refused.value = error.message;
        else offline.value = true;
      });
    void fresh();
    const timer = setInterval(() => {
      second.value = Date.now();
      if (!code.value || code.value.until_us / 1000 - Date.now() < 5000) void fresh();
    }, 1000);
    return () => clearInterval(timer);
  }, [party.value]);
  const left = code.value ? Math.max(0, Math.round(code.value.until_us / 1e6 - second.value / 1000)) : 0;
  return (
    <section class="panel centre" aria-labelledby="show">
      <p class="when">{me.value?.store}</p>
      <h2 id="show">{t("me.show")}</h2>
      {refused.value && <p role="alert" class="offline">{refused.value}</p>}
      {code.value && left > 0 ? <Qr text={code.value.code} /> : <div class="qr blank" aria-hidden="true" />}
      <p class="when">{left > 0 ? t("me.fresh", { s: left }) : t("me.noCode")}</p>
      <div class="party" role="group" aria-labelledby="party">
        <span id="party">{t("me.party")}</span>
        <button type="button" aria-label={t("me.fewer")} disabled={party.value <= 1} onClick={() => party.value--}>−</button>
        <output aria-live="polite">{party.value}</output>
        <button type="button" aria-label={t("me.more")} disabled={party.value >= MAX_PARTY} onClick={() => party.value++}>+</button>
      </div>
      <p class="when">{party.value > 1 ? t("me.partyWhy", { n: party.value }) : t("me.alone")}</p>
      <p class="mono pseudonym">{me.value?.credential}</p>
    </section>
  );
}

function Rows({ lines, children }: { lines: Line[]; children?: (l: Line) => unknown }) {
  return (
    <ul class="mine">
      {lines.map((l) => (
        <li key={l.sku}>
          <span class="count">{l.quantity} ×</span>
          <span class="name">{l.name}</span>
          <span class="price">{money(cost(l))}</span>
          {l.review && <span class="note">{t("me.review")}</span>}
          {(l.explained?.length ?? 0) > 1 && <span class="note"><Explained changes={l.explained} /></span>}
          {children?.(l) as preact.ComponentChildren}
        </li>
      ))}
    </ul>
  );
}

const sum = (lines: Line[]) => lines.reduce((s, l) => s + cost(l), 0);

/** What is to be paid by UPI: a link for an app on this phone, and the same as a code for another one. */
function Pay() {
  const due = payments.value.filter((p) => p.link);
  const unpaid = payments.value.filter((p) => p.state === "bad_debt");
  return (
    <>
      {unpaid.map((p) => <p key={p.visit} role="alert" class="offline">{t("me.unpaid", { amount: money(p.owed_minor - p.contested_minor - p.captured_minor + p.refunded_minor) })}</p>)}
      {due.map((p) => {
        const amount = money(p.asking_minor ?? 0);
        return (
          <section class="panel centre" key={p.visit} aria-labelledby={`pay-${p.visit}`}>
            <h2 id={`pay-${p.visit}`}>{t("me.pay", { amount })}</h2>
            <p>{t("me.payWhy")}</p>
            <a class="pay big" href={p.link}>{t("me.payOpen")}</a>
            <p class="when">{t("me.payScan")}</p>
            <Qr text={p.link!} label={t("me.payCode", { amount })} />
          </section>
        );
      })}
    </>
  );
}

function Basket() {
  const cart = me.value?.cart;
  return (
    <section class="panel" aria-labelledby="basket" aria-live="polite">
      <h2 id="basket">{t("me.basket")}</h2>
      {!cart ? <Empty icon="basket" words={t("me.none")} /> : cart.lines.length === 0 ? <Empty icon="basket" words={t("me.empty")} /> : (
        <>
          <Rows lines={cart.lines} />
          <p class="total"><span>{t("me.sum")}</span><b>{money(sum(cart.lines))}</b></p>
        </>
      )}
    </section>
  );
}

/** Coupons and points that count for the next receipt. */
function Purse() {
  const purse = me.value?.purse;
  const code = useSignal("");
  const told = useSignal("");
  if (!purse) return null;
  const show = async (codes: string[], points: number) => {
    try {
      await post("/api/me/show", { codes, points });
      told.value = "";
      code.value = "";
      await read();
    } catch (error) {
      told.value = (error as Error).message;
    }
  };
  const add = (e: Event) => {
    e.preventDefault();
    if (code.value.trim()) void show([...purse.shown_codes, code.value.trim()], purse.shown_points);
  };
  return (
    <section class="panel" aria-labelledby="purse">
      <h2 id="purse">{t("me.purse")}</h2>
      <p class="when">{t("me.purseWhy")}</p>
      {purse.shown_codes.length > 0 && (
        <ul class="mine">
          {purse.shown_codes.map((c) => (
            <li key={c} class="shown">
              <span class="name">{t("price.coupon", { name: c })}</span>
              <button type="button" class="small" aria-label={t("me.takeBack", { code: c })} onClick={() => void show(purse.shown_codes.filter((o) => o !== c), purse.shown_points)}>{t("me.remove")}</button>
            </li>
          ))}
        </ul>
      )}
      <form class="row" onSubmit={add}>
        <label>{t("me.coupon")} <input value={code.value} maxLength={64} autocomplete="off" onInput={(e) => (code.value = e.currentTarget.value)} /></label>
        <button>{t("me.showCoupon")}</button>
      </form>
      {purse.point_worth_minor !== null && (
        <label class="row">
          <input type="checkbox" checked={purse.shown_points > 0} disabled={purse.points === 0} onChange={(e) => void show(purse.shown_codes, e.currentTarget.checked ? purse.points : 0)} />
          {t("me.redeem", { n: purse.points, amount: money(purse.points * purse.point_worth_minor) })}
        </label>
      )}
      <p role="alert" class="flag">{told.value}</p>
    </section>
  );
}

/** Gives the browser a signed receipt as a file. */
async function keep(visit: string) {
  const signed = await get<unknown>(`/api/me/receipts/${encodeURIComponent(visit)}/signed`);
  const url = URL.createObjectURL(new Blob([JSON.stringify(signed, null, 2)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `receipt-${visit}.json`;
  link.click();
  URL.revokeObjectURL(url);
}

/** A line that somebody has looked at costs what they said. */
function asAnswered(l: Line, m: Me["receipts"][number]["money"]): Line {
  const answer = l.review ? m.answers.find((a) => a.sku === l.sku) : undefined;
  return answer ? { ...l, review: false, quantity: answer.quantity, amount_minor: answer.charge_minor, explained: answer.explained } : l;
}

function Receipts() {
  const list = me.value?.receipts ?? [];
  if (list.length === 0) return <section class="panel"><h2>{t("me.receipts")}</h2><Empty icon="receipts" words={t("me.noReceipts")} /></section>;
  return (
    <>
      <Pay />
      {list.map((r) => (
        <section class="panel" key={r.visit} aria-label={`${t("me.receipts")} ${time(r.left_us)}`}>
          <h2>{time(r.entered_us)} – {time(r.left_us)}</h2>
          <Rows lines={r.lines.map((l) => asAnswered(l, r.money))}>{(l) => <OneLine visit={r.visit} line={l} />}</Rows>
          <p class="total"><span>{t("receipts.charge")}</span><b>{money(r.money.charge_minor + r.money.answered_minor)}</b></p>
          {r.money.open_minor > 0 && <p class="total small"><span>{t("receipts.review")}</span><b>{money(r.money.open_minor)}</b></p>}
          {r.money.refunded_minor > 0 && <p class="total small"><span>{t("receipts.refunded")}</span><b>{money(r.money.refunded_minor)}</b></p>}
          <p class="row"><button type="button" class="small" onClick={() => void keep(r.visit)}>{t("me.keep")}</button><span class="when">{t("me.keepWhy")}</span></p>
          {r.money.contested_minor > 0 && <p class="total small"><span>{t("me.dispute")}</span><b>{money(r.money.contested_minor)}</b></p>}
        </section>
      ))}
    </>
  );
}

function OneLine({ visit, line }: { visit: string; line: Line }) {
  const asked = useSignal(false);
  const words = useSignal("");
  const told = useSignal("");
  const contest = me.value?.receipts.find((r) => r.visit === visit)?.money.contests.find((c) => c.sku === line.sku);
  if (contest) {
    return <span class="note">{contest.state === "open" ? t("me.contested") : contest.state === "refunded" ? t("me.refunded") : t("me.refused", { words: contest.answer ?? "" })}</span>;
  }
  // Nobody has paid for it yet: a person looks at it first, and there is nothing to contest.
  const answered = me.value?.receipts.find((r) => r.visit === visit)?.money.answers.some((a) => a.sku === line.sku);
  if (line.review && !answered) return null;
  const send = async (e: Event) => {
    e.preventDefault();
    try {
      await post("/api/me/contest", { visit, sku: line.sku, words: words.value });
      asked.value = false;
      await read();
    } catch (error) {
      told.value = (error as Error).message;
    }
  };
  return (
    <span class="note">
      <details>
        <summary>{t("me.why")}</summary>
        <p>{t("me.whyOdds", { p: percent(line.probability) })}</p>
        {asked.value ? (
          <form onSubmit={send} class="column">
            <label>{t("me.contestWhy")}<textarea rows={2} maxLength={500} value={words.value} onInput={(e) => (words.value = e.currentTarget.value)} /></label>
            <button class="primary">{t("me.send")}</button>
            <button type="button" onClick={() => (asked.value = false)}>{t("me.cancel")}</button>
            <p role="alert" class="flag">{told.value}</p>
          </form>
        ) : (
          <button type="button" onClick={() => (asked.value = true)}>{t("me.contest")}</button>
        )}
      </details>
    </span>
  );
}

function Privacy() {
  const sure = useSignal(false);
  const told = useSignal("");
  const forget = async () => {
    try {
      await post("/api/me/forget");
      forgotten.value = true;
      me.value = null;
      session.value = { name: null, role: null, must_change: false, csrf: "" };
    } catch (error) {
      told.value = (error as Error).message;
    }
  };
  return (
    <section class="panel privacy" aria-labelledby="privacy">
      <h2 id="privacy">{t("me.privacy")}</h2>
      <h3>{t("me.kept")}</h3>
      <p>{t("me.kept1")}</p>
      <h3>{t("me.notKept")}</h3>
      <p>{t("me.notKept1")}</p>
      <p>{t("me.notKept2")}</p>
      <h3>{t("me.forget")}</h3>
      <p>{t("me.forgetWhy")}</p>
      {sure.value ? (
        <p class="row"><button type="button" class="danger" onClick={() => void forget()}>{t("me.forgetYes")}</button><button type="button" onClick={() => (sure.value = false)}>{t("me.cancel")}</button></p>
      ) : (
        <button type="button" onClick={() => (sure.value = true)}>{t("me.forget")}</button>
      )}
      <p role="alert" class="flag">{told.value}</p>
      <label class="language">{t("theme.lang")} <select value={language.value} onChange={(e) => speak(e.currentTarget.value)}>{Object.entries(LANGUAGES).map(([code, l]) => <option key={code} value={code}>{l.name}</option>)}</select></label>
    </section>
  );
}

const ICONS: Record<"enter" | "basket" | "receipts" | "privacy", IconName> = { enter: "enter", basket: "basket", receipts: "receipts", privacy: "privacy" };

function App() {
  const s = session.value;
  if (!s) {
    return (
      <main class="phone" aria-busy={!offline.value}>
        <h1 class="unseen">Linefree</h1>
        {offline.value && <section class="panel centre welcome"><Icon name="enter" /><h2>{t("me.away")}</h2><p role="status">{t("me.awayWhy")}</p></section>}
      </main>
    );
  }
  if (s.role !== "shopper") {
    const join = async () => {
      await post("/api/join");
      session.value = await get<Session>("/api/session");
      forgotten.value = false;
      await read();
    };
    return (
      <main class="phone">
        <section class="panel centre welcome">
          <img src="./icon.svg" alt="" width={72} height={72} />
          <h1>Linefree</h1>
          {forgotten.value && <p role="status"><b>{t("me.forgotten")}</b></p>}
          <p class="lead">{t("me.hello")}</p>
          <p>{t("me.joinWhy")}</p>
          <button type="button" class="primary big" onClick={() => void join()}>{t("me.join")}</button>
        </section>
      </main>
    );
  }
  const tabs = ["enter", "basket", "receipts", "privacy"] as const;
  const count = me.value?.cart?.lines.reduce((n, l) => n + l.quantity, 0);
  return (
    <>
      <main class="phone">
        <h1 class="unseen">Linefree</h1>
        <p role="status" class={offline.value ? "offline" : "unseen"}>{offline.value && t("me.offline")}</p>
        {tab.value === "enter" && <Enter />}
        {tab.value === "basket" && <><Basket /><Purse /></>}
        {tab.value === "receipts" && <Receipts />}
        {tab.value === "privacy" && <Privacy />}
      </main>
      <nav class="tabs" aria-label={t("nav.main")}>
        {tabs.map((name) => (
          <button type="button" key={name} aria-current={tab.value === name ? "page" : undefined} onClick={() => (tab.value = name)}>
            <Icon name={ICONS[name]} />
            <span>{t(`me.${name}`)}</span>{name === "basket" && !!count && <span class="badge">{count}</span>}
            {name === "receipts" && payments.value.some((p) => p.link) && <span class="badge">!</span>}
          </button>
        ))}
      </nav>
    </>
  );
}

effect(() => {
  document.documentElement.lang = language.value;
});
/** Who this phone is; without a connection nobody can say, and it is asked again. */
async function greet() {
  try {
    session.value = await get<Session>("/api/session");
    offline.value = false;
  } catch {
    offline.value = true;
  }
}
render(<App />, document.getElementById("app")!);
await greet();
await read();
setInterval(() => void (session.value ? read() : greet().then(read)), EVERY_MS);
if ("serviceWorker" in navigator) void navigator.serviceWorker.register("./me-worker.js").catch(() => {});
