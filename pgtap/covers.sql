-- covers: authors ask for one in five styles, for credits that are set aside (IP12).
begin;
\ir helpers.psql
\ir alone.psql
\ir covers.psql
select plan(182);

select count(create_person(p)) from unnest(array['author', 'cowriter', 'stranger', 'poor', 'operator']) as p;
select give('author', 1000), give('cowriter', 100), give('stranger', 100), give('poor', 9), give('operator', 100);
select publish_story('author', 3, 'Carried Forward');
select claim('author');
select app.set_story_authors(
    story_id('Carried Forward'), array[user_id('author'), user_id('cowriter')], '{5000,5000}');
select app.create_story('Draft', '', 'science fiction', 'en', '{}'), app.create_story('Archived', '', 'fiction', 'en', '{}');
select app.archive_story(story_id('Archived'));
select publish_story('poor', 1, 'Poor'), publish_story('operator', 1, 'Operator'), publish_story('stranger', 1, 'Strange');
select sign_out();

create function tests.asked(
    handle text, title text default 'Carried Forward', style text default 'fantasy', prompt text default null,
    priority integer default 3, idempotency_key text default null)
returns text
language plpgsql volatile
as $$
declare
    v_answer text;
begin
    perform tests.authenticate_as(asked.handle);
    v_answer := tests.refusal(format(
        'select tests.note_job(%L, c.job_id) from api.request_cover(tests.story_id(%L), %L, %L, %L, %L) as c', 'asked',
        asked.title, asked.style, asked.prompt, asked.priority, asked.idempotency_key));
    perform tests.sign_out();
    return v_answer;
end;
$$;
comment on function tests.asked(text, text, text, text, integer, text) is
'What somebody is told who asks for a cover, which is noted when it is allowed.';

create function tests.prompt_of(name text)
returns text
language sql volatile security definer
return (select j.prompt from app.cover_jobs as j where j.id = tests.job(name));

create function tests.words_of(prompt text)
returns text
language plpgsql volatile
as $$
declare
    v_prompt text;
begin
    perform tests.ask_cover('words', 'author', 'Carried Forward', 'minimalist', words_of.prompt);
    v_prompt := tests.prompt_of('words');
    perform tests.cancel_cover('words', 'author');
    return substring(v_prompt from '^book cover for "Carried Forward", fiction novel, (.*)minimalist flat design, simple geometric');
end;
$$;
comment on function tests.words_of(text) is 'What the model is told of an author''s words.';

-- Styles --------------------------------------------------------------------------------------------
select results_eq(
    $$ select s.style, s.model, s.options -> 'width', s.options -> 'height', s.is_active from app.cover_styles as s
       order by s.sort_order $$,
    $$ values ('realistic', 'realisticVision_v40', '512'::jsonb, '768'::jsonb, true), ('artistic', 'deliberate_v2', '512', '768', true),
        ('fantasy', 'dreamshaper_7', '512', '768', true), ('minimalist', 'deliberate_v2', '512', '768', true),
        ('vintage', 'realisticVision_v40', '512', '768', true) $$,
    'IP12: five styles, and a model for each');
select authenticate_as_anon();
select results_eq(
    'select s.style, s.price_credits from api.cover_styles as s',
    $$ values ('realistic', 5::bigint), ('artistic', 5), ('fantasy', 5), ('minimalist', 5), ('vintage', 5) $$,
    'IP12: everybody sees them, with the price of 5 credits');
select sign_out();
create temp table old_style as select s.* from app.cover_styles as s where s.style = 'vintage';
delete from app.cover_styles where style = 'vintage';
insert into app.cover_styles select o.* from old_style as o;
select results_eq(
    $$ select a.subject, a.details -> 'before' ->> 'style', a.details -> 'after' ->> 'style' from app.audit_log as a order by a.id $$,
    $$ values ('vintage', 'vintage', null), ('vintage', null, 'vintage') $$, 'who takes one away or brings one is on record');
