-- The public contract of payments. Beginning one is the edge's: it talks to Stripe.

create or replace view api.payments with (security_invoker = true) as
select
    p.id, p.user_id, p.stripe_payment_intent_id, p.stripe_customer_id, p.package_id,
    (p.amount_cents / 100.0)::numeric(12, 2) as amount_usd,
    p.credits_purchased, p.bonus_credits, p.status, p.payment_method, p.failure_reason, p.processed_at,
    p.created_at, p.updated_at,
    p.package_name as package, p.amount_cents, p.currency, p.failure_code, p.method,
    coalesce(r.cents, 0) as refunded_cents,
    d.status as dispute_status,
    app.receipt_number(p.receipt_year, p.receipt_serial, p.receipt_seller ->> 'receipt_prefix') as receipt_number
from app.payments as p
left join lateral (
    select sum(f.amount_cents)::bigint as cents
    from app.refunds as f
    where f.payment_id = p.id and f.status = 'succeeded'
) as r on true
left join lateral (
    select g.status from app.disputes as g where g.payment_id = p.id order by g.id desc limit 1
) as d on true;
comment on view api.payments is $$The caller's payments

Newest by `order=id.desc`; page with `id=lt.<last id>`. `status` only moves on: pending, processing, failed, canceled, succeeded.$$;
comment on column api.payments.id is 'Time-ordered id.';
comment on column api.payments.user_id is 'The caller.';
comment on column api.payments.stripe_payment_intent_id is 'The intent at Stripe.';
comment on column api.payments.stripe_customer_id is 'The caller''s customer at Stripe.';
comment on column api.payments.package_id is 'The package; null for a period of a subscription.';
comment on column api.payments.amount_usd is 'Price in dollars, for display.';
comment on column api.payments.credits_purchased is 'Credits bought.';
comment on column api.payments.bonus_credits is 'Credits on top.';
comment on column api.payments.status is 'pending, processing, failed, canceled or succeeded. A failed one may still succeed when the payer tries again.';
comment on column api.payments.payment_method is 'For example: visa 4242.';
comment on column api.payments.failure_reason is 'Why it failed, in words for the payer.';
comment on column api.payments.processed_at is 'When it ended.';
comment on column api.payments.created_at is 'When it was begun.';
comment on column api.payments.updated_at is 'When it last changed.';
comment on column api.payments.package is 'The package''s name then.';
comment on column api.payments.amount_cents is 'Price in cents.';
comment on column api.payments.currency is 'ISO code in lower case.';
comment on column api.payments.failure_code is 'Why it failed, for programs: Stripe''s decline code.';
comment on column api.payments.method is 'intent, checkout or subscription.';
comment on column api.payments.refunded_cents is 'What went back, in cents.';
comment on column api.payments.dispute_status is 'inquiry, closed, open, lost or won; null without a dispute.';
comment on column api.payments.receipt_number is 'The receipt''s number, once paid.';
grant select on api.payments to authenticated, service_role;
create or replace trigger tg_payments__read_only
instead of insert or update or delete on api.payments
for each row execute function app.refuse_change();

create or replace view api.refunds with (security_invoker = true) as
select
    r.id, r.user_id, r.payment_id, r.stripe_refund_id, r.amount_cents, r.currency, r.status, r.reason,
    r.failure_reason, r.credits, r.created_at, r.updated_at
from app.refunds as r;
comment on view api.refunds is $$Money that went back to the caller

Or is on its way. Newest by `order=id.desc`.$$;
comment on column api.refunds.id is 'Time-ordered id.';
comment on column api.refunds.user_id is 'The payer.';
comment on column api.refunds.payment_id is 'The payment.';
comment on column api.refunds.stripe_refund_id is 'The refund at Stripe.';
comment on column api.refunds.amount_cents is 'Cents.';
comment on column api.refunds.currency is 'ISO code in lower case.';
comment on column api.refunds.status is 'pending, succeeded or failed.';
comment on column api.refunds.reason is 'Why.';
comment on column api.refunds.failure_reason is 'Why it failed.';
comment on column api.refunds.credits is 'Credits taken back for it.';
comment on column api.refunds.created_at is 'When it was asked for.';
comment on column api.refunds.updated_at is 'When it last changed.';
grant select on api.refunds to authenticated, service_role;

