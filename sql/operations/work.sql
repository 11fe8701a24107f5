-- What waits for the worker, and how the ledger is, for the summary.

create or replace function app.seconds_since(at timestamptz)
returns bigint
language sql stable
set search_path = ''
return extract(epoch from now() - seconds_since.at)::bigint;
comment on function app.seconds_since(timestamptz) is $$Whole seconds from then to now$$;

create or replace function app.queue_summary()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_build_object(
        'covers', (select to_jsonb(f) from app.cover_figures() as f),
        'exports', (
            select jsonb_build_object(
                'waiting', count(*), 'oldest_waiting_seconds', coalesce(app.seconds_since(min(e.created_at)), 0))
            from app.exports as e
            where e.state = 'pending'),
        'generations', (
            select jsonb_build_object(
                'waiting', count(*), 'oldest_waiting_seconds', coalesce(app.seconds_since(min(j.created_at)), 0))
            from app.generation_jobs as j
            where j.state = 'pending'),
        -- Without a mail server all of them wait, so they are counted up to a number that says enough.
        'mail', (
            select jsonb_build_object('waiting', count(*))
            from (select from app.notices as n where n.email_state = 'pending' order by n.next_attempt_at limit 10000) as n));
end;
comment on function app.queue_summary() is $$What waits to be made or sent, and for how long

Mail is counted up to 10,000.$$;

create or replace function app.cache_summary()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_build_object(
        'requests', count(*), 'hits', count(*) filter (where j.match <> 'none'),
        'hit_rate_percent', round(100.0 * count(*) filter (where j.match <> 'none') / nullif(count(*), 0))::integer,
        'credits_saved', coalesce(sum(j.original_cost - j.cost_credits), 0)::bigint)
    from app.generation_jobs as j
    where j.id >= ledger.id_floor(now() - interval '1 day') and j.state in ('pending', 'completed');
end;
comment on function app.cache_summary() is $$How often the cache had it within a day

As app.cache_figures(), which counts from the beginning.$$;

create or replace function app.ledger_summary()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_build_object(
        'seal', (select s.number from ledger.seals as s order by s.number desc limit 1),
        'seal_seconds', (select app.seconds_since(s.sealed_at) from ledger.seals as s order by s.number desc limit 1),
        'fold_seconds', (select app.seconds_since(f.folded_at) from ledger.fold_state as f),
        'transactions_to_fold', greatest(ledger.next_position() - (select f.position from ledger.fold_state as f), 0),
        -- Since the oldest that is still running: a session that does not end keeps folds and seals back.
        'transactions_held_back', ledger.next_position() - ledger.settled_position(),
        'default_partition_rows', (
            select count(*) from (select from ledger.transfers_default as d order by d.book_id, d.id limit 1000) as t),
        'partitions_ahead', (
            select count(*)
            from generate_series(1, 3) as n (months)
            where to_regclass('ledger.transfers_' || to_char(
                date_trunc('month', now() at time zone 'UTC') + make_interval(months => n.months), 'YYYY_MM')) is not null));
end;
comment on function app.ledger_summary() is $$How the ledger is looked after

Rows of the default partition are counted up to 1000.$$;

create or replace function app.archive_summary()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_build_object(
        'is_on', current_setting('archive_mode') <> 'off',
        'last_seconds', app.seconds_since(a.last_archived_time),
        'is_failing', coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false))
    from pg_catalog.pg_stat_archiver as a;
end;
comment on function app.archive_summary() is $$Whether PostgreSQL gets its journal archived, for point-in-time recovery$$;
