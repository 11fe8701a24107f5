-- The month's end: everybody with earnings is paid or told why not, once.

create or replace function app.month_start(month date)
returns timestamptz
language sql stable
set search_path = ''
return (
    -- Where clocks go back at midnight it comes twice, and the month begins with the first.
    select case
        when (m.midnight - interval '1 hour') at time zone e.business_time_zone >= month_start.month
            then m.midnight - interval '1 hour'
        else m.midnight
    end
    from app.economy as e
    cross join lateral (select month_start.month::timestamp at time zone e.business_time_zone as midnight) as m
);
comment on function app.month_start(date) is $$When a business month begins$$;

create or replace function app.open_payout_batch(month date, early boolean)
returns app.monthly_payout_batches
language plpgsql volatile
set search_path = ''
as $$
declare
    v_month date;
    v_end timestamptz;
    v_batch app.monthly_payout_batches;
begin
    -- A calendar has more years than a clock.
    if coalesce(not isfinite(open_payout_batch.month) or open_payout_batch.month > '9999-12-31', true) then
        perform app.fail(400, 'invalid_month', 'Please name a month by one of its days, such as 2026-10-01.');
    end if;
    v_month := date_trunc('month', open_payout_batch.month)::date;
    select b.* into v_batch
    from app.monthly_payout_batches as b
    where b.month = v_month and b.currency = app.payout_currency()
    for update;
    if found then
        return v_batch;
    end if;
    if v_month < app.month_of(now()) - interval '12 months' then
        perform app.fail(
            422, 'month_too_old', 'This month is too long ago. A later month pays what was left of it.',
            'At most 12 months back.');
    end if;
    v_end := app.month_start((v_month + interval '1 month')::date);
    if v_end > now() and not (open_payout_batch.early and v_month = app.month_of(now())) then
        perform app.fail(
            422, 'month_not_over', 'This month is not over.',
            format('It ends on %s.', to_char(v_end at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')));
    end if;
    -- Of two who find no batch one makes it, and the other waits for that without a lock that it needs.
    perform pg_advisory_xact_lock(hashtextextended('payout batch', 0));
    select b.* into v_batch
    from app.monthly_payout_batches as b
    where b.month = v_month and b.currency = app.payout_currency()
    for update;
    if found then
        return v_batch;
    end if;
    perform ledger.open_new_earnings();
    insert into app.monthly_payout_batches (month, currency, cutoff_at, creators)
    select v_month, app.payout_currency(), least(v_end, now()), count(*)
    from ledger.accounts as a
    where a.kind = 'earnings'
    returning * into v_batch;
    perform app.audit('open_payout_batch', v_month::text, jsonb_build_object('early', v_end > now()));
    return v_batch;
end;
$$;
comment on function app.open_payout_batch(date, boolean) is $$The batch of a month, made on first use, with its lock taken

Errors: 400 invalid_month, 422 month_not_over, 422 month_too_old.$$;

create or replace function app.continue_monthly_payouts(
    month date, creators integer, early boolean default false,
    out is_closed boolean, out creators_done bigint, out creators_total bigint, out payouts bigint, out skipped bigint,
    out total_cents bigint)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_batch app.monthly_payout_batches := app.open_payout_batch(
        continue_monthly_payouts.month, continue_monthly_payouts.early);
    v_creators uuid[];
    v_candidates app.payout_candidate[];
    v_payouts app.payouts[];
    v_skipped bigint;
begin
    if v_batch.state = 'running' then
        v_creators := array(
            select a.owner_id
            from ledger.accounts as a
            where a.kind = 'earnings' and a.owner_id > coalesce(v_batch.last_creator_id, ledger.platform_id())
            order by a.owner_id
            limit greatest(continue_monthly_payouts.creators, 1));
        perform ledger.lock_earnings(v_creators);
        v_candidates := array(
            select c
            from app.payout_candidates(v_creators, v_batch.cutoff_at) as c
            where c.balance_microdollars <> 0);
        v_payouts := array(
            select p
            from app.new_payouts(
                array(select c from unnest(v_candidates) as c where c.reason is null), null, v_batch.id, null) as p);
        perform app.make_payouts(v_payouts);
        insert into app.payout_skips (
            batch_id, creator_id, reason, balance_microdollars, available_microdollars, minimum_cents)
        select v_batch.id, c.creator_id, c.reason, c.balance_microdollars, c.available_microdollars, c.minimum_cents
        from unnest(v_candidates) as c
        where c.reason is not null;
        get diagnostics v_skipped = row_count;
        update app.monthly_payout_batches as b
        set last_creator_id = coalesce(v_creators[cardinality(v_creators)], b.last_creator_id),
            creators_done = b.creators_done + cardinality(v_creators),
            creators = greatest(b.creators, b.creators_done + cardinality(v_creators)),
            payouts = b.payouts + cardinality(v_payouts),
            skipped = b.skipped + v_skipped,
            total_cents = b.total_cents + (select coalesce(sum(p.amount_cents), 0) from unnest(v_payouts) as p),
            state = case when cardinality(v_creators) < greatest(continue_monthly_payouts.creators, 1)
                then 'closed' else 'running' end,
            closed_at = case when cardinality(v_creators) < greatest(continue_monthly_payouts.creators, 1)
                then clock_timestamp() end
        where b.id = v_batch.id
        returning b.* into v_batch;
    end if;
    is_closed := v_batch.state = 'closed';
    creators_done := v_batch.creators_done;
    creators_total := v_batch.creators;
    payouts := v_batch.payouts;
    skipped := v_batch.skipped;
    total_cents := v_batch.total_cents;
end;
$$;
comment on function app.continue_monthly_payouts(date, integer, boolean) is $$Pay the next creators of a month, in the order of their ids

Opens the month's batch on first use. Each creator is paid what is available (whole cents; the rest stays), or skipped with a reason; who has nothing is passed over. Call it until `is_closed`, from as many sessions as you like: they take turns, and what was done stays done. `early` closes the running month with what is available now; sales after that belong to the next one. Errors: 400 invalid_month, 422 month_not_over, 422 month_too_old.$$;

create or replace function app.run_monthly_payouts(
    month date, early boolean default false,
    out creators_done bigint, out payouts bigint, out skipped bigint, out total_cents bigint)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_is_closed boolean := false;
begin
    while not v_is_closed loop
        select c.is_closed, c.creators_done, c.payouts, c.skipped, c.total_cents
        into v_is_closed, creators_done, payouts, skipped, total_cents
        from app.continue_monthly_payouts(run_monthly_payouts.month, 1000, run_monthly_payouts.early) as c;
    end loop;
end;
$$;
comment on function app.run_monthly_payouts(date, boolean) is $$Pay everybody for a month, in one transaction

A month that was closed is left as it is: its figures are answered again. Errors: see app.continue_monthly_payouts().$$;
grant execute on function app.run_monthly_payouts(date, boolean) to service_role;

create or replace function app.month_to_close()
returns date
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_month constant date := (app.month_of(now()) - interval '1 month')::date;
    v_running date;
begin
    select min(b.month) into v_running from app.monthly_payout_batches as b where b.state = 'running';
    if v_running is not null then
        return v_running;
    end if;
    return (
        select v_month
        from app.economy as e
        where extract(day from now() at time zone e.business_time_zone) >= e.payout_day
            -- Nobody had earned anything by then: a platform's first month is the one of its first sale.
            and exists (
                select from ledger.transfers as t
                where t.credit_kind = 'earnings'
                    and t.created_at < app.month_start((v_month + interval '1 month')::date))
            and not exists (select from app.monthly_payout_batches as b where b.month = v_month));
end;
$$;
comment on function app.month_to_close() is $$The month whose payouts are due now and not made, or not finished; null for none

Due from app.economy.payout_day on, in the business time zone. A month that was missed altogether needs nothing: the next one pays what was left.$$;

create or replace function app.due_payout_month()
returns date
language plpgsql stable
set search_path = ''
as $$
begin
    if app.is_month_closing_scheduled() then
        return null;
    end if;
    return app.month_to_close();
end;
$$;
comment on function app.due_payout_month() is $$The month that the worker has to close now; null where pg_cron does it$$;

create or replace function app.close_due_month(creators integer default 5000)
returns text
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_month constant date := app.month_to_close();
    v_step record;
begin
    if v_month is null then
        return null;
    end if;
    v_step := app.continue_monthly_payouts(v_month, close_due_month.creators);
    return format(
        '%s: %s of %s creators, %s payouts of %s, %s skipped', to_char(v_month, 'YYYY-MM'), v_step.creators_done,
        v_step.creators_total, v_step.payouts, app.money_text(v_step.total_cents, app.payout_currency()), v_step.skipped);
end;
$$;
comment on function app.close_due_month(integer) is $$Go on with the month that is due, if one is: what pg_cron calls every minute

So many creators a call, for each call holds their locks to its end. Returns how far it came.$$;
