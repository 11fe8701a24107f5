-- Who is calling. The JWT is checked by PostgREST; here its claims are read.

create or replace function app.claims()
returns jsonb
language sql stable
set search_path = ''
return coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb;
comment on function app.claims() is $$The claims of the caller's JWT

An empty object without one.$$;
grant execute on function app.claims() to anon, authenticated, service_role;

create or replace function app.uuid_or_null(value text)
returns uuid
language sql immutable
set search_path = ''
return case
    when uuid_or_null.value ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then uuid_or_null.value::uuid
end;
comment on function app.uuid_or_null(text) is $$A UUID that somebody else wrote down; null when it is none$$;

create or replace function app.current_user_id()
returns uuid
language plpgsql stable
set search_path = ''
as $$
declare
    v_subject constant text := nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub';
begin
    if v_subject is null then
        return null;
    elsif v_subject like '________-____-____-____-____________'
        and translate(v_subject, '0123456789abcdefABCDEF', '') = '----'
    then
        -- The platform's own id is nobody's.
        return nullif(v_subject::uuid, '00000000-0000-0000-0000-000000000000'::uuid);
    end if;
    -- Issuers that do not use UUIDs (auth0|123, user_2ab): a stable one is derived from issuer and subject.
    return encode(
        substring(
            sha256(convert_to((app.claims() ->> 'iss') || '|' || nullif(v_subject, ''), 'utf8'))
            for 16),
        'hex')::uuid;
end;
$$;
comment on function app.current_user_id() is $$The caller's id, or null

The `sub` of the JWT when it is a UUID; otherwise a UUID derived from `iss` and `sub`, so that any issuer works (such tokens must carry `iss`).$$;
grant execute on function app.current_user_id() to anon, authenticated, service_role;

create or replace function app.claimed_email()
returns text
language sql stable
set search_path = ''
return case
    -- A token may hold anything. Without an address one can pay; with what is none perhaps not.
    when app.claims() ->> 'email' ~ '^[^@[:space:]]+@[^@[:space:]]+$' and length(app.claims() ->> 'email') <= 512
        then app.claims() ->> 'email'
end;
comment on function app.claimed_email() is $$The caller's address by the JWT; null when there is none, or no address$$;

create or replace function app.require_claimed_user()
returns uuid
language plpgsql stable
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.current_user_id();
begin
    if v_user_id is null then
        perform app.fail(401, 'login_required', 'Please sign in first.', 'The call carries no token with a subject.');
    end if;
    return v_user_id;
end;
$$;
comment on function app.require_claimed_user() is $$The caller's id, or 401

Errors: 401 login_required.$$;

create or replace function app.require_operator()
returns void
language plpgsql stable
set search_path = ''
as $$
begin
    -- The service role's own key need not name a person.
    if app.claims() ->> 'role' = 'service_role' then
        return;
    end if;
    perform app.require_claimed_user();
    if not exists (select from app.operators as o where o.user_id = app.current_user_id()) then
        perform app.fail(403, 'operator_required', 'Only the operators of this platform may do this.');
    end if;
end;
$$;
comment on function app.require_operator() is $$Let only operators go on

The service role, or a person in app.operators. Errors: 401 login_required, 403 operator_required.$$;
