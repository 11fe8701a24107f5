-- A person sees the movements of their own book and those of their own accounts.
-- The plain stable call becomes the index condition (and Citus accepts it). Transfers are different: the
-- views of api name the column to look in, and the policy only looks at what was found. A choice of columns
-- that indexes could serve would be read with a bitmap, and a whole history sorted for one page; and the planner takes a bare
-- comparison for so rare that it sorts as well. Of a coalesce it expects that half passes.

drop policy if exists accounts_select_owner on ledger.accounts;
create policy accounts_select_owner on ledger.accounts
for select to authenticated using (owner_id = app.current_user_id());
drop policy if exists accounts_select_service on ledger.accounts;
create policy accounts_select_service on ledger.accounts
for select to service_role using (true);
grant select on ledger.accounts to authenticated, service_role;

drop policy if exists transfers_select_owner on ledger.transfers;
create policy transfers_select_owner on ledger.transfers
for select to authenticated using (
    coalesce((select app.current_user_id()) = any (array[book_id, credit_owner_id, debit_owner_id]), false)
);
drop policy if exists transfers_select_service on ledger.transfers;
create policy transfers_select_service on ledger.transfers
for select to service_role using (true);
grant select on ledger.transfers to authenticated, service_role;

drop policy if exists lots_select_owner on ledger.lots;
create policy lots_select_owner on ledger.lots
for select to authenticated using (book_id = app.current_user_id());
drop policy if exists lots_select_service on ledger.lots;
create policy lots_select_service on ledger.lots
for select to service_role using (true);
grant select on ledger.lots to authenticated, service_role;

drop policy if exists seals_select_service on ledger.seals;
create policy seals_select_service on ledger.seals
for select to service_role using (true);
grant select on ledger.seals to service_role;
