-- Idempotency: the first answer is kept, a retry gets it, other arguments are a conflict.

create or replace function ledger.header_key()
returns text
language plpgsql stable
set search_path = ''
as $$
begin
    return nullif(current_setting('request.headers', true), '')::jsonb ->> 'idempotency-key';
end;
$$;
comment on function ledger.header_key() is $$The idempotency key that came as the header Idempotency-Key$$;

create or replace function ledger.replay(book_id uuid, key text, function_name text, arguments jsonb)
returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
    v_request ledger.requests;
begin
    if length(replay.key) not between 1 and 200 then
        perform app.fail(
            400, 'invalid_idempotency_key', 'An idempotency key has 1 to 200 characters.',
            format('This one has %s.', length(replay.key)));
    end if;
    select r.* into v_request
    from ledger.requests as r
    where r.book_id = replay.book_id and r.key = replay.key;
    if not found then
        return null;
    end if;
    if v_request.fingerprint <> sha256(convert_to(replay.function_name || replay.arguments::text, 'utf8')) then
        perform app.fail(
            409, 'idempotency_mismatch', 'This idempotency key was used for another call.',
            format('It first came with %s. Use a new key for a new call.', v_request.function_name));
    end if;
    return v_request.response;
end;
$$;
comment on function ledger.replay(uuid, text, text, jsonb) is $$The first answer to this call, or null when it is new

Call it with the payer's wallet locked: two calls with one key then come one after the other. Errors: 400 invalid_idempotency_key, 409 idempotency_mismatch.$$;

create or replace function ledger.remember(book_id uuid, key text, function_name text, arguments jsonb, response jsonb)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    insert into ledger.requests (book_id, key, function_name, fingerprint, response)
    values (
        remember.book_id, remember.key, remember.function_name,
        sha256(convert_to(remember.function_name || remember.arguments::text, 'utf8')), remember.response);
end;
$$;
comment on function ledger.remember(uuid, text, text, jsonb, jsonb) is $$Keep the answer for a retry$$;
