// What devices run by, how the next release gets to them, and taking it back.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, may, post, type Release, type Rollout } from "../api";
import { attempt, Empty, Panel, Table } from "../parts";
import { devices, toast } from "../state";
import { day, number, t } from "../words";

const STAGES = ["canary", "all", "done"] as const;

function Steps({ told }: { told: Rollout }) {
  const running = told.running;
  const at = !running ? 2 : running.stage === "canary" ? 0 : 1;
  return (
    <ol class="steps">
      {STAGES.map((stage, i) => (
        <li key={stage} class={i < at || !running ? "past" : i === at ? "now" : ""} aria-current={running && i === at ? "step" : undefined}>
          <span class="dot" aria-hidden="true" />
          <b>{t(`rollout.stage.${stage}`)}</b>
          <span class="when">
            {stage === "canary" ? t("rollout.canaryWhy", { p: Math.round(told.canary_share * 100), s: number(told.hold_s) }) : stage === "all" ? t("rollout.allWhy") : t("rollout.doneWhy")}
          </span>
        </li>
      ))}
    </ol>
  );
}

const name = (r: Release) => t("rollout.release", { n: r.number });

export function RolloutPage() {
  const told = useSignal<Rollout | null>(null);
  const none = useSignal(false);
  const read = () => get<Rollout>("/api/rollout").then((r) => (told.value = r), (e) => (none.value = (e as { status?: number }).status === 404));
  const heard = devices.value;
  useEffect(() => void read(), [heard]);
  useEffect(() => {
    const timer = setInterval(() => void read(), 2000);
    return () => clearInterval(timer);
  }, []);
  const r = told.value;
  if (none.value) return <section class="panel"><Empty icon="rollout" words={t("rollout.off")} /></section>;
  if (!r) return <section class="panel" aria-busy="true" />;
  const running = r.running;
  return (
    <div class="stack">
      <Panel
        title={running ? t(running.stage === "back" ? "rollout.back" : "rollout.running", { n: running.release.number }) : r.good ? t("rollout.settled", { n: r.good.number }) : t("rollout.title")}
        id="rollout-now"
        aside={running && <span>{t("rollout.began", { time: day(running.began_us) })}</span>}
      >
        {!running && !r.good ? <Empty icon="rollout" words={t("rollout.none")} /> : (
          <>
            <p class="lead">{running ? running.release.why : r.good?.why}</p>
            {running?.stage !== "back" && <Steps told={r} />}
            {running?.stage === "canary" && running.canaries.length > 0 && <p class="when">{t("rollout.canaries", { who: running.canaries.join(", ") })}{running.well_us !== null && ` ${t("rollout.well", { time: day(running.well_us) })}`}</p>}
          </>
        )}
        {r.last_back && <p class="note-box"><b>{t("rollout.lastBack")}</b> {r.last_back}</p>}
        {may("ops") && <div class="gap"><TakeBack told={r} read={read} /></div>}
      </Panel>
      <Panel title={t("rollout.devices")} aside={r.devices.length}>
        {r.devices.length === 0 ? <p class="empty">{t("rollout.noDevices")}</p> : (
          <Table
            caption={t("rollout.devices")}
            head={[t("devices.name"), t("devices.role"), t("orders.state"), t("rollout.runs"), t("rollout.wanted"), t("rollout.refused")]}
            rows={r.devices.map((d) => ({
              key: d.source,
              cells: [
                d.source, d.role,
                <span class={`chip ${d.online ? "ok" : "bad"}`}>{d.online ? t("devices.online") : t("devices.offline")}</span>,
                <>{d.number === 0 ? t("rollout.own") : d.number}{d.trial && <span class="chip soon">{t("rollout.trial")}</span>}</>,
                d.wanted ?? "–",
                d.refused ? <span class="flag">{d.refused}: {d.refused_why}</span> : "–",
              ],
            }))}
          />
        )}
      </Panel>
      <Panel title={t("rollout.history")} aside={r.history.length}>
        {r.history.length === 0 ? <p class="empty">{t("rollout.noHistory")}</p> : (
          <Table caption={t("rollout.history")} head={[t("access.when"), t("access.action"), t("access.subject"), t("access.detail"), t("access.who")]}
            rows={r.history.map((h) => ({ key: String(h.n), cells: [day(h.at_us), <span class={h.done ? "" : "flag"}>{h.action}</span>, h.subject, h.detail, h.who === "nobody" ? t("rollout.itself") : h.who] }))} />
        )}
      </Panel>
    </div>
  );
}

function TakeBack({ told, read }: { told: Rollout; read: () => Promise<unknown> }) {
  const asked = useSignal(false);
  const reason = useSignal("");
  const target = told.running && told.running.stage !== "back" ? told.good : told.running ? null : told.before;
  if (!told.running && !told.before) return null;
  if (told.running?.stage === "back") return null;
  const back = (e: Event) => {
    e.preventDefault();
    void attempt(async () => {
      await post("/api/rollout/back", { reason: reason.value });
      toast.value = { words: t("rollout.goesBack") };
      asked.value = false;
      reason.value = "";
      await read();
    });
  };
  if (!asked.value) return <p class="row"><button type="button" onClick={() => (asked.value = true)}>{t("rollout.takeBack")}</button></p>;
  return (
    <form class="refund" onSubmit={back}>
      <p class="wide">{target ? t("rollout.backTo", { to: name(target), why: target.why }) : t("rollout.backToNone")}</p>
      <label class="wide">{t("receipts.reason")}<input required maxLength={200} value={reason.value} onInput={(e) => (reason.value = e.currentTarget.value)} /></label>
      <button class="danger">{t("rollout.takeBack")}</button>
      <button type="button" onClick={() => (asked.value = false)}>{t("me.cancel")}</button>
    </form>
  );
}
