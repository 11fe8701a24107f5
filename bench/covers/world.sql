-- Authors with credits, and jobs that are paid for and wait outside until bench.fill() lets them into the queue.
-- psql variables: authors, credits

select count(app.grant_credits(bench.creator(n), :credits, 'benchmark'))
from generate_series(0, :authors - 1) as n;

-- In the large queue everybody has several.
update app.economy set cover_jobs_per_user = 1000;

create table bench.reserve (
    number bigint primary key,
    job app.cover_jobs not null
);
comment on table bench.reserve is 'Jobs that are not in the queue yet: their credits are set aside already.';

create table bench.parked (
    job app.cover_jobs not null
);
comment on table bench.parked is 'Jobs that were in the queue and are in the way; bench.bring_back() puts them there again.';

create function bench.models()
returns text[]
language sql immutable
return (select array_agg(distinct s.model) from app.cover_styles as s);
comment on function bench.models() is 'What the workers can draw with: the models of all styles, which do not change here.';

-- What is below zero is the star's; the others have one, then another one, and so on.
create function bench.author_of(number bigint)
returns bigint
language sql immutable parallel safe
return case when number < 0 then 0 else 1 + number % (:authors - 1) end;

create function bench.prepare(first bigint, count bigint)
returns void
language plpgsql volatile
as $$
declare
    v_styles constant app.cover_styles[] := array(select s from app.cover_styles as s order by s.sort_order);
    v_job app.cover_jobs;
    v_style app.cover_styles;
    v_story app.stories;
begin
    for n in first .. first + count - 1 loop
        v_style := v_styles[1 + abs(n) % cardinality(v_styles)];
        select s.* into strict v_story from app.stories as s where s.id = bench.story(bench.author_of(n));
        v_job.id := app.new_id();
        v_job.user_id := v_story.user_id;
        v_job.story_id := v_story.id;
        v_job.style := v_style.style;
        v_job.wish := format('A lighthouse in a storm, seen from the sea, number %s', n);
        v_job.priority := 3;
        v_job.state := 'pending';
        v_job.model := v_style.model;
        v_job.prompt := app.cover_prompt(v_style, v_story, v_job.wish);
        v_job.negative_prompt := v_style.negative_prompt;
        v_job.options := v_style.options;
        v_job.attempts := 0;
        v_job.progress := 0;
        select e.cover_price_credits into strict v_job.cost_credits from app.economy as e;
        perform ledger.lock_wallet(v_job.user_id);
        v_job.transaction_id := (ledger.reserve_credits(v_job.user_id, v_job.cost_credits, 'cover', v_job.id)).transaction_id;
        insert into bench.reserve values (n, v_job);
    end loop;
end;
$$;
comment on function bench.prepare(bigint, bigint) is 'Set the credits of so many jobs aside, as api.request_cover() does.';

-- The triggers of foreign keys are left out: this is not measured, and should take little beside what is.
create function bench.fill(first bigint, count bigint, changes jsonb default '{}')
returns bigint
language sql volatile security definer
set session_replication_role = replica
begin atomic
    with filled as (
        insert into app.cover_jobs
        select j.*
        from bench.reserve as r
        cross join lateral jsonb_populate_record(
            r.job,
            jsonb_build_object(
                'turn_at', clock_timestamp() + (r.number - fill.first) * interval '1 microsecond',
                'run_at', now(), 'created_at', now(), 'updated_at', now()) || fill.changes) as j
        where r.number >= fill.first and r.number < fill.first + fill.count
        returning id
    )
    select count(*) from filled;
end;
comment on function bench.fill(bigint, bigint, jsonb) is 'Let jobs of the reserve into the queue, at its end and in their order.';

create function bench.park(count bigint)
returns bigint
language sql volatile security definer
set session_replication_role = replica
begin atomic
    with taken as (
        delete from app.cover_jobs as j
        where j.id in (
            select n.id from app.cover_jobs as n
            where n.state = 'pending' order by n.turn_at, n.id limit park.count
            for update skip locked)
        returning j as job
    ),
    parked as (
        insert into bench.parked (job) select t.job from taken as t returning true
    )
    select count(*) from parked;
