revoke usage on schema app from edge;
drop table app.stripe_cursors cascade;
drop table app.stripe_line_notes cascade;
drop table app.stripe_balance_transactions cascade;
drop table app.stripe_requests cascade;
drop table app.stripe_events cascade;
drop table app.stripe_customers cascade;
drop type app.stripe_outcome cascade;
