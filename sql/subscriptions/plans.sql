-- What somebody's plans give them.

create or replace function app.is_entitled(status text)
returns boolean
language sql immutable
set search_path = ''
return is_entitled.status in ('trialing', 'active', 'past_due');
comment on function app.is_entitled(text) is $$Whether a subscription in this state gives what its plan promises

Also while a payment is late: Stripe tries again for some days, and then ends it.$$;
grant execute on function app.is_entitled(text) to authenticated, service_role;

create or replace function app.plans_of(user_id uuid)
returns table (plan app.subscription_plans, subscription app.subscriptions)
language sql stable
set search_path = ''
begin atomic
    select distinct on (p.family) p, s
    from app.subscription_plans as p
    left join app.subscriptions as s
        on s.plan_id = p.id and s.user_id = plans_of.user_id and app.is_entitled(s.status)
    where s.id is not null or (p.tier = 'free' and p.is_active)
    order by p.family asc, p.rank desc, s.id desc;
end;
comment on function app.plans_of(uuid) is $$The plan that somebody has in each family

The best they pay for, else the free one.$$;

create or replace function app.month_around(from_time timestamptz, up_to timestamptz, at timestamptz)
returns table (starts_at timestamptz, ends_at timestamptz)
language sql stable
set search_path = ''
begin atomic
    select m.starts_at, m.ends_at
    from (
        select b.starts_at, lead(b.starts_at, 1, up_to) over (order by b.starts_at) as ends_at
        from (
            -- As Stripe counts them: in UTC, whatever time zone the caller asks for.
            select (from_time at time zone 'UTC' + make_interval(months => n.months)) at time zone 'UTC' as starts_at
            from generate_series(
                0, greatest(extract(epoch from up_to - from_time) / 2419200, 0)::integer) as n (months)
        ) as b
        -- A month that began on the 28th and ends on the 31st has no second month of three days.
        where b.starts_at = from_time or b.starts_at + interval '15 days' <= up_to
    ) as m
    where m.starts_at <= at or m.starts_at = from_time
    order by m.starts_at desc
    limit 1;
end;
comment on function app.month_around(timestamptz, timestamptz, timestamptz) is $$The month of a longer period in which a time lies

The months of a subscription that is paid by the year begin on the day on which the year began.$$;

create or replace function app.usage_period(subscription app.subscriptions)
returns table (starts_at timestamptz, ends_at timestamptz)
language sql stable
set search_path = ''
begin atomic
    select m.starts_at, m.ends_at
    from app.month_around(
        (usage_period.subscription).current_period_start, (usage_period.subscription).current_period_end, now()) as m
    where (usage_period.subscription).current_period_end > now()
    union all
    select
        date_trunc('month', now() at time zone e.business_time_zone) at time zone e.business_time_zone,
        (date_trunc('month', now() at time zone e.business_time_zone) + interval '1 month') at time zone e.business_time_zone
    from app.economy as e
    where coalesce((usage_period.subscription).current_period_end <= now(), true);
end;
comment on function app.usage_period(app.subscriptions) is $$The month in which uses are counted

That of the subscription; without one, or between two of its periods, the calendar month.$$;

create or replace function app.feature_allowance(
    user_id uuid, feature text,
    out has boolean, out monthly_limit bigint, out plan text, out period_start timestamptz, out period_end timestamptz)
returns record
language sql stable
set search_path = ''
begin atomic
    select true, f.monthly_limit, (o.plan).slug, u.starts_at, u.ends_at
    from app.plans_of(feature_allowance.user_id) as o
    inner join app.plan_features as f on f.plan_id = (o.plan).id and f.feature = feature_allowance.feature
    cross join lateral app.usage_period(o.subscription) as u
    order by f.monthly_limit desc nulls first, (o.plan).rank desc
    limit 1;
end;
comment on function app.feature_allowance(uuid, text) is $$What somebody's plans say of a feature: the most generous counts

Nulls: they do not have it.$$;

create or replace function app.has_feature(user_id uuid, feature text)
returns boolean
language sql stable
set search_path = ''
return coalesce((select a.has from app.feature_allowance(has_feature.user_id, has_feature.feature) as a), false);
comment on function app.has_feature(uuid, text) is $$Whether somebody's plans give them a feature, used up or not$$;

create or replace function app.use_feature(
    user_id uuid, feature text, uses bigint default 1,
    out used bigint, out monthly_limit bigint, out remaining bigint, out resets_at timestamptz)
returns record
language plpgsql volatile
set search_path = ''
as $$
declare
    v_allowance record;
