-- Taking out a subscription: begun here, paid at Stripe.

create or replace function app.subscription_parameters(checkout_id uuid, success_url text, cancel_url text)
returns jsonb
language sql stable
set search_path = ''
return (
    select jsonb_build_object(
        'mode', 'subscription', 'customer', c.stripe_customer_id, 'client_reference_id', c.id,
        'line_items', jsonb_build_array(jsonb_build_object('quantity', 1) || case
            when p.stripe_price_id is not null then jsonb_build_object('price', p.stripe_price_id)
            else jsonb_build_object('price_data', jsonb_build_object(
                'currency', p.currency, 'unit_amount', p.price_cents,
                'recurring', jsonb_build_object('interval', p.billing_interval),
                'product_data', jsonb_build_object('name', p.name)))
            end),
        'subscription_data', jsonb_build_object('metadata', m.metadata) || case
            when p.trial_days > 0 and not exists (
                select from app.subscriptions as s
                inner join app.subscription_plans as o on o.id = s.plan_id
                where s.user_id = c.user_id and o.family = p.family)
                then jsonb_build_object('trial_period_days', p.trial_days)
            else '{}'
            end,
        'metadata', m.metadata,
        'success_url', subscription_parameters.success_url, 'cancel_url', subscription_parameters.cancel_url)
    from app.subscription_checkouts as c
    inner join app.subscription_plans as p on p.id = c.plan_id
    cross join lateral (
        select jsonb_build_object('subscription_checkout_id', c.id, 'plan_id', p.id, 'user_id', c.user_id)
    ) as m (metadata)
    where c.id = subscription_parameters.checkout_id
);
comment on function app.subscription_parameters(uuid, text, text) is $$What Stripe is asked for, to the letter

A trial only for who had no subscription of that family before.$$;

create or replace function app.start_subscription(
    plan text, stripe_customer_id text, livemode boolean, success_url text, cancel_url text, idempotency_key text,
    out checkout_id uuid, out request_id uuid, out state text, out stripe_checkout_session_id text,
    out plan_name text, out price_cents bigint, out currency text)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_arguments constant jsonb := jsonb_build_array(
        start_subscription.plan, start_subscription.success_url, start_subscription.cancel_url);
    v_plan app.subscription_plans;
    v_answer jsonb;
begin
    perform ledger.lock_wallet(v_user_id);
    v_answer := ledger.replay(v_user_id, start_subscription.idempotency_key, 'start_subscription', v_arguments);
    if v_answer is null then
        select p.* into v_plan from app.subscription_plans as p where p.slug = start_subscription.plan and p.is_active;
        if not found then
            perform app.fail(
                404, 'plan_not_found', 'There is no such plan.',
                format('There are: %s.', (
                    select string_agg(p.slug, ', ' order by p.sort_order)
                    from app.subscription_plans as p
                    where p.is_active and p.tier <> 'free')));
        elsif v_plan.tier = 'free' then
            perform app.fail(422, 'plan_is_free', 'This plan is everybody''s, and costs nothing.', v_plan.slug);
        elsif v_plan.currency <> 'usd' then
            perform app.fail(422, 'currency_not_supported', 'This plan cannot be paid for yet.', v_plan.currency);
        elsif exists (
            select from app.subscriptions as s
            inner join app.subscription_plans as o on o.id = s.plan_id and o.family = v_plan.family
            where s.user_id = v_user_id and s.is_live = start_subscription.livemode
                and s.status not in ('canceled', 'incomplete', 'incomplete_expired'))
        then
            perform app.fail(
                409, 'already_subscribed', 'You have a subscription already.', 'Change it by POST /subscriptions/portal at the edge.');
        elsif not exists (
            select from app.stripe_customers as c
            where c.user_id = v_user_id and c.is_live = start_subscription.livemode
                and c.stripe_customer_id = start_subscription.stripe_customer_id)
        then
            perform app.fail(409, 'customer_missing', 'Your customer at Stripe is not ready. Please try again.');
        end if;
        checkout_id := app.new_id();
        insert into app.subscription_checkouts (id, user_id, plan_id, stripe_customer_id, is_live)
        values (
            checkout_id, v_user_id, v_plan.id, start_subscription.stripe_customer_id, start_subscription.livemode);
        request_id := app.add_stripe_request(
            v_user_id, 'subscription_checkout', checkout_id,
            app.subscription_parameters(checkout_id, start_subscription.success_url, start_subscription.cancel_url),
            start_subscription.livemode);
        if start_subscription.idempotency_key is not null then
            perform ledger.remember(
                v_user_id, start_subscription.idempotency_key, 'start_subscription', v_arguments,
                jsonb_build_object('checkout_id', checkout_id, 'request_id', request_id));
        end if;
    else
        checkout_id := (v_answer ->> 'checkout_id')::uuid;
        request_id := (v_answer ->> 'request_id')::uuid;
    end if;
    select c.state, c.stripe_checkout_session_id, p.name, p.price_cents, p.currency
    into
        start_subscription.state, start_subscription.stripe_checkout_session_id, plan_name,
        start_subscription.price_cents, start_subscription.currency
    from app.subscription_checkouts as c
    inner join app.subscription_plans as p on p.id = c.plan_id
    where c.id = checkout_id;
