-- ledger: accounts, transfers, lots, draws, requests, folds and seals.
-- depends: 0001.base

set local role app_owner;

-- Checks of single columns are domains where every sale passes: a domain's check is parsed once
-- a session, a table's once a statement.
create domain ledger.amount as bigint constraint amount_positive check (value > 0);
comment on domain ledger.amount is 'What moves: whole credits or tokens, or micro-dollars.';
create domain ledger.remainder as bigint constraint remainder_not_negative check (value >= 0);
comment on domain ledger.remainder is 'What is left, or gone, of something: never below zero.';
create domain ledger.transfer_kind as text constraint transfer_kind_known check (
    value in ('purchase', 'bonus', 'grant', 'allowance', 'spend', 'earning', 'refund', 'clawback', 'expiry')
);
comment on domain ledger.transfer_kind is 'Why something moved.';
create domain ledger.lot_source as text constraint lot_source_known check (
    value in ('purchase', 'bonus', 'grant', 'allowance', 'refund')
);
comment on domain ledger.lot_source is 'Where the credits of a lot came from.';

create table ledger.accounts (
    owner_id uuid not null,
    kind text not null,
    asset text not null,
    is_guarded boolean not null,
    balance bigint not null default 0,
    credited bigint not null default 0,
    created_at timestamptz not null default now(),
    primary key (owner_id, kind, asset),
    constraint accounts_never_below_zero check (not is_guarded or balance >= 0)
) with (fillfactor = 60);
comment on table ledger.accounts is 'An account is an owner, a kind and an asset. Guarded ones (wallets) keep their balance here with every movement; open ones (earnings, platform) keep the total folded so far, see ledger.balance().';
comment on column ledger.accounts.owner_id is 'A person, or the platform: 00000000-0000-0000-0000-000000000000.';

comment on column ledger.accounts.credited is 'Open accounts only: everything that came in so far, folded like the balance.';

-- Keys begin with the book: a person's history lies together, and the primary key is the statement.
-- Foreign keys are left out on purpose: their checks would share-lock rows that many payers use
-- (ledger.verify() proves what they would have).
create table ledger.transfers (
    book_id uuid not null,
    id uuid not null default app.new_id(),
    transaction_id uuid not null,
    position bigint not null default pg_current_xact_id()::text::bigint,
    debit_owner_id uuid not null,
    credit_owner_id uuid not null,
    amount ledger.amount not null,
    balance_after bigint,
    reference_id uuid,
    reverses_id uuid,
    credits bigint,
    credit_value bigint,
    created_at timestamptz not null default now(),
    creator_basis_points integer,
    split_basis_points integer,
    asset text not null,
    kind ledger.transfer_kind not null,
    debit_kind text not null,
    credit_kind text not null,
    reference_type text,
    primary key (book_id, id)
) partition by range (id);
comment on table ledger.transfers is 'Every movement: one row debits one account and credits another with the same positive amount of the same asset, so the books balance by construction. Insert only.';
comment on column ledger.transfers.book_id is 'The person whose doing it was: the payer of a sale.';
comment on column ledger.transfers.position is 'The writing transaction''s number, plus an offset after a restore. Everything below ledger.settled_position() is final: folds and seals count by it.';
comment on column ledger.transfers.balance_after is 'The book''s guarded account after this movement.';
comment on column ledger.transfers.amount is 'Credits and tokens are whole, dollars are micro-dollars.';
comment on column ledger.transfers.credits is 'For an earning: the credits of the sale.';
comment on column ledger.transfers.credit_value is 'For an earning: the payout value of a credit that was used, in micro-dollars.';
comment on column ledger.transfers.creator_basis_points is 'For an earning: the creators'' part of the sale.';
comment on column ledger.transfers.split_basis_points is 'For an earning: this creator''s part of that part.';

create table ledger.transfers_default partition of ledger.transfers default;
comment on table ledger.transfers_default is 'Catches movements of a month without a partition. Rows here are an alert in ledger.verify().';

-- Two ways into a creator's money: by id to page through it, by position to sum what is not folded.
create index transfers_earned_by_id on ledger.transfers (credit_owner_id, id)
where credit_kind = 'earnings';
create index transfers_earned_by_position on ledger.transfers (credit_owner_id, position)
where credit_kind = 'earnings';
create index transfers_debited_by_id on ledger.transfers (debit_owner_id, id)
where debit_kind = 'earnings';
create index transfers_reversals on ledger.transfers (book_id, reverses_id)
where reverses_id is not null;
create index transfers_position on ledger.transfers using brin (position) with (pages_per_range = 16, autosummarize = on);

