-- cache: what was generated before, found again by its words or its meaning; generation jobs, their logs and rewards.
-- depends: 0016.downloads

-- Only a superuser may do this. Without pgvector only what was asked for word by word is found again.
do $$
begin
    if not exists (select from pg_extension where extname = 'vector')
        and exists (select from pg_available_extensions where name = 'vector')
    then
        create schema if not exists extensions;
        create extension vector with schema extensions;
        grant usage on schema extensions to app_owner;
    end if;
exception
    when insufficient_privilege then
        raise notice 'pgvector is not installed here: ask your administrator for "create extension vector", and deploy again';
end
$$;

set local role app_owner;

create table app.infinite_pages_cache (
    id uuid primary key default app.new_id(),
    cache_key text not null unique check (cache_key ~ '^[0-9a-f]{64}$'),
    request jsonb not null,
    genre text not null check (length(genre) between 1 and 100),
    model text not null check (length(model) between 1 and 200),
    embedding real[],
    content jsonb not null,
    user_id uuid references app.profiles (id) on delete restrict,
    story_id uuid references app.stories (id) on delete restrict,
    tokens bigint not null default 0 check (tokens >= 0),
    cost_microdollars bigint not null default 0 check (cost_microdollars >= 0),
    exact_hits bigint not null default 0,
    semantic_hits bigint not null default 0,
    last_hit_at timestamptz,
    created_at timestamptz not null default now()
);
comment on table app.infinite_pages_cache is 'What was generated, with the request that it answers (seed 004).';
comment on column app.infinite_pages_cache.cache_key is 'SHA-256 of the request in its canonical form.';
comment on column app.infinite_pages_cache.embedding is 'What the request means, as numbers; null where nobody said.';
comment on column app.infinite_pages_cache.cost_microdollars is 'What generating it cost.';
create index infinite_pages_cache_user_id on app.infinite_pages_cache (user_id);
create index infinite_pages_cache_story_id on app.infinite_pages_cache (story_id);

create table app.generation_jobs (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    story_id uuid not null references app.stories (id) on delete restrict,
    chapter_number integer check (chapter_number between 1 and 10000),
    request jsonb not null,
    cache_key text not null,
    embedding real[],
    state text not null default 'pending' check (state in ('pending', 'completed', 'failed', 'canceled')),
    match text not null check (match in ('none', 'exact', 'semantic')),
    similarity_basis_points integer check (similarity_basis_points between 0 and 10000),
    cache_id uuid references app.infinite_pages_cache (id) on delete restrict,
    original_cost bigint not null check (original_cost >= 0),
    cost_credits bigint not null check (cost_credits between 0 and original_cost),
    transaction_id uuid unique,
    content jsonb,
    error_message text,
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    check ((cost_credits = 0) = (transaction_id is null)),
    check (match <> 'none' or cost_credits = original_cost),
    check ((state = 'pending') = (finished_at is null)),
    check ((state = 'completed') = (content is not null))
);
comment on table app.generation_jobs is 'Texts that authors had generated, and what they cost.';
comment on column app.generation_jobs.cost_credits is 'The price of that day, less the discount of a hit; set aside while the job is open.';
create index generation_jobs_user_id on app.generation_jobs (user_id, id);
create index generation_jobs_story_id on app.generation_jobs (story_id);
create index generation_jobs_cache_id on app.generation_jobs (cache_id);
create index generation_jobs_open on app.generation_jobs (created_at) where state = 'pending';

create table app.cache_rewards (
    id uuid primary key default app.new_id(),
    job_id uuid not null unique references app.generation_jobs (id) on delete restrict,
    user_id uuid not null references app.profiles (id) on delete restrict,
    story_id uuid not null references app.stories (id) on delete restrict,
    chapter_number integer,
    cache_key text not null,
    match text not null check (match in ('exact', 'semantic')),
    credits_saved bigint not null check (credits_saved >= 0),
    original_cost bigint not null,
    discounted_cost bigint not null,
    created_at timestamptz not null default now(),
    check (credits_saved = original_cost - discounted_cost)
);
comment on table app.cache_rewards is 'What authors saved because it had been generated before (seed 000). Append only.';
create index cache_rewards_user_id on app.cache_rewards (user_id, id);
create index cache_rewards_story_id on app.cache_rewards (story_id);

create table app.ai_usage_logs (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    story_id uuid references app.stories (id) on delete restrict,
    chapter_number integer check (chapter_number between 1 and 10000),
    operation text not null check (operation in ('story', 'chapter', 'cover', 'embedding', 'other')),
    model text not null check (length(model) between 1 and 200),
    tokens_in bigint not null default 0 check (tokens_in between 0 and 1000000000),
    tokens_out bigint not null default 0 check (tokens_out between 0 and 1000000000),
    cost_microdollars bigint not null default 0 check (cost_microdollars between 0 and 1000000000000),
    is_cache_hit boolean not null default false,
    reference text unique check (length(reference) between 1 and 200),
    details jsonb not null default '{}',
    created_at timestamptz not null default now()
);
comment on table app.ai_usage_logs is 'Every generation: tokens and costs (seed 004, priority 2). Append only.';
comment on column app.ai_usage_logs.reference is 'What it was for, so that nothing is logged twice.';
create index ai_usage_logs_user_id on app.ai_usage_logs (user_id, id);
create index ai_usage_logs_story_id on app.ai_usage_logs (story_id, id);
create index ai_usage_logs_created on app.ai_usage_logs (created_at);

alter table app.infinite_pages_cache enable row level security;
alter table app.generation_jobs enable row level security;
alter table app.cache_rewards enable row level security;
alter table app.ai_usage_logs enable row level security;

alter table app.stories
add column logged_tokens bigint not null default 0 check (logged_tokens >= 0),
add column logged_cost_microdollars bigint not null default 0 check (logged_cost_microdollars >= 0);
comment on column app.stories.logged_tokens is 'Of total_tokens_used, what app.ai_usage_logs says; the rest was given with the chapters.';

alter table app.economy
add column generation_price_credits bigint not null default 10 check (generation_price_credits between 0 and 100000),
add column cache_discount_percent integer not null default 20 check (cache_discount_percent between 0 and 100),
add column cache_similarity_basis_points integer not null default 9500 check (cache_similarity_basis_points between 0 and 10000),
add column cover_cost_microdollars bigint not null default 2000 check (cover_cost_microdollars between 0 and 1000000000);
comment on column app.economy.generation_price_credits is 'What generating a text costs, in credits.';
comment on column app.economy.cache_discount_percent is 'What a hit of the cache takes off, in per cent (seed 000: 20).';
comment on column app.economy.cache_similarity_basis_points is 'How near two requests must be to mean the same: their cosine, times 10 000.';
comment on column app.economy.cover_cost_microdollars is 'What drawing a cover costs the platform, for the logs.';

update app.rate_limits
set functions = functions || '{request_generation,cancel_generation}'
where class = 'money';

reset role;
