-- Who ought to be paid what, or why not, from the movements alone: one query that shares nothing with the
-- product's functions. And what the product did, in the same shape. All creators have the hold of app.economy.

create view bench.due_payouts as
with rules as (
    select now() - make_interval(days => e.earnings_hold_days) as held_since, e.minimum_payout_cents as minimum_cents
    from app.economy as e
),
earned as (
    select t.credit_owner_id as creator_id, sum(t.amount) as amount,
        coalesce(sum(t.amount) filter (where t.created_at > r.held_since), 0) as held
    from ledger.transfers as t
    cross join rules as r
    where t.credit_kind = 'earnings'
    group by t.credit_owner_id
),
taken as (
    select t.debit_owner_id as creator_id, sum(t.amount) as amount,
        coalesce(sum(t.amount) filter (where o.created_at > r.held_since), 0) as held
    from ledger.transfers as t
    cross join rules as r
    left join ledger.transfers as o on o.book_id = t.book_id and o.id = t.reverses_id
    where t.debit_kind = 'earnings'
    group by t.debit_owner_id
),
balances as (
    select creator_id,
        coalesce(e.amount, 0) - coalesce(k.amount, 0) as balance,
        coalesce(e.amount, 0) - coalesce(k.amount, 0) - coalesce(e.held, 0) + coalesce(k.held, 0) as available
    from earned as e
    full join taken as k using (creator_id)
),
outcomes as (
    select b.creator_id, div(b.available, 10000) as cents,
        case
            when b.balance < 0 then 'negative'
            when s.review_since is not null then 'under_review'
            when s.paused_at is not null then 'paused'
            when b.balance < r.minimum_cents * 10000 then 'below_minimum'
            when b.available < r.minimum_cents * 10000 then 'on_hold'
            when coalesce(a.transfers_status, 'none') <> 'active' then 'not_verified'
            else 'paid'
        end as outcome
    from balances as b
    cross join rules as r
    left join app.payout_settings as s on s.creator_id = b.creator_id
    left join app.payout_accounts as a on a.user_id = b.creator_id
    where b.balance <> 0
)
select creator_id, outcome, case outcome when 'paid' then cents else 0 end::bigint as cents
from outcomes;

create table bench.expected_payouts (creator_id uuid primary key, outcome text not null, cents bigint not null);

create view bench.made_payouts as
select p.creator_id, 'paid' as outcome, p.amount_cents as cents
from app.payouts as p
union all
select s.creator_id, s.reason, 0
from app.payout_skips as s;
