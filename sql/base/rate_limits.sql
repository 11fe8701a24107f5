-- Called by PostgREST before every request (db-pre-request).

create or replace function app.take_call(subject_id uuid, class text, capacity integer, per_minute integer)
returns integer
language plpgsql volatile
set search_path = ''
as $$
declare
    v_left double precision;
begin
    insert into app.rate_buckets as b (user_id, class, calls, refilled_at)
    values (take_call.subject_id, take_call.class, take_call.capacity - 1, clock_timestamp())
    on conflict on constraint rate_buckets_pkey do update
    set calls = greatest(
            least(
                take_call.capacity,
                b.calls + extract(epoch from clock_timestamp() - b.refilled_at) * take_call.per_minute / 60.0) - 1,
            -take_call.capacity),
        refilled_at = clock_timestamp()
    returning b.calls into v_left;
    return case when v_left < 0 then greatest(1, ceil(-v_left * 60.0 / take_call.per_minute)::integer) else 0 end;
end;
$$;
comment on function app.take_call(uuid, text, integer, integer) is $$Take one call from a bucket

`capacity` calls at once, `per_minute` come back. Returns 0, or after how many seconds to try again.$$;

create or replace function app.limit_rate(user_id uuid, class text, capacity integer, per_minute integer)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_seconds constant integer := app.take_call(
        limit_rate.user_id, limit_rate.class, limit_rate.capacity, limit_rate.per_minute);
begin
    if v_seconds > 0 then
        perform app.fail_retry_later(v_seconds);
    end if;
end;
$$;
comment on function app.limit_rate(uuid, text, integer, integer) is $$Take one call from a person's bucket, or refuse it

Errors: 429 rate_limited, with Retry-After.$$;

create or replace function app.count_call(class text, subject text)
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_limit app.rate_limits;
begin
    select l.* into strict v_limit from app.rate_limits as l where l.class = count_call.class;
    return app.take_call(
        encode(substring(sha256(convert_to(count_call.subject, 'utf8')) for 16), 'hex')::uuid,
        v_limit.class, v_limit.capacity, v_limit.per_minute);
end;
$$;
comment on function app.count_call(text, text) is $$Count a call of the edge, by whatever names its maker

`subject` is a person's id or an address; only its hash is kept. Commit it before anything else is done: then refused calls count as well. Returns 0, or after how many seconds to try again.$$;
grant execute on function app.count_call(text, text) to edge;

create or replace function app.forget_rate_buckets()
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_forgotten integer;
begin
    delete from app.rate_buckets as b where b.refilled_at < now() - interval '1 day';
    get diagnostics v_forgotten = row_count;
    return v_forgotten;
end;
$$;
comment on function app.forget_rate_buckets() is $$Forget who has not called for a day

Returns how many. The worker calls it.$$;

create or replace function app.before_request()
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_user_id uuid;
    v_function text;
    v_limit app.rate_limits;
begin
    -- Reads (GET, and POST to a stable function) run read-only and are not counted.
    if current_setting('transaction_read_only') = 'on' then
        return;
    end if;
    v_user_id := app.current_user_id();
    if v_user_id is null or app.claims() ->> 'role' = 'service_role' then
        return;
    end if;
    v_function := substring(current_setting('request.path', true) from '^/rpc/(.*)$');
    select l.* into v_limit
    from app.rate_limits as l
    -- The path comes as it was sent: an escaped name counts as the dearest call, not as none of them.
    where v_function = any (l.functions) or v_function like '%\%%' or l.class = 'default'
    order by l.class = 'default', l.capacity
    limit 1;
    perform app.limit_rate(v_user_id, v_limit.class, v_limit.capacity, v_limit.per_minute);
end;
$$;
comment on function app.before_request() is $$Rate limits, by person and class of function

Counts calls that write. A refused call is undone with everything it did, its count included: limit those at the proxy. Errors: 429 rate_limited.$$;
grant execute on function app.before_request() to anon, authenticated, service_role;
