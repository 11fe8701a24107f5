-- cache: what was generated before is found again, by its words or by its meaning (IP11).
-- Needs pgvector.
begin;
\ir helpers.psql
\ir covers.psql
\ir cache.psql
select plan(196);

select count(create_person(p)) from unnest(array['author', 'reader', 'stranger']) as p;
select give('author', 1000), give('reader', 1000);
select tests.claim('author'), app.create_story('By author', '', 'fiction', 'en', '{}');
select tests.claim('reader'), app.create_story('By reader', '', 'fiction', 'en', '{}');
select sign_out();

-- Shape -------------------------------------------------------------------------------------------
select columns_are('api', 'infinite_pages_cache', array[
    'id', 'user_id', 'story_id', 'cache_key', 'genre', 'model', 'request', 'tokens', 'hit_count', 'exact_hits',
    'semantic_hits', 'last_hit_at', 'created_at']);
select columns_are('api', 'generation_jobs', array[
    'id', 'user_id', 'story_id', 'chapter_number', 'request', 'state', 'match', 'similarity_basis_points',
    'original_cost', 'cost_credits', 'content', 'error_message', 'created_at', 'finished_at']);
select columns_are('api', 'cache_rewards', array[
    'id', 'user_id', 'story_id', 'chapter_id', 'cache_key', 'credits_saved', 'original_cost', 'discounted_cost',
    'hit_count', 'created_at', 'match', 'job_id', 'chapter_number']);
select col_type_is('api', 'cache_rewards', c, 'bigint', c || ' is in whole credits')
from unnest(array['credits_saved', 'original_cost', 'discounted_cost']) as c;
select table_privs_are('app', t, r, array[]::text[], format('%s has no right on %s', r, t))
from unnest(array['anon', 'edge']) as r,
    unnest(array['infinite_pages_cache', 'generation_jobs', 'cache_rewards', 'ai_usage_logs', 'cache_vectors']) as t;
select table_privs_are('app', 'cache_vectors', r, array[]::text[], format('%s does not see meanings', r))
from unnest(array['authenticated', 'service_role']) as r;
select is((select c.relrowsecurity from pg_class as c where c.oid = 'app.cache_vectors'::regclass), true, 'cache_vectors has RLS on');
select is(
    (select pg_get_userbyid(c.relowner) from pg_class as c where c.oid = 'app.cache_vectors'::regclass), 'app_owner',
    'and the owner of all the rest');
select has_index('app', 'cache_vectors', 'cache_vectors_nearest', 'the nearest is found by an index');
select is(
    (select a.amname::text from pg_class as c inner join pg_am as a on a.oid = c.relam where c.relname = 'cache_vectors_nearest'),
    'hnsw', 'of the kind HNSW');
select results_eq(
    $$ select generation_price_credits, cache_discount_percent, cache_similarity_basis_points from app.economy $$,
    $$ values (10::bigint, 20, 9500) $$, 'seed 000: a hit takes 20 % off');
select is(refusal(format('update app.economy set %s', change)) ~ '^23514 ', true, format('no policy: %s', change))
from unnest(array[
    'generation_price_credits = -1', 'generation_price_credits = 100001', 'cache_discount_percent = -1',
    'cache_discount_percent = 101', 'cache_similarity_basis_points = -1', 'cache_similarity_basis_points = 10001']) as change;

-- Canonical keys ------------------------------------------------------------------------------------
select is(app.canonical_json(value::jsonb), expected, format('%s in one way of writing it', value))
from (values
    ('{"b": 1, "a": 2}', '{"a":2,"b":1}'), ('{"aa": 1, "b": 2}', '{"aa":1,"b":2}'), ('{"B": 1, "a": 2}', '{"B":1,"a":2}'),
    ('{}', '{}'), ('[]', '[]'), ('""', '""'), ('null', 'null'), ('true', 'true'), ('false', 'false'),
    ('{"a": {}, "b": [], "c": "", "d": null}', '{"a":{},"b":[],"c":"","d":null}'),
    ('1', '1'), ('1.0', '1'), ('1.50', '1.5'), ('1e2', '100'), ('100', '100'), ('0.0', '0'), ('-0', '0'), ('-0.10', '-0.1'),
    ('0.1', '0.1'), ('123456789012345678901234567890', '123456789012345678901234567890'),
    ('"1"', '"1"'), ('" two  words "', '"two words"'), ('"line\nand\ttab"', '"line and tab"'), ('"\u00a0 wide \u3000"', '"wide"'),
    ('"Caf\u00e9"', '"Café"'), ('"Cafe\u0301"', '"Café"'), ('"a \"quote\" \\ "', '"a \"quote\" \\"'),
    ('[3, 1, 2]', '[3,1,2]'), ('[[1.0], {"b": [2.00], "a": " x "}]', '[[1],{"a":"x","b":[2]}]'),
    ('{"a": {"d": 1, "c": {"f": 1.0, "e": 2}}}', '{"a":{"c":{"e":2,"f":1},"d":1}}')
) as v (value, expected);
select is(app.canonical_json(null), null, 'nothing is nothing');
select matches(app.cache_key('{}'), '^[0-9a-f]{64}$', 'a key is a SHA-256');
select is(
    app.cache_key('{"a": 1}'), '015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862',
    'so other programs can compute it: of {"a":1} in UTF-8');
