-- Money that went out cannot be undone: without its kinds the movements would mean nothing.
do $$
begin
    if exists (
        select from ledger.transfers as t
        where t.kind in (
            'payout', 'payout_returned', 'payout_sent', 'payout_reversed', 'transfer', 'transfer_reversed', 'correction'))
    then
        raise exception 'There are payouts: go back to a backup instead';
    end if;
end
$$;
alter table ledger.fold_state drop column totals_position cascade;
drop table ledger.earning_totals cascade;
alter domain ledger.transfer_kind drop constraint transfer_kind_known;
alter domain ledger.transfer_kind add constraint transfer_kind_known check (
    value in (
        'purchase', 'bonus', 'grant', 'allowance', 'spend', 'earning', 'refund', 'clawback', 'expiry',
        'freeze', 'release', 'withdrawal',
        'charge', 'repayment', 'repayment_failed', 'fee', 'dispute', 'dispute_won', 'dispute_lost', 'settlement', 'adjustment'
    )
);