end;
comment on function bench.park(bigint) is 'Take the next jobs out of the queue.';

create function bench.park_claimed()
returns bigint
language sql volatile security definer
set session_replication_role = replica
begin atomic
    with taken as (
        delete from app.cover_jobs as j where j.state = 'generating' returning j as job
    ),
    parked as (
        insert into bench.parked (job) select t.job from taken as t returning true
    )
    select count(*) from parked;
end;
comment on function bench.park_claimed() is 'Take away what was claimed and is not finished, so that it does not count as being drawn.';

create function bench.was_anybody_passed_over()
returns boolean
language sql stable
return exists (
    select
    from (
        select j.turn_at, j.id from app.cover_jobs as j
        where j.state = 'generating' order by j.turn_at desc, j.id desc limit 1
    ) as c
    inner join app.cover_jobs as j on (j.turn_at, j.id) < (c.turn_at, c.id)
    where j.state = 'pending' and j.run_at <= now() and j.model = any (bench.models())
);
comment on function bench.was_anybody_passed_over() is 'Whether somebody waits whose turn was before one that was claimed.';

create function bench.bring_back()
returns void
language sql volatile security definer
set session_replication_role = replica
begin atomic
    insert into app.cover_jobs select (p.job).* from bench.parked as p;
    insert into app.cover_jobs
    select j.*
    from bench.reserve as r
    cross join lateral jsonb_populate_record(
        r.job, jsonb_build_object('turn_at', now(), 'run_at', now(), 'created_at', now(), 'updated_at', now())) as j
    on conflict do nothing;
    delete from bench.parked;
end;
comment on function bench.bring_back() is 'Put all jobs into the queue, so that verify() sees every credit that was set aside.';

create function bench.image(job_id uuid)
returns jsonb
language sql immutable
return jsonb_build_object(
    'file', encode(sha256(job_id::text::bytea), 'hex') || '.webp',
    'thumbnail_file', encode(sha256(('thumbnail ' || job_id)::bytea), 'hex') || '.webp',
    'media_type', 'image/webp', 'width', 512, 'height', 768, 'bytes', 50000, 'seed', 4711,
    'model', 'benchmark', 'server', 'benchmark:7860');
comment on function bench.image(uuid) is 'What a worker says of a picture that it has stored.';

create function bench.live(jobs bigint)
returns bigint
language sql volatile
begin atomic
    select count(app.finish_cover(c.job_id, c.lease_token, bench.image(c.job_id)))
    from generate_series(1, jobs) as n
    cross join lateral app.claim_cover('benchmark:' || n, bench.models()) as c;
end;
comment on function bench.live(bigint) is 'Some covers were made before, so that it is known how long that takes.';

-- The least that a queue can be: one table of the same rows, its key, and one index.
create table bench.plain_jobs (like app.cover_jobs including defaults, primary key (id)) with (fillfactor = 70);
create index on bench.plain_jobs (turn_at, id) where state = 'pending';

create function bench.fill_plain(first bigint, count bigint)
returns bigint
language sql volatile security definer
begin atomic
    with filled as (
        insert into bench.plain_jobs
        select j.*
        from bench.reserve as r
        cross join lateral jsonb_populate_record(
            r.job,
            jsonb_build_object(
                'turn_at', clock_timestamp() + (r.number - fill_plain.first) * interval '1 microsecond',
                'run_at', now(), 'created_at', now(), 'updated_at', now())) as j
        where r.number >= fill_plain.first and r.number < fill_plain.first + fill_plain.count
        returning id
    )
    select count(*) from filled;
end;
comment on function bench.fill_plain(bigint, bigint) is 'The same for the plain queue.';

grant select, insert, update on bench.plain_jobs to app_owner;
