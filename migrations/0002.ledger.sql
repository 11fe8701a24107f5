-- ledger: accounts, transfers, lots, draws, requests, folds and seals.
-- depends: 0001.base

set local role app_owner;

create table ledger.accounts (
    owner_id uuid not null,
    kind text not null,
    asset text not null,
    is_guarded boolean not null,
    balance bigint not null default 0,
    credited bigint not null default 0,
    created_at timestamptz not null default now(),
    primary key (owner_id, kind),
    constraint accounts_asset check (asset in ('credit', 'token', 'usd')),
    constraint accounts_never_below_zero check (not is_guarded or balance >= 0)
) with (fillfactor = 60);
comment on table ledger.accounts is 'An account is an owner and a kind. Guarded ones (wallets) keep their balance here with every movement; open ones (earnings, platform) keep the total folded so far, see ledger.balance().';
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
    amount bigint not null,
    balance_after bigint,
    reference_id uuid,
    reverses_id uuid,
    credits bigint,
    credit_value bigint,
    created_at timestamptz not null default now(),
    creator_basis_points integer,
    split_basis_points integer,
    asset text not null,
    kind text not null,
    debit_kind text not null,
    credit_kind text not null,
    reference_type text,
    primary key (book_id, id),
    constraint transfers_amount_positive check (amount > 0),
    constraint transfers_two_accounts check (
        debit_owner_id <> credit_owner_id or debit_kind <> credit_kind
    ),
    constraint transfers_one_asset check (
        case asset
            when 'credit' then
                debit_kind in ('wallet', 'issued', 'redeemed', 'expired')
                and credit_kind in ('wallet', 'issued', 'redeemed', 'expired')
            when 'usd' then
                debit_kind in ('earnings', 'royalties') and credit_kind in ('earnings', 'royalties')
            else false
        end
    ),
    constraint transfers_kind check (
        kind in (
            'purchase', 'bonus', 'grant', 'allowance', 'spend', 'earning',
            'refund', 'clawback', 'expiry'
        )
    )
) partition by range (id);
comment on table ledger.transfers is 'Every movement: one row debits one account and credits another with the same positive amount, so the books balance by construction. Insert only.';
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
create index transfers_debited_by_position on ledger.transfers (debit_owner_id, position)
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
    split_basis_points integer,
    balance_after bigint
);
comment on type ledger.posting is 'One movement on its way into ledger.transfers; ledger.post() fills in balance_after.';

create type ledger.split as (creator_id uuid, basis_points integer);
comment on type ledger.split is 'A creator''s part of the creators'' pool; the parts of a sale add up to 10 000.';

create type ledger.receipt as (transaction_id uuid, balance_after bigint, earned_microdollars bigint);
comment on type ledger.receipt is 'What a movement of credits left behind.';

create type ledger.violation as (check_name text, subject text, detail text);
comment on type ledger.violation is 'A broken invariant, as ledger.verify() names it.';

create table ledger.lots (
    book_id uuid not null,
    id uuid not null default app.new_id(),
    transaction_id uuid not null,
    credits bigint not null check (credits > 0),
    remaining bigint not null,
    withdrawn bigint not null default 0,
    paid_microdollars bigint not null check (paid_microdollars >= 0),
    credit_value_microdollars bigint generated always as (paid_microdollars / credits) stored,
    is_spent boolean generated always as (remaining = 0) stored,
    source text not null check (source in ('purchase', 'bonus', 'grant', 'allowance', 'refund')),
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (book_id, id),
    constraint lots_remaining check (
        remaining between 0 and credits and withdrawn between 0 and credits - remaining
    )
) with (fillfactor = 70);
comment on table ledger.lots is 'Where the credits of a wallet came from, what was paid for them, and when they lapse.';
comment on column ledger.lots.withdrawn is 'Credits that left without being spent: lapsed, refunded in money, disputed.';
comment on column ledger.lots.paid_microdollars is 'What was paid for the whole lot; draws share it out exactly.';
create index lots_open on ledger.lots (book_id, expires_at, id) where not is_spent;
create index lots_expiring on ledger.lots (expires_at) where not is_spent and expires_at is not null;

create table ledger.draws (
    book_id uuid not null,
    transaction_id uuid not null,
    lot_id uuid not null,
    credits bigint not null check (credits > 0),
    value_microdollars bigint not null check (value_microdollars >= 0),
    primary key (book_id, transaction_id, lot_id)
);
comment on table ledger.draws is 'Which lots paid for a transaction. Append only.';

create table ledger.requests (
    book_id uuid not null,
    key text not null check (length(key) between 1 and 200),
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

insert into ledger.fold_state default values;

reset role;
