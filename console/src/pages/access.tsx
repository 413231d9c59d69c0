// Who may sign in with which role, and what was done.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Account, type Audit, get, may, post, type Role } from "../api";
import { attempt, Panel, Table } from "../parts";
import { day, t } from "../words";

export function AccessPage() {
  const accounts = useSignal<Account[]>([]);
  const audit = useSignal<Audit | null>(null);
  const name = useSignal("");
  const role = useSignal<Role>("staff");
  const made = useSignal<{ name: string; password: string } | null>(null);
  const read = () =>
    attempt(async () => {
      [accounts.value, audit.value] = await Promise.all([get<Account[]>("/api/accounts"), get<Audit>("/api/audit?limit=200")]);
    });
  useEffect(() => void read(), []);
  const add = (e: Event) => {
    e.preventDefault();
    void attempt(async () => {
      const { password } = await post<{ password: string }>("/api/accounts", { name: name.value, role: role.value, credential: null });
      made.value = { name: name.value, password };
      name.value = "";
      await read();
    });
  };
  const disable = (a: Account) =>
    attempt(async () => {
      await post("/api/accounts/disabled", { name: a.name, disabled: !a.disabled });
      await read();
    });
  return (
    <div class="stack">
      <Panel title={t("access.accounts")} aside={accounts.value.length}>
        <Table caption={t("access.accounts")} head={[t("sign.name"), t("access.role"), t("access.state"), t("access.change")]}
          rows={accounts.value.map((a) => ({
            key: a.name,
            cells: [a.name, <>{t(`role.${a.role}`)}{a.outside && <span class="when"> {t("access.outside")}</span>}</>,
              <span class={`chip ${a.disabled ? "bad" : a.must_change ? "soon" : "ok"}`}>{a.disabled ? t("access.out") : a.must_change ? t("access.waiting") : t("access.active")}</span>,
              may("ops") ? <button type="button" class="small" onClick={() => void disable(a)}>{a.disabled ? t("access.enable") : t("access.disable")}<span class="unseen"> {a.name}</span></button> : null],
          }))} />
        {may("ops") && (
          <form class="refund" onSubmit={add}>
            <label>{t("sign.name")}<input required maxLength={64} autocomplete="off" value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} /></label>
            <label>
              {t("access.role")}
              <select value={role.value} onChange={(e) => (role.value = e.currentTarget.value as Role)}>
                {(["staff", "manager", "ops", "auditor"] as const).map((r) => <option key={r} value={r}>{t(`role.${r}`)}</option>)}
              </select>
            </label>
            <button class="primary">{t("access.add")}</button>
          </form>
        )}
        <p role="status">{made.value && <b class="mono">{t("access.made", made.value)}</b>}</p>
      </Panel>
      <Panel title={t("access.audit")} aside={audit.value && <span class={audit.value.whole ? "ok" : "flag"}>{audit.value.whole ? t("access.whole") : t("access.broken")}</span>}>
        <Table caption={t("access.audit")} head={[t("access.when"), t("access.who"), t("access.action"), t("access.subject"), t("access.detail")]}
          rows={(audit.value?.rows ?? []).map((r) => ({ key: String(r.n), cells: [day(r.at_us), `${r.who} (${r.role})`, <>{r.action}{!r.done && <b class="flag"> {t("access.refused")}</b>}</>, r.subject, r.detail] }))} />
      </Panel>
    </div>
  );
}
