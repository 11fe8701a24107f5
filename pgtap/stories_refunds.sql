-- stories: purchases that are taken back, whole or in part (K6).
begin;
\ir helpers.psql
\ir alone.psql
select plan(53);

select count(tests.create_person(p)) from unnest(array['creator', 'cowriter', 'reader', 'neighbour', 'operator']) as p;
select give('reader', 200), give('neighbour', 200);
select tests.publish_story('creator', 6, 'Story');
select tests.claim('creator');
select app.set_story_authors(tests.story_id('Story'), array[user_id('creator'), user_id('cowriter')], '{6667,3333}');
select tests.sign_out();

-- Buying and keeping the purchase's id under a name; refunding it by that name.
create function tests.bought(name text, handle text, purchase_type text, chapters integer[] default null)
returns bigint
language plpgsql volatile
as $$
declare
    v_answer constant app.purchase_answer := tests.buy(
        bought.handle, tests.story_id('Story'), bought.purchase_type, bought.chapters);
begin
    perform tests.note(bought.name, v_answer.purchase_id::text);
    return v_answer.credits_spent;
end;
$$;

create function tests.refund(
    name text, handle text, credits bigint default null, reason text default 'a mistake', idempotency_key text default null)
returns text
language plpgsql volatile
as $$
declare
    v_answer record;
begin
    select * into v_answer
    from api.refund_story_purchase(
        tests.user_id(refund.handle), tests.noted(refund.name)::uuid, refund.reason, refund.credits, refund.idempotency_key);
    return concat_ws(' ', v_answer.balance_after, v_answer.earned_microdollars);
end;
$$;

create function tests.may_read(handle text)
returns integer[]
language sql stable security definer
return (
    select coalesce(array_agg(e.chapter_number order by e.chapter_number), '{}')
    from app.story_entitlements as e
    where e.user_id = tests.user_id(may_read.handle) and e.revoked_at is null
);

create function tests.story_earnings()
returns bigint[]
language sql stable security definer
return array[tests.balance('creator', 'earnings'), tests.balance('cowriter', 'earnings')];

select is(tests.bought('bundle', 'reader', 'bundle', '{3,4,5}'), 13::bigint, 'a bundle of three costs 13');
select is(tests.story_earnings(), array[303349, 151651]::bigint[], 'and earns its authors 455000 between them');

-- Who, what, how much ---------------------------------------------------------
select authenticate_as('reader');
select is(
    refusal($$ select tests.refund('bundle', 'reader') $$), '42501 : permission denied for function refund_story_purchase',
    'a reader does not refund');
select authenticate_as('creator');
select matches(refusal($$ select tests.refund('bundle', 'reader') $$), '^42501 ', 'an author neither');
select authenticate_as_service('operator');
select is(
    refusal($$ select tests.refund('bundle', 'reader', reason => null) $$), 'PT400 text_required: Please give the reason.',
    'an operator says why');
select matches(refusal($$ select tests.refund('bundle', 'reader', reason => '  ') $$), '^PT400 text_required: ', 'really');
select matches(
    refusal($$ select tests.refund('bundle', 'reader', reason => repeat('r', 501)) $$), '^PT400 text_too_long: ', 'in few words');
select is(
    refusal($$ select tests.refund('nothing', 'reader') $$), 'PT404 purchase_not_found: There is no such purchase.',
    'a null purchase is none');
select matches(
    refusal($$ select tests.refund('bundle', 'neighbour') $$), '^PT404 purchase_not_found: ', 'nor is somebody else''s');
select matches(
    refusal($$ select api.refund_story_purchase(null, tests.noted('bundle')::uuid, 'why') $$), '^PT404 purchase_not_found: ',
    'nor nobody''s');
select is(
    refusal($$ select tests.refund('bundle', 'reader', 14) $$),
    'PT422 reversal_too_large: No more can come back than was spent. 13 credits were spent and 0 came back before.',
    'no more comes back than was paid');
select matches(refusal($$ select tests.refund('bundle', 'reader', 0) $$), '^PT422 reversal_too_large: ', 'not nothing');
select matches(refusal($$ select tests.refund('bundle', 'reader', -1) $$), '^PT422 reversal_too_large: ', 'not less than nothing');
select matches(
    refusal($$ select tests.refund('bundle', 'reader', 9223372036854775807) $$), '^PT422 reversal_too_large: ', 'not everything there is');
select is(tests.story_earnings(), array[303349, 151651]::bigint[], 'none of that moved anything');

-- In parts --------------------------------------------------------------------
select is(tests.refund('bundle', 'reader', 4), '191 -139999', 'K6: four of thirteen credits come back');
select is(tests.story_earnings(), array[210011, 104990]::bigint[], 'K6: and the authors'' parts with them');
select is(tests.may_read('reader'), '{3,4,5}', 'what is partly paid can still be read');
select is(tests.refund('bundle', 'reader', 4), '195 -140000', 'K6: four more');
select matches(
    refusal($$ select tests.refund('bundle', 'reader', 6) $$), '13 credits were spent and 8 came back before\.$',
    'K6: what came back does not come back again');
select is(tests.refund('bundle', 'reader'), '200 -175001', 'K6: and all that is left');
select is(tests.story_earnings(), array[0, 0]::bigint[], 'K6: to the micro-dollar');
select is(tests.may_read('reader'), '{}', 'what came back whole is closed again');
select is(
    refusal($$ select tests.refund('bundle', 'reader') $$), 'PT409 already_reversed: This sale was taken back already.',
    'K6: once');
