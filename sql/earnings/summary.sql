-- What a creator has earned, what waits, what can be paid.

create or replace function app.hold_days(creator_id uuid)
returns integer
language sql stable
set search_path = ''
return (
    select coalesce(
        (select t.hold_days
            from app.profiles as p
            inner join app.creator_tiers as t on t.tier = p.creator_tier
            where p.id = hold_days.creator_id),
        e.earnings_hold_days)
    from app.economy as e
);
comment on function app.hold_days(uuid) is $$Days that a creator's new earnings wait: by tier, else app.economy$$;

create or replace function app.pending_earnings(creator_ids uuid[], since timestamptz[])
returns table (creator_id uuid, microdollars bigint)
language sql stable
set search_path = ''
begin atomic
    with creators as materialized (
        -- The id finds the partition and the place; a day more, for ids are stamped after their transaction began.
        select u.creator_id, u.since, ledger.id_floor(u.since - interval '1 day') as first_id
        from unnest(creator_ids, since) as u (creator_id, since)
    )
    select c.creator_id, (s.amount - k.amount)::bigint
    from creators as c
    cross join lateral (
        select coalesce(sum(t.amount), 0) as amount
        from ledger.transfers as t
        where t.credit_owner_id = c.creator_id and t.credit_kind = 'earnings' and t.kind = 'earning'
            and t.id >= c.first_id and t.created_at > c.since
    ) as s
    cross join lateral (
        select coalesce(sum(r.amount - coalesce((
            select sum(b.amount)
            from ledger.transfers as b
            where b.book_id = r.book_id and b.reverses_id = r.id and b.kind = 'release'), 0)), 0) as amount
        from ledger.transfers as r
        inner join ledger.transfers as o on o.book_id = r.book_id and o.id = r.reverses_id
        where r.debit_owner_id = c.creator_id and r.debit_kind = 'earnings' and r.kind in ('clawback', 'freeze')
            and r.id >= c.first_id and o.created_at > c.since
    ) as k;
end;
comment on function app.pending_earnings(uuid[], timestamptz[]) is $$Earnings of sales after a time of each creator's own, in micro-dollars

Less what was taken back of them. Only credits age; a debit counts at once, against the sale it takes back.$$;

create or replace function app.pending_earnings(creator_id uuid, since timestamptz)
returns bigint
language sql stable
set search_path = ''
return (
    select p.microdollars
    from app.pending_earnings(array[pending_earnings.creator_id], array[pending_earnings.since]) as p
);
comment on function app.pending_earnings(uuid, timestamptz) is $$Earnings of one creator's sales after this time, in micro-dollars$$;

create or replace function app.earnings_figures(
    out balance_microdollars bigint, out pending_microdollars bigint, out available_microdollars bigint,
    out on_the_way_microdollars bigint, out paid_microdollars bigint, out negative_microdollars bigint,
    out total_earned_microdollars bigint)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_creator_id constant uuid := app.require_claimed_user();
begin
    balance_microdollars := ledger.balance(v_creator_id, 'earnings');
    pending_microdollars := app.pending_earnings(
        v_creator_id, now() - make_interval(days => app.hold_days(v_creator_id)));
    available_microdollars := balance_microdollars - pending_microdollars;
    on_the_way_microdollars := ledger.balance(v_creator_id, 'payouts');
    paid_microdollars := ledger.balance(v_creator_id, 'paid');
    negative_microdollars := least(balance_microdollars, 0);
    total_earned_microdollars := ledger.lifetime_earned(v_creator_id);
end;
$$;
comment on function app.earnings_figures() is $$The caller's earnings in seven figures, in micro-dollars

Reads what is not folded yet and what is inside the hold. Errors: 401 login_required.$$;
grant execute on function app.earnings_figures() to authenticated, service_role;

