-- What the cache saves.

create or replace function app.cache_figures(
    user_id uuid,
    out requests bigint, out hits bigint, out exact_hits bigint, out semantic_hits bigint,
    out hit_rate_percent integer, out credits_saved bigint)
returns record
language sql stable
set search_path = ''
begin atomic
    select
        count(*), count(*) filter (where j.match <> 'none'), count(*) filter (where j.match = 'exact'),
        count(*) filter (where j.match = 'semantic'),
        coalesce(round(100.0 * count(*) filter (where j.match <> 'none') / nullif(count(*), 0)), 0)::integer,
        coalesce(sum(j.original_cost - j.cost_credits), 0)::bigint
    from app.generation_jobs as j
    where j.state in ('pending', 'completed') and (cache_figures.user_id is null or j.user_id = cache_figures.user_id);
end;
comment on function app.cache_figures(uuid) is $$How often the cache had it, and the credits that this saved

For one person; for all without one.$$;

create or replace function app.my_cache_figures(
    out requests bigint, out hits bigint, out exact_hits bigint, out semantic_hits bigint,
    out hit_rate_percent integer, out credits_saved bigint)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
begin
    select f.requests, f.hits, f.exact_hits, f.semantic_hits, f.hit_rate_percent, f.credits_saved
    into requests, hits, exact_hits, semantic_hits, hit_rate_percent, credits_saved
    from app.cache_figures(app.require_claimed_user()) as f;
end;
$$;
comment on function app.my_cache_figures() is $$What the cache saved the caller

Errors: 401 login_required.$$;
grant execute on function app.my_cache_figures() to authenticated;

create or replace function app.profile_cache_figures(user_id uuid, out hits bigint, out credits_saved bigint)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
begin
    if profile_cache_figures.user_id is distinct from app.current_user_id() then
        return;
    end if;
    select f.hits, f.credits_saved into hits, credits_saved from app.cache_figures(profile_cache_figures.user_id) as f;
end;
$$;
comment on function app.profile_cache_figures(uuid) is $$What the cache saved the caller, for their profile; nulls for anybody else's$$;
grant execute on function app.profile_cache_figures(uuid) to authenticated, service_role;

create or replace function app.all_cache_figures(
    out requests bigint, out hits bigint, out exact_hits bigint, out semantic_hits bigint,
    out hit_rate_percent integer, out credits_saved bigint, out entries bigint, out cost_saved_microdollars bigint)
returns record
language sql stable security definer
set search_path = ''
begin atomic
    select
        f.requests, f.hits, f.exact_hits, f.semantic_hits, f.hit_rate_percent, f.credits_saved,
        (select count(*) from app.infinite_pages_cache),
        (select coalesce(sum((c.exact_hits + c.semantic_hits) * c.cost_microdollars), 0)::bigint
            from app.infinite_pages_cache as c)
    from app.cache_figures(null) as f;
end;
comment on function app.all_cache_figures() is $$What the cache saves everybody, for operators

`cost_saved_microdollars`: what generating again would have cost the platform.$$;
grant execute on function app.all_cache_figures() to service_role;
