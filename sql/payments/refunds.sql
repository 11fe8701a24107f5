-- Money that goes back, and the credits that it had bought.

create or replace function app.credits_to_recall(payment app.payments, cents bigint)
returns bigint
language sql stable
set search_path = ''
return (
    select ledger.portion(
            (credits_to_recall.payment).credits_purchased + (credits_to_recall.payment).bonus_credits, 0,
            least(g.cents + credits_to_recall.cents, (credits_to_recall.payment).amount_cents),
            (credits_to_recall.payment).amount_cents)
        - g.credits
    from (
        select coalesce(sum(m.amount_cents), 0)::bigint as cents, coalesce(sum(m.credits), 0)::bigint as credits
        from (
            select r.amount_cents, r.credits
            from app.refunds as r
            where r.payment_id = (credits_to_recall.payment).id and r.status <> 'failed'
            union all
            select d.amount_cents, d.credits
            from app.disputes as d
            where d.payment_id = (credits_to_recall.payment).id and d.status in ('open', 'lost')
        ) as m
    ) as g
);
comment on function app.credits_to_recall(app.payments, bigint) is $$How many credits go back with so many more cents of a payment

Cumulative over its refunds and disputes, so that the parts add up to all of its credits exactly.$$;

create or replace function app.recall_payment(
    payment app.payments, cents bigint, reference_type text, reference_id uuid)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    v_credits constant bigint := greatest(app.credits_to_recall(recall_payment.payment, recall_payment.cents), 0);
begin
    if v_credits > 0 then
        perform ledger.recall(
            (recall_payment.payment).user_id, (recall_payment.payment).id, v_credits, false,
            recall_payment.reference_type, recall_payment.reference_id);
    end if;
    return v_credits;
end;
$$;
comment on function app.recall_payment(app.payments, bigint, text, uuid) is $$Freeze the credits that go with so many cents of a payment

The caller holds the payer's lock, and has not stored the refund or dispute yet. Returns how many they are.$$;

create or replace function app.recall_what_is_missing(payment app.payments)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_credits constant bigint := app.credits_to_recall(recall_what_is_missing.payment, 0);
    v_takeback record;
begin
    if v_credits <= 0 then
        return;
    end if;
    select t.* into v_takeback
    from (
        select 'refund' as reference_type, r.id, r.status = 'succeeded' as is_final
        from app.refunds as r
        where r.payment_id = (recall_what_is_missing.payment).id and r.status <> 'failed'
        union all
        select 'dispute', d.id, d.status = 'lost'
        from app.disputes as d
        where d.payment_id = (recall_what_is_missing.payment).id and d.status in ('open', 'lost')
    ) as t
    order by t.id desc
    limit 1;
    perform ledger.recall(
        (recall_what_is_missing.payment).user_id, (recall_what_is_missing.payment).id, v_credits,
        v_takeback.is_final, v_takeback.reference_type, v_takeback.id);
    update app.refunds as r set credits = r.credits + v_credits where r.id = v_takeback.id;
    update app.disputes as d set credits = d.credits + v_credits where d.id = v_takeback.id;
end;
$$;
comment on function app.recall_what_is_missing(app.payments) is $$When one refund or dispute gave credits back, another may need them

Both were for the same money, and only the first had found credits to take. The caller holds the payer's lock.$$;

create or replace function app.refundable_cents(payment app.payments)
returns bigint
language sql stable
set search_path = ''
return (
    (refundable_cents.payment).amount_cents
    - coalesce((
        select sum(r.amount_cents) from app.refunds as r
        where r.payment_id = (refundable_cents.payment).id and r.status <> 'failed'), 0)
    - coalesce((
        select sum(d.amount_cents) from app.disputes as d
        where d.payment_id = (refundable_cents.payment).id and d.status in ('open', 'lost')), 0)
)::bigint;
comment on function app.refundable_cents(app.payments) is $$What can still be refunded of a payment, in cents

Less what went back, is on its way, or is disputed.$$;

