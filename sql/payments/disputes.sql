-- Payments that the payer's bank calls into question.

create or replace function app.dispute_status(stripe_status text)
returns text
language plpgsql immutable
set search_path = ''
as $$
declare
    v_status constant text := case
        when dispute_status.stripe_status in ('warning_needs_response', 'warning_under_review') then 'inquiry'
        when dispute_status.stripe_status in ('warning_closed', 'prevented') then 'closed'
        when dispute_status.stripe_status in ('needs_response', 'under_review') then 'open'
        when dispute_status.stripe_status in ('lost', 'won') then dispute_status.stripe_status
    end;
begin
    if v_status is null then
        perform app.fail(
            422, 'unknown_dispute_status', 'Stripe speaks of a kind of dispute that is not known here.',
            dispute_status.stripe_status);
    end if;
    return v_status;
end;
$$;
comment on function app.dispute_status(text) is $$Stripe's state of a dispute in our words

Errors: 422 unknown_dispute_status.$$;

create or replace function app.apply_stripe_dispute(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    c_ranks constant text[] := array['inquiry', 'closed', 'open', 'lost', 'won'];
    v_id constant text := app.require_stripe_id(apply_stripe_dispute.object);
    v_intent_id constant text := apply_stripe_dispute.object ->> 'payment_intent';
    v_status constant text := app.dispute_status(apply_stripe_dispute.object ->> 'status');
    v_payment app.payments;
    v_dispute app.disputes;
begin
    if v_intent_id is null then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    v_payment := app.lock_paid_payment(apply_stripe_dispute.object);
    if v_payment.id is null then
        return ('parked', v_intent_id)::app.stripe_outcome;
    end if;
    insert into app.disputes (user_id, payment_id, stripe_dispute_id, amount_cents, currency, status, reason)
    values (
        v_payment.user_id, v_payment.id, v_id,
        (apply_stripe_dispute.object ->> 'amount')::bigint, apply_stripe_dispute.object ->> 'currency', 'inquiry',
        apply_stripe_dispute.object ->> 'reason')
    on conflict do nothing;
    select d.* into strict v_dispute
    from app.disputes as d
    where d.stripe_dispute_id = v_id and d.payment_id = v_payment.id;
    update app.disputes as d
    set fee_cents = greatest(d.fee_cents, coalesce((
            select sum((b.line ->> 'fee')::bigint)
            from jsonb_path_query(apply_stripe_dispute.object, 'lax $.balance_transactions[*]') as b (line)), 0))
    where d.id = v_dispute.id;
    if array_position(c_ranks, v_status) > array_position(c_ranks, v_dispute.status) then
        if v_dispute.status in ('inquiry', 'closed') and v_status in ('open', 'lost', 'won') then
            v_dispute := app.open_dispute(v_payment, v_dispute);
        end if;
        if v_status in ('lost', 'won') then
            perform app.decide_dispute(v_payment, v_dispute, v_status);
        end if;
        update app.disputes as d
        set status = v_status, updated_at = now(),
            settled_at = case when v_status in ('lost', 'won', 'closed') then now() end
        where d.id = v_dispute.id;
        if v_status = 'won' then
            perform app.recall_what_is_missing(v_payment);
        end if;
    end if;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_dispute(jsonb) is $$What a dispute at Stripe does here

An inquiry moves nothing. An open dispute freezes what the payment bought; won gives it back, lost ends it, each once, in whatever order the news come. Errors: 422 amount_mismatch, 422 unknown_dispute_status.$$;

create or replace function app.open_dispute(payment app.payments, dispute app.disputes)
returns app.disputes
language plpgsql volatile
set search_path = ''
as $$
declare
    v_credits constant bigint := app.recall_payment(
        open_dispute.payment, (open_dispute.dispute).amount_cents, 'dispute', (open_dispute.dispute).id);
    v_dispute app.disputes;
begin
    update app.disputes as d
    set status = 'open', credits = v_credits,
        transaction_id = app.post_stripe_money(
            open_dispute.payment, 'dispute', 'stripe', 'disputed', d.amount_cents, 'dispute', d.id)
    where d.id = (open_dispute.dispute).id
    returning d.* into v_dispute;
    return v_dispute;
end;
$$;
comment on function app.open_dispute(app.payments, app.disputes) is $$Stripe withholds the money: so do we$$;

create or replace function app.decide_dispute(payment app.payments, dispute app.disputes, status text)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    if decide_dispute.status = 'lost' then
        perform app.post_stripe_money(
            decide_dispute.payment, 'dispute_lost', 'disputed', 'sales', (decide_dispute.dispute).amount_cents,
            'dispute', (decide_dispute.dispute).id);
        perform ledger.settle_recalls((decide_dispute.payment).user_id, 'dispute', (decide_dispute.dispute).id);
    else
        -- Banks do change their mind after a dispute was lost.
        perform app.post_stripe_money(
            decide_dispute.payment, 'dispute_won',
            case (decide_dispute.dispute).status when 'lost' then 'sales' else 'disputed' end, 'stripe',
            (decide_dispute.dispute).amount_cents, 'dispute', (decide_dispute.dispute).id);
        perform ledger.release_recalls((decide_dispute.payment).user_id, 'dispute', (decide_dispute.dispute).id);
    end if;
end;
$$;
comment on function app.decide_dispute(app.payments, app.disputes, text) is $$The bank has decided: lost ends it, won gives back$$;
