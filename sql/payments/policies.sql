-- A person sees their own payments; operators see all. The seller is printed on receipts.

drop policy if exists payments_select_payer on app.payments;
create policy payments_select_payer on app.payments
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists payments_select_service on app.payments;
create policy payments_select_service on app.payments
for select to service_role using (true);
grant select on app.payments to authenticated, service_role;

drop policy if exists refunds_select_payer on app.refunds;
create policy refunds_select_payer on app.refunds
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists refunds_select_service on app.refunds;
create policy refunds_select_service on app.refunds
for select to service_role using (true);
grant select on app.refunds to authenticated, service_role;

drop policy if exists disputes_select_payer on app.disputes;
create policy disputes_select_payer on app.disputes
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists disputes_select_service on app.disputes;
create policy disputes_select_service on app.disputes
for select to service_role using (true);
grant select on app.disputes to authenticated, service_role;

drop policy if exists seller_select_anyone on app.seller;
create policy seller_select_anyone on app.seller
for select to anon, authenticated, service_role using (true);
grant select on app.seller to anon, authenticated, service_role;

-- No money record vanishes.
create or replace trigger tg_payments__no_delete
before delete on app.payments
for each row execute function app.refuse_change();
create or replace trigger tg_payments__no_truncate
before truncate on app.payments
for each statement execute function app.refuse_change();
create or replace trigger tg_refunds__no_delete
before delete on app.refunds
for each row execute function app.refuse_change();
create or replace trigger tg_refunds__no_truncate
before truncate on app.refunds
for each statement execute function app.refuse_change();
create or replace trigger tg_disputes__no_delete
before delete on app.disputes
for each row execute function app.refuse_change();
create or replace trigger tg_disputes__no_truncate
before truncate on app.disputes
for each statement execute function app.refuse_change();
