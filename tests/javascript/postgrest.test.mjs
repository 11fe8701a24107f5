// postgrest-js, the part of supabase-js that speaks to PostgREST, with nothing in between.

import assert from "node:assert/strict";
import test from "node:test";
import { PostgrestClient } from "@supabase/postgrest-js";
import { chapter, shop } from "./shop.mjs";

const clientOf = (token, headers = {}) =>
  new PostgrestClient(shop.url, {
    schema: "api",
    headers: { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...headers },
  });

const reader = clientOf(shop.reader.token);
const stranger = clientOf(shop.stranger.token);
const anonymous = clientOf(null);

test("everybody may look, search and read what is free", async () => {
  const { data: found } = await anonymous.rpc("search_stories", { query: "tests" }).limit(5);
  assert.ok(found.length > 0);
  const { data: contents } = await anonymous
    .from("stories")
    .select("title, chapters(chapter_number)")
    .eq("id", shop.story)
    .single();
  assert.equal(contents.chapters.length, 12);
  const first = { story_id: shop.story, chapter_number: 1 };
  const { data: text } = await anonymous.rpc("read_chapter", first, { get: true });
  assert.equal(text.access, "free");
  const { status, error } = await anonymous.rpc("purchase_story", chapter(3));
  assert.equal(status, 401);
  assert.equal(error.code, "42501");
});

test("sixteen calls at once under one key are one purchase", async () => {
  const keyed = clientOf(shop.reader.token, { "Idempotency-Key": "all at once" });
  const calls = Array.from({ length: 16 }, () => keyed.rpc("purchase_story", chapter(3)));
  const answers = await Promise.all(calls);
  for (const { data, error } of answers) {
    assert.equal(error, null);
    assert.deepEqual(data, answers[0].data);
  }
  const { data: balance } = await reader.rpc("credit_balance", {}, { get: true });
  assert.equal(balance.balance, 15);
});

test("a bundle, and a page of the statement by id", async () => {
  const bundle = { story_id: shop.story, purchase_type: "bundle", chapters: [4, 5] };
  const { data: bought } = await reader.rpc("purchase_story", bundle);
  assert.deepEqual(bought.chapters_unlocked, [4, 5]);
  const pages = [];
  let last = "ffffffff-ffff-ffff-ffff-ffffffffffff";
  for (;;) {
    const { data } = await reader
      .from("credit_transactions")
      .select("id, amount")
      .lt("id", last)
      .order("id", { ascending: false })
      .limit(1);
    if (data.length === 0) break;
    pages.push(data[0].amount);
    last = data[0].id;
  }
  assert.deepEqual(pages, [-9, -5, 20]);
});

test("a stranger's refusals, and an operator's proof", async () => {
  const { error, status } = await stranger.rpc("purchase_story", chapter(3));
  assert.equal(status, 402);
  assert.equal(error.hint, "insufficient_credits");
  const forbidden = await stranger.rpc("verify");
  assert.equal(forbidden.status, 403);
  const { data: violations } = await clientOf(shop.operator.token).rpc("verify");
  assert.deepEqual(violations, []);
});

test("too many calls are 429, with the time to wait in the details", async () => {
  // Buying what is free already costs nothing, and is a money call all the same.
  const free = () => stranger.rpc("purchase_story", chapter(1));
  const answers = [];
  for (let round = 0; round < 10 && !answers.some(({ status }) => status === 429); round += 1) {
    answers.push(...(await Promise.all(Array.from({ length: 16 }, free))));
  }
  const refused = answers.find(({ status }) => status === 429);
  assert.ok(refused, "no call was refused");
  assert.equal(refused.error.code, "PT429");
  assert.equal(refused.error.hint, "rate_limited");
  assert.match(refused.error.details, /^Try again in \d+ seconds\.$/);
});
