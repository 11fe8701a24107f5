-- The public contract of covers.

create or replace view api.cover_styles with (security_invoker = true) as
select s.style, s.description, e.cover_price_credits as price_credits
from app.cover_styles as s
cross join app.economy as e
where s.is_active
order by s.sort_order, s.style;
comment on view api.cover_styles is $$How covers can look, and what one costs

For request_cover().$$;
comment on column api.cover_styles.style is 'realistic, artistic, fantasy, minimalist or vintage.';
comment on column api.cover_styles.description is 'In words.';
comment on column api.cover_styles.price_credits is 'Credits.';
grant select on api.cover_styles to anon, authenticated, service_role;
create or replace trigger tg_cover_styles__read_only
instead of insert or update or delete on api.cover_styles
for each row execute function app.refuse_change();

create or replace view api.story_covers with (security_invoker = true) as
select
    c.id, c.story_id, app.cover_url(c.file) as cover_url, c.style as cover_style,
    case when c.user_id = (select app.current_user_id()) or current_user = 'service_role' then coalesce(c.prompt, '') else '' end
    as generation_prompt,
    c.is_primary, c.cost_credits::integer as generation_cost, c.model as sd_model_used, c.created_at, c.updated_at,
    app.cover_url(c.thumbnail_file) as thumbnail_url, c.width, c.height,
    case when c.user_id = (select app.current_user_id()) or current_user = 'service_role' then c.seed end as seed,
    case when c.job_id is null then 'uploaded' else 'generated' end as source,
    c.job_id
from app.story_covers as c
where c.removed_at is null;
comment on view api.story_covers is $$Covers of stories

For readers the one that a story shows; for authors all of their own stories' covers. Newest by `order=id.desc`.$$;
comment on column api.story_covers.id is 'Time-ordered id.';
comment on column api.story_covers.story_id is 'The story.';
comment on column api.story_covers.cover_url is 'The picture; never changes under its address. A path belongs to the edge.';
comment on column api.story_covers.cover_style is 'The style; null for what the author uploaded.';
comment on column api.story_covers.generation_prompt is 'What the model was told; empty for everybody but the author, and for uploads.';
comment on column api.story_covers.is_primary is 'This one is shown with the story.';
comment on column api.story_covers.generation_cost is 'What it cost, in credits.';
comment on column api.story_covers.sd_model_used is 'The model that drew it; null for uploads.';
comment on column api.story_covers.created_at is 'When it was made.';
comment on column api.story_covers.updated_at is 'When it last changed.';
comment on column api.story_covers.thumbnail_url is 'The same picture, small.';
comment on column api.story_covers.width is 'Pixels.';
comment on column api.story_covers.height is 'Pixels.';
comment on column api.story_covers.seed is 'With the same seed, model and prompt it can be made again; for its author.';
comment on column api.story_covers.source is 'generated or uploaded.';
comment on column api.story_covers.job_id is 'The job that made it; null for uploads.';
grant select on api.story_covers to anon, authenticated, service_role;
create or replace trigger tg_story_covers__read_only
instead of insert or update or delete on api.story_covers
for each row execute function app.refuse_change();

create or replace function api.cover_url(story api.stories)
returns text
language sql stable
set search_path = ''
begin atomic
    select app.cover_url(c.file)
    from app.story_covers as c
    where c.story_id = (cover_url.story).id and c.is_primary;
end;
comment on function api.cover_url(api.stories) is $$The picture that a story shows

A column to ask for by name: `/stories?select=title,cover_url`. Null while it has none.$$;
grant execute on function api.cover_url(api.stories) to anon, authenticated, service_role;

create or replace function api.thumbnail_url(story api.stories)
returns text
language sql stable
set search_path = ''
begin atomic
    select app.cover_url(c.thumbnail_file)
    from app.story_covers as c
    where c.story_id = (thumbnail_url.story).id and c.is_primary;
end;
comment on function api.thumbnail_url(api.stories) is $$The picture that a story shows, small

A column to ask for by name: `/stories?select=title,thumbnail_url`. Null while it has none.$$;
grant execute on function api.thumbnail_url(api.stories) to anon, authenticated, service_role;

