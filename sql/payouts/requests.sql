-- What creators ask for themselves.

create or replace function app.payout_cents(amount_usd numeric)
returns bigint
language plpgsql immutable
set search_path = ''
as $$
begin
    if payout_cents.amount_usd in ('NaN', 'Infinity', '-Infinity')
        or payout_cents.amount_usd not between 0.01 and 1000000000
        or payout_cents.amount_usd <> round(payout_cents.amount_usd, 2)
    then
        perform app.fail(
            400, 'invalid_amount', 'Please ask for a sum in whole cents, such as 12.50.',
            'From 0.01 on; without an amount everything that is available is paid.');
    end if;
    return (payout_cents.amount_usd * 100)::bigint;
end;
$$;
comment on function app.payout_cents(numeric) is $$An amount in dollars as cents; null stays null

Errors: 400 invalid_amount.$$;

create or replace function app.require_payable(candidate app.payout_candidate)
returns void
language plpgsql stable
set search_path = ''
as $$
declare
    v_account app.payout_accounts;
    v_state record;
begin
    if (require_payable.candidate).stripe_account_id is null then
        select a.* into v_account
        from app.payout_accounts as a
        where a.user_id = (require_payable.candidate).creator_id and a.is_live = (require_payable.candidate).is_live;
        v_state := app.describe_payout_state(v_account);
        if v_state.state in ('none', 'deauthorized') then
            perform app.fail(403, 'payout_account_required', v_state.message, 'POST /creators/connect at the edge begins it.');
        end if;
        perform app.fail(
            403, 'payout_account_incomplete', v_state.message, nullif(array_to_string(v_state.missing, ' '), ''));
    end if;
    case (require_payable.candidate).reason
        when 'under_review' then
            perform app.fail(403, 'payouts_under_review', 'Your payouts are being reviewed. We will write to you.');
        when 'paused' then
            perform app.fail(409, 'payouts_paused', 'You have paused your payouts. Resume them first.');
        else null;
    end case;
end;
$$;
comment on function app.require_payable(app.payout_candidate) is $$Let only creators go on who can be paid at all, however much

Errors: 403 payout_account_required, 403 payout_account_incomplete, 403 payouts_under_review, 409 payouts_paused.$$;

create or replace function app.request_payout(
    amount_usd numeric, idempotency_key text,
    out payout_id uuid, out amount_cents bigint, out currency text, out status text, out available_microdollars bigint)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_creator_id constant uuid := app.require_user();
    v_key constant text := coalesce(request_payout.idempotency_key, ledger.header_key());
    v_arguments constant jsonb := jsonb_build_array(trim_scale(request_payout.amount_usd)::text);
    v_answer jsonb;
    v_candidate app.payout_candidate;
    v_payout app.payouts;
begin
    amount_cents := app.payout_cents(request_payout.amount_usd);
    perform ledger.lock_wallet(v_creator_id);
    if v_key is not null then
        v_answer := ledger.replay(v_creator_id, v_key, 'request_payout', v_arguments);
    end if;
    if v_answer is null then
        perform ledger.lock_earnings(array[v_creator_id]);
        select c.* into strict v_candidate from app.payout_candidates(array[v_creator_id], null) as c;
        perform app.require_payable(v_candidate);
        amount_cents := coalesce(amount_cents, greatest(v_candidate.available_microdollars, 0) / 10000);
        if amount_cents < v_candidate.minimum_cents then
            perform app.fail(
                422, 'below_minimum_payout',
                format('At least %s is paid out at a time.', app.money_text(v_candidate.minimum_cents, app.payout_currency())),
                app.available_text(v_candidate));
        elsif amount_cents > v_candidate.available_microdollars / 10000 then
            perform app.fail(
                422, 'not_enough_available', 'You do not have that much available.', app.available_text(v_candidate));
        end if;
        select p.* into strict v_payout from app.new_payouts(array[v_candidate], amount_cents, null, null) as p;
        perform app.make_payouts(array[v_payout]);
        v_answer := jsonb_build_object(
            'payout_id', v_payout.id,
            'available_microdollars', v_candidate.available_microdollars - amount_cents * 10000);
        if v_key is not null then
            perform ledger.remember(v_creator_id, v_key, 'request_payout', v_arguments, v_answer);
        end if;
    end if;
    available_microdollars := (v_answer ->> 'available_microdollars')::bigint;
    select p.id, p.amount_cents, p.currency, p.status
    into payout_id, request_payout.amount_cents, request_payout.currency, request_payout.status
    from app.payouts as p
    where p.id = (v_answer ->> 'payout_id')::uuid;
end;
$$;
comment on function app.request_payout(numeric, text) is $$Pay the caller what is available, or a part of it

Locks the caller's wallet (for the idempotency key) and earnings, so that two requests, or a request and a batch, never pay the same money. Errors: see api.request_payout.$$;
grant execute on function app.request_payout(numeric, text) to authenticated, service_role;

create or replace function app.available_text(candidate app.payout_candidate)
returns text
language sql immutable
set search_path = ''
return format(
    '%s is available, and %s waits inside the hold.',
    app.microdollar_text((available_text.candidate).available_microdollars, app.payout_currency()),
    app.microdollar_text(
        (available_text.candidate).balance_microdollars - (available_text.candidate).available_microdollars,
        app.payout_currency()));
comment on function app.available_text(app.payout_candidate) is $$What a creator has, in words$$;

create or replace function app.lock_payout_to_stop(payout_id uuid, creator_id uuid)
returns app.payouts
language plpgsql volatile
set search_path = ''
as $$
declare
    v_payout app.payouts;
begin
    select p.* into v_payout
    from app.payouts as p
    where p.id = lock_payout_to_stop.payout_id
        and p.creator_id = coalesce(lock_payout_to_stop.creator_id, p.creator_id)
    for update;
    if not found then
        perform app.fail(404, 'payout_not_found', 'There is no such payout.');
    elsif v_payout.status = 'held' and lock_payout_to_stop.creator_id is not null then
        -- Else a creator would cancel what an operator holds, and ask for it again.
        perform app.fail(
            409, 'payout_held', 'A person looks at this payout. It cannot be canceled until that is done.', v_payout.hold_reason);
    elsif v_payout.status not in ('pending', 'held')
        or not app.withdraw_stripe_request('transfer', v_payout.id)
    then
        perform app.fail(
            409, 'payout_not_pending', 'It is too late: this payout cannot be stopped any more.',
            format('It is %s.', case v_payout.status when 'pending' then 'processing' else v_payout.status end));
    end if;
    return v_payout;
end;
$$;
comment on function app.lock_payout_to_stop(uuid, uuid) is $$A payout that nobody has sent, and now nobody will

With `creator_id`, only one of theirs that is not held. Errors: 404 payout_not_found, 409 payout_held, 409 payout_not_pending.$$;

create or replace function app.cancel_payout(payout_id uuid)
returns text
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_creator_id constant uuid := app.require_user();
begin
    perform app.give_back_payout(
        app.lock_payout_to_stop(cancel_payout.payout_id, v_creator_id), 'canceled', 'canceled_by_creator', 'You canceled it.');
    return 'canceled';
end;
$$;
comment on function app.cancel_payout(uuid) is $$Take back a payout of the caller's that was not sent yet

Its money is available again. Errors: 401 login_required, 404 payout_not_found, 409 payout_held, 409 payout_not_pending.$$;
grant execute on function app.cancel_payout(uuid) to authenticated, service_role;
