-- The inbox: one door for everything that Stripe tells us.
-- What an event is about decides who handles it: an object of type checkout.session goes to
-- app.apply_stripe_checkout_session(jsonb), wherever that is defined (or, where the object has a mode,
-- to app.apply_stripe_checkout_session_<mode>); without such a function it is kept and ignored.
-- What came by an event has `happened_at`. Events of connected accounts go to app.apply_stripe_connect_...: they are signed,
-- but what they say is in another's hands. Their objects carry `connect`: the account, and when it happened.

create or replace function app.lock_stripe_object(stripe_id text)
returns void
language sql volatile
set search_path = ''
begin atomic
    select pg_advisory_xact_lock(hashtextextended('stripe ' || lock_stripe_object.stripe_id, 0));
end;
comment on function app.lock_stripe_object(text) is $$What is about one object of Stripe comes one after the other

Taken before the wallet: an event that waits for its payment is then seen by the payment, or sees it.$$;

create or replace function app.require_stripe_id(object jsonb)
returns text
language plpgsql immutable
set search_path = ''
as $$
begin
    if jsonb_typeof(require_stripe_id.object -> 'id') is distinct from 'string' or require_stripe_id.object ->> 'id' = '' then
        perform app.fail(400, 'invalid_event', 'This object of Stripe has no id.');
    end if;
    return require_stripe_id.object ->> 'id';
end;
$$;
comment on function app.require_stripe_id(jsonb) is $$The id of an object of Stripe, by which it is known when it comes again

Errors: 400 invalid_event.$$;

create or replace function app.dispatch_stripe_object(object jsonb, endpoint text)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
declare
    v_type constant text := replace(dispatch_stripe_object.object ->> 'object', '.', '_');
    v_prefix constant text := case dispatch_stripe_object.endpoint when 'connect' then 'connect_' else '' end;
    v_handler regprocedure;
    v_outcome app.stripe_outcome;
begin
    -- There are types that begin with connect_: those of the platform must not reach another's handler.
    if v_type ~ '^[a-z_]{1,40}$' and v_type !~ '^connect_' then
        v_handler := coalesce(
            -- A checkout for a subscription is another's than one for a payment.
            case when dispatch_stripe_object.object ->> 'mode' ~ '^[a-z]{1,20}$'
                then to_regprocedure(format(
                    'app.apply_stripe_%s%s_%s(jsonb)', v_prefix, v_type, dispatch_stripe_object.object ->> 'mode'))
            end,
            to_regprocedure(format('app.apply_stripe_%s%s(jsonb)', v_prefix, v_type)));
    end if;
    if v_handler is null then
        return ('ignored', null)::app.stripe_outcome;
    end if;
    execute format('select o.state, o.waits_for from %s($1) as o', v_handler::regproc)
    into v_outcome.state, v_outcome.waits_for using dispatch_stripe_object.object;
    return v_outcome;
end;
$$;
comment on function app.dispatch_stripe_object(jsonb, text) is $$Hand an object of Stripe to the function that knows its type

Objects come from events, from answers to our calls, and from looking things up: what they do is the same.$$;

create or replace function app.apply_stripe_event(event_id text)
returns text
language plpgsql volatile
set search_path = ''
as $$
declare
    v_event app.stripe_events;
    v_outcome app.stripe_outcome;
    v_error text;
    v_detail text;
