import { Empty, Panel, Table } from "../parts";
import { devices } from "../state";
import { day, number, t, time } from "../words";

export function DevicesPage() {
  const { devices: list, faults, sources } = devices.value;
  const words = (source: string) => {
    const own = faults.filter((f) => f.reported_by === source || f.device === source);
    return own.length ? own[0]!.message : "–";
  };
  return (
    <div class="stack">
      <Panel title={t("devices.title")} aside={list.filter((d) => d.online).length + "/" + list.length}>
        <Table
          caption={t("devices.title")}
          head={[t("devices.name"), t("devices.role"), t("orders.state"), t("devices.version"), t("devices.heard"), t("devices.ledger"), t("devices.words")]}
          rows={list.map((d) => {
            const own = sources.filter((s) => s.source === d.source);
            return {
              key: d.source,
              cells: [d.source, d.role, <span class={`chip ${d.online ? "ok" : "bad"}`}>{d.online ? t("devices.online") : t("devices.offline")}</span>, d.version, d.time_us ? day(d.time_us) : "–", number(own.reduce((s, o) => s + o.contiguous_seq, 0)) || "–", words(d.source)],
            };
          })}
        />
      </Panel>
      <Panel title={t("devices.faults")} aside={faults.filter((f) => !f.cleared).length}>
        {faults.length === 0 && <Empty icon="devices" words={t("devices.noFaults")} />}
        <ul class="plain">
          {faults.map((f) => (
            <li key={f.device + f.fault}>
              <b class={f.cleared ? "" : "flag"}>{f.cleared ? t("devices.cleared") : t("devices.lasts")}</b> · <b>{f.device}</b> {f.fault} · {time(f.time_us)}<br />{f.message}
            </li>
          ))}
        </ul>
      </Panel>
    </div>
  );
}
