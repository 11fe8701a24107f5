-- reading: how far everybody is, their library, and the days on which they read.
-- depends: 0013.covers

set local role app_owner;

create table app.user_library (
    user_id uuid not null references app.profiles (id) on delete restrict,
    story_id uuid not null references app.stories (id) on delete restrict,
    id uuid not null unique default app.new_id(),
    reading_status text not null default 'want_to_read'
    check (reading_status in ('want_to_read', 'reading', 'completed', 'dropped')),
    is_favorite boolean not null default false,
    personal_rating smallint check (personal_rating between 1 and 5),
    personal_notes text check (length(personal_notes) between 1 and 5000),
    added_at timestamptz not null default now(),
    last_read_at timestamptz,
    completed_at timestamptz,
    updated_at timestamptz not null default now(),
    primary key (user_id, story_id)
) with (fillfactor = 80);
comment on table app.user_library is 'The stories that somebody keeps: a row comes with the first word that is read, or when they put it there (seed 000, Step 1).';
comment on column app.user_library.last_read_at is 'Null: not begun.';
comment on column app.user_library.completed_at is 'When it was last read to its end.';
create index user_library_story_id on app.user_library (story_id);
create index user_library_last_read_at on app.user_library (user_id, last_read_at desc) where last_read_at is not null;

create table app.reading_progress (
    user_id uuid not null,
    story_id uuid not null,
    chapter_number integer not null check (chapter_number between 1 and 10000),
    id uuid not null unique default app.new_id(),
    progress_percentage smallint not null check (progress_percentage between 0 and 100),
    reading_seconds bigint not null default 0 check (reading_seconds >= 0),
    last_read_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (user_id, story_id, chapter_number),
    foreign key (user_id, story_id) references app.user_library (user_id, story_id) on delete restrict,
    foreign key (story_id, chapter_number) references app.chapters (story_id, chapter_number) on delete restrict
) with (fillfactor = 80);
comment on table app.reading_progress is 'How far somebody is in each chapter. It only grows, unless they begin again.';
create index reading_progress_chapter on app.reading_progress (story_id, chapter_number);

create table app.reading_days (
    user_id uuid not null references app.profiles (id) on delete restrict,
    day date not null,
    reading_seconds bigint not null default 0 check (reading_seconds >= 0),
    chapters_finished integer not null default 0 check (chapters_finished >= 0),
    stories_completed integer not null default 0 check (stories_completed >= 0),
    primary key (user_id, day)
) with (fillfactor = 80);
comment on table app.reading_days is 'What somebody read on a day, in the business time zone.';

alter table app.user_library enable row level security;
alter table app.reading_progress enable row level security;
alter table app.reading_days enable row level security;

reset role;
