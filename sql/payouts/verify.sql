-- Payouts say what the ledger says.

create or replace function app.check_payouts()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    with moved as materialized (
        select t.reference_type, t.reference_id,
            coalesce(sum(t.amount) filter (where t.kind = 'payout'), 0)
            - coalesce(sum(t.amount) filter (where t.kind = 'payout_returned'), 0) as set_aside,
            coalesce(sum(t.amount) filter (where t.kind = 'payout_sent'), 0) as sent,
            coalesce(sum(t.amount) filter (where t.kind = 'transfer'), 0) as transferred,
            coalesce(sum(t.amount) filter (where t.kind = 'payout_reversed'), 0) as reversed,
            coalesce(sum(t.amount) filter (where t.kind = 'transfer_reversed'), 0) as taken_back,
            count(distinct t.book_id) as books, min(t.book_id::text)::uuid as book_id
        from ledger.transfers as t
        where t.kind in ('payout', 'payout_returned', 'payout_sent', 'payout_reversed', 'transfer', 'transfer_reversed')
        group by t.reference_type, t.reference_id
    )
    select 'payout', p.id::text,
        format('%s %s cents, the ledger says %s set aside, %s sent and %s transferred',
            p.status, p.amount_cents, coalesce(m.set_aside, 0), coalesce(m.sent, 0), coalesce(m.transferred, 0))
    from app.payouts as p
    left join moved as m on m.reference_type = 'payout' and m.reference_id = p.id
    where coalesce(m.set_aside, 0) <> case when p.status in ('failed', 'canceled') then 0 else p.amount_cents * 10000 end
        or coalesce(m.sent, 0) <> case when p.status = 'paid' then p.amount_cents * 10000 else 0 end
        or coalesce(m.transferred, 0) <> coalesce(m.sent, 0)
        or m.books > 1
        or m.book_id <> p.creator_id
    union all
    select 'payout_reversal', r.id::text,
        format('%s cents, the ledger says %s back and %s at Stripe', r.amount_cents, coalesce(m.reversed, 0), coalesce(m.taken_back, 0))
    from app.payout_reversals as r
    left join moved as m on m.reference_type = 'payout_reversal' and m.reference_id = r.id
    where coalesce(m.reversed, 0) <> r.amount_cents * 10000
        or coalesce(m.taken_back, 0) <> r.amount_cents * 10000
        or m.book_id <> r.creator_id
    union all
    select 'payout_reversals', p.id::text, format('says %s cents came back, its reversals %s', p.reversed_cents, coalesce(r.cents, 0))
    from app.payouts as p
    left join (
        select v.payout_id, sum(v.amount_cents) as cents from app.payout_reversals as v group by v.payout_id
    ) as r on r.payout_id = p.id
    where p.reversed_cents <> coalesce(r.cents, 0)
    union all
    select 'money_without_payout', format('%s %s', m.reference_type, m.reference_id), 'it is not there'
    from moved as m
    where not exists (select from app.payouts as p where m.reference_type = 'payout' and p.id = m.reference_id)
        and not exists (
            select from app.payout_reversals as r where m.reference_type = 'payout_reversal' and r.id = m.reference_id)
    union all
    select 'payout_links', p.id::text, 'its movements are not those that it names'
    from app.payouts as p
    where not exists (
            select from ledger.transfers as t
            where t.book_id = p.creator_id and t.transaction_id = p.transaction_id
                and t.kind = 'payout' and t.reference_id = p.id)
        or (p.sent_transaction_id is not null and not exists (
            select from ledger.transfers as t
            where t.book_id = p.creator_id and t.transaction_id = p.sent_transaction_id
                and t.kind = 'payout_sent' and t.reference_id = p.id))
    union all
    -- Before it is sent, and not when the money is gone: Stripe is asked for what the payout says.
    select 'transfer_request', r.id::text,
        format('asks for %s %s to %s, its payout says %s',
            r.parameters ->> 'amount', r.parameters ->> 'currency', r.parameters ->> 'destination',
            coalesce(p.amount_cents || ' ' || p.currency || ' to ' || p.stripe_account_id, 'nothing'))
    from app.stripe_requests as r
    left join app.payouts as p on p.id = r.subject_id
    where r.kind = 'transfer'
        and (r.parameters ->> 'amount', r.parameters ->> 'currency', r.parameters ->> 'destination',
            r.parameters ->> 'transfer_group', r.parameters #>> '{metadata,payout_id}', r.is_live, r.user_id)
        is distinct from (p.amount_cents::text, p.currency, p.stripe_account_id,
            'payout-' || p.id, p.id::text, p.is_live, p.creator_id)
    union all
    -- What is not sent yet is being asked for, and nothing else is.
    select 'payout_request', p.id::text, format('%s, and %s requests wait for Stripe', p.status, count(r.id))
    from app.payouts as p
    left join app.stripe_requests as r on r.subject_id = p.id and r.kind = 'transfer' and r.state = 'pending'
    where p.status <> 'paid'
    group by p.id, p.status
    having count(r.id) <> case when p.status in ('pending', 'processing') then 1 else 0 end;
end;
comment on function app.check_payouts() is $$Every payout set its money aside, sent it once, or gave it back$$;

create or replace function app.check_payout_movements()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'payout_movement', t.id::text,
        format('%s of %s from %s of %s to %s of %s', t.kind, t.book_id, t.debit_kind, t.debit_owner_id, t.credit_kind, t.credit_owner_id)
    from ledger.transfers as t
    inner join (
        values
            ('payout', 'earnings', 'payouts'), ('payout_returned', 'payouts', 'earnings'), ('payout_sent', 'payouts', 'paid'),
            ('payout_reversed', 'paid', 'earnings'), ('transfer', 'stripe', 'royalties'),
            ('transfer_reversed', 'royalties', 'stripe')
    ) as k (kind, debit_kind, credit_kind) on k.kind = t.kind
    cross join lateral (
        select case when t.kind like 'transfer%' then ledger.platform_id() else t.book_id end as id
    ) as o
    where (t.debit_owner_id, t.debit_kind, t.credit_owner_id, t.credit_kind)
        is distinct from (o.id, k.debit_kind, o.id, k.credit_kind)
    union all
    select 'correction', t.id::text,
        format('from %s of %s to %s of %s', t.debit_kind, t.debit_owner_id, t.credit_kind, t.credit_owner_id)
    from ledger.transfers as t
    where t.kind = 'correction'
        and (t.debit_owner_id, t.debit_kind, t.credit_owner_id, t.credit_kind)
        is distinct from (ledger.platform_id(), 'royalties', t.book_id, 'earnings')
        and (t.debit_owner_id, t.debit_kind, t.credit_owner_id, t.credit_kind)
        is distinct from (t.book_id, 'earnings', ledger.platform_id(), 'royalties')
    union all
    -- What operators gave and took is on record, to the micro-dollar.
    select 'corrections', coalesce(c.creator_id, l.subject),
        format('%s micro-dollars were posted, %s are on record', coalesce(c.amount, 0), coalesce(l.amount, 0))
    from (
        select t.book_id::text as creator_id,
            sum(case when t.credit_kind = 'earnings' then t.amount else -t.amount end) as amount
        from ledger.transfers as t
        where t.kind = 'correction'
        group by t.book_id
    ) as c
    full join (
        select a.subject, sum((a.details ->> 'amount_microdollars')::bigint) as amount
        from app.audit_log as a
        where a.action = 'adjust_earnings'
        group by a.subject
    ) as l on l.subject = c.creator_id
    where coalesce(c.amount, 0) <> coalesce(l.amount, 0)
    union all
    -- What creators have, frozen, or on its way is what the platform owes.
    select 'royalties', 'royalties', format('%s micro-dollars are owed, creators have %s', -s.royalties, s.creators)
    from (
        select
            coalesce(sum(m.amount) filter (where m.kind = 'royalties'), 0) as royalties,
            coalesce(sum(m.amount) filter (where m.kind <> 'royalties'), 0) as creators
        from ledger.transfers as t
        cross join lateral (values (t.debit_kind, -t.amount), (t.credit_kind, t.amount)) as m (kind, amount)
        where m.kind in ('royalties', 'earnings', 'frozen_earnings', 'payouts')
    ) as s
    where s.royalties + s.creators <> 0;
end;
comment on function app.check_payout_movements() is $$Money for creators moves between the accounts that it should

And all of it together is what the platform owes.$$;

create or replace function app.check_payout_batches()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'payout_batch', b.month::text,
        format('says %s payouts of %s cents and %s skipped, its rows %s of %s and %s',
            b.payouts, b.total_cents, b.skipped, p.payouts, p.cents, s.skipped)
    from app.monthly_payout_batches as b
    cross join lateral (
        select count(*) as payouts, coalesce(sum(o.amount_cents), 0) as cents
        from app.payouts as o
        where o.batch_id = b.id
    ) as p
    cross join lateral (
        select count(*) as skipped from app.payout_skips as k where k.batch_id = b.id
    ) as s
    where b.payouts <> p.payouts or b.total_cents <> p.cents or b.skipped <> s.skipped
        or b.payouts + b.skipped > b.creators_done
    union all
    select 'payout_and_skip', format('%s %s', p.batch_id, p.creator_id), 'was paid and skipped in one batch'
    from app.payouts as p
    inner join app.payout_skips as s on s.batch_id = p.batch_id and s.creator_id = p.creator_id;
end;
comment on function app.check_payout_batches() is $$A batch counted whom it paid and whom it skipped$$;
