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

create or replace function ledger.operator_key(user_id uuid, key text)
returns text
language sql immutable
set search_path = ''
return operator_key.user_id::text || ' ' || operator_key.key;
comment on function ledger.operator_key(uuid, text) is $$An operator's key for a call about a person

Kept in the platform's book, so that nobody can take it before the operator comes.$$;

create or replace function ledger.replay(book_id uuid, key text, function_name text, arguments jsonb)
returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
    v_request ledger.requests;
    -- Of an operator's key, what the operator gave: ledger.operator_key() put a UUID and a blank before it.
    v_length constant integer := length(replay.key)
        - case when replay.book_id = ledger.platform_id() then 37 else 0 end;
begin
    if v_length not between 1 and 200 then
        perform app.fail(
            400, 'invalid_idempotency_key', 'An idempotency key has 1 to 200 characters.',
            format('This one has %s.', v_length));
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

`book_id` is whose keys they are: the payer's, or the platform's for its operators. Call it with the payer's wallet locked: two calls with one key then come one after the other. Errors: 400 invalid_idempotency_key, 409 idempotency_mismatch.$$;

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
