-- Having a text generated: priced, set aside, answered from the cache at once where it can be.

create or replace function app.request_generation(
    story_id uuid, chapter_number integer, request jsonb, embedding real[], max_credits bigint, idempotency_key text,
    out job_id uuid, out state text, out match text, out original_cost bigint, out cost_credits bigint,
    out balance bigint, out content jsonb)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_key constant text := coalesce(request_generation.idempotency_key, ledger.header_key());
    v_arguments constant jsonb := jsonb_build_array(
        request_generation.story_id, request_generation.chapter_number, request_generation.request,
        request_generation.embedding, request_generation.max_credits);
    v_answer jsonb;
    v_quote record;
    v_job app.generation_jobs;
begin
    if request_generation.chapter_number not between 1 and 10000 then
        perform app.fail(400, 'invalid_chapter', 'A chapter''s number is from 1 to 10000.');
    elsif request_generation.max_credits < 0 then
        perform app.fail(400, 'invalid_max_credits', 'The most you will pay cannot be negative.');
    end if;
    balance := ledger.lock_wallet(v_user_id);
    if v_key is not null then
        v_answer := ledger.replay(v_user_id, v_key, 'request_generation', v_arguments);
    end if;
    if v_answer is null then
        v_quote := app.quote_generation(request_generation.request, request_generation.embedding);
        if v_quote.cost_credits > request_generation.max_credits then
            perform app.fail(
                409, 'price_changed', 'This costs more than you agreed to pay.',
                format(
                    'It costs %s credits; you agreed to at most %s. Ask for a new quote.', v_quote.cost_credits,
                    request_generation.max_credits));
        end if;
        v_job := app.add_generation_job(
            v_user_id, (app.require_own_story(request_generation.story_id)).id, request_generation.chapter_number,
            request_generation.request, request_generation.embedding, v_quote.match, v_quote.similarity_basis_points,
            v_quote.cache_id, v_quote.original_cost, v_quote.cost_credits);
        balance := ledger.available_credits(v_user_id);
        v_answer := jsonb_build_object('job_id', v_job.id, 'state', v_job.state, 'balance', balance);
        if v_key is not null then
            perform ledger.remember(v_user_id, v_key, 'request_generation', v_arguments, v_answer);
        end if;
    end if;
    balance := (v_answer ->> 'balance')::bigint;
    state := v_answer ->> 'state';
    select j.id, j.match, j.original_cost, j.cost_credits, case when v_answer ->> 'state' = 'completed' then j.content end
    into job_id, request_generation.match, request_generation.original_cost, request_generation.cost_credits,
        request_generation.content
    from app.generation_jobs as j
    where j.id = (v_answer ->> 'job_id')::uuid;
end;
$$;
comment on function app.request_generation(uuid, integer, jsonb, real[], bigint, text) is $$Have a text generated for the caller's own story, at the price computed here

Locks the caller's wallet, then the story. Errors: see api.request_generation.$$;
grant execute on function app.request_generation(uuid, integer, jsonb, real[], bigint, text) to authenticated;

create or replace function app.add_generation_job(
    user_id uuid, story_id uuid, chapter_number integer, request jsonb, embedding real[], match text,
    similarity_basis_points integer, cache_id uuid, original_cost bigint, cost_credits bigint)
returns app.generation_jobs
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant uuid := app.new_id();
    v_receipt ledger.receipt;
    v_job app.generation_jobs;
begin
    if add_generation_job.cost_credits > 0 then
        v_receipt := ledger.reserve_credits(
            add_generation_job.user_id, add_generation_job.cost_credits, 'generation', v_id);
    end if;
    insert into app.generation_jobs (
        id, user_id, story_id, chapter_number, request, cache_key, embedding, match, similarity_basis_points, cache_id,
        original_cost, cost_credits, transaction_id)
    values (
        v_id, add_generation_job.user_id, add_generation_job.story_id, add_generation_job.chapter_number,
        add_generation_job.request, app.cache_key(add_generation_job.request), add_generation_job.embedding,
        add_generation_job.match, add_generation_job.similarity_basis_points, add_generation_job.cache_id,
        add_generation_job.original_cost, add_generation_job.cost_credits, v_receipt.transaction_id)
    returning * into v_job;
    if v_job.match = 'none' then
        perform pg_notify('generation_jobs', v_job.id::text);
        return v_job;
    end if;
    return app.complete_generation(v_job, app.cache_hit(v_job), 0, 0, 0);
