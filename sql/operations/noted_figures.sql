-- Figures that read more than a look at the operation may cost: the worker notes them.

create or replace function app.day_of_movements()
returns jsonb
language sql stable
set search_path = ''
-- The planner takes a position that it cannot see for a third of the table.
set enable_seqscan = off
begin atomic
    select jsonb_build_object(
        'movements', coalesce(sum(m.movements), 0),
        'earned_microdollars', coalesce(sum(m.amount) filter (where m.kind = 'earning'), 0),
        'credits', coalesce(jsonb_object_agg(m.kind, m.amount order by m.kind) filter (where m.asset = 'credit'), '{}'))
    from (
        select t.kind::text as kind, t.asset, count(*) as movements, sum(t.amount)::bigint as amount
        from ledger.transfers as t
        -- A seal of a day ago says where the day begins: all that it left has a position above it.
        where t.position >= coalesce((
                select s.to_position
                from ledger.seals as s
                where s.sealed_at <= now() - interval '1 day'
                order by s.number desc
                limit 1), 0)
            and t.created_at >= now() - interval '1 day'
        group by t.kind, t.asset
    ) as m;
end;
comment on function app.day_of_movements() is $$What moved within a day: credits by kind, and what creators earned

Reads the movements of a day.$$;

create or replace function app.solvency_in_total()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_build_object(
        'outstanding_credits', s.outstanding_credits, 'paid_microdollars', s.paid_microdollars,
        'owed_microdollars', s.owed_microdollars, 'margin_microdollars', s.margin_microdollars)
    from ledger.solvency() as s
    where s.source is null;
end;
comment on function app.solvency_in_total() is $$The last line of ledger.solvency()

Reads every lot that is not spent.$$;

create or replace function app.subscription_figures()
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_build_object(
        'states', (
            select coalesce(jsonb_object_agg(s.status, s.subscriptions order by s.status), '{}')
            from (select s.status, count(*) as subscriptions from app.subscriptions as s group by s.status) as s),
        'credits_owed', (select coalesce(sum(a.granted - a.credits), 0) from app.invoice_allowances as a),
        'allowances_missing', (
            select count(*)
            from app.subscriptions as s
            inner join app.subscription_plans as p on p.id = s.plan_id
            where s.status = 'active' and p.credits_per_period > 0
                -- Stripe makes the invoice an hour after the period has begun, and may collect it later.
                and s.current_period_start < now() - interval '1 day'
                and not exists (
                    select from app.invoice_allowances as a
                    where a.subscription_id = s.id and a.created_at >= s.current_period_start - interval '1 hour')));
end;
comment on function app.subscription_figures() is $$Subscriptions by state, and the credits of their periods

`credits_owed`: of which the price lies in customers' balances at Stripe, see app.credits_owed(). `allowances_missing`: subscriptions that are active and whose period brought no credits, though it began a day ago. Reads every subscription.$$;

create or replace function app.note_figures()
returns void
language sql volatile security definer
set search_path = ''
begin atomic
    insert into app.noted_figures as n (name, figures, noted_at)
    values
    ('month', jsonb_build_object('due', app.month_to_close()), now()),
    ('movements', app.day_of_movements(), now()),
    ('solvency', app.solvency_in_total(), now()),
    ('subscriptions', app.subscription_figures(), now())
    on conflict (name) do update set figures = excluded.figures, noted_at = excluded.noted_at;
end;
comment on function app.note_figures() is $$Note the figures that read much, for app.operations_summary()

The worker calls it every five minutes.$$;