select is(app.prompt_words(words), expected, format('%s in a prompt', to_json(words)))
from (values
    ('a castle', 'a castle'), (null, null), ('', ''), (E' \t\r\n ', ''), (E'two\nlines\r\n\tand more', 'two lines and more'),
    ('say "yes"', 'say ''yes'''), ('<lora:evil:1>', 'lora:evil:1'), ('<<hypernet:x:1>>', 'hypernet:x:1'), ('{title}', '{title}'),
    (E'bell \x07, escape \x1b[31m', 'bell , escape [31m'), (E'\u2028 next\u0085', 'next'), ('(red:1.5)', '(red:1.5)'),
    ('NaN', 'NaN'), ('null', 'null'), ('''; drop table app.cover_jobs; --', '''; drop table app.cover_jobs; --')
) as v (words, expected);

-- A request -----------------------------------------------------------------------------------------
select authenticate_as('author');
create temp table answer as
select r.* from api.request_cover(story_id('Carried Forward'), 'fantasy', '  a castle at dawn ') as r;
select results_eq(
    $$ select state, cost_credits, balance, "position", estimated_completion from answer $$,
    $$ values ('pending', 5::bigint, 995::bigint, 1::bigint, now() + interval '1 minute') $$,
    'IP12: the answer says what it costs, what is left, where it stands and when it should be ready');
select results_eq(
    $$ select t.amount, t.balance_after, t.transaction_type, t.description, t.reference_type, t.reference_id
       from api.credit_transactions as t where t.transaction_type = 'spend' $$,
    $$ select -5::bigint, 995::bigint, 'spend', 'Story cover', 'cover', job_id::text from answer $$, 'the statement says so');
select sign_out();
select note_job('first', a.job_id) from answer as a;
select is(credits('author'), '995 + 5', 'IP12: the credits are set aside');
select results_eq(
    $$ select j.user_id, j.story_id, j.style, j.wish, j.priority::integer, j.model, j.prompt, j.attempts, j.progress::integer,
           j.turn_at, j.run_at, j.created_at
       from app.cover_jobs as j where j.id = tests.job('first') $$,
    $$ values (tests.user_id('author'), tests.story_id('Carried Forward'), 'fantasy', 'a castle at dawn', 3, 'dreamshaper_7',
        'book cover for "Carried Forward", fiction novel, a castle at dawn, epic fantasy illustration, magical glow, intricate, '
        || 'dramatic sky', 0, 0, now(), now(), now()) $$,
    'the job has all that is needed to draw it');
select results_eq(
    $$ select j.negative_prompt, j.options from app.cover_jobs as j where j.id = tests.job('first') $$,
    $$ select s.negative_prompt, s.options from app.cover_styles as s where s.style = 'fantasy' $$, 'as its style says');
select results_eq(
    $$ select r.book_id, r.credits::bigint, r.state from ledger.reservations as r
       inner join app.cover_jobs as j on j.transaction_id = r.id and j.id = tests.job('first') $$,
    $$ values (tests.user_id('author'), 5::bigint, 'held') $$, 'one reservation of the price');
select is_empty('select * from ledger.verify()', 'and all is balanced');

-- Who may ask ------------------------------------------------------------------------------------------
select is(
    refusal($$ select app.request_cover(tests.story_id('Draft'), 'fantasy', null, 3, null) $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nobody has no story');
select is(asked(handle, title), 'PT404 story_not_found: There is no such story of yours.',
    format('isolation: %s asks for %s', handle, title))
from (values
    ('stranger', 'Carried Forward'), ('stranger', 'Draft'), ('stranger', 'Archived'), ('cowriter', 'Carried Forward'),
    ('operator', 'Carried Forward'), ('author', 'No such story'), ('author', null), ('newcomer', 'Carried Forward')
) as v (handle, title);
select is(asked('author', title), 'allowed', format('for a story that is %s', lower(title)))
from unnest(array['Draft', 'Archived']) as title;
select is(
    prompt_of('asked'), 'book cover for "Archived", fiction novel, epic fantasy illustration, magical glow, intricate, dramatic sky',
    'without a prompt there is no gap');
select authenticate_as_service('stranger');
select is(
    refusal($$ select api.request_cover(tests.story_id('Carried Forward'), 'fantasy') $$),
    'PT404 story_not_found: There is no such story of yours.', 'the service role asks for nobody else');
select is((select state from api.request_cover(story_id('Strange'), 'fantasy')), 'pending', 'but for whom it speaks');
select sign_in('service_role', '{"role": "service_role"}');
select alike(refusal($$ select api.request_cover(tests.story_id('Draft'), 'fantasy') $$), 'PT401 login_required: %',
    'speaking for nobody it asks for nothing');
select sign_out();
select is(credits('stranger'), '95 + 5', 'who asks pays');

-- What cannot be asked for ---------------------------------------------------------------------------------
select is(
    asked('author', style => style),
    'PT400 unknown_style: There is no such style. Covers come in: realistic, artistic, fantasy, minimalist, vintage.',
    format('attack: no style: %s', coalesce(to_json(style)::text, 'null')))
from unnest(array['cubist', '', 'Fantasy', ' fantasy', 'NaN', 'fantasy''; --', E'fantasy\n', repeat('fantasy', 10000), null]) as style;
select is(
    asked('author', prompt => prompt),
    format('PT400 text_too_long: The prompt is too long. It has %s characters; at most 1000 are allowed.', length(prompt)),
    format('attack: %s characters', length(prompt)))
from unnest(array[repeat('x', 1001), repeat('ü', 1001), repeat('x', 10000), repeat('<', 1000000)]) as prompt;
select is(
    asked('author', priority => priority),
    'PT400 invalid_priority: A priority is a number from 1 to 5. 3 is the usual one, 5 the last.',
    format('attack: no priority: %s', coalesce(priority::text, 'null')))
from unnest(array[0, 6, -1, 2147483647, -2147483648, null]) as priority;
select is(
    asked(handle, title, priority => priority),
    'PT403 priority_reserved: Priorities 1 and 2 are for the operators of this platform. Please ask with 3, 4 or 5.',
    format('attack: %s asks with priority %s', handle, priority))
from (values ('author', 'Carried Forward', 1), ('author', 'Carried Forward', 2), ('stranger', 'Carried Forward', 2)
) as v (handle, title, priority);
select authenticate_as('author');
select is(refusal('select api.request_cover(null, null, null, null, null)'),
    'PT400 unknown_style: There is no such style. Covers come in: realistic, artistic, fantasy, minimalist, vintage.',
    'attack: nothing but nulls');
select is(refusal($$ select api.request_cover(null, 'fantasy') $$), 'PT404 story_not_found: There is no such story of yours.',
    'attack: no story');
select sign_out();
select is(credits('author'), '985 + 15', 'nothing of this cost anything');
select is((select count(*) from app.cover_jobs), 4::bigint, 'or is in the queue');

-- Priorities -----------------------------------------------------------------------------------------------------
select is(
    asked('operator', 'Operator', priority => 1),
    'PT403 priority_reserved: Priorities 1 and 2 are for the operators of this platform. Please ask with 3, 4 or 5.',
    'who is no operator yet');
insert into app.operators (user_id) values (user_id('operator'));
select is(ask_cover('hurried', 'operator', 'Operator', prompt => priority::text, priority => priority), 'pending 5',
    format('operators may ask with priority %s', priority))
from generate_series(1, 5) as priority;
select results_eq(
    $$ select j.priority::integer, j.turn_at - now() from app.cover_jobs as j where j.user_id = tests.user_id('operator')
       order by j.priority $$,
    $$ select p, (p - 3) * interval '10 minutes' from generate_series(1, 5) as p $$, 'IP12: a step is worth ten minutes of waiting');
select authenticate_as_service('stranger');
select is((select state from api.request_cover(story_id('Strange'), 'vintage', priority => 1)), 'pending', 'and so may the service role');
select sign_out();

-- The words -------------------------------------------------------------------------------------------------------
select is(words_of(prompt), expected, format('attack: the prompt %s is words', to_json(left(prompt, 50))))
from (values
    ('<lora:evil:1> a cat', 'lora:evil:1 a cat, '), ('"", naked', ''''', naked, '),
    ('{title} {genre} {wish} {model}', '{title} {genre} {wish} {model}, '),
    (E'a cat\n\nNegative prompt: nothing\nSteps: 150', 'a cat Negative prompt: nothing Steps: 150, '),
    (E'\\1 \\& $1 %s \\', E'\\1 \\& $1 %s \\, '), (', , ,', ''), (', a cat ,', 'a cat, '), ('🐈 猫', '🐈 猫, '),
    (repeat('x', 1000), repeat('x', 1000) || ', '), (E' \n' || repeat('ü', 1000) || E'\t\r\n', repeat('ü', 1000) || ', '),
    ('', ''), (E'\t\n ', ''), (null, ''), ('<>', ''), ('"<>"', ''''', '), ('NaN', 'NaN, ')
) as v (prompt, expected);
select claim('author');
select app.update_story(story_id('Draft'), E'The "Great" <Lora> {wish}', null, E'a "strange" <genre>\n{title}', null, null), sign_out();
select is(ask_cover('odd', 'author', E'The "Great" <Lora> {wish}', prompt => 'a cat'), 'pending 5',
    'attack: titles and genres are words as well');
select is(
    prompt_of('odd'),
    'book cover for "The ''Great'' Lora {wish}", a ''strange'' genre {title} novel, a cat, epic fantasy illustration, magical glow, '
    'intricate, dramatic sky', 'attack: and say nothing to the model');
select is(prompt_of('first') like '%"Carried Forward"%', true, 'what was asked for before stays as it was');

-- The same twice -----------------------------------------------------------------------------------------------------
select is(
    asked('author', prompt => prompt),
    format('PT409 cover_already_requested: This cover is being made already. It is job %s. Change the prompt for another one.',
        job('first')),
    format('the same again: %s', to_json(prompt)))
from unnest(array['a castle at dawn', E'\ta castle at dawn\n']) as prompt;
select alike(asked('author', 'Archived'), 'PT409 cover_already_requested: %', 'also without a prompt');
select alike(asked('author', 'Archived', prompt => ''), 'PT409 cover_already_requested: %', 'which an empty one is');
select alike(asked('author', prompt => 'a castle at dawn', priority => 4), 'PT409 cover_already_requested: %',
    'also with another priority');
select is(asked('author', prompt => 'A castle at dawn'), 'allowed', 'other words are another one');
select cancel_cover('asked', 'author');
select is(asked('author', style => 'artistic', prompt => 'a castle at dawn'), 'allowed', 'so is another style');
select cancel_cover('asked', 'author');
select is(asked('author', 'Archived', prompt => 'a castle at dawn'), 'allowed', 'and another story');
select cancel_cover('asked', 'author');
select take('first');
select alike(asked('author', prompt => 'a castle at dawn'), 'PT409 cover_already_requested: %', 'the same while it is drawn');
select finish('first');
select is(asked('author', prompt => 'a castle at dawn'), 'allowed', 'afterwards it is a new one');
select cancel_cover('asked', 'author');
select is(asked('author', prompt => 'a castle at dawn'), 'allowed', 'and so it is when it was canceled');
select cancel_cover('asked', 'author');
select is_empty('select * from ledger.verify()', 'so far all is balanced');

-- A key ------------------------------------------------------------------------------------------------------------------
select note('before', credits('author'));
select is(ask_cover('keyed', 'author', 'Carried Forward', 'vintage', ' a ship', idempotency_key => 'key'), 'pending 5', 'K6: with a key');
select is(ask_cover('again', 'author', 'Carried Forward', 'vintage', 'a ship ', idempotency_key => 'key'), 'pending 5',
    'K6: the same call again');
select is(job('again'), job('keyed'), 'K6: it is the same job');
select note('place', (p."position", p.estimated_completion)::text) from app.cover_place(job('keyed')) as p;
select cancel_cover('keyed', 'author');
select authenticate_as('author');
select results_eq(
    $$ select job_id, state, cost_credits, balance, ("position", estimated_completion)::text
       from api.request_cover(tests.story_id('Carried Forward'), 'vintage', 'a ship', idempotency_key => 'key') $$,
    $$ select tests.job('keyed'), 'pending', 5::bigint, split_part(tests.noted('before'), ' ', 1)::bigint - 5, tests.noted('place') $$,
    'K6: whatever became of it, the answer is the first one');
select sign_out();
select is(credits('author'), noted('before'), 'K6: it was paid for once, and came back once');
select is(
    asked('author', title, style, prompt, priority, 'key'),
    'PT409 idempotency_mismatch: This idempotency key was used for another call. It first came with request_cover. '
    'Use a new key for a new call.',
    'K6: the key does not open another')
from (values ('Archived', 'vintage', 'a ship', 3), ('Carried Forward', 'fantasy', 'a ship', 3),
    ('Carried Forward', 'vintage', 'two ships', 3),
    ('Carried Forward', 'vintage', 'a ship', 4), ('Carried Forward', null, null, null)) as v (title, style, prompt, priority);
select is(
    asked('author', idempotency_key => key),
    format('PT400 invalid_idempotency_key: An idempotency key has 1 to 200 characters. This one has %s.', length(key)), 'K6: no such key')
from unnest(array['', repeat('k', 201)]) as key;
select is(asked('stranger', 'Strange', prompt => 'mine', idempotency_key => 'key'), 'allowed', 'isolation: a key is its owner''s');
select alike(asked('author', style => 'cubist', idempotency_key => 'later'), 'PT400 unknown_style%', 'what was refused');
select is(asked('author', prompt => 'later', idempotency_key => 'later'), 'allowed', 'leaves its key unused');
select cancel_cover('asked', 'author');
select set_config('request.headers', '{"idempotency-key": "header"}', true);
select ask_cover('header', 'author', 'Carried Forward', prompt => 'by header'),
    ask_cover('again', 'author', 'Carried Forward', prompt => 'by header');
select is(job('again'), job('header'), 'K6: the key may come as a header');
select alike(asked('author', 'Carried Forward', prompt => 'other'), 'PT409 idempotency_mismatch%', 'K6: and is one');
select set_config('request.headers', '', true), cancel_cover('header', 'author');

-- How many -------------------------------------------------------------------------------------------------------------------
update app.economy
set cover_jobs_per_user = (select count(*) from app.cover_jobs as j where j.user_id = user_id('author') and j.finished_at is null);
select alike(
    asked('author', prompt => 'one too many'),
    'PT429 too_many_cover_jobs: Please wait until some of your covers are ready. % are in the queue; at most % may be. The next %Z.',
    'not too many at once');
select alike(
    asked('stranger', 'Strange', prompt => 'my own'),
    'PT429 too_many_cover_jobs: Please wait until some of your covers are ready. '
    '3 are in the queue; at most 3 may be. The next %Z.', 'each has their own');
update app.economy set cover_jobs_per_user = cover_jobs_per_user + 1;
select is(asked('author', prompt => 'the last'), 'allowed', 'the last one');
select alike(asked('author', prompt => 'one too many'), 'PT429 too_many_cover_jobs%', 'and no other');
select alike(asked('author', prompt => 'the last'), 'PT409 cover_already_requested%', 'the same is the same, however many there are');
select take('asked');
select alike(asked('author', prompt => 'one too many'), 'PT429 too_many_cover_jobs%', 'what is drawn counts');
select cancel_cover('asked', 'author');
update app.economy set cover_jobs_per_user = 1000, covers_per_story = 1;
select publish_story('author', 1, 'Without covers');
select alike(
    asked('author', prompt => 'more'),
    'PT422 too_many_covers: This story has enough covers. It may have %, those in the queue included. Remove some of them first.',
    'nor too many covers for a story');
select is(asked('author', 'Without covers', prompt => 'more'), 'allowed', 'others have room');
select cancel_cover('asked', 'author');
update app.economy set covers_per_story = 100, cover_jobs_per_user = 10;

-- The price --------------------------------------------------------------------------------------------------------------------
select is(asked('poor', 'Poor'), 'allowed', 'nine credits are enough for one');
select is(asked('poor', 'Poor', 'vintage'), 'PT402 insufficient_credits: Not enough credits. This costs 5 credits; you have 4.',
    'and too few for two');
select is(credits('poor'), '4 + 5', 'what is set aside cannot be spent');
select is(asked('poor', 'Poor', 'vintage', repeat('x', 1001)),
    'PT400 text_too_long: The prompt is too long. It has 1001 characters; at most 1000 are allowed.',
    'what is wrong with the words is said first');
update app.economy set cover_price_credits = 4;
select is(ask_cover('cheap', 'poor', 'Poor', 'vintage'), 'pending 4', 'IP12: the price of the day');
select is(credits('poor'), '0 + 9', 'to the last credit');
update app.economy set cover_price_credits = 7;
select take('cheap');
select is(finish('cheap'), 'completed 100% after 1', 'IP12: the price changed since');
select is(balance('poor', 'reserved'), 5::bigint, 'what was agreed is paid');
update app.economy set cover_price_credits = 0;
select authenticate_as('poor');
select results_eq(
    $$ select cost_credits, balance from api.request_cover(tests.story_id('Poor'), 'realistic') $$,
    $$ values (0::bigint, 0::bigint) $$, 'IP12: it may be free');
select sign_out();
select is(ask_cover('free', 'poor', 'Poor', 'artistic'), 'pending 0', 'and often');
select is((select j.transaction_id from app.cover_jobs as j where j.id = job('free')), null, 'nothing is set aside');
update app.economy set cover_price_credits = 100;
select is(cancel_cover('free', 'poor'), 'canceled, 0 back, 0 in the wallet', 'nothing comes back of what was free');
select is(cancel_cover('asked', 'poor'), 'canceled, 5 back, 5 in the wallet', 'of another what it cost');
update app.economy set cover_price_credits = 5;
select is(refusal(format('update app.economy set %s', change)) ~ '^23514 ', true, format('no policy: %s', change))
from unnest(array['cover_price_credits = -1', 'cover_attempts = 0', 'cover_jobs_per_user = 0', 'covers_per_story = 0',
    'cover_patience_hours = 0',
    'cover_base_url = ''javascript:alert(1)/''', 'cover_base_url = ''//evil.example/''', 'cover_base_url = ''''']) as change;

-- Styles change -------------------------------------------------------------------------------------------------------------------
select ask_cover('old', 'author', 'Carried Forward', 'minimalist', 'before');
update app.cover_styles set is_active = false, model = 'newer_1', prompt = 'new {title}' where style = 'minimalist';
select is(
    asked('author', style => 'minimalist'),
    'PT400 unknown_style: There is no such style. Covers come in: realistic, artistic, fantasy, vintage.',
    'a style that is off cannot be had');
select authenticate_as_anon();
select is_empty($$ select from api.cover_styles where style = 'minimalist' $$, 'and is not shown');
select sign_out();
select is((select j.model from app.cover_jobs as j where j.id = job('old')), 'deliberate_v2', 'what was asked for keeps its model');
select is(take('old'), 'attempt 1', 'it is drawn all the same');
select is(finish('old'), 'completed 100% after 1', 'and finished');
select results_eq(
    $$ select a.subject, a.details -> 'before' ->> 'model', a.details -> 'after' ->> 'model', a.actor_role
       from app.audit_log as a
       where a.action = 'change_cover_style' and a.subject = 'minimalist' $$,
    $$ values ('minimalist', 'deliberate_v2', 'newer_1', 'postgres') $$, 'who changed a style is on record');
select matches(refusal('delete from app.cover_styles'), '^23(001|503) ', 'a style that was used stays');
select is(refusal(format('update app.cover_styles set %s', change)) ~ '^23514 ', true, format('no style: %s', change))
from unnest(array['model = ''../etc/passwd''', 'model = ''a b''', 'model = ''<lora:x>''', 'model = ''''', 'prompt = ''''',
    'options = ''{}''', 'style = style || ''2''',
    'options = ''{"width": 100, "height": 768, "steps": 20}''', 'options = ''{"width": 512, "height": 4096, "steps": 20}''',
    'options = ''{"width": "512", "height": 768, "steps": 20}''', 'options = ''{"width": null, "height": 768, "steps": 20}''',
    'options = ''{"width": 512, "height": 768, "steps": 0}''', 'options = ''[]''',
    'options = ''["width", "height", "steps"]''', 'options = ''{"width": 512.5, "height": 768, "steps": 20}''',
    'options = ''{"width": 512, "height": 767, "steps": 20}''']) as change;

-- What was asked for stays ---------------------------------------------------------------------------------------------------------
select is(
    refusal(statement),
    'PT403 append_only: Rows of app.' || what || ' are never changed or removed. Post a new row that corrects the old one.',
    format('%s is refused', statement))
from (values ('delete from app.cover_jobs', 'cover_jobs'), ('delete from app.cover_attempts', 'cover_attempts'),
    ('delete from app.story_covers', 'story_covers'),
    ('truncate app.cover_attempts', 'cover_attempts'), ('truncate app.story_covers', 'story_covers')) as v (statement, what);
select is(
    (select functions @> '{request_cover,cancel_cover}' from app.rate_limits where class = 'money'), true,
    'both are counted with the other calls that move money');
select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
