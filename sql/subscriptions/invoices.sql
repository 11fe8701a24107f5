-- A paid invoice is a payment, and brings the credits of its period once.

create or replace function app.credits_of_line(line jsonb, subscription app.subscriptions)
returns bigint
language plpgsql stable
set search_path = ''
as $$
declare
    v_price_id constant text := credits_of_line.line #>> '{pricing,price_details,price}';
    v_amount constant bigint := (credits_of_line.line ->> 'amount')::bigint;
    v_is_part constant boolean := coalesce(
        (credits_of_line.line #>> '{parent,invoice_item_details,proration}')::boolean,
        (credits_of_line.line #>> '{parent,subscription_item_details,proration}')::boolean,
        (credits_of_line.line ->> 'proration')::boolean, true);
    v_plan app.subscription_plans := app.plan_by_price(v_price_id);
begin
    if v_plan.id is null and v_price_id = (credits_of_line.subscription).stripe_price_id then
        v_plan := app.plan_by_id((credits_of_line.subscription).plan_id::text);
    end if;
    if v_plan.id is null then
        v_plan := app.plan_by_id(credits_of_line.line #>> '{metadata,plan_id}');
    end if;
    if v_plan.id is null then
        v_plan := app.plan_by_id((credits_of_line.subscription).plan_id::text);
    end if;
    if v_plan.price_cents = 0 or v_amount = 0 then
        return 0;
    elsif v_amount > 0 and not v_is_part then
        return v_plan.credits_per_period * coalesce((credits_of_line.line ->> 'quantity')::bigint, 1);
    end if;
    return ledger.portion(v_plan.credits_per_period, 0, abs(v_amount), v_plan.price_cents) * sign(v_amount)::integer;
end;
$$;
comment on function app.credits_of_line(jsonb, app.subscriptions) is $$The credits that a line of an invoice brings

A whole period brings all of the plan's, whatever somebody once subscribed for. A part of one brings as many as its amount is of the price, before discounts; below zero for what was not used of a plan before. Free days bring none.$$;

create or replace function app.credits_of_invoice(object jsonb, subscription app.subscriptions)
returns bigint
language sql stable
set search_path = ''
return (
    select coalesce(sum(app.credits_of_line(l.line, credits_of_invoice.subscription)), 0)::bigint
    from jsonb_path_query(credits_of_invoice.object, 'lax $.lines.data[*]') as l (line)
);
comment on function app.credits_of_invoice(jsonb, app.subscriptions) is $$The credits of an invoice, changes of the plan reckoned up

Below zero where more was given back than the new plan costs.$$;

create or replace function app.credits_owed(stripe_customer_id text)
returns bigint
language sql stable
set search_path = ''
return (
    select coalesce(sum(a.granted - a.credits), 0)::bigint
    from app.invoice_allowances as a
    inner join app.subscriptions as s on s.id = a.subscription_id
    where s.stripe_customer_id = credits_owed.stripe_customer_id
);
comment on function app.credits_owed(text) is $$Credits of which the price lies in the customer's balance at Stripe

They were granted, and then the plan was left and its money put there. What is paid out of that balance brings no second ones.$$;

create or replace function app.pay_invoice(object jsonb, subscription app.subscriptions, credits bigint, expires_at timestamptz)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_payment app.payments;
begin
    if pay_invoice.object ->> 'currency' is distinct from 'usd' then
        perform app.fail(
            422, 'currency_not_supported', 'A subscription is paid in US dollars here.', pay_invoice.object ->> 'currency');
    end if;
    insert into app.payments (
        user_id, package_name, method, stripe_customer_id, amount_cents, currency, credits_purchased, bonus_credits,
        is_live, subscription_id, stripe_invoice_id, credits_expire_at)
    select
        (pay_invoice.subscription).user_id, p.name, 'subscription', pay_invoice.object ->> 'customer',
        (pay_invoice.object ->> 'amount_paid')::bigint, pay_invoice.object ->> 'currency', pay_invoice.credits, 0,
        (pay_invoice.object ->> 'livemode')::boolean, (pay_invoice.subscription).id, pay_invoice.object ->> 'id',
        pay_invoice.expires_at
    from app.subscription_plans as p
    where p.id = (pay_invoice.subscription).plan_id
    returning * into v_payment;
    perform app.complete_payment(v_payment, null, v_payment.amount_cents, v_payment.currency, null);
end;
$$;
comment on function app.pay_invoice(jsonb, app.subscriptions, bigint, timestamptz) is $$The payment of an invoice, with its credits and its receipt

The caller holds the payer's lock. Errors: 422 currency_not_supported.$$;

create or replace function app.settle_invoice(object jsonb, subscription app.subscriptions)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant uuid := app.new_id();
    v_credits constant bigint := app.credits_of_invoice(settle_invoice.object, settle_invoice.subscription);
    v_granted constant bigint := greatest(
        v_credits - app.credits_owed((settle_invoice.subscription).stripe_customer_id), 0);
    v_expires_at constant timestamptz := greatest(
        (select to_timestamp(max((l.line #>> '{period,end}')::bigint))
            from jsonb_path_query(settle_invoice.object, 'lax $.lines.data[*]') as l (line)),
        now() + interval '1 hour');
    v_transaction_id uuid;
begin
    if exists (select from app.invoice_allowances as a where a.stripe_invoice_id = settle_invoice.object ->> 'id') then
        return;
    end if;
    if (settle_invoice.object ->> 'amount_paid')::bigint > 0 then
        perform app.pay_invoice(settle_invoice.object, settle_invoice.subscription, v_granted, v_expires_at);
    elsif v_granted > 0 then
        -- Paid out of the customer's balance at Stripe: no money comes in, and there is no receipt.
        select g.transaction_id into v_transaction_id
        from ledger.grant_credits(
            (settle_invoice.subscription).user_id, v_granted, 'allowance', 0, v_expires_at, 'invoice', v_id) as g;
    end if;
    insert into app.invoice_allowances (
        id, stripe_invoice_id, subscription_id, user_id, credits, granted, transaction_id)
    values (
        v_id, settle_invoice.object ->> 'id', (settle_invoice.subscription).id, (settle_invoice.subscription).user_id,
        v_credits, v_granted, v_transaction_id);
end;
$$;
comment on function app.settle_invoice(jsonb, app.subscriptions) is $$What a paid invoice brings: once

The caller holds the payer's lock. Errors: 422 currency_not_supported.$$;

create or replace function app.apply_stripe_invoice(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant text := app.require_stripe_id(apply_stripe_invoice.object);
    v_subscription_id constant text := coalesce(
        apply_stripe_invoice.object #>> '{parent,subscription_details,subscription}',
        apply_stripe_invoice.object ->> 'subscription');
    -- Only where it was asked for; else an object of its own says it.
    v_intent_id constant text := apply_stripe_invoice.object #>> '{payments,data,0,payment,payment_intent}';
    v_subscription app.subscriptions;
begin
    if v_subscription_id is null then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    -- In this order everywhere, and all of them before the wallet.
    perform app.lock_stripe_object(v_subscription_id);
    perform app.lock_with_what_waits(v_id);
    if v_intent_id is not null then
        perform app.lock_stripe_object(v_intent_id);
    end if;
    select s.* into v_subscription from app.subscriptions as s where s.stripe_subscription_id = v_subscription_id;
    if not found then
        return ('parked', v_subscription_id)::app.stripe_outcome;
    end if;
    if apply_stripe_invoice.object ->> 'status' = 'paid' then
        perform ledger.lock_wallet(v_subscription.user_id);
        perform app.settle_invoice(apply_stripe_invoice.object, v_subscription);
        perform app.link_invoice(v_id, v_intent_id);
        perform app.replay_waiting_stripe_events(v_id);
    elsif apply_stripe_invoice.object ->> 'status' = 'open'
        and coalesce((apply_stripe_invoice.object ->> 'attempt_count')::integer, 0) > 0
        -- The first payment is made on Stripe's page, which says it itself.
        and app.is_entitled(v_subscription.status)
    then
        perform app.notify(
            v_subscription.user_id, 'subscription_payment_failed', format('subscription_payment_failed %s', v_id),
            jsonb_build_object(
                'plan', (select p.name from app.subscription_plans as p where p.id = v_subscription.plan_id),
                'amount', app.money_text(
                    (apply_stripe_invoice.object ->> 'amount_due')::bigint, apply_stripe_invoice.object ->> 'currency'),
                'url', apply_stripe_invoice.object ->> 'hosted_invoice_url', 'subscription_id', v_subscription.id));
    end if;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_invoice(jsonb) is $$What an invoice of a subscription does here

Paid: the payment, its receipt and its credits, once. An invoice that comes before its subscription waits for it. Nothing for what is not a subscription's.$$;

create or replace function app.link_invoice(stripe_invoice_id text, stripe_payment_intent_id text)
returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
    v_payment app.payments;
begin
    if link_invoice.stripe_payment_intent_id is null then
        return false;
    end if;
    update app.payments as p
    set stripe_payment_intent_id = link_invoice.stripe_payment_intent_id,
        -- Which charge it was, the intent has perhaps said already.
        stripe_charge_id = coalesce(p.stripe_charge_id, (
            select e.payload #>> '{data,object,latest_charge}'
            from app.stripe_events as e
            where e.object_id = link_invoice.stripe_payment_intent_id and e.type = 'payment_intent.succeeded'
            order by e.created_at desc
            limit 1))
    where p.stripe_invoice_id = link_invoice.stripe_invoice_id and p.stripe_payment_intent_id is null
    returning * into v_payment;
    if not found then
        return exists (select from app.payments as p where p.stripe_invoice_id = link_invoice.stripe_invoice_id);
    end if;
    -- The charge comes before its invoice, and said nothing to us then.
    perform app.apply_stripe_charge(e.payload #> '{data,object}')
    from app.stripe_events as e
    where e.object_id = v_payment.stripe_charge_id and e.type = 'charge.succeeded';
    perform app.replay_waiting_stripe_events(link_invoice.stripe_payment_intent_id);
    return true;
end;
$$;
comment on function app.link_invoice(text, text) is $$By which payment at Stripe an invoice was paid: refunds and disputes name that

Those that came before follow at once. Returns whether the invoice is known.$$;

create or replace function app.apply_stripe_invoice_payment(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_invoice_id constant text := apply_stripe_invoice_payment.object ->> 'invoice';
    v_intent_id constant text := apply_stripe_invoice_payment.object #>> '{payment,payment_intent}';
    v_user_id uuid;
begin
    if v_invoice_id is null or v_intent_id is null or apply_stripe_invoice_payment.object ->> 'status' is distinct from 'paid' then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    perform app.lock_stripe_object(v_invoice_id);
    perform app.lock_stripe_object(v_intent_id);
    select p.user_id into v_user_id from app.payments as p where p.stripe_invoice_id = v_invoice_id;
    if not found then
        return ('parked', v_invoice_id)::app.stripe_outcome;
    end if;
    perform ledger.lock_wallet(v_user_id);
    perform app.link_invoice(v_invoice_id, v_intent_id);
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_invoice_payment(jsonb) is $$By which intent an invoice was paid

One that comes before its invoice waits for it.$$;

create or replace function app.replay_parked_subscription_events()
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_waits_for constant text := (
        select e.waits_for
        from app.stripe_events as e
        where e.state = 'parked'
            and (exists (select from app.subscriptions as s where s.stripe_subscription_id = e.waits_for)
                or exists (select from app.payments as p where p.stripe_invoice_id = e.waits_for))
        group by e.waits_for
        order by min(e.received_at)
        limit 1);
begin
    if v_waits_for is null then
        return 0;
    end if;
    perform app.lock_with_what_waits(v_waits_for);
    return app.replay_waiting_stripe_events(v_waits_for);
end;
$$;
comment on function app.replay_parked_subscription_events() is $$Take up the parked events whose subscription or invoice is there by now

Of one at a time, as app.replay_parked_stripe_events(). The worker calls it. Returns how many there were.$$;