create type ledger.posting as (
    kind text,
    asset text,
    debit_owner_id uuid,
    debit_kind text,
    credit_owner_id uuid,
    credit_kind text,
    amount bigint,
    reference_type text,
    reference_id uuid,
    reverses_id uuid,
    credits bigint,
    credit_value bigint,
    creator_basis_points integer,
    split_basis_points integer
);
comment on type ledger.posting is 'One movement on its way into ledger.transfers.';

create type ledger.split as (creator_id uuid, basis_points integer);
comment on type ledger.split is 'A creator''s part of the creators'' pool; the parts of a sale add up to 10 000.';

create type ledger.rates as (
    credit_value_microdollars bigint,
    earnings_mode text,
    creator_basis_points integer
);
comment on type ledger.rates is 'What a sale pays its creators: the value of a credit, how it is counted, the creators'' part.';

create type ledger.receipt as (transaction_id uuid, balance_after bigint, earned_microdollars bigint);
comment on type ledger.receipt is 'What a movement of credits left behind.';

create type ledger.violation as (check_name text, subject text, detail text);
comment on type ledger.violation is 'A broken invariant, as ledger.verify() names it.';

create table ledger.lots (
    book_id uuid not null,
    id uuid not null default app.new_id(),
    transaction_id uuid not null,
    credits ledger.amount not null,
    remaining ledger.remainder not null,
    withdrawn ledger.remainder not null default 0,
    paid_microdollars bigint not null,
    is_spent boolean not null default false,
    source ledger.lot_source not null,
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (book_id, id)
) with (fillfactor = 70);
comment on table ledger.lots is 'Where the credits of a wallet came from, what was paid for them, and when they lapse.';
comment on column ledger.lots.is_spent is 'Nothing is left. Kept beside `remaining` so that spending changes no indexed column until the end; verify() compares them.';
comment on column ledger.lots.withdrawn is 'Credits that left without being spent: lapsed, refunded in money, disputed.';
comment on column ledger.lots.paid_microdollars is 'What was paid for the whole lot; the value of a credit is this over `credits`, and draws share it out exactly.';
create index lots_open on ledger.lots (book_id, expires_at, id) where not is_spent;
create index lots_expiring on ledger.lots (expires_at) where not is_spent and expires_at is not null;

create table ledger.draws (
    book_id uuid not null,
    transaction_id uuid not null,
    lot_id uuid not null,
    credits ledger.amount not null,
    value_microdollars bigint not null,
    primary key (book_id, transaction_id, lot_id)
);
comment on table ledger.draws is 'Which lots paid for a transaction. Append only.';

create table ledger.requests (
    book_id uuid not null,
    key text not null,
    function_name text not null,
    fingerprint bytea not null,
    response jsonb not null,
    created_at timestamptz not null default now(),
    primary key (book_id, key)
);
comment on table ledger.requests is 'The first answer of every call that carried an idempotency key. Append only.';

create table ledger.fold_state (
    is_only_row boolean primary key default true check (is_only_row),
    position bigint not null default 0,
    position_offset bigint not null default 0,
    folded_at timestamptz not null default now()
);
comment on table ledger.fold_state is 'Open accounts hold every movement below `position`. `position_offset` keeps positions growing after a restore into a cluster whose transaction numbers start lower.';

create table ledger.seals (
    number bigint primary key check (number > 0),
    from_position bigint not null,
    to_position bigint not null,
    transfers bigint not null check (transfers > 0),
    digest bytea not null,
    chain bytea not null,
    sealed_at timestamptz not null default now(),
    check (to_position > from_position)
);
comment on table ledger.seals is 'A hash chain over the movements: whoever keeps the newest `chain` elsewhere can prove that no earlier row was changed. Append only.';

alter table ledger.accounts enable row level security;
alter table ledger.transfers enable row level security;
alter table ledger.transfers_default enable row level security;
alter table ledger.lots enable row level security;
alter table ledger.draws enable row level security;
alter table ledger.requests enable row level security;
alter table ledger.fold_state enable row level security;
alter table ledger.seals enable row level security;

-- On the way of every sale the core function is called directly where there is one.
do $$
begin
    if current_setting('server_version_num')::integer >= 180000 then
        alter table ledger.transfers alter column id set default uuidv7();
        alter table ledger.lots alter column id set default uuidv7();
    end if;
end
$$;

insert into ledger.fold_state default values;

reset role;
