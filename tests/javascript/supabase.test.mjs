// supabase-js against a plain PostgREST.
//
// Supabase's gateway serves PostgREST under /rest/v1; by itself it is served at the root. The
// client takes a `fetch` of one's own, which is where that part of the path is left out. The key
// is what it is on Supabase: a token of role anon, sent when nobody is signed in.

import assert from "node:assert/strict";
import test from "node:test";
import { createClient } from "@supabase/supabase-js";
import { chapter, shop } from "./shop.mjs";

const withoutGateway = (input, init) => fetch(String(input).replace("/rest/v1/", "/"), init);

// Nothing is subscribed to here, and Node.js has WebSockets of its own only from 22 on.
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

const refusal = async (call, status, code, hint) => {
  const { data, error, status: given } = await call;
  assert.equal(data, null);
  assert.equal(given, status, JSON.stringify(error));
  assert.equal(error.code, code);
  assert.equal(error.hint, hint);
  assert.ok(error.message);
  return error;
};

test("packages are listed in order", async () => {
  const { data, error } = await reader
    .from("credit_packages")
    .select("name, credits_amount, bonus_credits, price_usd")
    .gt("sort_order", 0) // those that come with the product: other tests put theirs before
    .order("sort_order");
  assert.equal(error, null);
  assert.equal(data.length, 4);
  assert.deepEqual(data[0], {
    name: "Starter Pack",
    credits_amount: 100,
    bonus_credits: 10,
    price_usd: 4.99,
  });
});

test("the token says who one is", async () => {
  const { data } = await reader.rpc("me");
  assert.equal(data.id, shop.reader.id);
  assert.equal(data.credits_balance, 20);
});

test("a chapter is quoted, bought once for a key, and read", async () => {
  const { data: quote } = await reader.rpc("quote_story", chapter(3), { get: true });
  assert.equal(quote.cost, 5);
  assert.equal(quote.can_afford, true);

  const refused = await reader.rpc("read_chapter", { story_id: shop.story, chapter_number: 3 });
  assert.equal(refused.status, 402);

  const order = chapter(3, { max_credits: quote.cost, idempotency_key: "once" });
  const { data: bought } = await reader.rpc("purchase_story", order);
  assert.equal(bought.credits_spent, 5);
  assert.equal(bought.balance, 15);
  const { data: again } = await reader.rpc("purchase_story", order);
  assert.deepEqual(again, bought);
  const { data: owned } = await reader.rpc("purchase_story", chapter(3));
  assert.equal(owned.credits_spent, 0);
  assert.equal(owned.already_owned, true);

  const { data: text } = await reader.rpc(
    "read_chapter",
    { story_id: shop.story, chapter_number: 3 },
    { get: true },
  );
  assert.equal(text.content, "Some words.");
  assert.equal(text.access, "owned");
});

test("the key may come as a header", async () => {
  const keyed = clientOf(shop.reader.token, { "Idempotency-Key": "as a header" });
  const bundle = { story_id: shop.story, purchase_type: "bundle", chapters: [4, 5] };
  const { data: bought } = await keyed.rpc("purchase_story", bundle);
  assert.equal(bought.credits_spent, 9); // 10 less 15 %, rounded up
  const { data: again } = await keyed.rpc("purchase_story", bundle);
  assert.deepEqual(again, bought);
  await refusal(keyed.rpc("purchase_story", chapter(6)), 409, "PT409", "idempotency_mismatch");
});

test("one sees one's own statement and nobody else's", async () => {
  const { data: own, count } = await reader
    .from("credit_transactions")
    .select("amount, balance_after, transaction_type", { count: "exact" })
    .order("id");
  assert.equal(count, 3);
  assert.deepEqual(
    own.map((row) => [row.transaction_type, row.amount, row.balance_after]),
    [
      ["bonus", 20, 20],
      ["spend", -5, 15],
      ["spend", -9, 6],
    ],
  );
  const { data: theirs } = await stranger
    .from("credit_transactions")
    .select("user_id")
    .eq("user_id", shop.reader.id);
  assert.deepEqual(theirs, []);
  const { data: purchases } = await stranger.from("story_purchases").select();
  assert.deepEqual(purchases, []);
});

test("a refusal carries status, code, message, details and hint", async () => {
  const poor = await refusal(
    stranger.rpc("purchase_story", chapter(3)),
    402,
    "PT402",
    "insufficient_credits",
  );
  assert.equal(poor.message, "Not enough credits.");
  assert.equal(poor.details, "This costs 5 credits; you have 3.");
  await refusal(
    stranger.rpc("purchase_story", chapter(3, { max_credits: 1 })),
    409,
    "PT409",
    "price_changed",
  );
  await refusal(
    stranger.rpc("purchase_story", chapter(3, { purchase_type: "bundle" })),
    422,
    "PT422",
    "bundle_too_small",
  );
  await refusal(stranger.rpc("purchase_story", chapter(99)), 404, "PT404", "chapter_not_found");
  await refusal(
    stranger.rpc("purchase_story", { ...chapter(3), purchase_type: "loan" }),
    400,
    "PT400",
    "unknown_purchase_type",
  );
  const grant = { user_id: shop.stranger.id, credits: 100, reason: "please" };
  await refusal(stranger.rpc("grant_credits", grant), 403, "42501", null);
});

test("without a valid token only what is public is there", async () => {
  const anonymous = clientOf(null);
  const { data } = await anonymous.from("credit_packages").select("name").gt("sort_order", 0);
  assert.equal(data.length, 4);
  await refusal(anonymous.rpc("purchase_story", chapter(3)), 401, "42501", null);
  await refusal(clientOf("a.b.c").from("credit_packages").select(), 401, "PGRST301", null);
});
