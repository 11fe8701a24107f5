-- Accounts: which are guarded, and how one is opened.

create or replace function ledger.platform_id()
returns uuid
language sql immutable parallel safe
set search_path = ''
return '00000000-0000-0000-0000-000000000000'::uuid;
comment on function ledger.platform_id() is $$The owner of the platform's own accounts$$;
grant execute on function ledger.platform_id() to anon, authenticated, service_role;

create or replace function ledger.guarded_kinds()
returns text[]
language sql immutable parallel safe
set search_path = ''
return array['wallet'];
comment on function ledger.guarded_kinds() is $$The kinds of account that may never go below zero

Their balance is kept in the account's row, which is locked by every movement. All other kinds are open: a sale never touches their row.$$;

create or replace function ledger.assets()
returns jsonb
language sql immutable parallel safe
set search_path = ''
return '{
    "wallet": "credit", "reserved": "credit", "frozen_credits": "credit", "issued": "credit", "redeemed": "credit", "expired": "credit",
    "earnings": "usd", "frozen_earnings": "usd", "payouts": "usd", "paid": "usd", "royalties": "usd",
    "stripe": "usd", "sales": "usd", "fees": "usd", "disputed": "usd", "bank": "usd", "other": "usd"
}'::jsonb;
comment on function ledger.assets() is $$The chart of accounts: every kind and what it holds

credit: wallet, reserved (for what is still to be done) and frozen_credits (a person's), issued, redeemed, expired (the platform's). usd, in micro-dollars: earnings, frozen_earnings, payouts (on their way) and paid (so far) (a creator's), royalties (the platform's: what creators are owed, below zero); stripe (what Stripe holds for the platform), sales (what payers paid, below zero as money that came in), fees (what Stripe kept), disputed (what Stripe withholds), bank (what Stripe paid out to the platform), other (what an operator explained).$$;

create or replace function ledger.asset_of(kind text)
returns text
language sql immutable parallel safe
set search_path = ''
return ledger.assets() ->> asset_of.kind;
comment on function ledger.asset_of(text) is $$What an account of this kind holds; null for an unknown kind$$;

create or replace function ledger.open_account(owner_id uuid, kind text)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    insert into ledger.accounts (owner_id, kind, asset, is_guarded)
    values (
        open_account.owner_id, open_account.kind, ledger.asset_of(open_account.kind),
        open_account.kind = any (ledger.guarded_kinds()))
    on conflict do nothing;
end;
$$;
comment on function ledger.open_account(uuid, text) is $$Open an account if it is not open yet$$;

create or replace function ledger.lock_earnings(owner_ids uuid[])
returns void
language sql volatile
set search_path = ''
begin atomic
    -- One after the other, as folds lock them: who conflicts is locked, and not changed.
    insert into ledger.accounts as a (owner_id, kind, asset, is_guarded)
    select o.owner_id, 'earnings', 'usd', false
    from unnest(lock_earnings.owner_ids) as o (owner_id)
    order by o.owner_id
    on conflict on constraint accounts_pkey do update
    set balance = a.balance
    where false;
end;
comment on function ledger.lock_earnings(uuid[]) is $$Lock what these creators have earned: nobody else pays it out meanwhile

In the order of their ids. Sales are not kept waiting: they only add.$$;

create or replace function ledger.lock_wallet(owner_id uuid)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    v_balance bigint;
begin
    select a.balance into v_balance
    from ledger.accounts as a
    where a.owner_id = lock_wallet.owner_id and a.kind = 'wallet'
    for no key update;
    if not found then
        perform app.ensure_profile(lock_wallet.owner_id);
        perform ledger.open_account(lock_wallet.owner_id, 'wallet');
        return ledger.lock_wallet(lock_wallet.owner_id);
    end if;
    return v_balance;
end;
$$;
comment on function ledger.lock_wallet(uuid) is $$Begin a person's money call: lock the wallet, make it on first use

The first lock of every movement of credits; calls of one person wait here for each other, so what follows sees what the call before did. Returns the balance in credits.$$;
