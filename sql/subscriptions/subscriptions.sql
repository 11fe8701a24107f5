-- Subscriptions, as Stripe describes them.

create or replace function app.plan_by_price(stripe_price_id text)
returns app.subscription_plans
language sql stable
set search_path = ''
return (
    select p
    from app.subscription_plans as p
    where p.stripe_price_id = plan_by_price.stripe_price_id
);
comment on function app.plan_by_price(text) is $$The plan that is sold at this price of Stripe's$$;

create or replace function app.plan_by_id(id text)
returns app.subscription_plans
language sql stable
set search_path = ''
return (select p from app.subscription_plans as p where p.id = app.uuid_or_null(plan_by_id.id));
comment on function app.plan_by_id(text) is $$The plan that we wrote into an object of Stripe$$;

create or replace function app.plan_of_subscription(object jsonb, known app.subscriptions)
returns app.subscription_plans
language plpgsql stable
set search_path = ''
as $$
declare
    v_price_id constant text := plan_of_subscription.object #>> '{items,data,0,price,id}';
    v_plan app.subscription_plans := app.plan_by_price(v_price_id);
begin
    -- The price of a plan was changed: who subscribed before pays the old one, and keeps the plan.
    if v_plan.id is null and v_price_id = (plan_of_subscription.known).stripe_price_id then
        v_plan := app.plan_by_id((plan_of_subscription.known).plan_id::text);
    end if;
    -- What we wrote there when it began, for a price that was made for it.
    if v_plan.id is null then
        v_plan := app.plan_by_id(plan_of_subscription.object #>> '{metadata,plan_id}');
    end if;
    -- One that is known is followed to its end, whatever it is for by now.
    if v_plan.id is null then
        v_plan := app.plan_by_id((plan_of_subscription.known).plan_id::text);
    end if;
    return v_plan;
end;
$$;
comment on function app.plan_of_subscription(jsonb, app.subscriptions) is $$The plan of a subscription at Stripe; nothing for one that is not ours

`known`: what was known of it before.$$;

create or replace function app.lock_with_what_waits(stripe_id text)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    perform app.lock_stripe_object(lock_with_what_waits.stripe_id);
    perform app.lock_stripe_object(o.id)
    from (
        select distinct e.object_id as id
        from app.stripe_events as e
        where e.state = 'parked' and e.waits_for = lock_with_what_waits.stripe_id and e.object_id is not null
        order by e.object_id
    ) as o;
    perform app.lock_stripe_object(o.id)
    from (
        select distinct coalesce(
                e.payload #>> '{data,object,payments,data,0,payment,payment_intent}',
                e.payload #>> '{data,object,payment,payment_intent}') as id
        from app.stripe_events as e
        where e.state = 'parked' and e.waits_for = lock_with_what_waits.stripe_id
        order by id
    ) as o
    where o.id is not null;
end;
$$;
comment on function app.lock_with_what_waits(text) is $$Lock an object of Stripe, and those of which the events wait for it

For who takes them up: they come before the wallet, and an invoice before the intent that pays it.$$;

create or replace function app.apply_stripe_subscription(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant text := app.require_stripe_id(apply_stripe_subscription.object);
    v_item constant jsonb := apply_stripe_subscription.object #> '{items,data,0}';
    v_told_at constant timestamptz := coalesce((apply_stripe_subscription.object ->> 'happened_at')::timestamptz, now());
    v_before app.subscriptions;
    v_plan app.subscription_plans;
    v_user_id uuid;
begin
    perform app.lock_with_what_waits(v_id);
    select s.* into v_before from app.subscriptions as s where s.stripe_subscription_id = v_id;
    v_plan := app.plan_of_subscription(apply_stripe_subscription.object, v_before);
    v_user_id := coalesce(v_before.user_id, (
        select c.user_id
        from app.stripe_customers as c
        where c.stripe_customer_id = apply_stripe_subscription.object ->> 'customer'));
    if v_plan.id is null or v_user_id is null then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    perform ledger.lock_wallet(v_user_id);
    -- Of one second: nothing becomes incomplete again, and nothing comes after the end.
    if v_before.told_at > v_told_at
        or (v_before.told_at = v_told_at
            and (v_before.status in ('canceled', 'incomplete_expired')
                or (v_before.status <> 'incomplete' and apply_stripe_subscription.object ->> 'status' = 'incomplete')))
    then
        update app.subscriptions as s set news_at = now() where s.id = v_before.id;
        return ('applied', null)::app.stripe_outcome;
    end if;
    insert into app.subscriptions as s (
        user_id, plan_id, stripe_subscription_id, stripe_customer_id, stripe_price_id, is_live, status, current_period_start,
        current_period_end, trial_end, cancel_at_period_end, canceled_at, ended_at, told_at, read_at)
    values (
        v_user_id, v_plan.id, v_id, apply_stripe_subscription.object ->> 'customer', v_item #>> '{price,id}',
        (apply_stripe_subscription.object ->> 'livemode')::boolean, apply_stripe_subscription.object ->> 'status',
        to_timestamp((v_item ->> 'current_period_start')::bigint), to_timestamp((v_item ->> 'current_period_end')::bigint),
        to_timestamp((apply_stripe_subscription.object ->> 'trial_end')::bigint),
        -- Stripe's portal may say only when.
        coalesce((apply_stripe_subscription.object ->> 'cancel_at_period_end')::boolean, false)
        or apply_stripe_subscription.object ->> 'cancel_at' is not null,
        to_timestamp((apply_stripe_subscription.object ->> 'canceled_at')::bigint),
        to_timestamp((apply_stripe_subscription.object ->> 'ended_at')::bigint), v_told_at, now())
    on conflict on constraint subscriptions_stripe_subscription_id_key do update
    set plan_id = excluded.plan_id, stripe_price_id = excluded.stripe_price_id, status = excluded.status,
        current_period_start = excluded.current_period_start, current_period_end = excluded.current_period_end,
        trial_end = excluded.trial_end, cancel_at_period_end = excluded.cancel_at_period_end,
        canceled_at = excluded.canceled_at, ended_at = excluded.ended_at, told_at = excluded.told_at, updated_at = now(),
        -- Two events of one second can have come in the wrong order.
        news_at = case when s.told_at = excluded.told_at then now() end,
        read_at = now();
    perform app.refresh_subscription_tier(v_user_id);
    perform app.replay_waiting_stripe_events(v_id);
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_subscription(jsonb) is $$What Stripe says of a subscription

Of plans that are not ours nothing is kept. Older news change nothing. Invoices that came before it follow at once.$$;

create or replace function app.refresh_subscription_tier(user_id uuid)
returns void
language sql volatile
set search_path = ''
begin atomic
    update app.profiles as p
    set subscription_tier = n.tier, updated_at = now()
    from (
        select (o.plan).tier
        from app.plans_of(refresh_subscription_tier.user_id) as o
        where (o.plan).family = 'pages'
    ) as n
    where p.id = refresh_subscription_tier.user_id and p.subscription_tier <> n.tier;
end;
comment on function app.refresh_subscription_tier(uuid) is $$The tier in somebody's profile is that of their plan for reading$$;

create or replace function app.subscriptions_to_read(livemode boolean, which text, batch integer)
returns setof text
language sql stable security definer
set search_path = ''
begin atomic
    select s.stripe_subscription_id
    from app.subscriptions as s
    where s.is_live = subscriptions_to_read.livemode
        and case which
            when 'news' then s.news_at is not null
            else s.status in ('trialing', 'active', 'past_due', 'paused', 'unpaid', 'incomplete')
                and (s.read_at < now() - interval '1 day'
                    or (s.current_period_end < now() and s.read_at < now() - interval '1 hour')) end
    order by s.read_at, s.id
    limit batch;
end;
comment on function app.subscriptions_to_read(boolean, text, integer) is $$Subscriptions that are to be read from Stripe again

`which` news: something came in an order that is not sure. stale: not heard of for a day, or for an hour after their period's end.$$;

create or replace function app.record_subscription(subscription jsonb)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_id constant text := app.require_stripe_id(record_subscription.subscription);
    v_asked_at constant timestamptz := coalesce(
        (record_subscription.subscription ->> 'happened_at')::timestamptz, now());
    v_before app.subscriptions;
begin
    perform app.lock_with_what_waits(v_id);
    select s.* into v_before from app.subscriptions as s where s.stripe_subscription_id = v_id;
    if v_before.read_at > v_asked_at then
        -- Something came while Stripe was asked. Which of the two is newer, only asking again can tell.
        update app.subscriptions as s set news_at = coalesce(s.news_at, now()) where s.id = v_before.id;
        return;
    end if;
    -- It is newer than all that came before Stripe was asked, whatever Stripe's clock says.
    perform app.apply_stripe_subscription(
        record_subscription.subscription
        || jsonb_build_object('happened_at', greatest(v_before.told_at, v_asked_at)));
    update app.subscriptions as s
    set news_at = case when v_before.news_at > v_asked_at then v_before.news_at end, read_at = v_asked_at
    where s.id = v_before.id;
end;
$$;
comment on function app.record_subscription(jsonb) is $$A subscription as it was just read from Stripe

With `happened_at`, the database's time from before Stripe was asked: news that came since make it be read again.$$;

create or replace function app.notify_subscription()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_plan constant text := (select p.name from app.subscription_plans as p where p.id = new.plan_id);
    v_was_entitled constant boolean := tg_op = 'UPDATE' and app.is_entitled(old.status);
begin
    if app.is_entitled(new.status) and not v_was_entitled then
        perform app.notify(
            new.user_id, 'subscription_started', format('subscription_started %s', new.id),
            jsonb_build_object('plan', v_plan, 'subscription_id', new.id));
    elsif v_was_entitled and new.status in ('canceled', 'unpaid', 'incomplete_expired') then
        perform app.notify(
            new.user_id, 'subscription_ended', format('subscription_ended %s %s', new.id, new.status),
            jsonb_build_object('plan', v_plan, 'subscription_id', new.id));
    end if;
    return null;
end;
$$;
comment on function app.notify_subscription() is $$Trigger: people are told when their subscription begins and ends$$;

create or replace trigger tg_subscriptions__notify_new
after insert on app.subscriptions
for each row execute function app.notify_subscription();
create or replace trigger tg_subscriptions__notify
after update of status on app.subscriptions
for each row when (new.status <> old.status)
execute function app.notify_subscription();
