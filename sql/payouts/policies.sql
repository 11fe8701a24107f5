-- Creators see their own payouts; operators see all.

drop policy if exists payouts_select_creator on app.payouts;
create policy payouts_select_creator on app.payouts
for select to authenticated using (creator_id = (select app.current_user_id()));
drop policy if exists payouts_select_service on app.payouts;
create policy payouts_select_service on app.payouts
for select to service_role using (true);
grant select on app.payouts to authenticated, service_role;

drop policy if exists payout_reversals_select_creator on app.payout_reversals;
create policy payout_reversals_select_creator on app.payout_reversals
for select to authenticated using (creator_id = (select app.current_user_id()));
drop policy if exists payout_reversals_select_service on app.payout_reversals;
create policy payout_reversals_select_service on app.payout_reversals
for select to service_role using (true);
grant select on app.payout_reversals to authenticated, service_role;

drop policy if exists payout_skips_select_creator on app.payout_skips;
create policy payout_skips_select_creator on app.payout_skips
for select to authenticated using (creator_id = (select app.current_user_id()));
drop policy if exists payout_skips_select_service on app.payout_skips;
create policy payout_skips_select_service on app.payout_skips
for select to service_role using (true);
grant select on app.payout_skips to authenticated, service_role;

-- When a batch ran is no secret; how much it paid is not shown to creators.
drop policy if exists monthly_payout_batches_select_creator on app.monthly_payout_batches;
create policy monthly_payout_batches_select_creator on app.monthly_payout_batches
for select to authenticated using (true);
drop policy if exists monthly_payout_batches_select_service on app.monthly_payout_batches;
create policy monthly_payout_batches_select_service on app.monthly_payout_batches
for select to service_role using (true);
grant select (id, month, currency) on app.monthly_payout_batches to authenticated;
grant select on app.monthly_payout_batches to service_role;

drop policy if exists payout_accounts_select_service on app.payout_accounts;
create policy payout_accounts_select_service on app.payout_accounts
for select to service_role using (true);
grant select on app.payout_accounts to service_role;

drop policy if exists payout_settings_select_service on app.payout_settings;
create policy payout_settings_select_service on app.payout_settings
for select to service_role using (true);
grant select on app.payout_settings to service_role;

-- No money record vanishes.
create or replace trigger tg_payouts__no_delete
before delete on app.payouts
for each row execute function app.refuse_change();
create or replace trigger tg_payouts__no_truncate
before truncate on app.payouts
for each statement execute function app.refuse_change();
create or replace trigger tg_monthly_payout_batches__no_delete
before delete on app.monthly_payout_batches
for each row execute function app.refuse_change();
create or replace trigger tg_monthly_payout_batches__no_truncate
before truncate on app.monthly_payout_batches
for each statement execute function app.refuse_change();
create or replace trigger tg_payout_reversals__append_only
before update or delete on app.payout_reversals
for each row execute function app.refuse_change();
create or replace trigger tg_payout_reversals__no_truncate
before truncate on app.payout_reversals
for each statement execute function app.refuse_change();
create or replace trigger tg_payout_skips__append_only
before update or delete on app.payout_skips
for each row execute function app.refuse_change();
create or replace trigger tg_payout_skips__no_truncate
before truncate on app.payout_skips
for each statement execute function app.refuse_change();
