// store.toml in the console: what is in force, checked as it is written, saved whole or not at all.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type ConfigText, get, may, post, type Saved } from "../api";
import { attempt, Empty, Panel } from "../parts";
import { toast } from "../state";
import { day, number, t } from "../words";

/** After the last key stroke; the server is not asked for each. */
const PAUSE_MS = 500;

export function ConfigPage() {
  const told = useSignal<ConfigText | null>(null);
  const none = useSignal(false);
  const text = useSignal("");
  const checked = useSignal<Saved | null>(null);
  const box = useRef<HTMLTextAreaElement>(null);
  const read = () =>
    get<ConfigText>("/api/config").then((c) => {
      told.value = c;
      text.value = c.text;
      checked.value = null;
    }, () => (none.value = true));
  useEffect(() => void read(), []);
  useEffect(() => {
    if (!told.value || text.value === told.value.text || !may("ops")) return;
    const timer = setTimeout(() => void attempt(async () => {
      const asked = text.value;
      const answer = await post<Saved>("/api/config/check", asked);
      if (asked === text.value) checked.value = answer;
    }), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text.value]);
  const c = told.value;
  if (none.value) return <section class="panel"><Empty icon="config" words={t("config.off")} /></section>;
  if (!c) return <section class="panel" aria-busy="true" />;
  const changed = text.value !== c.text;
  const save = (e: Event) => {
    e.preventDefault();
    void attempt(async () => {
      const answer = await post<Saved>("/api/config", { text: text.value, from: c.digest });
      checked.value = answer;
      if (!answer.ok) return;
      toast.value = { words: t("config.saved") };
      await read();
    });
  };
  /** Puts the cursor where a mistake is. */
  const show = (line: number) => {
    const area = box.current!;
    const start = text.value.split("\n").slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0);
    const end = text.value.indexOf("\n", start);
    area.focus();
    area.setSelectionRange(start, end < 0 ? text.value.length : end);
    area.scrollTop = (line - 4) * parseFloat(getComputedStyle(area).lineHeight);
  };
  const lines = text.value.split("\n").length;
  return (
    <Panel
      title="store.toml"
      class="editor"
      aside={<span>{c.saved_by ? t("config.by", { who: c.saved_by, time: day(c.saved_us ?? 0) }) : t("config.file")} · {t("config.lines", { n: number(lines) })}</span>}
    >
      <p class="when">{t("config.why")}</p>
      {c.waits_for_start && <p class="note-box">{t("config.waits")}</p>}
      <form onSubmit={save}>
        <label class="unseen" for="config-text">{t("ops.paste")}</label>
        <textarea id="config-text" ref={box} rows={26} spellcheck={false} wrap="off" readOnly={!may("ops")} value={text.value} aria-describedby="config-told"
          onInput={(e) => (text.value = e.currentTarget.value)} />
        <div id="config-told" role="status" class="told">
          {!changed && !checked.value && <span class="when">{t("config.same")}</span>}
          {changed && !checked.value && <span class="when">{t("config.checking")}</span>}
          {checked.value && (
            <>
              <b class={checked.value.ok ? "ok" : "flag"}>{checked.value.ok ? t("ops.fine") : t("ops.wrong")}</b>
              <ul class="plain mono">
                {checked.value.messages.map((m, i) => {
                  const line = Number(/store\.toml:(\d+)/.exec(m)?.[1] ?? 0);
                  return <li key={i}>{line > 0 ? <button type="button" class="link" onClick={() => show(line)}>{m}</button> : m}</li>;
                })}
              </ul>
            </>
          )}
        </div>
        {may("ops") && (
          <p class="row">
            <button class="primary" disabled={!changed || checked.value?.ok === false}>{t("config.save")}</button>
            <button type="button" disabled={!changed} onClick={() => { text.value = c.text; checked.value = null; }}>{t("config.undo")}</button>
          </p>
        )}
      </form>
    </Panel>
  );
}
