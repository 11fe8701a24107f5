-- What was found is lost, and can be found again: the ledger itself is not touched.
drop function if exists api.operations_summary();
drop function if exists app.operations_summary();
drop function if exists app.verify_when_due();
drop function if exists app.run_verification();
drop table app.verifications cascade;
drop table app.noted_figures cascade;
drop index app.refunds_created_at;
drop index app.disputes_created_at;
