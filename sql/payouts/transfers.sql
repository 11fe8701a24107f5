-- What Stripe makes of payouts: transfers, refusals, reversals.

create or replace function app.settle_payout(payout app.payouts, stripe_transfer_id text)
returns app.payouts
language plpgsql volatile
set search_path = ''
as $$
declare
    v_creator_id constant uuid := (settle_payout.payout).creator_id;
    v_microdollars constant bigint := (settle_payout.payout).amount_cents * 10000;
    v_sent_transaction_id constant uuid := app.new_id();
    v_payout app.payouts := settle_payout.payout;
begin
    if v_payout.status in ('failed', 'canceled') then
        -- It was given up here and made at Stripe after all: the money has left, even if that leaves less than nothing.
        v_payout.transaction_id := app.new_id();
        perform app.set_aside(v_payout);
    end if;
    perform ledger.post(
        v_creator_id, v_sent_transaction_id,
        array[
            ledger.posting(
                'payout_sent', 'usd', v_creator_id, 'payouts', v_creator_id, 'paid', v_microdollars,
                'payout', v_payout.id),
            ledger.posting(
                'transfer', 'usd', ledger.platform_id(), 'stripe', ledger.platform_id(), 'royalties', v_microdollars,
                'payout', v_payout.id)]);
    update app.payouts as p
    set status = 'paid', stripe_transfer_id = settle_payout.stripe_transfer_id,
        transaction_id = v_payout.transaction_id, sent_transaction_id = v_sent_transaction_id,
        hold_reason = null, failure_code = null, failure_reason = null, processed_at = now(), updated_at = now()
    where p.id = v_payout.id
    returning p.* into v_payout;
    return v_payout;
end;
$$;
comment on function app.settle_payout(app.payouts, text) is $$Stripe has made the transfer of a payout

The money is the creator's, and gone from the platform's balance. The caller holds the payout's lock.$$;

create or replace function app.reverse_payout(payout app.payouts, reversal jsonb)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_creator_id constant uuid := (reverse_payout.payout).creator_id;
    v_sent_id constant uuid := (reverse_payout.payout).sent_transaction_id;
    v_cents constant bigint := (reverse_payout.reversal ->> 'amount')::bigint;
    v_reversal_id constant uuid := app.new_id();
    v_transaction_id constant uuid := app.new_id();
begin
    insert into app.payout_reversals (
        id, payout_id, creator_id, stripe_reversal_id, amount_cents, currency, transaction_id)
    values (
        v_reversal_id, (reverse_payout.payout).id, v_creator_id, app.require_stripe_id(reverse_payout.reversal),
        v_cents, reverse_payout.reversal ->> 'currency', v_transaction_id)
    on conflict (stripe_reversal_id) do nothing;
    if not found then
        return;
    end if;
    perform ledger.post(
        v_creator_id, v_transaction_id,
        array[
            ledger.posting(
                'payout_reversed', 'usd', v_creator_id, 'paid', v_creator_id, 'earnings', v_cents * 10000,
                'payout_reversal', v_reversal_id, app.movement_of(v_creator_id, v_sent_id, 'payout_sent')),
            ledger.posting(
                'transfer_reversed', 'usd', ledger.platform_id(), 'royalties', ledger.platform_id(), 'stripe',
                v_cents * 10000, 'payout_reversal', v_reversal_id,
                app.movement_of(v_creator_id, v_sent_id, 'transfer'))]);
    update app.payouts as p
    set reversed_cents = p.reversed_cents + v_cents, updated_at = now()
    where p.id = (reverse_payout.payout).id;
end;
$$;
comment on function app.reverse_payout(app.payouts, jsonb) is $$A transfer was taken back at Stripe: what came back is owed to the creator again

Each reversal once, whole or in part. The caller holds the payout's lock.$$;

