-- The public contract of earnings, and the profile that shows them.

create or replace view api.creator_tiers with (security_invoker = true) as
select
    t.tier, t.rank, (t.minimum_earned_microdollars / 1000000.0)::numeric(20, 6) as minimum_earned_usd,
    t.hold_days, t.description, t.minimum_payout_cents
from app.creator_tiers as t;
comment on view api.creator_tiers is $$The steps a creator climbs

By lifetime earnings.$$;
comment on column api.creator_tiers.tier is 'bronze, silver, gold or platinum.';
comment on column api.creator_tiers.rank is '1 is where everybody starts.';
comment on column api.creator_tiers.minimum_earned_usd is 'Lifetime earnings needed, in dollars.';
comment on column api.creator_tiers.hold_days is 'Days that new earnings wait; null: economy.earnings_hold_days.';
comment on column api.creator_tiers.description is 'In words.';
comment on column api.creator_tiers.minimum_payout_cents is 'Less is not paid out, in cents; null: economy.minimum_payout_cents.';
grant select on api.creator_tiers to anon, authenticated, service_role;

create or replace view api.creator_earnings with (security_invoker = true) as
select
    t.id,
    t.credit_owner_id as creator_id,
    case when t.reference_type like 'story\_%' then t.reference_id end as story_id,
    t.book_id as reader_id,
    (t.credits::numeric * t.creator_basis_points / 10000 * t.split_basis_points / 10000)::numeric(20, 4) as credits_earned,
    (t.amount / 1000000.0)::numeric(20, 6) as usd_equivalent,
    t.transaction_id,
    t.created_at,
    t.amount::bigint as microdollars,
    t.credits as credits_spent,
    t.credit_value as credit_value_microdollars,
    t.creator_basis_points,
    t.split_basis_points,
    t.reference_type
from ledger.transfers as t
where t.credit_owner_id = app.current_user_id()
    and t.credit_kind = 'earnings'
    and t.kind = 'earning';
comment on view api.creator_earnings is $$The caller's earnings, one row a sale

With the rates that were used. What was taken back is in creator_clawbacks. Newest by `order=id.desc`; page with `id=lt.<last id>`.$$;
comment on column api.creator_earnings.id is 'Time-ordered id.';
comment on column api.creator_earnings.creator_id is 'The caller.';
comment on column api.creator_earnings.story_id is 'The story sold.';
comment on column api.creator_earnings.reader_id is 'Who bought.';
comment on column api.creator_earnings.credits_earned is 'The caller''s part of the credits, for display.';
comment on column api.creator_earnings.usd_equivalent is 'Dollars earned, exact.';
comment on column api.creator_earnings.transaction_id is 'The sale.';
comment on column api.creator_earnings.created_at is 'When.';
comment on column api.creator_earnings.microdollars is 'Micro-dollars earned.';
comment on column api.creator_earnings.credits_spent is 'Credits the reader paid.';
comment on column api.creator_earnings.credit_value_microdollars is 'Payout value of a credit that was used.';
comment on column api.creator_earnings.creator_basis_points is 'Creators'' part that was used.';
comment on column api.creator_earnings.split_basis_points is 'The caller''s part of that part.';
comment on column api.creator_earnings.reference_type is 'What was sold: story_chapter, story_bundle, story_premium_unlock.';
grant select on api.creator_earnings to authenticated, service_role;

create or replace view api.creator_clawbacks with (security_invoker = true) as
select
    t.id,
    t.debit_owner_id as creator_id,
    case when t.reference_type like 'story\_%' then t.reference_id end as story_id,
    t.reverses_id as earning_id,
    (t.amount / 1000000.0)::numeric(20, 6) as usd_equivalent,
    t.amount::bigint as microdollars,
    t.created_at,
    case t.kind when 'freeze' then 'payment' else 'refund' end as reason
from ledger.transfers as t
where t.debit_owner_id = app.current_user_id()
    and t.debit_kind = 'earnings'
    and t.kind in ('clawback', 'freeze')
union all
select
    t.id,
    t.credit_owner_id,
    case when t.reference_type like 'story\_%' then t.reference_id end,
    null::uuid,
    (-t.amount / 1000000.0)::numeric(20, 6),
    -t.amount::bigint,
    t.created_at,
    'release'
from ledger.transfers as t
where t.credit_owner_id = app.current_user_id()
    and t.credit_kind = 'earnings'
    and t.kind = 'release';
comment on view api.creator_clawbacks is $$What was taken back of the caller's earnings

