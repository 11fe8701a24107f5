// Payments with supabase-js: begun at the edge with fetch, read where everything else is read.
//
// Run by tests/test_payments_clients.py, which says in SHOP where everything is.

import assert from "node:assert/strict";
import test from "node:test";
import { createClient } from "@supabase/supabase-js";
import { shop } from "./shop.mjs";

const withoutGateway = (input, init) => fetch(String(input).replace("/rest/v1/", "/"), init);

class NoWebSockets {}

const clientOf = (token, headers = {}) =>
  createClient(shop.url, shop.anonymousKey, {
    accessToken: async () => token,
    db: { schema: "api" },
    global: { fetch: withoutGateway, headers },
    realtime: { transport: NoWebSockets },
  });

const reader = clientOf(shop.reader.token);
const stranger = clientOf(shop.stranger.token);

const post = async (url, body, headers = {}) => {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
};

const purchase = (packageId, key) =>
  post(
    `${shop.edge}/credits/purchase`,
    { package_id: packageId },
    { Authorization: `Bearer ${shop.reader.token}`, "Idempotency-Key": key },
  );

// Looks again until it holds, for at most twenty seconds.
const until = async (look) => {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const seen = await look();
    if (seen || Date.now() > deadline) return seen;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

test("credits are bought, and the payment is there to read", async () => {
  const { data: packages } = await reader
    .from("credit_packages")
    .select("id, name")
    .eq("name", "Starter Pack");
  const begun = await purchase(packages[0].id, "from-javascript");
  assert.equal(begun.status, 201, JSON.stringify(begun.body));
  assert.equal(begun.body.amount_cents, 499);
  assert.deepEqual(await purchase(packages[0].id, "from-javascript"), begun);

  const intent = begun.body.client_secret.split("_secret_")[0];
  const paid = await post(`${shop.sandbox}/payment_intents/${intent}/confirm`, {
    payment_method: "pm_card_visa",
  });
  assert.equal(paid.status, 200);

  const payment = await until(async () => {
    const { data } = await reader
      .from("payments")
      .select("*")
      .eq("id", begun.body.payment_id)
      .eq("status", "succeeded")
      .maybeSingle();
    return data;
  });
  assert.equal(payment.package, "Starter Pack");
  assert.equal(payment.amount_usd, 4.99);
  assert.match(payment.receipt_number, /^R-\d{4}-\d{6}$/);
  const { data: balance } = await reader.rpc("credit_balance");
  assert.equal(balance.balance, 110);
  const { data: statement } = await reader
    .from("credit_transactions")
    .select("transaction_type, amount")
    .order("id");
  assert.deepEqual(statement, [
    { transaction_type: "purchase", amount: 100 },
    { transaction_type: "bonus", amount: 10 },
  ]);
});

test("the receipt is data, or a page", async () => {
  const { data: receipts } = await reader.from("receipts").select("*");
  assert.equal(receipts.length, 1);
  const id = { payment_id: receipts[0].payment_id };
  const { data: receipt } = await reader.rpc("receipt", id);
  assert.deepEqual(receipt, receipts[0]);
  assert.deepEqual([receipt.amount_cents, receipt.net_cents, receipt.is_live], [499, 499, false]);

  const page = await fetch(`${shop.url}/rpc/receipt?payment_id=${id.payment_id}`, {
    headers: { Accept: "text/html", Authorization: `Bearer ${shop.reader.token}` },
  });
  assert.match(page.headers.get("content-type"), /^text\/html/);
  assert.ok((await page.text()).includes(receipt.number));
});

test("nobody else sees any of it", async () => {
  for (const view of ["payments", "receipts", "refunds", "billing_history"]) {
    const { data, error } = await stranger.from(view).select("*");
    assert.equal(error, null);
    assert.deepEqual(data, [], view);
  }
  const { data: receipts } = await reader.from("receipts").select("payment_id");
  const { data, error, status } = await stranger.rpc("receipt", receipts[0]);
  assert.deepEqual([data, status, error.hint], [null, 404, "receipt_not_found"]);
  const { error: events, status: refused } = await reader.from("stripe_events").select("id");
  assert.equal(refused, 403, JSON.stringify(events));
});

test("a refund is the service's to make, and the reader's to see", async () => {
  const { data: payments } = await reader.from("payments").select("id");
  const refund = (token) =>
    post(
      `${shop.edge}/payments/${payments[0].id}/refund`,
      { amount_cents: 100, reason: "asked for it" },
      { Authorization: `Bearer ${token}` },
    );
  const mine = await refund(shop.reader.token);
  assert.deepEqual([mine.status, mine.body.hint], [403, "operator_required"]);
  assert.equal((await refund(shop.operator.token)).status, 201);
  const refunded = await until(async () => {
    const { data } = await reader.from("refunds").select("*").eq("status", "succeeded");
    return data.length === 1 && data[0];
  });
  assert.deepEqual([refunded.amount_cents, refunded.reason], [100, "asked for it"]);
  const { data: history } = await reader.from("billing_history").select("kind, amount_cents");
  assert.deepEqual(
    history.sort((one, other) => one.amount_cents - other.amount_cents),
    [
      { kind: "refund", amount_cents: -100 },
      { kind: "payment", amount_cents: 499 },
    ],
  );
});
