drop table ledger.recall_lines cascade;
drop table ledger.recalls cascade;
alter table ledger.lots drop column origin_id cascade, drop column payment_id cascade;
alter domain ledger.transfer_kind drop constraint transfer_kind_known;
alter domain ledger.transfer_kind add constraint transfer_kind_known check (
    value in ('purchase', 'bonus', 'grant', 'allowance', 'spend', 'earning', 'refund', 'clawback', 'expiry')
);
