// Coupon codes that a shopper shows, and points that they redeem, for the visit that lasts now.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, type Offers as Told, post } from "../api";
import { money, t } from "../words";

export function Offers() {
  const told = useSignal<Told | null>(null);
  const code = useSignal("");
  const why = useSignal("");
  const read = () => get<Told>("/api/me/offers").then((offers) => (told.value = offers), () => {});
  useEffect(() => void read(), []);
  const has = told.value;
  if (!has || (!has.coupons && has.point_worth_minor === null)) return null;
  const show = async (codes: string[], redeem: boolean) => {
    try {
      await post("/api/me/offers", { codes, redeem });
      why.value = "";
      code.value = "";
    } catch (error) {
      why.value = (error as Error).message;
    }
    await read();
  };
  const redeems = has.redeem_points > 0;
  const add = (e: Event) => {
    e.preventDefault();
    if (code.value.trim()) void show([...has.codes, code.value.trim()], redeems);
  };
  return (
    <div class="offers" aria-live="polite">
      <h3>{t("me.offers")}</h3>
      {has.codes.map((c) => (
        <p class="row" key={c}>
          <span class="mono">{c}</span>
          <button type="button" onClick={() => void show(has.codes.filter((other) => other !== c), redeems)}>{t("me.codeOff", { code: c })}</button>
        </p>
      ))}
      {has.coupons && (
        <form onSubmit={add} class="row">
          <label>{t("me.coupon")} <input maxLength={64} value={code.value} autocapitalize="characters" onInput={(e) => (code.value = e.currentTarget.value)} /></label>
          <button>{t("me.couponShow")}</button>
        </form>
      )}
      {has.point_worth_minor !== null && (
        <label class="check">
          <input type="checkbox" checked={redeems} disabled={has.points === 0} onChange={(e) => void show(has.codes, e.currentTarget.checked)} />
          {t("me.redeem", { n: has.points, amount: money(has.points * has.point_worth_minor) })}
        </label>
      )}
      <p class="when">{t("me.offersWhen")}</p>
      <p role="alert" class="flag">{why.value}</p>
    </div>
  );
}