end;
$$;
comment on function app.add_generation_job(uuid, uuid, integer, jsonb, real[], text, integer, uuid, bigint, bigint) is $$A job, its price set aside; done at once where the cache has it

The caller holds the wallet.$$;

create or replace function app.complete_generation(
    job app.generation_jobs, content jsonb, tokens_in bigint, tokens_out bigint, cost_microdollars bigint)
returns app.generation_jobs
language plpgsql volatile
set search_path = ''
as $$
declare
    v_job app.generation_jobs;
begin
    if (complete_generation.job).transaction_id is not null then
        perform ledger.capture_reservation(
            (complete_generation.job).user_id, (complete_generation.job).transaction_id);
    end if;
    update app.generation_jobs as j
    set state = 'completed', content = complete_generation.content, finished_at = now()
    where j.id = (complete_generation.job).id
    returning j.* into v_job;
    perform app.log_ai_usage(
        v_job.user_id, case when v_job.chapter_number is null then 'story' else 'chapter' end,
        v_job.request ->> 'model', v_job.story_id, v_job.chapter_number, complete_generation.tokens_in,
        complete_generation.tokens_out, complete_generation.cost_microdollars, v_job.match <> 'none',
        'generation ' || v_job.id);
    return v_job;
end;
$$;
comment on function app.complete_generation(app.generation_jobs, jsonb, bigint, bigint, bigint) is $$The text is there: its credits are spent, and it is logged$$;

create or replace function app.lock_generation(job_id uuid)
returns app.generation_jobs
language plpgsql volatile
set search_path = ''
as $$
declare
    v_job app.generation_jobs;
begin
    select j.* into v_job from app.generation_jobs as j where j.id = lock_generation.job_id;
    if found then
        perform ledger.lock_wallet(v_job.user_id);
        select j.* into v_job from app.generation_jobs as j where j.id = lock_generation.job_id for update;
    end if;
    return v_job;
end;
$$;
comment on function app.lock_generation(uuid) is $$A job, locked after its payer's wallet; nothing when there is none$$;

create or replace function app.finish_generation(
    job_id uuid, content jsonb, tokens_in bigint, tokens_out bigint, cost_microdollars bigint)
returns text
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_job constant app.generation_jobs := app.lock_generation(finish_generation.job_id);
begin
    if v_job.id is null then
        perform app.fail(404, 'job_not_found', 'There is no such job.');
    elsif v_job.state <> 'pending' then
        perform app.fail(409, 'job_over', 'This job is over.', format('It is %s.', v_job.state));
    elsif finish_generation.content is null or jsonb_typeof(finish_generation.content) = 'null'
        or octet_length(finish_generation.content::text) > 2000000
    then
        perform app.fail(400, 'invalid_content', 'Please give what was generated, up to 2 MB of JSON.');
    elsif finish_generation.tokens_in not between 0 and 1000000000 or finish_generation.tokens_out not between 0 and 1000000000
        or finish_generation.cost_microdollars not between 0 and 1000000000000
    then
        perform app.fail(400, 'invalid_usage', 'A figure is out of range.', 'Tokens: 0 to 1,000,000,000; cost: 0 to 1,000,000 dollars.');
    end if;
    perform app.complete_generation(
        v_job, finish_generation.content, coalesce(finish_generation.tokens_in, 0),
        coalesce(finish_generation.tokens_out, 0), coalesce(finish_generation.cost_microdollars, 0));
    perform app.cache_store(
        v_job.request, v_job.embedding, finish_generation.content, v_job.user_id, v_job.story_id,
        coalesce(finish_generation.tokens_in, 0) + coalesce(finish_generation.tokens_out, 0),
        coalesce(finish_generation.cost_microdollars, 0));
    return 'completed';