select is(app.cache_key(one::jsonb) = app.cache_key(other::jsonb), same, format('%s and %s', one, other))
from (values
    ('{"a": 1, "b": 2}', '{"b": 2.0, "a": 1}', true), ('{"a": "x y"}', '{"a": " x  y"}', true), ('{"a": "é"}', '{"a": "e\u0301"}', true),
    ('{"a": 1}', '{"a": "1"}', false), ('{"a": "x"}', '{"a": "X"}', false), ('{"a": [1, 2]}', '{"a": [2, 1]}', false),
    ('{"a": null}', '{}', false), ('{"a": []}', '{"a": {}}', false), ('{"a": ""}', '{"a": null}', false),
    ('{"a": true}', '{"a": "true"}', false), ('{"a": "1\",\"b\":\"2"}', '{"a": "1", "b": "2"}', false), ('{"a": {"b": 1}}',
        '{"a": 1, "b": 1}', false)
) as v (one, other, same);
select is(
    app.canonical_json(app.canonical_json(v.value::jsonb)::jsonb), app.canonical_json(v.value::jsonb),
        format('what is canonical stays: %s', v.value))
from unnest(array['{"b": [1.0, " x "], "a": {"z": null, "y": "e\u0301"}}', '[]', '"a  b"', '1e-3']) as v (value);

-- Who may look --------------------------------------------------------------------------------------
select authenticate_as_anon();
select matches(refusal($$ select api.cache_lookup(tests.request('a castle')) $$), '^42501 : permission denied', 'anon looks nothing up');
select authenticate_as_service('author');
select matches(
    refusal($$ select api.cache_lookup(tests.request('a castle')) $$), '^42501 : permission denied',
        'the service role does not ask for texts');
