-- What payers are told: refunds and disputes, in the transaction that changes them.

create or replace function app.notify_refund()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_kind constant text := case new.status
        when 'pending' then 'refund_on_its_way' when 'succeeded' then 'refund_paid' when 'failed' then 'refund_failed' end;
    -- Stripe's word for it, or what it said to us, is not for the payer's eyes.
    v_reason constant text := case
        when new.status <> 'failed' then null
        when new.failure_reason = 'expired_or_canceled_card' then 'the card has expired or was canceled.'
        when new.failure_reason = 'lost_or_stolen_card' then 'the card was reported lost or stolen.'
        when new.failure_reason = 'declined' then 'the bank declined it.'
        else 'it could not be brought to your bank or card.' end;
begin
    perform app.notify(
        new.user_id, v_kind, format('%s %s', v_kind, new.id),
        jsonb_build_object(
            'refund_id', new.id, 'payment_id', new.payment_id,
            'amount', app.money_text(new.amount_cents, new.currency), 'amount_cents', new.amount_cents,
            'currency', new.currency, 'credits', new.credits, 'reason', v_reason));
    return null;
end;
$$;
comment on function app.notify_refund() is $$Trigger: the payer is told how their refund goes$$;

create or replace trigger tg_refunds__notify_new
after insert on app.refunds
for each row execute function app.notify_refund();
create or replace trigger tg_refunds__notify
after update of status on app.refunds
for each row when (new.status <> old.status)
execute function app.notify_refund();

create or replace function app.notify_dispute()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_kind constant text := case new.status
        when 'open' then 'dispute_opened' when 'won' then 'dispute_won' when 'lost' then 'dispute_lost' end;
begin
    perform app.notify(
        new.user_id, v_kind, format('%s %s', v_kind, new.id),
        jsonb_build_object(
            'dispute_id', new.id, 'payment_id', new.payment_id,
            'amount', app.money_text(new.amount_cents, new.currency), 'amount_cents', new.amount_cents,
            'currency', new.currency, 'credits', new.credits));
    return null;
end;
$$;
comment on function app.notify_dispute() is $$Trigger: the payer is told how their bank decides$$;

-- An inquiry moves nothing, and its end does not either: of those nobody is told.
create or replace trigger tg_disputes__notify
after update of status on app.disputes
for each row when (new.status <> old.status and new.status in ('open', 'won', 'lost'))
execute function app.notify_dispute();