create or replace view api.disputes with (security_invoker = true) as
select
    d.id, d.user_id, d.payment_id, d.stripe_dispute_id, d.amount_cents, d.currency, d.status, d.reason,
    d.fee_cents, d.credits, d.created_at, d.updated_at, d.settled_at
from app.disputes as d;
comment on view api.disputes is $$Payments of the caller that their bank calls into question

While one is open, what the payment bought is frozen. Newest by `order=id.desc`.$$;
comment on column api.disputes.id is 'Time-ordered id.';
comment on column api.disputes.user_id is 'The payer.';
comment on column api.disputes.payment_id is 'The payment.';
comment on column api.disputes.stripe_dispute_id is 'The dispute at Stripe.';
comment on column api.disputes.amount_cents is 'Cents.';
comment on column api.disputes.currency is 'ISO code in lower case.';
comment on column api.disputes.status is 'inquiry, closed, open, lost or won.';
comment on column api.disputes.reason is 'What the payer told their bank, in Stripe''s words.';
comment on column api.disputes.fee_cents is 'What Stripe charges the platform for it.';
comment on column api.disputes.credits is 'Credits that are frozen or gone for it.';
comment on column api.disputes.created_at is 'When it came.';
comment on column api.disputes.updated_at is 'When it last changed.';
comment on column api.disputes.settled_at is 'When it was decided.';
grant select on api.disputes to authenticated, service_role;

create or replace view api.billing_history with (security_invoker = true) as
select
    p.user_id, p.id, 'payment' as kind, p.id as payment_id, p.processed_at as happened_at, p.amount_cents, p.currency,
    app.payment_description(p.package_name, p.credits_purchased, p.bonus_credits) as description,
    app.receipt_number(p.receipt_year, p.receipt_serial, p.receipt_seller ->> 'receipt_prefix') as receipt_number
from app.payments as p
where p.status = 'succeeded'
union all
select
    r.user_id, r.id, 'refund', r.payment_id, r.updated_at, -r.amount_cents, r.currency, concat_ws(': ', 'Refund', r.reason),
    null
from app.refunds as r
where r.status = 'succeeded'
union all
select
    d.user_id, d.id, 'dispute', d.payment_id, d.updated_at, -d.amount_cents, d.currency, 'Dispute: ' || d.status, null
from app.disputes as d
where d.status in ('open', 'lost');
comment on view api.billing_history is $$Everything the caller paid and got back

Newest by `order=happened_at.desc`.$$;
comment on column api.billing_history.user_id is 'The caller.';
comment on column api.billing_history.id is 'The payment, refund or dispute.';
comment on column api.billing_history.kind is 'payment, refund or dispute.';
comment on column api.billing_history.payment_id is 'The payment that it is about.';
comment on column api.billing_history.happened_at is 'When.';
comment on column api.billing_history.amount_cents is 'Cents paid; below zero when they went back.';
comment on column api.billing_history.currency is 'ISO code in lower case.';
comment on column api.billing_history.description is 'In words.';
comment on column api.billing_history.receipt_number is 'The receipt of a payment.';
grant select on api.billing_history to authenticated, service_role;
create or replace trigger tg_billing_history__read_only
instead of insert or update or delete on api.billing_history
for each row execute function app.refuse_change();

create or replace view api.receipts with (security_invoker = true) as
select
    r.payment_id, r.user_id, r.number, r.issued_at, r.seller_name, r.seller_address, r.seller_tax_id, r.seller_email,
    r.seller_website, r.seller_note, r.buyer_name, r.package, r.credits, r.bonus_credits, r.amount_cents, r.currency,
    r.payment_method, r.refunded_cents, r.net_cents, r.refunds, r.is_live
from app.receipts as r;
comment on view api.receipts is $$The caller's receipts

