-- Marks that nobody sees, in every line: whose copy it is. The texts are Markdown, and a mark changes nothing in
-- what they mean: it stands behind a word, where no sign of Markdown is beside it and no link is open.
-- A bit is one of two characters without width: U+200B (0) or U+2060 (1). A mark is 56 of them in a row:
-- the copy's code of 48 bits, and 8 that prove that it is one.

create or replace function app.watermark_check(copy_code bigint)
returns integer
language sql immutable
set search_path = ''
return get_byte(sha256(int8send(watermark_check.copy_code)), 0);
comment on function app.watermark_check(bigint) is $$The eight bits that prove a mark$$;

create or replace function app.watermark(copy_code bigint)
returns text
language sql immutable
set search_path = ''
return translate(
    watermark.copy_code::bit(48)::text || app.watermark_check(watermark.copy_code)::bit(8)::text, '01', u&'\200B\2060'
);
comment on function app.watermark(bigint) is $$A copy's code as characters that nobody sees$$;

create or replace function app.printable_text(content text)
returns text
language sql immutable
set search_path = ''
return regexp_replace(
    regexp_replace(printable_text.content, u&'\000D\000A|[\000B-\000D\0085\2028\2029]', e'\n', 'g'),
    u&'[\0001-\0008\000E-\001F\007F-\0084\0086-\009F\200B\2060\FDD0-\FDEF\FFFE\FFFF]', '', 'g');
comment on function app.printable_text(text) is $$A text without what no file can hold, and without other marks

Line ends are of one kind; control characters and the marks of another copy are gone.$$;

create or replace function app.open_link(content text)
returns text
language sql immutable
set search_path = ''
return coalesce(
    substring(
        regexp_replace(open_link.content, '\\.', '', 'g')
        from '(?:\[[^]]*|\]\((?:[^()]|\([^()]*\))*(?:\([^()]*)?|\]:.*)$'), '');
comment on function app.open_link(text) is $$What of a link of Markdown has begun in a text and not ended

That of a definition ends with its paragraph only: its title may stand in the next line.$$;

create or replace function app.watermark_place(line text, opened text)
returns integer
language plpgsql immutable
set search_path = ''
as $$
declare
    c_most_words constant integer := 50;
    c_most_characters constant integer := 5000;
    v_head constant text := left(watermark_place.line, c_most_characters);
    v_is_cut constant boolean := length(watermark_place.line) > c_most_characters;
    -- What makes a line a quotation, an item or a heading.
    c_signs constant text := '^(?:[ \t>#*+-]|[0-9]{1,9}[.)](?=[ \t]|$))*';
    c_space constant text := u&' \0009\00A0\1680\2000-\200A\202F\205F\3000';
    c_letter constant text := u&'[^!-/:-@\005B-`{-~\00A1-\00BF\2010-\2BFF\3001-\303F]';
    v_from integer := regexp_instr(v_head, c_signs, 1, 1, 1);
    v_has_links constant boolean := watermark_place.opened <> '' or v_head ~ '[][]';
    v_end integer;
    v_word text;
    v_core text;
    v_place integer;
begin
    if substr(v_head, v_from, 3) in ('```', '~~~') then
        return null;
    end if;
    for v_number in 1..c_most_words loop
        v_end := regexp_instr(v_head, '[^' || c_space || ']+', v_from, 1, 1);
        exit when v_end = 0 or (v_is_cut and v_end > c_most_characters);
        v_word := substring(substr(v_head, v_from, v_end - v_from) from '[^' || c_space || ']+');
        -- Emphasis and code end behind the mark, and a backslash stays before what it is for.
        v_core := substring(v_word from '^(.*[^\\*_`])(?:\\+|\*+|_+|`+)?$');
        if v_core ~ c_letter and v_word !~ '[<>&]'
            and (not v_has_links or app.open_link(watermark_place.opened || ' ' || left(v_head, v_end - 1)) = '')
        then
            if v_place is not null then
                return v_end - 1 - length(v_word) + length(v_core);
            end if;
            v_place := v_end - 1 - length(v_word) + length(v_core);
        end if;
        v_from := v_end;
    end loop;
    return v_place;
