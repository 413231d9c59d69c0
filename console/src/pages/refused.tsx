// Whom the store did not let in, and why: the words that the shopper was told.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, type Refusal } from "../api";
import { short } from "../parts";
import { t, time } from "../words";

/** How often it is looked for. */
const EVERY_MS = 5000;

export function RefusedList() {
  const list = useSignal<Refusal[]>([]);
  useEffect(() => {
    const read = () => void get<Refusal[]>("/api/entry/refused").then((all) => (list.value = all), () => {});
    read();
    const timer = setInterval(read, EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  if (list.value.length === 0) return null;
  return (
    <details open>
      <summary>{t("floor.refused")} ({list.value.length})</summary>
      <ul class="refused">
        {list.value.slice(0, 10).map((r) => (
          <li key={r.credential + r.reason}><span class="when">{time(r.at_us)}</span> <b>{short(r.credential)}</b>: {r.reason}</li>
        ))}
      </ul>
    </details>
  );
}
