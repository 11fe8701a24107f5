-- ledger: dollars go out; what every creator earned, summed by month.
-- depends: 0008.payments

set local role app_owner;

-- Writers wait while the movements are read once; a second for some millions.
-- squawk-ignore ban-drop-constraint
alter domain ledger.transfer_kind drop constraint transfer_kind_known;
-- squawk-ignore ban-alter-domain-with-add-constraint
alter domain ledger.transfer_kind add constraint transfer_kind_known check (
    value in (
        'purchase', 'bonus', 'grant', 'allowance', 'spend', 'earning', 'refund', 'clawback', 'expiry',
        'freeze', 'release', 'withdrawal',
        'charge', 'repayment', 'repayment_failed', 'fee', 'dispute', 'dispute_won', 'dispute_lost', 'settlement', 'adjustment',
        'payout', 'payout_returned', 'payout_sent', 'payout_reversed', 'transfer', 'transfer_reversed', 'correction'
    )
);

create table ledger.earning_totals (
    creator_id uuid not null,
    month date not null,
    kind text not null,
    reference_type text not null,
    reference_id uuid not null,
    microdollars bigint not null,
    movements bigint not null,
    primary key (creator_id, month, kind, reference_type, reference_id)
) with (fillfactor = 70);
comment on table ledger.earning_totals is 'What moved on each account of earnings, by business month, kind and what it was for. Derived from the movements below fold_state.totals_position, and made anew where the business time zone changes.';
comment on column ledger.earning_totals.reference_id is 'Zeros for what refers to nothing, as the empty `reference_type` does.';
comment on column ledger.earning_totals.microdollars is 'Above zero what came in, below zero what went out.';
alter table ledger.earning_totals enable row level security;

-- A place of its own: between this migration and the new code the old fold goes on without the totals.
alter table ledger.fold_state add column totals_position bigint not null default 0;
comment on column ledger.fold_state.totals_position is 'ledger.earning_totals holds every movement below it.';

reset role;
