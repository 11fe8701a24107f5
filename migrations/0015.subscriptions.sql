-- subscriptions: plans and what they give, who has one, and what was used of it.
-- depends: 0014.reading

set local role app_owner;

create table app.subscription_plans (
    id uuid primary key default app.new_id(),
    slug text not null unique check (slug ~ '^[a-z][a-z0-9_]{1,40}$'),
    family text not null check (family ~ '^[a-z][a-z0-9_]{1,40}$'),
    tier text not null check (tier in ('free', 'basic', 'premium')),
    rank integer not null check (rank >= 0),
    name text not null check (length(name) between 1 and 100),
    description text not null default '' check (length(description) <= 1000),
    price_cents bigint not null check (price_cents between 0 and 100000000),
    currency text not null default 'usd' check (currency ~ '^[a-z]{3}$'),
    billing_interval text not null default 'month' check (billing_interval in ('month', 'year')),
    credits_per_period bigint not null default 0 check (credits_per_period between 0 and 1000000),
    trial_days integer not null default 0 check (trial_days between 0 and 730),
    stripe_price_id text unique check (stripe_price_id ~ '^[A-Za-z0-9_]{1,255}$'),
    is_active boolean not null default true,
    sort_order integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check ((price_cents = 0) = (tier = 'free')),
    check (price_cents > 0 or (credits_per_period = 0 and trial_days = 0 and stripe_price_id is null))
);
comment on table app.subscription_plans is 'What can be subscribed to. A family is what belongs together: one is changed for another in it (seeds 000, 001, 003).';
comment on column app.subscription_plans.rank is 'Within the family: the higher gives more. The free plan, with rank 0, is everybody''s.';
comment on column app.subscription_plans.price_cents is 'For a period, in the smallest unit of `currency`.';
comment on column app.subscription_plans.credits_per_period is 'Credits with each paid period; what is not spent lapses with it.';
comment on column app.subscription_plans.stripe_price_id is 'The price at Stripe. Null: made when somebody subscribes; customers can then not change to it by themselves.';
create unique index subscription_plans_free on app.subscription_plans (family) where tier = 'free';

create table app.plan_features (
    plan_id uuid not null references app.subscription_plans (id) on delete restrict,
    feature text not null check (feature ~ '^[a-z][a-z0-9_]{1,60}$'),
    monthly_limit bigint check (monthly_limit >= 0),
    description text not null default '' check (length(description) <= 500),
    primary key (plan_id, feature)
);
comment on table app.plan_features is 'What a plan gives, and how often in a month. No row: not at all.';
comment on column app.plan_features.monthly_limit is 'Null: as often as they like.';