begin
    if use_feature.uses is null or use_feature.uses not between 1 and 1000000 then
        perform app.fail(400, 'invalid_uses', 'Uses are a whole number from 1 to 1,000,000.', use_feature.uses::text);
    end if;
    select a.* into v_allowance from app.feature_allowance(use_feature.user_id, use_feature.feature) as a;
    if v_allowance.has is null then
        perform app.fail(
            403, 'plan_required', 'Your plan does not include this.',
            (select format('Plans with %s: %s.', replace(use_feature.feature, '_', ' '),
                    coalesce(string_agg(distinct p.name, ', '), 'none on sale'))
                from app.plan_features as f
                inner join app.subscription_plans as p on p.id = f.plan_id and p.is_active
                where f.feature = use_feature.feature));
    end if;
    monthly_limit := v_allowance.monthly_limit;
    resets_at := v_allowance.period_end;
    perform app.ensure_profile(use_feature.user_id);
    -- The row is the lock: of any number of sessions only so many get through.
    insert into app.feature_usage as u (user_id, feature, period_start, period_end, used)
    select
        use_feature.user_id, use_feature.feature, v_allowance.period_start, v_allowance.period_end, use_feature.uses
    where v_allowance.monthly_limit is null or use_feature.uses <= v_allowance.monthly_limit
    on conflict on constraint feature_usage_pkey do update
    set used = u.used + excluded.used, period_end = excluded.period_end, updated_at = now()
    where v_allowance.monthly_limit is null or u.used + excluded.used <= v_allowance.monthly_limit
    returning u.used into use_feature.used;
    if not found then
        perform app.fail(
            429, 'limit_reached', 'You have used this as often as your plan allows this month.',
            format('%s a month; it starts again at %s.', v_allowance.monthly_limit,
                to_char(v_allowance.period_end at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
    end if;
    remaining := monthly_limit - used;
end;
$$;
comment on function app.use_feature(uuid, text, bigint) is $$Count a use of a feature, or refuse it

`uses` at once, all or none. `remaining` is null where there is no limit. Errors: 400 invalid_uses, 403 plan_required, 429 limit_reached with the time at which it starts again.$$;

create or replace function app.use_feature_for(
    user_id uuid, feature text, uses bigint,
    out used bigint, out monthly_limit bigint, out remaining bigint, out resets_at timestamptz)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    if use_feature_for.user_id is null or use_feature_for.user_id = ledger.platform_id() then
        perform app.fail(400, 'user_required', 'Please say who uses it.');
    end if;
    select u.used, u.monthly_limit, u.remaining, u.resets_at
    into used, monthly_limit, remaining, resets_at
    from app.use_feature(use_feature_for.user_id, use_feature_for.feature, use_feature_for.uses) as u;
end;
$$;
comment on function app.use_feature_for(uuid, text, bigint) is $$Count a use for somebody, for operators and their backends

Errors: as app.use_feature(), 400 user_required.$$;
grant execute on function app.use_feature_for(uuid, text, bigint) to service_role;

create or replace function app.caller_has_feature(feature text)
returns boolean
language plpgsql stable security definer
set search_path = ''
as $$
begin
    return app.has_feature(app.require_claimed_user(), caller_has_feature.feature);
end;
$$;
comment on function app.caller_has_feature(text) is $$Whether the caller's plans give them a feature

Errors: 401 login_required.$$;
grant execute on function app.caller_has_feature(text) to authenticated;

create or replace function app.give_back_feature(user_id uuid, feature text, uses bigint, used_at timestamptz)
returns void
language sql volatile
set search_path = ''
begin atomic
    -- Of a calendar month and a period that began within it, the period has counted it.
    update app.feature_usage as u
    set used = greatest(u.used - uses, 0), updated_at = now()
    where u.user_id = give_back_feature.user_id and u.feature = give_back_feature.feature
        and u.period_start = (
            select max(o.period_start)
            from app.feature_usage as o
            where o.user_id = give_back_feature.user_id and o.feature = give_back_feature.feature
                and used_at >= o.period_start and used_at < o.period_end);
end;
comment on function app.give_back_feature(uuid, text, bigint, timestamptz) is $$A use came to nothing: it does not count$$;

create or replace function app.my_plan()
returns table (
    family text, plan text, name text, tier text, status text, price_cents bigint, currency text,
    billing_interval text, credits_per_period bigint, current_period_start timestamptz, current_period_end timestamptz,
    trial_end timestamptz, cancel_at_period_end boolean, features jsonb)
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_claimed_user();
begin
    return query
    select
        (o.plan).family, (o.plan).slug, (o.plan).name, (o.plan).tier, coalesce((o.subscription).status, 'active'),
        (o.plan).price_cents, (o.plan).currency, (o.plan).billing_interval, (o.plan).credits_per_period,
        (o.subscription).current_period_start, (o.subscription).current_period_end, (o.subscription).trial_end,
        coalesce((o.subscription).cancel_at_period_end, false),
        coalesce((
            select jsonb_object_agg(f.feature, jsonb_build_object(
                'limit', f.monthly_limit, 'used', coalesce(u.used, 0),
                'remaining', case when f.monthly_limit is not null then greatest(f.monthly_limit - coalesce(u.used, 0), 0) end,
                'resets_at', r.ends_at))
            from app.plan_features as f
            left join app.feature_usage as u
                on u.user_id = v_user_id and u.feature = f.feature and u.period_start = r.starts_at
            where f.plan_id = (o.plan).id), '{}')
    from app.plans_of(v_user_id) as o
    cross join lateral app.usage_period(o.subscription) as r
    order by (o.plan).family;
end;
$$;
comment on function app.my_plan() is $$The caller's plan in each family, and what is left of its features

Errors: 401 login_required.$$;
grant execute on function app.my_plan() to authenticated;

create or replace function app.audit_subscription_plan()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform app.audit(
        'change_subscription_plan', coalesce(to_jsonb(new) ->> 'slug', to_jsonb(old) ->> 'slug', to_jsonb(new) ->> 'plan_id'),
        jsonb_build_object('table', tg_table_name, 'before', to_jsonb(old), 'after', to_jsonb(new)));
    return coalesce(new, old);
end;
$$;
comment on function app.audit_subscription_plan() is $$Trigger: every change of what plans give and cost is on record$$;

create or replace trigger tg_subscription_plans__audit
before insert or update or delete on app.subscription_plans
for each row execute function app.audit_subscription_plan();
create or replace trigger tg_plan_features__audit
before insert or update or delete on app.plan_features
for each row execute function app.audit_subscription_plan();
