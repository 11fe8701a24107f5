-- operations: what verify found, and figures that are too dear to be reckoned at each look.
-- depends: 0018.people

set local role app_owner;

create table app.verifications (
    id uuid primary key default app.new_id(),
    began_at timestamptz not null,
    ended_at timestamptz not null,
    violations bigint not null check (violations >= 0),
    found jsonb not null check (jsonb_typeof(found) = 'array'),
    check (ended_at >= began_at)
);
comment on table app.verifications is 'Each time that ledger.verify() was run by the worker or by a command, and what it found. Append only.';
comment on column app.verifications.violations is 'How many there were.';
comment on column app.verifications.found is 'The first hundred of them.';

create table app.noted_figures (
    name text primary key check (name in ('movements', 'solvency', 'subscriptions', 'month')),
    figures jsonb not null,
    noted_at timestamptz not null
);
comment on table app.noted_figures is 'Figures that read much: the worker notes them every five minutes, so that looking costs nothing.';

-- For api.payment_figures, which looks at the newest of both.
-- squawk-ignore require-concurrent-index-creation
create index refunds_created_at on app.refunds (created_at);
-- squawk-ignore require-concurrent-index-creation
create index disputes_created_at on app.disputes (created_at);

alter table app.verifications enable row level security;
alter table app.noted_figures enable row level security;

reset role;