create table app.subscriptions (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    plan_id uuid not null references app.subscription_plans (id) on delete restrict,
    stripe_subscription_id text not null unique,
    stripe_customer_id text not null,
    stripe_price_id text,
    is_live boolean not null,
    status text not null check (status in (
        'incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'unpaid', 'canceled', 'paused')),
    current_period_start timestamptz,
    current_period_end timestamptz,
    trial_end timestamptz,
    cancel_at_period_end boolean not null default false,
    canceled_at timestamptz,
    ended_at timestamptz,
    told_at timestamptz not null,
    news_at timestamptz,
    read_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table app.subscriptions is 'Subscriptions as Stripe last described them.';
comment on column app.subscriptions.stripe_price_id is 'The price that is paid: while it stays the same, so does the plan.';
comment on column app.subscriptions.told_at is 'When that was so: older news change nothing.';
comment on column app.subscriptions.news_at is 'When something came of which the order is not sure: then it is read from Stripe again.';
create index subscriptions_user_id on app.subscriptions (user_id, id);
create index subscriptions_plan_id on app.subscriptions (plan_id);
create index subscriptions_news on app.subscriptions (news_at) where news_at is not null;
create index subscriptions_open on app.subscriptions (read_at)
where status in ('trialing', 'active', 'past_due', 'paused', 'unpaid', 'incomplete');

create table app.subscription_checkouts (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    plan_id uuid not null references app.subscription_plans (id) on delete restrict,
    stripe_customer_id text not null,
    stripe_checkout_session_id text unique,
    stripe_subscription_id text,
    state text not null default 'pending' check (state in ('pending', 'complete', 'expired', 'failed')),
    is_live boolean not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table app.subscription_checkouts is 'Subscriptions that somebody began to take out.';
create index subscription_checkouts_user_id on app.subscription_checkouts (user_id, id);
create index subscription_checkouts_plan_id on app.subscription_checkouts (plan_id);

create table app.feature_usage (
    user_id uuid not null references app.profiles (id) on delete restrict,
    feature text not null,
    period_start timestamptz not null,
    period_end timestamptz not null check (period_end > period_start),
    used bigint not null check (used >= 0),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (user_id, feature, period_start)
) with (fillfactor = 80);
comment on table app.feature_usage is 'How often somebody used what their plan gives so many times a month.';

create table app.invoice_allowances (
    id uuid primary key default app.new_id(),
    stripe_invoice_id text not null unique,
    subscription_id uuid not null references app.subscriptions (id) on delete restrict,
    user_id uuid not null references app.profiles (id) on delete restrict,
    credits bigint not null,
    granted bigint not null check (granted >= 0),
    transaction_id uuid,
    created_at timestamptz not null default now(),
    check (granted <= greatest(credits, 0)),
    check (transaction_id is null or granted > 0)
);
comment on table app.invoice_allowances is 'What each paid invoice brought, whether it was paid by card or out of the customer''s balance at Stripe. Append only.';
comment on column app.invoice_allowances.credits is 'What its lines come to. Below zero: more was given back for a plan that was left than the new one costs.';
comment on column app.invoice_allowances.granted is 'What the wallet got: less what earlier invoices gave money back for.';
comment on column app.invoice_allowances.transaction_id is 'The movement, where no payment has it.';
create index invoice_allowances_subscription_id on app.invoice_allowances (subscription_id, id);
create index invoice_allowances_user_id on app.invoice_allowances (user_id, id);

alter table app.subscription_plans enable row level security;
alter table app.plan_features enable row level security;
alter table app.subscriptions enable row level security;
alter table app.subscription_checkouts enable row level security;
alter table app.feature_usage enable row level security;
alter table app.invoice_allowances enable row level security;

-- A paid invoice of a subscription is a payment like any other.
alter table app.payments
-- squawk-ignore ban-drop-not-null
alter column package_id drop not null,
-- squawk-ignore adding-foreign-key-constraint
add column subscription_id uuid references app.subscriptions (id) on delete restrict,
-- squawk-ignore disallowed-unique-constraint
add column stripe_invoice_id text unique,
add column credits_expire_at timestamptz;
-- squawk-ignore ban-drop-constraint
alter table app.payments drop constraint payments_method_check;
-- squawk-ignore constraint-missing-not-valid
alter table app.payments add constraint payments_method_check check (method in ('intent', 'checkout', 'subscription'));
-- squawk-ignore ban-drop-constraint
alter table app.payments drop constraint payments_credits_purchased_check;
-- squawk-ignore constraint-missing-not-valid
alter table app.payments add constraint payments_credits_purchased_check
check (credits_purchased > 0 or (method = 'subscription' and credits_purchased = 0 and bonus_credits = 0));
-- squawk-ignore constraint-missing-not-valid
alter table app.payments add constraint payments_subscription check (
    (method = 'subscription') = (subscription_id is not null)
    and (method = 'subscription') = (stripe_invoice_id is not null)
    and (method = 'subscription') = (package_id is null)
);
comment on column app.payments.package_name is 'The package, or the plan, as it was called then.';
comment on column app.payments.credits_expire_at is 'When credits lapse that come with a period of a subscription.';
-- squawk-ignore require-concurrent-index-creation
create index payments_subscription_id on app.payments (subscription_id);

-- squawk-ignore ban-drop-constraint
alter table app.stripe_requests drop constraint stripe_requests_kind_check;
-- squawk-ignore constraint-missing-not-valid
alter table app.stripe_requests add constraint stripe_requests_kind_check
check (kind in ('customer', 'payment_intent', 'checkout_session', 'refund', 'account', 'transfer', 'subscription_checkout'));

insert into app.subscription_plans (
    slug, family, tier, rank, name, description, price_cents, credits_per_period, sort_order
) values
('free', 'pages', 'free', 0, 'Free', 'Read what is free, buy what you like.', 0, 0, 1),
('basic', 'pages', 'basic', 1, 'Basic', 'Credits every month.', 499, 100, 2),
('premium', 'pages', 'premium', 2, 'Premium', 'More credits every month, and downloads.', 1499, 300, 3),
('liberation_free', 'liberation', 'free', 0, 'Free', 'Look around and learn.', 0, 0, 11),
('pro', 'liberation', 'basic', 1, 'Pro', 'All courses and tools for one person.', 999, 0, 12),
('enterprise', 'liberation', 'premium', 2, 'Enterprise', 'For organizations, with licenses and support.', 9900, 0, 13),
('flow_free', 'flow', 'free', 0, 'Free', 'See what there is.', 0, 0, 21),
('flow', 'flow', 'premium', 1, 'Premium Access', 'Copy premium flows.', 1000, 0, 22);

insert into app.plan_features (plan_id, feature, monthly_limit, description)
select p.id, f.feature, f.monthly_limit, f.description
from (values
    ('free', 'reading', null::bigint, 'Read what is free or bought'),
    ('free', 'library', null, 'Keep a library with notes and progress'),
    ('basic', 'reading', null, 'Read what is free or bought'),
    ('basic', 'library', null, 'Keep a library with notes and progress'),
    ('premium', 'reading', null, 'Read what is free or bought'),
    ('premium', 'library', null, 'Keep a library with notes and progress'),
    ('premium', 'downloads', 5, 'Stories downloaded'),
    ('liberation_free', 'course_preview', null, 'First lesson of every course'),
    ('liberation_free', 'community', null, 'Read and write in the community'),
    ('liberation_free', 'reward_tokens', null, 'Earn and redeem reward tokens'),
    ('liberation_free', 'support_tickets', 1, 'Questions to support'),
    ('pro', 'course_preview', null, 'First lesson of every course'),
    ('pro', 'community', null, 'Read and write in the community'),
    ('pro', 'reward_tokens', null, 'Earn and redeem reward tokens'),
    ('pro', 'course_access', null, 'Take courses that were bought'),
    ('pro', 'certificates', null, 'Certificates for finished courses'),
    ('pro', 'course_upload', 10, 'Courses uploaded'),
    ('pro', 'ai_tutor', 200, 'Questions to the tutor'),
    ('pro', 'offline_lessons', 20, 'Lessons downloaded'),
    ('pro', 'support_tickets', 10, 'Questions to support'),
    ('pro', 'priority_support', null, 'Answers within a day'),
    ('enterprise', 'course_preview', null, 'First lesson of every course'),
    ('enterprise', 'community', null, 'Read and write in the community'),
    ('enterprise', 'reward_tokens', null, 'Earn and redeem reward tokens'),
    ('enterprise', 'course_access', null, 'Take courses that were bought'),
    ('enterprise', 'certificates', null, 'Certificates for finished courses'),
    ('enterprise', 'course_upload', null, 'Courses uploaded'),
    ('enterprise', 'ai_tutor', null, 'Questions to the tutor'),
    ('enterprise', 'offline_lessons', null, 'Lessons downloaded'),
    ('enterprise', 'support_tickets', null, 'Questions to support'),
    ('enterprise', 'priority_support', null, 'Answers within a day'),
    ('enterprise', 'licenses', null, 'Licenses with seats'),
    ('enterprise', 'white_label', null, 'Own name and colors'),
    ('enterprise', 'usage_reports', null, 'Who learns what'),
    ('enterprise', 'single_sign_on', null, 'Sign in with the organization''s accounts'),
    ('enterprise', 'api_access', 100000, 'Calls of the API'),
    ('flow_free', 'flow_preview', null, 'See what a flow does'),
    ('flow', 'flow_preview', null, 'See what a flow does'),
    ('flow', 'flow_copies', 100, 'Flows copied')
) as f (slug, feature, monthly_limit, description)
inner join app.subscription_plans as p on p.slug = f.slug;

insert into app.notice_templates (kind, subject, body, needs_action, is_mailed) values
(
    'subscription_payment_failed', 'Your payment of {amount} for {plan} did not go through',
    'We could not collect {amount} for {plan}. Please check your card, or pay with another one: {url}

Your subscription goes on for now. If it is not paid, it will end.', true, true
),
(
    'subscription_ended', '{plan} has ended',
    'Your subscription to {plan} has ended. What you bought stays yours. You can subscribe again at any time.', false, true
),
(
    'subscription_started', 'Welcome to {plan}',
    'Your subscription to {plan} has begun.', false, false
);

reset role;
