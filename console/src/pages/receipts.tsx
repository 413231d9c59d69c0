import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Contest, cost, get, type Line, may, type Money, type Payment, post, type ReceiptDetail } from "../api";
import { attempt, Empty, Explained, Odds, Panel, who } from "../parts";
import { contests, products, readLists, readReviews, receipts, stats, toast } from "../state";
import { money, number, t, time } from "../words";

export function ReceiptsPage() {
  const chosen = useSignal<string | null>(null);
  const open = contests.value.filter((c) => c.state === "open");
  const shown = chosen.value ?? open[0]?.visit ?? null;
  return (
    <div class="two">
      <Panel title={t("receipts.title")} class="list" aside={t("receipts.total", { n: stats.value?.receipts ?? receipts.value.length })}>
        {receipts.value.length === 0 && <Empty icon="receipts" words={t("receipts.none")} />}
        <ul class="picks">
          {receipts.value.map((r) => {
            const contested = open.some((c) => c.visit === r.visit);
            return (
              <li key={r.visit}>
                <button type="button" data-visit={r.visit} aria-current={r.visit === shown ? "true" : undefined} onClick={() => (chosen.value = r.visit)}>
                  <span class="name">{r.credential ?? t("carts.unseen")}</span>
                  <span class="sum">{money(r.charge_minor)}</span>
                  <span class="when">{time(r.left_us)}</span>
                  <span class="when">
                    {contested ? <b class="flag">{t("receipts.contested")}</b> : r.in_review_minor ? `${money(r.in_review_minor)} ${t("receipts.open")}` : t("receipts.done")}
                  </span>
                </button>
              </li>
            );
          })}
        </ul>
      </Panel>
      {shown ? <Detail key={shown} visit={shown} /> : <section class="panel"><Empty icon="receipts" words={t("receipts.pick")} /></section>}
    </div>
  );
}

