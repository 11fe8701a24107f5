-- How money comes in and goes out, for the summary. Every part here is found by an index.

create or replace function app.payment_summary()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_object_agg(w.name, f.figures)
    from (values ('last_hour', interval '1 hour'), ('last_day', interval '1 day')) as w (name, length)
    cross join lateral (
        select jsonb_build_object(
            'begun', count(*) filter (where p.method <> 'subscription'),
            'succeeded', count(*) filter (where p.method <> 'subscription' and p.status = 'succeeded'),
            'failed', count(*) filter (where p.status = 'failed'),
            'canceled', count(*) filter (where p.status = 'canceled'),
            'waiting', count(*) filter (where p.status in ('pending', 'processing')),
            -- Their failures are not payments yet: they would make the rate look better than it is.
            'renewals', count(*) filter (where p.method = 'subscription'),
            'success_basis_points', count(*) filter (where p.method <> 'subscription' and p.status = 'succeeded') * 10000
                / nullif(count(*) filter (where p.method <> 'subscription' and p.status in ('succeeded', 'failed')), 0)
        ) as figures
        from app.payments as p
        where p.created_at >= now() - w.length
    ) as f;
end;
comment on function app.payment_summary() is $$What became of the payments of the last hour and of the last day

`renewals` are the paid periods of subscriptions, which the other figures leave out.$$;

create or replace function app.webhook_summary()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_build_object(
        'parked', count(*) filter (where e.state = 'parked'),
        'failed', count(*) filter (where e.state = 'failed'),
        -- What is older belongs to another database, or was looked at and left.
        'parked_this_week', count(*) filter (where e.state = 'parked' and e.received_at >= now() - interval '7 days'),
        'failed_this_week', count(*) filter (where e.state = 'failed' and e.received_at >= now() - interval '7 days'),
        'lag_seconds', coalesce(app.seconds_since(
            min(e.received_at) filter (where e.state = 'parked' and e.received_at >= now() - interval '7 days')), 0))
    || (
        select jsonb_build_object(
            'received', count(*),
            'waiting', count(*) filter (where n.state = 'received'),
            'slowest_seconds', coalesce(max(ceil(extract(epoch from n.received_at - n.created_at)))::bigint, 0))
        from app.stripe_events as n
        where n.received_at >= now() - interval '15 minutes')
    || jsonb_build_object(
        'last_received_seconds', (
            select app.seconds_since(l.received_at) from app.stripe_events as l order by l.received_at desc limit 1),
        'list_read_seconds', (
            select app.seconds_since(nullif(c.moved_to, 'epoch')) from app.stripe_cursors as c where c.name = 'events'))
    from app.stripe_events as e
    where e.state in ('parked', 'failed');
end;
comment on function app.webhook_summary() is $$How Stripe's events come in

`lag_seconds`: how long the oldest of the week waits for what it is about. `received`, `waiting` and `slowest_seconds`, from Stripe to here, are those of the last quarter of an hour. `list_read_seconds`: since the worker last read Stripe's own list.$$;

create or replace function app.outbox_summary()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_build_object(
        'pending', count(*),
        'retrying', count(*) filter (where r.attempts > 1),
        'oldest_seconds', coalesce(app.seconds_since(min(r.created_at)), 0),
        'oldest_retrying_seconds', coalesce(app.seconds_since(min(r.created_at) filter (where r.attempts > 1)), 0),
        -- Nobody has taken it though it is time: the end of a month brings many at once.
        'overdue_seconds', greatest(coalesce(app.seconds_since(min(r.next_attempt_at)), 0), 0))
    from app.stripe_requests as r
    where r.state = 'pending';
end;
comment on function app.outbox_summary() is $$What Stripe still has to be asked

`retrying` were tried more than once.$$;

create or replace function app.due_month(out month date, out due_at timestamptz)
returns setof record
language sql stable
set search_path = ''
begin atomic
    select
        m.month,
        coalesce(
            b.started_at,
            app.month_start((m.month + interval '1 month')::date) + make_interval(days => e.payout_day - 1))
    from (
        select (n.figures ->> 'due')::date as month from app.noted_figures as n where n.name = 'month'
    ) as m
    cross join app.economy as e
    left join app.monthly_payout_batches as b on b.month = m.month and b.currency = app.payout_currency()
    where m.month is not null and b.state is distinct from 'closed';
end;
comment on function app.due_month() is $$The month that has to be closed, and since when; no row for none$$;

create or replace function app.payout_summary()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_build_object(
        'pending', (select count(*) from app.payouts as p where p.status = 'pending'),
        'processing', (select count(*) from app.payouts as p where p.status = 'processing'),
        'held', (select count(*) from app.payouts as p where p.status = 'held'),
        -- A later payout of the same creator carries the money.
        'failed', (
            select count(*)
            from app.payouts as p
            where p.status = 'failed' and p.id >= ledger.id_floor(now() - interval '60 days')
                and not exists (
                    select from app.payouts as l
                    where l.creator_id = p.creator_id and l.id > p.id
                        and l.status in ('pending', 'processing', 'held', 'paid'))),
        'oldest_seconds', coalesce(app.seconds_since(least(
            (select p.created_at from app.payouts as p where p.status = 'pending' order by p.id limit 1),
            (select p.created_at from app.payouts as p where p.status = 'processing' order by p.id limit 1))), 0),
        'last_batch', (
            select jsonb_build_object(
                'month', b.month, 'state', b.state, 'creators', b.creators, 'creators_done', b.creators_done,
                'payouts', b.payouts, 'skipped', b.skipped, 'total_cents', b.total_cents, 'currency', b.currency,
                'started_at', b.started_at, 'closed_at', b.closed_at)
            from app.monthly_payout_batches as b
            order by b.month desc, b.currency asc
            limit 1))
    || (
        select jsonb_build_object(
            'month_due', max(d.month), 'month_overdue_seconds', coalesce(app.seconds_since(max(d.due_at)), 0))
        from app.due_month() as d);
end;
comment on function app.payout_summary() is $$How payouts are doing

`failed`: of the last sixty days, without a later payout to the same creator. `oldest_seconds`: of those that wait to be sent. `month_due`: the month that has to be closed and is not.$$;
