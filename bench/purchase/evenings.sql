-- Whose stories sell of an evening: every second reader buys of the star, the others of the others in turn.
-- psql variables: creators (besides the star)

create function bench.story_sold(reader bigint, evening bigint)
returns bigint
language sql immutable parallel safe
return case (reader + evening) % 2 when 0 then 0 else 1 + (reader + evening) % :creators end;

create function bench.chapter_sold(story bigint, evening bigint)
returns integer
language sql immutable parallel safe
return case story when 0 then 3 + evening else 3 + evening / :creators end::integer;
