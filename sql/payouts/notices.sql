-- What creators are told of their payouts, in the transaction that changes them.

create or replace function app.notify_payout()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_kind constant text := case new.status
        when 'paid' then 'payout_sent' when 'failed' then 'payout_failed' when 'held' then 'payout_held'
        when 'canceled' then 'payout_canceled' end;
    v_month constant text := (
        select to_char(b.month, 'FMMonth YYYY') from app.monthly_payout_batches as b where b.id = new.batch_id);
begin
    perform app.notify(
        new.creator_id, v_kind,
        -- It can be held again after it was released; everything else happens to a payout once.
        case new.status when 'held' then format('%s %s %s', v_kind, new.id, new.updated_at)
            else format('%s %s', v_kind, new.id) end,
        jsonb_build_object(
            'payout_id', new.id, 'batch_id', new.batch_id, 'month', v_month,
            'amount', app.money_text(new.amount_cents, new.currency), 'amount_cents', new.amount_cents,
            'currency', new.currency, 'reason', coalesce(new.hold_reason, new.failure_reason),
            'about', case
                when v_month is not null then format('It is your monthly payout for %s.', v_month)
                else 'It is the payout that you asked for.' end));
    return null;
end;
$$;
comment on function app.notify_payout() is $$Trigger: the creator is told what becomes of a payout$$;

-- Of what they did themselves nobody needs a letter.
create or replace trigger tg_payouts__notify_new
after insert on app.payouts
for each row when (new.status = 'held')
execute function app.notify_payout();
create or replace trigger tg_payouts__notify
after update of status on app.payouts
for each row when (
    new.status <> old.status and new.status in ('paid', 'failed', 'held', 'canceled')
    and not (new.status = 'canceled' and new.failure_code is not distinct from 'canceled_by_creator'))
execute function app.notify_payout();

create or replace function app.notify_payout_reversal()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_payout app.payouts;
begin
    select p.* into strict v_payout from app.payouts as p where p.id = new.payout_id;
    perform app.notify(
        new.creator_id, 'payout_reversed', format('payout_reversed %s', new.id),
        jsonb_build_object(
            'payout_id', new.payout_id, 'reversal_id', new.id,
            'amount', app.money_text(new.amount_cents, new.currency), 'amount_cents', new.amount_cents,
            'currency', new.currency, 'payout_amount', app.money_text(v_payout.amount_cents, v_payout.currency)));
    return null;
end;
$$;
comment on function app.notify_payout_reversal() is $$Trigger: the creator is told that a payout came back$$;

create or replace trigger tg_payout_reversals__notify
after insert on app.payout_reversals
for each row execute function app.notify_payout_reversal();

create or replace function app.notify_payout_skip()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_account app.payout_accounts;
    v_message text;
    v_missing text[];
begin
    select a.* into v_account
    from app.payout_accounts as a
    where a.user_id = new.creator_id and a.is_live = (select e.payouts_are_live from app.economy as e);
    select d.message, d.missing into v_message, v_missing from app.describe_payout_state(v_account) as d;
    perform app.notify(
        new.creator_id, 'payout_action_needed', format('payout_action_needed %s %s', new.batch_id, new.creator_id),
        jsonb_build_object(
            'batch_id', new.batch_id,
            'amount', app.money_text(new.available_microdollars / 10000, app.payout_currency()),
            'amount_cents', new.available_microdollars / 10000, 'currency', app.payout_currency(),
            'missing', v_missing, 'reason', array_to_string(v_message || v_missing, E'\n- ')));
    return null;
end;
$$;
comment on function app.notify_payout_skip() is $$Trigger: a creator whose money waits is told what is missing$$;

create or replace trigger tg_payout_skips__notify
after insert on app.payout_skips
for each row when (new.reason = 'not_verified')
execute function app.notify_payout_skip();
