-- The one function that writes movements.

create or replace function ledger.post(book_id uuid, transaction_id uuid, postings ledger.posting[])
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    c_assets constant jsonb := ledger.assets();
    c_guarded constant text[] := ledger.guarded_kinds();
    v_posting ledger.posting;
    v_balance bigint;
    v_balances bigint[] := '{}'::bigint[];
    v_book_balance bigint;
begin
    foreach v_posting in array post.postings loop
        if (c_assets ->> v_posting.debit_kind, c_assets ->> v_posting.credit_kind)
            is distinct from (v_posting.asset, v_posting.asset)
        then
            perform app.fail(
                422, 'mixed_assets', 'Both accounts of a movement hold its asset.',
                format('%s from %s to %s', v_posting.asset, v_posting.debit_kind, v_posting.credit_kind));
        end if;
        v_balance := null;
        if v_posting.debit_kind = any (c_guarded) then
            update ledger.accounts as a
            set balance = a.balance - v_posting.amount
            where a.owner_id = v_posting.debit_owner_id and a.kind = v_posting.debit_kind
            returning a.balance into strict v_balance;
        end if;
        if v_posting.credit_kind = any (c_guarded) then
            update ledger.accounts as a
            set balance = a.balance + v_posting.amount
            where a.owner_id = v_posting.credit_owner_id and a.kind = v_posting.credit_kind
            returning a.balance into strict v_balance;
        end if;
        v_book_balance := coalesce(v_balance, v_book_balance);
        v_balances := v_balances || v_balance;
    end loop;

    insert into ledger.transfers (
        book_id, transaction_id, debit_owner_id, credit_owner_id, amount, balance_after,
        reference_id, reverses_id, credits, credit_value, creator_basis_points, split_basis_points,
        asset, kind, debit_kind, credit_kind, reference_type)
    select
        post.book_id, post.transaction_id, p.debit_owner_id, p.credit_owner_id, p.amount, p.balance_after,
        p.reference_id, p.reverses_id, p.credits, p.credit_value, p.creator_basis_points, p.split_basis_points,
        p.asset, p.kind, p.debit_kind, p.credit_kind, p.reference_type
    from unnest(post.postings, v_balances) as p (
        kind, asset, debit_owner_id, debit_kind, credit_owner_id, credit_kind, amount, reference_type,
        reference_id, reverses_id, credits, credit_value, creator_basis_points, split_basis_points,
        balance_after);
    return v_book_balance;
end;
$$;
comment on function ledger.post(uuid, uuid, ledger.posting[]) is $$Write movements: the only way into ledger.transfers

Every posting moves one asset between two accounts that hold it (422 mixed_assets). Updates the guarded accounts that the postings touch and inserts one row a posting. The caller holds the locks: its own wallet, or two wallets taken in order of owner. A movement that would take a wallet below zero breaks accounts_never_below_zero; callers check before. Returns the guarded balance afterwards.$$;

create or replace function ledger.posting(
    kind text, asset text, debit_owner_id uuid, debit_kind text, credit_owner_id uuid, credit_kind text,
    amount bigint, reference_type text, reference_id uuid, reverses_id uuid default null)
returns ledger.posting
language sql immutable
set search_path = ''
return (
    posting.kind, posting.asset, posting.debit_owner_id, posting.debit_kind,
    posting.credit_owner_id, posting.credit_kind, posting.amount,
    posting.reference_type, posting.reference_id, posting.reverses_id,
    null, null, null, null
)::ledger.posting;
comment on function ledger.posting(text, text, uuid, text, uuid, text, bigint, text, uuid, uuid) is $$A movement that carries no rates$$;

create or replace trigger tg_transfers__append_only
before update or delete on ledger.transfers
for each row execute function app.refuse_change();
create or replace trigger tg_transfers__no_truncate
before truncate on ledger.transfers
for each statement execute function app.refuse_change();
create or replace trigger tg_transfers_default__no_truncate
before truncate on ledger.transfers_default
for each statement execute function app.refuse_change();
create or replace trigger tg_draws__append_only
before update or delete on ledger.draws
for each row execute function app.refuse_change();
create or replace trigger tg_draws__no_truncate
before truncate on ledger.draws
for each statement execute function app.refuse_change();
create or replace trigger tg_requests__append_only
before update or delete on ledger.requests
for each row execute function app.refuse_change();
create or replace trigger tg_requests__no_truncate
before truncate on ledger.requests
for each statement execute function app.refuse_change();
create or replace trigger tg_seals__append_only
before update or delete on ledger.seals
for each row execute function app.refuse_change();
create or replace trigger tg_seals__no_truncate
before truncate on ledger.seals
for each statement execute function app.refuse_change();

-- Accounts and lots change with every movement; what must not happen to them is to vanish.
create or replace trigger tg_accounts__no_delete
before delete on ledger.accounts
for each row execute function app.refuse_change();
create or replace trigger tg_accounts__no_truncate
before truncate on ledger.accounts
for each statement execute function app.refuse_change();
create or replace trigger tg_lots__no_delete
before delete on ledger.lots
for each row execute function app.refuse_change();
create or replace trigger tg_lots__no_truncate
before truncate on ledger.lots
for each statement execute function app.refuse_change();