create or replace view api.cover_generation_queue with (security_invoker = true) as
select
    j.id, j.story_id, j.user_id, j.prompt as generation_prompt, j.style as cover_style, j.state as status,
    j.priority::integer as priority, greatest(j.attempts - 1, 0) as retry_count,
    app.cover_trouble(j.error_code) as error_message, j.webui_task_id, j.estimated_completion, j.created_at, j.updated_at,
    j.progress, j.cost_credits, j.finished_at
from app.cover_jobs as j;
comment on view api.cover_generation_queue is $$Covers that the caller asked for

All of them, for the record; cover_queue() says where the open ones stand now. Newest by `order=id.desc`; page with `id=lt.<last id>`.$$;
comment on column api.cover_generation_queue.id is 'The job.';
comment on column api.cover_generation_queue.story_id is 'The story.';
comment on column api.cover_generation_queue.user_id is 'Who asked.';
comment on column api.cover_generation_queue.generation_prompt is 'What the model is told.';
comment on column api.cover_generation_queue.cover_style is 'The style.';
comment on column api.cover_generation_queue.status is 'pending, generating, completed, failed or canceled.';
comment on column api.cover_generation_queue.priority is '1 goes first, 5 last.';
comment on column api.cover_generation_queue.retry_count is 'How often it was tried again.';
comment on column api.cover_generation_queue.error_message is 'What went wrong last, in words.';
comment on column api.cover_generation_queue.webui_task_id is 'What it is called at the server that draws it.';
comment on column api.cover_generation_queue.estimated_completion is 'As it looked when it was asked for, or last begun.';
comment on column api.cover_generation_queue.created_at is 'When it was asked for.';
comment on column api.cover_generation_queue.updated_at is 'When it last changed.';
comment on column api.cover_generation_queue.progress is 'Per cent.';
comment on column api.cover_generation_queue.cost_credits is 'Its price in credits; back in the wallet if it failed or was canceled.';
comment on column api.cover_generation_queue.finished_at is 'When it ended; null while it is open.';
grant select on api.cover_generation_queue to authenticated, service_role;
create or replace trigger tg_cover_generation_queue__read_only
instead of insert or update or delete on api.cover_generation_queue
for each row execute function app.refuse_change();

create or replace view api.cover_attempts with (security_invoker = true) as
select
    a.job_id, a.number, a.server, a.task_id, a.seed, a.started_at, a.ended_at, a.outcome, a.error_code, a.error_message
from app.cover_attempts as a;
comment on view api.cover_attempts is $$Each time that somebody worked on a cover, and what the server said

For the service role only.$$;
comment on column api.cover_attempts.job_id is 'The job.';
comment on column api.cover_attempts.number is 'From 1, those that were given back untried included.';
comment on column api.cover_attempts.server is 'Which server.';
comment on column api.cover_attempts.task_id is 'What the task is called there.';
comment on column api.cover_attempts.seed is 'The seed that was asked for.';
comment on column api.cover_attempts.started_at is 'When it began.';
comment on column api.cover_attempts.ended_at is 'When it ended; null while it runs.';
comment on column api.cover_attempts.outcome is 'finished, failed, expired (the worker was not heard of), canceled or released.';
comment on column api.cover_attempts.error_code is 'What went wrong, for programs.';
comment on column api.cover_attempts.error_message is 'What went wrong, as the server said it.';
grant select on api.cover_attempts to service_role;
create or replace trigger tg_cover_attempts__read_only
instead of insert or update or delete on api.cover_attempts
for each row execute function app.refuse_change();

create or replace function api.request_cover(
    story_id uuid, style text, prompt text default null, priority integer default 3, idempotency_key text default null,
    out job_id uuid, out state text, out cost_credits bigint, out balance bigint, out "position" bigint,
    out estimated_completion timestamptz)
returns record
language sql volatile
set search_path = ''
begin atomic
    select r.job_id, r.state, r.cost_credits, r.balance, r.position, r.estimated_completion
    from app.request_cover(story_id, style, prompt, priority, idempotency_key) as r;
