-- covers: pictures for stories, the queue of those that are being made, and how that went.
-- depends: 0012.ledger

set local role app_owner;

create table app.cover_styles (
    style text primary key
    check (style in ('realistic', 'artistic', 'fantasy', 'minimalist', 'vintage')),
    description text not null check (length(description) between 1 and 500),
    model text not null check (model ~ '^[^[:space:][:cntrl:]/\\<>:|]{1,200}$'),
    prompt text not null check (length(prompt) between 1 and 2000),
    negative_prompt text not null default '' check (length(negative_prompt) <= 2000),
    options jsonb not null check (
        jsonb_typeof(options) = 'object'
        -- Whole numbers; the models draw in steps of eight pixels.
        and coalesce(jsonb_typeof(options -> 'width') = 'number' and jsonb_typeof(options -> 'height') = 'number', false)
        and options ->> 'width' ~ '^[0-9]{3,4}$' and options ->> 'height' ~ '^[0-9]{3,4}$'
        and case when options ->> 'width' ~ '^[0-9]{3,4}$'
            then (options ->> 'width')::integer between 256 and 2048 and (options ->> 'width')::integer % 8 = 0 end
        and case when options ->> 'height' ~ '^[0-9]{3,4}$'
            then (options ->> 'height')::integer between 256 and 2048 and (options ->> 'height')::integer % 8 = 0 end
        and coalesce((options -> 'steps') between '1' and '150', false)
    ),
    is_active boolean not null default true,
    sort_order integer not null default 0,
    updated_at timestamptz not null default now()
);
comment on table app.cover_styles is 'How covers can look, and which model draws them so (seed 000, Step 2). A job keeps what it began with.';
comment on column app.cover_styles.model is 'The checkpoint''s name, without extension and hash.';
comment on column app.cover_styles.prompt is '{title}, {genre} and {wish} are filled in.';
comment on column app.cover_styles.options is 'width and height in pixels, steps, cfg_scale, sampler_name, scheduler: as the WebUI takes them.';

create table app.cover_jobs (
    id uuid primary key default app.new_id(),
    user_id uuid not null references app.profiles (id) on delete restrict,
    story_id uuid not null references app.stories (id) on delete restrict,
    style text not null references app.cover_styles (style) on delete restrict,
    wish text not null check (length(wish) <= 1000),
    priority smallint not null check (priority between 1 and 5),
    state text not null default 'pending'
    check (state in ('pending', 'generating', 'completed', 'failed', 'canceled')),
    cost_credits bigint not null check (cost_credits >= 0),
    transaction_id uuid unique,
    model text not null,
    prompt text not null,
    negative_prompt text not null,
    options jsonb not null,
    turn_at timestamptz not null,
    run_at timestamptz not null default now(),
    attempts integer not null default 0 check (attempts >= 0),
    lease_token uuid,
    leased_until timestamptz,
    webui_task_id text,
    estimated_completion timestamptz,
    progress smallint not null default 0 check (progress between 0 and 100),
    error_code text,
    error_message text,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    updated_at timestamptz not null default now(),
    check ((cost_credits = 0) = (transaction_id is null)),
    check ((state = 'generating') = (lease_token is not null)),
    check ((lease_token is null) = (leased_until is null)),
    check ((state in ('completed', 'failed', 'canceled')) = (finished_at is not null))
) with (fillfactor = 70);
comment on table app.cover_jobs is 'Covers that were asked for, and what became of it (seed 000: cover_generation_queue).';
comment on column app.cover_jobs.wish is 'What the author asked for, in their words.';
comment on column app.cover_jobs.cost_credits is 'The price on that day; set aside while the job is open.';
comment on column app.cover_jobs.transaction_id is 'The reservation in the ledger; null for what cost nothing.';
comment on column app.cover_jobs.turn_at is 'The earliest goes first. A step of priority is worth ten minutes of waiting, so that nobody waits for ever.';
comment on column app.cover_jobs.run_at is 'Not before: after a failure it waits.';
comment on column app.cover_jobs.lease_token is 'Whose it is: whoever works on it must show it.';
comment on column app.cover_jobs.webui_task_id is 'What the newest attempt is called at its server.';
comment on column app.cover_jobs.error_message is 'What went wrong last, for operators; app.cover_trouble() has words for authors.';
comment on column app.cover_jobs.estimated_completion is 'As it looked when it was asked for, or last begun; app.cover_queue() looks anew.';
comment on column app.cover_jobs.progress is 'In per cent.';
comment on column app.cover_jobs.started_at is 'When the newest attempt began.';

