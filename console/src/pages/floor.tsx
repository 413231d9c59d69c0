import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, type Past, type Timeline } from "../api";
import { FloorMap } from "../map/view";
import { Empty, Lines, Panel, Table, who } from "../parts";
import { carts, map, moved, now, past, readRobots, receipts, robots } from "../state";
import { money, number, t, time } from "../words";

export function FloorPage() {
  const shown = useSignal({ trails: true, views: true, names: true });
  moved.value;
  const people = past.value?.what.shoppers ?? now.shoppers;
  const n = people.length;
  // Robots tell where they are once a second.
  const driven = (map.value?.nodes.length ?? 0) > 0;
  useEffect(() => {
    if (!driven) return;
    const read = () => void readRobots().catch(() => {});
    read();
    const timer = setInterval(read, 1000);
    return () => clearInterval(timer);
  }, [driven]);
  const box = (key: "trails" | "views" | "names") => (
    <label class="check">
      <input type="checkbox" checked={shown.value[key]} onChange={(e) => (shown.value = { ...shown.value, [key]: e.currentTarget.checked })} />
      {t(`floor.${key}`)}
    </label>
  );
  return (
    <div class="floor-page">
      <Panel
        title={t("floor.title")}
        class="map-panel"
        aside={
          <>
            <span class="count-words">{n === 0 ? t("floor.nobody") : n === 1 ? t("floor.one") : t("floor.shoppers", { n })}</span>
            {robots.value.length > 0 && <span class="count-words">{t("floor.robots", { n: robots.value.length })}</span>}
            {box("trails")}
            {box("views")}
            {box("names")}
          </>
        }
      >
        {map.value && <FloorMap map={map.value} shown={shown.value} />}
        <Scrub />
        <details>
          <summary>{t("floor.list")}</summary>
          <Table
            caption={t("floor.list")}
            head={[t("review.who"), t("floor.where"), t("floor.sure")]}
            rows={people.slice(0, 200).map((s) => ({
              key: String(s.shopper),
              cells: [s.visit ? who(s.visit) : `#${s.shopper}`, `${number(s.at[0])}; ${number(s.at[1])}`, number(s.radius_m)],
            }))}
          />
        </details>
        {robots.value.length > 0 && (
          <details>
            <summary>{t("floor.robotList")}</summary>
            <Table
              caption={t("floor.robotList")}
              head={[t("orders.robot"), t("floor.where"), t("floor.battery"), t("floor.way")]}
              rows={robots.value.map((r) => ({
                key: r.robot,
                cells: [r.robot, r.at ? `${number(r.at[0])}; ${number(r.at[1])}` : "–", `${number(r.battery)} %`, [...r.base, ...r.horizon].join(" → ") || "–"],
              }))}
            />
          </details>
        )}
      </Panel>
      <Carts />
    </div>
  );
}

function Carts() {
  const looked = past.value;
  const list = looked
    ? looked.what.carts.map((c) => ({ ...c, party: 1 }))
    : [...carts.value].sort((a, b) => b.lines.length - a.lines.length);
  return (
    <Panel title={t("carts.title")} class="carts" aside={<span>{looked ? t("time.at", { time: time(looked.at_us) }) : list.length}</span>}>
      <div class="cards" tabIndex={0} role="group" aria-label={t("carts.title")}>
        {list.length === 0 && <Empty icon="basket" words={t("carts.nobody")} />}
        {list.map((cart) => (
          <article class="card" key={cart.visit} data-visit={cart.visit}>
            <h3>
              <span>{cart.credential ?? t("carts.unseen")}</span>
              <span class="sum">{money(cart.lines.reduce((s, l) => s + l.unit_price_minor * l.quantity, 0))}</span>
            </h3>
            <p class="when">
              {cart.opened_us !== null && t("carts.since", { time: time(cart.opened_us) })}
              {cart.party > 1 && `, ${t("carts.people", { n: cart.party })}`}
            </p>
            {cart.lines.length ? <Lines lines={cart.lines} /> : <p class="empty">{t("carts.empty")}</p>}
          </article>
        ))}
      </div>
    </Panel>
  );
}

/** The slider over the day. */
function Scrub() {
  const line = useSignal<Timeline | null>(null);
  const known = receipts.value.length;
  useEffect(() => {
    let gone = false;
    const read = () => {
      if (!past.value) void get<Timeline | null>("/api/timeline").then((l) => !gone && (line.value = l), () => {});
    };
    read();
    const timer = setInterval(read, 5000);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [known]);
  const told = line.value;
  if (!told) return <p class="empty">{t("time.none")}</p>;
  const at = past.value?.at_us ?? told.to_us;
  const looks = { wanted: 0 };
  const look = async (at_us: number) => {
    looks.wanted = at_us;
    if (at_us >= told.to_us) {
      past.value = null;
      return;
    }
    const what = await get<Past>(`/api/moment?at_us=${Math.round(at_us)}`);
    if (looks.wanted === at_us) past.value = { at_us, what };
  };
  const most = Math.max(1, ...told.buckets.map((b) => Object.values(b).reduce((s, n) => s + n, 0)));
  const step = Math.max(1, Math.round((told.to_us - told.from_us) / 400));
  return (
    <div class="scrub">
      <svg viewBox="0 0 200 24" preserveAspectRatio="none" aria-hidden="true">
        {told.buckets.map((b, i) => {
          const high = (Object.values(b).reduce((s, n) => s + n, 0) / most) * 24;
          return high ? <rect key={i} x={i} width={0.85} y={24 - high} height={high} class={b.visit_closed ? "receipt" : ""} /> : null;
        })}
      </svg>
      <label>
        <span class="unseen">{t("time.scrub")}</span>
        <input
          type="range" min={told.from_us} max={told.to_us} step={step} value={at}
          aria-valuetext={time(at)}
          onInput={(e) => void look(Number(e.currentTarget.value))}
        />
      </label>
      <p class="scrub-words">
        <span>{time(told.from_us)}</span>
        {past.value ? (
          <span>
            {t("time.at", { time: time(past.value.at_us) })} · {t("receipts.total", { n: past.value.what.receipts })}{" "}
            <button type="button" onClick={() => (past.value = null)}>{t("time.live")}</button>
            {past.value.what.shoppers.length === 0 && past.value.what.carts.length > 0 && <em> {t("time.forgotten")}</em>}
          </span>
        ) : (
          <span>{t("time.scrub")}</span>
        )}
        <span>{time(told.to_us)}</span>
      </p>
    </div>
  );
}
