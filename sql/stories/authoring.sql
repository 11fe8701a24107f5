-- Authors write, price and publish their own stories.

create or replace function app.require_own_story(story_id uuid)
returns app.stories
language plpgsql volatile
set search_path = ''
as $$
declare
    v_author_id constant uuid := app.require_user();
    v_story app.stories;
begin
    select s.* into v_story
    from app.stories as s
    where s.id = require_own_story.story_id and s.user_id = v_author_id
    for no key update;
    if not found then
        perform app.fail(404, 'story_not_found', 'There is no such story of yours.');
    end if;
    return v_story;
end;
$$;
comment on function app.require_own_story(uuid) is $$The caller's own story, locked

Errors: 401 login_required, 404 story_not_found (also: somebody else's).$$;

create or replace function app.check_story_fields(genre text, language text, tags text[])
returns void
language plpgsql stable
set search_path = ''
as $$
begin
    if length(btrim(check_story_fields.genre)) not between 1 and 50 then
        perform app.fail(400, 'invalid_genre', 'A genre has 1 to 50 characters.');
    end if;
    if check_story_fields.language !~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$' then
        perform app.fail(400, 'invalid_language', 'Please give the language as a code such as "en" or "pt-BR".');
    end if;
    if cardinality(check_story_fields.tags) > 20 or array_ndims(check_story_fields.tags) > 1
        or exists (
            select from unnest(check_story_fields.tags) as t
            where t is null or length(btrim(t)) not between 1 and 40)
    then
        perform app.fail(400, 'invalid_tags', 'A story has at most 20 tags of 1 to 40 characters.');
    end if;
end;
$$;
comment on function app.check_story_fields(text, text, text[]) is $$What authors may write into a story's fields; null is left alone

Errors: 400 invalid_genre, 400 invalid_language, 400 invalid_tags.$$;

create or replace function app.create_story(title text, description text, genre text, language text, tags text[])
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_author_id constant uuid := app.require_user();
    v_title constant text := app.require_text(create_story.title, 'title', 200);
    v_story_id uuid;
begin
    perform app.check_story_fields(
        coalesce(create_story.genre, ''), coalesce(create_story.language, ''), coalesce(create_story.tags, '{""}'));
    insert into app.stories (user_id, title, description, genre, language, tags)
    values (
        v_author_id, v_title,
        case when btrim(create_story.description) = '' then '' else app.require_text(create_story.description, 'description', 5000) end,
        create_story.genre, create_story.language, create_story.tags)
    returning id into v_story_id;
    insert into app.story_pricing (story_id, creator_id) values (v_story_id, v_author_id);
    insert into app.story_authors (story_id, creator_id, basis_points, rank)
    values (v_story_id, v_author_id, 10000, 1);
    return v_story_id;
end;
$$;
comment on function app.create_story(text, text, text, text, text[]) is $$Begin a story: a draft with the default prices

Errors: 400 text_required, 400 text_too_long, 400 invalid_genre, 400 invalid_language, 400 invalid_tags, 401 login_required.$$;
grant execute on function app.create_story(text, text, text, text, text[]) to authenticated, service_role;

create or replace function app.update_story(
    story_id uuid, title text, description text, genre text, language text, tags text[])
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_story constant app.stories := app.require_own_story(update_story.story_id);
begin
    perform app.check_story_fields(update_story.genre, update_story.language, update_story.tags);
    update app.stories as s
    set title = case
            when update_story.title is null then s.title
            else app.require_text(update_story.title, 'title', 200) end,
        description = case
            when update_story.description is null then s.description
            when btrim(update_story.description) = '' then ''
            else app.require_text(update_story.description, 'description', 5000) end,
        genre = coalesce(update_story.genre, s.genre),
        language = coalesce(update_story.language, s.language),
        tags = coalesce(update_story.tags, s.tags),
        updated_at = now()
    where s.id = v_story.id;
    return v_story.id;
end;
$$;
comment on function app.update_story(uuid, text, text, text, text, text[]) is $$Change the description of the caller's own story; null keeps what is there

Errors: as create_story, 404 story_not_found.$$;
grant execute on function app.update_story(uuid, text, text, text, text, text[]) to authenticated, service_role;

create or replace function app.save_chapter(
    story_id uuid, chapter_number integer, title text, content text, tokens_used bigint)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_story constant app.stories := app.require_own_story(save_chapter.story_id);
    v_content constant text := app.require_text(save_chapter.content, 'content', 500000);
    v_chapter_id uuid;
begin
    if save_chapter.chapter_number is null
        or save_chapter.chapter_number not between 1 and least(v_story.chapter_count + 1, 10000)
    then
        perform app.fail(
            422, 'chapter_out_of_order', 'Chapters are written in order.',
            format('The next new chapter is number %s.', v_story.chapter_count + 1));
    end if;
    if save_chapter.tokens_used not between 0 and 1000000000 then
        perform app.fail(400, 'invalid_tokens', 'Tokens used is a number from 0 to 1,000,000,000.');
    end if;
    insert into app.chapters as c (story_id, chapter_number, title, word_count, tokens_used)
    values (
        v_story.id, save_chapter.chapter_number, app.require_text(save_chapter.title, 'title', 200),
        app.count_words(v_content), coalesce(save_chapter.tokens_used, 0))
    on conflict on constraint chapters_story_id_chapter_number_key do update
    set title = excluded.title,
        word_count = excluded.word_count,
        tokens_used = coalesce(save_chapter.tokens_used, c.tokens_used),
        updated_at = now()
    returning c.id into v_chapter_id;
    insert into app.chapter_texts as x (chapter_id, content)
    values (v_chapter_id, v_content)
    on conflict on constraint chapter_texts_pkey do update set content = excluded.content;
    return v_chapter_id;
end;
$$;
comment on function app.save_chapter(uuid, integer, text, text, bigint) is $$Write a chapter of the caller's own story, or write it anew

New chapters come in order. A new chapter is a draft until it is published. Errors: 400 text_required, 400 text_too_long, 400 invalid_tokens, 401, 404 story_not_found, 422 chapter_out_of_order.$$;
grant execute on function app.save_chapter(uuid, integer, text, text, bigint) to authenticated, service_role;

create or replace function app.name_creators(story_id uuid)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    update app.profiles as p
    set is_creator = true, updated_at = now()
    where p.id in (select a.creator_id from app.story_authors as a where a.story_id = name_creators.story_id)
        and not p.is_creator;
end;
$$;
comment on function app.name_creators(uuid) is $$Make the authors of a published story creators, for everybody to see$$;

create or replace function app.publish_story(story_id uuid, chapters integer[])
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_story constant app.stories := app.require_own_story(publish_story.story_id);
begin
    if exists (
        select from unnest(publish_story.chapters) as n
        where not exists (
            select from app.chapters as c where c.story_id = v_story.id and c.chapter_number = n)
    ) then
        perform app.fail(404, 'chapter_not_found', 'One of these chapters is not written yet.');
    end if;
    update app.chapters as c
    set status = 'published', published_at = now(), updated_at = now()
    where c.story_id = v_story.id
        and c.status = 'draft'
        and (publish_story.chapters is null or c.chapter_number = any (publish_story.chapters));
    if not exists (select from app.chapters as c where c.story_id = v_story.id and c.status = 'published') then
        perform app.fail(
            422, 'nothing_to_publish', 'Write a chapter first.', 'A story needs at least one published chapter.');
    end if;
    update app.stories as s
    set status = 'published', published_at = coalesce(s.published_at, now()), updated_at = now()
    where s.id = v_story.id;
    perform app.name_creators(v_story.id);
    return v_story.id;
end;
$$;
comment on function app.publish_story(uuid, integer[]) is $$Publish the caller's own story, or what is new in it

`chapters` null: every draft chapter. Also brings an archived story back. Errors: 401, 404 story_not_found, 404 chapter_not_found, 422 nothing_to_publish.$$;
grant execute on function app.publish_story(uuid, integer[]) to authenticated, service_role;

create or replace function app.archive_story(story_id uuid)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_story constant app.stories := app.require_own_story(archive_story.story_id);
begin
    update app.stories as s set status = 'archived', updated_at = now() where s.id = v_story.id;
    return v_story.id;
end;
$$;
comment on function app.archive_story(uuid) is $$Take the caller's own story off sale

Who bought it keeps reading. Errors: 401, 404 story_not_found.$$;
grant execute on function app.archive_story(uuid) to authenticated, service_role;

create or replace function app.set_story_pricing(
    story_id uuid, price_per_chapter integer, bundle_discount integer, is_free_sample boolean,
    free_chapters integer, premium_unlock_price integer)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_story constant app.stories := app.require_own_story(set_story_pricing.story_id);
begin
    if set_story_pricing.price_per_chapter not between 0 and 10000
        or set_story_pricing.bundle_discount not between 0 and 100
        or set_story_pricing.free_chapters not between 0 and 10000
        or set_story_pricing.premium_unlock_price not between 0 and 1000000
    then
        perform app.fail(
            400, 'invalid_price', 'A price is out of range.',
            'Chapter: 0 to 10000 credits; discount: 0 to 100 per cent; free chapters: 0 to 10000; unlock: 0 to 1000000 credits.');
    end if;
    update app.story_pricing as p
    set price_per_chapter = coalesce(set_story_pricing.price_per_chapter, p.price_per_chapter),
        bundle_discount = coalesce(set_story_pricing.bundle_discount, p.bundle_discount),
        is_free_sample = coalesce(set_story_pricing.is_free_sample, p.is_free_sample),
        free_chapters = coalesce(set_story_pricing.free_chapters, p.free_chapters),
        premium_unlock_price = coalesce(set_story_pricing.premium_unlock_price, p.premium_unlock_price),
        updated_at = now()
    where p.story_id = v_story.id;
    return v_story.id;
end;
$$;
comment on function app.set_story_pricing(uuid, integer, integer, boolean, integer, integer) is $$Price the caller's own story; null keeps what is there

Prices in credits, the discount in per cent. Sales already made keep their price. Errors: 400 invalid_price, 401, 404 story_not_found.$$;
grant execute on function app.set_story_pricing(uuid, integer, integer, boolean, integer, integer) to authenticated, service_role;

create or replace function app.set_story_authors(story_id uuid, creator_ids uuid[], basis_points integer[])
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_story constant app.stories := app.require_own_story(set_story_authors.story_id);
begin
    if cardinality(set_story_authors.creator_ids) is distinct from cardinality(set_story_authors.basis_points)
        or coalesce(cardinality(set_story_authors.creator_ids), 0) not between 1 and 20
        or exists (select from unnest(set_story_authors.basis_points) as b where b is null or b not between 1 and 10000)
        or (select sum(b) from unnest(set_story_authors.basis_points) as b) <> 10000
    then
        perform app.fail(
            422, 'invalid_split', 'The parts of the authors must add up to 10000 basis points.',
            'Give one to twenty authors and as many parts of 1 to 10000.');
    end if;
    if (select count(distinct c) from unnest(set_story_authors.creator_ids) as c)
        <> cardinality(set_story_authors.creator_ids)
    then
        perform app.fail(422, 'invalid_split', 'Each author can be named once.');
    end if;
    if v_story.user_id <> all (set_story_authors.creator_ids) then
        perform app.fail(422, 'invalid_split', 'The story''s own author must have a part.');
    end if;
    if exists (
        select from unnest(set_story_authors.creator_ids) as c
        where not exists (select from app.profiles as p where p.id = c)
    ) then
        perform app.fail(404, 'creator_not_found', 'One of these authors is not here yet.', 'They must sign in once first.');
    end if;
    delete from app.story_authors as a where a.story_id = v_story.id;
    insert into app.story_authors (story_id, creator_id, basis_points, rank)
    select v_story.id, a.creator_id, a.basis_points, a.rank
    from unnest(set_story_authors.creator_ids, set_story_authors.basis_points)
        with ordinality as a (creator_id, basis_points, rank);
    if v_story.status = 'published' then
        perform app.name_creators(v_story.id);
    end if;
    return v_story.id;
end;
$$;
comment on function app.set_story_authors(uuid, uuid[], integer[]) is $$Share the earnings of the caller's own story among its authors

`basis_points` of the creators' part, in the order of `creator_ids`, together 10000. Later sales use the new split, earlier ones keep theirs. Errors: 401, 404 story_not_found, 404 creator_not_found, 422 invalid_split.$$;
grant execute on function app.set_story_authors(uuid, uuid[], integer[]) to authenticated, service_role;

create or replace function app.leave_story(story_id uuid)
returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    v_author_id constant uuid := app.require_user();
    v_owner_id uuid;
    v_part integer;
begin
    select s.user_id into v_owner_id
    from app.stories as s
    where s.id = leave_story.story_id
    for no key update;
    if v_owner_id = v_author_id then
        perform app.fail(422, 'owner_stays', 'The story is yours: archive it instead.');
    end if;
    delete from app.story_authors as a
    where a.story_id = leave_story.story_id and a.creator_id = v_author_id
    returning a.basis_points into v_part;
    if not found then
        perform app.fail(404, 'story_not_found', 'There is no such story of yours.');
    end if;
    update app.story_authors as a
    set basis_points = a.basis_points + v_part
    where a.story_id = leave_story.story_id and a.creator_id = v_owner_id;
    update app.profiles as p
    set is_creator = false, updated_at = now()
    where p.id = v_author_id
        and not exists (
            select from app.story_authors as a
            inner join app.stories as s on s.id = a.story_id
            where a.creator_id = v_author_id and s.published_at is not null);
    return leave_story.story_id;
end;
$$;
comment on function app.leave_story(uuid) is $$Take the caller's name off somebody else's story

For co-authors: nobody has to stay where others named them. Their part of later sales goes to the story's own author; what was earned stays earned. Errors: 401 login_required, 404 story_not_found, 422 owner_stays.$$;
grant execute on function app.leave_story(uuid) to authenticated, service_role;

create or replace function app.story_splits()
returns table (story_id uuid, creator_id uuid, basis_points integer, rank smallint)
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := app.require_claimed_user();
begin
    return query
    select a.story_id, a.creator_id, a.basis_points, a.rank
    from app.story_authors as a
    where exists (
        select from app.story_authors as mine
        where mine.story_id = a.story_id and mine.creator_id = v_user_id)
    order by a.story_id, a.rank;
end;
$$;
comment on function app.story_splits() is $$The splits of the stories that the caller is an author of

Errors: 401 login_required.$$;
grant execute on function app.story_splits() to authenticated, service_role;
