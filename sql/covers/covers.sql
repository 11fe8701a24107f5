-- The covers of a story: which there are, and which one is shown.

create or replace function app.cover_url(file text)
returns text
language sql stable security definer
set search_path = ''
return (select e.cover_base_url || cover_url.file from app.economy as e);
comment on function app.cover_url(text) is $$Where an image is to be had

Relative to the edge while app.economy.cover_base_url is.$$;
grant execute on function app.cover_url(text) to anon, authenticated, service_role;

create or replace function app.require_room_for_cover(story_id uuid)
returns void
language plpgsql stable
set search_path = ''
as $$
declare
    v_limit constant integer := (select e.covers_per_story from app.economy as e);
begin
    if (
        select count(*) from app.story_covers as c
        where c.story_id = require_room_for_cover.story_id and c.removed_at is null
    ) + (
        select count(*) from app.cover_jobs as j
        where j.story_id = require_room_for_cover.story_id and j.state in ('pending', 'generating')
    ) >= v_limit
    then
        perform app.fail(
            422, 'too_many_covers', 'This story has enough covers.',
            format('It may have %s, those in the queue included. Remove some of them first.', v_limit));
    end if;
end;
$$;
comment on function app.require_room_for_cover(uuid) is $$Let only stories go on that may have another cover

Errors: 422 too_many_covers.$$;

create or replace function app.add_cover(story_id uuid, user_id uuid, image jsonb, is_primary boolean)
returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
    v_cover_id constant uuid := app.new_id();
begin
    -- One cover after the other: only one of them is the first.
    perform from app.stories as s where s.id = add_cover.story_id for no key update;
    insert into app.story_covers (id, story_id, user_id, file, thumbnail_file, media_type, width, height, bytes)
    values (
        v_cover_id, add_cover.story_id, add_cover.user_id, add_cover.image ->> 'file',
        add_cover.image ->> 'thumbnail_file', add_cover.image ->> 'media_type',
        (add_cover.image ->> 'width')::integer, (add_cover.image ->> 'height')::integer,
        (add_cover.image ->> 'bytes')::bigint);
    if add_cover.is_primary or not exists (
        select from app.story_covers as c where c.story_id = add_cover.story_id and c.is_primary)
    then
        perform app.make_cover_primary(add_cover.story_id, v_cover_id);
    end if;
    return v_cover_id;
end;
$$;
comment on function app.add_cover(uuid, uuid, jsonb, boolean) is $$Give a story a cover; the first one is shown at once

Locks the story. Returns the cover's id.$$;

create or replace function app.make_cover_primary(story_id uuid, cover_id uuid)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    update app.story_covers as c
    set is_primary = false, updated_at = now()
    where c.story_id = make_cover_primary.story_id and c.is_primary and c.id <> make_cover_primary.cover_id;
    update app.story_covers as c
    set is_primary = true, updated_at = now()
    where c.id = make_cover_primary.cover_id and not c.is_primary;
end;
$$;
comment on function app.make_cover_primary(uuid, uuid) is $$Show this cover, and no other, with the story

The caller has locked the story.$$;

create or replace function app.require_own_cover(cover_id uuid)
returns app.story_covers
language plpgsql volatile
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_user();
    v_cover app.story_covers;
begin
    -- The story is locked first, then the cover is looked at again: who came before may have removed it.
    perform from app.stories as s
    where s.user_id = v_user_id
        and s.id = (select c.story_id from app.story_covers as c where c.id = require_own_cover.cover_id)
    for no key update;
    if found then
        select c.* into v_cover
        from app.story_covers as c
        where c.id = require_own_cover.cover_id and c.removed_at is null;
    end if;
    if v_cover.id is null then
        perform app.fail(404, 'cover_not_found', 'There is no such cover of yours.');
    end if;
    return v_cover;
end;
$$;
comment on function app.require_own_cover(uuid) is $$A cover of the caller's own story, which is locked

Errors: 401 login_required, 404 cover_not_found.$$;

create or replace function app.set_primary_cover(cover_id uuid)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_cover constant app.story_covers := app.require_own_cover(set_primary_cover.cover_id);
begin
    perform app.make_cover_primary(v_cover.story_id, v_cover.id);
    return v_cover.id;
end;
$$;
comment on function app.set_primary_cover(uuid) is $$Show this cover with the caller's story

Errors: 401 login_required, 404 cover_not_found.$$;
grant execute on function app.set_primary_cover(uuid) to authenticated;

create or replace function app.remove_cover(cover_id uuid)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_cover constant app.story_covers := app.require_own_cover(remove_cover.cover_id);
begin
    update app.story_covers as c
    set is_primary = false, removed_at = now(), updated_at = now()
    where c.id = v_cover.id;
    return v_cover.id;
end;
$$;
comment on function app.remove_cover(uuid) is $$Take a cover off the caller's story

What it cost is not given back. Nothing else becomes primary by itself. Errors: 401 login_required, 404 cover_not_found.$$;
grant execute on function app.remove_cover(uuid) to authenticated;

create or replace function app.check_cover_upload(story_id uuid)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    perform app.require_room_for_cover((app.require_own_story(check_cover_upload.story_id)).id);
end;
$$;
comment on function app.check_cover_upload(uuid) is $$Whether the caller may upload a cover for this story

For the edge, before it looks at the image. Errors: 401 login_required, 404 story_not_found, 422 too_many_covers.$$;
grant execute on function app.check_cover_upload(uuid) to edge;

create or replace function app.add_uploaded_cover(
    story_id uuid, image jsonb, is_primary boolean,
    out cover_id uuid, out cover_url text, out thumbnail_url text)
returns record
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_story constant app.stories := app.require_own_story(add_uploaded_cover.story_id);
begin
    perform app.require_room_for_cover(v_story.id);
    cover_id := app.add_cover(
        v_story.id, v_story.user_id, add_uploaded_cover.image, coalesce(add_uploaded_cover.is_primary, false));
    cover_url := app.cover_url(add_uploaded_cover.image ->> 'file');
    thumbnail_url := app.cover_url(add_uploaded_cover.image ->> 'thumbnail_file');
end;
$$;
comment on function app.add_uploaded_cover(uuid, jsonb, boolean) is $$Give the caller's story an image of their own

For the edge, which has checked and stored it. `image` has file, thumbnail_file, media_type, width, height, bytes. Errors: 401 login_required, 404 story_not_found, 422 too_many_covers.$$;
grant execute on function app.add_uploaded_cover(uuid, jsonb, boolean) to edge;

create or replace function app.unused_cover_files(files text[])
returns setof text
language sql stable security definer
set search_path = ''
begin atomic
    select f.file
    from unnest(unused_cover_files.files) as f (file)
    where not exists (select from app.story_covers as c where c.file = f.file and c.removed_at is null)
        and not exists (select from app.story_covers as c where c.thumbnail_file = f.file and c.removed_at is null);
end;
comment on function app.unused_cover_files(text[]) is $$Which of these files of the store no story shows any more

For `infinite-pages covers tidy`.$$;
