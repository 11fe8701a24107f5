// Covers with supabase-js: asked for, watched, taken back, shown.
//
// Run by tests/test_covers_clients.py, which says in SHOP where everything is. The author has 30
// credits left and two covers, the first of which is shown; the stranger has 4 credits. Nobody
// draws meanwhile.

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

const author = clientOf(shop.author.token);
const stranger = clientOf(shop.stranger.token);
const service = clientOf(shop.service.token);
const anonymous = clientOf(null);

const refusal = async (call, status, hint) => {
  const { data, error, status: given } = await call;
  assert.equal(data, null);
  assert.equal(given, status, JSON.stringify(error));
  assert.equal(error.code, `PT${status}`);
  assert.equal(error.hint, hint);
  assert.ok(error.message);
  return error;
};

const order = (style, more = {}) => ({ story_id: shop.story, style, ...more });

test("the styles say what a cover costs", async () => {
  const { data, error } = await anonymous.from("cover_styles").select("style, price_credits");
  assert.equal(error, null);
  assert.deepEqual(
    data.map((each) => each.style),
    ["realistic", "artistic", "fantasy", "minimalist", "vintage"],
  );
  assert.ok(data.every((each) => each.price_credits === 5));
});

test("a cover is asked for once for a key, and taken back once", async () => {
  const wanted = order("vintage", { prompt: "a lighthouse" });
  const keyed = clientOf(shop.author.token, { "Idempotency-Key": "from-javascript" });
  const { data: asked, error } = await keyed.rpc("request_cover", wanted);
  assert.equal(error, null);
  assert.deepEqual(
    [asked.state, asked.cost_credits, asked.balance, asked.position],
    ["pending", 5, 25, 1],
  );
  assert.ok(new Date(asked.estimated_completion) > new Date("2020-01-01"));
  const { data: again } = await keyed.rpc("request_cover", wanted);
  assert.deepEqual(again, asked);
  await refusal(keyed.rpc("request_cover", order("fantasy")), 409, "idempotency_mismatch");
  await refusal(author.rpc("request_cover", wanted), 409, "cover_already_requested");

  const job = { job_id: asked.job_id };
  await refusal(stranger.rpc("cancel_cover", job), 404, "cover_job_not_found");
  const { data: back } = await author.rpc("cancel_cover", job);
  assert.deepEqual(back, { state: "canceled", credits_returned: 5, balance: 30 });
  const late = await refusal(author.rpc("cancel_cover", job), 409, "cover_job_over");
  assert.equal(late.details, "It is canceled.");
});

test("what cannot be made is refused in words", async () => {
  const unknown = await refusal(
    author.rpc("request_cover", order("cubist")),
    400,
    "unknown_style",
  );
  assert.match(unknown.details, /realistic, artistic, fantasy, minimalist, vintage/);
  await refusal(
    author.rpc("request_cover", order("fantasy", { prompt: "x".repeat(10_000) })),
    400,
    "text_too_long",
  );
  await refusal(
    author.rpc("request_cover", order("fantasy", { priority: 99 })),
    400,
    "invalid_priority",
  );
  await refusal(
    author.rpc("request_cover", order("fantasy", { priority: 1 })),
    403,
    "priority_reserved",
  );
  await refusal(stranger.rpc("request_cover", order("fantasy")), 404, "story_not_found");
  const poor = await refusal(
    stranger.rpc("request_cover", { story_id: shop.stranger.story, style: "fantasy" }),
    402,
    "insufficient_credits",
  );
  assert.equal(poor.details, "This costs 5 credits; you have 4.");
  const nobody = await anonymous.rpc("request_cover", order("fantasy"));
  assert.deepEqual([nobody.status, nobody.error.code], [401, "42501"]);
});

test("the queue is watched as a table", async () => {
  const { data: asked } = await author.rpc("request_cover", order("minimalist"));
  const { data: open } = await author
    .rpc("cover_queue", {}, { get: true })
    .eq("story_id", shop.story)
    .eq("state", "pending");
  assert.deepEqual(
    open.map((each) => [each.job_id, each.position, each.progress]),
    [[asked.job_id, 1, 0]],
  );
  const { data: all } = await author
    .rpc("cover_queue", {}, { get: true })
    .select("style, state, cover_id")
    .order("style");
  assert.deepEqual(all, [
    { style: "artistic", state: "completed", cover_id: shop.covers[1] },
    { style: "minimalist", state: "pending", cover_id: null },
    { style: "realistic", state: "completed", cover_id: shop.covers[0] },
    { style: "vintage", state: "canceled", cover_id: null },
  ]);
  const { data: others } = await stranger.rpc("cover_queue", {}, { get: true });
  assert.deepEqual(others, []);
  const { data: figures } = await service.rpc("cover_figures", {}, { get: true });
  assert.deepEqual([figures.waiting, figures.running, figures.completed_today], [1, 0, 2]);
  const { count } = await author
    .from("cover_generation_queue")
    .select("id", { count: "exact", head: true });
  assert.equal(count, 4);
});

test("another one is shown, and readers see it with the story", async () => {
  const [first, second] = shop.covers;
  const story = async (client) => {
    const { data } = await client
      .from("stories")
      .select("title, cover_url, story_covers(id, cover_url, is_primary, generation_prompt)")
      .eq("id", shop.story)
      .single();
    return data;
  };
  assert.deepEqual((await story(anonymous)).story_covers.map((each) => each.id), [first]);
  const { data: shown } = await author.rpc("set_primary_cover", { cover_id: second });
  assert.equal(shown, second);
  const seen = await story(anonymous);
  assert.equal(seen.story_covers.length, 1);
  assert.deepEqual(
    [seen.story_covers[0].id, seen.story_covers[0].is_primary, seen.cover_url],
    [second, true, seen.story_covers[0].cover_url],
  );
  assert.equal(seen.story_covers[0].generation_prompt, "");
  assert.equal((await story(author)).story_covers.length, 2);

  await refusal(stranger.rpc("remove_cover", { cover_id: first }), 404, "cover_not_found");
  const { data: removed } = await author.rpc("remove_cover", { cover_id: first });
  assert.equal(removed, first);
  await refusal(author.rpc("set_primary_cover", { cover_id: first }), 404, "cover_not_found");
  const { error } = await author
    .from("story_covers")
    .update({ is_primary: false })
    .eq("id", second);
  assert.equal(error.code, "42501");
});
