-- What operators do with payouts. Each is on record in the audit log.

create or replace function app.hold_payout(payout_id uuid, reason text)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_reason constant text := app.require_text(hold_payout.reason, 'reason', 500);
    v_payout constant app.payouts := app.lock_payout_to_stop(hold_payout.payout_id, null);
begin
    update app.payouts as p
    set status = 'held', hold_reason = v_reason, updated_at = now()
    where p.id = v_payout.id;
    perform app.audit('hold_payout', v_payout.id::text, jsonb_build_object('reason', v_reason));
end;
$$;
comment on function app.hold_payout(uuid, text) is $$Keep a payout from being sent until it is released

`reason` is shown to its creator. Errors: 400 text_required, 400 text_too_long, 404 payout_not_found, 409 payout_not_pending.$$;
grant execute on function app.hold_payout(uuid, text) to service_role;

create or replace function app.release_payout(payout_id uuid)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_payout app.payouts;
begin
    select p.* into v_payout from app.payouts as p where p.id = release_payout.payout_id for update;
    if not found then
        perform app.fail(404, 'payout_not_found', 'There is no such payout.');
    elsif v_payout.status <> 'held' then
        perform app.fail(
            409, 'payout_not_held', 'Only a payout that is held can be released.', format('It is %s.', v_payout.status));
    end if;
    update app.payouts as p
    set status = 'pending', hold_reason = null, updated_at = now()
    where p.id = v_payout.id
    returning p.* into v_payout;
    perform app.ask_for_transfers(array[v_payout]);
    perform app.audit('release_payout', v_payout.id::text);
end;
$$;
comment on function app.release_payout(uuid) is $$Let a payout go that was held

Errors: 404 payout_not_found, 409 payout_not_held.$$;
grant execute on function app.release_payout(uuid) to service_role;

create or replace function app.stop_payout(payout_id uuid, reason text)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_reason constant text := app.require_text(stop_payout.reason, 'reason', 500);
    v_payout constant app.payouts := app.lock_payout_to_stop(stop_payout.payout_id, null);
begin
    perform app.give_back_payout(v_payout, 'canceled', 'canceled_by_operator', v_reason);
    perform app.audit('stop_payout', v_payout.id::text, jsonb_build_object('reason', v_reason));
end;
$$;
comment on function app.stop_payout(uuid, text) is $$Cancel a payout that was not sent: its money is back in the creator's balance

`reason` is shown to its creator. Errors: 400 text_required, 400 text_too_long, 404 payout_not_found, 409 payout_not_pending.$$;
grant execute on function app.stop_payout(uuid, text) to service_role;

create or replace function app.retry_payout(payout_id uuid)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_payout app.payouts;
    v_candidate app.payout_candidate;
    v_new app.payouts;
begin
    select p.* into v_payout from app.payouts as p where p.id = retry_payout.payout_id;
    if not found then
        perform app.fail(404, 'payout_not_found', 'There is no such payout.');
    elsif v_payout.status in ('pending', 'processing') then
        perform app.hurry_stripe_request('transfer', v_payout.id);
        return v_payout.id;
    end if;
    -- Stripe may be telling at this moment that it was made after all.
    select p.* into strict v_payout from app.payouts as p where p.id = retry_payout.payout_id for update;
    if v_payout.status <> 'failed' then
        perform app.fail(
            409, 'payout_not_failed', 'Only a payout that failed, or was not answered yet, can be tried again.',
            format('It is %s.', v_payout.status));
    end if;
    perform ledger.lock_earnings(array[v_payout.creator_id]);
    -- Whoever came first has made it.
    select p.* into v_new from app.payouts as p where p.retries_id = v_payout.id;
    if found and v_new.status = 'failed' then
        return app.retry_payout(v_new.id);
    elsif found then
        return v_new.id;
    end if;
    select c.* into strict v_candidate from app.payout_candidates(array[v_payout.creator_id], null) as c;
    perform app.require_payable(v_candidate);
    if v_candidate.available_microdollars < v_payout.amount_cents * 10000 then
        perform app.fail(
            422, 'not_enough_available', 'Less is available now than this payout was for.',
            app.available_text(v_candidate));
    end if;
    select p.* into strict v_new
    from app.new_payouts(array[v_candidate], v_payout.amount_cents, null, v_payout.id) as p;
    perform app.make_payouts(array[v_new]);
    perform app.audit('retry_payout', v_payout.id::text, jsonb_build_object('payout_id', v_new.id));
    return v_new.id;
end;
$$;
comment on function app.retry_payout(uuid) is $$Try a payout again

One that was not answered yet is sent now; for one that failed a new payout of the same amount is made, once. Returns the id of the payout that is on its way. Errors: 403 payout_account_required, 403 payout_account_incomplete, 403 payouts_under_review, 404 payout_not_found, 409 payout_not_failed, 409 payouts_paused, 422 not_enough_available.$$;
grant execute on function app.retry_payout(uuid) to service_role;

