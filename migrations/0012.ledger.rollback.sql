-- What was set aside would belong to nobody.
do $$
begin
    if exists (select from ledger.reservations) then
        raise exception 'Credits were reserved: go back to a backup instead';
    end if;
end
$$;
drop table ledger.reservations cascade;
alter domain ledger.transfer_kind drop constraint transfer_kind_known;
alter domain ledger.transfer_kind add constraint transfer_kind_known check (
    value in (
        'purchase', 'bonus', 'grant', 'allowance', 'spend', 'earning', 'refund', 'clawback', 'expiry',
        'freeze', 'release', 'withdrawal',
        'charge', 'repayment', 'repayment_failed', 'fee', 'dispute', 'dispute_won', 'dispute_lost', 'settlement', 'adjustment',
        'payout', 'payout_returned', 'payout_sent', 'payout_reversed', 'transfer', 'transfer_reversed', 'correction'
    )
);
