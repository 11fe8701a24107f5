-- stripe: what Stripe told us, what we ask of Stripe, and Stripe's own statement.
-- depends: 0006.ledger

set local role app_owner;

create type app.stripe_outcome as (state text, waits_for text);
comment on type app.stripe_outcome is 'What became of an object of Stripe: applied, ignored, or parked until `waits_for` is there.';

create table app.stripe_customers (
    user_id uuid not null references app.profiles (id) on delete restrict,
    is_live boolean not null,
    stripe_customer_id text not null unique,
    created_at timestamptz not null default now(),
    primary key (user_id, is_live)
);
comment on table app.stripe_customers is 'Each person''s customer at Stripe, in live mode and in test mode.';

create table app.stripe_events (
    id text primary key check (length(id) between 1 and 255),
    type text not null,
    endpoint text not null check (endpoint in ('platform', 'connect')),
    account text,
    api_version text,
    is_live boolean not null,
    object_id text,
    object_type text,
    payload jsonb not null,
    state text not null check (state in ('received', 'applied', 'parked', 'ignored', 'failed')),
    waits_for text,
    error text,
    attempts integer not null default 0,
    created_at timestamptz not null,
    received_at timestamptz not null default now(),
    handled_at timestamptz,
    check ((state = 'parked') = (waits_for is not null))
);
comment on table app.stripe_events is 'The inbox: every event of Stripe, once, and what became of it.';
comment on column app.stripe_events.waits_for is 'Parked events: the id of what has to come first.';
create index stripe_events_waiting on app.stripe_events (waits_for) where state = 'parked';
create index stripe_events_trouble on app.stripe_events (state, received_at) where state in ('parked', 'failed');
create index stripe_events_received on app.stripe_events (received_at);
create index stripe_events_object on app.stripe_events (object_id);

create table app.stripe_requests (
    id uuid primary key default app.new_id(),
    user_id uuid references app.profiles (id) on delete restrict,
    kind text not null check (kind in ('customer', 'payment_intent', 'checkout_session', 'refund')),
    subject_id uuid not null,
    parameters jsonb not null,
    idempotency_key text not null unique,
    is_live boolean not null,
    state text not null default 'pending' check (state in ('pending', 'succeeded', 'failed')),
    stripe_id text,
    error_code text,
    error_message text,
    attempts integer not null default 0 check (attempts >= 0),
    next_attempt_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    answered_at timestamptz
);
comment on table app.stripe_requests is 'The outbox: what we ask of Stripe, committed with its exact parameters before the call leaves.';
comment on column app.stripe_requests.subject_id is 'What it is for: the person, the payment or the refund.';
create index stripe_requests_user_id on app.stripe_requests (user_id);
create index stripe_requests_subject on app.stripe_requests (subject_id, kind);
create index stripe_requests_due on app.stripe_requests (next_attempt_at) where state = 'pending';

create table app.stripe_balance_transactions (
    id text primary key,
    type text not null,
    reporting_category text,
    amount_cents bigint not null,
    fee_cents bigint not null,
    net_cents bigint not null,
    currency text not null,
    source_id text,
    transaction_id uuid,
    created_at timestamptz not null,
    available_at timestamptz,
    imported_at timestamptz not null default now()
);
comment on table app.stripe_balance_transactions is 'Stripe''s own statement, line by line. Append only.';
comment on column app.stripe_balance_transactions.transaction_id is 'The movements that this line itself caused: fees, and what went to the bank.';
create index stripe_balance_transactions_source on app.stripe_balance_transactions (source_id);

create table app.stripe_line_notes (
    line_id text primary key references app.stripe_balance_transactions (id) on delete restrict,
    reason text not null check (length(reason) between 1 and 500),
    transaction_id uuid,
    created_at timestamptz not null default now()
);
comment on table app.stripe_line_notes is 'Lines of Stripe''s statement that the ledger knows nothing of, and what an operator says of them. Append only.';
comment on column app.stripe_line_notes.transaction_id is 'The movement that put it into the books; null for another currency.';

create table app.stripe_cursors (
    name text primary key check (name in ('events', 'balance_transactions')),
    moved_to timestamptz not null default 'epoch'
);
comment on table app.stripe_cursors is 'How far Stripe''s lists were read.';

alter table app.stripe_customers enable row level security;
alter table app.stripe_events enable row level security;
alter table app.stripe_requests enable row level security;
alter table app.stripe_balance_transactions enable row level security;
alter table app.stripe_line_notes enable row level security;
alter table app.stripe_cursors enable row level security;

insert into app.stripe_cursors (name) values ('events'), ('balance_transactions');

-- The edge logs in as this role and may call what is granted to it, nothing else.
grant usage on schema app to edge;

reset role;
