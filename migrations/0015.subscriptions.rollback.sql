-- Money came in for them: without its subscription a payment, or a lot, would say nothing.
do $$
begin
    if exists (select from app.invoice_allowances)
        or exists (select from app.payments where subscription_id is not null)
    then
        raise exception 'There are payments of subscriptions: go back to a backup instead';
    end if;
end
$$;
alter table app.notice_templates disable trigger user;
delete from app.notice_templates
where kind in ('subscription_payment_failed', 'subscription_ended', 'subscription_started');
alter table app.notice_templates enable trigger user;
alter table app.stripe_requests disable trigger user;
delete from app.stripe_requests where kind = 'subscription_checkout';
alter table app.stripe_requests enable trigger user;
alter table app.stripe_requests drop constraint stripe_requests_kind_check;
alter table app.stripe_requests add constraint stripe_requests_kind_check
check (kind in ('customer', 'payment_intent', 'checkout_session', 'refund', 'account', 'transfer'));
alter table app.payments drop constraint payments_subscription;
alter table app.payments drop constraint payments_credits_purchased_check;
alter table app.payments add constraint payments_credits_purchased_check check (credits_purchased > 0);
alter table app.payments drop constraint payments_method_check;
alter table app.payments add constraint payments_method_check check (method in ('intent', 'checkout'));
alter table app.payments
alter column package_id set not null,
drop column subscription_id cascade,
drop column stripe_invoice_id cascade,
drop column credits_expire_at cascade;
drop table app.invoice_allowances cascade;
drop table app.feature_usage cascade;
drop table app.subscription_checkouts cascade;
drop table app.subscriptions cascade;
drop table app.plan_features cascade;
drop table app.subscription_plans cascade;
