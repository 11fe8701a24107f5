-- stories: stories, chapters, prices, authors, purchases and what they entitle to.
-- depends: 0003.credits

set local role app_owner;

create table app.stories (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    title text not null check (length(title) between 1 and 200),
    description text not null default '' check (length(description) <= 5000),
    genre text not null default 'fiction' check (length(genre) between 1 and 50),
    language text not null default 'en' check (language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
    tags text[] not null default '{}' check (cardinality(tags) <= 20),
    status text not null default 'draft' check (status in ('draft', 'published', 'archived')),
    word_count integer not null default 0,
    chapter_count integer not null default 0,
    total_tokens_used bigint not null default 0,
    total_cost_microdollars bigint not null default 0,
    published_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    search tsvector generated always as (
        setweight(to_tsvector('pg_catalog.simple', title), 'A')
        || setweight(to_tsvector('pg_catalog.english', title), 'A')
        || setweight(to_tsvector('pg_catalog.english', description), 'B')
        || setweight(to_tsvector('pg_catalog.english', genre), 'C')
    ) stored
);
comment on table app.stories is 'A story and its metrics; the metrics are kept by triggers on its chapters.';
create index stories_user_id on app.stories (user_id);
create index stories_search on app.stories using gin (search);
create index stories_published on app.stories (published_at desc, id) where status = 'published';
create index stories_tags on app.stories using gin (tags);

create table app.chapters (
    id uuid primary key default app.new_id(),
    story_id uuid not null references app.stories (id) on delete restrict,
    chapter_number integer not null check (chapter_number between 1 and 10000),
    title text not null check (length(title) between 1 and 200),
    status text not null default 'draft' check (status in ('draft', 'published')),
    word_count integer not null default 0,
    tokens_used bigint not null default 0 check (tokens_used >= 0),
    generation_cost_microdollars bigint not null default 0 check (generation_cost_microdollars >= 0),
    published_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (story_id, chapter_number)
);
comment on table app.chapters is 'The table of contents. The text is in app.chapter_texts, which no web role can read.';

create table app.chapter_texts (
    chapter_id uuid primary key references app.chapters (id) on delete restrict,
    content text not null check (length(content) between 1 and 500000)
);
comment on table app.chapter_texts is 'The text of a chapter; api.read_chapter() is the only way to it.';

create table app.story_pricing (
    id uuid primary key default app.new_id(),
    story_id uuid not null unique references app.stories (id) on delete restrict,
    creator_id uuid not null references app.profiles (id) on delete restrict,
    price_per_chapter integer not null default 5 check (price_per_chapter between 0 and 10000),
    bundle_discount integer not null default 15 check (bundle_discount between 0 and 100),
    is_free_sample boolean not null default true,
    free_chapters integer not null default 2 check (free_chapters between 0 and 10000),
    premium_unlock_price integer not null default 50 check (premium_unlock_price between 0 and 1000000),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table app.story_pricing is 'Prices in credits, the bundle discount in per cent (seed 000, Step 1).';
create index story_pricing_creator_id on app.story_pricing (creator_id);

create table app.story_authors (
    story_id uuid not null references app.stories (id) on delete restrict,
    creator_id uuid not null references app.profiles (id) on delete restrict,
    basis_points integer not null check (basis_points between 0 and 10000),
    rank smallint not null check (rank > 0),
    primary key (story_id, creator_id),
    unique (story_id, rank)
);
comment on table app.story_authors is 'Who shares the creators'' part of a sale. The parts add up to 10 000; what does not divide goes to rank 1.';
create index story_authors_creator_id on app.story_authors (creator_id);

create domain app.purchase_type as text constraint purchase_type_known check (
    value in ('chapter', 'bundle', 'premium_unlock')
);
comment on domain app.purchase_type is 'How a story can be bought (seed 000, Step 1).';

-- No foreign key to stories here: its check would share-lock one popular story for every buyer.
-- Stories cannot be deleted, and app.check_story_purchases() proves that each purchase has its story.
create table app.story_purchases (
    user_id uuid not null,
    id uuid not null default app.new_id(),
    story_id uuid not null,
    creator_id uuid not null,
    transaction_id uuid not null,
    purchase_type app.purchase_type not null,
    chapters_unlocked integer[] not null,
    credits_spent ledger.amount not null,
    earned_microdollars bigint not null,
    created_at timestamptz not null default now(),
    primary key (user_id, id)
);
comment on table app.story_purchases is 'What was bought, once for each payment. Append only.';

create table app.story_entitlements (
    user_id uuid not null,
    story_id uuid not null,
    chapter_number integer not null,
    purchase_id uuid,
    revoked_at timestamptz,
    primary key (user_id, story_id, chapter_number)
);
create type app.story_quote as (
    may_buy boolean,
    author_id uuid,
    title text,
    cost bigint,
    full_price bigint,
    new_chapters integer[],
    rates ledger.rates,
    splits ledger.split[]
);
comment on type app.story_quote is 'What a purchase would cost a reader and unlock.';

create type app.purchase_answer as (
    purchase_id uuid,
    story_id uuid,
    purchase_type text,
    chapters_unlocked integer[],
    credits_spent bigint,
    balance bigint,
    already_owned boolean,
    message text
);
comment on type app.purchase_answer is 'What purchase_story answers, and answers again to a retry.';

comment on table app.story_entitlements is 'What a reader may read, one row a chapter; chapter 0 is the whole story with what is still to come.';

do $$
begin
    if current_setting('server_version_num')::integer >= 180000 then
        alter table app.story_purchases alter column id set default uuidv7();
    end if;
end
$$;

alter table app.stories enable row level security;
alter table app.chapters enable row level security;
alter table app.chapter_texts enable row level security;
alter table app.story_pricing enable row level security;
alter table app.story_authors enable row level security;
alter table app.story_purchases enable row level security;
alter table app.story_entitlements enable row level security;

reset role;
