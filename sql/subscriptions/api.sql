-- The public contract of subscriptions.

create or replace view api.subscription_plans with (security_invoker = true) as
select
    p.id, p.slug, p.family, p.tier, p.rank, p.name, p.description, p.price_cents, p.currency, p.billing_interval,
    p.credits_per_period, p.trial_days, p.sort_order,
    coalesce((
        select jsonb_object_agg(f.feature, jsonb_build_object('limit', f.monthly_limit, 'description', f.description))
        from app.plan_features as f
        where f.plan_id = p.id), '{}') as features
from app.subscription_plans as p
where p.is_active;
comment on view api.subscription_plans is $$What can be subscribed to

Order by `sort_order`. Subscribe by POST /subscriptions/checkout at the edge.$$;
comment on column api.subscription_plans.id is 'The plan.';
comment on column api.subscription_plans.slug is 'Its short name, by which it is asked for.';
comment on column api.subscription_plans.family is 'What belongs together: pages, liberation, flow. One plan of each can be had.';
comment on column api.subscription_plans.tier is 'free, basic or premium.';
comment on column api.subscription_plans.rank is 'Within the family: the higher gives more.';
comment on column api.subscription_plans.name is 'Its name.';
comment on column api.subscription_plans.description is 'In words.';
comment on column api.subscription_plans.price_cents is 'Cents for a period.';
comment on column api.subscription_plans.currency is 'ISO code in lower case.';
comment on column api.subscription_plans.billing_interval is 'month or year.';
comment on column api.subscription_plans.credits_per_period is 'Credits with each paid period; they lapse with it.';
comment on column api.subscription_plans.trial_days is 'Days that cost nothing, for who never had a plan of the family.';
comment on column api.subscription_plans.sort_order is 'Place in the list.';
comment on column api.subscription_plans.features is 'What it gives: each feature with its `limit` a month (null: none) and a description.';
grant select on api.subscription_plans to anon, authenticated, service_role;
create or replace trigger tg_subscription_plans__read_only
instead of insert or update or delete on api.subscription_plans
for each row execute function app.refuse_change();

create or replace view api.subscriptions with (security_invoker = true) as
select
    s.id, s.user_id, p.slug as plan, p.family, p.name, s.status, app.is_entitled(s.status) as is_entitled,
    s.current_period_start, s.current_period_end, s.trial_end, s.cancel_at_period_end, s.canceled_at, s.ended_at,
    s.created_at, s.updated_at
from app.subscriptions as s
inner join app.subscription_plans as p on p.id = s.plan_id;
comment on view api.subscriptions is $$The caller's subscriptions

Those that ended too. Change them by POST /subscriptions/portal at the edge. What was paid for them is in payments and billing_history.$$;
comment on column api.subscriptions.id is 'Time-ordered id.';
comment on column api.subscriptions.user_id is 'The caller.';
comment on column api.subscriptions.plan is 'The plan''s short name.';
comment on column api.subscriptions.family is 'What the plan belongs to.';
comment on column api.subscriptions.name is 'The plan''s name.';
comment on column api.subscriptions.status is 'trialing, active, past_due (a payment is late), unpaid, paused, canceled, incomplete or incomplete_expired.';
comment on column api.subscriptions.is_entitled is 'It gives what the plan promises now.';
comment on column api.subscriptions.current_period_start is 'What is paid begins here.';
comment on column api.subscriptions.current_period_end is 'What is paid ends here.';
comment on column api.subscriptions.trial_end is 'When the free days end, or ended.';
comment on column api.subscriptions.cancel_at_period_end is 'It ends with the period.';
comment on column api.subscriptions.canceled_at is 'When it was canceled.';
comment on column api.subscriptions.ended_at is 'When it ended.';
comment on column api.subscriptions.created_at is 'When it was first heard of.';
comment on column api.subscriptions.updated_at is 'When it last changed.';
grant select on api.subscriptions to authenticated, service_role;
create or replace trigger tg_subscriptions__read_only
instead of insert or update or delete on api.subscriptions
for each row execute function app.refuse_change();