end;
comment on function api.request_cover(uuid, text, text, integer, text) is $$Have a cover made for your story

`style` is one of cover_styles; `prompt` says what should be on it, in up to 1000 characters (the title and the genre are added); `priority` 3 to 5, a step is worth ten minutes of waiting. The price is set aside now and spent when the cover is there; if it cannot be made, or is canceled, it comes back. Once per `idempotency_key`. Answers the job, its `cost_credits`, the new `balance`, its `position` in the queue and when it should be ready; watch it with cover_queue(). Errors: 400 unknown_style, 400 text_too_long, 400 invalid_priority, 400 invalid_idempotency_key, 401 login_required, 402 insufficient_credits, 403 priority_reserved, 404 story_not_found, 409 cover_already_requested, 409 idempotency_mismatch, 422 too_many_covers, 429 too_many_cover_jobs, 429 rate_limited.$$;
grant execute on function api.request_cover(uuid, text, text, integer, text) to authenticated, service_role;

create or replace function api.cancel_cover(
    job_id uuid, out state text, out credits_returned bigint, out balance bigint)
returns record
language sql volatile
set search_path = ''
begin atomic
    select c.state, c.credits_returned, c.balance from app.cancel_cover(job_id) as c;
end;
comment on function api.cancel_cover(uuid) is $$Take back your request for a cover

Also while it is drawn. Its credits come back: `credits_returned`, and the new `balance`. Errors: 401 login_required, 404 cover_job_not_found, 409 cover_job_over.$$;
grant execute on function api.cancel_cover(uuid) to authenticated, service_role;

create or replace function api.cover_queue()
returns table (
    job_id uuid, story_id uuid, style text, prompt text, state text, progress smallint, "position" bigint,
    attempts integer, estimated_completion timestamptz, cost_credits bigint, error_message text, cover_id uuid,
    created_at timestamptz, finished_at timestamptz)
language sql stable
set search_path = ''
begin atomic
    select
        q.job_id, q.story_id, q.style, q.prompt, q.state, q.progress, q.position, q.attempts,
        q.estimated_completion, q.cost_credits, q.error_message, q.cover_id, q.created_at, q.finished_at
    from app.cover_queue() as q;
end;
comment on function api.cover_queue() is $$Your covers that are being made, or were within a day

Newest first; filter as a table (`?story_id=eq.<id>`). `position` 1 is drawn next (counted up to 10,001; null unless pending), `progress` in per cent, `estimated_completion` by how long the last ones took, `cover_id` once it is there. Errors: 401 login_required.$$;
grant execute on function api.cover_queue() to authenticated;

create or replace function api.set_primary_cover(cover_id uuid)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.set_primary_cover(cover_id);
end;
comment on function api.set_primary_cover(uuid) is $$Show this cover with your story

Instead of the one before. Answers its id. Errors: 401 login_required, 404 cover_not_found.$$;
grant execute on function api.set_primary_cover(uuid) to authenticated;

create or replace function api.remove_cover(cover_id uuid)
returns uuid
language sql volatile
set search_path = ''
begin atomic
    select app.remove_cover(cover_id);
end;
comment on function api.remove_cover(uuid) is $$Take a cover off your story

Nothing is paid back. If it was the one that is shown, choose another with set_primary_cover(). Answers its id. Errors: 401 login_required, 404 cover_not_found.$$;
grant execute on function api.remove_cover(uuid) to authenticated;

create or replace function api.cover_figures(
    out waiting bigint, out running bigint, out oldest_waiting_seconds bigint, out completed_today bigint,
    out failed_today bigint, out median_seconds integer)
returns record
language sql stable
set search_path = ''
begin atomic
    select
        f.waiting, f.running, f.oldest_waiting_seconds, f.completed_today, f.failed_today, f.median_seconds
    from app.cover_figures() as f;
end;
comment on function api.cover_figures() is $$How the queue of covers does

For the service role only: how many wait and are drawn, how long the oldest has waited, what was completed and failed within a day, and the median seconds that one took.$$;
grant execute on function api.cover_figures() to service_role;
