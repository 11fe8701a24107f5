-- Money that went out cannot be undone: what the ledger says of it would have nobody who knows it.
do $$
begin
    if exists (select from app.payouts) then
        raise exception 'There are payouts: go back to a backup instead';
    end if;
end
$$;
-- Whoever made the job takes it back.
do $$
declare
    v_query constant text := 'select cron.unschedule(j.jobid) from cron.job as j where j.jobname = $1 and j.database = current_database()';
begin
    if exists (select from pg_extension where extname = 'pg_cron')
        and has_schema_privilege(to_regnamespace('cron')::oid, 'usage')
    then
        execute v_query using 'infinite pages: close the month';
    end if;
end
$$;
drop domain api."text/csv" cascade;
update app.rate_limits
set functions = array_remove(array_remove(functions, 'request_payout'), 'cancel_payout')
where class = 'money';
-- Accounts at Stripe that were asked for are forgotten here, and stay there.
alter table app.stripe_requests disable trigger user;
delete from app.stripe_requests where kind in ('account', 'transfer');
alter table app.stripe_requests enable trigger user;
alter table app.stripe_requests drop constraint stripe_requests_state_check;
alter table app.stripe_requests add constraint stripe_requests_state_check
check (state in ('pending', 'succeeded', 'failed'));
alter table app.stripe_requests drop constraint stripe_requests_kind_check;
alter table app.stripe_requests add constraint stripe_requests_kind_check
check (kind in ('customer', 'payment_intent', 'checkout_session', 'refund'));
alter table app.creator_tiers drop column minimum_payout_cents cascade;
alter table app.economy
drop column minimum_payout_cents cascade,
drop column payout_day cascade,
drop column payout_review_cents cascade,
drop column payouts_are_live cascade;
drop type app.stripe_movement cascade;
drop type app.creator_statement cascade;
drop type app.payout_candidate cascade;
drop table app.payout_skips cascade;
drop table app.payout_reversals cascade;
drop table app.payouts cascade;
drop table app.monthly_payout_batches cascade;
drop table app.payout_settings cascade;
drop table app.payout_accounts cascade;
-- The functions that the code of this release changed go with their views; the release before brings its own.
drop view if exists api.creator_earnings_accumulation;
drop function if exists api.earnings_summary();
drop function if exists app.earnings_summary();
drop function if exists app.earnings_figures();