select sign_in('authenticated', '{"role": "authenticated"}');
select is(
    refusal($$ select api.cache_lookup(tests.request('a castle')) $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nobody neither');

-- What is no request ----------------------------------------------------------------------------------
select authenticate_as('author');
select is(
    refusal(format('select api.cache_lookup(%L)', request)),
    'PT400 invalid_request: A request has a genre, a model and a prompt. '
    'As texts of up to 100, 200 and 20000 characters; all of it up to 100 kB and 20 levels deep.',
    format('no request: %s', left(request::text, 80)))
from (values
    (null::jsonb), ('null'), ('[]'), ('"a castle"'), ('1'), ('{}'), ('{"genre": "fantasy", "model": "writer-1"}'),
    ('{"genre": "fantasy", "prompt": "x"}'), ('{"model": "x", "prompt": "x"}'), (tests.request('')), (tests.request('   ')),
    (tests.request('x', genre => '')), (tests.request('x', genre => E' \n ')), (tests.request('x', model => ' ')),
    (tests.request('x', genre => repeat('g', 101))), (tests.request('x', model => repeat('m', 201))), (tests.request(repeat('p', 20001))),
    (tests.request('x') || '{"prompt": null}'), (tests.request('x') || '{"prompt": 1}'), (tests.request('x') || '{"genre": ["fantasy"]}'),
    (tests.request('x') || '{"model": {"name": "x"}}'), (tests.request('x') || jsonb_build_object('more', repeat('x', 100000))),
    (tests.request('x') || jsonb_build_object('more', (repeat('[', 21) || repeat(']', 21))::jsonb)),
    (tests.request('x') || jsonb_build_object('more', (repeat('[', 2000) || repeat(']', 2000))::jsonb))
) as v (request);
select is(looked_up('author', request), 'none 10 of 10', format('a request: %s', left(request::text, 60)))
from (values
    (tests.request('a castle')), (tests.request(repeat('p', 20000), repeat('g', 100), repeat('m', 200))),
    (tests.request('x') || jsonb_build_object('more', (repeat('[', 19) || repeat(']', 19))::jsonb)), (tests.request('x')
        || '{"more": 1e1000}')
) as v (request);

-- What is no embedding ---------------------------------------------------------------------------------
select is(
    refusal(format('select api.cache_lookup(tests.request(''a castle''), %L::real[])', embedding)),
    'PT400 invalid_embedding: An embedding has 384 numbers. Its length is from 0.000001 to 1,000,000. '
    'Leave it out to look for the same words only.',
    format('no embedding: %s', name))
from (values
    ('none', '{}'::real[]), ('one', '{1}'), ('383', meaning(size => 383)), ('385', meaning(size => 385)),
    ('768', meaning(size => 768)), ('all 0', array_fill(0::real, array[384])),
    ('NaN', meaning(size => 383) || 'NaN'::real), ('infinite', meaning(size => 383) || 'Infinity'::real),
    ('minus infinite', meaning(size => 383) || '-Infinity'::real), ('a null', meaning(size => 383) || null::real),
    ('all nulls', array_fill(null::real, array[384])), ('too long', array_fill(1e30::real, array[384])),
    ('as long as can be', array_fill(3e38::real, array[384])), ('too short', array_fill(1e-30::real, array[384])),
    ('two dimensions', array_fill(1::real, array[2, 192])), ('two dimensions of 384', array_fill(1::real, array[1, 384]))
) as v (name, embedding);
select is(looked_up('author', request('a castle'), embedding), 'none 10 of 10', format('an embedding: %s', name))
from (values ('null', null), ('a unit', meaning()), ('short', array_fill(1e-6::real, array[384])), ('long', array_fill(1e4::real,
    array[384]))) as v (name, embedding);
select sign_out();
select is_empty('select * from app.infinite_pages_cache', 'looking keeps nothing');

-- By the same words --------------------------------------------------------------------------------------
select is(generate('castle', 'author', 'a castle'), 'pending none 10', 'nobody asked before');
select is(looked_up('reader', request('a castle')), 'none 10 of 10', 'what is only asked for is not found');
select is(bring('castle', '{"text": "A castle stood."}'), 'completed', 'it was generated');
select is(looked_up('reader', request), 'exact 10000 8 of 10', format('the same: %s', request))
from (values
    (tests.request('a castle')), (tests.request('  a   castle ')), (tests.request(E'a\ncastle')),
    (tests.request('a castle', genre => ' fantasy')), ('{"prompt": "a castle", "model": "writer-1", "genre": "fantasy"}')
) as v (request);
select is(looked_up('reader', request), 'none 10 of 10', format('not the same: %s', request))
from (values
    (tests.request('A castle')), (tests.request('a castle.')), (tests.request('a castle', genre => 'horror')),
    (tests.request('a castle', model => 'writer-2')), (tests.request('a castle') || '{"temperature": 1}'), (tests.request('castle a'))
) as v (request);
select is(looked_up('reader', request('a castle'), meaning(90)), 'exact 10000 8 of 10', 'the same words need no meaning');
select is_empty($$ select from app.cache_vectors $$, 'what came without a meaning is not found by it');
select results_eq(
    $$ select c.genre, c.model, c.user_id, c.tokens, c.cost_microdollars, c.exact_hits + c.semantic_hits, c.content
        from app.infinite_pages_cache as c $$,
    $$ values ('fantasy', 'writer-1', tests.user_id('author'), 1000::bigint, 5000::bigint, 0::bigint,
        '{"text": "A castle stood."}'::jsonb) $$,
    'it is kept once, and looking is no hit');

-- By the same meaning -------------------------------------------------------------------------------------
select generate('dragon', 'author', 'a dragon', embedding => meaning(0)), bring('dragon', '"A dragon flew."');
select is(looked_up('reader', request('a flying dragon'), meaning(degrees)), expected, format('%s degrees away', degrees))
from (values
    (0, 'semantic 10000 8 of 10'), (10, 'semantic 9848 8 of 10'), (18.19, 'semantic 9500 8 of 10'), (18.2, 'none 9499 10 of 10'),
    (45, 'none 7071 10 of 10'), (90, 'none 0 10 of 10'), (180, 'none 0 10 of 10')
) as v (degrees, expected);
select is(
    looked_up('reader', request('a flying dragon'), array(select (1000 * e.value)::real
        from unnest(meaning(10)) with ordinality as e (value, place) order by e.place)),
    'semantic 9848 8 of 10', 'how long an embedding is does not matter');
select is(looked_up('reader', request('a flying dragon')), 'none 10 of 10', 'without a meaning only words count');
select is(looked_up('reader', request('a flying dragon', genre => 'horror'), meaning(0)), 'none 10 of 10', 'another genre has none');
select is(looked_up('reader', request('a flying dragon', model => 'writer-2'), meaning(0)), 'none 10 of 10', 'nor has another model');
select is(looked_up('reader', request('a flying dragon', genre => '  fantasy '), meaning(0)), 'semantic 10000 8 of 10',
    'blanks make no other genre');
select generate('wyrm', 'author', 'a wyrm', embedding => meaning(-30)), bring('wyrm');
select generate('ghost', 'author', 'a ghost', genre => 'horror', embedding => meaning(3)), bring('ghost');
select is(looked_up('reader', request('which?'), meaning(degrees)), expected, format('the nearest of the genre at %s', degrees))
from (values (-31, 'semantic 9998 8 of 10'), (-25, 'semantic 9961 8 of 10'), (-2, 'semantic 9993 8 of 10'), (3,
    'semantic 9986 8 of 10')) as v (degrees, expected);
select is(looked_up('reader', request('which?', genre => 'horror'), meaning(0)), 'semantic 9986 8 of 10', 'the other genre has its own');
update app.economy set cache_similarity_basis_points = threshold from (values (10000)) as v (threshold);
select is(looked_up('reader', request('which?'), meaning(2)), 'none 9993 10 of 10', 'at 10000 only the same');
select is(looked_up('reader', request('which?'), meaning(0)), 'semantic 10000 8 of 10', 'and that is found');
update app.economy set cache_similarity_basis_points = 0;
select is(looked_up('reader', request('which?'), meaning(60)), 'semantic 5000 8 of 10', 'at 0 the nearest will do');
select is(looked_up('reader', request('which?', genre => 'horror'), meaning(183)), 'none 0 10 of 10', 'but not the contrary');
select is(looked_up('reader', request('which?', genre => 'essay'), meaning(60)), 'none 10 of 10', 'and none where there is none');
update app.economy set cache_similarity_basis_points = 9500;

-- The first answer stays -----------------------------------------------------------------------------------
select is(generate('one', 'author', 'a race'), 'pending none 10', 'two ask for the same');
select is(generate('two', 'reader', 'a race', embedding => meaning(120)), 'pending none 10', 'before the first has it');
select bring('one', '"First."'), bring('two', '"Second."');
select is(generation_of('two'), 'completed none 10 of 10 "Second."', 'each has its own');
select results_eq(
    $$ select c.content, c.user_id from app.infinite_pages_cache as c where c.cache_key = app.cache_key(tests.request('a race')) $$,
    $$ values ('"First."'::jsonb, tests.user_id('author')) $$, 'the first answer is kept');
select is_empty('select * from ledger.verify()', 'all is balanced');

-- What people see of it -------------------------------------------------------------------------------------
select authenticate_as('author');
select is((select count(*) from api.infinite_pages_cache), 5::bigint, 'authors see what was generated for them');
select hasnt_column('api', 'infinite_pages_cache', c, format('without the %s', c)) from unnest(array['content', 'embedding']) as c;
select is(
    refusal(format('%s', statement)) ~ '^42501 ', true, format('nobody writes: %s', statement))
from unnest(array[
    'delete from api.infinite_pages_cache', 'update api.cache_rewards set credits_saved = 100',
        'insert into api.ai_usage_logs (model) values (''x'')']) as statement;
select authenticate_as('stranger');
select is_empty('select * from api.infinite_pages_cache', 'nobody sees another''s');
select sign_out();

-- Without pgvector -------------------------------------------------------------------------------------------
drop table app.cache_vectors;
select is(app.has_cache_vectors(), false, 'without the table there are no meanings');
select is(looked_up('reader', request('a castle'), meaning(0)), 'exact 10000 8 of 10', 'the same words are found');
select is(looked_up('reader', request('a flying dragon'), meaning(0)), 'none 10 of 10', 'the same meaning is not');
select is(generate('fairy', 'author', 'a fairy', embedding => meaning(60)), 'pending none 10', 'texts are generated');
select is(bring('fairy'), 'completed', 'and kept');
select is(generate('again', 'reader', 'a fairy', embedding => meaning(60)), 'completed exact 8', 'and found again');
select is_empty('select * from ledger.verify()', 'and all is balanced');
set local role app_owner;
select is(app.prepare_cache_vectors(), true, 'when it comes');
reset role;
select is(looked_up('reader', request('a flying fairy'), meaning(61)), 'semantic 9998 8 of 10', 'all that came meanwhile is found');
select is((select count(*) from app.cache_vectors), 4::bigint, 'what has a meaning');
select is(app.prepare_cache_vectors(), true, 'a deploy changes nothing then');
select is((select count(*) from app.cache_vectors), 4::bigint, 'and loses nothing');
-- The extension is dropped: the column goes, and the table stays.
alter table app.cache_vectors drop column embedding;
select is(looked_up('reader', request('a flying fairy'), meaning(61)), 'none 10 of 10', 'a table without meanings is none');
set local role app_owner;
select is(app.prepare_cache_vectors(), true, 'it is made anew');
reset role;
select is(looked_up('reader', request('a flying fairy'), meaning(61)), 'semantic 9998 8 of 10', 'and has all again');

select * from finish();
rollback;
