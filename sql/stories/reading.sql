-- The only way to a chapter's text.

create or replace function app.read_chapter(
    story_id uuid, chapter_number integer,
    out chapter_id uuid, out story_title text, out title text, out content text, out word_count integer,
    out access text, out has_next boolean)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
begin
    access := app.require_readable_chapter(
        app.current_user_id(), read_chapter.story_id, read_chapter.chapter_number);
    select
        c.id, s.title, c.title, x.content, c.word_count,
        exists (
            select from app.chapters as n
            where n.story_id = s.id and n.chapter_number = c.chapter_number + 1 and n.status = 'published')
    into chapter_id, story_title, title, content, word_count, has_next
    from app.stories as s
    inner join app.chapters as c on c.story_id = s.id
    inner join app.chapter_texts as x on x.chapter_id = c.id
    where s.id = read_chapter.story_id and c.chapter_number = read_chapter.chapter_number;
end;
$$;
comment on function app.read_chapter(uuid, integer) is $$The text of a chapter, for whoever may read it

Errors: 402 chapter_not_owned, 404 chapter_not_found.$$;
grant execute on function app.read_chapter(uuid, integer) to anon, authenticated, service_role;

create or replace function app.search_stories(
    query text, genre text, language text, tag text, free_only boolean, sort text)
returns table (story_id uuid, place bigint)
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_query tsquery;
begin
    if length(search_stories.query) > 500 then
        perform app.fail(400, 'text_too_long', 'The query is too long.', 'At most 500 characters are searched.');
    elsif greatest(length(search_stories.genre), length(search_stories.language), length(search_stories.tag)) > 500 then
        perform app.fail(400, 'text_too_long', 'Genre, language or tag is too long.', 'None has more than 500 characters.');
    end if;
    begin
        v_query := websearch_to_tsquery('pg_catalog.english', search_stories.query);
    exception
        -- A row of minus signs is more than the parser's stack can hold.
        when internal_error or program_limit_exceeded then
            perform app.fail(400, 'invalid_query', 'Please search for words.', search_stories.query);
    end;
    if search_stories.sort is null or search_stories.sort not in ('relevance', 'newest', 'longest', 'title') then
        perform app.fail(400, 'unknown_sort', 'Sort by relevance, newest, longest or title.');
    end if;
    return query
    select
        s.id,
        row_number() over (order by
            case when search_stories.sort = 'relevance' then ts_rank(s.search, v_query) end desc nulls last,
            case when search_stories.sort = 'longest' then s.word_count end desc nulls last,
            case when search_stories.sort = 'title' then s.title end,
            s.published_at desc, s.id)
    from app.stories as s
    inner join app.story_pricing as p on p.story_id = s.id
    where s.status = 'published'
        and (coalesce(btrim(search_stories.query), '') = '' or s.search @@ v_query)
        and (search_stories.genre is null or s.genre = search_stories.genre)
        and (search_stories.language is null or s.language = search_stories.language)
        and (search_stories.tag is null or s.tags @> array[search_stories.tag])
        and (
            not coalesce(search_stories.free_only, false)
            or p.price_per_chapter = 0 or (p.is_free_sample and p.free_chapters >= (
                select coalesce(max(c.chapter_number), 0) from app.chapters as c
                where c.story_id = s.id and c.status = 'published')));
end;
$$;
comment on function app.search_stories(text, text, text, text, boolean, text) is $$Published stories that match, and their place in the asked order

`free_only`: stories that can be read to the end without paying. Errors: 400 unknown_sort, 400 text_too_long, 400 invalid_query.$$;
grant execute on function app.search_stories(text, text, text, text, boolean, text) to anon, authenticated, service_role;