begin
    select e.* into strict v_event from app.stripe_events as e where e.id = apply_stripe_event.event_id for update;
    begin
        v_outcome := app.dispatch_stripe_object(
            (v_event.payload #> '{data,object}') || case v_event.endpoint
                -- Whose doing it is, and of when: objects of connected accounts do not say it themselves.
                when 'connect' then jsonb_build_object('connect', jsonb_build_object(
                    'account', v_event.account, 'happened_at', v_event.created_at))
                else jsonb_build_object('happened_at', v_event.created_at) end,
            v_event.endpoint);
    exception
        when others then
            -- The server is in trouble, not the event: Stripe will send it again.
            if left(sqlstate, 2) in ('08', '40', '53', '55', '57', '58') then
                raise;
            end if;
            get stacked diagnostics v_error = message_text, v_detail = pg_exception_detail;
            -- What a constraint refused is shown with its whole row, which is nobody's business here.
            if sqlstate in ('23502', '23514') then
                v_detail := null;
            end if;
            v_error := btrim(v_error || ' ' || coalesce(v_detail, ''));
            v_outcome := ('failed', null)::app.stripe_outcome;
    end;
    update app.stripe_events as e
    set state = v_outcome.state, waits_for = v_outcome.waits_for, error = v_error,
        attempts = e.attempts + 1, handled_at = clock_timestamp()
    where e.id = v_event.id;
    return v_outcome.state;
end;
$$;
comment on function app.apply_stripe_event(text) is $$Let an event of the inbox take effect

An event that cannot be handled is undone, kept as failed with what went wrong, and stands in nobody's way.$$;

create or replace function app.handle_stripe_event(
    event jsonb, endpoint text default 'platform', livemode boolean default false)
returns text
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_is_ours constant boolean := coalesce(
        (handle_stripe_event.event -> 'livemode') = to_jsonb(handle_stripe_event.livemode), false);
    -- What happened in a connected account is never the platform's own, whatever door it came by.
    v_endpoint constant text := case
        when handle_stripe_event.event ->> 'account' is not null then 'connect' else handle_stripe_event.endpoint end;
begin
    if jsonb_typeof(handle_stripe_event.event #> '{data,object}') is distinct from 'object'
        or jsonb_typeof(handle_stripe_event.event -> 'id') is distinct from 'string'
        or length(handle_stripe_event.event ->> 'id') not between 1 and 255
        or jsonb_typeof(handle_stripe_event.event -> 'type') is distinct from 'string'
        or length(handle_stripe_event.event ->> 'type') not between 1 and 255
        or jsonb_typeof(handle_stripe_event.event -> 'created') is distinct from 'number'
        or (handle_stripe_event.event ->> 'created')::numeric not between 0 and 10000000000
        or jsonb_typeof(handle_stripe_event.event -> 'livemode') is distinct from 'boolean'
        or coalesce(v_endpoint not in ('platform', 'connect'), true)
    then
        perform app.fail(
            400, 'invalid_event', 'This is not an event of Stripe.',
            'An event has an id, a type, a time, a mode and an object.');
    end if;
    -- In live mode Stripe sends the Connect endpoint test events too, and means it.
    if not v_is_ours and v_endpoint = 'platform' then
        perform app.fail(
            400, 'livemode_mismatch', 'This event is of another mode.',
            format('livemode is %s here.', handle_stripe_event.livemode));
    end if;
    insert into app.stripe_events (
        id, type, endpoint, account, api_version, is_live, object_id, object_type, payload, state, created_at)
    values (
        handle_stripe_event.event ->> 'id', handle_stripe_event.event ->> 'type', v_endpoint,
        handle_stripe_event.event ->> 'account', handle_stripe_event.event ->> 'api_version',
        (handle_stripe_event.event ->> 'livemode')::boolean,
        handle_stripe_event.event #>> '{data,object,id}', handle_stripe_event.event #>> '{data,object,object}',
        handle_stripe_event.event, case when v_is_ours then 'received' else 'ignored' end,
        to_timestamp((handle_stripe_event.event ->> 'created')::double precision))
    on conflict do nothing;
    if not found then
        return 'duplicate';
    elsif not v_is_ours then
        return 'ignored';
    end if;
    return app.apply_stripe_event(handle_stripe_event.event ->> 'id');
end;
$$;
comment on function app.handle_stripe_event(jsonb, text, boolean) is $$Take an event of Stripe in: kept once, and its effects in the same transaction

`event` as it was signed, `endpoint` platform or connect, `livemode` of our own key. Answers applied, parked (until what it is about is known), ignored (nobody here cares), failed (kept for the operator), or duplicate. Errors: 400 invalid_event, 400 livemode_mismatch.$$;
grant execute on function app.handle_stripe_event(jsonb, text, boolean) to edge;

create or replace function app.replay_stripe_event(event_id text)
returns text
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_state text;
    v_handled_at timestamptz;
begin
    select e.state, e.handled_at into v_state, v_handled_at
    from app.stripe_events as e
    where e.id = replay_stripe_event.event_id;
    if not found then
        perform app.fail(404, 'stripe_event_not_found', 'There is no such event in the inbox.');
    end if;
    -- What was never handled is of another mode, and stays without effect.
    if v_handled_at is not null then
        v_state := app.apply_stripe_event(replay_stripe_event.event_id);
    end if;
    perform app.audit('replay_stripe_event', replay_stripe_event.event_id, jsonb_build_object('state', v_state));
    return v_state;
end;
$$;
comment on function app.replay_stripe_event(text) is $$Let an event take effect again

Safe at any time: what has happened does not happen twice. On record in the audit log. Errors: 404 stripe_event_not_found.$$;
grant execute on function app.replay_stripe_event(text) to service_role;

create or replace function app.replay_waiting_stripe_events(stripe_id text)
returns integer
language plpgsql volatile
set search_path = ''
as $$
declare
    v_event_id text;
    v_replayed integer := 0;
begin
    for v_event_id in
        select e.id
        from app.stripe_events as e
        where e.state = 'parked' and e.waits_for = replay_waiting_stripe_events.stripe_id
        order by e.created_at, e.id
        for update skip locked
    loop
        perform app.apply_stripe_event(v_event_id);
        v_replayed := v_replayed + 1;
    end loop;
    return v_replayed;
end;
$$;
comment on function app.replay_waiting_stripe_events(text) is $$What these events waited for is there now

Returns how many there were.$$;

create or replace function app.stripe_cursor(name text)
returns timestamptz
language sql stable security definer
set search_path = ''
return (select c.moved_to from app.stripe_cursors as c where c.name = stripe_cursor.name);
comment on function app.stripe_cursor(text) is $$How far a list of Stripe was read$$;

create or replace function app.move_stripe_cursor(name text, moved_to timestamptz)
returns void
language sql volatile security definer
set search_path = ''
begin atomic
    update app.stripe_cursors as c
    set moved_to = greatest(c.moved_to, move_stripe_cursor.moved_to)
    where c.name = move_stripe_cursor.name;
end;
comment on function app.move_stripe_cursor(text, timestamptz) is $$A list of Stripe was read so far; it never goes back$$;