function Detail({ visit }: { visit: string }) {
  const receipt = useSignal<ReceiptDetail | null>(null);
  const paid = useSignal<Money | null>(null);
  const payment = useSignal<Payment | null>(null);
  const version = `${receipts.value.length}/${contests.value.length}/${stats.value?.ledger_seq}`;
  const read = () =>
    attempt(async () => {
      const path = `/api/receipts/${encodeURIComponent(visit)}`;
      [receipt.value, paid.value] = await Promise.all([get<ReceiptDetail>(path), get<Money>(`${path}/money`)]);
      // A store without a gateway has no payments.
      payment.value = (await get<Payment[]>("/api/payments?limit=1000").catch(() => [])).find((p) => p.visit === visit) ?? null;
    });
  useEffect(() => void read(), [visit, version]);
  const r = receipt.value;
  const m = paid.value;
  if (!r || !m) return <section class="panel" aria-busy="true" />;
  const answered = (sku: string) => m.answers.find((a) => a.sku === sku)?.quantity;
  const priced = (l: Line) => (l.review && m.answers.find((a) => a.sku === l.sku)) || null;
  const p = payment.value;
  return (
    <div class="stack">
      <Panel title={`${t("receipts.title")}: ${who(r.visit, r.credential)}`} id="receipt" aside={<span title={r.visit}>{time(r.entered_us)} – {time(r.left_us)}</span>}>
        <div class="scroll" tabIndex={0} role="group" aria-label={t("receipts.line")}>
          <table>
            <thead><tr><th scope="col">{t("receipts.line")}</th><th scope="col">{t("receipts.charge")}</th><th scope="col">{t("review.odds")}</th><th scope="col">{t("receipts.state")}</th></tr></thead>
            <tbody>
              {r.lines.map((l) => (
                <tr key={l.sku}>
                  <th scope="row"><span class="line-name">{l.quantity} × {l.name}</span><Explained changes={priced(l)?.explained ?? l.explained} /></th>
                  <td class="num">{money(priced(l)?.charge_minor ?? cost(l))}</td>
                  <td><Odds p={l.probability} low={l.review} /></td>
                  <td>{!l.review ? t(p && !p.settled ? "receipts.charge" : "receipts.paid") : answered(l.sku) === undefined ? <b class="flag">{t("receipts.open")}</b> : `${t("receipts.answered")}: ${answered(l.sku)}`}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        <dl class="figures">
          <div><dt>{t("receipts.charge")}</dt><dd>{money(m.charge_minor)}</dd></div>
          <div><dt>{t("receipts.answered")}</dt><dd>{money(m.answered_minor)}</dd></div>
          <div><dt>{t("receipts.review")}</dt><dd>{money(m.open_minor)}</dd></div>
          <div><dt>{t("receipts.refunded")}</dt><dd>{money(m.refunded_minor)}</dd></div>
          {m.sellers.some((s) => s.seller !== "store") && m.sellers.map((s) => (
            <div key={s.seller}><dt>{t("receipts.seller", { seller: s.seller })}</dt><dd>{money(s.paid_minor - s.commission_minor)}{s.commission_minor > 0 && ` (${t("receipts.commission", { amount: money(s.commission_minor) })})`}</dd></div>
          ))}
          {m.contested_minor > 0 && <div><dt>{t("receipts.dispute")}</dt><dd class="flag">{money(m.contested_minor)}</dd></div>}
          {p && <div><dt>{t("receipts.payment")}</dt><dd>{t(`pay.${p.state === "open" && p.settled ? "settled" : p.state}`, { amount: money(p.contested_minor) })}</dd></div>}
        </dl>
        {r.rules_version !== null && <p class="when">{t("receipts.rules", { n: r.rules_version })}</p>}
        {m.refunds.length > 0 && (
          <>
            <h3>{t("receipts.refunds")}</h3>
            <ul class="plain">
              {m.refunds.map((f) => (
                <li key={f.refund}><b>{money(f.amount_minor)}</b> · {f.lines.map((l) => `${l.quantity} × ${products.value.get(l.sku)?.name ?? l.sku}`).join(", ")} · {f.reason}</li>
              ))}
            </ul>
          </>
        )}
      </Panel>
      {m.contests.length > 0 && (
        <Panel title={t("receipts.contests")}>
          {m.contests.map((c) => <Contested key={c.contest} contest={c} read={read} />)}
        </Panel>
      )}
      {may("manager") && <RefundForm receipt={r} money={m} read={read} />}
      <Panel title={t("receipts.evidence")}>
        <ol class="trail-of-events">
          {r.evidence.map((e) => (
            <li key={`${e.source}/${e.epoch}/${e.seq}`}>
              {e.shelf && <p class="when">{t("review.at", { time: time(e.shelf.end_us), plate: e.shelf.plates.map((p) => p.plate).join(", "), g: number(e.shelf.delta_g) })}</p>}
              <ul class="plain">
                {e.candidates.slice(0, 4).map((c, i) => (
                  <li key={i} class={c.visit === visit ? "this" : ""}>
                    <Odds p={c.probability} low={c.probability < 0.5} />
                    <span>{c.robot ?? who(c.visit)}: {c.sku ? `${Math.abs(c.quantity)} × ${products.value.get(c.sku)?.name ?? c.sku}${c.quantity < 0 ? `, ${t("review.back")}` : ""}` : t("review.nothingHappened")}</span>
                  </li>
                ))}
              </ul>
            </li>
          ))}
        </ol>
      </Panel>
    </div>
  );
}

function RefundForm({ receipt, money: m, read }: { receipt: ReceiptDetail; money: Money; read: () => Promise<void> }) {
  const counts = useSignal<Record<string, number>>({});
  const reason = useSignal("");
  const id = useSignal(crypto.randomUUID());
  const left = receipt.lines
    .map((l) => {
      const answer = m.answers.find((a) => a.sku === l.sku);
      const paid = l.review ? (answer?.quantity ?? 0) : l.quantity;
      const cents = l.review ? (answer?.charge_minor ?? 0) : cost(l);
      const back = m.refunds.flatMap((f) => f.lines).filter((b) => b.sku === l.sku).reduce((s, b) => s + b.quantity, 0);
      // As the store rounds it: all parts together give back what was paid.
      const share = (n: number) => Math.floor((cents * (back + n)) / paid) - Math.floor((cents * back) / paid);
      return { ...l, left: paid - back, share };
    })
    .filter((l) => l.left > 0);
  if (left.length === 0) return null;
  const lines = Object.entries(counts.value).filter(([, n]) => n > 0).map(([sku, quantity]) => ({ sku, quantity }));
  const amount = lines.reduce((s, l) => s + (left.find((x) => x.sku === l.sku)?.share(l.quantity) ?? 0), 0);
  const issue = (e: Event) => {
    e.preventDefault();
    void attempt(async () => {
      await post("/api/refunds", { refund: id.value, visit: receipt.visit, lines, reason: reason.value });
      toast.value = { words: t("receipts.issued", { amount: money(amount) }) };
      id.value = crypto.randomUUID();
      counts.value = {};
      reason.value = "";
      await read();
      void readLists();
    });
  };
  return (
    <Panel title={t("receipts.refund")}>
      <form onSubmit={issue} class="refund">
        {left.map((l) => (
          <label key={l.sku}>
            {t("receipts.give", { name: l.name })}
            <input type="number" min={0} max={l.left} value={counts.value[l.sku] ?? 0} onInput={(e) => (counts.value = { ...counts.value, [l.sku]: Number(e.currentTarget.value) })} />
          </label>
        ))}
        <label class="wide">
          {t("receipts.reason")}
          <input required maxLength={500} value={reason.value} onInput={(e) => (reason.value = e.currentTarget.value)} />
        </label>
        <button class="primary" disabled={lines.length === 0 || !reason.value.trim()}>{t("receipts.issue")} {amount > 0 && money(amount)}</button>
      </form>
    </Panel>
  );
}

function Contested({ contest, read }: { contest: Contest; read: () => Promise<void> }) {
  const answer = useSignal("");
  const name = products.value.get(contest.sku)?.name ?? contest.sku;
  const settle = (quantity: number) =>
    attempt(async () => {
      await post("/api/contests/settle", { contest: contest.contest, quantity, answer: answer.value });
      await read();
      void readReviews();
    });
  return (
    <article class="contest">
      <p><b>{name}</b>: “{contest.words || "…"}”</p>
      {contest.state === "open" ? (
        may("manager") && (
          <div class="refund">
            <label class="wide">
              {t("receipts.answer")}
              <input value={answer.value} maxLength={500} onInput={(e) => (answer.value = e.currentTarget.value)} />
            </label>
            <button type="button" class="primary" onClick={() => void settle(1)}>{t("receipts.accept")} (1)</button>
            <button type="button" onClick={() => void settle(0)} disabled={!answer.value.trim()}>{t("receipts.refuse")}</button>
          </div>
        )
      ) : (
        <p class="when">{contest.state === "refunded" ? t("me.refunded") : t("me.refused", { words: contest.answer ?? "" })}</p>
      )}
    </article>
  );
}
