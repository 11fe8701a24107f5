-- The public contract of the cache and of generation.

create or replace view api.infinite_pages_cache with (security_invoker = true) as
select
    c.id, c.user_id, c.story_id, c.cache_key, c.genre, c.model, c.request, c.tokens,
    c.exact_hits + c.semantic_hits as hit_count, c.exact_hits, c.semantic_hits, c.last_hit_at, c.created_at
from app.infinite_pages_cache as c;
comment on view api.infinite_pages_cache is $$What was first generated for the caller, and how often it helped others

Without the text: that is what generation_jobs is for.$$;
comment on column api.infinite_pages_cache.id is 'The entry.';
comment on column api.infinite_pages_cache.user_id is 'The caller, for whom it was generated.';
comment on column api.infinite_pages_cache.story_id is 'For which story.';
comment on column api.infinite_pages_cache.cache_key is 'SHA-256 of the request in its canonical form.';
comment on column api.infinite_pages_cache.genre is 'The genre.';
comment on column api.infinite_pages_cache.model is 'The model.';
comment on column api.infinite_pages_cache.request is 'What was asked for.';
comment on column api.infinite_pages_cache.tokens is 'Tokens that it took.';
comment on column api.infinite_pages_cache.hit_count is 'How often it was found again.';
comment on column api.infinite_pages_cache.exact_hits is 'By the same words.';
comment on column api.infinite_pages_cache.semantic_hits is 'By the same meaning.';
comment on column api.infinite_pages_cache.last_hit_at is 'When it was last found.';
comment on column api.infinite_pages_cache.created_at is 'When it was generated.';
grant select on api.infinite_pages_cache to authenticated, service_role;

create or replace view api.generation_jobs with (security_invoker = true) as
select
    j.id, j.user_id, j.story_id, j.chapter_number, j.request, j.state, j.match, j.similarity_basis_points,
    j.original_cost, j.cost_credits, j.content, j.error_message, j.created_at, j.finished_at
from app.generation_jobs as j;
comment on view api.generation_jobs is $$Texts that the caller had generated

Newest by `order=id.desc`. For the service role all of them: what is to be generated is `state=eq.pending&order=id`.$$;
comment on column api.generation_jobs.id is 'Time-ordered id.';
comment on column api.generation_jobs.user_id is 'Who asked.';
comment on column api.generation_jobs.story_id is 'For which story.';
comment on column api.generation_jobs.chapter_number is 'For which chapter; null: for the story.';
comment on column api.generation_jobs.request is 'What was asked for.';
comment on column api.generation_jobs.state is 'pending, completed, failed or canceled.';
comment on column api.generation_jobs.match is 'none, exact or semantic: whether it had been generated before.';
comment on column api.generation_jobs.similarity_basis_points is 'How near the nearest was: the cosine times 10 000.';
comment on column api.generation_jobs.original_cost is 'Credits, without the discount.';
comment on column api.generation_jobs.cost_credits is 'Credits; back in the wallet if it failed or was canceled.';
comment on column api.generation_jobs.content is 'What was generated.';
comment on column api.generation_jobs.error_message is 'Why it failed.';
comment on column api.generation_jobs.created_at is 'When it was asked for.';
comment on column api.generation_jobs.finished_at is 'When it ended.';
grant select on api.generation_jobs to authenticated, service_role;

create or replace view api.cache_rewards with (security_invoker = true) as
select
    w.id, w.user_id, w.story_id, c.id as chapter_id, w.cache_key, w.credits_saved, w.original_cost, w.discounted_cost,
    1 as hit_count, w.created_at, w.match, w.job_id, w.chapter_number
from app.cache_rewards as w
left join app.chapters as c on c.story_id = w.story_id and c.chapter_number = w.chapter_number;
comment on view api.cache_rewards is $$What the caller saved because it had been generated before

One row for each hit.$$;
comment on column api.cache_rewards.id is 'Time-ordered id.';
comment on column api.cache_rewards.user_id is 'The caller.';
comment on column api.cache_rewards.story_id is 'For which story.';
comment on column api.cache_rewards.chapter_id is 'For which chapter, where that is written already.';
comment on column api.cache_rewards.cache_key is 'SHA-256 of the request.';
comment on column api.cache_rewards.credits_saved is 'Credits.';
comment on column api.cache_rewards.original_cost is 'Credits, without the discount.';
comment on column api.cache_rewards.discounted_cost is 'Credits that were paid.';
comment on column api.cache_rewards.hit_count is 'One: each hit has its own row.';
comment on column api.cache_rewards.created_at is 'When.';
comment on column api.cache_rewards.match is 'exact or semantic.';
comment on column api.cache_rewards.job_id is 'The job.';
comment on column api.cache_rewards.chapter_number is 'For which chapter; null: for the story.';
grant select on api.cache_rewards to authenticated, service_role;

