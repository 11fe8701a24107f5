-- Money for credits: begun here, paid at Stripe, credited once.

create or replace function app.start_payment(
    package_id uuid, method text, stripe_customer_id text, livemode boolean, success_url text, cancel_url text,
    idempotency_key text,
    out payment_id uuid, out request_id uuid, out status text, out stripe_payment_intent_id text,
    out stripe_checkout_session_id text, out amount_cents bigint, out currency text, out credits bigint,
    out bonus_credits bigint)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_arguments constant jsonb := jsonb_build_array(
        start_payment.package_id, start_payment.method, start_payment.success_url, start_payment.cancel_url);
    v_package app.credit_packages;
    v_first_answer jsonb;
begin
    perform ledger.lock_wallet(v_user_id);
    v_first_answer := ledger.replay(v_user_id, start_payment.idempotency_key, 'start_payment', v_arguments);
    if v_first_answer is null then
        select p.* into v_package
        from app.credit_packages as p
        where p.id = start_payment.package_id and p.is_active;
        if not found then
            perform app.fail(404, 'package_not_found', 'There is no such package on sale.');
        elsif v_package.currency <> 'usd' then
            perform app.fail(422, 'currency_not_supported', 'This package cannot be paid for yet.', v_package.currency);
        elsif not exists (
            select from app.stripe_customers as c
            where c.user_id = v_user_id and c.is_live = start_payment.livemode
                and c.stripe_customer_id = start_payment.stripe_customer_id)
        then
            perform app.fail(409, 'customer_missing', 'Your customer at Stripe is not ready. Please try again.');
        end if;
        payment_id := app.new_id();
        insert into app.payments (
            id, user_id, package_id, package_name, method, stripe_customer_id, amount_cents, currency,
            credits_purchased, bonus_credits, is_live)
        values (
            payment_id, v_user_id, v_package.id, v_package.name, start_payment.method,
            start_payment.stripe_customer_id, v_package.price_cents, v_package.currency,
            v_package.credits_amount, v_package.bonus_credits, start_payment.livemode);
        request_id := app.add_stripe_request(
            v_user_id, case start_payment.method when 'intent' then 'payment_intent' else 'checkout_session' end,
            payment_id,
            app.payment_parameters(payment_id, start_payment.success_url, start_payment.cancel_url),
            start_payment.livemode);
        if start_payment.idempotency_key is not null then
            perform ledger.remember(
                v_user_id, start_payment.idempotency_key, 'start_payment', v_arguments,
                jsonb_build_object('payment_id', payment_id, 'request_id', request_id));
        end if;
    else
        payment_id := (v_first_answer ->> 'payment_id')::uuid;
        request_id := (v_first_answer ->> 'request_id')::uuid;
    end if;
    select
        p.status, p.stripe_payment_intent_id, p.stripe_checkout_session_id, p.amount_cents, p.currency,
        p.credits_purchased, p.bonus_credits
    into
        status, stripe_payment_intent_id, stripe_checkout_session_id, amount_cents, currency, credits, bonus_credits
    from app.payments as p
    where p.id = payment_id;
end;
$$;
comment on function app.start_payment(uuid, text, text, boolean, text, text, text) is $$Begin to buy a package of credits

`method` intent or checkout (with the addresses to return to). Makes the payment and the request that the edge sends next; the price is the package's. Once per `idempotency_key`. Errors: 401 login_required, 404 package_not_found, 409 customer_missing, 409 idempotency_mismatch, 422 currency_not_supported.$$;
grant execute on function app.start_payment(uuid, text, text, boolean, text, text, text) to edge;

