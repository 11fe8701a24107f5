-- Asking for a cover, and taking that back.

create or replace function app.check_cover_request(style app.cover_styles, wish text, priority integer)
returns void
language plpgsql stable
set search_path = ''
as $$
begin
    if (check_cover_request.style).style is null then
        perform app.fail(
            400, 'unknown_style', 'There is no such style.',
            format('Covers come in: %s.', (
                select string_agg(s.style, ', ' order by s.sort_order, s.style)
                from app.cover_styles as s
                where s.is_active)));
    elsif length(check_cover_request.wish) > 1000 then
        perform app.fail(
            400, 'text_too_long', 'The prompt is too long.',
            format('It has %s characters; at most 1000 are allowed.', length(check_cover_request.wish)));
    elsif check_cover_request.priority is null or check_cover_request.priority not between 1 and 5 then
        perform app.fail(
            400, 'invalid_priority', 'A priority is a number from 1 to 5.', '3 is the usual one, 5 the last.');
    elsif check_cover_request.priority < 3
        and app.claims() ->> 'role' is distinct from 'service_role'
        and not exists (select from app.operators as o where o.user_id = app.current_user_id())
    then
        perform app.fail(
            403, 'priority_reserved', 'Priorities 1 and 2 are for the operators of this platform.', 'Please ask with 3, 4 or 5.');
    end if;
end;
$$;
comment on function app.check_cover_request(app.cover_styles, text, integer) is $$Let only requests go on that can be fulfilled

Errors: 400 unknown_style, 400 text_too_long, 400 invalid_priority, 403 priority_reserved.$$;

create or replace function app.check_open_cover_jobs(user_id uuid, story_id uuid, style text, wish text)
returns void
language plpgsql stable
set search_path = ''
as $$
declare
    v_same_id uuid;
    v_open bigint;
    v_next timestamptz;
    v_limit constant integer := (select e.cover_jobs_per_user from app.economy as e);
