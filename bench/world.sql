-- The world that is measured: readers with full wallets, a star (creator 0) with one long story,
-- and other creators with a short one each. Everything has a number, and its id follows from it.
-- psql variables: readers, creators (besides the star), star_chapters, other_chapters, credits

create schema bench;
comment on schema bench is 'Scratch: what the benchmark needs and the product does not.';
grant usage on schema bench to app_owner, authenticated;

create function bench.id(family text, number bigint)
returns uuid
language sql immutable parallel safe
return ('00000000-0000-4000-' || family || '-' || lpad(to_hex(number), 12, '0'))::uuid;
create function bench.reader(number bigint)
returns uuid
language sql immutable parallel safe
return bench.id('8000', number);
create function bench.creator(number bigint)
returns uuid
language sql immutable parallel safe
return bench.id('9000', number);
create function bench.story(number bigint)
returns uuid
language sql immutable parallel safe
return bench.id('a000', number);
create function bench.request_key(number bigint)
returns text
language sql immutable parallel safe
return bench.id('b000', number)::text;

insert into app.profiles (id, handle, is_creator)
select bench.creator(n), app.first_handle(bench.creator(n)), true
from generate_series(0, :creators) as n;

insert into app.stories (id, user_id, title, status, published_at)
select bench.story(n), bench.creator(n), format('Story %s', n), 'published', now()
from generate_series(0, :creators) as n;

insert into app.story_pricing (story_id, creator_id, price_per_chapter, free_chapters)
select bench.story(n), bench.creator(n), 5, 2
from generate_series(0, :creators) as n;

insert into app.story_authors (story_id, creator_id, basis_points, rank)
select bench.story(n), bench.creator(n), 10000, 1
from generate_series(0, :creators) as n;

insert into app.chapters (story_id, chapter_number, title, status, published_at)
select bench.story(n), c, format('Chapter %s', c), 'published', now()
from generate_series(0, :creators) as n
cross join lateral generate_series(1, case n when 0 then :star_chapters else :other_chapters end) as c;

select count(app.grant_credits(bench.reader(n), :credits, 'benchmark'))
from generate_series(0, :readers - 1) as n;