create or replace function app.payment_parameters(payment_id uuid, success_url text, cancel_url text)
returns jsonb
language sql stable
set search_path = ''
return (
    select case p.method
        when 'intent' then jsonb_build_object(
            'amount', p.amount_cents, 'currency', p.currency, 'customer', p.stripe_customer_id,
            'description', d.description, 'metadata', d.metadata,
            'automatic_payment_methods', jsonb_build_object('enabled', true))
        else jsonb_build_object(
            'mode', 'payment', 'customer', p.stripe_customer_id, 'client_reference_id', p.id,
            'line_items', jsonb_build_array(jsonb_build_object(
                'quantity', 1,
                'price_data', jsonb_build_object(
                    'currency', p.currency, 'unit_amount', p.amount_cents,
                    'product_data', jsonb_build_object('name', d.description)))),
            'payment_intent_data', jsonb_build_object('description', d.description, 'metadata', d.metadata),
            'metadata', d.metadata,
            'success_url', payment_parameters.success_url, 'cancel_url', payment_parameters.cancel_url)
        end
    from app.payments as p
    cross join lateral (
        select
            format('%s: %s credits', p.package_name, p.credits_purchased + p.bonus_credits),
            jsonb_build_object('payment_id', p.id, 'user_id', p.user_id)
    ) as d (description, metadata)
    where p.id = payment_parameters.payment_id
);
comment on function app.payment_parameters(uuid, text, text) is $$What Stripe is asked for, to the letter$$;

create or replace function app.payment_rank(status text)
returns integer
language sql immutable
set search_path = ''
return array_position(array['pending', 'processing', 'failed', 'canceled', 'succeeded'], payment_rank.status);
comment on function app.payment_rank(text) is $$A payment only moves up, whatever order the news come in

Money that came in counts last, for it is certain.$$;

create or replace function app.find_payment(stripe_payment_intent_id text, metadata jsonb)
returns app.payments
language sql stable
set search_path = ''
return (
    select p
    from app.payments as p
    where p.stripe_payment_intent_id = find_payment.stripe_payment_intent_id
        or p.id = app.uuid_or_null(find_payment.metadata ->> 'payment_id')
    order by p.stripe_payment_intent_id = find_payment.stripe_payment_intent_id desc nulls last
    limit 1
);
comment on function app.find_payment(text, jsonb) is $$The payment that an object of Stripe belongs to

By the intent, else by what we wrote into its metadata: Stripe may speak before our own call has returned.$$;

create or replace function app.move_payment(
    payment app.payments, status text, stripe_payment_intent_id text, failure jsonb default null)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_moves constant boolean := app.payment_rank(move_payment.status) > app.payment_rank((move_payment.payment).status);
begin
    update app.payments as p
    set status = case when v_moves then move_payment.status else p.status end,
        stripe_payment_intent_id = coalesce(p.stripe_payment_intent_id, move_payment.stripe_payment_intent_id),
        failure_code = case
            when v_moves then coalesce(
                move_payment.failure ->> 'decline_code', move_payment.failure ->> 'code', p.failure_code)
            else p.failure_code end,
        failure_reason = case
            when v_moves then coalesce(left(move_payment.failure ->> 'message', 500), p.failure_reason)
            else p.failure_reason end,
        processed_at = case when v_moves and move_payment.status in ('failed', 'canceled') then now() else p.processed_at end,
        updated_at = now()
    where p.id = (move_payment.payment).id
        and (v_moves or p.stripe_payment_intent_id is distinct from move_payment.stripe_payment_intent_id);
end;
$$;
comment on function app.move_payment(app.payments, text, text, jsonb) is $$Put a payment into a later state, short of succeeded

What is behind the present state changes nothing. The caller holds the payer's lock.$$;

create or replace function app.complete_payment(
    payment app.payments, stripe_payment_intent_id text, paid_cents bigint, paid_currency text, stripe_charge_id text)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_payment constant app.payments := complete_payment.payment;
    v_paid constant bigint := v_payment.amount_cents * 10000;
    v_credits constant bigint := v_payment.credits_purchased + v_payment.bonus_credits;
    v_purchased_value constant bigint := ledger.portion(v_paid, 0, v_payment.credits_purchased, greatest(v_credits, 1));
    v_receipt ledger.receipt;
    v_number app.receipt_serials;
