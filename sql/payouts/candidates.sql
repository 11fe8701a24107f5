-- Who can be paid, how much, and why not: one rule for requests and for monthly batches.

create or replace function app.minimum_payout_cents(creator_id uuid)
returns bigint
language sql stable
set search_path = ''
return (
    select coalesce(
        (select t.minimum_payout_cents
            from app.profiles as p
            inner join app.creator_tiers as t on t.tier = p.creator_tier
            where p.id = minimum_payout_cents.creator_id),
        e.minimum_payout_cents)
    from app.economy as e
);
comment on function app.minimum_payout_cents(uuid) is $$The least that is paid out to a creator at a time, in cents

By tier, else app.economy.$$;

create or replace function app.payout_currency()
returns text
language sql immutable
set search_path = ''
return 'usd';
comment on function app.payout_currency() is $$What creators are paid in: that of the accounts of earnings$$;

create or replace function app.payout_candidates(creator_ids uuid[], cutoff_at timestamptz)
returns setof app.payout_candidate
language sql stable
set search_path = ''
begin atomic
    -- Everything is asked once for all of them: a call for each would be planned and answered each time.
    with creators as materialized (
        select
            g.creator_id, e.payouts_are_live as is_live,
            coalesce(t.minimum_payout_cents, e.minimum_payout_cents) as minimum_cents,
            -- A month begins with its first instant: the cutoff itself is after it.
            least(
                cutoff_at - interval '1 microsecond',
                now() - make_interval(days => coalesce(t.hold_days, e.earnings_hold_days))) as period_end
        from unnest(creator_ids) as g (creator_id)
        cross join app.economy as e
        left join app.profiles as p on p.id = g.creator_id
        left join app.creator_tiers as t on t.tier = p.creator_tier
    ),
    pending as materialized (
        select p.creator_id, p.microdollars
        from (select array_agg(c.creator_id) as ids, array_agg(c.period_end) as ends from creators as c) as a
        cross join lateral app.pending_earnings(a.ids, a.ends) as p
    ),
    figures as materialized (
        select c.*, b.balance, b.balance - p.microdollars as available
        from creators as c
        inner join ledger.earning_balances(creator_ids) as b on b.owner_id = c.creator_id
        inner join pending as p on p.creator_id = c.creator_id
    )
    select
        f.creator_id, f.balance, f.available, f.minimum_cents, f.period_end, a.stripe_account_id, f.is_live,
        case
            when f.balance < 0 then 'negative'
            when s.review_since is not null then 'under_review'
            when s.paused_at is not null then 'paused'
            when f.available / 10000 < f.minimum_cents
                then case when f.balance / 10000 < f.minimum_cents then 'below_minimum' else 'on_hold' end
            when a.stripe_account_id is null then 'not_verified'
        end
    from figures as f
    left join app.payout_settings as s on s.creator_id = f.creator_id
    left join app.payout_accounts as a
        on a.user_id = f.creator_id and a.is_live = f.is_live and app.is_payout_account_ready(a);
end;
comment on function app.payout_candidates(uuid[], timestamptz) is $$What these creators could be paid now, or why not

Available is the balance less the sales inside the hold; with a cutoff, less all sales from then on. Whatever was taken back counts at once. `reason` is null for who can be paid. Lock first (ledger.lock_earnings), then ask.$$;
