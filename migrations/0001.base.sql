-- base: roles, the three schemas, policy numbers, people, audit and rate limits.
-- depends:

-- Roles exist already on Supabase; elsewhere they are made here. The login that
-- migrates becomes a member of app_owner, which owns everything.
do $$
declare
    v_role text;
begin
    foreach v_role in array array['anon', 'authenticated', 'service_role', 'app_owner'] loop
        if not exists (select from pg_roles where rolname = v_role) then
            execute format('create role %I nologin noinherit', v_role);
            if v_role in ('anon', 'authenticated') then
                execute format('alter role %I set statement_timeout = %L', v_role, '8s');
            elsif v_role = 'service_role' then
                execute format('alter role %I set statement_timeout = %L', v_role, '60s');
            end if;
        end if;
    end loop;
    if not exists (select from pg_roles where rolname = 'authenticator') then
        create role authenticator login noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'edge') then
        create role edge login noinherit;
    end if;
    if not pg_has_role(
        current_user, 'app_owner',
        case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end)
    then
        grant app_owner to current_user;
    end if;
    if not pg_has_role('authenticator', 'anon', 'member') then
        grant anon to authenticator;
    end if;
    if not pg_has_role('authenticator', 'authenticated', 'member') then
        grant authenticated to authenticator;
    end if;
    if not pg_has_role('authenticator', 'service_role', 'member') then
        grant service_role to authenticator;
    end if;
end
$$;

create schema ledger authorization app_owner;
create schema app authorization app_owner;
create schema api authorization app_owner;

set local role app_owner;

-- Nothing is executable by everybody; each grant is written beside its function.
alter default privileges for role app_owner revoke execute on functions from public;

comment on schema ledger is 'Accounts, lots, transfers, requests and seals, and the only functions that write them.';
comment on schema app is 'Product tables (row-level security on all of them) and the logic functions.';
comment on schema api is 'Infinite Pages API

Views to read and functions to act, over one ledger. Every caller is known by the `sub` of its JWT; money moves only through functions, and each answers a retry under the same `idempotency_key` (or `Idempotency-Key` header) with its first answer.';

grant usage on schema api to anon, authenticated, service_role;

-- Time-ordered identifiers: core has them from 18, below it the same layout is built here.
do $$
begin
    if current_setting('server_version_num')::integer >= 180000 then
        create function app.new_id() returns uuid
        language plpgsql volatile set search_path = ''
        as 'begin return uuidv7(); end';
    else
        create function app.new_id() returns uuid
        language sql volatile set search_path = ''
        return (
            select encode(
                overlay(
                    overlay(uuid_send(gen_random_uuid()) placing substring(int8send(c.microseconds / 1000) from 3) from 1 for 6)
                    -- Version 7, and the microseconds in the twelve bits behind it: ids of one millisecond stay in order.
                    placing int2send((28672 + c.microseconds % 1000 * 4096 / 1000)::smallint) from 7 for 2),
                'hex')::uuid
            from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as microseconds) as c);
    end if;
end
$$;
comment on function app.new_id() is 'A UUIDv7: ids of later rows sort after those of earlier ones.';
grant execute on function app.new_id() to anon, authenticated, service_role;

create table app.economy (
    is_only_row boolean primary key default true check (is_only_row),
    credit_value_microdollars bigint not null default 50000
    check (credit_value_microdollars between 0 and 1000000),
    earnings_mode text not null default 'fixed' check (earnings_mode in ('fixed', 'cash_value')),
    story_creator_basis_points integer not null default 7000
    check (story_creator_basis_points between 0 and 10000),
    earnings_hold_days integer not null default 7 check (earnings_hold_days between 0 and 365),
    refund_grace_days integer not null default 7 check (refund_grace_days between 0 and 365),
    expiring_soon_days integer not null default 14 check (expiring_soon_days between 1 and 365),
    business_time_zone text not null default 'UTC',
    updated_at timestamptz not null default now()
);
comment on table app.economy is 'The policy numbers, one typed row. Changing one never changes history: what a sale used is stored with the sale.';
comment on column app.economy.credit_value_microdollars is 'What a creator is paid for one credit, before the share, in micro-dollars (seed 000: $0.05).';
comment on column app.economy.earnings_mode is 'fixed: a credit earns its full payout value. cash_value: it earns at most what was paid for it.';
comment on column app.economy.story_creator_basis_points is 'Creators'' part of a story sale (seed 000: 70/30).';
comment on column app.economy.earnings_hold_days is 'How long a new earning waits before it can be paid out.';
comment on column app.economy.refund_grace_days is 'Credits that come back after their expiry can still be spent for so many days.';
comment on column app.economy.business_time_zone is 'The time zone in which months begin and end.';

create table app.profiles (
    id uuid primary key,
    handle text not null unique check (handle ~ '^[a-z0-9_]{3,40}$'),
    display_name text check (length(display_name) between 1 and 80),
    bio text check (length(bio) <= 2000),
    avatar_url text check (length(avatar_url) <= 500),
    is_creator boolean not null default false,
    creator_tier text not null default 'bronze'
    check (creator_tier in ('bronze', 'silver', 'gold', 'platinum')),
    subscription_tier text not null default 'free'
    check (subscription_tier in ('free', 'basic', 'premium')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table app.profiles is 'What everybody may know of a person; money is in the ledger, secrets are nowhere.';

create table app.operators (
    user_id uuid primary key references app.profiles (id) on delete restrict,
    created_at timestamptz not null default now()
);
comment on table app.operators is 'People whose token carries the service role.';

create table app.audit_log (
    id uuid primary key default app.new_id(),
    actor_id uuid,
    actor_role text not null,
    claims jsonb not null,
    action text not null,
    subject text,
    details jsonb not null default '{}',
    created_at timestamptz not null default now()
);
comment on table app.audit_log is 'Who did what, under which claim, for every privileged action. Append only.';

create table app.rate_limits (
    class text primary key,
    capacity integer not null check (capacity > 0),
    per_minute integer not null check (per_minute > 0),
    functions text[] not null default '{}'
);
comment on table app.rate_limits is 'A bucket of calls for each person and class: `capacity` at once, refilled `per_minute`. The class `default` takes every function that no other names.';

create unlogged table app.rate_buckets (
    user_id uuid not null,
    class text not null,
    calls double precision not null,
    refilled_at timestamptz not null,
    primary key (user_id, class)
);
comment on table app.rate_buckets is 'How many calls each person has left. Unlogged: it costs no WAL, and a crash only forgives.';

alter table app.economy enable row level security;
alter table app.profiles enable row level security;
alter table app.operators enable row level security;
alter table app.audit_log enable row level security;
alter table app.rate_limits enable row level security;
alter table app.rate_buckets enable row level security;

insert into app.economy default values;
insert into app.rate_limits (class, capacity, per_minute, functions) values
('default', 120, 120, '{}'),
('money', 60, 60, '{purchase_story}');

reset role;
