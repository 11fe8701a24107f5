-- Creators' accounts at Stripe: made, read, and kept as Stripe describes them.

create or replace function app.is_payout_account_ready(account app.payout_accounts)
returns boolean
language sql immutable
set search_path = ''
return coalesce(
    (is_payout_account_ready.account).transfers_status = 'active'
    and (is_payout_account_ready.account).payouts_enabled
    and (is_payout_account_ready.account).deauthorized_at is null, false);
comment on function app.is_payout_account_ready(app.payout_accounts) is $$Whether Stripe lets this account receive transfers and pay them out$$;

create or replace function app.connect_account(livemode boolean, out stripe_account_id text, out request_id uuid)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_creator_id constant uuid := app.require_user();
begin
    if connect_account.livemode is distinct from (select e.payouts_are_live from app.economy as e) then
        -- Else creators would set up accounts that are never paid.
        perform app.fail(
            409, 'payouts_not_live', 'Payouts are not open yet.',
            'The operator sets app.economy.payouts_are_live as the key of Stripe is.');
    end if;
    perform ledger.lock_wallet(v_creator_id);
    perform app.remember_notice_address();
    select a.stripe_account_id into connect_account.stripe_account_id
    from app.payout_accounts as a
    where a.user_id = v_creator_id and a.is_live = connect_account.livemode and a.deauthorized_at is null;
    if found then
        return;
    end if;
    select r.id into connect_account.request_id
    from app.stripe_requests as r
    where r.subject_id = v_creator_id and r.kind = 'account' and r.state = 'pending'
        and r.is_live = connect_account.livemode;
    if not found then
        connect_account.request_id := app.add_stripe_request(
            v_creator_id, 'account', v_creator_id,
            jsonb_strip_nulls(jsonb_build_object(
                'controller', jsonb_build_object(
                    'stripe_dashboard', jsonb_build_object('type', 'express'),
                    'fees', jsonb_build_object('payer', 'application'),
                    'losses', jsonb_build_object('payments', 'application'),
                    'requirement_collection', 'stripe'),
                'capabilities', jsonb_build_object('transfers', jsonb_build_object('requested', true)),
                'email', app.claimed_email(),
                'metadata', jsonb_build_object('user_id', v_creator_id))),
            connect_account.livemode);
    end if;
end;
$$;
comment on function app.connect_account(boolean) is $$The caller's account at Stripe, or the request that makes one

Exactly one of the two is null. Send the request and ask again. Stripe collects what it has to know about the creator, the platform pays the fees and bears the losses. Errors: 401 login_required, 409 payouts_not_live.$$;
grant execute on function app.connect_account(boolean) to edge;

create or replace function app.transfers_status(status text)
returns text
language sql immutable
set search_path = ''
return case
    when transfers_status.status is null then 'unrequested'
    when transfers_status.status in ('unrequested', 'inactive', 'pending', 'active') then transfers_status.status
    else 'inactive'
end;
comment on function app.transfers_status(text) is $$Stripe's word for a capability; one that is not known here lets nobody be paid$$;