create or replace function app.earnings_summary(
    out balance_microdollars bigint, out pending_microdollars bigint, out available_microdollars bigint,
    out on_the_way_microdollars bigint, out paid_microdollars bigint, out negative_microdollars bigint,
    out total_earned_microdollars bigint, out hold_days integer, out creator_tier text, out by_story jsonb,
    out by_month jsonb)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_creator_id constant uuid := app.require_claimed_user();
begin
    select
        f.balance_microdollars, f.pending_microdollars, f.available_microdollars, f.on_the_way_microdollars,
        f.paid_microdollars, f.negative_microdollars, f.total_earned_microdollars
    into
        balance_microdollars, pending_microdollars, available_microdollars, on_the_way_microdollars,
        paid_microdollars, negative_microdollars, total_earned_microdollars
    from app.earnings_figures() as f;
    hold_days := app.hold_days(v_creator_id);
    creator_tier := coalesce((select p.creator_tier from app.profiles as p where p.id = v_creator_id), 'bronze');
    with earned as materialized (
        select m.month, m.kind, m.reference_type, m.reference_id, m.microdollars, m.movements
        from ledger.earning_months(v_creator_id) as m
        where m.kind in ('earning', 'clawback', 'freeze', 'release')
    )
    select
        coalesce((
            select jsonb_agg(
                jsonb_build_object(
                    'story_id', m.reference_id, 'title', s.title, 'sales', m.sales, 'earned_microdollars', m.amount)
                order by m.amount desc, m.reference_id)
            from (
                select e.reference_id, sum(e.microdollars) as amount,
                    coalesce(sum(e.movements) filter (where e.kind = 'earning'), 0) as sales
                from earned as e
                where e.reference_type like 'story\_%'
                group by e.reference_id
            ) as m
            left join app.stories as s on s.id = m.reference_id), '[]'),
        coalesce((
            select jsonb_agg(
                jsonb_build_object('month', m.month, 'sales', m.sales, 'earned_microdollars', m.amount)
                order by m.month desc)
            from (
                select e.month, sum(e.microdollars) as amount,
                    coalesce(sum(e.movements) filter (where e.kind = 'earning'), 0) as sales
                from earned as e
                group by e.month
            ) as m), '[]')
    into by_story, by_month;
end;
$$;
comment on function app.earnings_summary() is $$The caller's earnings at a glance

Errors: 401 login_required.$$;
grant execute on function app.earnings_summary() to authenticated, service_role;

create or replace function app.promote_creators()
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_promoted integer;
begin
    update app.profiles as p
    set creator_tier = n.tier, updated_at = now()
    from (
        select a.owner_id,
            (select t.tier from app.creator_tiers as t
                where t.minimum_earned_microdollars <= ledger.lifetime_earned(a.owner_id)
                order by t.rank desc limit 1) as tier
        from ledger.accounts as a
        where a.kind = 'earnings'
    ) as n
    where p.id = n.owner_id and p.creator_tier <> n.tier;
    get diagnostics v_promoted = row_count;
    return v_promoted;
end;
$$;
comment on function app.promote_creators() is $$Put every creator into the tier of their lifetime earnings

Returns how many changed tier. The worker calls it.$$;

create or replace function app.profile_figures(
    user_id uuid,
    out balance bigint, out lifetime_bought bigint, out lifetime_received bigint, out lifetime_spent bigint,
    out lifetime_earned_microdollars bigint, out unpaid_microdollars bigint)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
begin
    if profile_figures.user_id is distinct from app.current_user_id() then
        return;
    end if;
    select b.balance, b.lifetime_bought, b.lifetime_received, b.lifetime_spent, b.lifetime_earned_microdollars
    into balance, lifetime_bought, lifetime_received, lifetime_spent, lifetime_earned_microdollars
    from app.credit_balance() as b;
    unpaid_microdollars := ledger.balance(profile_figures.user_id, 'earnings')
        + ledger.balance(profile_figures.user_id, 'payouts');
end;
$$;
comment on function app.profile_figures(uuid) is $$The money side of the caller's own profile; nulls for anybody else's$$;
grant execute on function app.profile_figures(uuid) to authenticated, service_role;
