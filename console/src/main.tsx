// The console: sign in, then one page at a time, chosen in the address after the #.

import { effect, signal, useSignal } from "@preact/signals";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { get, mayRead, post, remove, type Role, session, type Session } from "./api";
import { alerts } from "./alerts";
import { Icon } from "./icons";
import { AccessPage } from "./pages/access";
import { AlertsPage } from "./pages/alerts";
import { ConfigPage } from "./pages/config";
import { DevicesPage } from "./pages/devices";
import { FloorPage } from "./pages/floor";
import { InsightsPage } from "./pages/insights";
import { OpsPage } from "./pages/ops";
import { OrdersPage } from "./pages/orders";
import { PlanogramPage } from "./pages/planogram";
import { ReceiptsPage } from "./pages/receipts";
import { ReviewsPage } from "./pages/reviews";
import { RolloutPage } from "./pages/rollout";
import { StockPage } from "./pages/stock";
import { attempt } from "./parts";
import { clock, contests, devices, follow, link, map, past, reviews, toast, unfollow } from "./state";
import "./style.css";
import { day, type Key, LANGUAGES, language, speak, t } from "./words";

const PAGES = {
  floor: { words: "nav.floor", page: FloorPage, least: "staff", group: "shop" },
  alerts: { words: "nav.alerts", page: AlertsPage, least: "staff", group: "shop" },
  reviews: { words: "nav.reviews", page: ReviewsPage, least: "staff", group: "shop" },
  receipts: { words: "nav.receipts", page: ReceiptsPage, least: "staff", group: "shop" },
  stock: { words: "nav.stock", page: StockPage, least: "staff", group: "shop" },
  orders: { words: "nav.orders", page: OrdersPage, least: "staff", group: "shop" },
  insights: { words: "nav.insights", page: InsightsPage, least: "staff", group: "plan" },
  planogram: { words: "nav.planogram", page: PlanogramPage, least: "staff", group: "plan" },
  devices: { words: "nav.devices", page: DevicesPage, least: "staff", group: "run" },
  ops: { words: "nav.ops", page: OpsPage, least: "staff", group: "run" },
  rollout: { words: "nav.rollout", page: RolloutPage, least: "staff", group: "run" },
  config: { words: "nav.config", page: ConfigPage, least: "ops", group: "run" },
  access: { words: "nav.access", page: AccessPage, least: "ops", group: "run" },
} satisfies Record<string, { words: Key; page: () => unknown; least: Role; group: "shop" | "plan" | "run" }>;
const GROUPS = ["shop", "plan", "run"] as const;
type Page = keyof typeof PAGES;

const chosen = signal<Page>("floor");
/** Is the menu open, where the page is too narrow to show it always? */
const menu = signal(false);
const choose = () => {
  const name = location.hash.slice(1);
  if (name in PAGES) chosen.value = name as Page;
  menu.value = false;
};
addEventListener("hashchange", choose);

function Language() {
  return (
    <label class="language">
      <span class="unseen">{t("theme.lang")}</span>
      <select value={language.value} onChange={(e) => speak(e.currentTarget.value)}>
        {Object.entries(LANGUAGES).map(([code, l]) => <option key={code} value={code}>{l.name}</option>)}
      </select>
    </label>
  );
}

/** From the link that the server prints: `#once=...`, which no server and no log ever sees. */
const once = location.hash.startsWith("#once=") ? decodeURIComponent(location.hash.slice(6)) : "";
/** Why the chain's provider did not let somebody in: one of a few words of the server's. */
const REFUSALS = ["provider", "stale", "refused", "role", "out"] as const;
const refusal = REFUSALS.find((word) => location.hash === `#sign-in=${word}`);
if (once || refusal) history.replaceState(null, "", location.pathname);

function SignIn() {
  const name = useSignal(once ? "admin" : "");
  const password = useSignal(once);
  const told = useSignal(refusal ? t(`sign.no.${refusal}`) : "");
  const provider = useSignal<string | null>(null);
  useEffect(() => void get<{ provider: string | null }>("/api/sign-in").then((w) => (provider.value = w.provider), () => {}), []);
  const enter = async (e: Event) => {
    e.preventDefault();
    try {
      session.value = await post<Session>("/api/session", { name: name.value, password: password.value });
      await follow();
    } catch (error) {
      told.value = (error as Error).message;
    }
  };
  return (
    <main class="gate-page">
      <form class="panel sign" onSubmit={enter}>
        <img src="./icon.svg" alt="" width={56} height={56} />
        <h1>{t("sign.title")}</h1>
        {provider.value && (
          <>
            <a class="primary button" href="./api/oidc/begin">{t("sign.provider", { host: provider.value })}</a>
            <p class="or"><span>{t("sign.or")}</span></p>
          </>
        )}
        <label>{t("sign.name")}<input name="name" autocomplete="username" required value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} /></label>
        <label>{t("sign.password")}<input name="password" type="password" autocomplete="current-password" required value={password.value} onInput={(e) => (password.value = e.currentTarget.value)} /></label>
        <button class={provider.value ? "" : "primary"}>{t("sign.in")}</button>
        <p role="alert" class="flag">{told.value}</p>
        <p class="when">{t("sign.where")}</p>
        <Language />
      </form>
    </main>
  );
}

