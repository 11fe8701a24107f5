-- Payments, refunds and disputes say what the ledger says.

create or replace function app.check_payments()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'payment', p.id::text,
        format('%s cents for %s credits, the ledger says %s micro-dollars, %s credits worth %s',
            p.amount_cents, p.credits_purchased + p.bonus_credits,
            coalesce(m.charged, 0), coalesce(l.credits, 0), coalesce(l.paid, 0))
    from app.payments as p
    left join (
        select t.reference_id, sum(t.amount) as charged
        from ledger.transfers as t
        where t.kind = 'charge' and t.reference_type = 'payment'
        group by t.reference_id
    ) as m on m.reference_id = p.id
    left join (
        select o.payment_id, sum(o.credits) as credits, sum(o.paid_microdollars) as paid
        from ledger.lots as o
        where o.payment_id is not null and o.origin_id is null
        group by o.payment_id
    ) as l on l.payment_id = p.id
    where coalesce(m.charged, 0) <> case when p.status = 'succeeded' then p.amount_cents * 10000 else 0 end
        or coalesce(l.paid, 0)
        <> case when p.status = 'succeeded' and p.credits_purchased > 0 then p.amount_cents * 10000 else 0 end
        or coalesce(l.credits, 0)
        <> case when p.status = 'succeeded' then p.credits_purchased + p.bonus_credits else 0 end
    union all
    select 'charge_without_payment', t.reference_id::text, format('%s micro-dollars', t.amount)
    from ledger.transfers as t
    where t.kind = 'charge' and not exists (select from app.payments as p where p.id = t.reference_id)
    union all
    select 'receipt_serials', s.year::text,
        format('%s numbers were given out, %s payments have one', s.last_serial, count(p.id))
    from app.receipt_serials as s
    left join app.payments as p on p.receipt_year = s.year and p.receipt_serial between 1 and s.last_serial
    group by s.year, s.last_serial
    having count(p.id) <> s.last_serial;
end;
comment on function app.check_payments() is $$Every payment was credited once, for what was paid, and has its number$$;

create or replace function app.check_takebacks()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    with takebacks as materialized (
        select
            'refund' as reference_type, r.id, r.user_id, r.payment_id, r.amount_cents, r.credits,
            case r.status when 'pending' then 'frozen' when 'succeeded' then 'final' end as state,
            case when r.transaction_id is null or r.status = 'failed' then 0 else -r.amount_cents end as stripe_cents,
            r.status <> 'failed' as counts
        from app.refunds as r
        union all
        select
            'dispute', d.id, d.user_id, d.payment_id, d.amount_cents, d.credits,
            case d.status when 'open' then 'frozen' when 'lost' then 'final' end,
            case when d.status in ('open', 'lost') then -d.amount_cents else 0 end,
            d.status in ('open', 'lost')
        from app.disputes as d
    )
    select 'takeback', format('%s %s', k.reference_type, k.id),
        format('says %s credits and %s cents at Stripe, the ledger %s credits (%s) and %s micro-dollars',
            k.credits, k.stripe_cents, coalesce(c.credits, 0), coalesce(c.states, 'no recall'), coalesce(m.amount, 0))
    from takebacks as k
    left join (
        select r.book_id, r.reference_type, r.reference_id, sum(r.credits) as credits,
            string_agg(distinct r.state, ', ') as states,
            bool_or(r.state in ('frozen', 'final')) as is_taken
        from ledger.recalls as r
        group by r.book_id, r.reference_type, r.reference_id
    ) as c on c.book_id = k.user_id and c.reference_type = k.reference_type and c.reference_id = k.id
    left join (
        select t.reference_type, t.reference_id,
            sum(case when t.credit_kind = 'stripe' then t.amount else -t.amount end) as amount
        from ledger.transfers as t
        where (t.credit_kind = 'stripe' or t.debit_kind = 'stripe') and t.reference_type in ('refund', 'dispute')
        group by t.reference_type, t.reference_id
    ) as m on m.reference_type = k.reference_type and m.reference_id = k.id
    where coalesce(m.amount, 0) <> k.stripe_cents * 10000
        or coalesce(c.credits, 0) <> k.credits
        or (k.state is not null and c.states <> k.state)
        or (k.state is null and c.is_taken)
    union all
    select 'recall_without_takeback', format('%s recall %s', c.book_id, c.id),
        format('%s credits of a %s that is not there', c.credits, c.reference_type)
    from ledger.recalls as c
    where c.reference_type in ('refund', 'dispute')
        and not exists (select from takebacks as k where k.reference_type = c.reference_type and k.id = c.reference_id)
    union all
    select 'money_without_takeback', format('%s transfer %s', t.book_id, t.id),
        format('%s micro-dollars of a %s that is not there', t.amount, t.reference_type)
    from ledger.transfers as t
    where (t.credit_kind = 'stripe' or t.debit_kind = 'stripe')
        and t.reference_type in ('refund', 'dispute')
        and not exists (select from takebacks as k where k.reference_type = t.reference_type and k.id = t.reference_id)
    union all
    -- The credits taken back go with the money, cumulatively.
    select 'takeback_share', p.id::text,
        format('%s of %s cents went back, and %s of %s credits',
            k.cents, p.amount_cents, k.credits, p.credits_purchased + p.bonus_credits)
    from app.payments as p
    inner join (
        select t.payment_id,
            coalesce(sum(t.amount_cents) filter (where t.counts), 0)::bigint as cents,
            coalesce(sum(t.credits) filter (where t.counts), 0)::bigint as credits
        from takebacks as t
        group by t.payment_id
    ) as k on k.payment_id = p.id
    where k.credits < ledger.portion(
            p.credits_purchased + p.bonus_credits, 0, least(k.cents, p.amount_cents), p.amount_cents)
        or k.credits > p.credits_purchased + p.bonus_credits;
end;
comment on function app.check_takebacks() is $$Every refund and dispute moved its money and its credits, once$$;