create or replace function app.apply_stripe_transfer(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant text := app.require_stripe_id(apply_stripe_transfer.object);
    v_payout app.payouts;
    v_request_id constant uuid := app.uuid_or_null(apply_stripe_transfer.object #>> '{metadata,request_id}');
    v_reversal jsonb;
begin
    -- The request first, as where its answer is recorded.
    perform from app.stripe_requests as r where r.id = v_request_id and r.kind = 'transfer' for update;
    perform app.lock_stripe_object(v_id);
    select p.* into v_payout
    from app.payouts as p
    where p.id = app.uuid_or_null(apply_stripe_transfer.object #>> '{metadata,payout_id}')
    for update;
    if not found then
        return ('ignored', null)::app.stripe_outcome;
    elsif v_payout.stripe_transfer_id <> v_id then
        perform app.fail(
            422, 'transfer_repeated', 'Stripe made a second transfer for a payout. Reverse it there.',
            format('%s came after %s.', v_id, v_payout.stripe_transfer_id));
    elsif (apply_stripe_transfer.object ->> 'amount')::bigint is distinct from v_payout.amount_cents
        or apply_stripe_transfer.object ->> 'currency' is distinct from v_payout.currency
        or apply_stripe_transfer.object ->> 'destination' is distinct from v_payout.stripe_account_id
    then
        perform app.fail(
            422, 'amount_mismatch', 'Stripe transferred something else than was asked for.',
            format(
                '%s %s to %s instead of %s %s to %s',
                apply_stripe_transfer.object ->> 'amount', apply_stripe_transfer.object ->> 'currency',
                apply_stripe_transfer.object ->> 'destination',
                v_payout.amount_cents, v_payout.currency, v_payout.stripe_account_id));
    end if;
    if v_payout.status <> 'paid' then
        v_payout := app.settle_payout(v_payout, v_id);
        -- An answer, whichever way it came.
        update app.stripe_requests as r
        set state = 'succeeded', stripe_id = v_id, answered_at = now(), error_code = null, error_message = null
        where r.id = v_request_id and r.subject_id = v_payout.id and r.state in ('pending', 'withdrawn');
    end if;
    for v_reversal in
        select r.reversal
        from jsonb_path_query(apply_stripe_transfer.object, 'lax $.reversals.data[*]') as r (reversal)
        order by (r.reversal ->> 'created')::bigint, r.reversal ->> 'id'
    loop
        perform app.reverse_payout(v_payout, v_reversal);
    end loop;
    if (select p.reversed_cents from app.payouts as p where p.id = v_payout.id)
        < (apply_stripe_transfer.object ->> 'amount_reversed')::bigint
    then
        perform app.fail(
            422, 'reversals_missing', 'Stripe does not list all reversals of this transfer.',
            'It shows the newest ones only. Replay the events of the earlier ones first.');
    end if;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_transfer(jsonb) is $$What a transfer at Stripe does here

It pays its payout once, whatever had become of that here; its reversals give back what they took, each once. Errors: 422 amount_mismatch, 422 reversals_missing, 422 transfer_repeated.$$;

create or replace function app.start_transfer()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    update app.payouts as p
    set status = 'processing', updated_at = now()
    where p.id = new.subject_id and p.status = 'pending';
    return null;
end;
$$;
comment on function app.start_transfer() is $$Trigger: Stripe is being asked, so the payout cannot be stopped any more$$;

create or replace trigger tg_stripe_requests__start_transfer
after update of attempts on app.stripe_requests
for each row when (new.kind = 'transfer' and old.attempts = 0 and new.attempts > 0)
execute function app.start_transfer();

create or replace function app.payout_failure_text(code text)
returns text
language sql immutable
set search_path = ''
return case
    when payout_failure_text.code in ('insufficient_capabilities_for_transfer', 'transfers_not_allowed')
        then 'Your Stripe account cannot receive transfers at the moment.'
    when payout_failure_text.code in ('account_invalid', 'account_closed', 'resource_missing', 'no_account')
        then 'Your Stripe account is not connected any more.'
    else 'Stripe refused the transfer.'
end;
comment on function app.payout_failure_text(text) is $$Why a payout failed, in words for its creator$$;

create or replace function app.end_transfer_request()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_payout app.payouts;
begin
    select p.* into v_payout
    from app.payouts as p
    where p.id = new.subject_id and p.status in ('pending', 'processing')
    for update;
    if found then
        perform app.give_back_payout(v_payout, 'failed', new.error_code, app.payout_failure_text(new.error_code));
    end if;
    return null;
end;
$$;
comment on function app.end_transfer_request() is $$Trigger: Stripe refused a transfer for good

Its money goes back to the creator's balance.$$;

create or replace trigger tg_stripe_requests__end_transfer
after update of state on app.stripe_requests
for each row when (new.state = 'failed' and new.kind = 'transfer')
execute function app.end_transfer_request();

create or replace function app.apply_stripe_connect_payout(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_creator_id constant uuid := (
        select a.user_id
        from app.payout_accounts as a
        where a.stripe_account_id = apply_stripe_connect_payout.object #>> '{connect,account}');
begin
    if v_creator_id is null or apply_stripe_connect_payout.object ->> 'status' is distinct from 'failed' then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    perform app.notify(
        v_creator_id, 'payout_bank_refused', app.require_stripe_id(apply_stripe_connect_payout.object),
        jsonb_build_object(
            'amount', app.money_text(
                (apply_stripe_connect_payout.object ->> 'amount')::bigint, apply_stripe_connect_payout.object ->> 'currency'),
            'reason', coalesce(apply_stripe_connect_payout.object ->> 'failure_code', 'unknown')));
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_connect_payout(jsonb) is $$A creator's bank did not take what Stripe sent it

The money is in their account at Stripe: nothing moves here, they are told.$$;

create or replace function app.payout_movements()
returns setof app.stripe_movement
language sql stable
set search_path = ''
begin atomic
    select
        coalesce(p.stripe_transfer_id, r.stripe_reversal_id),
        t.kind::text,
        case when t.credit_kind = 'stripe' then t.amount else -t.amount end / 10000,
        format('%s %s of %s', t.reference_type, t.reference_id, t.book_id)
    from ledger.transfers as t
    left join app.payouts as p on t.reference_type = 'payout' and p.id = t.reference_id
    left join app.payout_reversals as r on t.reference_type = 'payout_reversal' and r.id = t.reference_id
    where (t.credit_kind = 'stripe' or t.debit_kind = 'stripe')
        and t.reference_type in ('payout', 'payout_reversal');
end;
comment on function app.payout_movements() is $$Transfers and their reversals, under Stripe's names$$;
