-- The public contract of payouts. Connecting an account at Stripe is the edge's: it talks to Stripe.

create or replace function api.payout_account(
    out state text, out is_ready boolean, out message text, out missing text[], out country text,
    out is_paused boolean, out is_under_review boolean, out minimum_payout_cents bigint, out hold_days integer,
    out is_live boolean)
returns record
language sql stable
set search_path = ''
begin atomic
    select
        a.state, a.is_ready, a.message, a.missing, a.country, a.is_paused, a.is_under_review, a.minimum_payout_cents,
        a.hold_days, a.is_live
    from app.payout_account() as a;
end;
comment on function api.payout_account() is $$Whether you can be paid, and what is missing

`state`: none, started, incomplete, verifying, restricted, rejected, deauthorized or ready; `message` and `missing` say it in words. Begin or go on with POST /creators/connect at the edge. Less than `minimum_payout_cents` is not paid out; new sales wait `hold_days`. Errors: 401 login_required.$$;
grant execute on function api.payout_account() to authenticated, service_role;

create or replace function api.pause_payouts(is_paused boolean default true)
returns boolean
language sql volatile
set search_path = ''
begin atomic
    select app.pause_payouts(is_paused);
end;
comment on function api.pause_payouts(boolean) is $$Leave out the monthly payouts, or take part again

While paused, earnings stay where they are. `is_paused` false resumes. Answers what holds now. Errors: 400 invalid_argument, 401 login_required.$$;
grant execute on function api.pause_payouts(boolean) to authenticated, service_role;

create or replace function api.request_payout(
    amount_usd numeric default null, idempotency_key text default null,
    out payout_id uuid, out amount_cents bigint, out currency text, out status text, out available_microdollars bigint)
returns record
language sql volatile
set search_path = ''
begin atomic
    select r.payout_id, r.amount_cents, r.currency, r.status, r.available_microdollars
    from app.request_payout(amount_usd, idempotency_key) as r;
end;
comment on function api.request_payout(numeric, text) is $$Be paid now

`amount_usd` in dollars and whole cents, such as 12.50; without it everything that is available. `status` is pending, or held when a person looks at it first; `available_microdollars` is what is left. Once per `idempotency_key`. Errors: 400 invalid_amount, 400 invalid_idempotency_key, 401 login_required, 403 payout_account_incomplete, 403 payout_account_required, 403 payouts_under_review, 409 idempotency_mismatch, 409 payouts_paused, 422 below_minimum_payout, 422 not_enough_available.$$;
grant execute on function api.request_payout(numeric, text) to authenticated, service_role;

create or replace function api.cancel_payout(payout_id uuid)
returns text
language sql volatile
set search_path = ''
begin atomic
    select app.cancel_payout(payout_id);
end;
comment on function api.cancel_payout(uuid) is $$Take back a payout that was not sent yet

Its money is available again. Answers canceled. One that is held stays until a person has looked at it. Errors: 401 login_required, 404 payout_not_found, 409 payout_held, 409 payout_not_pending.$$;
grant execute on function api.cancel_payout(uuid) to authenticated, service_role;

create or replace view api.payouts with (security_invoker = true) as
select
    p.id, p.creator_id, (p.amount_cents / 100.0)::numeric(14, 2) as amount_usd, p.stripe_transfer_id, p.status,
    p.period_start, p.period_end, p.earnings_count, p.failure_reason, p.processed_at, p.created_at, p.updated_at,
    p.amount_cents, p.currency, p.reversed_cents, p.batch_id, p.retries_id, p.hold_reason, p.failure_code
from app.payouts as p;
comment on view api.payouts is $$The caller's payouts

