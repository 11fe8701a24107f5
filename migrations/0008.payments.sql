-- payments: money for credits, refunds, disputes, receipts.
-- depends: 0007.stripe

set local role app_owner;

create table app.payments (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    package_id uuid not null references app.credit_packages (id) on delete restrict,
    package_name text not null,
    method text not null check (method in ('intent', 'checkout')),
    stripe_customer_id text not null,
    stripe_payment_intent_id text unique,
    stripe_checkout_session_id text unique,
    stripe_charge_id text unique,
    amount_cents bigint not null check (amount_cents > 0),
    currency text not null check (currency ~ '^[a-z]{3}$'),
    credits_purchased bigint not null check (credits_purchased > 0),
    bonus_credits bigint not null check (bonus_credits >= 0),
    status text not null default 'pending'
    check (status in ('pending', 'processing', 'failed', 'canceled', 'succeeded')),
    payment_method text,
    failure_code text,
    failure_reason text,
    is_live boolean not null,
    transaction_id uuid unique,
    receipt_year integer,
    receipt_serial bigint,
    receipt_seller jsonb,
    processed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint payments_receipt unique (receipt_year, receipt_serial),
    check ((status = 'succeeded') = (transaction_id is not null)),
    check ((status = 'succeeded') = (receipt_serial is not null)),
    check ((status = 'succeeded') = (receipt_seller is not null))
);
comment on table app.payments is 'Money for credits (seed 000, Step 1). Price and credits are those of the package when the payment was begun.';
comment on column app.payments.amount_cents is 'In the smallest unit of `currency`.';
comment on column app.payments.receipt_seller is 'app.seller as it was: a receipt does not change any more.';
comment on column app.payments.transaction_id is 'The movements that brought the credits.';
create index payments_user_id on app.payments (user_id, id);
create index payments_package_id on app.payments (package_id);
create index payments_created on app.payments (created_at);

create table app.refunds (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    payment_id uuid not null references app.payments (id) on delete restrict,
    stripe_refund_id text unique,
    amount_cents bigint not null check (amount_cents > 0),
    currency text not null check (currency ~ '^[a-z]{3}$'),
    status text not null check (status in ('pending', 'succeeded', 'failed')),
    reason text,
    failure_reason text,
    credits bigint not null default 0 check (credits >= 0),
    transaction_id uuid unique,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table app.refunds is 'Money that goes back to its payer.';
comment on column app.refunds.credits is 'Credits that are taken back for it.';
comment on column app.refunds.transaction_id is 'The movement of the money, once Stripe has paid it.';
create index refunds_payment_id on app.refunds (payment_id);
create index refunds_user_id on app.refunds (user_id, id);

create table app.disputes (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    payment_id uuid not null references app.payments (id) on delete restrict,
    stripe_dispute_id text not null unique,
    amount_cents bigint not null check (amount_cents > 0),
    currency text not null check (currency ~ '^[a-z]{3}$'),
    status text not null check (status in ('inquiry', 'closed', 'open', 'lost', 'won')),
    reason text,
    fee_cents bigint not null default 0,
    credits bigint not null default 0 check (credits >= 0),
    transaction_id uuid unique,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    settled_at timestamptz
);
comment on table app.disputes is 'Payments that the payer''s bank calls into question.';
comment on column app.disputes.fee_cents is 'What Stripe charges for it; posted when Stripe''s statement has it.';
comment on column app.disputes.status is 'inquiry: a question, no money moved. closed: the question ended. open: the money is withheld. lost, won: decided.';
create index disputes_payment_id on app.disputes (payment_id);
create index disputes_user_id on app.disputes (user_id, id);

create table app.receipt_serials (
    year integer primary key,
    last_serial bigint not null check (last_serial > 0)
);
comment on table app.receipt_serials is 'The last receipt number given out in each year.';

create table app.seller (
    is_only_row boolean primary key default true check (is_only_row),
    name text not null default 'Infinite Pages' check (length(name) between 1 and 200),
    address text not null default '' check (length(address) <= 1000),
    tax_id text not null default '' check (length(tax_id) <= 100),
    email text not null default '' check (length(email) <= 200),
    website text not null default '' check (length(website) <= 200),
    note text not null default '' check (length(note) <= 1000),
    receipt_prefix text not null default 'R' check (receipt_prefix ~ '^[A-Z0-9]{1,8}$'),
    updated_at timestamptz not null default now()
);
comment on table app.seller is 'Who sells: printed on receipts.';

alter table app.payments enable row level security;
alter table app.refunds enable row level security;
alter table app.disputes enable row level security;
alter table app.receipt_serials enable row level security;
alter table app.seller enable row level security;

insert into app.seller default values;
-- Starting a payment makes a call to Stripe: fewer of them than of other calls.
insert into app.rate_limits (class, capacity, per_minute, functions) values
('payment', 10, 10, '{}'),
('payment_address', 30, 30, '{}');

-- A media type that PostgREST hands out as it is: Accept: text/html.
create domain api."text/html" as text;
comment on domain api."text/html" is 'A page for people, for callers who accept text/html.';

reset role;
