-- Who was erased cannot be told from others without the mark.
do $$
begin
    if exists (select from app.profiles where erased_at is not null) then
        raise exception 'People were erased: go back to a backup instead';
    end if;
end
$$;
update app.rate_limits
set functions = array_remove(functions, 'erase_me')
where class = 'money';
alter table app.stripe_requests disable trigger user;
delete from app.stripe_requests where kind = 'customer_deletion';
alter table app.stripe_requests enable trigger user;
alter table app.stripe_requests drop constraint stripe_requests_kind_check;
alter table app.stripe_requests add constraint stripe_requests_kind_check
check (kind in (
    'customer', 'payment_intent', 'checkout_session', 'refund', 'account', 'transfer', 'subscription_checkout'));
drop function if exists app.forget_late_stripe_event() cascade;
drop index app.stripe_events_account;
drop index app.stripe_events_customer;
alter table app.profiles drop column erased_at cascade;
drop view if exists api.profiles;
