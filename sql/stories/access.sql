-- Who may read what, and why.

create or replace function app.chapter_access(reader_id uuid, story_id uuid, chapter_number integer)
returns text
language sql stable
set search_path = ''
return (
    select case
        when exists (
            select from app.story_authors as w
            where w.story_id = s.id and w.creator_id = chapter_access.reader_id) then 'author'
        when c.status <> 'published' then null
        when exists (
            select from app.story_entitlements as e
            where e.user_id = chapter_access.reader_id and e.story_id = s.id
                and e.chapter_number in (0, c.chapter_number) and e.revoked_at is null) then 'owned'
        when s.status <> 'published' and not exists (
            select from app.story_entitlements as e
            where e.user_id = chapter_access.reader_id and e.story_id = s.id and e.revoked_at is null) then null
        when p.price_per_chapter = 0 or (p.is_free_sample and c.chapter_number <= p.free_chapters) then 'free'
        else 'for_sale'
    end
    from app.stories as s
    inner join app.story_pricing as p on p.story_id = s.id
    inner join app.chapters as c on c.story_id = s.id
    where s.id = chapter_access.story_id and c.chapter_number = chapter_access.chapter_number
);
comment on function app.chapter_access(uuid, uuid, integer) is $$Why somebody may read a chapter: author, owned or free

for_sale: not yet. Null: there is no such chapter for them.$$;

create or replace function app.require_readable_chapter(reader_id uuid, story_id uuid, chapter_number integer)
returns text
language plpgsql stable
set search_path = ''
as $$
declare
    v_access constant text := app.chapter_access(
        require_readable_chapter.reader_id, require_readable_chapter.story_id,
        require_readable_chapter.chapter_number);
begin
    if v_access is null then
        perform app.fail(404, 'chapter_not_found', 'There is no such chapter.');
    elsif v_access = 'for_sale' then
        perform app.fail(
            402, 'chapter_not_owned', 'Buy this chapter to read it.',
            (select format('Chapter %s of "%s" costs %s credits.', require_readable_chapter.chapter_number, s.title, p.price_per_chapter)
                from app.stories as s
                inner join app.story_pricing as p on p.story_id = s.id
                where s.id = require_readable_chapter.story_id));
    end if;
    return v_access;
end;
$$;
comment on function app.require_readable_chapter(uuid, uuid, integer) is $$Let only readers go on who may read a chapter

Returns why they may: author, owned or free. Errors: 402 chapter_not_owned, 404 chapter_not_found.$$;

create or replace function app.story_access(reader_id uuid, story_id uuid)
returns text
language sql stable
set search_path = ''
return (
    select case
        when exists (
            select from app.story_authors as w
            where w.story_id = s.id and w.creator_id = story_access.reader_id) then 'author'
        when e.has_all then 'full'
        when e.has_some then 'partial'
        when s.status = 'published' and (p.price_per_chapter = 0 or (p.is_free_sample and p.free_chapters > 0)) then 'free'
        else 'none'
    end
    from app.stories as s
    inner join app.story_pricing as p on p.story_id = s.id
    cross join lateral (
        select coalesce(bool_or(n.chapter_number = 0), false) as has_all, count(*) > 0 as has_some
        from app.story_entitlements as n
        where n.user_id = story_access.reader_id and n.story_id = s.id and n.revoked_at is null
    ) as e
    where s.id = story_access.story_id
);
comment on function app.story_access(uuid, uuid) is $$What somebody may read of a story

author; full: all of it, with what is still to come; partial: chapters they bought, and what is free; free: what is free; none.$$;
