-- What was generated before, found again.

create or replace function app.find_in_cache(
    request jsonb, embedding real[], out cache_id uuid, out match text, out similarity_basis_points integer)
returns record
language plpgsql volatile
set search_path = ''
as $$
declare
    v_near record;
begin
    select c.id into find_in_cache.cache_id
    from app.infinite_pages_cache as c
    where c.cache_key = app.cache_key(find_in_cache.request);
    if found then
        match := 'exact';
        similarity_basis_points := 10000;
        return;
    end if;
    match := 'none';
    select n.* into v_near
    from app.nearest_cache(
        app.canonical_text(find_in_cache.request ->> 'genre'), app.canonical_text(find_in_cache.request ->> 'model'),
        find_in_cache.embedding) as n;
    similarity_basis_points := case when v_near.cache_id is not null then greatest(v_near.similarity_basis_points, 0) end;
    if v_near.similarity_basis_points >= (select e.cache_similarity_basis_points from app.economy as e) then
        match := 'semantic';
        cache_id := v_near.cache_id;
    end if;
end;
$$;
comment on function app.find_in_cache(jsonb, real[]) is $$What answers a request: exact by its words, semantic by its meaning, or none

`similarity_basis_points` of the nearest, also when it is not near enough; null when there is nothing to compare.$$;

create or replace function app.quote_generation(
    request jsonb, embedding real[],
    out match text, out similarity_basis_points integer, out original_cost bigint, out discount_percent integer,
    out cost_credits bigint, out cache_id uuid)
returns record
language plpgsql volatile
set search_path = ''
as $$
begin
    perform app.check_generation_request(quote_generation.request, quote_generation.embedding);
    select f.match, f.similarity_basis_points, f.cache_id
    into quote_generation.match, quote_generation.similarity_basis_points, quote_generation.cache_id
    from app.find_in_cache(quote_generation.request, quote_generation.embedding) as f;
    select
        e.generation_price_credits,
        case quote_generation.match when 'none' then 0 else e.cache_discount_percent end
    into original_cost, discount_percent
    from app.economy as e;
    -- Rounded up to a whole credit, as bundles are.
    cost_credits := (original_cost * (100 - discount_percent) + 99) / 100;
end;
$$;
comment on function app.quote_generation(jsonb, real[]) is $$What generating costs now: the one place where that is computed

A hit takes app.economy.cache_discount_percent off. Errors: 400 invalid_request, 400 invalid_embedding.$$;

create or replace function app.cache_lookup(
    request jsonb, embedding real[],
    out match text, out similarity_basis_points integer, out original_cost bigint, out discount_percent integer,
    out cost_credits bigint)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    perform app.require_claimed_user();
    select q.match, q.similarity_basis_points, q.original_cost, q.discount_percent, q.cost_credits
    into
        cache_lookup.match, cache_lookup.similarity_basis_points, cache_lookup.original_cost,
        cache_lookup.discount_percent, cache_lookup.cost_credits
    from app.quote_generation(cache_lookup.request, cache_lookup.embedding) as q;
end;
$$;
comment on function app.cache_lookup(jsonb, real[]) is $$Whether it was generated before, and what it would cost

Not what it says: that is paid for. Errors: see api.cache_lookup.$$;
grant execute on function app.cache_lookup(jsonb, real[]) to authenticated;

create or replace function app.cache_store(
    request jsonb, embedding real[], content jsonb, user_id uuid, story_id uuid, tokens bigint, cost_microdollars bigint)
returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
    v_key constant text := app.cache_key(cache_store.request);
    v_genre constant text := app.canonical_text(cache_store.request ->> 'genre');
    v_model constant text := app.canonical_text(cache_store.request ->> 'model');
    v_id uuid;
begin
    insert into app.infinite_pages_cache (
        cache_key, request, genre, model, embedding, content, user_id, story_id, tokens, cost_microdollars)
    values (
        v_key, cache_store.request, v_genre, v_model, cache_store.embedding, cache_store.content,
        cache_store.user_id, cache_store.story_id, cache_store.tokens, cache_store.cost_microdollars)
    on conflict on constraint infinite_pages_cache_cache_key_key do nothing
    returning id into v_id;
    if found then
        perform app.keep_cache_vector(v_id, v_genre, v_model, cache_store.embedding);
        return v_id;
    end if;
    return (select c.id from app.infinite_pages_cache as c where c.cache_key = v_key);
end;
$$;
comment on function app.cache_store(jsonb, real[], jsonb, uuid, uuid, bigint, bigint) is $$Keep what was generated, for the next who asks for the same

The first answer to a request stays. Returns its id.$$;

create or replace function app.cache_hit(job app.generation_jobs)
returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
    v_content jsonb;
begin
    insert into app.cache_rewards (
        job_id, user_id, story_id, chapter_number, cache_key, match, credits_saved, original_cost, discounted_cost)
    values (
        (cache_hit.job).id, (cache_hit.job).user_id, (cache_hit.job).story_id, (cache_hit.job).chapter_number,
        (cache_hit.job).cache_key, (cache_hit.job).match,
        (cache_hit.job).original_cost - (cache_hit.job).cost_credits,
        (cache_hit.job).original_cost, (cache_hit.job).cost_credits);
    update app.infinite_pages_cache as c
    set exact_hits = c.exact_hits + ((cache_hit.job).match = 'exact')::integer,
        semantic_hits = c.semantic_hits + ((cache_hit.job).match = 'semantic')::integer,
        last_hit_at = now()
    where c.id = (cache_hit.job).cache_id
    returning c.content into v_content;
    return v_content;
end;
$$;
comment on function app.cache_hit(app.generation_jobs) is $$What the cache has for a job, and the reward for it: once a job$$;
