-- downloads: stories as files, each marked with whose copy it is.
-- depends: 0015.subscriptions

set local role app_owner;

create table app.exports (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    story_id uuid not null references app.stories (id) on delete restrict,
    format text not null check (format in ('markdown', 'html', 'epub')),
    state text not null default 'pending' check (state in ('pending', 'ready', 'expired', 'failed')),
    cost_credits bigint not null check (cost_credits >= 0),
    transaction_id uuid unique,
    copy_code bigint not null unique check (copy_code between 1 and 281474976710655),
    attempts integer not null default 0 check (attempts >= 0),
    run_at timestamptz not null default now(),
    error_message text,
    file_name text,
    media_type text,
    bytes bigint check (bytes > 0),
    chapters integer,
    links integer not null default 0 check (links >= 0),
    downloads integer not null default 0 check (downloads >= 0),
    ready_at timestamptz,
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check ((cost_credits = 0) = (transaction_id is null)),
    check ((state in ('ready', 'expired')) = (ready_at is not null)),
    check ((ready_at is null) = (expires_at is null))
);
comment on table app.exports is 'Stories that readers asked for as files, and what became of it (seed 000).';
comment on column app.exports.transaction_id is 'The reservation in the ledger; null for what cost nothing.';
comment on column app.exports.copy_code is 'Woven into every paragraph of the file: 48 bits that lead back here.';
comment on column app.exports.links is 'How many addresses were given out for it; each is good for one download.';
create index exports_user_id on app.exports (user_id, id);
create index exports_story_id on app.exports (story_id);
create index exports_due on app.exports (run_at) where state = 'pending';
create index exports_lapsing on app.exports (expires_at) where state = 'ready';

create table app.export_files (
    export_id uuid primary key references app.exports (id) on delete restrict,
    content bytea not null
);
comment on table app.export_files is 'The files, until they expire. No role of the web can look in.';

create table app.export_links (
    token_hash bytea primary key,
    export_id uuid not null references app.exports (id) on delete restrict,
    created_at timestamptz not null default now(),
    used_at timestamptz
);
comment on table app.export_links is 'Addresses of files: each is good once. Only the hash of what is in the address is kept.';
create index export_links_export_id on app.export_links (export_id);

alter table app.exports enable row level security;
alter table app.export_files enable row level security;
alter table app.export_links enable row level security;

alter table app.economy
add column download_price_credits bigint not null default 250 check (download_price_credits between 0 and 1000000),
add column download_hours integer not null default 24 check (download_hours between 1 and 8760),
add column download_links integer not null default 3 check (download_links between 1 and 100);
comment on column app.economy.download_price_credits is 'What a download costs, in credits (seed 000: 250).';
comment on column app.economy.download_hours is 'For how long a file can be downloaded, in hours (seed 000: 24).';
comment on column app.economy.download_links is 'How many addresses are given out for a file; each is good once.';

update app.rate_limits
set functions = functions || '{request_export,make_export_link}'
where class = 'money';

insert into app.notice_templates (kind, subject, body, needs_action, is_mailed) values
(
    'download_ready', '"{title}" is ready for you',
    'Your copy of "{title}" can be downloaded until {until}. It is made for you alone: please do not pass it on.', false, false
),
(
    'download_failed', 'Your copy of "{title}" could not be made',
    'Your copy of "{title}" could not be made. Please try again later.

Your {credits} credits are back in your wallet.', false, true
);

reset role;
