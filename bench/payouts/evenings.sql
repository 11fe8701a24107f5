-- Whose stories sell of an evening: one in ten is the star's, one in a hundred a newcomer's (the last tenth
-- of the creators share these few), and all others are those of the established creators in turn.
-- A reader meets an established creator once, so their first chapter on sale will do.
-- psql variables: established, newcomers

create function bench.story_sold(reader bigint, evening bigint)
returns bigint
language sql immutable parallel safe
return case
    when (reader + evening) % 10 = 0 then 0
    when (reader + evening) % 100 = 1 then 1 + :established + (reader / 100 + evening * 211) % :newcomers
    else 1 + (reader + evening * 7919) % :established
end;

create function bench.chapter_sold(story bigint, evening bigint)
returns integer
language sql immutable parallel safe
return case story when 0 then 3 + evening else 3 end::integer;
