-- Working on a job: taken for a minute, kept by whoever beats, ended by whoever still holds it.

create or replace function app.cover_lease()
returns interval
language sql immutable
set search_path = ''
return interval '60 seconds';
comment on function app.cover_lease() is $$For how long a job is somebody's who is not heard of$$;

create or replace function app.wanted_cover_models()
returns setof text
language sql stable security definer
set search_path = ''
begin atomic
    -- One look at the index for each model that somebody waits for.
    with recursive models (model) as (
        select min(j.model) from app.cover_jobs as j where j.state = 'pending'
        union all
        select (select min(j.model) from app.cover_jobs as j where j.state = 'pending' and j.model > m.model)
        from models as m
        where m.model is not null
    )
    select m.model from models as m where m.model is not null
    union
    select s.model from app.cover_styles as s where s.is_active;
end;
comment on function app.wanted_cover_models() is $$The models that the styles draw with, or that somebody waits for$$;

create or replace function app.claim_cover(server text, models text[])
returns table (
    job_id uuid, lease_token uuid, attempt integer, task_id text, model text, prompt text, negative_prompt text,
    options jsonb, seed bigint, style text)
language plpgsql volatile security definer
set search_path = ''
-- The head of the queue is read from its index, whatever the planner thinks of a queue that has grown since.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
    v_ahead uuid;
    v_job app.cover_jobs;
    v_token constant uuid := gen_random_uuid();
    -- As the WebUIs take it: 32 bits.
    v_seed constant bigint := floor(random() * 4294967295)::bigint;
    v_number integer;
    v_task_id text;
begin
    for v_ahead in
        select n.id
        from unnest(claim_cover.models) as m (model)
        cross join lateral (
            select j.id, j.turn_at
            from app.cover_jobs as j
            where j.state = 'pending' and j.model = m.model and j.run_at <= now()
            order by j.turn_at, j.id
            -- As many may be looking at the head of the queue at one instant without getting in each other's way.
            limit 32
        ) as n
        order by n.turn_at, n.id
    loop
        select j.* into v_job
        from app.cover_jobs as j
        where j.id = v_ahead and j.state = 'pending' and j.run_at <= now()
        for update skip locked;
        exit when found;
    end loop;
    if v_job.id is null then
        return;
    end if;
    select coalesce(max(a.number), 0) + 1 into v_number from app.cover_attempts as a where a.job_id = v_job.id;
    v_task_id := format('task(%s-%s)', v_job.id, v_number);
    update app.cover_jobs as j
    set state = 'generating', attempts = j.attempts + 1, lease_token = v_token,
        leased_until = clock_timestamp() + app.cover_lease(), progress = 0, started_at = clock_timestamp(),
        webui_task_id = v_task_id,
        estimated_completion = now() + make_interval(secs => app.cover_seconds(j.model)), updated_at = now()
    where j.id = v_job.id;
    insert into app.cover_attempts (job_id, number, server, task_id, seed)
    values (v_job.id, v_number, coalesce(nullif(left(claim_cover.server, 300), ''), 'unknown'), v_task_id, v_seed);
    return query select
        v_job.id, v_token, v_job.attempts + 1, v_task_id, v_job.model, v_job.prompt, v_job.negative_prompt,
        v_job.options, v_seed, v_job.style;
end;
$$;
comment on function app.claim_cover(text, text[]) is $$Take the next job that one of these models can draw, for the worker

For app.cover_lease(); whoever dies meanwhile leaves it to app.recover_cover(). Counts the attempt. Commit before anything is asked of the server. No row: nothing is due.$$;

create or replace function app.beat_cover(job_id uuid, lease_token uuid, progress integer default null)
returns boolean
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    update app.cover_jobs as j
    set leased_until = clock_timestamp() + app.cover_lease(),
        progress = greatest(j.progress, least(coalesce(beat_cover.progress, 0), 100)),
        updated_at = now()
    where j.id = beat_cover.job_id and j.lease_token = beat_cover.lease_token;
    return found;
end;
$$;
comment on function app.beat_cover(uuid, uuid, integer) is $$Still at it: keep the job, and say how far it is in per cent

False: it is somebody else's by now, or nobody wants it any more. Then stop.$$;

create or replace function app.lock_leased_cover(job_id uuid, lease_token uuid)
returns app.cover_jobs
language plpgsql volatile
set search_path = ''
as $$
declare
    v_job constant app.cover_jobs := app.lock_cover_job(lock_leased_cover.job_id);
begin
    if v_job.lease_token is distinct from lock_leased_cover.lease_token or v_job.lease_token is null then
        perform app.fail(
            409, 'lease_lost', 'This job is not yours any more.',
            'It was canceled, or its lease ran out and it was given to somebody else. Throw your result away.');
    end if;
    return v_job;
end;
$$;
comment on function app.lock_leased_cover(uuid, uuid) is $$A job, for whoever holds its lease and nobody else

Errors: 409 lease_lost.$$;

create or replace function app.finish_cover(job_id uuid, lease_token uuid, image jsonb)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_job constant app.cover_jobs := app.lock_leased_cover(finish_cover.job_id, finish_cover.lease_token);
    v_cover_id uuid;
begin
    update app.cover_attempts as a
    set ended_at = clock_timestamp(), outcome = 'finished'
    where a.job_id = v_job.id and a.ended_at is null;
    if v_job.transaction_id is not null then
        perform ledger.capture_reservation(v_job.user_id, v_job.transaction_id);
    end if;
    update app.cover_jobs as j
    set state = 'completed', lease_token = null, leased_until = null, estimated_completion = null, progress = 100,
        error_code = null, error_message = null, finished_at = clock_timestamp(), updated_at = now()
    where j.id = v_job.id;
    v_cover_id := app.add_cover(v_job.story_id, v_job.user_id, finish_cover.image, false);
    update app.story_covers as c
    set job_id = v_job.id, style = v_job.style, wish = v_job.wish, cost_credits = v_job.cost_credits,
        model = coalesce(finish_cover.image ->> 'model', v_job.model), prompt = v_job.prompt,
        negative_prompt = v_job.negative_prompt, options = v_job.options, seed = (finish_cover.image ->> 'seed')::bigint
    where c.id = v_cover_id;
    perform app.tell_of_cover(v_job, 'cover_ready', 0);
    return v_cover_id;
