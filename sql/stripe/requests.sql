-- The outbox: what we ask of Stripe. Committed first, then sent by the edge or the worker, outside any transaction.

create or replace function app.add_stripe_requests(
    kind text, user_ids uuid[], subject_ids uuid[], parameters jsonb[], are_live boolean[], due_at timestamptz)
returns setof uuid
language sql volatile
set search_path = ''
begin atomic
    insert into app.stripe_requests (
        id, user_id, kind, subject_id, parameters, idempotency_key, is_live, next_attempt_at)
    select
        n.id, n.user_id, add_stripe_requests.kind, n.subject_id,
        jsonb_set(
            n.parameters, '{metadata}',
            coalesce(n.parameters -> 'metadata', '{}') || jsonb_build_object('request_id', n.id)),
        format('%s-%s-%s', add_stripe_requests.kind, n.subject_id, 1 + (
            select count(*)
            from app.stripe_requests as r
            where r.subject_id = n.subject_id and r.kind = add_stripe_requests.kind)),
        n.is_live, due_at
    from (
        select app.new_id() as id, u.user_id, u.subject_id, u.parameters, u.is_live
        from unnest(user_ids, subject_ids, add_stripe_requests.parameters, are_live)
        as u (user_id, subject_id, parameters, is_live)
    ) as n
    returning id;
end;
comment on function app.add_stripe_requests(text, uuid[], uuid[], jsonb[], boolean[], timestamptz) is $$Put calls to Stripe into the outbox, of different subjects

`parameters` go out as they are, with `metadata.request_id` added, by which a lost answer is found again. The caller holds the locks of the subjects. Returns the requests' ids.$$;

create or replace function app.add_stripe_request(
    user_id uuid, kind text, subject_id uuid, parameters jsonb, is_live boolean)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    -- Whoever asked sends it at once; the worker comes after them if they did not.
    select r.id
    from app.add_stripe_requests(
        kind, array[user_id], array[subject_id], array[parameters], array[is_live], now() + interval '30 seconds') as r (id);
end;
comment on function app.add_stripe_request(uuid, text, uuid, jsonb, boolean) is $$Put a call to Stripe into the outbox; see app.add_stripe_requests()$$;

create or replace function app.begin_stripe_request(
    request_id uuid, out kind text, out parameters jsonb, out idempotency_key text, out attempts integer,
    out state text, out stripe_id text, out created_at timestamptz)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    update app.stripe_requests as r
    set attempts = r.attempts + 1, next_attempt_at = now() + interval '60 seconds'
    where r.id = begin_stripe_request.request_id and r.state = 'pending';
    select r.kind, r.parameters, r.idempotency_key, r.attempts, r.state, r.stripe_id, r.created_at
    into kind, parameters, idempotency_key, attempts, state, stripe_id, created_at
    from app.stripe_requests as r
    where r.id = begin_stripe_request.request_id;
    if not found then
        perform app.fail(404, 'stripe_request_not_found', 'There is no such request.');
    end if;
end;
$$;
comment on function app.begin_stripe_request(uuid) is $$Take a request of the outbox to send it now

Counts the attempt and keeps the worker away for 60 seconds. Commit before calling Stripe. With attempts above 1 an answer may have been lost: look it up by metadata.request_id first. A `state` other than pending needs no call. Errors: 404 stripe_request_not_found.$$;
grant execute on function app.begin_stripe_request(uuid) to edge;

create or replace function app.claim_stripe_requests(batch integer, livemode boolean)
returns table (
    id uuid, kind text, parameters jsonb, idempotency_key text, attempts integer,
    state text, stripe_id text, created_at timestamptz)
language sql volatile security definer
set search_path = ''
begin atomic
    update app.stripe_requests as r
    set attempts = r.attempts + 1, next_attempt_at = now() + interval '60 seconds'
    where r.id in (
        select d.id
        from app.stripe_requests as d
        where d.state = 'pending' and d.next_attempt_at <= now() and d.is_live = claim_stripe_requests.livemode
        order by d.next_attempt_at
        limit claim_stripe_requests.batch
        for update skip locked)
    returning r.id, r.kind, r.parameters, r.idempotency_key, r.attempts, r.state, r.stripe_id, r.created_at;
end;
comment on function app.claim_stripe_requests(integer, boolean) is $$Take requests of the outbox that are due, for the worker

