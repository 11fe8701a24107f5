-- The public contract of base: who am I, and the policy numbers.

create or replace function api.before_request()
returns void
language sql volatile
set search_path = ''
begin atomic
    select app.before_request();
end;
comment on function api.before_request() is $$Called before every request

PostgREST calls this by itself (db-pre-request). It counts calls that write; what is refused changes nothing, its count included. Errors: 429 rate_limited with Retry-After.$$;
grant execute on function api.before_request() to anon, authenticated, service_role;

create or replace view api.economy with (security_invoker = true) as
select
    e.credit_value_microdollars,
    e.earnings_mode,
    e.story_creator_basis_points,
    e.earnings_hold_days,
    e.refund_grace_days,
    e.expiring_soon_days,
    e.business_time_zone,
    e.updated_at,
    e.minimum_payout_cents,
    e.payout_day
from app.economy as e;
comment on view api.economy is $$The policy numbers

One row. Prices and shares that apply from now on; what a past sale used is stored with the sale.$$;
comment on column api.economy.credit_value_microdollars is 'What a creator is paid for one credit before the share, in micro-dollars.';
comment on column api.economy.earnings_mode is 'fixed, or cash_value: an earning is then at most what was paid for the credits.';
comment on column api.economy.story_creator_basis_points is 'Creators'' part of a story sale, in basis points.';
comment on column api.economy.earnings_hold_days is 'Days before a new earning can be paid out.';
comment on column api.economy.refund_grace_days is 'Days for which credits that come back after their expiry can still be spent.';
comment on column api.economy.expiring_soon_days is 'How far ahead credit_balance() warns of expiring credits, in days.';
comment on column api.economy.business_time_zone is 'The time zone in which months begin and end.';
comment on column api.economy.updated_at is 'When a number last changed.';
comment on column api.economy.minimum_payout_cents is 'Less than this is not paid out, in cents.';
comment on column api.economy.payout_day is 'The day of the month on which the month before is paid.';
grant select on api.economy to anon, authenticated, service_role;

create or replace view api.creators with (security_invoker = true) as
select
    p.id,
    p.handle,
    p.display_name,
    p.bio,
    p.avatar_url,
    p.creator_tier,
    p.created_at
from app.profiles as p
where p.is_creator;
comment on view api.creators is $$Everybody who has published

What is public of a creator.$$;
comment on column api.creators.id is 'The creator''s id.';
comment on column api.creators.handle is 'Unique short name.';
comment on column api.creators.display_name is 'Name to show.';
comment on column api.creators.bio is 'About the creator.';
comment on column api.creators.avatar_url is 'Picture.';
comment on column api.creators.creator_tier is 'bronze, silver, gold or platinum.';
comment on column api.creators.created_at is 'When the profile was made.';
grant select on api.creators to anon, authenticated, service_role;

create or replace view api.audit_log with (security_invoker = true) as
select a.id, a.actor_id, a.actor_role, a.claims, a.action, a.subject, a.details, a.created_at
from app.audit_log as a;
comment on view api.audit_log is $$Who did what, under which claim

For the service role only. Newest last by id.$$;
comment on column api.audit_log.id is 'Time-ordered id.';
comment on column api.audit_log.actor_id is 'Who did it; null from the command line.';
comment on column api.audit_log.actor_role is 'The role of the claim, or the database login.';
comment on column api.audit_log.claims is 'The claims of the token.';
comment on column api.audit_log.action is 'What was done.';
comment on column api.audit_log.subject is 'To whom or what.';
comment on column api.audit_log.details is 'Arguments and figures.';
comment on column api.audit_log.created_at is 'When.';
grant select on api.audit_log to service_role;