-- One index for claiming: the next of a model, without a look at those that wait after a failure.
create index cover_jobs_turns on app.cover_jobs (model, turn_at, id, run_at) where state = 'pending';
create index cover_jobs_places on app.cover_jobs (turn_at, id) where state = 'pending';
create index cover_jobs_waiting on app.cover_jobs (created_at) where state = 'pending';
create index cover_jobs_leases on app.cover_jobs (leased_until) where state = 'generating';
create index cover_jobs_durations on app.cover_jobs (model, finished_at desc) where state = 'completed';
create index cover_jobs_ended on app.cover_jobs (finished_at);
create index cover_jobs_user_id on app.cover_jobs (user_id, id);
create index cover_jobs_story_id on app.cover_jobs (story_id, id);
create index cover_jobs_style on app.cover_jobs (style);
create unique index cover_jobs_once on app.cover_jobs (story_id, style, md5(wish))
where state in ('pending', 'generating');

create table app.cover_attempts (
    job_id uuid not null references app.cover_jobs (id) on delete restrict,
    number integer not null check (number > 0),
    server text not null check (length(server) between 1 and 300),
    task_id text not null,
    seed bigint not null,
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    outcome text check (outcome in ('finished', 'failed', 'expired', 'canceled', 'released')),
    error_code text,
    error_message text,
    primary key (job_id, number),
    check ((outcome is null) = (ended_at is null))
);
comment on table app.cover_attempts is 'Each time that somebody worked on a job, and how it ended.';
comment on column app.cover_attempts.number is 'From 1, those that were given back untried included.';
comment on column app.cover_attempts.server is 'Which WebUI, as the worker names it.';
comment on column app.cover_attempts.task_id is 'What the task is called there.';

create table app.story_covers (
    id uuid primary key default app.new_id(),
    story_id uuid not null references app.stories (id) on delete restrict,
    user_id uuid not null references app.profiles (id) on delete restrict,
    job_id uuid unique references app.cover_jobs (id) on delete restrict,
    style text references app.cover_styles (style) on delete restrict,
    wish text not null default '',
    file text not null check (file ~ '^[0-9a-f]{64}[.](webp|png|jpeg)$'),
    thumbnail_file text not null check (thumbnail_file ~ '^[0-9a-f]{64}[.](webp|png|jpeg)$'),
    media_type text not null check (media_type in ('image/webp', 'image/png', 'image/jpeg')),
    width integer not null check (width between 1 and 10000),
    height integer not null check (height between 1 and 10000),
    bytes bigint not null check (bytes > 0),
    cost_credits bigint not null default 0,
    model text,
    prompt text,
    negative_prompt text,
    options jsonb,
    seed bigint,
    is_primary boolean not null default false,
    removed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check ((job_id is null) = (style is null)),
    check (removed_at is null or not is_primary)
);
comment on table app.story_covers is 'The covers of stories, made or uploaded, with all that is needed to make the picture again (seed 000, Step 1).';
comment on column app.story_covers.job_id is 'Null: the author uploaded it.';
comment on column app.story_covers.file is 'In the store; the name is the content''s hash.';
create index story_covers_story_id on app.story_covers (story_id, id);
create index story_covers_user_id on app.story_covers (user_id);
create index story_covers_style on app.story_covers (style);
create index story_covers_file on app.story_covers (file);
create index story_covers_thumbnail_file on app.story_covers (thumbnail_file);
create unique index story_covers_primary on app.story_covers (story_id) where is_primary;

alter table app.cover_styles enable row level security;
alter table app.cover_jobs enable row level security;
alter table app.cover_attempts enable row level security;
alter table app.story_covers enable row level security;

