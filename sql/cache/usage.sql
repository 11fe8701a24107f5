-- What generating took, for every generation, and the totals of each story.

create or replace function app.log_ai_usage(
    user_id uuid, operation text, model text, story_id uuid default null, chapter_number integer default null,
    tokens_in bigint default 0, tokens_out bigint default 0, cost_microdollars bigint default 0,
    is_cache_hit boolean default false, reference text default null, details jsonb default '{}')
returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant uuid := app.new_id();
begin
    insert into app.ai_usage_logs (
        id, user_id, story_id, chapter_number, operation, model, tokens_in, tokens_out, cost_microdollars,
        is_cache_hit, reference, details)
    values (
        v_id, log_ai_usage.user_id, log_ai_usage.story_id, log_ai_usage.chapter_number, log_ai_usage.operation,
        log_ai_usage.model, log_ai_usage.tokens_in, log_ai_usage.tokens_out, log_ai_usage.cost_microdollars,
        log_ai_usage.is_cache_hit, coalesce(log_ai_usage.reference, v_id::text), log_ai_usage.details)
    on conflict on constraint ai_usage_logs_reference_key do nothing;
    if not found then
        return (select l.id from app.ai_usage_logs as l where l.reference = log_ai_usage.reference);
    end if;
    update app.stories as s
    set logged_tokens = s.logged_tokens + log_ai_usage.tokens_in + log_ai_usage.tokens_out,
        logged_cost_microdollars = s.logged_cost_microdollars + log_ai_usage.cost_microdollars,
        total_tokens_used = s.total_tokens_used + log_ai_usage.tokens_in + log_ai_usage.tokens_out,
        total_cost_microdollars = s.total_cost_microdollars + log_ai_usage.cost_microdollars
    where s.id = log_ai_usage.story_id
        and (log_ai_usage.tokens_in + log_ai_usage.tokens_out > 0 or log_ai_usage.cost_microdollars > 0);
    return v_id;
end;
$$;
comment on function app.log_ai_usage(uuid, text, text, uuid, integer, bigint, bigint, bigint, boolean, text, jsonb) is $$Note what a generation took, once for each `reference`

`cost_microdollars` is what it cost the platform. Adds to the story's totals. Returns the log's id.$$;

create or replace function app.record_ai_usage(
    user_id uuid, operation text, model text, story_id uuid, chapter_number integer, tokens_in bigint,
    tokens_out bigint, cost_microdollars bigint, reference text, details jsonb)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    if not exists (select from app.profiles as p where p.id = record_ai_usage.user_id) then
        perform app.fail(404, 'user_not_found', 'There is no such person.');
    elsif record_ai_usage.story_id is not null
        and not exists (select from app.stories as s where s.id = record_ai_usage.story_id)
    then
        perform app.fail(404, 'story_not_found', 'There is no such story.');
    elsif record_ai_usage.operation is null or record_ai_usage.operation not in ('story', 'chapter', 'cover', 'embedding', 'other') then
        perform app.fail(
            400, 'unknown_operation', 'An operation is story, chapter, cover, embedding or other.',
            record_ai_usage.operation);
    elsif record_ai_usage.tokens_in not between 0 and 1000000000 or record_ai_usage.tokens_out not between 0 and 1000000000
        or record_ai_usage.cost_microdollars not between 0 and 1000000000000
        or record_ai_usage.chapter_number not between 1 and 10000
        or length(record_ai_usage.reference) not between 1 and 200
        or jsonb_typeof(record_ai_usage.details) <> 'object'
    then
        perform app.fail(
            400, 'invalid_usage', 'A figure is out of range.',
            'Tokens: 0 to 1,000,000,000; cost: 0 to 1,000,000 dollars; reference: 1 to 200 characters.');
    end if;
    return app.log_ai_usage(
        record_ai_usage.user_id, record_ai_usage.operation, app.require_text(record_ai_usage.model, 'model', 200),
        record_ai_usage.story_id, record_ai_usage.chapter_number, coalesce(record_ai_usage.tokens_in, 0),
        coalesce(record_ai_usage.tokens_out, 0), coalesce(record_ai_usage.cost_microdollars, 0), false,
        record_ai_usage.reference, coalesce(record_ai_usage.details, '{}'));
end;
$$;
comment on function app.record_ai_usage(uuid, text, text, uuid, integer, bigint, bigint, bigint, text, jsonb) is $$Note what a generation took, for operators and their backends

Errors: see api.record_ai_usage.$$;
grant execute on function app.record_ai_usage(uuid, text, text, uuid, integer, bigint, bigint, bigint, text, jsonb) to service_role;

create or replace function app.check_logged_usage()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'logged_usage', s.id::text,
        format('the story says %s tokens and %s micro-dollars, its logs %s and %s',
            s.logged_tokens, s.logged_cost_microdollars, coalesce(l.tokens, 0), coalesce(l.cost, 0))
    from app.stories as s
    left join (
        select l.story_id, sum(l.tokens_in + l.tokens_out) as tokens, sum(l.cost_microdollars) as cost
        from app.ai_usage_logs as l
        where l.story_id is not null
        group by l.story_id
    ) as l on l.story_id = s.id
    where (s.logged_tokens, s.logged_cost_microdollars) is distinct from (coalesce(l.tokens, 0), coalesce(l.cost, 0));
end;
comment on function app.check_logged_usage() is $$A story's totals are those of its logs$$;
