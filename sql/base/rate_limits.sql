-- Called by PostgREST before every request (db-pre-request).

create or replace function app.limit_rate(user_id uuid, class text, capacity integer, per_minute integer)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_left double precision;
begin
    insert into app.rate_buckets as b (user_id, class, calls, refilled_at)
    values (limit_rate.user_id, limit_rate.class, limit_rate.capacity - 1, clock_timestamp())
    on conflict on constraint rate_buckets_pkey do update
    set calls = least(
            limit_rate.capacity,
            b.calls + extract(epoch from clock_timestamp() - b.refilled_at) * limit_rate.per_minute / 60.0) - 1,
        refilled_at = clock_timestamp()
    returning b.calls into v_left;
    if v_left < 0 then
        perform app.fail_retry_later(greatest(1, ceil(-v_left * 60.0 / limit_rate.per_minute)::integer));
    end if;
end;
$$;
comment on function app.limit_rate(uuid, text, integer, integer) is $$Take one call from a person's bucket

`capacity` calls at once, `per_minute` come back. Errors: 429 rate_limited, with Retry-After.$$;

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
