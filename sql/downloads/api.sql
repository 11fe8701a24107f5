-- The public contract of downloads.

create or replace view api.exports with (security_invoker = true) as
select
    e.id, e.user_id, e.story_id, e.format,
    case when e.state = 'ready' and e.expires_at <= now() then 'expired' else e.state end as status,
    e.cost_credits, e.file_name, e.media_type, e.bytes, e.chapters, e.links, e.downloads, e.ready_at, e.expires_at,
    e.created_at, e.updated_at
from app.exports as e;
comment on view api.exports is $$Stories that the caller asked for as files

Newest by `order=id.desc`. A ready one can be had with make_export_link().$$;
comment on column api.exports.id is 'Time-ordered id.';
comment on column api.exports.user_id is 'The caller.';
comment on column api.exports.story_id is 'The story.';
comment on column api.exports.format is 'markdown, html or epub.';
comment on column api.exports.status is 'pending, ready, expired, or failed (its credits are back).';
comment on column api.exports.cost_credits is 'Credits.';
comment on column api.exports.file_name is 'Once it is ready.';
comment on column api.exports.media_type is 'Once it is ready.';
comment on column api.exports.bytes is 'How large it is.';
comment on column api.exports.chapters is 'How many chapters are in it.';
comment on column api.exports.links is 'Addresses that were given out.';
comment on column api.exports.downloads is 'How often it was downloaded.';
comment on column api.exports.ready_at is 'When it was ready.';
comment on column api.exports.expires_at is 'Until when it can be had.';
comment on column api.exports.created_at is 'When it was asked for.';
comment on column api.exports.updated_at is 'When it last changed.';
grant select on api.exports to authenticated, service_role;
create or replace trigger tg_exports__read_only
instead of insert or update or delete on api.exports
for each row execute function app.refuse_change();

create or replace function api.request_export(
    story_id uuid, format text, idempotency_key text default null,
    out export_id uuid, out state text, out cost_credits bigint, out balance bigint, out downloads_left bigint,
    out resets_at timestamptz)
returns record
language sql volatile
set search_path = ''
begin atomic
    select r.export_id, r.state, r.cost_credits, r.balance, r.downloads_left, r.resets_at
    from app.request_export(story_id, format, idempotency_key) as r;
end;
comment on function api.request_export(uuid, text, text) is $$Have a story made into a file for you

`format` markdown, html or epub. What you may read of it goes in, marked with your name. The price is set aside now and spent when the file is there. Once per `idempotency_key`. Watch `exports`; then make_export_link(). Answers how many downloads are left this month. Errors: 400 unknown_format, 401 login_required, 402 insufficient_credits, 403 plan_required, 404 story_not_found, 409 idempotency_mismatch, 429 limit_reached with the time at which it starts again.$$;
grant execute on function api.request_export(uuid, text, text) to authenticated;

create or replace function api.make_export_link(
    export_id uuid, out path text, out expires_at timestamptz, out links_left integer)
returns record
language sql volatile
set search_path = ''
begin atomic
    select l.path, l.expires_at, l.links_left from app.make_export_link(export_id) as l;
end;
comment on function api.make_export_link(uuid) is $$An address at which your file can be had once

`path` at the edge; GET it. An address before it is not good any more. Errors: 401 login_required, 404 export_not_found, 409 export_not_ready, 409 export_failed, 410 export_expired, 429 too_many_links.$$;
grant execute on function api.make_export_link(uuid) to authenticated;

create or replace function api.trace_watermark(content text)
returns table (
    export_id uuid, user_id uuid, handle text, display_name text, story_id uuid, title text,
    downloaded_at timestamptz, marks bigint)
language sql stable
set search_path = ''
begin atomic
    select t.export_id, t.user_id, t.handle, t.display_name, t.story_id, t.title, t.downloaded_at, t.marks
    from app.trace_watermark(content) as t;
end;
comment on function api.trace_watermark(text) is $$Whose copy a text was taken from

For the service role only. `content` as it was found, a paragraph is enough; one row for each copy of which there are `marks`. Errors: 400 text_too_long.$$;
grant execute on function api.trace_watermark(text) to service_role;