end;
$$;
comment on function app.start_subscription(text, text, boolean, text, text, text) is $$Begin to take out a subscription

Makes the checkout and the request that the edge sends next; the price is the plan's. Once per `idempotency_key`. Errors: 401 login_required, 404 plan_not_found, 409 already_subscribed, 409 customer_missing, 409 idempotency_mismatch, 422 plan_is_free, 422 currency_not_supported.$$;
grant execute on function app.start_subscription(text, text, boolean, text, text, text) to edge;

create or replace function app.apply_stripe_checkout_session_subscription(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant text := app.require_stripe_id(apply_stripe_checkout_session_subscription.object);
begin
    update app.subscription_checkouts as c
    set stripe_checkout_session_id = coalesce(c.stripe_checkout_session_id, v_id),
        stripe_subscription_id = coalesce(
            apply_stripe_checkout_session_subscription.object ->> 'subscription', c.stripe_subscription_id),
        state = case apply_stripe_checkout_session_subscription.object ->> 'status'
            when 'complete' then 'complete'
            when 'expired' then case c.state when 'complete' then 'complete' else 'expired' end
            else c.state end,
        updated_at = now()
    where c.id = app.uuid_or_null(apply_stripe_checkout_session_subscription.object #>> '{metadata,subscription_checkout_id}')
        and coalesce(c.stripe_checkout_session_id, v_id) = v_id;
    return (case when found then 'applied' else 'ignored' end, null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_checkout_session_subscription(jsonb) is $$What a checkout session says of a subscription that was begun$$;

create or replace function app.end_subscription_request()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    update app.subscription_checkouts as c
    set state = 'failed', updated_at = now()
    where c.id = new.subject_id and c.state = 'pending';
    if new.error_code = 'resource_missing' and new.error_message ilike '%customer%' then
        -- Somebody removed the customer at Stripe: the next checkout makes a new one.
        delete from app.stripe_customers as c
        where c.stripe_customer_id = new.parameters ->> 'customer';
    end if;
    return null;
end;
$$;
comment on function app.end_subscription_request() is $$Trigger: Stripe refused to begin a subscription$$;

create or replace trigger tg_stripe_requests__end_subscription
after update of state on app.stripe_requests
for each row when (new.state = 'failed' and new.kind = 'subscription_checkout')
execute function app.end_subscription_request();

create or replace function app.subscription_checkout_result(
    session_id text,
    out plan text, out status text, out credits bigint, out current_period_end timestamptz,
    out cancel_at_period_end boolean, out balance bigint)
returns setof record
language sql stable security definer
set search_path = ''
begin atomic
    select
        p.name, coalesce(s.status, case c.state when 'complete' then 'pending' else c.state end), p.credits_per_period,
        s.current_period_end, coalesce(s.cancel_at_period_end, false), ledger.available_credits(c.user_id)
    from app.subscription_checkouts as c
    inner join app.subscription_plans as p on p.id = c.plan_id
    left join app.subscriptions as s on s.stripe_subscription_id = c.stripe_subscription_id
    where c.stripe_checkout_session_id = session_id;
end;
comment on function app.subscription_checkout_result(text) is $$What became of a checkout, for the page to which it returns

The session's id cannot be guessed: whoever has it, paid. No row for an unknown one.$$;
grant execute on function app.subscription_checkout_result(text) to edge;

create or replace function app.portal_customer(livemode boolean)
returns text
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_customer_id text;
begin
    select s.stripe_customer_id into v_customer_id
    from app.subscriptions as s
    where s.user_id = v_user_id and s.is_live = portal_customer.livemode
    order by s.id desc
    limit 1;
    if not found then
        perform app.fail(
            404, 'no_subscription', 'You have no subscription to look after.', 'POST /subscriptions/checkout begins one.');
    end if;
    return v_customer_id;
end;
$$;
comment on function app.portal_customer(boolean) is $$The caller's customer at Stripe, for who has or had a subscription

Errors: 401 login_required, 404 no_subscription.$$;
grant execute on function app.portal_customer(boolean) to edge;