end;
$$;
comment on function app.watermark_place(text, text) is $$Behind how many characters of a line its mark may stand

Behind its second word, or the first where there is no other. `opened` is the link that has begun before the line. Null: nowhere, as in a line without letters or digits.$$;

create or replace function app.weave_watermark(content text, copy_code bigint)
returns text
language plpgsql immutable strict
set search_path = ''
as $$
declare
    -- Longer names of links there are none; whatever this is, the paragraph is left alone.
    c_longest_open constant integer := 1000;
    v_mark constant text := app.watermark(weave_watermark.copy_code);
    v_line text;
    v_lines text[] := array[]::text[];
    v_opened text := '';
    v_is_lost boolean := false;
    v_place integer;
begin
    foreach v_line in array string_to_array(app.printable_text(weave_watermark.content), e'\n') loop
        v_place := null;
        if v_line !~ '[^ \t]' then
            v_opened := '';
            v_is_lost := false;
        elsif not v_is_lost then
            if v_opened <> '' and v_line !~ '[])]' then
                v_opened := v_opened || ' ' || v_line;
            else
                v_place := app.watermark_place(v_line, v_opened);
                if v_opened <> '' or v_line ~ '[][]' then
                    v_opened := app.open_link(v_opened || ' ' || v_line);
                end if;
            end if;
            v_is_lost := length(v_opened) > c_longest_open;
        end if;
        v_lines := v_lines || coalesce(overlay(v_line placing v_mark from v_place + 1 for 0), v_line);
    end loop;
    return array_to_string(v_lines, e'\n');
end;
$$;
comment on function app.weave_watermark(text, bigint) is $$A text of Markdown with the mark of a copy in every line that can hold one$$;

create or replace function app.trace_watermark(content text)
returns table (
    export_id uuid, user_id uuid, handle text, display_name text, story_id uuid, title text,
    downloaded_at timestamptz, marks bigint)
language plpgsql stable security definer
set search_path = ''
as $$
declare
    c_most_in_a_row constant integer := 4000;
    -- More marks than the longest text that is looked at can hold.
    c_most_places constant integer := 250000;
begin
    if length(trace_watermark.content) > 5000000 then
        perform app.fail(
            400, 'text_too_long', 'The text is too long.', 'A page is enough; at most 5,000,000 characters are looked at.');
    end if;
    return query
    with found as (
        -- Nothing that was downloaded has more of them in a row.
        select left(m.bits[1], c_most_in_a_row) as bits
        from regexp_matches(trace_watermark.content, u&'[\200B\2060]{56,}', 'g') as m (bits)
    ), digits as materialized (
        select translate(f.bits, u&'\200B\2060', '01')::varbit as bits
        from found as f
    ), codes as (
        -- Where two marks have run together, every place in the row is tried.
        select substring(d.bits from n for 56) as bits
        from digits as d
        cross join generate_series(1, length(d.bits) - 55) as n
        limit c_most_places
    ), numbers as (
        select (B'0000000000000000' || substring(c.bits from 1 for 48))::bit(64)::bigint as copy_code,
            substring(c.bits from 49 for 8)::bit(8)::integer as given, count(*) as marks
        from codes as c
        group by 1, 2
    ), proved as (
        select u.copy_code, u.marks
        from numbers as u
        where app.watermark_check(u.copy_code) = u.given
    )
    select e.id, e.user_id, p.handle, p.display_name, e.story_id, s.title,
        (select min(l.used_at) from app.export_links as l where l.export_id = e.id), r.marks
    from proved as r
    inner join app.exports as e on e.copy_code = r.copy_code
    inner join app.profiles as p on p.id = e.user_id
    inner join app.stories as s on s.id = e.story_id
    order by r.marks desc, e.id;
end;
$$;
comment on function app.trace_watermark(text) is $$Whose copy a text was taken from

A paragraph is enough. One row for each copy of which there are marks; none: it was not downloaded here, or the marks were removed. Errors: 400 text_too_long.$$;
grant execute on function app.trace_watermark(text) to service_role;