One row a refund or dispute that reached a sale, whole or in part; a dispute that was won gives back what it took, as a row below zero.$$;
comment on column api.creator_clawbacks.id is 'Time-ordered id.';
comment on column api.creator_clawbacks.creator_id is 'The caller.';
comment on column api.creator_clawbacks.story_id is 'The story.';
comment on column api.creator_clawbacks.earning_id is 'The row of creator_earnings that it takes back; null for a release.';
comment on column api.creator_clawbacks.usd_equivalent is 'Dollars taken back.';
comment on column api.creator_clawbacks.microdollars is 'Micro-dollars taken back; below zero when they were given back.';
comment on column api.creator_clawbacks.created_at is 'When.';
comment on column api.creator_clawbacks.reason is 'refund: the sale was taken back. payment: the payment that paid for it is refunded or disputed. release: that came to nothing.';
grant select on api.creator_clawbacks to authenticated, service_role;
create or replace trigger tg_creator_clawbacks__read_only
instead of insert or update or delete on api.creator_clawbacks
for each row execute function app.refuse_change();

create or replace function api.earnings_summary(
    out balance_microdollars bigint, out pending_microdollars bigint, out available_microdollars bigint,
    out on_the_way_microdollars bigint, out paid_microdollars bigint, out negative_microdollars bigint,
    out total_earned_microdollars bigint, out hold_days integer, out creator_tier text, out by_story jsonb,
    out by_month jsonb)
returns record
language sql stable
set search_path = ''
begin atomic
    select
        s.balance_microdollars, s.pending_microdollars, s.available_microdollars, s.on_the_way_microdollars,
        s.paid_microdollars, s.negative_microdollars, s.total_earned_microdollars, s.hold_days, s.creator_tier,
        s.by_story, s.by_month
    from app.earnings_summary() as s;
end;
comment on function api.earnings_summary() is $$Your earnings at a glance

Micro-dollars: `balance` = `pending` (inside the hold of `hold_days`) + `available`; `on_the_way` to you and `paid` so far; `negative` is the balance when more was taken back than earned, which coming sales make good first; `total_earned` = balance + on the way + paid; `by_story` and `by_month` (business time zone). Errors: 401 login_required.$$;
grant execute on function api.earnings_summary() to authenticated, service_role;

create or replace view api.creator_earnings_accumulation with (security_invoker = true) as
select
    p.id as creator_id,
    (s.total_earned_microdollars / 1000000.0)::numeric(20, 6) as total_accumulated_usd,
    (s.balance_microdollars / 1000000.0)::numeric(20, 6) as balance_usd,
    (s.pending_microdollars / 1000000.0)::numeric(20, 6) as pending_usd,
    (s.available_microdollars / 1000000.0)::numeric(20, 6) as available_usd,
    (s.on_the_way_microdollars / 1000000.0)::numeric(20, 6) as on_the_way_usd,
    (s.paid_microdollars / 1000000.0)::numeric(20, 6) as paid_usd
from app.profiles as p
cross join lateral app.earnings_figures() as s
where p.id = (select app.current_user_id());
comment on view api.creator_earnings_accumulation is $$The caller's accumulated earnings in dollars

Derived from the ledger (seed 004, priority 1), never stored twice. One row.$$;
comment on column api.creator_earnings_accumulation.creator_id is 'The caller.';
comment on column api.creator_earnings_accumulation.total_accumulated_usd is 'Everything earned, less what was taken back.';
comment on column api.creator_earnings_accumulation.balance_usd is 'Not paid out yet.';
comment on column api.creator_earnings_accumulation.pending_usd is 'Of that, still inside the hold.';
comment on column api.creator_earnings_accumulation.available_usd is 'Of that, ready to be paid.';
comment on column api.creator_earnings_accumulation.on_the_way_usd is 'Set aside for payouts that have not arrived.';
comment on column api.creator_earnings_accumulation.paid_usd is 'Paid so far.';
grant select on api.creator_earnings_accumulation to authenticated, service_role;
create or replace trigger tg_creator_earnings_accumulation__read_only
instead of insert or update or delete on api.creator_earnings_accumulation
for each row execute function app.refuse_change();

create or replace function api.me(
    out id uuid, out handle text, out display_name text, out bio text, out avatar_url text,
    out subscription_tier text, out is_creator boolean, out creator_tier text, out credits_balance bigint,
    out created_at timestamptz)
returns record
language sql volatile
set search_path = ''
begin atomic
    select
        m.id, m.handle, m.display_name, m.bio, m.avatar_url, m.subscription_tier, m.is_creator, m.creator_tier,
        (select b.balance from app.credit_balance() as b), m.created_at
    from app.me() as m;
end;
comment on function api.me() is $$Who am I

The caller's profile and balance. The first call (POST) makes the profile and the wallet. Errors: 401 login_required.$$;
grant execute on function api.me() to authenticated, service_role;

create or replace function api.update_profile(
    handle text default null, display_name text default null, bio text default null, avatar_url text default null)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.update_profile(handle, display_name, bio, avatar_url);
end;
comment on function api.update_profile(text, text, text, text) is $$Change your profile

What is left out stays; an empty text removes it. `handle`: 3 to 40 lower-case letters, digits or underscores; `avatar_url` begins with https://. Errors: 400 invalid_handle, 400 invalid_avatar_url, 400 text_too_long, 401 login_required, 409 handle_taken.$$;
grant execute on function api.update_profile(text, text, text, text) to authenticated, service_role;
