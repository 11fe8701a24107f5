-- covers: the pictures of a story: which is shown, who sees which, and the author's own (IP1, IP12).
begin;
\ir helpers.psql
\ir covers.psql
select plan(118);

select count(create_person(p)) from unnest(array['author', 'cowriter', 'reader', 'neighbour', 'operator']) as p;
select give('author', 1000), give('neighbour', 100), give('reader', 100);
select publish_story('author', 3), publish_story('author', 3, 'Archived'), publish_story('neighbour', 1, 'Theirs');
select buy('reader', story_id('Archived'), 'chapter', '{3}');
select claim('author');
select app.create_story('Draft', '', 'fiction', 'en', '{}'), app.archive_story(story_id('Archived'));
select app.set_story_authors(story_id(t), array[user_id('author'), user_id('cowriter')], '{5000,5000}')
from unnest(array['A story', 'Draft']) as t;
select sign_out();
update app.economy set cover_jobs_per_user = 100;

create function tests.shown(title text default 'A story')
returns uuid[]
language sql volatile security definer
return array(
    select c.id from app.story_covers as c where c.story_id = tests.story_id(shown.title) and c.is_primary order by c.id);
comment on function tests.shown(text) is 'The covers that a story shows: one at most.';

create function tests.seen_by(handle text, title text default 'A story')
returns text[]
language plpgsql volatile
as $$
declare
    v_seen text[];
begin
    if seen_by.handle = 'anon' then
        perform tests.authenticate_as_anon();
    elsif seen_by.handle = 'service' then
        perform tests.authenticate_as_service('operator');
    else
        perform tests.authenticate_as(seen_by.handle);
    end if;
    v_seen := array(
        select coalesce(c.cover_style, c.source) || case when c.is_primary then '!' else '' end
        from api.story_covers as c where c.story_id = tests.story_id(seen_by.title) order by c.id);
    perform tests.sign_out();
    return v_seen;
end;
$$;
comment on function tests.seen_by(text, text) is 'The covers of a story that somebody sees; the one that is shown with a !';

-- The first -----------------------------------------------------------------------------------------
select is(shown(), '{}', 'a story without covers shows none');
select authenticate_as_anon();
select results_eq(
    $$ select api.cover_url(s), api.thumbnail_url(s) from api.stories as s where s.id = tests.story_id() $$,
    $$ values (null::text, null::text) $$,
    'and has no address for one');
select sign_out();
select make_cover('one', 'author', prompt => 'a secret wish');
select is(shown(), array[cover('one')], 'the first cover is shown at once');
select make_cover('two', 'author', style => 'vintage'), make_cover('draft', 'author', 'Draft'),
    make_cover('archived', 'author', 'Archived', 'artistic'),
    make_cover('theirs', 'neighbour', 'Theirs', 'realistic');
select is(shown(), array[cover('one')], 'the second one is there to choose from');

-- Who sees what ----------------------------------------------------------------------------------------
select is(seen_by(who), seen, format('%s sees what a story shows', who))
from (values ('anon', '{fantasy!}'::text[]), ('stranger', '{fantasy!}'), ('reader', '{fantasy!}'), ('cowriter', '{fantasy!}'),
    ('neighbour', '{fantasy!}'),
    ('author', '{fantasy!,vintage}'), ('service', '{fantasy!,vintage}')) as v (who, seen);
select is(seen_by(who, title), seen, format('isolation: what %s sees of the %s', who, lower(title)))
from (values
    ('anon', 'Draft', '{}'::text[]), ('stranger', 'Draft', '{}'), ('reader', 'Draft', '{}'), ('neighbour', 'Draft', '{}'),
    ('cowriter', 'Draft', '{fantasy!}'),
    ('author', 'Draft', '{fantasy!}'), ('service', 'Draft', '{fantasy!}'),
    ('anon', 'Archived', '{}'), ('stranger', 'Archived', '{}'), ('cowriter', 'Archived', '{}'), ('reader', 'Archived', '{artistic!}'),
    ('author', 'Archived', '{artistic!}')) as v (who, title, seen);
