// The shopper's phone when the store goes away and comes back: the page opens all the same, says so, and is itself again;
// a group on one code; deleting one's data. The server is killed as a loss of power does.

import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root, Store, until } from "./store.mjs";

export async function phoneDay({ browser, watch, fair, shot, tell }) {
  const store = new Store(join(root, "store-sync/examples/corner.toml"));
  try {
    await store.open();
    const mobile = await browser.newContext({ viewport: { width: 400, height: 820 }, deviceScaleFactor: 1.5, locale: "en-GB", colorScheme: "light" });
    const phone = await mobile.newPage();
    watch(phone);
    await phone.goto(`${store.console}me.html`);
    // What makes a page an app: a manifest with a name and an icon, and a worker that answers without a connection.
    const manifest = await phone.evaluate(async () => (await fetch(document.querySelector("link[rel=manifest]").href)).json());
    assert.deepEqual([manifest.display, manifest.icons.length > 0], ["standalone", true]);
    await phone.getByRole("button", { name: "Use this phone" }).click();
    await phone.locator("svg.qr").waitFor();
    const pseudonym = await phone.locator(".pseudonym").textContent();
    await phone.evaluate(async () => (await navigator.serviceWorker.ready).active.state);

    // A group: one code for all of them.
    const coded = phone.waitForResponse((r) => r.url().endsWith("/api/me/entry") && r.request().postDataJSON().party === 3);
    await phone.getByRole("button", { name: "One more" }).click();
    await phone.getByRole("button", { name: "One more" }).click();
    const { code } = await (await coded).json();
    const payload = Buffer.from(code.split(".")[1], "base64url").toString().split("|");
    assert.deepEqual([payload[0], payload[1], payload[2]], ["corner", pseudonym, "3"]);
    // As a gate that reads codes by itself checks it: with the key that the store leaves for gates.
    const x = readFileSync(join(store.data, "store/entry-keys.pub.txt"), "utf8").split("\n").find((l) => l && !l.startsWith("#"));
    const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    const [signed, signature] = [code.slice(0, code.lastIndexOf(".")), code.slice(code.lastIndexOf(".") + 1)];
    assert.ok(verify(null, Buffer.from(signed), key, Buffer.from(signature, "base64url")), "the gate's key fits the code");
    await phone.getByText("3 people, one receipt").waitFor();
    await fair("phone, a group", phone);
    tell("a code lets a group of three in on one receipt");

    // A coupon that the store does not know is refused in words, and nothing is shown.
    await phone.getByRole("button", { name: "Basket" }).click();
    await phone.getByLabel("Coupon code").fill("NOT-ONE");
    await phone.getByRole("button", { name: "Show" }).click();
    await phone.getByText('there is no coupon "NOT-ONE" here').waitFor();
    await fair("phone, coupons", phone);
    await phone.getByRole("button", { name: "Enter" }).click();
    tell("a coupon that is none is refused");

    // The store goes away: the page says so, and opens again without it.
    await store.kill();
    await phone.getByText("No connection to the store").waitFor();
    await phone.reload();
    await phone.getByRole("heading", { name: "No connection to the store" }).waitFor();
    await shot("phone-offline", phone);
    await fair("phone, offline", phone);
    await store.reopen();
    await phone.locator("svg.qr").waitFor();
    assert.equal(await phone.locator(".pseudonym").textContent(), pseudonym);
    tell("without the store the page opens and says so; with it, it is the same shopper's again");

    await phone.getByRole("button", { name: "Privacy" }).click();
    await phone.getByRole("button", { name: "Delete my data" }).click();
    await phone.getByRole("button", { name: "Delete it for good" }).click();
    await phone.getByText("Deleted. The store no longer knows this phone.").waitFor();
    await fair("phone, forgotten", phone);
    const left = await phone.evaluate(async () => (await fetch("/api/session")).json());
    assert.equal(left.name, null);
    await until("the session's end", async () => (await phone.evaluate(async () => (await fetch("/api/me")).status)) === 401);
    tell("the data is deleted, and the phone is nobody's");
    await mobile.close();
  } finally {
    await store.close();
  }
}
