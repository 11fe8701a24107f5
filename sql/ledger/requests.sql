-- Idempotency: the first answer is kept, a retry gets it, other arguments are a conflict.

create or replace function ledger.request_key(idempotency_key text)
returns text
language plpgsql stable
set search_path = ''
as $$
declare
    v_key constant text := coalesce(
        request_key.idempotency_key,
        nullif(current_setting('request.headers', true), '')::jsonb ->> 'idempotency-key');
begin
    if v_key is not null and length(v_key) not between 1 and 200 then
        perform app.fail(
            400, 'invalid_idempotency_key', 'An idempotency key has 1 to 200 characters.',
            format('This one has %s.', length(v_key)));
    end if;
    return v_key;
end;
$$;
comment on function ledger.request_key(text) is $$The idempotency key of this call: the argument, else the header Idempotency-Key

Errors: 400 invalid_idempotency_key.$$;

create or replace function ledger.fingerprint(function_name text, arguments jsonb)
returns bytea
language sql immutable
set search_path = ''
return sha256(convert_to(fingerprint.function_name || fingerprint.arguments::text, 'utf8'));
comment on function ledger.fingerprint(text, jsonb) is $$What a call asked for, in 32 bytes$$;

create or replace function ledger.replay(book_id uuid, key text, function_name text, arguments jsonb)
returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
    v_request ledger.requests;
begin
    select r.* into v_request
    from ledger.requests as r
    where r.book_id = replay.book_id and r.key = replay.key;
    if not found then
        return null;
    end if;
    if v_request.fingerprint <> ledger.fingerprint(replay.function_name, replay.arguments) then
        perform app.fail(
            409, 'idempotency_mismatch', 'This idempotency key was used for another call.',
            format('It first came with %s. Use a new key for a new call.', v_request.function_name));
    end if;
    return v_request.response;
end;
$$;
comment on function ledger.replay(uuid, text, text, jsonb) is $$The first answer to this call, or null when it is new

Call it with the payer's wallet locked: two calls with one key then come one after the other. Errors: 409 idempotency_mismatch.$$;

create or replace function ledger.remember(book_id uuid, key text, function_name text, arguments jsonb, response jsonb)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    insert into ledger.requests (book_id, key, function_name, fingerprint, response)
    values (
        remember.book_id, remember.key, remember.function_name,
        ledger.fingerprint(remember.function_name, remember.arguments), remember.response);
end;
$$;
comment on function ledger.remember(uuid, text, text, jsonb, jsonb) is $$Keep the answer for a retry$$;
