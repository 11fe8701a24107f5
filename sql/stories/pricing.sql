-- What a purchase costs: computed here and nowhere else.

create or replace function app.story_quote(
    reader_id uuid, story_id uuid, purchase_type text, chapters integer[])
returns app.story_quote
language plpgsql stable
set search_path = ''
-- The plans do not depend on the values, and planning anew costs more than running them.
set plan_cache_mode = 'force_generic_plan'
as $$
declare
    v_status text;
    v_author_id uuid;
    v_title text;
    v_chapter_price bigint;
    v_discount integer;
    v_unlock_price bigint;
    v_free_chapters integer;
    v_credit_value bigint;
    v_earnings_mode text;
    v_creator_basis_points integer;
    v_splits ledger.split[];
    v_has_all boolean;
    v_new integer[];
    v_full_price bigint;
begin
    perform app.check_purchase(story_quote.purchase_type, story_quote.chapters);
    select
        s.status, s.user_id, s.title, p.price_per_chapter, p.bundle_discount, p.premium_unlock_price,
        case when p.is_free_sample then p.free_chapters else 0 end,
        e.credit_value_microdollars, e.earnings_mode, e.story_creator_basis_points,
        array(
            select (w.creator_id, w.basis_points)::ledger.split
            from app.story_authors as w
            where w.story_id = s.id
            order by w.rank),
        exists (
            select from app.story_entitlements as n
            where n.user_id = story_quote.reader_id and n.story_id = story_quote.story_id
                and n.chapter_number = 0 and n.revoked_at is null)
    into
        v_status, v_author_id, v_title, v_chapter_price, v_discount, v_unlock_price,
        v_free_chapters, v_credit_value, v_earnings_mode, v_creator_basis_points, v_splits, v_has_all
    from app.stories as s
    inner join app.story_pricing as p on p.story_id = s.id
    cross join app.economy as e
    where s.id = story_quote.story_id;

    -- A condition with a query in it is a query: those below stand behind cheap ones of their own.
    if v_author_id = story_quote.reader_id then
        v_has_all := true;
    elsif cardinality(v_splits) > 1 then
        v_has_all := v_has_all
            or exists (select from unnest(v_splits) as w where w.creator_id = story_quote.reader_id);
    end if;

    -- What is asked for and has to be paid for; two queries, so that a single chapter is found by its index.
    if v_has_all then
        v_new := '{}';
    elsif story_quote.purchase_type = 'premium_unlock' then
        v_new := '{0}';
    elsif story_quote.chapters is null then
        v_new := array(
            select c.chapter_number
            from app.chapters as c
            where c.story_id = story_quote.story_id
                and c.chapter_number > v_free_chapters
                and c.chapter_number <> all (array(
                    select n.chapter_number
                    from app.story_entitlements as n
                    where n.user_id = story_quote.reader_id and n.story_id = story_quote.story_id
                        and n.revoked_at is null))
                and c.status = 'published'
            order by c.chapter_number);
    else
        v_new := array(
            select c.chapter_number
            from app.chapters as c
            where c.story_id = story_quote.story_id
                and c.chapter_number = any (story_quote.chapters)
                -- "is true" keeps the index on the chapters asked for, away from this range.
                and (c.chapter_number > v_free_chapters) is true
                and c.chapter_number <> all (array(
                    select n.chapter_number
                    from app.story_entitlements as n
                    where n.user_id = story_quote.reader_id and n.story_id = story_quote.story_id
                        and n.chapter_number = any (story_quote.chapters)
                        and n.revoked_at is null))
                and c.status = 'published'
            order by c.chapter_number);
    end if;
    if v_status is distinct from 'published' then
        -- Off sale: only for whoever has all that is asked for.
        if v_status is null or v_new <> '{}' or not (coalesce(v_has_all, false) or exists (
            select from app.story_entitlements as n
            where n.user_id = story_quote.reader_id and n.story_id = story_quote.story_id and n.revoked_at is null))
        then
            return (false, null, null, null, null, null, null, null)::app.story_quote;
        end if;
    elsif story_quote.purchase_type = 'bundle' and cardinality(v_new) = 1 then
        perform app.fail(
            422, 'bundle_too_small', 'A bundle needs at least two chapters that you do not own yet.',
            format('Buy chapter %s by itself.', v_new[1]));
    end if;
    if cardinality(v_new) < cardinality(story_quote.chapters) then
        if (select count(distinct n) from unnest(story_quote.chapters) as n)
            > (select count(*)
                from app.chapters as c
                where c.story_id = story_quote.story_id
                    and c.chapter_number = any (story_quote.chapters)
                    and c.status = 'published')
        then
            perform app.fail(404, 'chapter_not_found', 'One of these chapters is not published.');
        end if;
    end if;

    v_full_price := cardinality(v_new)
        * case story_quote.purchase_type when 'premium_unlock' then v_unlock_price else v_chapter_price end;
    return (
        true, v_author_id, v_title,
        case story_quote.purchase_type
            when 'bundle' then (v_full_price * (100 - v_discount) + 99) / 100
            else v_full_price
        end,
        v_full_price, v_new, (v_credit_value, v_earnings_mode, v_creator_basis_points)::ledger.rates, v_splits
    )::app.story_quote;
end;
$$;
comment on function app.story_quote(uuid, uuid, text, integer[]) is $$What a purchase would cost a reader, and what it would unlock

Owned and free chapters cost nothing and are left out of `new_chapters`; 0 stands for the whole story. A bundle costs its chapters less the discount, rounded up to a whole credit (seed 000: 15 %). `may_buy` is false when there is no such story on sale. Errors: those of app.check_purchase(), 404 chapter_not_found, 422 bundle_too_small.$$;

create or replace function app.check_purchase(purchase_type text, chapters integer[])
returns void
language plpgsql stable
set search_path = ''
as $$
begin
    case check_purchase.purchase_type
        when 'chapter' then
            if coalesce(cardinality(check_purchase.chapters), 0) = 0 then
                perform app.fail(
                    400, 'chapters_required', 'Please say which chapters.', 'For example {"chapters": [3]}.');
            end if;
        when 'bundle' then
            if cardinality(check_purchase.chapters) = 0 then
                perform app.fail(
                    400, 'chapters_required', 'Please say which chapters, or leave them out for all.');
            end if;
        when 'premium_unlock' then
            if check_purchase.chapters is not null then
                perform app.fail(
                    400, 'invalid_chapters', 'A premium unlock is for the whole story: leave the chapters out.');
            end if;
        else
            perform app.fail(
                400, 'unknown_purchase_type', 'A purchase is of a chapter, a bundle or a premium_unlock.');
    end case;
    if cardinality(check_purchase.chapters) > 1000
        or array_ndims(check_purchase.chapters) > 1
        or 1 > any (check_purchase.chapters)
        or array_position(check_purchase.chapters, null) is not null
    then
        perform app.fail(400, 'invalid_chapters', 'Chapters are a list of at most 1000 numbers from 1.');
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
    v_quote app.story_quote;
begin
    v_quote := app.story_quote(
        v_reader_id, quote_story.story_id, quote_story.purchase_type, quote_story.chapters);
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

Errors: 400 as purchase_story, 404 story_not_found, 404 chapter_not_found, 422 bundle_too_small.$$;
grant execute on function app.quote_story(uuid, text, integer[]) to anon, authenticated, service_role;