create temp table columns_seen (who text, generation_prompt text, seed bigint);
grant select, insert on columns_seen to public;
create function tests.see_columns(who text)
returns void
language sql volatile
as $$
    insert into columns_seen select who, c.generation_prompt, c.seed from api.story_covers as c where c.id = tests.cover('one');
$$;
select authenticate_as_anon(), see_columns('anon');
select authenticate_as('reader'), see_columns('reader');
select authenticate_as('cowriter'), see_columns('cowriter');
select authenticate_as('author'), see_columns('author');
select authenticate_as_service('operator'), see_columns('service');
select sign_out();
select is(
    array(
        select distinct s.generation_prompt || coalesce(s.seed::text, '')
        from columns_seen as s
        where s.who in ('anon', 'reader', 'cowriter')),
    '{""}',
    'isolation: what the author asked for is theirs');
select set_eq(
    $$ select who, generation_prompt, seed from columns_seen where generation_prompt <> '' $$,
    $$ select w,
           'book cover for "A story", fiction novel, a secret wish, epic fantasy illustration, magical glow, intricate, dramatic sky', 1234567890::bigint
       from unnest(array['author', 'service']) as w $$, 'who may see it sees it');
select authenticate_as_anon();
select is_empty($$ select from api.story_covers as c where c::text like '%secret%' $$, 'isolation: in no column');
select results_eq(
    $$ select c.story_id, c.cover_url, c.cover_style, c.generation_cost, c.sd_model_used, c.created_at, c.updated_at, c.thumbnail_url,
           c.width, c.height,
           c.source, c.job_id
       from api.story_covers as c where c.story_id = tests.story_id() $$,
    $$ select tests.story_id(), '/covers/' || (i ->> 'file'), 'fantasy', 5, 'dreamshaper_7', now(), now(),
           '/covers/' || (i ->> 'thumbnail_file'), 512, 768,
           'generated', tests.job('one')
       from tests.image('one') as i $$, 'seed 000: the columns of a cover');
select results_eq(
    $$ select api.cover_url(s), api.thumbnail_url(s) from api.stories as s where s.id = tests.story_id() $$,
    $$ select '/covers/' || (i ->> 'file'), '/covers/' || (i ->> 'thumbnail_file') from tests.image('one') as i $$, 'and of a story');
select is_empty($$ select from api.stories as s where s.status <> 'published' and api.cover_url(s) is not null $$,
    'no draft has one for anon');
select is(
    refusal(statement), '42501 : permission denied for view story_covers', format('attack: %s', statement))
from unnest(array['update api.story_covers set is_primary = true', 'delete from api.story_covers',
    'insert into api.story_covers (story_id) values (null)']) as statement;
-- A story's row may be made up: it still has to be one that they see.
select is(api.cover_url(row(story_id('Draft'), user_id('author'), '', '', '', '', null, '', 0, 0, 0, 0, null, null, null)::api.stories),
    null,
    'isolation: no address of a draft''s cover for who makes up its row');
select sign_out();
update app.economy set cover_base_url = 'https://cdn.example/covers/';
select is((select api.cover_url(s) from api.stories as s where s.id = story_id()),
    'https://cdn.example/covers/' || (image('one') ->> 'file'),
    'the images may be elsewhere');
update app.economy set cover_base_url = '/covers/';

-- Another one ---------------------------------------------------------------------------------------------
select is(refusal(format('select app.%s(tests.cover(''one''))', f)),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.',
    format('%s: nobody has none', f)) from unnest(array['set_primary_cover', 'remove_cover']) as f;
create function tests.refused(handle text, call text)
returns text
language plpgsql volatile
as $$
declare
    v_answer text;
begin
    perform tests.authenticate_as(refused.handle);
    v_answer := tests.refusal('select ' || refused.call);
    perform tests.sign_out();
    return v_answer;
end;
$$;
select is(refused(who, format('api.%s(%s)', f, cover)), 'PT404 cover_not_found: There is no such cover of yours.',
    format('isolation: %s %s of %s', f, cover, who))