On request (`batch_id` null) and monthly. Newest by `order=id.desc`; page with `id=lt.<last id>`.$$;
comment on column api.payouts.id is 'Time-ordered id.';
comment on column api.payouts.creator_id is 'The caller.';
comment on column api.payouts.amount_usd is 'Dollars, for display.';
comment on column api.payouts.stripe_transfer_id is 'The transfer at Stripe, once paid.';
comment on column api.payouts.status is 'pending, processing, paid, failed (its money is available again), held (a person looks at it) or canceled.';
comment on column api.payouts.period_start is 'It pays for sales from then on.';
comment on column api.payouts.period_end is 'Up to then.';
comment on column api.payouts.earnings_count is 'How many sales that were.';
comment on column api.payouts.failure_reason is 'Why it failed or was canceled, in words.';
comment on column api.payouts.processed_at is 'When it was paid, failed or was canceled.';
comment on column api.payouts.created_at is 'When it was made.';
comment on column api.payouts.updated_at is 'When it last changed.';
comment on column api.payouts.amount_cents is 'Cents.';
comment on column api.payouts.currency is 'ISO code in lower case.';
comment on column api.payouts.reversed_cents is 'Cents that were taken back at Stripe afterwards, see payout_reversals.';
comment on column api.payouts.batch_id is 'The monthly batch; null on request.';
comment on column api.payouts.retries_id is 'The payout that failed, of which this is another try.';
comment on column api.payouts.hold_reason is 'Why it is held.';
comment on column api.payouts.failure_code is 'Why it failed, for programs.';
grant select on api.payouts to authenticated, service_role;

create or replace view api.individual_payouts with (security_invoker = true) as
select
    p.id, p.batch_id, b.month, p.creator_id, (p.amount_cents / 100.0)::numeric(14, 2) as amount_usd, p.status,
    p.stripe_transfer_id, p.earnings_count, p.failure_reason, p.processed_at, p.created_at
from app.payouts as p
inner join app.monthly_payout_batches as b on b.id = p.batch_id;
comment on view api.individual_payouts is $$The caller's payouts by monthly batches

The rows of payouts that have a batch (seed 004), with its month.$$;
comment on column api.individual_payouts.id is 'The payout.';
comment on column api.individual_payouts.batch_id is 'The batch.';
comment on column api.individual_payouts.month is 'Its month, as the first day.';
comment on column api.individual_payouts.creator_id is 'The caller.';
comment on column api.individual_payouts.amount_usd is 'Dollars, for display.';
comment on column api.individual_payouts.status is 'pending, processing, paid, failed, held or canceled.';
comment on column api.individual_payouts.stripe_transfer_id is 'The transfer at Stripe, once paid.';
comment on column api.individual_payouts.earnings_count is 'Sales it pays for.';
comment on column api.individual_payouts.failure_reason is 'Why it failed, in words.';
comment on column api.individual_payouts.processed_at is 'When it ended.';
comment on column api.individual_payouts.created_at is 'When it was made.';
grant select on api.individual_payouts to authenticated, service_role;
create or replace trigger tg_individual_payouts__read_only
instead of insert or update or delete on api.individual_payouts
for each row execute function app.refuse_change();

create or replace view api.payout_reversals with (security_invoker = true) as
select r.id, r.payout_id, r.creator_id, r.stripe_reversal_id, r.amount_cents, r.currency, r.created_at
from app.payout_reversals as r;
comment on view api.payout_reversals is $$Payouts of the caller that were taken back at Stripe

Whole or in part. What came back is owed to the creator again.$$;
comment on column api.payout_reversals.id is 'Time-ordered id.';
comment on column api.payout_reversals.payout_id is 'The payout.';
comment on column api.payout_reversals.creator_id is 'The caller.';
comment on column api.payout_reversals.stripe_reversal_id is 'The reversal at Stripe.';
comment on column api.payout_reversals.amount_cents is 'Cents.';
comment on column api.payout_reversals.currency is 'ISO code in lower case.';
comment on column api.payout_reversals.created_at is 'When it came.';
grant select on api.payout_reversals to authenticated, service_role;

create or replace view api.payout_skips with (security_invoker = true) as
select
    s.batch_id, b.month, s.creator_id, s.reason, s.balance_microdollars, s.available_microdollars, s.minimum_cents,
    s.created_at
from app.payout_skips as s
inner join app.monthly_payout_batches as b on b.id = s.batch_id;
comment on view api.payout_skips is $$Months in which the caller was not paid, and why

Whoever had nothing at all is not listed.$$;
comment on column api.payout_skips.batch_id is 'The monthly batch.';
comment on column api.payout_skips.month is 'Its month, as the first day.';
comment on column api.payout_skips.creator_id is 'The caller.';
comment on column api.payout_skips.reason is 'below_minimum, on_hold (enough, but still inside the hold), not_verified (see payout_account), negative (more was taken back than earned), paused, under_review.';
comment on column api.payout_skips.balance_microdollars is 'The balance then, in micro-dollars.';
comment on column api.payout_skips.available_microdollars is 'What of it was available.';
comment on column api.payout_skips.minimum_cents is 'The least that is paid out, in cents.';
comment on column api.payout_skips.created_at is 'When.';
grant select on api.payout_skips to authenticated, service_role;
create or replace trigger tg_payout_skips__read_only
instead of insert or update or delete on api.payout_skips
for each row execute function app.refuse_change();