create or replace function app.describe_payout_account(account jsonb)
returns void
language sql volatile
set search_path = ''
begin atomic
    update app.payout_accounts as a
    set country = describe_payout_account.account ->> 'country',
        details_submitted = coalesce((describe_payout_account.account ->> 'details_submitted')::boolean, false),
        payouts_enabled = coalesce((describe_payout_account.account ->> 'payouts_enabled')::boolean, false),
        transfers_status = app.transfers_status(describe_payout_account.account #>> '{capabilities,transfers}'),
        requirements = coalesce((
            select jsonb_object_agg(r.key, r.value)
            from jsonb_each(nullif(describe_payout_account.account -> 'requirements', 'null')) as r
            where r.key in ('currently_due', 'past_due', 'pending_verification', 'disabled_reason')), '{}'),
        updated_at = now()
    where a.stripe_account_id = describe_payout_account.account ->> 'id' and a.deauthorized_at is null;
end;
comment on function app.describe_payout_account(jsonb) is $$Keep what Stripe says of an account$$;

create or replace function app.record_payout_account(account jsonb, livemode boolean, read_at timestamptz)
returns boolean
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    update app.payout_accounts as a
    set read_at = record_payout_account.read_at
    where a.stripe_account_id = app.require_stripe_id(record_payout_account.account)
        and a.is_live = record_payout_account.livemode
        and a.read_at <= record_payout_account.read_at;
    if not found then
        return false;
    end if;
    perform app.describe_payout_account(record_payout_account.account);
    return true;
end;
$$;
comment on function app.record_payout_account(jsonb, boolean, timestamptz) is $$An account as Stripe answered when it was read

`read_at` is the database's time before Stripe was asked: news that came since make it be read again. False when it is nobody's, or was read later already. Errors: 400 invalid_event.$$;
grant execute on function app.record_payout_account(jsonb, boolean, timestamptz) to edge;

create or replace function app.miss_payout_account(stripe_account_id text, livemode boolean, read_at timestamptz)
returns void
language sql volatile security definer
set search_path = ''
begin atomic
    update app.payout_accounts as a
    set read_at = greatest(a.read_at, miss_payout_account.read_at)
    where a.stripe_account_id = miss_payout_account.stripe_account_id and a.is_live = miss_payout_account.livemode;
end;
comment on function app.miss_payout_account(text, boolean, timestamptz) is $$An account could not be read

Asking again at once would be answered in the same way.$$;

create or replace function app.payout_accounts_with_news(livemode boolean, batch integer)
returns table (stripe_account_id text, read_at timestamptz)
language sql volatile security definer
set search_path = ''
begin atomic
    select a.stripe_account_id, clock_timestamp()
    from app.payout_accounts as a
    where a.is_live = payout_accounts_with_news.livemode
        and a.deauthorized_at is null
        and a.news_at > a.read_at
    order by a.read_at
    limit payout_accounts_with_news.batch;
end;
comment on function app.payout_accounts_with_news(boolean, integer) is $$Accounts of which an event came: the worker reads them from Stripe now

`read_at` goes to app.record_payout_account().$$;

create or replace function app.stale_payout_accounts(livemode boolean, batch integer)
returns table (stripe_account_id text, read_at timestamptz)
language sql volatile security definer
set search_path = ''
begin atomic
    select a.stripe_account_id, clock_timestamp()
    from app.payout_accounts as a
    where a.is_live = stale_payout_accounts.livemode
        and a.deauthorized_at is null
        and a.read_at < now() - case when app.is_payout_account_ready(a) then interval '7 days' else interval '6 hours' end
    order by a.read_at
    limit stale_payout_accounts.batch;
end;
comment on function app.stale_payout_accounts(boolean, integer) is $$Accounts that were not read for long: the worker reads them again

An event may have been lost. `read_at` goes to app.record_payout_account().$$;

create or replace function app.apply_stripe_account(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant text := app.require_stripe_id(apply_stripe_account.object);
    v_request app.stripe_requests;
begin
    select r.* into v_request
    from app.stripe_requests as r
    where r.id = app.uuid_or_null(apply_stripe_account.object #>> '{metadata,request_id}') and r.kind = 'account';
    if not found then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    perform app.lock_stripe_object(v_id);
    insert into app.payout_accounts as a (user_id, is_live, stripe_account_id, read_at)
    values (
        v_request.user_id, v_request.is_live, v_id,
        -- Seconds are all that Stripe tells: what happens in the same one is news.
        coalesce(to_timestamp((apply_stripe_account.object ->> 'created')::double precision), v_request.created_at)
        - interval '1 second')
    on conflict on constraint payout_accounts_pkey do update
    set stripe_account_id = excluded.stripe_account_id, read_at = excluded.read_at, news_at = null, told_at = null,
        deauthorized_at = null, created_at = now()
    -- News of the one that is gone do not bring it back.
    where a.deauthorized_at is not null and a.stripe_account_id <> excluded.stripe_account_id;
    if found then
        perform app.describe_payout_account(apply_stripe_account.object);
        perform app.replay_waiting_stripe_events(v_id);
    end if;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_account(jsonb) is $$An account that Stripe made for a creator

The first one stays theirs until it is deauthorized.$$;

create or replace function app.hear_of_payout_account(object jsonb, out is_known boolean, out is_newest boolean)
returns record
language plpgsql volatile
set search_path = ''
as $$
declare
    v_happened_at constant timestamptz := (hear_of_payout_account.object #>> '{connect,happened_at}')::timestamptz;
begin
    select v_happened_at > a.read_at and v_happened_at >= coalesce(a.told_at, '-infinity')
    into is_newest
    from app.payout_accounts as a
    where a.stripe_account_id = hear_of_payout_account.object #>> '{connect,account}' and a.deauthorized_at is null
    for update;
    is_known := found;
    update app.payout_accounts as a
    set news_at = clock_timestamp(), told_at = greatest(a.told_at, v_happened_at)
    where is_known and a.stripe_account_id = hear_of_payout_account.object #>> '{connect,account}';
end;
$$;
comment on function app.hear_of_payout_account(jsonb) is $$An event speaks of an account: it is read again soon

`is_known`: it is one of ours. `is_newest`: what the event says is not older than what is known; the last word has the reading.$$;

create or replace function app.apply_stripe_connect_account(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_id constant text := app.require_stripe_id(apply_stripe_connect_account.object);
    v_heard record;
begin
    if v_id is distinct from apply_stripe_connect_account.object #>> '{connect,account}' then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    perform app.lock_stripe_object(v_id);
    v_heard := app.hear_of_payout_account(apply_stripe_connect_account.object);
    if not v_heard.is_known then
        return case
            when exists (
                select from app.stripe_requests as r
                where r.id = app.uuid_or_null(apply_stripe_connect_account.object #>> '{metadata,request_id}')
                    and r.kind = 'account' and r.state = 'pending')
                then ('parked', v_id)::app.stripe_outcome
            else ('ignored', null)::app.stripe_outcome
        end;
    end if;
    if v_heard.is_newest then
        perform app.describe_payout_account(apply_stripe_connect_account.object);
    end if;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_connect_account(jsonb) is $$News of a creator's account

What an account says of itself counts for itself only. One that comes before the answer that made it waits for that.$$;

create or replace function app.apply_stripe_connect_capability(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_account_id constant text := apply_stripe_connect_capability.object #>> '{connect,account}';
    v_heard record;
begin
    if apply_stripe_connect_capability.object ->> 'id' is distinct from 'transfers'
        or v_account_id is distinct from apply_stripe_connect_capability.object ->> 'account'
    then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    perform app.lock_stripe_object(v_account_id);
    v_heard := app.hear_of_payout_account(apply_stripe_connect_capability.object);
    if not v_heard.is_known then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    update app.payout_accounts as a
    set transfers_status = app.transfers_status(apply_stripe_connect_capability.object ->> 'status'), updated_at = now()
    where v_heard.is_newest and a.stripe_account_id = v_account_id;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_connect_capability(jsonb) is $$Whether an account can receive transfers has changed$$;

create or replace function app.apply_stripe_connect_application(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
begin
    update app.payout_accounts as a
    set deauthorized_at = now(), updated_at = now()
    where a.stripe_account_id = apply_stripe_connect_application.object #>> '{connect,account}'
        and a.deauthorized_at is null;
    return (case when found then 'applied' else 'ignored' end, null)::app.stripe_outcome;
end;
$$;
comment on function app.apply_stripe_connect_application(jsonb) is $$A creator took their account away from the platform

Setting up payouts again makes another account.$$;
