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
    select
        c.creator_id, c.balance, c.balance - c.pending, c.minimum_cents, c.period_end, c.stripe_account_id, c.is_live,
        case
            when c.balance < 0 then 'negative'
            when c.is_under_review then 'under_review'
            when c.is_paused then 'paused'
            when (c.balance - c.pending) / 10000 < c.minimum_cents
                then case when c.balance / 10000 < c.minimum_cents then 'below_minimum' else 'on_hold' end
            when c.stripe_account_id is null then 'not_verified'
        end
    from (
        select
            g.creator_id, h.period_end, e.payouts_are_live as is_live,
            ledger.balance(g.creator_id, 'earnings') as balance,
            app.pending_earnings(g.creator_id, h.period_end) as pending,
            app.minimum_payout_cents(g.creator_id) as minimum_cents,
            s.review_since is not null as is_under_review,
            s.paused_at is not null as is_paused,
            a.stripe_account_id
        from unnest(creator_ids) as g (creator_id)
        cross join app.economy as e
        cross join lateral (
            -- A month begins with its first instant: the cutoff itself is after it.
            select least(
                cutoff_at - interval '1 microsecond', now() - make_interval(days => app.hold_days(g.creator_id))) as period_end
        ) as h
        left join app.payout_settings as s on s.creator_id = g.creator_id
        left join app.payout_accounts as a
            on a.user_id = g.creator_id and a.is_live = e.payouts_are_live and app.is_payout_account_ready(a)
    ) as c;
end;
comment on function app.payout_candidates(uuid[], timestamptz) is $$What these creators could be paid now, or why not

Available is the balance less the sales inside the hold; with a cutoff, less all sales from then on. Whatever was taken back counts at once. `reason` is null for who can be paid. Lock first (ledger.lock_earnings), then ask.$$;