create or replace view api.ai_usage_logs with (security_invoker = true) as
select
    l.id, l.user_id, l.story_id, c.id as chapter_id, l.operation, l.model, l.tokens_in, l.tokens_out,
    l.tokens_in + l.tokens_out as tokens_used, l.cost_microdollars,
    (l.cost_microdollars / 1000000.0)::numeric(20, 6) as cost_usd, l.is_cache_hit, l.chapter_number, l.reference,
    l.details, l.created_at
from app.ai_usage_logs as l
left join app.chapters as c on c.story_id = l.story_id and c.chapter_number = l.chapter_number;
comment on view api.ai_usage_logs is $$What generating took, for the caller

Stories, chapters and covers. Newest by `order=id.desc`; the totals are in stories.$$;
comment on column api.ai_usage_logs.id is 'Time-ordered id.';
comment on column api.ai_usage_logs.user_id is 'For whom.';
comment on column api.ai_usage_logs.story_id is 'For which story.';
comment on column api.ai_usage_logs.chapter_id is 'For which chapter, where that is written already.';
comment on column api.ai_usage_logs.operation is 'story, chapter, cover, embedding or other.';
comment on column api.ai_usage_logs.model is 'The model.';
comment on column api.ai_usage_logs.tokens_in is 'Tokens of the request.';
comment on column api.ai_usage_logs.tokens_out is 'Tokens of the answer.';
comment on column api.ai_usage_logs.tokens_used is 'Both.';
comment on column api.ai_usage_logs.cost_microdollars is 'What it cost the platform, in micro-dollars.';
comment on column api.ai_usage_logs.cost_usd is 'The same in dollars, for display.';
comment on column api.ai_usage_logs.is_cache_hit is 'It had been generated before.';
comment on column api.ai_usage_logs.chapter_number is 'For which chapter.';
comment on column api.ai_usage_logs.reference is 'What it was for: once each.';
comment on column api.ai_usage_logs.details is 'More, as the backend gave it.';
comment on column api.ai_usage_logs.created_at is 'When.';
grant select on api.ai_usage_logs to authenticated, service_role;

create or replace view api.generation_logs with (security_invoker = true) as
select
    l.id, l.user_id, l.story_id, l.chapter_id, l.operation as operation_type, l.model, l.tokens_in as tokens_input,
    l.tokens_out as tokens_output, l.cost_usd, l.created_at
from api.ai_usage_logs as l;
comment on view api.generation_logs is $$The older name of ai_usage_logs

The same rows (seed 004, priority 2).$$;
comment on column api.generation_logs.id is 'Time-ordered id.';
comment on column api.generation_logs.user_id is 'For whom.';
comment on column api.generation_logs.story_id is 'For which story.';
comment on column api.generation_logs.chapter_id is 'For which chapter.';
comment on column api.generation_logs.operation_type is 'story, chapter, cover, embedding or other.';
comment on column api.generation_logs.model is 'The model.';
comment on column api.generation_logs.tokens_input is 'Tokens of the request.';
comment on column api.generation_logs.tokens_output is 'Tokens of the answer.';
comment on column api.generation_logs.cost_usd is 'What it cost the platform, in dollars.';
comment on column api.generation_logs.created_at is 'When.';
grant select on api.generation_logs to authenticated, service_role;

create or replace trigger tg_infinite_pages_cache__read_only
instead of insert or update or delete on api.infinite_pages_cache
for each row execute function app.refuse_change();
create or replace trigger tg_generation_jobs__read_only
instead of insert or update or delete on api.generation_jobs
for each row execute function app.refuse_change();
create or replace trigger tg_cache_rewards__read_only
instead of insert or update or delete on api.cache_rewards
for each row execute function app.refuse_change();
create or replace trigger tg_ai_usage_logs__read_only
instead of insert or update or delete on api.ai_usage_logs
for each row execute function app.refuse_change();
create or replace trigger tg_generation_logs__read_only
instead of insert or update or delete on api.generation_logs
for each row execute function app.refuse_change();

create or replace function api.cache_lookup(
    request jsonb, embedding real[] default null,
    out match text, out similarity_basis_points integer, out original_cost bigint, out discount_percent integer,
    out cost_credits bigint)
returns record
language sql volatile
set search_path = ''
begin atomic
    select l.match, l.similarity_basis_points, l.original_cost, l.discount_percent, l.cost_credits
    from app.cache_lookup(request, embedding) as l;
end;
comment on function api.cache_lookup(jsonb, real[]) is $$What generating a text would cost, and whether it was generated before

`request` has at least genre, model and prompt; `embedding` its meaning as 384 numbers, for finding what means the same. `match` exact, semantic or none; `cost_credits` with the discount of a hit. Errors: 400 invalid_request, 400 invalid_embedding, 401 login_required.$$;
grant execute on function api.cache_lookup(jsonb, real[]) to authenticated;

create or replace function api.request_generation(
    story_id uuid, request jsonb, chapter_number integer default null, embedding real[] default null,
    max_credits bigint default null, idempotency_key text default null,
    out job_id uuid, out state text, out match text, out original_cost bigint, out cost_credits bigint,
    out balance bigint, out content jsonb)