begin
    select j.id into v_same_id
    from app.cover_jobs as j
    where j.story_id = check_open_cover_jobs.story_id and j.style = check_open_cover_jobs.style
        and md5(j.wish) = md5(check_open_cover_jobs.wish)
        and j.state in ('pending', 'generating');
    if found then
        perform app.fail(
            409, 'cover_already_requested', 'This cover is being made already.',
            format('It is job %s. Change the prompt for another one.', v_same_id));
    end if;
    select count(*), min(j.estimated_completion) into v_open, v_next
    from app.cover_jobs as j
    where j.user_id = check_open_cover_jobs.user_id and j.state in ('pending', 'generating');
    if v_open >= v_limit then
        perform app.fail(
            429, 'too_many_cover_jobs', 'Please wait until some of your covers are ready.',
            format(
                '%s are in the queue; at most %s may be. The next should be ready at %s.', v_open, v_limit,
                to_char(greatest(v_next, now()) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
    end if;
end;
$$;
comment on function app.check_open_cover_jobs(uuid, uuid, text, text) is $$Let nobody ask for the same twice, or for everything at once

The caller holds the person's wallet. Errors: 409 cover_already_requested, 429 too_many_cover_jobs.$$;

create or replace function app.request_cover(
    story_id uuid, style text, prompt text, priority integer, idempotency_key text,
    out job_id uuid, out state text, out cost_credits bigint, out balance bigint, out "position" bigint,
    out estimated_completion timestamptz)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_key constant text := coalesce(request_cover.idempotency_key, ledger.header_key());
    v_wish constant text := btrim(coalesce(request_cover.prompt, ''), E' \t\r\n');
    v_arguments constant jsonb := jsonb_build_array(
        request_cover.story_id, request_cover.style, v_wish, request_cover.priority);
    v_answer jsonb;
    v_style app.cover_styles;
    v_story app.stories;
    v_receipt ledger.receipt;
begin
    -- From here on this person's calls come one after the other.
    balance := ledger.lock_wallet(v_user_id);
    if v_key is not null then
        v_answer := ledger.replay(v_user_id, v_key, 'request_cover', v_arguments);
    end if;
    if v_answer is not null then
        job_id := (v_answer ->> 'job_id')::uuid;
        state := v_answer ->> 'state';
        cost_credits := (v_answer ->> 'cost_credits')::bigint;
        balance := (v_answer ->> 'balance')::bigint;
        "position" := (v_answer ->> 'position')::bigint;
        estimated_completion := (v_answer ->> 'estimated_completion')::timestamptz;
        return;
    end if;

    select s.* into v_style from app.cover_styles as s where s.style = request_cover.style and s.is_active;
    perform app.check_cover_request(v_style, v_wish, request_cover.priority);
    v_story := app.require_own_story(request_cover.story_id);
    perform app.check_open_cover_jobs(v_user_id, v_story.id, v_style.style, v_wish);
    perform app.require_room_for_cover(v_story.id);

    job_id := app.new_id();
    state := 'pending';
    select e.cover_price_credits into strict request_cover.cost_credits from app.economy as e;
    if cost_credits > 0 then
        v_receipt := ledger.reserve_credits(v_user_id, cost_credits, 'cover', job_id);
        balance := v_receipt.balance_after;
    else
        balance := ledger.available_credits(v_user_id);
    end if;
    insert into app.cover_jobs (
        id, user_id, story_id, style, wish, priority, cost_credits, transaction_id, model, prompt, negative_prompt,
        options, turn_at)
    values (
        job_id, v_user_id, v_story.id, v_style.style, v_wish, request_cover.priority, cost_credits,
        v_receipt.transaction_id, v_style.model, app.cover_prompt(v_style, v_story, v_wish), v_style.negative_prompt,
        v_style.options, now() + (request_cover.priority - 3) * interval '10 minutes');
    select p.position, p.estimated_completion
    into request_cover.position, request_cover.estimated_completion
    from app.cover_place(job_id) as p;
    update app.cover_jobs as j set estimated_completion = request_cover.estimated_completion where j.id = job_id;
    perform pg_notify('cover_jobs', job_id::text);
    if v_key is not null then
        perform ledger.remember(
            v_user_id, v_key, 'request_cover', v_arguments,
            jsonb_build_object(
                'job_id', job_id, 'state', state, 'cost_credits', cost_credits, 'balance', balance,
                'position', "position", 'estimated_completion', estimated_completion));
    end if;
end;
$$;
comment on function app.request_cover(uuid, text, text, integer, text) is $$Put a cover for the caller's own story into the queue, and set its price aside

Locks the caller's wallet, then the story. Errors: see api.request_cover.$$;
grant execute on function app.request_cover(uuid, text, text, integer, text) to authenticated, service_role;

create or replace function app.lock_cover_job(job_id uuid)
returns app.cover_jobs
language plpgsql volatile
set search_path = ''
as $$
declare
    v_user_id uuid;
    v_job app.cover_jobs;
begin
    select j.user_id into v_user_id from app.cover_jobs as j where j.id = lock_cover_job.job_id;
    if found then
        perform ledger.lock_wallet(v_user_id);
        select j.* into v_job from app.cover_jobs as j where j.id = lock_cover_job.job_id for update;
    end if;
    return v_job;
end;
$$;
comment on function app.lock_cover_job(uuid) is $$A job, locked after its payer's wallet, as everything that ends one needs it

Nothing when there is no such job.$$;

create or replace function app.end_cover_job(job app.cover_jobs, state text, code text, message text)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    v_returned bigint := 0;
begin
    update app.cover_attempts as a
    set ended_at = clock_timestamp(), outcome = end_cover_job.state,
        error_code = end_cover_job.code, error_message = end_cover_job.message
    where a.job_id = (end_cover_job.job).id and a.ended_at is null;
    if (end_cover_job.job).transaction_id is not null then
        v_returned := ledger.release_reservation(
            (end_cover_job.job).user_id, (end_cover_job.job).transaction_id);
    end if;
    update app.cover_jobs as j
    set state = end_cover_job.state, lease_token = null, leased_until = null, estimated_completion = null,
        error_code = end_cover_job.code, error_message = end_cover_job.message,
        finished_at = clock_timestamp(), updated_at = now()
    where j.id = (end_cover_job.job).id;
    return v_returned;
end;
$$;
comment on function app.end_cover_job(app.cover_jobs, text, text, text) is $$A job comes to nothing: failed or canceled, its credits go back

The caller has it from app.lock_cover_job() and has seen that it is open. Returns the credits that came back.$$;

create or replace function app.cancel_cover(
    job_id uuid, out state text, out credits_returned bigint, out balance bigint)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_job app.cover_jobs;
begin
    if exists (select from app.cover_jobs as j where j.id = cancel_cover.job_id and j.user_id = v_user_id) then
        v_job := app.lock_cover_job(cancel_cover.job_id);
    else
        perform app.fail(404, 'cover_job_not_found', 'There is no such cover of yours in the queue.');
    end if;
    if v_job.state not in ('pending', 'generating') then
        perform app.fail(
            409, 'cover_job_over', 'It is too late to cancel this cover.', format('It is %s.', v_job.state));
    end if;
    credits_returned := app.end_cover_job(v_job, 'canceled', 'canceled', 'You canceled it.');
    state := 'canceled';
    balance := ledger.available_credits(v_user_id);
    -- Whoever draws it need not go on.
    perform pg_notify('cover_jobs', v_job.id::text);
end;
$$;
comment on function app.cancel_cover(uuid) is $$Take back a request of the caller's for a cover, also while it is drawn

Errors: see api.cancel_cover.$$;
grant execute on function app.cancel_cover(uuid) to authenticated, service_role;

create or replace function app.cancel_recalled_covers()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_job app.cover_jobs;
begin
    for v_job in
        select j.*
        from app.cover_jobs as j
        where j.user_id = new.book_id and j.state in ('pending', 'generating')
            and j.transaction_id in (
                select n.spend_transaction_id
                from ledger.recall_lines as n
                where n.book_id = new.book_id and n.recall_id = new.id)
            and ledger.is_reversed(j.user_id, j.transaction_id)
        order by j.id
        for update of j
    loop
        perform app.end_cover_job(v_job, 'canceled', 'payment_taken_back', 'The payment for its credits was taken back.');
        perform pg_notify('cover_jobs', v_job.id::text);
    end loop;
    return null;
end;
$$;
comment on function app.cancel_recalled_covers() is $$Trigger: nobody draws what is not paid for any more

Once the whole price went with its payment.$$;

create or replace trigger tg_recalls__cancel_covers
after update of state on ledger.recalls
for each row when (new.state = 'final')
execute function app.cancel_recalled_covers();
