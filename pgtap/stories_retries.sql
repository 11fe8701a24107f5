-- stories: a purchase that is asked for again (K4).
begin;
\ir helpers.psql
select plan(15);

select count(tests.create_person(p)) from unnest(array['creator', 'reader', 'neighbour']) as p;
select give('reader', 100), give('neighbour', 100);
select tests.publish_story('creator', 8);

create function tests.purchase(
    idempotency_key text, chapters integer[], purchase_type text default 'chapter', max_credits bigint default null)
returns text
language sql volatile
return (
    select concat_ws(' ', p.purchase_id, p.credits_spent, p.balance, p.chapters_unlocked, p.already_owned, p.message)
    from api.purchase_story(
        tests.story_id(), purchase.purchase_type, purchase.chapters, purchase.max_credits, purchase.idempotency_key) as p
);

select authenticate_as('reader');
select tests.note('first', tests.purchase('key-1', '{3,4}', 'bundle', 9));
select is(tests.purchase('key-1', '{3,4}', 'bundle', 9), tests.noted('first'), 'K4: a retry gets the first answer, word for word');
select tests.purchase('key-2', '{5}');
select is(tests.purchase('key-1', '{3,4}', 'bundle', 9), tests.noted('first'), 'K4: with the balance of then');
select results_eq(
    'select credits_spent::bigint from api.story_purchases order by id', array[9, 5]::bigint[], 'K4: and is paid once');
select is((select balance from api.credit_balance()), 86::bigint, 'K4: and no credit more');

select is(
    refusal($$ select tests.purchase('key-1', '{3,4}', 'bundle', 10) $$),
    'PT409 idempotency_mismatch: This idempotency key was used for another call. '
    'It first came with purchase_story. Use a new key for a new call.',
    'K4: the same key with another agreed price is refused');
select matches(
    refusal($$ select tests.purchase('key-1', '{3,6}', 'bundle', 9) $$), '^PT409 idempotency_mismatch: ', 'K4: or other chapters');
select matches(
    refusal($$ select tests.purchase('key-1', '{3,4}', 'chapter', 9) $$), '^PT409 idempotency_mismatch: ', 'K4: or another type');
select is(
    refusal($$ select tests.purchase('', '{6}') $$),
    'PT400 invalid_idempotency_key: An idempotency key has 1 to 200 characters. This one has 0.', 'K4: an empty key is none');
select matches(
    refusal($$ select tests.purchase(repeat('k', 201), '{6}') $$), '^PT400 invalid_idempotency_key: ', 'K4: nor is an endless one');

select authenticate_as('neighbour');
select isnt(
    tests.purchase('key-1', '{3,4}', 'bundle', 9), tests.noted('first'), 'K4: somebody else''s key is another key');
select set_config('request.headers', '{"idempotency-key": "from-header"}', true);
select tests.note('header', tests.purchase(null, '{5}'));
select is(tests.purchase(null, '{5}'), tests.noted('header'), 'K4: the header Idempotency-Key does as well');
select is(tests.purchase('from-header', '{5}'), tests.noted('header'), 'K4: it is the same key');
select set_config('request.headers', '', true);

-- A price that rose, a story that went: a retry is still the first call.
select authenticate_as('creator');
select api.set_story_pricing(tests.story_id(), price_per_chapter => 100);
select api.archive_story(tests.story_id());
select authenticate_as('reader');
select is(tests.purchase('key-1', '{3,4}', 'bundle', 9), tests.noted('first'), 'K4: after the price rose and the story went off sale');
select is((select balance from api.credit_balance()), 86::bigint, 'K4: nothing more was paid');

select tests.sign_out();
select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