function FirstPassword() {
  const password = useSignal("");
  const told = useSignal("");
  const keep = async (e: Event) => {
    e.preventDefault();
    try {
      session.value = await post<Session>("/api/password", { password: password.value });
      await follow();
    } catch (error) {
      told.value = (error as Error).message;
    }
  };
  return (
    <main class="gate-page">
      <form class="panel sign" onSubmit={keep}>
        <img src="./icon.svg" alt="" width={56} height={56} />
        <h1>{t("sign.first")}</h1>
        <p>{t("sign.firstWhy")}</p>
        <input class="unseen" aria-hidden="true" tabIndex={-1} autocomplete="username" value={session.value?.name ?? ""} readOnly />
        <label>{t("sign.new")}<input name="new" type="password" autocomplete="new-password" required minLength={12} value={password.value} onInput={(e) => (password.value = e.currentTarget.value)} /></label>
        <button class="primary">{t("sign.keep")}</button>
        <p role="alert" class="flag">{told.value}</p>
      </form>
    </main>
  );
}

function App() {
  const s = session.value;
  if (!s) return <main class="gate-page" aria-busy="true" />;
  if (!s.name) return <SignIn />;
  if (s.must_change) return <FirstPassword />;
  if (s.role === "shopper") {
    return (
      <main class="gate-page">
        <div class="panel sign"><h1>Linefree</h1><p>{t("sign.shopper")}</p><p><a href="./me.html">{t("sign.toPhone")}</a></p></div>
      </main>
    );
  }
  const Shown = PAGES[chosen.value].page;
  const badge: Partial<Record<Page, number>> = {
    alerts: alerts.value.filter((a) => a.weight === "bad").length,
    reviews: reviews.value.filter((r) => !r.held).length,
    receipts: contests.value.filter((c) => c.state === "open").length,
    devices: devices.value.faults.filter((f) => !f.cleared).length,
  };
  const leave = () =>
    attempt(async () => {
      session.value = await remove<Session>("/api/session");
      unfollow();
    });
  return (
    <>
      <a class="skip" href="#page" onClick={(e) => { e.preventDefault(); document.getElementById("page")?.focus(); }}>{t("nav.skip")}</a>
      <div class="shell">
        <header class={`side${menu.value ? " open" : ""}`}>
          <p class="brand"><img src="./icon.svg" alt="" width={28} height={28} /> Linefree</p>
          <button type="button" class="menu" aria-expanded={menu.value} aria-controls="menu" onClick={() => (menu.value = !menu.value)}>{t(PAGES[chosen.value].words as Key)}<span class="unseen">: {t("nav.menu")}</span></button>
          <div class="side-body" id="menu">
          <nav aria-label={t("nav.main")}>
            {GROUPS.map((group) => {
              const own = (Object.keys(PAGES) as Page[]).filter((p) => PAGES[p].group === group && mayRead(PAGES[p].least));
              return (
                <div key={group} class="nav-group">
                  <p class="nav-title" id={`nav-${group}`}>{t(`nav.group.${group}`)}</p>
                  <ul aria-labelledby={`nav-${group}`}>
                    {own.map((p) => (
                      <li key={p}>
                        <a href={`#${p}`} aria-current={p === chosen.value ? "page" : undefined}>
                          <Icon name={p} />
                          <span>{t(PAGES[p].words as Key)}</span>
                          {!!badge[p] && <span class="badge">{badge[p]}</span>}
                        </a>
                      </li>
                    ))}
                  </ul>
                </div>
              );
            })}
          </nav>
          <div class="who">
            <Language />
            <p>{s.name} · {t(`role.${s.role!}`)}</p>
            <button type="button" class="small" onClick={() => void leave()}>{t("sign.out")}</button>
          </div>
          </div>
        </header>
        <main id="page" tabIndex={-1}>
          <div class="top">
            <h1>{t(PAGES[chosen.value].words as Key)}</h1>
            <p class="store-name">{map.value?.name}</p>
            <p class="clock">{clock.value > 0 && day(past.value?.at_us ?? clock.value)}</p>
            <p class={`link ${past.value ? "past" : link.value}`} role="status">{past.value ? t("live.past") : link.value === "lost" ? t("live.lost") : t("live.live")}</p>
          </div>
          <Shown />
        </main>
      </div>
      <div class="toasts" role="status">
        {toast.value && <p>{toast.value.words} <button type="button" class="small" onClick={() => (toast.value = null)} aria-label="×">×</button></p>}
      </div>
    </>
  );
}

let fading = 0;
effect(() => {
  if (!toast.value) return;
  clearTimeout(fading);
  fading = setTimeout(() => (toast.value = null), 8000) as unknown as number;
});
effect(() => {
  document.documentElement.lang = language.value;
  document.title = `${map.value?.name ?? "Linefree"} · ${t(PAGES[chosen.value].words as Key)}`;
});

choose();
session.value = await get<Session>("/api/session").catch(() => ({ name: null, role: null, must_change: false, csrf: "" }));
render(<App />, document.getElementById("app")!);
await follow();