create or replace function app.refund_payment(
    payment_id uuid, amount_cents bigint, reason text, idempotency_key text,
    out refund_id uuid, out request_id uuid, out status text, out refunded_cents bigint, out recalled_credits bigint)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_reason constant text := app.require_text(refund_payment.reason, 'reason', 500);
    v_arguments constant jsonb := jsonb_build_array(
        refund_payment.payment_id, refund_payment.amount_cents, v_reason);
    v_payment app.payments;
    v_key text;
    v_answer jsonb;
    v_refundable bigint;
begin
    perform app.require_operator();
    select p.* into v_payment from app.payments as p where p.id = refund_payment.payment_id;
    if not found then
        perform app.fail(404, 'payment_not_found', 'There is no such payment.');
    end if;
    v_key := ledger.operator_key(v_payment.user_id, refund_payment.idempotency_key);
    perform ledger.lock_wallet(v_payment.user_id);
    v_answer := ledger.replay(ledger.platform_id(), v_key, 'refund_payment', v_arguments);
    if v_answer is null then
        select p.* into v_payment from app.payments as p where p.id = refund_payment.payment_id;
        if v_payment.status <> 'succeeded' or v_payment.stripe_payment_intent_id is null then
            perform app.fail(
                409, 'payment_not_succeeded', 'Only a payment that succeeded can be refunded.',
                case v_payment.status
                    -- An invoice: an object of its own says how it was paid.
                    when 'succeeded' then 'Stripe has not said yet how this one was paid. Please try again in a minute.'
                    else format('This one is %s.', v_payment.status) end);
        end if;
        v_refundable := app.refundable_cents(v_payment);
        refunded_cents := coalesce(refund_payment.amount_cents, v_refundable);
        if v_refundable <= 0 then
            perform app.fail(
                409, 'already_refunded', 'Nothing of this payment is left to refund.',
                format(
                    'Of %s cents all went back, are on their way, or are withheld by a dispute.',
                    v_payment.amount_cents));
        elsif refunded_cents < 1 then
            perform app.fail(
                400, 'invalid_amount', 'A refund is at least one cent.', format('You asked for %s.', refunded_cents));
        elsif refunded_cents > v_refundable then
            perform app.fail(
                422, 'refund_too_large', 'This is more than is left of the payment.',
                format('%s cents are left.', v_refundable));
        end if;
        refund_id := app.new_id();
        recalled_credits := app.recall_payment(v_payment, refunded_cents, 'refund', refund_id);
        insert into app.refunds (
            id, user_id, payment_id, amount_cents, currency, status, reason, credits)
        values (
            refund_id, v_payment.user_id, v_payment.id, refunded_cents, v_payment.currency, 'pending', v_reason,
            recalled_credits);
        request_id := app.add_stripe_request(
            v_payment.user_id, 'refund', refund_id,
            jsonb_build_object(
                'payment_intent', v_payment.stripe_payment_intent_id, 'amount', refunded_cents,
                'reason', 'requested_by_customer',
                'metadata', jsonb_build_object('refund_id', refund_id, 'payment_id', v_payment.id)),
            v_payment.is_live);
        perform app.audit(
            'refund_payment', v_payment.id::text,
            jsonb_build_object('refund_id', refund_id, 'amount_cents', refunded_cents, 'reason', v_reason));
        v_answer := jsonb_build_object('refund_id', refund_id, 'request_id', request_id);
        if v_key is not null then
            perform ledger.remember(ledger.platform_id(), v_key, 'refund_payment', v_arguments, v_answer);
        end if;
    end if;
    request_id := (v_answer ->> 'request_id')::uuid;
    select r.id, r.status, r.amount_cents, r.credits
    into refund_id, refund_payment.status, refunded_cents, recalled_credits
    from app.refunds as r
    where r.id = (v_answer ->> 'refund_id')::uuid;
end;
$$;
comment on function app.refund_payment(uuid, bigint, text, text) is $$Send money back to its payer

