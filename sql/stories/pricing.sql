-- What a purchase costs: computed here and nowhere else.

create or replace function app.story_quote(
    reader_id uuid, story_id uuid, purchase_type text, chapters integer[],
    out may_buy boolean, out author_id uuid, out title text, out cost bigint, out full_price bigint,
    out new_chapters integer[], out creator_basis_points integer, out splits ledger.split[])
returns record
language plpgsql stable
set search_path = ''
as $$
declare
    v_story record;
    v_found integer;
begin
    select
        s.status, s.user_id, s.title, p.price_per_chapter, p.bundle_discount, p.premium_unlock_price,
        case when p.is_free_sample then p.free_chapters else 0 end as free_chapters,
        o.chapters as owned, a.splits, a.is_author, e.story_creator_basis_points
    into v_story
    from app.stories as s
    inner join app.story_pricing as p on p.story_id = s.id
    cross join app.economy as e
    cross join lateral (
        select coalesce(array_agg(n.chapter_number), '{}') as chapters
        from app.story_entitlements as n
        where n.user_id = story_quote.reader_id and n.story_id = s.id and n.revoked_at is null
    ) as o
    cross join lateral (
        select
            array_agg((w.creator_id, w.basis_points)::ledger.split order by w.rank) as splits,
            coalesce(bool_or(w.creator_id = story_quote.reader_id), false) as is_author
        from app.story_authors as w
        where w.story_id = s.id
    ) as a
    where s.id = story_quote.story_id;

    select
        count(*),
        coalesce(array_agg(c.chapter_number order by c.chapter_number) filter (
            where c.chapter_number > v_story.free_chapters and c.chapter_number <> all (v_story.owned)), '{}')
    into v_found, new_chapters
    from app.chapters as c
    where c.story_id = story_quote.story_id
        and c.status = 'published'
        and (story_quote.chapters is null or c.chapter_number = any (story_quote.chapters));
    if v_story.is_author or 0 = any (v_story.owned) then
        new_chapters := '{}';
    elsif story_quote.purchase_type = 'premium_unlock' then
        new_chapters := '{0}';
    end if;

    full_price := case story_quote.purchase_type
        when 'premium_unlock' then cardinality(new_chapters)::bigint * v_story.premium_unlock_price
        else cardinality(new_chapters)::bigint * v_story.price_per_chapter
    end;
    cost := case story_quote.purchase_type
        when 'bundle' then (full_price * (100 - v_story.bundle_discount) + 99) / 100
        else full_price
    end;
    author_id := v_story.user_id;
    title := v_story.title;
    creator_basis_points := v_story.story_creator_basis_points;
    splits := v_story.splits;
    -- What is off sale can still be asked for by whoever has it all.
    may_buy := coalesce(
        v_story.status = 'published'
        or v_story.is_author
        or (v_story.status = 'archived' and cardinality(v_story.owned) > 0 and cardinality(new_chapters) = 0), false);
    if may_buy and story_quote.chapters is not null and v_found < cardinality(array(select distinct unnest(story_quote.chapters))) then
        perform app.fail(404, 'chapter_not_found', 'One of these chapters is not published.');
    end if;
end;
$$;
comment on function app.story_quote(uuid, uuid, text, integer[]) is $$What a purchase would cost a reader, and what it would unlock

Owned and free chapters cost nothing and are left out of `new_chapters`; 0 stands for the whole story. A bundle costs its chapters less the discount, rounded up to a whole credit (seed 000: 15 %). `may_buy` is false when there is no such story on sale. Errors: 404 chapter_not_found.$$;

create or replace function app.check_purchase(purchase_type text, chapters integer[])
returns void
language plpgsql stable
set search_path = ''
as $$
begin
    if check_purchase.purchase_type is null
        or check_purchase.purchase_type not in ('chapter', 'bundle', 'premium_unlock')
    then
        perform app.fail(
            400, 'unknown_purchase_type', 'A purchase is of a chapter, a bundle or a premium_unlock.');
    end if;
    if check_purchase.purchase_type = 'chapter' and coalesce(cardinality(check_purchase.chapters), 0) = 0 then
        perform app.fail(400, 'chapters_required', 'Please say which chapters.', 'For example {"chapters": [3]}.');
    end if;
    if cardinality(check_purchase.chapters) > 1000 or array_ndims(check_purchase.chapters) > 1
        or exists (select from unnest(check_purchase.chapters) as n where n is null or n < 1)
    then
        perform app.fail(
            400, 'invalid_chapters', 'Chapters are a list of at most 1000 numbers from 1.');
    end if;
    if check_purchase.purchase_type = 'premium_unlock' and check_purchase.chapters is not null then
        perform app.fail(400, 'invalid_chapters', 'A premium unlock is for the whole story: leave the chapters out.');
    end if;
end;
$$;
comment on function app.check_purchase(text, integer[]) is $$What can be asked for at all

Errors: 400 unknown_purchase_type, 400 chapters_required, 400 invalid_chapters.$$;

create or replace function app.quote_story(
    story_id uuid, purchase_type text, chapters integer[],
    out title text, out cost bigint, out full_price bigint, out chapters_to_unlock integer[],
    out already_owned boolean, out balance bigint, out can_afford boolean)
returns record
language plpgsql stable security definer
set search_path = ''
as $$
declare
    v_reader_id constant uuid := app.current_user_id();
    v_quote record;
begin
    perform app.check_purchase(quote_story.purchase_type, quote_story.chapters);
    select q.* into v_quote
    from app.story_quote(v_reader_id, quote_story.story_id, quote_story.purchase_type, quote_story.chapters) as q;
    if not v_quote.may_buy then
        perform app.fail(404, 'story_not_found', 'There is no such story on sale.');
    end if;
    title := v_quote.title;
    cost := v_quote.cost;
    full_price := v_quote.full_price;
    chapters_to_unlock := v_quote.new_chapters;
    already_owned := cardinality(v_quote.new_chapters) = 0;
    balance := case when v_reader_id is not null then ledger.available_credits(v_reader_id) end;
    can_afford := balance >= cost;
end;
$$;
comment on function app.quote_story(uuid, text, integer[]) is $$What a purchase would cost the caller now

Errors: 400 as purchase_story, 404 story_not_found, 404 chapter_not_found.$$;
grant execute on function app.quote_story(uuid, text, integer[]) to anon, authenticated, service_role;