returns record
language sql volatile
set search_path = ''
begin atomic
    select r.job_id, r.state, r.match, r.original_cost, r.cost_credits, r.balance, r.content
    from app.request_generation(story_id, chapter_number, request, embedding, max_credits, idempotency_key) as r;
end;
comment on function api.request_generation(uuid, jsonb, integer, real[], bigint, text) is $$Have a text generated for your story

As quoted by cache_lookup(); `max_credits` is the most you will pay. Where it was generated before you have it at once, with the discount, and a row in cache_rewards; else it is pending, and its price set aside, until a backend brings it: see generation_jobs. Once per `idempotency_key`. Errors: 400 invalid_request, 400 invalid_embedding, 400 invalid_chapter, 400 invalid_max_credits, 401 login_required, 402 insufficient_credits, 404 story_not_found, 409 price_changed, 409 idempotency_mismatch, 429 rate_limited.$$;
grant execute on function api.request_generation(uuid, jsonb, integer, real[], bigint, text) to authenticated;

create or replace function api.cancel_generation(
    job_id uuid, out state text, out credits_returned bigint, out balance bigint)
returns record
language sql volatile
set search_path = ''
begin atomic
    select c.state, c.credits_returned, c.balance from app.cancel_generation(job_id) as c;
end;
comment on function api.cancel_generation(uuid) is $$Take back a request that was not answered yet

Its credits come back. Errors: 401 login_required, 404 job_not_found, 409 job_over.$$;
grant execute on function api.cancel_generation(uuid) to authenticated;

create or replace function api.finish_generation(
    job_id uuid, content jsonb, tokens_in bigint default 0, tokens_out bigint default 0, cost_microdollars bigint default 0)
returns text
language sql volatile
set search_path = ''
begin atomic
    select app.finish_generation(job_id, content, tokens_in, tokens_out, cost_microdollars);
end;
comment on function api.finish_generation(uuid, jsonb, bigint, bigint, bigint) is $$Bring what was generated

For the service role only. `content` is any JSON; `cost_microdollars` what it cost you. The author's credits are spent, the text is kept for the next who asks for the same. Once. Errors: 400 invalid_content, 400 invalid_usage, 404 job_not_found, 409 job_over.$$;
grant execute on function api.finish_generation(uuid, jsonb, bigint, bigint, bigint) to service_role;

create or replace function api.fail_generation(job_id uuid, message text)
returns text
language sql volatile
set search_path = ''
begin atomic
    select app.fail_generation(job_id, message);
end;
comment on function api.fail_generation(uuid, text) is $$Say that a text could not be generated

For the service role only. The author's credits go back. Once. Errors: 404 job_not_found, 409 job_over.$$;
grant execute on function api.fail_generation(uuid, text) to service_role;

create or replace function api.record_ai_usage(
    user_id uuid, operation text, model text, story_id uuid default null, chapter_number integer default null,
    tokens_in bigint default 0, tokens_out bigint default 0, cost_microdollars bigint default 0,
    reference text default null, details jsonb default null)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.record_ai_usage(
        user_id, operation, model, story_id, chapter_number, tokens_in, tokens_out, cost_microdollars, reference, details);
end;
comment on function api.record_ai_usage(uuid, text, text, uuid, integer, bigint, bigint, bigint, text, jsonb) is $$Note what a generation took

For the service role only, for what was generated outside generation_jobs. `operation` story, chapter, cover, embedding or other; `cost_microdollars` what it cost you; once for each `reference`. Adds to the story's totals. Answers the log's id. Errors: 400 unknown_operation, 400 invalid_usage, 400 text_required, 404 user_not_found, 404 story_not_found.$$;
grant execute on function api.record_ai_usage(uuid, text, text, uuid, integer, bigint, bigint, bigint, text, jsonb) to service_role;

create or replace function api.my_cache_figures(
    out requests bigint, out hits bigint, out exact_hits bigint, out semantic_hits bigint,
    out hit_rate_percent integer, out credits_saved bigint)
returns record
language sql stable
set search_path = ''
begin atomic
    select f.requests, f.hits, f.exact_hits, f.semantic_hits, f.hit_rate_percent, f.credits_saved
    from app.my_cache_figures() as f;
end;
comment on function api.my_cache_figures() is $$What the cache saved you

How often it was asked and had the answer, and the credits saved. Errors: 401 login_required.$$;
grant execute on function api.my_cache_figures() to authenticated;

create or replace function api.cache_figures(
    out requests bigint, out hits bigint, out exact_hits bigint, out semantic_hits bigint,
    out hit_rate_percent integer, out credits_saved bigint, out entries bigint, out cost_saved_microdollars bigint)
returns record
language sql stable
set search_path = ''
begin atomic
    select
        f.requests, f.hits, f.exact_hits, f.semantic_hits, f.hit_rate_percent, f.credits_saved, f.entries,
        f.cost_saved_microdollars
    from app.all_cache_figures() as f;
end;
comment on function api.cache_figures() is $$What the cache saves everybody

For the service role only. `cost_saved_microdollars`: what generating again would have cost.$$;
grant execute on function api.cache_figures() to service_role;
