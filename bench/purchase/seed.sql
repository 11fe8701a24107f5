-- Baseline (a): the purchase of the first plan (seed 000), as it was meant: balances and earnings
-- are columns of the people's rows, and a purchase updates the reader's row and the creator's.
-- Tables, columns, checks, cascades and indexes are those of its Step 1, as far as a purchase
-- reaches them; the function does what its Step 3 does, in the same order.
-- psql variables: readers, creators (besides the star), credits

create schema seed;
comment on schema seed is 'Scratch: the first plan, to be measured against.';

create table seed.profiles (
    id uuid primary key default gen_random_uuid(),
    subscription_tier text constraint subscription_tier_check
    check (subscription_tier in ('free', 'basic', 'premium')),
    credits_balance integer default 0,
    credits_earned_total integer default 0,
    credits_spent_total integer default 0,
    cache_hits integer default 0,
    cache_discount_earned integer default 0,
    is_creator boolean default false,
    creator_tier text check (creator_tier in ('bronze', 'silver', 'gold', 'platinum')),
    total_earnings_usd numeric(10, 2) default 0,
    pending_payout_usd numeric(10, 2) default 0,
    stripe_connect_account_id text
);

create table seed.stories (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references seed.profiles (id) on delete cascade,
    title text not null
);

create table seed.chapters (
    id uuid primary key default gen_random_uuid(),
    story_id uuid not null references seed.stories (id) on delete cascade,
    chapter_number integer not null
);

create table seed.credit_transactions (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references seed.profiles (id) on delete cascade,
    transaction_type text not null
    check (transaction_type in ('purchase', 'spend', 'earn', 'bonus', 'refund')),
    amount integer not null,
    balance_after integer not null,
    description text not null,
    reference_id text,
    reference_type text
    check (reference_type in ('story_read', 'cache_hit', 'purchase', 'creator_bonus')),
    metadata jsonb,
    created_at timestamptz default now()
);
create index idx_credit_transactions_user_id on seed.credit_transactions (user_id);
create index idx_credit_transactions_created_at on seed.credit_transactions (created_at);

create table seed.creator_earnings (
    id uuid primary key default gen_random_uuid(),
    creator_id uuid not null references seed.profiles (id) on delete cascade,
    story_id uuid not null references seed.stories (id) on delete cascade,
    reader_id uuid not null references seed.profiles (id) on delete cascade,
    credits_earned integer not null,
    usd_equivalent numeric(10, 2) not null,
    transaction_id uuid not null references seed.credit_transactions (id),
    created_at timestamptz default now()
);
create index idx_creator_earnings_creator_id on seed.creator_earnings (creator_id);
create index idx_creator_earnings_created_at on seed.creator_earnings (created_at);

create table seed.story_purchases (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references seed.profiles (id) on delete cascade,
    story_id uuid not null references seed.stories (id) on delete cascade,
    creator_id uuid not null references seed.profiles (id) on delete cascade,
    purchase_type text not null check (purchase_type in ('chapter', 'bundle', 'premium_unlock')),
    chapters_unlocked integer[] not null,
    credits_spent integer not null,
    creator_earnings integer not null,
    created_at timestamptz default now()
);
create index idx_story_purchases_user_story on seed.story_purchases (user_id, story_id);

create table seed.cache_rewards (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references seed.profiles (id) on delete cascade,
    story_id uuid not null references seed.stories (id) on delete cascade,
    chapter_id uuid not null references seed.chapters (id) on delete cascade,
    cache_key text not null,
    credits_saved integer not null,
    original_cost integer not null,
    discounted_cost integer not null,
    hit_count integer default 1,
    created_at timestamptz default now()
);
create index idx_cache_rewards_user_id on seed.cache_rewards (user_id);

create function seed.process_story_purchase(
    p_user_id uuid, p_story_id uuid, p_creator_id uuid, p_credits_spent integer,
    p_chapters_unlocked integer[], p_purchase_type text,
    p_cache_discount integer default 0, p_original_cost integer default null)
returns void
language plpgsql
as $$
declare
    v_balance integer;
    v_earnings integer;
begin
    -- Read without a lock, written back below: two purchases of one reader at once lose one.
    select p.credits_balance into v_balance from seed.profiles as p where p.id = p_user_id;
    if v_balance < p_credits_spent then
        raise exception 'Insufficient credits';
    end if;
    v_earnings := round(p_credits_spent * 0.7);
    v_balance := v_balance - p_credits_spent;

    update seed.profiles as p
    set credits_balance = v_balance,
        credits_spent_total = p.credits_spent_total + p_credits_spent,
        cache_hits = case when p_cache_discount > 0 then p.cache_hits + 1 else p.cache_hits end,
        cache_discount_earned = p.cache_discount_earned + coalesce(p_cache_discount, 0)
    where p.id = p_user_id;

    -- The row that every sale of this creator waits for.
    update seed.profiles as p
    set pending_payout_usd = p.pending_payout_usd + v_earnings * 0.05
    where p.id = p_creator_id;

    insert into seed.story_purchases (
        user_id, story_id, creator_id, purchase_type, chapters_unlocked, credits_spent, creator_earnings)
    values (
        p_user_id, p_story_id, p_creator_id, p_purchase_type, p_chapters_unlocked, p_credits_spent, v_earnings);

    insert into seed.credit_transactions (
        user_id, transaction_type, amount, balance_after, description, reference_id, reference_type)
    values (
        p_user_id, 'spend', -p_credits_spent, v_balance,
        'Story purchase: ' || p_purchase_type, p_story_id, 'story_read');

    insert into seed.creator_earnings (
        creator_id, story_id, reader_id, credits_earned, usd_equivalent, transaction_id)
    values (
        p_creator_id, p_story_id, p_user_id, v_earnings, v_earnings * 0.05,
        (select t.id from seed.credit_transactions as t
            where t.user_id = p_user_id order by t.created_at desc limit 1));

    if p_cache_discount > 0 and p_original_cost is not null then
        insert into seed.cache_rewards (
            user_id, story_id, chapter_id, cache_key, credits_saved, original_cost, discounted_cost)
        select
            p_user_id, p_story_id, c.id,
            'story_' || p_story_id || '_chapters_' || array_to_string(p_chapters_unlocked, '_'),
            p_cache_discount, p_original_cost, p_credits_spent
        from seed.chapters as c
        where c.story_id = p_story_id and c.chapter_number = p_chapters_unlocked[1];
    end if;
end;
$$;

insert into seed.profiles (id, credits_balance, credits_earned_total)
select bench.reader(n), :credits, :credits from generate_series(0, :readers - 1) as n;
insert into seed.profiles (id, is_creator)
select bench.creator(n), true from generate_series(0, :creators) as n;
insert into seed.stories (id, user_id, title)
select bench.story(n), bench.creator(n), format('Story %s', n) from generate_series(0, :creators) as n;

grant usage on schema seed to app_owner;
grant select, insert, update on all tables in schema seed to app_owner;
