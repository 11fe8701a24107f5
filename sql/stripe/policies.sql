-- For operators only; everybody else sees payments, not what Stripe said.

drop policy if exists stripe_events_select_service on app.stripe_events;
create policy stripe_events_select_service on app.stripe_events
for select to service_role using (true);
grant select on app.stripe_events to service_role;

drop policy if exists stripe_requests_select_service on app.stripe_requests;
create policy stripe_requests_select_service on app.stripe_requests
for select to service_role using (true);
grant select on app.stripe_requests to service_role;

drop policy if exists stripe_balance_transactions_select_service on app.stripe_balance_transactions;
create policy stripe_balance_transactions_select_service on app.stripe_balance_transactions
for select to service_role using (true);
grant select on app.stripe_balance_transactions to service_role;
