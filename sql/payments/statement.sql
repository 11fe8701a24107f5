-- What payments, refunds and disputes moved through Stripe.

create or replace function app.payment_movements()
returns setof app.stripe_movement
language sql stable
set search_path = ''
begin atomic
    select
        case t.reference_type
            when 'payment' then p.stripe_charge_id
            when 'refund' then r.stripe_refund_id
            when 'dispute' then d.stripe_dispute_id
        end,
        t.kind::text,
        case when t.credit_kind = 'stripe' then t.amount else -t.amount end / 10000,
        format('%s %s of %s', t.reference_type, t.reference_id, t.book_id)
    from ledger.transfers as t
    left join app.payments as p on t.reference_type = 'payment' and p.id = t.reference_id
    left join app.refunds as r on t.reference_type = 'refund' and r.id = t.reference_id
    left join app.disputes as d on t.reference_type = 'dispute' and d.id = t.reference_id
    where (t.credit_kind = 'stripe' or t.debit_kind = 'stripe')
        and t.reference_type in ('payment', 'refund', 'dispute');
end;
comment on function app.payment_movements() is $$Charges, refunds and disputes, under Stripe's names$$;
