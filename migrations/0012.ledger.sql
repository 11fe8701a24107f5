-- ledger: credits that are set aside until it is known whether they are spent.
-- depends: 0011.payouts

set local role app_owner;

-- Writers wait while the movements are read once; a second for some millions.
-- squawk-ignore ban-drop-constraint
alter domain ledger.transfer_kind drop constraint transfer_kind_known;
-- squawk-ignore ban-alter-domain-with-add-constraint
alter domain ledger.transfer_kind add constraint transfer_kind_known check (
    value in (
        'purchase', 'bonus', 'grant', 'allowance', 'spend', 'capture', 'earning', 'refund', 'clawback', 'expiry',
        'freeze', 'release', 'withdrawal',
        'charge', 'repayment', 'repayment_failed', 'fee', 'dispute', 'dispute_won', 'dispute_lost', 'settlement', 'adjustment',
        'payout', 'payout_returned', 'payout_sent', 'payout_reversed', 'transfer', 'transfer_reversed', 'correction'
    )
);

create table ledger.reservations (
    book_id uuid not null,
    id uuid not null,
    credits ledger.amount not null,
    state text not null default 'held' check (state in ('held', 'captured', 'released')),
    created_at timestamptz not null default now(),
    settled_at timestamptz,
    primary key (book_id, id),
    check ((state = 'held') = (settled_at is null))
);
comment on table ledger.reservations is 'Credits that were taken from a wallet for something that is still to be done: captured when it is done, released when it is not.';
comment on column ledger.reservations.id is 'The transaction that took them.';
alter table ledger.reservations enable row level security;

reset role;
