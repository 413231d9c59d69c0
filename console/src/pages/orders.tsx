// Online orders: what is promised, who fetches it, what customers are asked; robots, and work for staff.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, may, type Order, post, type Robot, type Task } from "../api";
import { attempt, Empty, Panel, short, Table } from "../parts";
import { moved, products } from "../state";
import { type Key, number, t, time } from "../words";

const OVER = new Set(["handed_over", "cancelled"]);

export function OrdersPage() {
  const orders = useSignal<Order[]>([]);
  const tasks = useSignal<Task[]>([]);
  const robots = useSignal<Robot[]>([]);
  const again = useSignal(0);
  const tick = Math.floor(moved.value / 4);
  const read = () => {
    void get<Order[]>("/api/orders").then((o) => (orders.value = o), () => {});
    void get<Task[]>("/api/tasks").then((o) => (tasks.value = o), () => {});
    void get<Robot[]>("/api/robots").then((r) => (robots.value = r), () => {});
  };
  useEffect(read, [tick, again.value]);
  // Orders move although nobody does.
  useEffect(() => {
    const timer = setInterval(read, 2000);
    return () => clearInterval(timer);
  }, []);
  const name = (sku: string) => products.value.get(sku)?.name ?? sku;
  const act = (path: string, body: unknown) => () => attempt(async () => {
    await post(path, body);
    again.value++;
  });
  const open = orders.value.filter((o) => !OVER.has(o.state)).length;
  const asked = orders.value.filter((o) => o.question);
  const todo = tasks.value.filter((k) => ["waiting", "assigned", "underway"].includes(k.state));
  return (
    <div class="two even">
      <div class="stack">
        {asked.length > 0 && (
          <Panel title={t("orders.asked")} aside={asked.length}>
            <ul class="plain">
              {asked.map((o) => (
                <li key={o.order}>
                  <b>{short(o.order)}</b>: {t("orders.missing", { n: o.question!.missing, name: name(o.question!.sku) })}{" "}
                  {may("staff") && (
                    <span>
                      {o.question!.substitute && <button type="button" class="small" onClick={act("/api/orders/answer", { order: o.order, answer: "substitute" })}>{t("orders.instead", { name: name(o.question!.substitute) })}</button>}{" "}
                      <button type="button" class="small" onClick={act("/api/orders/answer", { order: o.order, answer: "leave_out" })}>{t("orders.leaveOut")}</button>
                    </span>
                  )}
                </li>
              ))}
            </ul>
          </Panel>
        )}
        <Panel title={t("orders.title")} aside={open}>
          {orders.value.length === 0 ? <Empty icon="orders" words={t("orders.none")} /> : (
            <Table
              caption={t("orders.title")}
              head={[t("orders.order"), t("orders.due"), t("orders.state"), t("orders.picked"), <span class="unseen">{t("orders.next")}</span>]}
              rows={orders.value.map((o) => ({
                key: o.order,
                cells: [
                  short(o.order),
                  o.due_us ? <span class={!OVER.has(o.state) && o.due_us / 1000 < Date.now() ? "flag" : ""}>{time(o.due_us)}</span> : "–",
                  <span title={o.reason ?? undefined}>{t(`orders.is.${o.state}` as Key)}{o.reason ? `: ${o.reason}` : ""}</span>,
                  o.lines.map((l) => `${l.picked}/${l.quantity} ${name(l.sku)}`).join(", "),
                  may("staff") ? <Step order={o} done={() => again.value++} /> : "",
                ],
              }))}
            />
          )}
        </Panel>
      </div>
      <div class="stack">
        <Panel title={t("orders.tasks")} aside={todo.length}>
          {todo.length === 0 ? <Empty icon="orders" words={t("orders.idle")} /> : (
            <Table
              caption={t("orders.tasks")}
              head={[t("orders.what"), t("stock.plate"), t("orders.by"), t("orders.state"), <span class="unseen">{t("orders.next")}</span>]}
              rows={todo.map((k) => ({
                key: k.task,
                cells: [
                  `${t(`orders.kind.${k.task_kind}` as Key)} ${k.quantity} × ${name(k.sku)}`,
                  k.plate,
                  k.assignee ?? "–",
                  <span title={k.reason ?? undefined}>{t(`orders.task.${k.state}` as Key)}</span>,
                  may("staff") ? (
                    k.assignee === "staff" ? (
                      <span>
                        <button type="button" class="small" onClick={act("/api/tasks/tell", { task: k.task, state: "done" })}>{t("orders.done")}</button>{" "}
                        <button type="button" class="small" onClick={act("/api/tasks/tell", { task: k.task, state: "failed", reason: t("orders.notThere") })}>{t("orders.notThere")}</button>
                      </span>
                    ) : <button type="button" class="small" onClick={act("/api/tasks/tell", { task: k.task, state: "assigned" })}>{t("orders.take")}</button>
                  ) : "",
                ],
              }))}
            />
          )}
        </Panel>
        {robots.value.length > 0 && (
          <Panel title={t("orders.robots")} aside={`${robots.value.filter((r) => r.online).length}/${robots.value.length}`}>
            <Table
              caption={t("orders.robots")}
              head={[t("orders.robot"), t("orders.at"), t("orders.battery"), t("orders.state")]}
              rows={robots.value.map((r) => ({
                key: r.robot,
                cells: [
                  r.robot,
                  r.node ?? "–",
                  `${number(r.battery)} %`,
                  r.notice ? (
                    <span class="flag">{r.notice}{may("staff") && <>{" "}<button type="button" class="small" onClick={act("/api/robots/moved-home", { robot: r.robot })}>{t("orders.movedHome")}</button></>}</span>
                  ) : r.unfit ?? (r.tasks.length ? r.tasks.join(", ") : t(r.charging ? "orders.charging" : "orders.free")),
                ],
              }))}
            />
          </Panel>
        )}
      </div>
    </div>
  );
}

/** The next thing that a person does with an order. */
function Step({ order, done }: { order: Order; done: () => void }) {
  const code = useSignal("");
  const send = (path: string, body: unknown) => attempt(async () => {
    await post(path, body);
    code.value = "";
    done();
  });
  const carried = order.handover === "courier" || order.handover === "agent";
  if (order.state === "ready" && carried) {
    return <button type="button" class="small" onClick={() => void send("/api/orders/collect", { order: order.order })}>{t("orders.collect")}</button>;
  }
  if (order.state !== "ready" && order.state !== "on_the_way") return <></>;
  return (
    <form class="inline" onSubmit={(e) => { e.preventDefault(); void send("/api/orders/hand-over", { order: order.order, code: code.value }); }}>
      <label class="unseen" for={`code-${order.order}`}>{t("orders.code")}</label>
      <input id={`code-${order.order}`} inputMode="numeric" autocomplete="off" size={6} maxLength={6} required placeholder={t("orders.code")} value={code.value} onInput={(e) => (code.value = e.currentTarget.value)} />{" "}
      <button class="small">{t("orders.handOver")}</button>
    </form>
  );
}
