-- When two requests are the same: by their words, or by their meaning.

create or replace function app.canonical_text(value text)
returns text
language sql immutable
set search_path = ''
-- Named, because what else than ASCII is a blank to \s hangs on the server's locale.
return normalize(
    btrim(regexp_replace(
        canonical_text.value, u&'[\0009-\000D \0085\00A0\1680\2000-\200A\2028\2029\202F\205F\3000]+', ' ', 'g')),
    nfc);
comment on function app.canonical_text(text) is $$A text in one way of writing it: composed, with single blanks and none around it$$;

create or replace function app.canonical_json(value jsonb)
returns text
language plpgsql immutable
set search_path = ''
as $$
begin
    return case jsonb_typeof(canonical_json.value)
        when 'object' then (
            select '{' || coalesce(
                string_agg(to_jsonb(e.key)::text || ':' || app.canonical_json(e.value), ',' order by convert_to(e.key, 'utf8')), '') || '}'
            from jsonb_each(canonical_json.value) as e)
        when 'array' then (
            select '[' || coalesce(string_agg(app.canonical_json(e.value), ',' order by e.place), '') || ']'
            from jsonb_array_elements(canonical_json.value) with ordinality as e (value, place))
        when 'number' then trim_scale((canonical_json.value #>> '{}')::numeric)::text
        when 'string' then to_jsonb(app.canonical_text(canonical_json.value #>> '{}'))::text
        else canonical_json.value::text
    end;
end;
$$;
comment on function app.canonical_json(jsonb) is $$JSON in one way of writing it

Keys in order, numbers without trailing zeros, texts composed and with single blanks: what means the same to everybody is the same to the cache.$$;

create or replace function app.cache_key(request jsonb)
returns text
language sql immutable
set search_path = ''
return encode(sha256(convert_to(app.canonical_json(cache_key.request), 'utf8')), 'hex');
comment on function app.cache_key(jsonb) is $$The SHA-256 of a request in its canonical form$$;

create or replace function app.check_generation_request(request jsonb, embedding real[])
returns void
language plpgsql stable
set search_path = ''
as $$
begin
    if jsonb_typeof(check_generation_request.request) is distinct from 'object'
        or exists (
            select from (values ('genre', 100), ('model', 200), ('prompt', 20000)) as f (name, longest)
            where jsonb_typeof(check_generation_request.request -> f.name) is distinct from 'string'
                or length(app.canonical_text(check_generation_request.request ->> f.name)) not between 1 and f.longest)
        or octet_length(check_generation_request.request::text) > 100000
        -- app.canonical_json() goes down into it, and a stack has an end.
        or jsonb_path_exists(check_generation_request.request, '$.**{21}')
    then
        perform app.fail(
            400, 'invalid_request', 'A request has a genre, a model and a prompt.',
            'As texts of up to 100, 200 and 20000 characters; all of it up to 100 kB and 20 levels deep.');
    elsif check_generation_request.embedding is not null and (
        array_ndims(check_generation_request.embedding) is distinct from 1
        or cardinality(check_generation_request.embedding) <> app.embedding_size()
        or array_position(check_generation_request.embedding, null) is not null
        -- pgvector computes with four bytes: the squares of what is larger or smaller are no numbers there.
        or (select sum(e.value::double precision ^ 2) from unnest(check_generation_request.embedding) as e (value))
        not between 1e-12 and 1e12)
    then
        perform app.fail(
            400, 'invalid_embedding', format('An embedding has %s numbers.', app.embedding_size()),
            'Its length is from 0.000001 to 1,000,000. Leave it out to look for the same words only.');
    end if;
end;
$$;
comment on function app.check_generation_request(jsonb, real[]) is $$Let only requests go on that can be generated and compared

Errors: 400 invalid_request, 400 invalid_embedding.$$;

create or replace function app.embedding_size()
returns integer
language sql immutable
set search_path = ''
return 384;
comment on function app.embedding_size() is $$How many numbers an embedding has: as the usual models for sentences make them$$;
