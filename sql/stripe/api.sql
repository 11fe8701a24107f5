-- The public contract of stripe: for operators.

create or replace view api.stripe_events with (security_invoker = true) as
select
    e.id, e.type, e.endpoint, e.account, e.is_live, e.object_type, e.object_id, e.state, e.waits_for, e.error,
    e.attempts, e.created_at, e.received_at, e.handled_at, e.payload
from app.stripe_events as e;
comment on view api.stripe_events is $$The inbox: every event of Stripe

For the service role only. Look for `state=in.(parked,failed)`.$$;
comment on column api.stripe_events.id is 'Stripe''s id of the event.';
comment on column api.stripe_events.type is 'What happened.';
comment on column api.stripe_events.endpoint is 'platform, or connect for connected accounts.';
comment on column api.stripe_events.account is 'The connected account.';
comment on column api.stripe_events.is_live is 'Real money.';
comment on column api.stripe_events.object_type is 'What it is about.';
comment on column api.stripe_events.object_id is 'Stripe''s id of that.';
comment on column api.stripe_events.state is 'applied, parked, ignored or failed.';
comment on column api.stripe_events.waits_for is 'What a parked event waits for.';
comment on column api.stripe_events.error is 'Why it failed.';
comment on column api.stripe_events.attempts is 'How often it was tried.';
comment on column api.stripe_events.created_at is 'When it happened at Stripe.';
comment on column api.stripe_events.received_at is 'When it came here.';
comment on column api.stripe_events.handled_at is 'When it was last tried.';
comment on column api.stripe_events.payload is 'The event as it came.';
grant select on api.stripe_events to service_role;

create or replace view api.stripe_requests with (security_invoker = true) as
select
    r.id, r.user_id, r.kind, r.subject_id, r.state, r.stripe_id, r.error_code, r.error_message, r.attempts,
    r.next_attempt_at, r.created_at, r.answered_at
from app.stripe_requests as r;
comment on view api.stripe_requests is $$The outbox: every call to Stripe

For the service role only. `state=eq.pending` is what still has to be answered.$$;
comment on column api.stripe_requests.id is 'Time-ordered id; in Stripe''s metadata as request_id.';
comment on column api.stripe_requests.user_id is 'Whose doing it was.';
comment on column api.stripe_requests.kind is 'customer, payment_intent, checkout_session, refund, account or transfer.';
comment on column api.stripe_requests.subject_id is 'The person, payment, refund or payout it is for.';
comment on column api.stripe_requests.state is 'pending, succeeded, failed or withdrawn.';
comment on column api.stripe_requests.stripe_id is 'What Stripe made.';
comment on column api.stripe_requests.error_code is 'Stripe''s code of the last failure.';
comment on column api.stripe_requests.error_message is 'What Stripe said of it.';
comment on column api.stripe_requests.attempts is 'How often it was sent.';
comment on column api.stripe_requests.next_attempt_at is 'Not before then again.';
comment on column api.stripe_requests.created_at is 'When it was asked for.';
comment on column api.stripe_requests.answered_at is 'When Stripe had answered for good.';
grant select on api.stripe_requests to service_role;

create or replace view api.stripe_balance_transactions with (security_invoker = true) as
select
    b.id, b.type, b.reporting_category, b.amount_cents, b.fee_cents, b.net_cents, b.currency, b.source_id,
    b.created_at, b.available_at, b.imported_at
from app.stripe_balance_transactions as b;
comment on view api.stripe_balance_transactions is $$Stripe's own statement

For the service role only.$$;
comment on column api.stripe_balance_transactions.id is 'Stripe''s id of the line.';
comment on column api.stripe_balance_transactions.type is 'charge, refund, adjustment, payout ...';
comment on column api.stripe_balance_transactions.reporting_category is 'Finer than the type, for adjustments.';
comment on column api.stripe_balance_transactions.amount_cents is 'Cents; below zero when they left.';
comment on column api.stripe_balance_transactions.fee_cents is 'What Stripe kept of it.';
comment on column api.stripe_balance_transactions.net_cents is 'Amount less fee.';
comment on column api.stripe_balance_transactions.currency is 'ISO code in lower case.';
comment on column api.stripe_balance_transactions.source_id is 'The charge, refund or dispute it is about.';
comment on column api.stripe_balance_transactions.created_at is 'When.';
comment on column api.stripe_balance_transactions.available_at is 'When the money can be used.';
comment on column api.stripe_balance_transactions.imported_at is 'When it was read here.';
grant select on api.stripe_balance_transactions to service_role;

create or replace function api.replay_stripe_event(event_id text)
returns text
language sql volatile
set search_path = ''
begin atomic
    select app.replay_stripe_event(event_id);
end;
comment on function api.replay_stripe_event(text) is $$Let an event of Stripe take effect again

For the service role only. Safe at any time. Answers applied, parked, ignored or failed. Errors: 404 stripe_event_not_found.$$;
grant execute on function api.replay_stripe_event(text) to service_role;

create or replace function api.reconcile()
returns table (side text, stripe_id text, type text, amount_cents bigint, detail text)
language sql stable
set search_path = ''
begin atomic
    select r.side, r.stripe_id, r.type, r.amount_cents, r.detail from app.reconcile() as r;
end;
comment on function api.reconcile() is $$What is only on Stripe's statement, or only in the ledger

For the service role only. Empty: every cent is accounted for, up to the newest import.$$;
grant execute on function api.reconcile() to service_role;

create or replace function api.explain_stripe_line(line_id text, reason text)
returns void
language sql volatile
set search_path = ''
begin atomic
    select app.explain_stripe_line(line_id, reason);
end;
comment on function api.explain_stripe_line(text, text) is $$Account for a line of Stripe's statement that nothing here caused

For the service role only. `line_id` is the txn_... in the detail of reconcile(), a day old at least; `reason` is for the audit log. Errors: 400 text_required, 400 text_too_long, 404 stripe_line_not_found, 409 already_explained, 409 line_too_new.$$;
grant execute on function api.explain_stripe_line(text, text) to service_role;
