-- What the page sees to which a checkout returns. The unguessable id of the session is all it has.

create or replace function app.checkout_result(
    session_id text,
    out payment_id uuid, out status text, out package text, out credits bigint, out balance bigint,
    out failure_reason text, out receipt_number text)
returns setof record
language sql stable security definer
set search_path = ''
begin atomic
    select
        p.id, p.status, p.package_name, p.credits_purchased + p.bonus_credits,
        ledger.available_credits(p.user_id), p.failure_reason,
        app.receipt_number(p.receipt_year, p.receipt_serial, p.receipt_seller ->> 'receipt_prefix')
    from app.payments as p
    where p.stripe_checkout_session_id = checkout_result.session_id;
end;
comment on function app.checkout_result(text) is $$What became of a checkout, for the page to which it returns

The session's id cannot be guessed: whoever has it, paid. No row for an unknown one.$$;
grant execute on function app.checkout_result(text) to edge;

create or replace function app.checkout_receipt(session_id text)
returns text
language sql stable security definer
set search_path = ''
return (
    select app.receipt_html(r)
    from app.payments as p
    inner join app.receipts as r on r.payment_id = p.id
    where p.stripe_checkout_session_id = checkout_receipt.session_id
);
comment on function app.checkout_receipt(text) is $$The receipt page of a checkout; null while there is none$$;
grant execute on function app.checkout_receipt(text) to edge;
