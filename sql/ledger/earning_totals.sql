-- What every creator earned, summed by month: statements read these, and not every sale.

create or replace function ledger.earning_movements(from_position bigint, to_position bigint)
returns table (
    creator_id uuid, month date, kind text, reference_type text, reference_id uuid, microdollars bigint, movements bigint)
language sql stable
set search_path = ''
begin atomic
    select
        m.creator_id,
        -- app.month_of(), with the zone looked up once.
        date_trunc('month', t.created_at at time zone (select e.business_time_zone from app.economy as e))::date,
        t.kind::text, coalesce(t.reference_type, ''), coalesce(t.reference_id, ledger.platform_id()),
        sum(m.amount)::bigint, count(*)
    from ledger.transfers as t
    cross join lateral (
        values (t.credit_owner_id, t.credit_kind, t.amount::bigint), (t.debit_owner_id, t.debit_kind, -t.amount::bigint)
    ) as m (creator_id, account, amount)
    where t.position >= from_position and t.position < to_position
        and m.account = 'earnings'
    group by 1, 2, 3, 4, 5;
end;
comment on function ledger.earning_movements(bigint, bigint) is $$What moved on the accounts of earnings between two positions, by month

In micro-dollars; below zero what left. Months are those of the business time zone.$$;

create or replace function ledger.fold_earning_totals(to_position bigint)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_from constant bigint := (select s.totals_position from ledger.fold_state as s);
begin
    insert into ledger.earning_totals as e (
        creator_id, month, kind, reference_type, reference_id, microdollars, movements)
    select m.creator_id, m.month, m.kind, m.reference_type, m.reference_id, m.microdollars, m.movements
    from ledger.earning_movements(v_from, fold_earning_totals.to_position) as m
    on conflict on constraint earning_totals_pkey do update
    set microdollars = e.microdollars + excluded.microdollars,
        movements = e.movements + excluded.movements;
    update ledger.fold_state as s
    set totals_position = greatest(fold_earning_totals.to_position, s.totals_position);
end;
$$;
comment on function ledger.fold_earning_totals(bigint) is $$Add everything below a position to the monthly totals

A part of ledger.fold(), which holds the lock.$$;

create or replace function ledger.forget_earning_totals()
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    perform from ledger.fold_state as s for update;
    delete from ledger.earning_totals;
    update ledger.fold_state as s set totals_position = 0;
end;
$$;
comment on function ledger.forget_earning_totals() is $$Sum the months anew with the next fold

Until then they are read from the movements.$$;

create or replace function ledger.earning_months(creator_id uuid)
returns table (
    month date, kind text, reference_type text, reference_id uuid, microdollars bigint, movements bigint)
language plpgsql stable
set search_path = ''
as $$
declare
    v_zone constant text := (select e.business_time_zone from app.economy as e);
    v_from constant bigint := (
        select case when ledger.folded_position() < 0 then -1 else s.totals_position end
        from ledger.fold_state as s);
begin
    return query
    select
        m.month, m.kind, nullif(m.reference_type, ''), nullif(m.reference_id, ledger.platform_id()),
        sum(m.microdollars)::bigint, sum(m.movements)::bigint
    from (
        select e.month, e.kind, e.reference_type, e.reference_id, e.microdollars, e.movements
        from ledger.earning_totals as e
        where e.creator_id = earning_months.creator_id and v_from >= 0
        union all
        select
            date_trunc('month', t.created_at at time zone v_zone)::date, t.kind::text,
            coalesce(t.reference_type, ''), coalesce(t.reference_id, ledger.platform_id()), t.amount::bigint, 1
        from ledger.transfers as t
        where t.credit_owner_id = earning_months.creator_id and t.credit_kind = 'earnings' and t.position >= v_from
        union all
        select
            date_trunc('month', t.created_at at time zone v_zone)::date, t.kind::text,
            coalesce(t.reference_type, ''), coalesce(t.reference_id, ledger.platform_id()), -t.amount::bigint, 1
        from ledger.transfers as t
        where t.debit_owner_id = earning_months.creator_id and t.debit_kind = 'earnings' and t.position >= v_from
    ) as m
    group by m.month, m.kind, m.reference_type, m.reference_id;
end;
$$;
comment on function ledger.earning_months(uuid) is $$A creator's earnings by month, kind and what they were for

The totals plus what came since: always what ledger.balance() says, however old the fold.$$;

create or replace function ledger.forget_months_of_another_zone()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform ledger.forget_earning_totals();
    return null;
end;
$$;
comment on function ledger.forget_months_of_another_zone() is $$Trigger: months begin elsewhere now, and are summed anew$$;

create or replace trigger tg_economy__months
after update of business_time_zone on app.economy
for each row when (old.business_time_zone <> new.business_time_zone)
execute function ledger.forget_months_of_another_zone();

create or replace function ledger.check_earning_totals()
returns setof ledger.violation
language sql stable
set search_path = ''
begin atomic
    select 'earning_total', format('%s %s %s %s %s', creator_id, to_char(month, 'YYYY-MM'), kind, reference_type, reference_id),
        format('says %s in %s movements, the ledger %s in %s',
            coalesce(e.microdollars, 0), coalesce(e.movements, 0), coalesce(m.microdollars, 0), coalesce(m.movements, 0))
    from ledger.earning_totals as e
    full join ledger.earning_movements(0, (select s.totals_position from ledger.fold_state as s)) as m
        using (creator_id, month, kind, reference_type, reference_id)
    where ledger.folded_position() >= 0
        and (coalesce(e.microdollars, 0), coalesce(e.movements, 0))
        is distinct from (coalesce(m.microdollars, 0), coalesce(m.movements, 0));
end;
comment on function ledger.check_earning_totals() is $$The monthly totals are the sums of their movements$$;
