// Payouts with supabase-js: set up at the edge with fetch, asked for and read through PostgREST.
//
// Run by tests/test_payouts_clients.py, which says in SHOP where everything is. The creator can be
// paid and is owed 50 dollars; the newcomer is owed as much and has no account yet.

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

const creator = clientOf(shop.creator.token);
const newcomer = clientOf(shop.newcomer.token);
const service = clientOf(shop.service.token);

const refusal = async (call, status, hint) => {
  const { data, error, status: given } = await call;
  assert.equal(data, null);
  assert.equal(given, status, JSON.stringify(error));
  assert.equal(error.code, `PT${status}`);
  assert.equal(error.hint, hint);
  assert.ok(error.message);
  return error;
};

test("the account says what is missing, and where to go on", async () => {
  const { data: ready } = await creator.rpc("payout_account", {}, { get: true });
  assert.deepEqual([ready.state, ready.is_ready, ready.missing], ["ready", true, []]);
  const { data: none } = await newcomer.rpc("payout_account", {}, { get: true });
  assert.equal(none.message, "Set up payouts to receive what you earn.");
  await refusal(newcomer.rpc("request_payout"), 403, "payout_account_required");

  const answer = await fetch(`${shop.edge}/creators/connect`, {
    method: "POST",
    headers: {
      Authorization: `Bearer ${shop.newcomer.token}`,
      "Content-Type": "application/json",
    },
    body: "{}",
  });
  assert.equal(answer.status, 201);
  assert.match((await answer.json()).url, /^http/);
  const { data: begun } = await newcomer.rpc("payout_account", {}, { get: true });
  assert.equal(begun.state, "started");
  assert.ok(begun.missing.length > 0);
  await refusal(newcomer.rpc("request_payout"), 403, "payout_account_incomplete");
});

test("a payout is asked for once for a key", async () => {
  const order = { amount_usd: 12.5, idempotency_key: "from-javascript" };
  const { data: asked, error } = await creator.rpc("request_payout", order);
  assert.equal(error, null);
  assert.deepEqual(
    [asked.amount_cents, asked.currency, asked.status, asked.available_microdollars],
    [1250, "usd", "pending", 37_500_000],
  );
  const { data: again } = await creator.rpc("request_payout", order);
  assert.deepEqual(again, asked);
  const keyed = clientOf(shop.creator.token, { "Idempotency-Key": "from-javascript" });
  await refusal(keyed.rpc("request_payout", { amount_usd: 13 }), 409, "idempotency_mismatch");

  const { data: payout } = await creator
    .from("payouts")
    .select("id, amount_usd, status, batch_id")
    .eq("id", asked.payout_id)
    .single();
  assert.deepEqual(payout, {
    id: asked.payout_id,
    amount_usd: 12.5,
    status: "pending",
    batch_id: null,
  });
  const { data: figures } = await creator.rpc("earnings_summary", {}, { get: true });
  assert.equal(figures.on_the_way_microdollars, 12_500_000);
  assert.equal(figures.available_microdollars, 37_500_000);
});

test("what cannot be paid is refused with the figures", async () => {
  const low = await refusal(
    creator.rpc("request_payout", { amount_usd: 9.99 }),
    422,
    "below_minimum_payout",
  );
  assert.match(low.details, /\$37\.50/);
  await refusal(
    creator.rpc("request_payout", { amount_usd: 37.51 }),
    422,
    "not_enough_available",
  );
  await refusal(creator.rpc("request_payout", { amount_usd: "NaN" }), 400, "invalid_amount");
  await refusal(creator.rpc("request_payout", { amount_usd: 10.001 }), 400, "invalid_amount");
});

test("an operator holds it and lets it go, its creator cancels it", async () => {
  const { data: mine } = await creator.from("payouts").select("id").single();
  const id = { payout_id: mine.id };
  const { error } = await service.rpc("hold_payout", { ...id, reason: "much at once" });
  assert.equal(error, null);
  const { data: held } = await creator.from("payouts").select("status, hold_reason").single();
  assert.deepEqual(held, { status: "held", hold_reason: "much at once" });
  const forbidden = await creator.rpc("release_payout", id);
  assert.deepEqual([forbidden.status, forbidden.error.code], [403, "42501"]);
  await refusal(newcomer.rpc("cancel_payout", id), 404, "payout_not_found");
  const looked = await refusal(creator.rpc("cancel_payout", id), 409, "payout_held");
  assert.equal(looked.details, "much at once");
  assert.equal((await service.rpc("release_payout", id)).error, null);
  const { data: answer } = await creator.rpc("cancel_payout", id);
  assert.equal(answer, "canceled");
  await refusal(creator.rpc("cancel_payout", id), 409, "payout_not_pending");
  await refusal(service.rpc("release_payout", id), 409, "payout_not_held");
});

test("a month is closed, and each creator sees their own part of it", async () => {
  const { data: closed } = await service.rpc("run_monthly_payouts", { month: shop.lastMonth });
  assert.deepEqual([closed.payouts, closed.skipped, closed.total_cents], [1, 1, 5000]);
  await refusal(
    service.rpc("run_monthly_payouts", { month: shop.thisMonth }),
    422,
    "month_not_over",
  );
  const { data: paid } = await creator.from("individual_payouts").select("month, amount_usd");
  assert.deepEqual(paid, [{ month: shop.lastMonth, amount_usd: 50 }]);
  const { data: skipped } = await newcomer.from("payout_skips").select("month, reason");
  assert.deepEqual(skipped, [{ month: shop.lastMonth, reason: "not_verified" }]);
  const { data: batches } = await service
    .from("monthly_payout_batches")
    .select("month, state, payouts, waiting");
  assert.deepEqual(batches, [
    { month: shop.lastMonth, state: "closed", payouts: 1, waiting: 1 },
  ]);
  const refused = await creator.from("monthly_payout_batches").select("month");
  assert.equal(refused.status, 403);
});

test("the statement is data, a table or a page", async () => {
  const month = { month: shop.thisMonth };
  const { data: statement } = await creator.rpc("payout_statement", month, { get: true });
  assert.equal(
    statement.opening_microdollars +
      statement.sales_microdollars +
      statement.refunds_microdollars +
      statement.adjustments_microdollars +
      statement.payouts_microdollars,
    statement.closing_microdollars,
  );
  assert.equal(statement.payouts_microdollars, -50_000_000);
  const { data: listed } = await creator.from("payout_statements").select("*");
  assert.deepEqual(listed, [statement]);
  const { data: table } = await creator.rpc("payout_statement", month, { get: true }).csv();
  assert.equal(table.split("\r\n").length, statement.lines.length + 4);

  const page = await fetch(`${shop.url}/rpc/payout_statement?month=${shop.thisMonth}`, {
    headers: { Accept: "text/html", Authorization: `Bearer ${shop.creator.token}` },
  });
  assert.match(page.headers.get("content-type"), /^text\/html/);
  assert.match(await page.text(), /Closing balance/);
  await refusal(
    newcomer.rpc("payout_statement", { ...month, creator_id: shop.creator.id }),
    403,
    "operator_required",
  );
});
