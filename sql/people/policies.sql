-- Operators read what a creator's account at Stripe is called, and creators their own.

drop policy if exists payout_accounts_select_owner on app.payout_accounts;
create policy payout_accounts_select_owner on app.payout_accounts
for select to authenticated using (user_id = (select app.current_user_id()));
grant select (user_id, is_live, stripe_account_id) on app.payout_accounts to authenticated;
