-- Where a job stands, and how long it will take.

create or replace function app.cover_seconds(model text)
returns integer
language sql stable
set search_path = ''
-- As for app.claim_cover(), which asks this each time.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
return (
    select coalesce(
        ceil(percentile_cont(0.5) within group (order by extract(epoch from l.finished_at - l.started_at)))::integer, 60)
    from (
        select j.started_at, j.finished_at
        from app.cover_jobs as j
        where j.state = 'completed' and j.model = cover_seconds.model
        order by j.finished_at desc
        limit 20
    ) as l
);
comment on function app.cover_seconds(text) is $$How long a model draws a cover, in seconds

The median of its last twenty; a minute until there is one.$$;

create or replace function app.cover_place(
    job_id uuid, out "position" bigint, out estimated_completion timestamptz)
returns record
language plpgsql stable
set search_path = ''
as $$
declare
    v_job app.cover_jobs;
    v_seconds integer;
    v_lanes bigint;
begin
    select j.* into v_job from app.cover_jobs as j where j.id = cover_place.job_id;
    if v_job.state is null or v_job.state not in ('pending', 'generating') then
        return;
    end if;
    v_seconds := app.cover_seconds(v_job.model);
    if v_job.state = 'generating' then
        estimated_completion := greatest(
            v_job.started_at + make_interval(secs => v_seconds), now() + interval '1 second');
        return;
    end if;
    select count(*) + 1 into cover_place.position
    from (
        select from app.cover_jobs as j
        where j.state = 'pending' and (j.turn_at, j.id) < (v_job.turn_at, v_job.id)
        -- Whoever stands behind so many need not know it more exactly.
        limit 10000
    ) as b;
    select greatest(count(*), 1) into v_lanes from app.cover_jobs as j where j.state = 'generating';
    estimated_completion := greatest(v_job.run_at, now())
        + make_interval(secs => v_seconds * ceil("position"::double precision / v_lanes));
end;
$$;
comment on function app.cover_place(uuid) is $$Where a job stands in the queue, and when it will be done by what was measured

`position` 1 is the next, counted up to 10,001; null once it is drawn. As many are drawn at once as just now.$$;

create or replace function app.cover_trouble(code text)
returns text
language sql immutable
set search_path = ''
return case
    when cover_trouble.code is null then null
    when cover_trouble.code = 'canceled' then 'You canceled it.'
    when cover_trouble.code = 'payment_taken_back' then 'The payment for its credits was taken back.'
    when cover_trouble.code = 'waited_too_long' then 'It waited too long: nobody draws in this style at present.'
    when cover_trouble.code = 'bad_request' then 'These words could not be drawn. Please try others.'
    else 'It did not work this time.'
end;
comment on function app.cover_trouble(text) is $$What went wrong with a cover, in words for its author

What the servers say is for operators.$$;
grant execute on function app.cover_trouble(text) to authenticated, service_role;

create or replace function app.cover_queue()
returns table (
    job_id uuid, story_id uuid, style text, prompt text, state text, progress smallint, "position" bigint,
    attempts integer, estimated_completion timestamptz, cost_credits bigint, error_message text, cover_id uuid,
    created_at timestamptz, finished_at timestamptz)
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_claimed_user();
begin
    return query
    select
        j.id, j.story_id, j.style, j.wish, j.state, j.progress, p.position, j.attempts, p.estimated_completion,
        j.cost_credits, app.cover_trouble(j.error_code), c.id, j.created_at, j.finished_at
    from app.cover_jobs as j
    left join app.story_covers as c on c.job_id = j.id and c.removed_at is null
    left join lateral app.cover_place(j.id) as p on j.state in ('pending', 'generating')
    where j.user_id = v_user_id
        and (j.state in ('pending', 'generating') or j.finished_at > now() - interval '1 day')
    order by j.id desc;
end;
$$;
comment on function app.cover_queue() is $$The caller's covers that are being made, or were within a day

Errors: 401 login_required.$$;
grant execute on function app.cover_queue() to authenticated;

create or replace function app.cover_figures(
    out waiting bigint, out running bigint, out oldest_waiting_seconds bigint, out completed_today bigint,
    out failed_today bigint, out median_seconds integer)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
begin
    select count(*), coalesce(extract(epoch from now() - min(j.created_at)), 0)::bigint
    into waiting, oldest_waiting_seconds
    from app.cover_jobs as j
    where j.state = 'pending';
    select count(*) into running from app.cover_jobs as j where j.state = 'generating';
    select
        count(*) filter (where j.state = 'completed'),
        count(*) filter (where j.state = 'failed'),
        ceil(percentile_cont(0.5) within group (order by extract(epoch from j.finished_at - j.started_at))
            filter (where j.state = 'completed'))::integer
    into completed_today, failed_today, median_seconds
    from app.cover_jobs as j
    where j.finished_at > now() - interval '1 day';
end;
$$;
comment on function app.cover_figures() is $$How the queue does, for operators$$;
grant execute on function app.cover_figures() to service_role;