One for every payment that succeeded. With `Accept: text/html` they come as pages to print.$$;
comment on column api.receipts.payment_id is 'The payment.';
comment on column api.receipts.user_id is 'The payer.';
comment on column api.receipts.number is 'Sequential within its year, without gaps.';
comment on column api.receipts.issued_at is 'When it was paid.';
comment on column api.receipts.seller_name is 'Who sold.';
comment on column api.receipts.seller_address is 'Where they are; several lines.';
comment on column api.receipts.seller_tax_id is 'Their tax number.';
comment on column api.receipts.seller_email is 'How to reach them.';
comment on column api.receipts.seller_website is 'Their site.';
comment on column api.receipts.seller_note is 'What they want printed below.';
comment on column api.receipts.buyer_name is 'Who bought.';
comment on column api.receipts.package is 'What was bought.';
comment on column api.receipts.credits is 'Credits bought.';
comment on column api.receipts.bonus_credits is 'Credits on top.';
comment on column api.receipts.amount_cents is 'Price in cents.';
comment on column api.receipts.currency is 'ISO code in lower case.';
comment on column api.receipts.payment_method is 'How it was paid.';
comment on column api.receipts.refunded_cents is 'What went back, in cents.';
comment on column api.receipts.net_cents is 'What is left, in cents.';
comment on column api.receipts.refunds is 'Each refund: refunded_at, amount_cents, credits.';
comment on column api.receipts.is_live is 'False: a test, no money was moved.';
grant select on api.receipts to authenticated, service_role;
create or replace trigger tg_receipts__read_only
instead of insert or update or delete on api.receipts
for each row execute function app.refuse_change();

create or replace function api.receipt(payment_id uuid)
returns api.receipts
language sql stable
set search_path = ''
begin atomic
    select row(r.*)::api.receipts from app.receipt(receipt.payment_id) as r;
end;
comment on function api.receipt(uuid) is $$One receipt, as data or as a page

For whoever paid, and the service role. With `Accept: text/html` a page that prints well. Amounts in cents. Errors: 401 login_required, 404 receipt_not_found.$$;
grant execute on function api.receipt(uuid) to authenticated, service_role;

create or replace function app.append_receipt_page(pages api."text/html", receipt api.receipts)
returns api."text/html"
language sql stable
set search_path = ''
return (
    coalesce(append_receipt_page.pages::text, '')
    || app.receipt_html(jsonb_populate_record(null::app.receipts, to_jsonb(append_receipt_page.receipt)))
)::api."text/html";
comment on function app.append_receipt_page(api."text/html", api.receipts) is $$Receipts as pages, one after the other$$;

-- PostgREST finds it by what it takes and gives: receipts in, text/html out.
create or replace aggregate api.receipt_pages (api.receipts)(
    sfunc = app.append_receipt_page,
    stype = api."text/html"
);
comment on aggregate api.receipt_pages (api.receipts) is $$Receipts as pages to print

What `Accept: text/html` on receipts gives.$$;
grant execute on function api.receipt_pages(api.receipts) to authenticated, service_role;

create or replace view api.seller with (security_invoker = true) as
select s.name, s.address, s.tax_id, s.email, s.website, s.note, s.receipt_prefix, s.updated_at
from app.seller as s;
comment on view api.seller is $$Who sells, as printed on receipts

One row. The operator changes it in `app.seller`.$$;
comment on column api.seller.name is 'Name.';
comment on column api.seller.address is 'Address; several lines.';
comment on column api.seller.tax_id is 'Tax number.';
comment on column api.seller.email is 'How to reach them.';
comment on column api.seller.website is 'Their site.';
comment on column api.seller.note is 'Printed at the foot.';
comment on column api.seller.receipt_prefix is 'What receipt numbers begin with.';
comment on column api.seller.updated_at is 'When it last changed.';
grant select on api.seller to anon, authenticated, service_role;

create or replace function api.payment_figures(
    days integer default 7,
    out started bigint, out succeeded bigint, out failed bigint, out canceled bigint, out waiting bigint,
    out success_basis_points bigint, out charged_cents bigint, out refunded_cents bigint, out disputed_cents bigint,
    out failure_reasons jsonb, out events_parked bigint, out events_failed bigint, out requests_pending bigint,
    out slowest_webhook_seconds bigint)
returns record
language sql stable
set search_path = ''
begin atomic
    select
        f.started, f.succeeded, f.failed, f.canceled, f.waiting, f.success_basis_points, f.charged_cents, f.refunded_cents,
        f.disputed_cents, f.failure_reasons, f.events_parked, f.events_failed, f.requests_pending,
        f.slowest_webhook_seconds
    from app.payment_figures(days) as f;
end;
comment on function api.payment_figures(integer) is $$How payments are doing

For the service role only. Payments begun in the last `days` (default 7) by outcome; `success_basis_points` of those that succeeded or failed (9750 = 97.5 %); cents charged, refunded, disputed; failures by Stripe's code; and what waits: events parked and failed, requests without an answer, the slowest webhook in seconds. Errors: 400 invalid_days.$$;
grant execute on function api.payment_figures(integer) to service_role;