end;
$$;
comment on function app.finish_cover(uuid, uuid, jsonb) is $$The picture is in the store: the story has a cover, and the credits are spent

`image` has file, thumbnail_file, media_type, width, height, bytes, seed, model. Once: who comes late is refused. Returns the cover's id. Errors: 409 lease_lost.$$;

create or replace function app.fail_cover(job_id uuid, lease_token uuid, code text, message text, is_permanent boolean)
returns text
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_job constant app.cover_jobs := app.lock_leased_cover(fail_cover.job_id, fail_cover.lease_token);
begin
    return app.retry_or_give_up(
        v_job, 'failed', coalesce(left(fail_cover.code, 100), 'unknown'), left(fail_cover.message, 1000),
        fail_cover.is_permanent);
end;
$$;
comment on function app.fail_cover(uuid, uuid, text, text, boolean) is $$It did not work this time

A passing failure is tried again later and later, app.economy.cover_attempts times in all; then, and at once where it is permanent, the job is dead and its credits go back. Returns the job's state. Errors: 409 lease_lost.$$;

create or replace function app.retry_or_give_up(
    job app.cover_jobs, outcome text, code text, message text, is_permanent boolean)
returns text
language plpgsql volatile
set search_path = ''
as $$
declare
    v_attempts constant integer := (select e.cover_attempts from app.economy as e);
    v_returned bigint;
begin
    update app.cover_attempts as a
    set ended_at = clock_timestamp(), outcome = retry_or_give_up.outcome,
        error_code = retry_or_give_up.code, error_message = retry_or_give_up.message
    where a.job_id = (retry_or_give_up.job).id and a.ended_at is null;
    if retry_or_give_up.is_permanent or (retry_or_give_up.job).attempts >= v_attempts then
        v_returned := app.end_cover_job(
            retry_or_give_up.job, 'failed', retry_or_give_up.code, retry_or_give_up.message);
        perform app.tell_of_cover(retry_or_give_up.job, 'cover_failed', v_returned);
        return 'failed';
    end if;
    update app.cover_jobs as j
    set state = 'pending', lease_token = null, leased_until = null, progress = 0,
        error_code = retry_or_give_up.code, error_message = retry_or_give_up.message, updated_at = now(),
        run_at = now() + case retry_or_give_up.outcome
            -- Whoever died said nothing of the job.
            when 'expired' then interval '0'
            else least(interval '10 minutes', interval '5 seconds' * power(2, least(j.attempts, 12))) * (0.5 + random() / 2)
            end
    where j.id = (retry_or_give_up.job).id;
    perform pg_notify('cover_jobs', (retry_or_give_up.job).id::text);
    return 'pending';
end;
$$;
comment on function app.retry_or_give_up(app.cover_jobs, text, text, text, boolean) is $$An attempt came to nothing: another one, or none

Returns the job's state.$$;

create or replace function app.release_cover(job_id uuid, lease_token uuid)
returns boolean
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    update app.cover_jobs as j
    set state = 'pending', attempts = j.attempts - 1, lease_token = null, leased_until = null, progress = 0,
        updated_at = now()
    where j.id = release_cover.job_id and j.lease_token = release_cover.lease_token;
    if not found then
        return false;
    end if;
    update app.cover_attempts as a
    set ended_at = clock_timestamp(), outcome = 'released'
    where a.job_id = release_cover.job_id and a.ended_at is null;
    perform pg_notify('cover_jobs', release_cover.job_id::text);
    return true;
end;
$$;
comment on function app.release_cover(uuid, uuid) is $$Give a job back untried: the worker stops, or its server went away

The attempt does not count. False: it was not theirs any more.$$;

create or replace function app.recover_cover()
returns boolean
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_patience constant interval := make_interval(hours => (select e.cover_patience_hours from app.economy as e));
    v_job app.cover_jobs;
    v_job_id uuid;
    v_returned bigint;
begin
    select c.id into v_job_id
    from (
        (select j.id from app.cover_jobs as j
            where j.state = 'generating' and j.leased_until < clock_timestamp() order by j.leased_until limit 1)
        union all
        (select j.id from app.cover_jobs as j
            where j.state = 'pending' and j.created_at < now() - v_patience order by j.created_at limit 1)
    ) as c
    limit 1;
    if not found then
        return false;
    end if;
    v_job := app.lock_cover_job(v_job_id);
    if v_job.state = 'generating' and v_job.leased_until < clock_timestamp() then
        perform app.retry_or_give_up(v_job, 'expired', 'lease_expired', 'Whoever worked on it was not heard of any more.', false);
    elsif v_job.state = 'pending' and v_job.created_at < now() - v_patience then
        v_returned := app.end_cover_job(
            v_job, 'failed', coalesce(v_job.error_code, 'waited_too_long'),
            coalesce(v_job.error_message, 'Nobody could make it in time.'));
        perform app.tell_of_cover(v_job, 'cover_failed', v_returned);
    end if;
    return true;
end;
$$;
comment on function app.recover_cover() is $$Take care of one job that is left alone

Its lease ran out, or it waited for app.economy.cover_patience_hours. True: there may be more; call it again, in a transaction of its own. The worker calls it.$$;