`amount_cents` null: all that is left. The credits that it bought are frozen at once (unspent ones first, then the sales that others paid for), gone when Stripe has paid, given back when it cannot. On record in the audit log. Once per `idempotency_key`. Errors: 400 invalid_amount, 400 text_required, 401 login_required, 403 operator_required, 404 payment_not_found, 409 already_refunded, 409 idempotency_mismatch, 409 payment_not_succeeded, 422 refund_too_large.$$;
grant execute on function app.refund_payment(uuid, bigint, text, text) to edge;

create or replace function app.post_stripe_money(
    payment app.payments, kind text, from_kind text, to_kind text, cents bigint,
    reference_type text, reference_id uuid)
returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
    v_transaction_id constant uuid := app.new_id();
begin
    perform ledger.post(
        (post_stripe_money.payment).user_id, v_transaction_id,
        array[ledger.posting(
            post_stripe_money.kind, 'usd', ledger.platform_id(), post_stripe_money.from_kind,
            ledger.platform_id(), post_stripe_money.to_kind, post_stripe_money.cents * 10000,
            post_stripe_money.reference_type, post_stripe_money.reference_id)]);
    return v_transaction_id;
end;
$$;
comment on function app.post_stripe_money(app.payments, text, text, text, bigint, text, uuid) is $$Move the platform's own dollars on account of a payment, in its payer's book

Returns the transaction.$$;

create or replace function app.lock_paid_payment(object jsonb)
returns app.payments
language plpgsql volatile
set search_path = ''
as $$
declare
    v_intent_id constant text := lock_paid_payment.object ->> 'payment_intent';
    v_currency constant text := lock_paid_payment.object ->> 'currency';
    v_payment app.payments;
begin
    perform app.lock_stripe_object(v_intent_id);
    v_payment := app.find_payment(v_intent_id, null);
    if v_payment.status is distinct from 'succeeded' then
        return null;
    elsif v_currency is distinct from v_payment.currency then
        perform app.fail(
            422, 'amount_mismatch', 'Stripe speaks of another currency than the payment''s.',
            format('%s instead of %s', v_currency, v_payment.currency));
    end if;
    perform ledger.lock_wallet(v_payment.user_id);
    return v_payment;
end;
$$;
comment on function app.lock_paid_payment(jsonb) is $$The payment of a refund or dispute of Stripe's, with its payer's lock taken

Null while it has not succeeded: then what is about it waits for it. Errors: 422 amount_mismatch.$$;

