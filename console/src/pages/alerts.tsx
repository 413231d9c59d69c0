import { alerts } from "../alerts";
import { Empty, Panel } from "../parts";
import { Icon, type IconName } from "../icons";
import { t } from "../words";

export function AlertsPage() {
  const list = alerts.value;
  const bad = list.filter((a) => a.weight === "bad").length;
  return (
    <Panel title={t("alerts.title")} class="narrow" aside={list.length ? t("alerts.count", { n: list.length, bad }) : undefined}>
      <p class="when">{t("alerts.why")}</p>
      {list.length === 0 && <Empty icon="alerts" words={t("alerts.none")} />}
      <ul class="alerts" aria-live="polite">
        {list.map((a) => (
          <li key={a.id} class={a.weight}>
            <a href={`#${a.page}`}>
              <Icon name={a.page as IconName} />
              <span class="alert-words">
                <b>{a.words}</b>
                {a.more && <span class="when">{a.more}</span>}
              </span>
              <span class={`chip ${a.weight === "bad" ? "bad" : "soon"}`}>{t(a.weight === "bad" ? "alerts.now" : "alerts.soon")}</span>
            </a>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
