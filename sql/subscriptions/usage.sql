-- What somebody used this month, in the figures of seed 000.

create or replace function app.usage_figures(
    user_id uuid, period_start timestamptz, period_end timestamptz,
    out credits bigint, out stories bigint, out downloads bigint)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
begin
    if usage_figures.user_id is distinct from app.current_user_id() then
        return;
    end if;
    select coalesce(sum(case t.kind when 'spend' then t.amount else -t.amount end), 0)::bigint into credits
    from ledger.transfers as t
    where t.book_id = usage_figures.user_id
        and t.id >= ledger.id_floor(usage_figures.period_start - interval '1 day')
        and t.created_at >= usage_figures.period_start and t.created_at < usage_figures.period_end
        and ((t.kind = 'spend' and t.debit_kind = 'wallet') or (t.kind = 'refund' and t.credit_kind = 'wallet'));
    select count(*) into stories
    from app.user_library as l
    where l.user_id = usage_figures.user_id
        and l.last_read_at >= usage_figures.period_start and l.last_read_at < usage_figures.period_end;
    select coalesce(sum(u.used), 0)::bigint into downloads
    from app.feature_usage as u
    where u.user_id = usage_figures.user_id and u.feature = 'downloads'
        and u.period_start < usage_figures.period_end and u.period_end > usage_figures.period_start;
end;
$$;
comment on function app.usage_figures(uuid, timestamptz, timestamptz) is $$What the caller used in a time; nulls about anybody else$$;
grant execute on function app.usage_figures(uuid, timestamptz, timestamptz) to authenticated;

create or replace function app.months_before(at timestamptz, months integer, of_subscription boolean)
returns timestamptz
language sql stable
set search_path = ''
return (
    select (months_before.at at time zone z.name - make_interval(months => months_before.months)) at time zone z.name
    from (
        select case when months_before.of_subscription then 'UTC' else e.business_time_zone end
        from app.economy as e
    ) as z (name)
);
comment on function app.months_before(timestamptz, integer, boolean) is $$The beginning of an earlier month

Those of subscriptions are in UTC, as Stripe's, others in the business time zone; the caller's has no say.$$;

create or replace function app.usage_months(months integer default 12)
returns table (
    user_id uuid, subscription_tier text, period_start timestamptz, period_end timestamptz)
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.current_user_id();
begin
    if v_user_id is null then
        return;
    end if;
    -- The present month is that of the plan; those before it are as long, one after the other.
    return query
    select
        v_user_id, (o.plan).tier, m.starts_at, m.ends_at
    from app.plans_of(v_user_id) as o
    cross join lateral app.usage_period(o.subscription) as p
    cross join generate_series(0, usage_months.months - 1) as n (back)
    cross join lateral (
        select
            app.months_before(p.starts_at, n.back, (o.subscription).id is not null),
            case n.back when 0 then p.ends_at else app.months_before(p.starts_at, n.back - 1, (o.subscription).id is not null) end
    ) as m (starts_at, ends_at)
    where (o.plan).family = 'pages'
        and exists (
            select from app.profiles as f where f.id = v_user_id and (n.back = 0 or f.created_at < m.ends_at));
end;
$$;
comment on function app.usage_months(integer) is $$The caller's months, the present one first, back to when they came$$;
grant execute on function app.usage_months(integer) to authenticated;
