-- What must be true of subscriptions at any time.

create or replace function app.check_invoice_allowances()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    -- Its credits came with its payment, or by a movement of their own, once.
    select 'invoice_allowance', format('invoice %s', a.stripe_invoice_id),
        format('it granted %s credits, its payment says %s and the ledger %s',
            a.granted, coalesce(p.credits_purchased::text, 'nothing'), coalesce(t.credits::text, 'nothing'))
    from app.invoice_allowances as a
    left join app.payments as p on p.stripe_invoice_id = a.stripe_invoice_id
    left join (
        select t.book_id, t.transaction_id, t.reference_id, sum(t.amount) as credits
        from ledger.transfers as t
        where t.kind = 'allowance' and t.reference_type = 'invoice'
        group by t.book_id, t.transaction_id, t.reference_id
    ) as t on t.reference_id = a.id
    where coalesce(p.credits_purchased, 0) + coalesce(t.credits, 0) <> a.granted
        or (p.id is not null and (t.transaction_id is not null or p.user_id <> a.user_id))
        or t.transaction_id is distinct from a.transaction_id
        or t.book_id <> a.user_id
    union all
    select 'invoice_without_allowance', format('payment %s', p.id), format('%s credits', p.credits_purchased)
    from app.payments as p
    where p.method = 'subscription'
        and not exists (select from app.invoice_allowances as a where a.stripe_invoice_id = p.stripe_invoice_id)
    union all
    select 'allowance_without_invoice', format('%s transfer %s', t.book_id, t.id), format('%s credits', t.amount)
    from ledger.transfers as t
    where t.kind = 'allowance' and t.reference_type = 'invoice'
        and not exists (select from app.invoice_allowances as a where a.id = t.reference_id)
    union all
    -- Whatever plans were left and taken again: never more credits than were paid for in the end.
    select 'allowance_share', format('invoice %s', r.stripe_invoice_id),
        format('%s credits were granted to this customer so far, their invoices come to %s', r.granted, r.credits)
    from (
        select c.stripe_invoice_id,
            sum(c.granted) over (partition by c.stripe_customer_id order by c.id) as granted,
            greatest(max(c.credits) over (partition by c.stripe_customer_id order by c.id), 0) as credits
        from (
            select a.id, a.stripe_invoice_id, a.granted, s.stripe_customer_id,
                sum(a.credits) over (partition by s.stripe_customer_id order by a.id) as credits
            from app.invoice_allowances as a
            inner join app.subscriptions as s on s.id = a.subscription_id
        ) as c
    ) as r
    where r.granted <> r.credits;
end;
comment on function app.check_invoice_allowances() is $$Every paid invoice brought its credits once

And a plan that was left and taken again brought none twice.$$;