from unnest(array['set_primary_cover', 'remove_cover']) as f
cross join (values
    ('stranger', 'tests.cover(''two'')'), ('reader', 'tests.cover(''archived'')'), ('cowriter', 'tests.cover(''two'')'),
    ('cowriter', 'tests.cover(''draft'')'),
    ('author', 'tests.cover(''theirs'')'), ('author', 'null'), ('author', 'gen_random_uuid()'), ('author', 'tests.job(''two'')'),
    ('author', 'tests.story_id()')) as v (who, cover);
select is(shown(), array[cover('one')], 'nothing of this did anything');
select authenticate_as('author');
select is(api.set_primary_cover(cover('two')), cover('two'), 'IP12: the author shows another one');
select is(shown(), array[cover('two')], 'IP12: that one and no other');
select is(api.set_primary_cover(cover('two')), cover('two'), 'again');
select is(shown(), array[cover('two')], 'changes nothing');
select is(seen_by('reader'), '{vintage!}', 'that is what readers see');
select is(shown('Draft') || shown('Archived') || shown('Theirs'), array[cover('draft'), cover('archived'), cover('theirs')],
    'other stories show what they did');
select authenticate_as('author');
select is(api.set_primary_cover(cover('archived')), cover('archived'), 'what is archived can be changed as well');
select sign_out();

-- Removed ---------------------------------------------------------------------------------------------------
select authenticate_as('author');
select is(api.remove_cover(cover('one')), cover('one'), 'a cover is removed');
select is(refusal(format('select api.%s(tests.cover(''one''))', f)), 'PT404 cover_not_found: There is no such cover of yours.',
    format('then it is gone: %s', f))
from unnest(array['set_primary_cover', 'remove_cover']) as f;
select is(seen_by(who), '{vintage!}', format('also for %s', who)) from unnest(array['author', 'service', 'anon']) as who;
select is(shown(), array[cover('two')], 'what is shown stays');
select authenticate_as('author');
select is(api.remove_cover(cover('two')), cover('two'), 'the one that is shown can be removed');
select sign_out();
select is(shown(), '{}', 'then none is');
select is((select api.cover_url(s) from api.stories as s where s.id = story_id()), null, 'and there is no address');
select is(credits('author'), '980 + 0', 'nothing is paid back');
select make_cover('three', 'author', style => 'minimalist');
select is(shown(), array[cover('three')], 'the next one is shown at once');
select is((select count(*) from app.story_covers as c where c.story_id = story_id()), 3::bigint, 'the record of the others stays');
select is_empty('select * from ledger.verify()', 'and all is balanced');