create or replace view api.monthly_payout_batches with (security_invoker = true) as
select
    b.id, b.month, b.state, b.currency, b.cutoff_at, b.creators, b.creators_done, b.payouts, b.skipped, b.total_cents,
    p.paid, p.failed, p.waiting, b.started_at, b.closed_at
from app.monthly_payout_batches as b
cross join lateral (
    select
        count(*) filter (where o.status = 'paid') as paid,
        count(*) filter (where o.status in ('failed', 'canceled')) as failed,
        count(*) filter (where o.status in ('pending', 'processing', 'held')) as waiting
    from app.payouts as o
    where o.batch_id = b.id
) as p;
comment on view api.monthly_payout_batches is $$The months that were closed

For the service role only. Newest by `order=month.desc`.$$;
comment on column api.monthly_payout_batches.id is 'The batch.';
comment on column api.monthly_payout_batches.month is 'The month, as its first day.';
comment on column api.monthly_payout_batches.state is 'running or closed.';
comment on column api.monthly_payout_batches.currency is 'What it paid in.';
comment on column api.monthly_payout_batches.cutoff_at is 'Sales after it belong to the next one.';
comment on column api.monthly_payout_batches.creators is 'Creators to go through.';
comment on column api.monthly_payout_batches.creators_done is 'Creators gone through.';
comment on column api.monthly_payout_batches.payouts is 'Payouts made.';
comment on column api.monthly_payout_batches.skipped is 'Creators skipped, see payout_skips.';
comment on column api.monthly_payout_batches.total_cents is 'Sum of the payouts, in cents.';
comment on column api.monthly_payout_batches.paid is 'Payouts that arrived.';
comment on column api.monthly_payout_batches.failed is 'Payouts that failed or were canceled.';
comment on column api.monthly_payout_batches.waiting is 'Payouts that are not sent yet.';
comment on column api.monthly_payout_batches.started_at is 'When it began.';
comment on column api.monthly_payout_batches.closed_at is 'When everybody was gone through.';
grant select on api.monthly_payout_batches to service_role;
create or replace trigger tg_monthly_payout_batches__read_only
instead of insert or update or delete on api.monthly_payout_batches
for each row execute function app.refuse_change();

create or replace view api.payout_accounts with (security_invoker = true) as
select
    a.user_id, a.is_live, a.stripe_account_id, a.country, a.details_submitted, a.payouts_enabled, a.transfers_status,
    a.requirements, a.deauthorized_at, a.read_at, a.created_at, a.updated_at,
    s.paused_at, s.review_since, s.review_reason
from app.payout_accounts as a
left join app.payout_settings as s on s.creator_id = a.user_id;
comment on view api.payout_accounts is $$Creators' accounts at Stripe

For the service role only; creators ask payout_account().$$;
comment on column api.payout_accounts.user_id is 'The creator.';
comment on column api.payout_accounts.is_live is 'Real money.';
comment on column api.payout_accounts.stripe_account_id is 'The account at Stripe.';
comment on column api.payout_accounts.country is 'Where the creator is.';
comment on column api.payout_accounts.details_submitted is 'The creator answered Stripe''s first questions.';
comment on column api.payout_accounts.payouts_enabled is 'Stripe pays out to their bank.';
comment on column api.payout_accounts.transfers_status is 'unrequested, inactive, pending or active.';
comment on column api.payout_accounts.requirements is 'What Stripe still wants.';
comment on column api.payout_accounts.deauthorized_at is 'When it was taken away from the platform.';
comment on column api.payout_accounts.read_at is 'When it was last read from Stripe.';
comment on column api.payout_accounts.created_at is 'When it was made.';
comment on column api.payout_accounts.updated_at is 'When it last changed.';
comment on column api.payout_accounts.paused_at is 'When the creator paused payouts.';
comment on column api.payout_accounts.review_since is 'Since when an operator reviews the creator.';
comment on column api.payout_accounts.review_reason is 'Why.';
grant select on api.payout_accounts to service_role;
create or replace trigger tg_payout_accounts__read_only
instead of insert or update or delete on api.payout_accounts
for each row execute function app.refuse_change();