create or replace function app.find_refund(object jsonb, payment_id uuid)
returns app.refunds
language sql stable
set search_path = ''
return (
    select r
    from app.refunds as r
    where r.payment_id = find_refund.payment_id
        and (
            r.stripe_refund_id = find_refund.object ->> 'id'
            or (
                -- One that was given up here and paid after all is money that left without us: a new one.
                r.stripe_refund_id is null and r.status <> 'failed'
                and r.id = app.uuid_or_null(find_refund.object #>> '{metadata,refund_id}')))
);
comment on function app.find_refund(jsonb, uuid) is $$Our row of a refund at Stripe$$;

create or replace function app.apply_stripe_refund(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant text := app.require_stripe_id(apply_stripe_refund.object);
    v_intent_id constant text := apply_stripe_refund.object ->> 'payment_intent';
    v_cents constant bigint := (apply_stripe_refund.object ->> 'amount')::bigint;
    v_status constant text := case apply_stripe_refund.object ->> 'status'
        when 'succeeded' then 'succeeded' when 'failed' then 'failed' when 'canceled' then 'failed' else 'pending' end;
    v_payment app.payments;
    v_refund app.refunds;
    v_credits bigint := 0;
begin
    if v_intent_id is null then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    v_payment := app.lock_paid_payment(apply_stripe_refund.object);
    if v_payment.id is null then
        return ('parked', v_intent_id)::app.stripe_outcome;
    end if;
    v_refund := app.find_refund(apply_stripe_refund.object, v_payment.id);
    if v_refund.id is null then
        -- Made at Stripe itself: it is theirs to decide, and ours to follow.
        v_refund.id := app.new_id();
        if v_status <> 'failed' then
            v_credits := app.recall_payment(v_payment, v_cents, 'refund', v_refund.id);
        end if;
        insert into app.refunds (
            id, user_id, payment_id, stripe_refund_id, amount_cents, currency, status, reason, credits)
        values (
            v_refund.id, v_payment.user_id, v_payment.id, v_id, v_cents,
            apply_stripe_refund.object ->> 'currency', 'pending', apply_stripe_refund.object ->> 'reason',
            v_credits)
        returning * into v_refund;
    elsif v_cents <> v_refund.amount_cents then
        perform app.fail(
            422, 'amount_mismatch', 'Another amount was refunded than was asked for.',
            format('%s instead of %s', v_cents, v_refund.amount_cents));
    end if;
    if v_refund.status = 'failed' then
        return ('applied', null)::app.stripe_outcome;
    end if;

    -- Stripe has paid it, even if it came back since.
    if v_refund.transaction_id is null
        and (v_status = 'succeeded' or apply_stripe_refund.object ->> 'balance_transaction' is not null)
    then
        v_refund.transaction_id := app.post_stripe_money(
            v_payment, 'repayment', 'stripe', 'sales', v_cents, 'refund', v_refund.id);
    end if;
    if v_status = 'succeeded' then
        perform ledger.settle_recalls(v_payment.user_id, 'refund', v_refund.id);
    elsif v_status = 'failed' then
        perform app.fail_refund(v_payment, v_refund);
    end if;
    update app.refunds as r
    set stripe_refund_id = v_id,
        status = case when v_status = 'pending' then r.status else v_status end,
        transaction_id = v_refund.transaction_id,
        failure_reason = case when v_status = 'failed' then apply_stripe_refund.object ->> 'failure_reason' end,
        -- The receipt shows it as the day of the refund: news that change nothing leave it.
        updated_at = case when v_status in ('pending', r.status) then r.updated_at else now() end
    where r.id = v_refund.id;
    if v_status = 'failed' then
        perform app.recall_what_is_missing(v_payment);
    end if;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_refund(jsonb) is $$What a refund at Stripe does here

Refunds made in Stripe's dashboard as well. One that comes before its payment waits for it. Pending freezes, succeeded settles, failed gives back, also after it had succeeded. Errors: 422 amount_mismatch.$$;

create or replace function app.fail_refund(payment app.payments, refund app.refunds)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    perform ledger.release_recalls((fail_refund.payment).user_id, 'refund', (fail_refund.refund).id);
    if (fail_refund.refund).transaction_id is not null then
        perform app.post_stripe_money(
            fail_refund.payment, 'repayment_failed', 'sales', 'stripe', (fail_refund.refund).amount_cents,
            'refund', (fail_refund.refund).id);
    end if;
end;
$$;
comment on function app.fail_refund(app.payments, app.refunds) is $$A refund that came to nothing: credits and money are back$$;

create or replace function app.end_refund_request()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_payment app.payments;
    v_refund app.refunds;
begin
    perform ledger.lock_wallet(new.user_id);
    select r.* into v_refund from app.refunds as r where r.id = new.subject_id and r.status = 'pending';
    if found then
        select p.* into v_payment from app.payments as p where p.id = v_refund.payment_id;
        perform app.fail_refund(v_payment, v_refund);
        update app.refunds as r
        set status = 'failed', failure_reason = new.error_message, updated_at = now()
        where r.id = v_refund.id;
        perform app.recall_what_is_missing(v_payment);
    end if;
    return null;
end;
$$;
comment on function app.end_refund_request() is $$Trigger: Stripe refused a refund$$;

create or replace trigger tg_stripe_requests__end_refund
after update of state on app.stripe_requests
for each row when (new.state = 'failed' and new.kind = 'refund')
execute function app.end_refund_request();