alter table app.economy
add column cover_price_credits bigint not null default 5 check (cover_price_credits between 0 and 100000),
add column cover_attempts integer not null default 3 check (cover_attempts between 1 and 20),
add column cover_jobs_per_user integer not null default 10 check (cover_jobs_per_user between 1 and 1000),
add column covers_per_story integer not null default 100 check (covers_per_story between 1 and 10000),
add column cover_patience_hours integer not null default 24 check (cover_patience_hours between 1 and 720),
add column cover_base_url text not null default '/covers/'
check (cover_base_url ~ '^(https?://[^[:space:][:cntrl:]<>"]+|/covers)/$' and length(cover_base_url) <= 300);
comment on column app.economy.cover_price_credits is 'What a cover costs, in credits (seed 000: 5).';
comment on column app.economy.cover_attempts is 'How often a cover is tried before its credits go back.';
comment on column app.economy.cover_jobs_per_user is 'How many covers a person may have in the queue at once.';
comment on column app.economy.covers_per_story is 'How many covers a story may have.';
comment on column app.economy.cover_patience_hours is 'What nobody could make for so long is given up, in hours.';
comment on column app.economy.cover_base_url is 'What stands before the name of an image: the edge''s /covers/, or a store that is public itself.';

update app.rate_limits
set functions = functions || '{request_cover,cancel_cover}'
where class = 'money';
insert into app.rate_limits (class, capacity, per_minute) values ('uploads', 20, 10);

insert into app.cover_styles (style, description, model, prompt, negative_prompt, options, sort_order) values
(
    'realistic', 'Like a photograph: light, depth, fine detail.', 'realisticVision_v40',
    'book cover for "{title}", {genre} novel, {wish}, photorealistic, cinematic light, depth of field, highly detailed',
    'cartoon, drawing, painting, lowres, blurry, deformed, extra limbs, watermark, signature',
    '{"width": 512, "height": 768, "steps": 28, "cfg_scale": 6.5, "sampler_name": "DPM++ 2M", "scheduler": "Karras"}', 1
),
(
    'artistic', 'Like a painting: visible brush strokes, bold colors.', 'deliberate_v2',
    'book cover for "{title}", {genre} novel, {wish}, expressive oil painting, visible brush strokes, bold colors',
    'photograph, lowres, blurry, deformed, extra limbs, watermark, signature',
    '{"width": 512, "height": 768, "steps": 28, "cfg_scale": 7.5, "sampler_name": "Euler a", "scheduler": "Automatic"}', 2
),
(
    'fantasy', 'Worlds that are not: castles, magic, strange skies.', 'dreamshaper_7',
    'book cover for "{title}", {genre} novel, {wish}, epic fantasy illustration, magical glow, intricate, dramatic sky',
    'photograph, modern, lowres, blurry, deformed, extra limbs, watermark, signature',
    '{"width": 512, "height": 768, "steps": 30, "cfg_scale": 7.0, "sampler_name": "DPM++ 2M", "scheduler": "Karras"}', 3
),
(
    'minimalist', 'Few shapes, few colors, much space.', 'deliberate_v2',
    'book cover for "{title}", {genre} novel, {wish}, minimalist flat design, simple geometric shapes, two colors, negative space',
    'photograph, clutter, texture, gradient, lowres, watermark, signature',
    '{"width": 512, "height": 768, "steps": 20, "cfg_scale": 7.0, "sampler_name": "Euler a", "scheduler": "Automatic"}', 4
),
(
    'vintage', 'As if it had stood on a shelf for eighty years.', 'realisticVision_v40',
    'book cover for "{title}", {genre} novel, {wish}, vintage print of the 1930s, aged paper, ornamental frame, muted ink, halftone',
    'modern, neon, glossy, lowres, blurry, deformed, watermark, signature',
    '{"width": 512, "height": 768, "steps": 28, "cfg_scale": 7.0, "sampler_name": "DPM++ 2M", "scheduler": "Karras"}', 5
);

insert into app.notice_templates (kind, subject, body, needs_action, is_mailed) values
(
    'cover_ready', 'A new cover for "{title}"',
    'The {style} cover that you asked for is ready.', false, false
),
(
    'cover_failed', 'A cover for "{title}" could not be made',
    'The {style} cover that you asked for could not be made. {reason}

{money}', false, true
);

reset role;