Only those of the mode of its key. Each is leased for 60 seconds; whoever dies meanwhile leaves it to the next.$$;

create or replace function app.record_stripe_answer(request_id uuid, answer jsonb)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    if record_stripe_answer.answer ->> 'id' is null then
        perform app.fail(400, 'invalid_answer', 'This is not an object of Stripe.');
    end if;
    update app.stripe_requests as r
    set state = 'succeeded', stripe_id = record_stripe_answer.answer ->> 'id', answered_at = now(),
        error_code = null, error_message = null
    where r.id = record_stripe_answer.request_id and r.state <> 'succeeded';
    if found then
        perform app.dispatch_stripe_object(record_stripe_answer.answer, 'platform');
    end if;
end;
$$;
comment on function app.record_stripe_answer(uuid, jsonb) is $$What Stripe answered to a request of the outbox

`answer` is the object that it made or found; it takes effect like an event's. Errors: 400 invalid_answer.$$;
grant execute on function app.record_stripe_answer(uuid, jsonb) to edge;

create or replace function app.record_stripe_failure(request_id uuid, code text, message text, is_permanent boolean)
returns void
language sql volatile security definer
set search_path = ''
begin atomic
    update app.stripe_requests as r
    set state = case when g.gives_up then 'failed' else 'pending' end,
        error_code = left(record_stripe_failure.code, 200),
        error_message = left(record_stripe_failure.message, 1000),
        answered_at = case when g.gives_up then now() end,
        next_attempt_at = now() + least(interval '1 hour', interval '5 seconds' * power(2, least(r.attempts, 12)))
            * (0.5 + random() / 2)
    from (
        -- Nobody waits for a checkout any more; money that has to go has to go, and so has what is to be forgotten.
        select o.id,
            record_stripe_failure.is_permanent
            or (o.kind not in ('refund', 'transfer', 'customer_deletion') and o.created_at < now() - interval '1 hour') as gives_up
        from app.stripe_requests as o
        where o.id = record_stripe_failure.request_id
    ) as g
    where r.id = g.id and r.state = 'pending';
end;
comment on function app.record_stripe_failure(uuid, text, text, boolean) is $$A call to Stripe did not succeed

A passing failure is tried again later and later, at most an hour apart; refunds, transfers and deletions for ever, the rest for an hour. A permanent one ends the request, and what it was for with it.$$;
grant execute on function app.record_stripe_failure(uuid, text, text, boolean) to edge;

create or replace function app.withdraw_stripe_request(kind text, subject_id uuid)
returns boolean
language plpgsql volatile
set search_path = ''
as $$
begin
    update app.stripe_requests as r
    set state = 'withdrawn', answered_at = now()
    where r.id in (
        select w.id
        from app.stripe_requests as w
        where w.subject_id = withdraw_stripe_request.subject_id and w.kind = withdraw_stripe_request.kind
            and w.state = 'pending' and w.attempts = 0
        -- Whoever holds it is about to send it.
        for update skip locked);
    return not exists (
        select from app.stripe_requests as r
        where r.subject_id = withdraw_stripe_request.subject_id and r.kind = withdraw_stripe_request.kind
            and r.state = 'pending');
end;
$$;
comment on function app.withdraw_stripe_request(text, uuid) is $$Do not ask Stripe after all

False when it was asked already, or is being asked at this moment. Waits for nobody, so it may be called with the lock of what it is for.$$;

create or replace function app.hurry_stripe_request(kind text, subject_id uuid)
returns void
language sql volatile
set search_path = ''
begin atomic
    update app.stripe_requests as r
    set next_attempt_at = now()
    where r.subject_id = hurry_stripe_request.subject_id and r.kind = hurry_stripe_request.kind
        and r.state = 'pending';
end;
comment on function app.hurry_stripe_request(text, uuid) is $$Ask Stripe now, and not when it would have been time

If it is being asked at this moment, both use the same idempotency keys.$$;

-- The next idempotency key is counted from the requests before: none may vanish.
create or replace trigger tg_stripe_requests__no_delete
before delete on app.stripe_requests
for each row execute function app.refuse_change();
create or replace trigger tg_stripe_requests__no_truncate
before truncate on app.stripe_requests
for each statement execute function app.refuse_change();
