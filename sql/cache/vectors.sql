-- Finding what means the same, with pgvector where it is installed.

create or replace function app.vector_schema()
returns text
language sql stable
set search_path = ''
return (
    select n.nspname::text
    from pg_catalog.pg_extension as e
    inner join pg_catalog.pg_namespace as n on n.oid = e.extnamespace
    where e.extname = 'vector' and has_schema_privilege(n.oid, 'usage')
);
comment on function app.vector_schema() is $$Where pgvector is installed

Null where it is not, or where we may not use it: `grant usage on schema ... to app_owner`.$$;

create or replace function app.has_cache_vectors()
returns boolean
language sql stable
set search_path = ''
return app.vector_schema() is not null and exists (
    select from pg_catalog.pg_attribute as a
    where a.attrelid = to_regclass('app.cache_vectors') and a.attname = 'embedding' and not a.attisdropped
);
comment on function app.has_cache_vectors() is $$Whether what means the same can be found

`drop extension vector cascade` takes the column and leaves the table.$$;

create or replace function app.prepare_cache_vectors()
returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
    v_schema constant text := app.vector_schema();
begin
    if v_schema is null or app.has_cache_vectors() then
        return app.has_cache_vectors();
    end if;
    drop table if exists app.cache_vectors;
    execute format(
        'create table app.cache_vectors (
            cache_id uuid primary key references app.infinite_pages_cache (id) on delete restrict,
            genre text not null,
            model text not null,
            embedding %I.vector(%s) not null)', v_schema, app.embedding_size());
    alter table app.cache_vectors enable row level security;
    comment on table app.cache_vectors is 'The embeddings of app.infinite_pages_cache, where pgvector finds the nearest.';
    execute format(
        'insert into app.cache_vectors (cache_id, genre, model, embedding)
        select c.id, c.genre, c.model, c.embedding::%I.vector
        from app.infinite_pages_cache as c
        where c.embedding is not null', v_schema);
    execute format(
        'create index cache_vectors_nearest on app.cache_vectors using hnsw (embedding %I.vector_cosine_ops)', v_schema);
    create index cache_vectors_genre on app.cache_vectors (genre, model);
    return true;
end;
$$;
comment on function app.prepare_cache_vectors() is $$Make the place for embeddings, once pgvector is there

Every deploy calls it. Returns whether what means the same can be found.$$;

create or replace function app.keep_cache_vector(cache_id uuid, genre text, model text, embedding real[])
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    if keep_cache_vector.embedding is not null and app.has_cache_vectors() then
        execute format(
            'insert into app.cache_vectors (cache_id, genre, model, embedding) values ($1, $2, $3, $4::%I.vector)
            on conflict do nothing', app.vector_schema())
        using keep_cache_vector.cache_id, keep_cache_vector.genre, keep_cache_vector.model, keep_cache_vector.embedding;
    end if;
end;
$$;
comment on function app.keep_cache_vector(uuid, text, text, real[]) is $$Put an embedding where it is found$$;

create or replace function app.nearest_cache(
    genre text, model text, embedding real[], out cache_id uuid, out similarity_basis_points integer)
returns record
language plpgsql volatile
set search_path = ''
as $$
declare
    v_schema constant text := app.vector_schema();
begin
    if nearest_cache.embedding is null or not app.has_cache_vectors() then
        return;
    end if;
    -- Of another genre or model it does not count: the index is followed until one is found that does.
    perform set_config('hnsw.iterative_scan', 'strict_order', true);
    -- The usual 40 finds nine of ten near ones among 200,000, this 99 of 100 (bench/cache).
    perform set_config('hnsw.ef_search', '200', true);
    execute format(
        'select v.cache_id, floor(10000 * (1 - (v.embedding operator(%1$I.<=>) $3::%1$I.vector)))::integer
        from app.cache_vectors as v
        where v.genre = $1 and v.model = $2
        order by v.embedding operator(%1$I.<=>) $3::%1$I.vector
        limit 1', v_schema)
    into nearest_cache.cache_id, nearest_cache.similarity_basis_points
    using nearest_cache.genre, nearest_cache.model, nearest_cache.embedding;
end;
$$;
comment on function app.nearest_cache(text, text, real[]) is $$The nearest in meaning, of the same genre and model

`similarity_basis_points` is how near: the cosine times 10 000. Nulls when there is none, without an embedding, and without pgvector.$$;