create or replace function app.review_creator(creator_id uuid, reason text)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_reason constant text := app.require_text(review_creator.reason, 'reason', 500);
begin
    perform app.require_creator(review_creator.creator_id);
    insert into app.payout_settings as s (creator_id, review_since, review_reason)
    values (review_creator.creator_id, now(), v_reason)
    on conflict on constraint payout_settings_pkey do update
    set review_since = coalesce(s.review_since, now()), review_reason = v_reason, updated_at = now();
    perform app.audit('review_creator', review_creator.creator_id::text, jsonb_build_object('reason', v_reason));
end;
$$;
comment on function app.review_creator(uuid, text) is $$Pay a creator nothing more until their review ends

Payouts that are made already go on; hold those one by one. Errors: 400 text_required, 400 text_too_long, 404 creator_not_found.$$;
grant execute on function app.review_creator(uuid, text) to service_role;

create or replace function app.end_review(creator_id uuid)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    perform app.require_creator(end_review.creator_id);
    update app.payout_settings as s
    set review_since = null, review_reason = null, updated_at = now()
    where s.creator_id = end_review.creator_id;
    perform app.audit('end_review', end_review.creator_id::text);
end;
$$;
comment on function app.end_review(uuid) is $$Pay a creator again

Errors: 404 creator_not_found.$$;
grant execute on function app.end_review(uuid) to service_role;

create or replace function app.require_creator(creator_id uuid)
returns void
language plpgsql stable
set search_path = ''
as $$
begin
    if not exists (select from app.profiles as p where p.id = require_creator.creator_id) then
        perform app.fail(404, 'creator_not_found', 'There is no such creator.');
    end if;
end;
$$;
comment on function app.require_creator(uuid) is $$Somebody who is known here

Errors: 404 creator_not_found.$$;

create or replace function app.adjust_earnings(
    creator_id uuid, amount_microdollars bigint, reason text, idempotency_key text)
returns bigint
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_reason constant text := app.require_text(adjust_earnings.reason, 'reason', 500);
    v_key constant text := ledger.operator_key(
        adjust_earnings.creator_id, coalesce(adjust_earnings.idempotency_key, ledger.header_key()));
    v_arguments constant jsonb := jsonb_build_array(
        adjust_earnings.creator_id, adjust_earnings.amount_microdollars, v_reason);
    v_answer jsonb;
    v_is_more constant boolean := adjust_earnings.amount_microdollars > 0;
begin
    perform app.require_creator(adjust_earnings.creator_id);
    if coalesce(adjust_earnings.amount_microdollars, 0) = 0
        or adjust_earnings.amount_microdollars not between -1000000000000 and 1000000000000
    then
        perform app.fail(
            400, 'invalid_amount', 'Please give an amount in micro-dollars, above or below zero.',
            'At most a million dollars.');
    end if;
    perform ledger.lock_wallet(adjust_earnings.creator_id);
    v_answer := ledger.replay(ledger.platform_id(), v_key, 'adjust_earnings', v_arguments);
    if v_answer is null then
        perform ledger.lock_earnings(array[adjust_earnings.creator_id]);
        perform ledger.post(
            adjust_earnings.creator_id, app.new_id(),
            array[ledger.posting(
                'correction', 'usd',
                case when v_is_more then ledger.platform_id() else adjust_earnings.creator_id end,
                case when v_is_more then 'royalties' else 'earnings' end,
                case when v_is_more then adjust_earnings.creator_id else ledger.platform_id() end,
                case when v_is_more then 'earnings' else 'royalties' end,
                abs(adjust_earnings.amount_microdollars), 'correction', null)]);
        v_answer := to_jsonb(ledger.balance(adjust_earnings.creator_id, 'earnings'));
        perform app.audit(
            'adjust_earnings', adjust_earnings.creator_id::text,
            jsonb_build_object('amount_microdollars', adjust_earnings.amount_microdollars, 'reason', v_reason));
        if v_key is not null then
            perform ledger.remember(ledger.platform_id(), v_key, 'adjust_earnings', v_arguments, v_answer);
        end if;
    end if;
    return (v_answer #>> '{}')::bigint;
end;
$$;
comment on function app.adjust_earnings(uuid, bigint, text, text) is $$Correct what a creator is owed, up or down

On the statement as an adjustment. Returns the balance in micro-dollars. Once per `idempotency_key`. Errors: 400 invalid_amount, 400 text_required, 400 text_too_long, 404 creator_not_found, 409 idempotency_mismatch.$$;
grant execute on function app.adjust_earnings(uuid, bigint, text, text) to service_role;