-- The author's own --------------------------------------------------------------------------------------------
select is(
    refusal($$ select app.check_cover_upload(tests.story_id()) $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nobody uploads nothing');
select is(
    refusal($$ select app.add_uploaded_cover(tests.story_id(), tests.image('x'), true) $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nobody, whatever was asked before');
select is(
    refusal(format('select tests.claim(%L), app.check_cover_upload(tests.story_id(%L))', who, title)),
    'PT404 story_not_found: There is no such story of yours.', format('isolation: %s uploads for %s', who, coalesce(title, 'nothing')))
from (values ('stranger', 'A story'), ('cowriter', 'A story'), ('cowriter', 'Draft'), ('reader', 'Archived'), ('operator', 'A story'),
    ('author', 'Theirs'),
    ('author', null)) as v (who, title);
select is(
    refusal(format('select tests.claim(%L), app.add_uploaded_cover(tests.story_id(%L), tests.image(''x''), true)', who, title)),
    'PT404 story_not_found: There is no such story of yours.',
    format('isolation: %s uploads for %s, without having asked', who, coalesce(title, 'nothing')))
from (values ('stranger', 'A story'), ('cowriter', 'A story'), ('author', 'Theirs'), ('author', null)) as v (who, title);
select claim('author');
set local role edge;
select lives_ok($$ select app.check_cover_upload(tests.story_id()) $$, 'the edge asks whether the author may');
select note('own_cover', u.cover_id::text), note('urls', u.cover_url || ' ' || u.thumbnail_url)
from app.add_uploaded_cover(story_id(), image('own'), false) as u;
reset role;
select sign_out();
select is(noted('urls'), format('/covers/%s /covers/%s', image('own') ->> 'file', image('own') ->> 'thumbnail_file'),
    'and says where it is then');
select is(shown(), array[cover('three')], 'it is there to choose from');
select is(seen_by('author'), '{minimalist!,uploaded}', 'the author sees it');
select is(seen_by('anon'), '{minimalist!}', 'others do not');
select authenticate_as('author');
select results_eq(
    $$ select c.cover_style, c.generation_prompt, c.generation_cost, c.sd_model_used, c.seed, c.source, c.job_id from api.story_covers as c
       where c.id = tests.cover('own') $$,
    $$ values (null::text, '', 0, null::text, null::bigint, 'uploaded', null::uuid) $$, 'it was not generated');
select is(api.set_primary_cover(cover('own')), cover('own'), 'it can be shown');
select sign_out();
select is(seen_by('anon'), '{uploaded!}', 'then others see it');
select is(credits('author'), '975 + 0', 'it costs nothing');
select upload('shown', 'author', is_primary => true);
select is(shown(), array[cover('shown')], 'another one is shown at once, as was asked');
select upload('whatever', 'author', is_primary => null);
select is(shown(), array[cover('shown')], 'who does not say keeps what is shown');
select upload('same', 'author', 'Draft'), upload('own', 'neighbour', 'Theirs');
select is(shown('Draft'), array[cover('draft')], 'a draft as well');
select matches(
    refusal(format('select tests.claim(''author''), app.add_uploaded_cover(tests.story_id(), tests.image(''x'', %L), false)', changes)),
    '^(23502|23514|22P02|22003) ',
    format('attack: an image with %s', changes))
from unnest(array['{"file": "../secret"}', '{"file": null}', '{"media_type": "image/svg+xml"}', '{"width": -1}',
    '{"bytes": 0}']) as changes;
select sign_out();
update app.economy
set covers_per_story = (select count(*) from app.story_covers as c where c.story_id = story_id() and c.removed_at is null);
select is(
    refusal(format('select tests.claim(''author''), app.%s', call)),
    'PT422 too_many_covers: This story has enough covers. It may have 4, those in the queue included. Remove some of them first.',
    format('not too many: %s', call))
from unnest(array['check_cover_upload(tests.story_id())', 'add_uploaded_cover(tests.story_id(), tests.image(''x''), true)']) as call;
select lives_ok($$ select tests.claim('author'), app.check_cover_upload(tests.story_id('Draft')) $$, 'others have room');
select claim('author'), app.remove_cover(cover('whatever')), sign_out();
select lives_ok($$ select tests.upload('last', 'author') $$, 'one that was removed makes room');
update app.economy set covers_per_story = 100;

-- The files -----------------------------------------------------------------------------------------------------
-- The neighbour uploaded what the author had: one file, of two stories.
select claim('author'), app.remove_cover(cover('three')), sign_out();
select set_eq(
    $$ select f from app.unused_cover_files(array[
           tests.image('own') ->> 'file', tests.image('three') ->> 'file', tests.image('three') ->> 'thumbnail_file',
           tests.image('shown') ->> 'file',
           tests.image('shown') ->> 'thumbnail_file', 'nobodys.webp']) as f $$,
    $$ select tests.image('three') ->> k from unnest(array['file', 'thumbnail_file']) as k union all select 'nobodys.webp' $$,
    'what no story shows any more may go from the store');
select is_empty(format('select from app.unused_cover_files(%L)', files), format('of %s nothing may go', coalesce(files::text, 'no list')))
from unnest(array[null, '{}']) as files;

-- One is shown at most, whoever writes it ---------------------------------------------------------------------------
select matches(refusal(statement), '^(23505|23514|23503|23001) ', format('attack: %s', statement))
from unnest(array['update app.story_covers set is_primary = true where story_id = tests.story_id()',
    'update app.story_covers set removed_at = now()',
    'update app.story_covers set job_id = null', 'update app.story_covers set story_id = gen_random_uuid()']) as statement;
select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