create or replace view api.payout_statements with (security_invoker = true) as
select
    s.creator_id, s.month, s.currency, s.opening_microdollars, s.sales_microdollars, s.refunds_microdollars,
    s.adjustments_microdollars, s.payouts_microdollars, s.closing_microdollars, s.lines
from app.my_statements() as s;
comment on view api.payout_statements is $$The caller's monthly statements

One for each month in which something moved, newest first. Micro-dollars; opening + sales + refunds + adjustments + payouts = closing. With `Accept: text/html` they come as pages to print, with `Accept: text/csv` as tables.$$;
comment on column api.payout_statements.creator_id is 'The caller.';
comment on column api.payout_statements.month is 'The month, as its first day (business time zone).';
comment on column api.payout_statements.currency is 'ISO code in lower case.';
comment on column api.payout_statements.opening_microdollars is 'The balance when the month began.';
comment on column api.payout_statements.sales_microdollars is 'Earned.';
comment on column api.payout_statements.refunds_microdollars is 'Taken back by refunds and disputes, below zero; given back when they came to nothing.';
comment on column api.payout_statements.adjustments_microdollars is 'Corrected by an operator.';
comment on column api.payout_statements.payouts_microdollars is 'Set aside for payouts, below zero; what came back above.';
comment on column api.payout_statements.closing_microdollars is 'The balance when the month ended, or now.';
comment on column api.payout_statements.lines is 'Each story, refund, correction and payout: section, reference_id, description, movements, microdollars.';
grant select on api.payout_statements to authenticated, service_role;
create or replace trigger tg_payout_statements__read_only
instead of insert or update or delete on api.payout_statements
for each row execute function app.refuse_change();

create or replace function api.payout_statement(month date default null, creator_id uuid default null)
returns api.payout_statements
language sql stable
set search_path = ''
begin atomic
    select row(s.*)::api.payout_statements from app.payout_statement(month, creator_id) as s;
end;
comment on function api.payout_statement(date, uuid) is $$A month of your earnings, as data, table or page

`month` is any day of it; without, last month. `creator_id` is for the service role. Opening balance, sales by story, refunds, adjustments, payouts, closing balance, in micro-dollars. With `Accept: text/html` a page that prints well, with `Accept: text/csv` a table. Errors: 400 invalid_month, 401 login_required, 403 operator_required, 404 creator_not_found.$$;
grant execute on function api.payout_statement(date, uuid) to authenticated, service_role;

create or replace function app.append_statement_page(pages api."text/html", statement api.payout_statements)
returns api."text/html"
language sql stable
set search_path = ''
return (
    coalesce(append_statement_page.pages::text, '')
    || app.statement_html(jsonb_populate_record(null::app.creator_statement, to_jsonb(append_statement_page.statement)))
)::api."text/html";
comment on function app.append_statement_page(api."text/html", api.payout_statements) is $$Statements as pages, one after the other$$;

create or replace aggregate api.payout_statement_pages (api.payout_statements)(
    sfunc = app.append_statement_page,
    stype = api."text/html"
);
comment on aggregate api.payout_statement_pages (api.payout_statements) is $$Statements as pages to print

What `Accept: text/html` on statements gives.$$;
grant execute on function api.payout_statement_pages(api.payout_statements) to authenticated, service_role;

create or replace function app.append_statement_table(tables api."text/csv", statement api.payout_statements)
returns api."text/csv"
language sql stable
set search_path = ''
return (
    coalesce(append_statement_table.tables::text, '')
    || app.statement_csv(jsonb_populate_record(null::app.creator_statement, to_jsonb(append_statement_table.statement)))
)::api."text/csv";
comment on function app.append_statement_table(api."text/csv", api.payout_statements) is $$Statements as tables, one after the other$$;

create or replace aggregate api.payout_statement_tables (api.payout_statements)(
    sfunc = app.append_statement_table,
    stype = api."text/csv"
);
comment on aggregate api.payout_statement_tables (api.payout_statements) is $$Statements as tables

What `Accept: text/csv` on statements gives.$$;
grant execute on function api.payout_statement_tables(api.payout_statements) to authenticated, service_role;

