-- people: taking everything along, and being forgotten while the money records stay.
-- depends: 0017.cache

set local role app_owner;

alter table app.profiles add column erased_at timestamptz;
comment on column app.profiles.erased_at is 'When the person had themselves erased; nobody is behind this profile any more.';

-- squawk-ignore ban-drop-constraint
alter table app.stripe_requests drop constraint stripe_requests_kind_check;
-- squawk-ignore constraint-missing-not-valid
alter table app.stripe_requests add constraint stripe_requests_kind_check
check (kind in (
    'customer', 'payment_intent', 'checkout_session', 'refund', 'account', 'transfer', 'subscription_checkout',
    'customer_deletion'));

-- What Stripe said of somebody is found by who it was about.
-- squawk-ignore require-concurrent-index-creation
create index stripe_events_customer on app.stripe_events ((payload #>> '{data,object,customer}'));
-- squawk-ignore require-concurrent-index-creation
create index stripe_events_account on app.stripe_events (account) where account is not null;

-- The log says who it was, not how to reach them; what it had noted before is taken out.
alter table app.audit_log disable trigger user;
update app.audit_log set claims = claims - array['email', 'phone', 'user_metadata']
where claims ?| array['email', 'phone', 'user_metadata'];
alter table app.audit_log enable trigger user;

update app.rate_limits
set functions = functions || '{erase_me}'
where class = 'money';

-- The profile has more columns now; the code of this release brings it back.
-- squawk-ignore ban-drop-view
drop view if exists api.profiles;

reset role;