begin
    if v_payment.status = 'succeeded' then
        -- A checkout, or an invoice, does not say which charge it made; the intent does.
        update app.payments as p
        set stripe_charge_id = complete_payment.stripe_charge_id
        where p.id = v_payment.id and p.stripe_charge_id is null and complete_payment.stripe_charge_id is not null;
        return;
    elsif (complete_payment.paid_cents, complete_payment.paid_currency)
        is distinct from (v_payment.amount_cents, v_payment.currency)
    then
        perform app.fail(
            422, 'amount_mismatch', 'Another amount was paid than was asked for.',
            format('%s %s instead of %s %s', complete_payment.paid_cents, complete_payment.paid_currency,
                v_payment.amount_cents, v_payment.currency));
    end if;
    if v_credits > 0 then
        v_receipt := ledger.grant_credits(
            v_payment.user_id, v_payment.credits_purchased,
            case v_payment.method when 'subscription' then 'allowance' else 'purchase' end, v_purchased_value,
            v_payment.credits_expire_at, 'payment', v_payment.id);
    else
        v_receipt.transaction_id := app.new_id();
    end if;
    if v_payment.bonus_credits > 0 then
        perform ledger.grant_credits(
            v_payment.user_id, v_payment.bonus_credits, 'bonus', v_paid - v_purchased_value,
            reference_type => 'payment', reference_id => v_payment.id);
    end if;
    perform ledger.post(
        v_payment.user_id, v_receipt.transaction_id,
        array[ledger.posting(
            'charge', 'usd', ledger.platform_id(), 'sales', ledger.platform_id(), 'stripe', v_paid,
            'payment', v_payment.id)]);
    -- The one row that payments of all payers share, and so the last to be locked.
    v_number := app.next_receipt_number();
    update app.payments as p
    set status = 'succeeded',
        stripe_payment_intent_id = coalesce(p.stripe_payment_intent_id, complete_payment.stripe_payment_intent_id),
        stripe_charge_id = complete_payment.stripe_charge_id,
        transaction_id = v_receipt.transaction_id,
        receipt_year = v_number.year, receipt_serial = v_number.last_serial,
        receipt_seller = (select to_jsonb(s) from app.seller as s),
        failure_code = null, failure_reason = null, processed_at = now(), updated_at = now()
    where p.id = v_payment.id;
    perform app.replay_waiting_stripe_events(complete_payment.stripe_payment_intent_id);
end;
$$;
comment on function app.complete_payment(app.payments, text, bigint, text, text) is $$The money is there: credit it, once

The price is shared out over all credits, so that each has its real value. What came before its payment (a refund, a dispute) follows at once. The caller holds the payer's lock. Errors: 422 amount_mismatch.$$;