create or replace view api.subscription_usage with (security_invoker = true) as
select
    encode(substring(sha256(convert_to(m.user_id::text || extract(epoch from m.period_start)::text, 'utf8')) for 16), 'hex')::uuid as id,
    m.user_id, m.subscription_tier, f.credits as credits_used_this_month, f.stories as stories_read_this_month,
    f.downloads as downloads_this_month, m.period_start, m.period_end, m.period_start as created_at, now() as updated_at
from app.usage_months() as m
cross join lateral app.usage_figures(m.user_id, m.period_start, m.period_end) as f;
comment on view api.subscription_usage is $$What the caller used, month by month

The present month and up to eleven before it. What is left of each feature is in my_plan().$$;
comment on column api.subscription_usage.id is 'The same for the same month.';
comment on column api.subscription_usage.user_id is 'The caller.';
comment on column api.subscription_usage.subscription_tier is 'Their tier now.';
comment on column api.subscription_usage.credits_used_this_month is 'Credits spent, less what came back.';
comment on column api.subscription_usage.stories_read_this_month is 'Stories last read in this month.';
comment on column api.subscription_usage.downloads_this_month is 'Downloads.';
comment on column api.subscription_usage.period_start is 'When the month began.';
comment on column api.subscription_usage.period_end is 'When it ends.';
comment on column api.subscription_usage.created_at is 'The same as period_start.';
comment on column api.subscription_usage.updated_at is 'Now: it is counted when it is asked for.';
grant select on api.subscription_usage to authenticated;
create or replace trigger tg_subscription_usage__read_only
instead of insert or update or delete on api.subscription_usage
for each row execute function app.refuse_change();

create or replace function api.my_plan()
returns table (
    family text, plan text, name text, tier text, status text, price_cents bigint, currency text,
    billing_interval text, credits_per_period bigint, current_period_start timestamptz, current_period_end timestamptz,
    trial_end timestamptz, cancel_at_period_end boolean, features jsonb)
language sql stable
set search_path = ''
begin atomic
    select
        m.family, m.plan, m.name, m.tier, m.status, m.price_cents, m.currency, m.billing_interval,
        m.credits_per_period, m.current_period_start, m.current_period_end, m.trial_end, m.cancel_at_period_end, m.features
    from app.my_plan() as m;
end;
comment on function api.my_plan() is $$Your plan, and what is left of it

One row for each family of plans (`?family=eq.pages`); without a subscription the free one. `features` has for each its `limit` a month (null: none), `used`, `remaining` and `resets_at`. Errors: 401 login_required.$$;
grant execute on function api.my_plan() to authenticated;

create or replace function api.has_feature(feature text)
returns boolean
language sql stable
set search_path = ''
begin atomic
    select app.caller_has_feature(feature);
end;
comment on function api.has_feature(text) is $$Whether your plans include a feature

Used up or not; my_plan() says what is left. Errors: 401 login_required.$$;
grant execute on function api.has_feature(text) to authenticated;

create or replace function api.use_feature(
    user_id uuid, feature text, uses bigint default 1,
    out used bigint, out monthly_limit bigint, out remaining bigint, out resets_at timestamptz)
returns record
language sql volatile
set search_path = ''
begin atomic
    select u.used, u.monthly_limit, u.remaining, u.resets_at
    from app.use_feature_for(user_id, feature, uses) as u;
end;
comment on function api.use_feature(uuid, text, bigint) is $$Count a person's use of a feature, or refuse it

For the service role only: for what your own backend does. `uses` at once, all or none. `remaining` is null where there is no limit. Errors: 400 invalid_uses, 400 user_required, 403 plan_required, 429 limit_reached with the time at which it starts again.$$;
grant execute on function api.use_feature(uuid, text, bigint) to service_role;