create or replace function api.run_monthly_payouts(
    month date, early boolean default false,
    out creators_done bigint, out payouts bigint, out skipped bigint, out total_cents bigint)
returns record
language sql volatile
set search_path = ''
begin atomic
    select r.creators_done, r.payouts, r.skipped, r.total_cents from app.run_monthly_payouts(month, early) as r;
end;
comment on function api.run_monthly_payouts(date, boolean) is $$Pay everybody for a month

For the service role only; the worker does it by itself on economy.payout_day. `month` is any day of it; `early` closes the running month with what is available now. A month that was closed answers its figures again. Cents. Errors: 400 invalid_month, 422 month_not_over, 422 month_too_old.$$;
grant execute on function api.run_monthly_payouts(date, boolean) to service_role;

create or replace function api.hold_payout(payout_id uuid, reason text)
returns void
language sql volatile
set search_path = ''
begin atomic
    select app.hold_payout(payout_id, reason);
end;
comment on function api.hold_payout(uuid, text) is $$Keep a payout from being sent until it is released

For the service role only. `reason` is shown to its creator. Errors: 400 text_required, 400 text_too_long, 404 payout_not_found, 409 payout_not_pending.$$;
grant execute on function api.hold_payout(uuid, text) to service_role;

create or replace function api.release_payout(payout_id uuid)
returns void
language sql volatile
set search_path = ''
begin atomic
    select app.release_payout(payout_id);
end;
comment on function api.release_payout(uuid) is $$Let a payout go that was held

For the service role only. Errors: 404 payout_not_found, 409 payout_not_held.$$;
grant execute on function api.release_payout(uuid) to service_role;

create or replace function api.stop_payout(payout_id uuid, reason text)
returns void
language sql volatile
set search_path = ''
begin atomic
    select app.stop_payout(payout_id, reason);
end;
comment on function api.stop_payout(uuid, text) is $$Cancel a payout that was not sent yet

For the service role only. Its money is back in the creator's balance; `reason` is shown to them. Errors: 400 text_required, 400 text_too_long, 404 payout_not_found, 409 payout_not_pending.$$;
grant execute on function api.stop_payout(uuid, text) to service_role;

create or replace function api.retry_payout(payout_id uuid)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.retry_payout(payout_id);
end;
comment on function api.retry_payout(uuid) is $$Try a payout again

For the service role only. One without an answer is sent now; for one that failed a new one is made, once. Answers the id of the payout on its way. Errors: 403 payout_account_incomplete, 403 payout_account_required, 403 payouts_under_review, 404 payout_not_found, 409 payout_not_failed, 409 payouts_paused, 422 not_enough_available.$$;
grant execute on function api.retry_payout(uuid) to service_role;

create or replace function api.review_creator(creator_id uuid, reason text)
returns void
language sql volatile
set search_path = ''
begin atomic
    select app.review_creator(creator_id, reason);
end;
comment on function api.review_creator(uuid, text) is $$Pay a creator nothing more until their review ends

For the service role only. Payouts that are made already go on. Errors: 400 text_required, 400 text_too_long, 404 creator_not_found.$$;
grant execute on function api.review_creator(uuid, text) to service_role;

create or replace function api.end_review(creator_id uuid)
returns void
language sql volatile
set search_path = ''
begin atomic
    select app.end_review(creator_id);
end;
comment on function api.end_review(uuid) is $$Pay a creator again

For the service role only. Errors: 404 creator_not_found.$$;
grant execute on function api.end_review(uuid) to service_role;

create or replace function api.adjust_earnings(
    creator_id uuid, amount_microdollars bigint, reason text, idempotency_key text default null)
returns bigint
language sql volatile
set search_path = ''
begin atomic
    select app.adjust_earnings(creator_id, amount_microdollars, reason, idempotency_key);
end;
comment on function api.adjust_earnings(uuid, bigint, text, text) is $$Correct what a creator is owed, up or down

For the service role only. On the creator's statement as an adjustment, at once available. Answers the balance in micro-dollars. Once per `idempotency_key`. Errors: 400 invalid_amount, 400 text_required, 400 text_too_long, 404 creator_not_found, 409 idempotency_mismatch.$$;
grant execute on function api.adjust_earnings(uuid, bigint, text, text) to service_role;