end;
$$;
comment on function app.finish_generation(uuid, jsonb, bigint, bigint, bigint) is $$A backend brings the text: the credits are spent, and it is kept for the next

Errors: see api.finish_generation.$$;
grant execute on function app.finish_generation(uuid, jsonb, bigint, bigint, bigint) to service_role;

create or replace function app.end_generation(job app.generation_jobs, state text, message text)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    v_returned bigint := 0;
begin
    if (end_generation.job).state <> 'pending' then
        perform app.fail(409, 'job_over', 'This job is over.', format('It is %s.', (end_generation.job).state));
    end if;
    if (end_generation.job).transaction_id is not null then
        v_returned := ledger.release_reservation(
            (end_generation.job).user_id, (end_generation.job).transaction_id);
    end if;
    update app.generation_jobs as j
    set state = end_generation.state, error_message = left(end_generation.message, 1000), finished_at = now()
    where j.id = (end_generation.job).id;
    return v_returned;
end;
$$;
comment on function app.end_generation(app.generation_jobs, text, text) is $$A job comes to nothing: its credits go back

Returns how many. Errors: 409 job_over.$$;

create or replace function app.fail_generation(job_id uuid, message text)
returns text
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_job constant app.generation_jobs := app.lock_generation(fail_generation.job_id);
begin
    if v_job.id is null then
        perform app.fail(404, 'job_not_found', 'There is no such job.');
    end if;
    perform app.end_generation(v_job, 'failed', fail_generation.message);
    return 'failed';
end;
$$;
comment on function app.fail_generation(uuid, text) is $$A backend could not generate it: its credits go back

Errors: see api.fail_generation.$$;
grant execute on function app.fail_generation(uuid, text) to service_role;

create or replace function app.cancel_generation(job_id uuid, out state text, out credits_returned bigint, out balance bigint)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_job app.generation_jobs;
begin
    if exists (select from app.generation_jobs as j where j.id = cancel_generation.job_id and j.user_id = v_user_id) then
        v_job := app.lock_generation(cancel_generation.job_id);
    else
        perform app.fail(404, 'job_not_found', 'There is no such job of yours.');
    end if;
    credits_returned := app.end_generation(v_job, 'canceled', 'You canceled it.');
    state := 'canceled';
    balance := ledger.available_credits(v_user_id);
end;
$$;
comment on function app.cancel_generation(uuid) is $$Take back a request of the caller's that was not answered yet

Errors: see api.cancel_generation.$$;
grant execute on function app.cancel_generation(uuid) to authenticated;

create or replace function app.check_generation_jobs()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'generation_reservation', format('job %s', j.id),
        format('it is %s for %s credits; its reservation is %s of %s',
            j.state, j.cost_credits, coalesce(r.state, 'not there'), coalesce(r.credits, 0))
    from app.generation_jobs as j
    left join ledger.reservations as r on r.book_id = j.user_id and r.id = j.transaction_id
    where j.transaction_id is not null
        and (r.credits is distinct from j.cost_credits
            or r.state is distinct from case j.state
                when 'pending' then 'held' when 'completed' then 'captured' else 'released' end)
    union all
    select 'generation_sale_without_job', format('%s transaction %s', t.book_id, t.transaction_id),
        format('%s credits were set aside and no job says for what', t.amount)
    from ledger.transfers as t
    where t.kind = 'spend' and t.reference_type = 'generation'
        and not exists (
            select from app.generation_jobs as j
            where j.transaction_id = t.transaction_id and j.user_id = t.book_id and j.id = t.reference_id)
    union all
    select 'cache_reward', format('job %s', j.id), format('a match that is %s, and %s rewards', j.match, count(w.id))
    from app.generation_jobs as j
    left join app.cache_rewards as w on w.job_id = j.id
    group by j.id, j.match
    having count(w.id) <> (j.match <> 'none')::integer;
end;
comment on function app.check_generation_jobs() is $$Every generation was paid for once, and every hit rewarded once$$;