create or replace function app.apply_stripe_payment_intent(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant text := app.require_stripe_id(apply_stripe_payment_intent.object);
    v_status constant text := apply_stripe_payment_intent.object ->> 'status';
    v_failure constant jsonb := nullif(apply_stripe_payment_intent.object -> 'last_payment_error', 'null');
    v_payment app.payments;
begin
    perform app.lock_stripe_object(v_id);
    v_payment := app.find_payment(v_id, apply_stripe_payment_intent.object -> 'metadata');
    if v_payment.id is null then
        return case
            when apply_stripe_payment_intent.object #>> '{metadata,payment_id}' is null
                then ('ignored', null)::app.stripe_outcome
            else ('parked', apply_stripe_payment_intent.object #>> '{metadata,payment_id}')::app.stripe_outcome
        end;
    end if;
    perform ledger.lock_wallet(v_payment.user_id);
    v_payment := app.find_payment(v_id, apply_stripe_payment_intent.object -> 'metadata');
    if v_payment.stripe_payment_intent_id <> v_id then
        if v_status = 'succeeded' then
            perform app.fail(
                409, 'paid_twice', 'This payment was made with another intent already. Refund one of them at Stripe.',
                format('payment %s: %s and %s', v_payment.id, v_payment.stripe_payment_intent_id, v_id));
        end if;
        return ('ignored', null)::app.stripe_outcome;
    end if;
    if v_status = 'succeeded' then
        perform app.complete_payment(
            v_payment, v_id, (apply_stripe_payment_intent.object ->> 'amount_received')::bigint,
            apply_stripe_payment_intent.object ->> 'currency',
            case jsonb_typeof(apply_stripe_payment_intent.object -> 'latest_charge')
                when 'object' then apply_stripe_payment_intent.object #>> '{latest_charge,id}'
                else apply_stripe_payment_intent.object ->> 'latest_charge' end);
    else
        perform app.move_payment(
            v_payment,
            case
                when v_status in ('processing', 'canceled') then v_status
                when v_status = 'requires_payment_method' and v_failure is not null then 'failed'
                else 'pending'
            end,
            v_id, v_failure);
    end if;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_payment_intent(jsonb) is $$What a payment intent says about our payment

Intents that do not name one of our payments are ignored. Errors: 409 paid_twice, 422 amount_mismatch.$$;

create or replace function app.apply_stripe_checkout_session(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant text := app.require_stripe_id(apply_stripe_checkout_session.object);
    v_intent_id constant text := apply_stripe_checkout_session.object ->> 'payment_intent';
    v_payment_id constant text := apply_stripe_checkout_session.object #>> '{metadata,payment_id}';
    v_payment app.payments;
begin
    if apply_stripe_checkout_session.object ->> 'mode' is distinct from 'payment' or v_payment_id is null then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    if v_intent_id is not null then
        perform app.lock_stripe_object(v_intent_id);
    end if;
    v_payment := app.find_payment(null, jsonb_build_object('payment_id', v_payment_id));
    if v_payment.id is null then
        return ('parked', v_payment_id)::app.stripe_outcome;
    end if;
    perform ledger.lock_wallet(v_payment.user_id);
    update app.payments as p
    set stripe_checkout_session_id = v_id
    where p.id = v_payment.id and p.stripe_checkout_session_id is null;
    v_payment := app.find_payment(null, jsonb_build_object('payment_id', v_payment_id));
    if v_payment.stripe_checkout_session_id <> v_id then
        return ('ignored', null)::app.stripe_outcome;
    elsif apply_stripe_checkout_session.object ->> 'payment_status' = 'paid' then
        perform app.complete_payment(
            v_payment, v_intent_id, (apply_stripe_checkout_session.object ->> 'amount_total')::bigint,
            apply_stripe_checkout_session.object ->> 'currency', null);
    else
        perform app.move_payment(
            v_payment,
            case apply_stripe_checkout_session.object ->> 'status'
                when 'expired' then 'canceled'
                when 'complete' then 'processing'
                else 'pending'
            end,
            v_intent_id);
    end if;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_checkout_session(jsonb) is $$What a checkout session says about our payment

Errors: 422 amount_mismatch.$$;

create or replace function app.apply_stripe_charge(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_method constant jsonb := apply_stripe_charge.object -> 'payment_method_details';
    v_payment constant app.payments := app.find_payment(
        apply_stripe_charge.object ->> 'payment_intent', apply_stripe_charge.object -> 'metadata');
begin
    -- A card that was declined did not pay, and this can be heard after the one that did.
    if v_payment.id is null or apply_stripe_charge.object ->> 'status' = 'failed' then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    perform ledger.lock_wallet(v_payment.user_id);
    update app.payments as p
    set payment_method = btrim(format(
            '%s %s',
            coalesce(v_method #>> array['card', 'brand'], v_method ->> 'type'),
            coalesce(v_method #>> array['card', 'last4'], v_method #>> array[v_method ->> 'type', 'last4']))),
        updated_at = now()
    where p.id = v_payment.id and jsonb_typeof(v_method) = 'object';
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_charge(jsonb) is $$How a payment was paid: the card's brand and its last four digits

Attempts that failed are ignored.$$;

create or replace function app.end_payment_request()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_payment app.payments;
begin
    perform ledger.lock_wallet(new.user_id);
    select p.* into v_payment from app.payments as p where p.id = new.subject_id;
    -- What Stripe says to us is for the operator, and stays with the request.
    perform app.move_payment(
        v_payment, 'failed', null,
        jsonb_build_object('code', new.error_code, 'message', 'The payment could not be begun. Please try again.'));
    if new.error_code = 'resource_missing' and new.error_message ilike '%customer%' then
        -- Somebody removed the customer at Stripe: the next payment makes a new one.
        delete from app.stripe_customers as c where c.stripe_customer_id = v_payment.stripe_customer_id;
    end if;
    return null;
end;
$$;
comment on function app.end_payment_request() is $$Trigger: Stripe refused to begin a payment$$;

create or replace trigger tg_stripe_requests__end_payment
after update of state on app.stripe_requests
for each row when (new.state = 'failed' and new.kind in ('payment_intent', 'checkout_session'))
execute function app.end_payment_request();
