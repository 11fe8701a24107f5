-- With every deploy, once the code is in place: partitions ahead, and the totals brought up to date
-- (which also sets positions right after a restore).
select ledger.ensure_partitions();
select ledger.fold();
