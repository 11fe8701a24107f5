-- Plans are for everybody to see; who has one, and what they used, is between them and us.

drop policy if exists subscription_plans_select_anyone on app.subscription_plans;
create policy subscription_plans_select_anyone on app.subscription_plans
for select to anon, authenticated using (is_active);
drop policy if exists subscription_plans_select_service on app.subscription_plans;
create policy subscription_plans_select_service on app.subscription_plans
for select to service_role using (true);
grant select on app.subscription_plans to anon, authenticated, service_role;

drop policy if exists plan_features_select_anyone on app.plan_features;
create policy plan_features_select_anyone on app.plan_features
for select to anon, authenticated using (
    exists (select from app.subscription_plans as p where p.id = plan_features.plan_id)
);
drop policy if exists plan_features_select_service on app.plan_features;
create policy plan_features_select_service on app.plan_features
for select to service_role using (true);
grant select on app.plan_features to anon, authenticated, service_role;

drop policy if exists subscriptions_select_owner on app.subscriptions;
create policy subscriptions_select_owner on app.subscriptions
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists subscriptions_select_service on app.subscriptions;
create policy subscriptions_select_service on app.subscriptions
for select to service_role using (true);
grant select on app.subscriptions to authenticated, service_role;

drop policy if exists subscription_checkouts_select_service on app.subscription_checkouts;
create policy subscription_checkouts_select_service on app.subscription_checkouts
for select to service_role using (true);
grant select on app.subscription_checkouts to service_role;

drop policy if exists feature_usage_select_owner on app.feature_usage;
create policy feature_usage_select_owner on app.feature_usage
for select to authenticated using (user_id = (select app.current_user_id()));
drop policy if exists feature_usage_select_service on app.feature_usage;
create policy feature_usage_select_service on app.feature_usage
for select to service_role using (true);
grant select on app.feature_usage to authenticated, service_role;

-- What was paid for does not vanish.
create or replace trigger tg_invoice_allowances__append_only
before update or delete on app.invoice_allowances
for each row execute function app.refuse_change();
create or replace trigger tg_invoice_allowances__no_truncate
before truncate on app.invoice_allowances
for each statement execute function app.refuse_change();
create or replace trigger tg_subscriptions__no_delete
before delete on app.subscriptions
for each row execute function app.refuse_change();
create or replace trigger tg_subscriptions__no_truncate
before truncate on app.subscriptions
for each statement execute function app.refuse_change();
