-- The public contract of credits: packages, balance, transactions.

create or replace view api.credit_packages with (security_invoker = true) as
select
    p.id, p.name, p.description, p.credits_amount,
    (p.price_cents / 100.0)::numeric(12, 2) as price_usd,
    p.bonus_credits, p.stripe_price_id, p.is_active, p.sort_order, p.created_at, p.updated_at,
    p.price_cents, p.currency
from app.credit_packages as p;
comment on view api.credit_packages is $$Credit packages on sale

Order by `sort_order`. A package gives `credits_amount` plus `bonus_credits`.$$;
comment on column api.credit_packages.id is 'Package id.';
comment on column api.credit_packages.name is 'Name.';
comment on column api.credit_packages.description is 'Who it is for.';
comment on column api.credit_packages.credits_amount is 'Credits bought.';
comment on column api.credit_packages.price_usd is 'Price in dollars, for display.';
comment on column api.credit_packages.bonus_credits is 'Credits on top.';
comment on column api.credit_packages.stripe_price_id is 'The price at Stripe.';
comment on column api.credit_packages.is_active is 'On sale.';
comment on column api.credit_packages.sort_order is 'Place in the list.';
comment on column api.credit_packages.created_at is 'When it was made.';
comment on column api.credit_packages.updated_at is 'When it last changed.';
comment on column api.credit_packages.price_cents is 'Price in cents.';
comment on column api.credit_packages.currency is 'ISO code in lower case.';
grant select on api.credit_packages to anon, authenticated, service_role;

create or replace function api.credit_balance(
    out balance bigint, out by_source jsonb, out expiring_soon bigint, out next_expiry timestamptz,
    out lifetime_bought bigint, out lifetime_received bigint, out lifetime_spent bigint,
    out lifetime_earned_microdollars bigint)
returns record
language sql stable
set search_path = ''
begin atomic
    select
        b.balance, b.by_source, b.expiring_soon, b.next_expiry,
        b.lifetime_bought, b.lifetime_received, b.lifetime_spent, b.lifetime_earned_microdollars
    from app.credit_balance() as b;
end;
comment on function api.credit_balance() is $$The caller's wallet

`balance` in credits, `by_source` (purchase, bonus, grant, allowance, refund), `expiring_soon` (credits that lapse within economy.expiring_soon_days), `next_expiry`, lifetime figures in credits: bought, received (bonus, grants, allowances) and spent (less what came back), and earned as a creator, in micro-dollars. Errors: 401 login_required.$$;
grant execute on function api.credit_balance() to authenticated, service_role;

create or replace view api.credit_transactions with (security_invoker = true) as
select
    t.id,
    t.book_id as user_id,
    case
        when t.kind in ('purchase', 'spend', 'bonus', 'refund') then t.kind::text
        when t.kind = 'expiry' then 'spend'
        when t.kind in ('freeze', 'release', 'withdrawal') then 'refund'
        else 'bonus'
    end as transaction_type,
    case when t.credit_kind = 'wallet' then t.amount::bigint else -t.amount end as amount,
    t.balance_after,
    case
        when t.kind = 'purchase' then 'Credits bought'
        when t.kind = 'bonus' then 'Bonus credits'
        when t.kind = 'grant' then 'Credits received'
        when t.kind = 'allowance' then 'Monthly credits'
        when t.kind = 'expiry' then 'Credits expired'
        when t.kind = 'refund' then 'Credits returned'
        when t.kind = 'freeze' then 'Credits taken back: ' || t.reference_type
        when t.kind = 'release' then 'Credits given back: ' || t.reference_type
        when t.reference_type = 'cover' then 'Story cover'
        when t.reference_type = 'export' then 'Story download'
        when t.reference_type = 'generation' then 'Generated text'
        when t.reference_type = 'story_chapter' then 'Story purchase: chapter'
        when t.reference_type = 'story_bundle' then 'Story purchase: bundle'
        when t.reference_type = 'story_premium_unlock' then 'Story purchase: premium_unlock'
        else 'Purchase'
    end as description,
    t.reference_id::text as reference_id,
    case
        when t.reference_type like 'story\_%' then 'story_read'
        when t.reference_type = 'payment' then 'purchase'
        else t.reference_type
    end as reference_type,
    jsonb_strip_nulls(jsonb_build_object(
        'kind', t.kind, 'transaction_id', t.transaction_id, 'reverses_id', t.reverses_id)) as metadata,
    t.created_at
from ledger.transfers as t
where t.book_id = app.current_user_id()
    and (t.credit_kind = 'wallet' or t.debit_kind = 'wallet');
comment on view api.credit_transactions is $$The caller's statement of credits

One row a movement, newest by `order=id.desc`; page with `id=lt.<last id>`.$$;
comment on column api.credit_transactions.id is 'Time-ordered id.';
comment on column api.credit_transactions.user_id is 'The caller.';
comment on column api.credit_transactions.transaction_type is 'purchase, spend, bonus or refund; metadata.kind says it finer (grant, allowance, expiry, freeze, release).';
comment on column api.credit_transactions.amount is 'Credits; negative when they left.';
comment on column api.credit_transactions.balance_after is 'The wallet afterwards, in credits.';
comment on column api.credit_transactions.description is 'In words.';
comment on column api.credit_transactions.reference_id is 'What it was for, for example the story.';
comment on column api.credit_transactions.reference_type is 'What kind of thing that is, for example story_read.';
comment on column api.credit_transactions.metadata is 'kind, transaction_id, and reverses_id of a refund.';
comment on column api.credit_transactions.created_at is 'When.';
grant select on api.credit_transactions to authenticated, service_role;

create or replace function api.grant_credits(
    user_id uuid, credits bigint, reason text, expires_at timestamptz default null, idempotency_key text default null,
    out transaction_id uuid, out balance_after bigint)
returns record
language sql volatile
set search_path = ''
begin atomic
    select g.transaction_id, g.balance_after
    from app.grant_credits(user_id, credits, reason, expires_at, idempotency_key) as g;
end;
comment on function api.grant_credits(uuid, bigint, text, timestamptz, text) is $$Give a person credits that nobody paid for

For the service role only. `credits` from 1 to 1,000,000; `expires_at` optional. Once per `idempotency_key`. Errors: 400 invalid_credits, 400 invalid_expiry, 409 idempotency_mismatch.$$;
grant execute on function api.grant_credits(uuid, bigint, text, timestamptz, text) to service_role;

create or replace function api.package_margins()
returns table (
    name text, credits bigint, price_microdollars bigint, owed_microdollars bigint, margin_microdollars bigint)
language sql stable
set search_path = ''
begin atomic
    select m.name, m.credits, m.price_microdollars, m.owed_microdollars, m.margin_microdollars
    from app.package_margins() as m;
end;
comment on function api.package_margins() is $$What each package brings, against what its credits cost

`owed` is what creators earn when all of it is spent on stories. In credits and micro-dollars, before Stripe's fee. A negative margin is a package that costs more than it brings. For the service role only.$$;
grant execute on function api.package_margins() to service_role;