select matches(refusal($$ select tests.refund('bundle', 'reader', 1) $$), '^PT409 already_reversed: ', 'K6: not a credit more');
select authenticate_as('reader');
select is(
    refusal($$ select api.read_chapter(tests.story_id('Story'), 3) $$),
    'PT402 chapter_not_owned: Buy this chapter to read it. Chapter 3 of "Story" costs 5 credits.', 'a chapter that came back is for sale');
select is_empty('select * from api.story_entitlements', 'and shown no more');
select results_eq(
    $$ select amount::bigint, balance_after, transaction_type, metadata ->> 'kind', metadata ? 'reverses_id'
       from api.credit_transactions where transaction_type = 'refund' order by id $$,
    $$ values
       (4::bigint, 191::bigint, 'refund', 'refund', true),
       (4::bigint, 195::bigint, 'refund', 'refund', true),
       (5::bigint, 200::bigint, 'refund', 'refund', true) $$,
    'the reader''s statement shows each part');
select authenticate_as('cowriter');
select results_eq(
    $$ select story_id, microdollars::bigint, earning_id = (select id from api.creator_earnings) from api.creator_clawbacks order by id $$,
    $$ values
       (tests.story_id('Story'), 46661::bigint, true),
       (tests.story_id('Story'), 46662::bigint, true),
       (tests.story_id('Story'), 58328::bigint, true) $$,
    'and so does an author''s');

-- Again -----------------------------------------------------------------------
select tests.sign_out();
select is(tests.bought('again', 'reader', 'chapter', '{3}'), 5::bigint, 'what came back can be bought again, for money');
select is(tests.may_read('reader'), '{3}', 'and is open again');
select authenticate_as_service('operator');
select matches(refusal($$ select tests.refund('bundle', 'reader') $$), '^PT409 already_reversed: ', 'the old sale is over');
select is(tests.may_read('reader'), '{3}', 'and closes nothing any more');

-- Only what that purchase unlocked --------------------------------------------
select tests.sign_out();
select is(tests.bought('one', 'neighbour', 'chapter', '{4}'), 5::bigint, 'a chapter,');
select is(tests.bought('all', 'neighbour', 'premium_unlock'), 50::bigint, 'then the whole story');
select authenticate_as_service('operator');
select is(tests.refund('all', 'neighbour'), '195 -1750000', 'the whole comes back');
select is(tests.may_read('neighbour'), '{4}', 'the chapter stays');
select is(tests.refund('one', 'neighbour'), '200 -175000', 'until it comes back itself');
select is(tests.may_read('neighbour'), '{}', 'and nothing is left');

-- K4: retries -----------------------------------------------------------------
select tests.sign_out();
select is(tests.bought('retried', 'neighbour', 'bundle', '{3,4}'), 9::bigint, 'a bundle of two');
select authenticate_as_service('operator');
select is(tests.refund('retried', 'neighbour', 2, idempotency_key => 'refund-1'), '193 -69999', 'K4: two credits come back');
select is(
    tests.refund('retried', 'neighbour', 2, idempotency_key => 'refund-1'), '193 -69999', 'K4: a retry gets the first answer');
select is(tests.balance('neighbour'), 193::bigint, 'K4: and moves nothing');
select is(
    refusal($$ select tests.refund('retried', 'neighbour', 3, idempotency_key => 'refund-1') $$),
    'PT409 idempotency_mismatch: This idempotency key was used for another call. '
    'It first came with refund_story_purchase. Use a new key for a new call.',
    'K4: another amount under the same key is refused');

-- Off sale --------------------------------------------------------------------
select authenticate_as('creator');
select api.archive_story(tests.story_id('Story'));
select authenticate_as_service('operator');
select is(tests.refund('retried', 'neighbour'), '200 -245001', 'a sale of an archived story comes back too');
select authenticate_as('neighbour');
select is_empty('select * from api.stories', 'and the story is gone from the reader''s sight');
select matches(
    refusal($$ select api.read_chapter(tests.story_id('Story'), 3) $$), '^PT404 chapter_not_found: ', 'and reach');

-- K10: on record --------------------------------------------------------------
select tests.sign_out();
select results_eq(
    $$ select count(*)::integer, count(distinct subject)::integer from app.audit_log where action = 'refund_story_purchase' $$,
    $$ values (7, 4) $$, 'K10: every refund is in the audit log, retries and refusals are not');
select results_eq(
    $$ select actor_id, actor_role, subject, details - 'transaction_id' from app.audit_log where details @> '{"credits": 2}' $$,
    $$ values (
        user_id('operator'), 'service_role', tests.noted('retried'),
        jsonb_build_object('user_id', user_id('neighbour'), 'credits', 2, 'reason', 'a mistake')) $$,
    'K10: by whom, for whom, how much and why');

-- What verify sees of stories (K8).
select is(tests.seen_after(statement), seen, format('K8: verify sees %s', what))
from (values
    ('what is read and was not bought',
        $$ insert into app.story_entitlements select e.user_id, e.story_id, 6, e.purchase_id
        from app.story_entitlements as e where e.chapter_number < 6 limit 1 $$,
        array['story_entitlement_unpaid: it can be read, and its purchase says nothing of it']),
    ('authors who do not share all of it', $$ update app.story_authors set basis_points = 3000 where basis_points = 3333 $$,
        array['story_authors: the parts of its authors add up to 9667 of 10000']),
    ('a story without prices', 'delete from app.story_pricing', array['story_pricing: it has no prices'])
) as tampering (what, statement, seen);

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
