-- The one way to refuse: every error a client can see is raised here.

create or replace function app.fail(status integer, hint text, message text, detail text default null)
returns void
language plpgsql stable
set search_path = ''
as $$
begin
    if fail.detail is null then
        raise exception using errcode = 'PT' || fail.status, message = fail.message, hint = fail.hint;
    end if;
    raise exception using
        errcode = 'PT' || fail.status, message = fail.message, detail = fail.detail, hint = fail.hint;
end;
$$;
comment on function app.fail(integer, text, text, text) is $$Refuse the call

`status` is the HTTP status, `hint` a stable snake_case slug for programs, `message` a sentence a person can act on, `detail` the figures.$$;

-- PostgREST reads status and headers from this form; a plain PTxyz error has no way to say Retry-After.
create or replace function app.fail_retry_later(seconds integer)
returns void
language plpgsql stable
set search_path = ''
as $$
begin
    raise exception using
        errcode = 'PGRST',
        message = jsonb_build_object(
            'code', 'PT429',
            'message', 'Too many calls. Please wait a moment.',
            'details', format('Try again in %s seconds.', fail_retry_later.seconds),
            'hint', 'rate_limited')::text,
        detail = jsonb_build_object(
            'status', 429,
            'headers', jsonb_build_object('Retry-After', fail_retry_later.seconds::text))::text;
end;
$$;
comment on function app.fail_retry_later(integer) is $$Refuse a call that comes too often

Answers 429 with a `Retry-After` header of so many seconds.$$;
