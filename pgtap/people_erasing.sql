-- people: being forgotten, while the money records stay (GDPR, article 17).
begin;
\ir helpers.psql
\ir covers.psql
\ir cache.psql
\ir people.psql
select plan(98);

-- Refused while there is something to settle ---------------------------------------------
select is(
    asked_to_forget('ann'),
    E'PT409 not_settled: There is something to settle first. $30.2275 of earnings: ask for a payout, or pass `forfeit`\n'
    '865 credits: spend them, or pass `forfeit`', 'credits and earnings are to be settled');
select is(
    refused_after(statement), 'PT409 not_settled: There is something to settle first. ' || reason, 'not with ' || reason)
from (values
    ($$ update app.subscriptions set status = 'active', ended_at = null where user_id = tests.user_id('ann') $$,
        'a subscription to Premium: end it by POST /subscriptions/portal at the edge'),
    ($$ update app.subscriptions set status = 'past_due' where user_id = tests.user_id('ann') $$,
        'a subscription to Premium: end it by POST /subscriptions/portal at the edge'),
    ($$ select tests.ask_payout('more', 'ann', 10) $$, 'a payout of $10.00 is on its way'),
    ($$ select tests.ask_payout('more', 'ann', 10), app.hold_payout(tests.payout('more'), 'a test') $$, 'a payout of $10.00 is on its way'),
    ($$ select tests.pay_slowly('ann') $$, 'a payment of $4.99 is not settled'),
    ($$ select tests.repay('more', 'bought', 100, 'pending') $$, 'a refund of $1.00 is on its way'),
    ($$ select tests.buy_credits('again', 'ann'), tests.dispute('three', 'again', 499);
        select app.record_stripe_answer(r.id, tests.payment_intent(r.subject_id)) from app.stripe_requests as r
        where r.kind = 'payment_intent' and r.state = 'pending' $$, 'a dispute about $4.99 is open'),
    ($$ select tests.ask_cover('more', 'ann', 'Sold') $$, 'still being made: a cover; cancel it, or wait'),
    ($$ select tests.generate('more', 'ann', 'another', 'Sold') $$, 'still being made: a text; cancel it, or wait'),
    ($$ update app.exports set state = 'pending', ready_at = null, expires_at = null where user_id = tests.user_id('ann') $$,
        'still being made: a download; cancel it, or wait'),
    ($$ select tests.ask_cover('more', 'ann', 'Sold'), tests.generate('more', 'ann', 'another', 'Sold') $$,
        'still being made: a cover, a text; cancel it, or wait'),
    ($$ select tests.start_payment('ann') $$, 'Stripe is being asked for something: wait a little')
) as w (statement, reason);
select is(
    refused_after($$ select tests.ask_payout('more', 'ann', 10);
        update app.subscriptions set status = 'unpaid' where user_id = tests.user_id('ann') $$, false),
    E'PT409 not_settled: There is something to settle first. a subscription to Premium: end it by POST /subscriptions/portal at the edge\n'
    'a payout of $10.00 is on its way\n$20.2275 of earnings: ask for a payout, or pass `forfeit`\n'
    '865 credits: spend them, or pass `forfeit`',
    'all of it is named at once');
select is(
    refused_after($$ select tests.pay_slowly('bob'); update app.subscriptions set status = 'active' where user_id = tests.user_id('bob');
        select tests.ask_payout('more', 'cora', 10) $$),
    'allowed', 'what others have open stands in nobody''s way');
select is(refused_after(statement), 'allowed', 'nor does ' || what)
from (values
    (
        $$ update app.subscriptions set status = 'incomplete_expired' where user_id = tests.user_id('ann') $$,
        'a subscription that never began'
    ),
    (
        $$ insert into app.payments (
               id, user_id, package_id, package_name, method, stripe_customer_id, amount_cents, currency, credits_purchased,
               bonus_credits, status, is_live)
           select app.new_id(), p.user_id, p.package_id, p.package_name, p.method, p.stripe_customer_id, p.amount_cents, p.currency,
               p.credits_purchased, p.bonus_credits, 'pending', false
           from app.payments as p where p.id = tests.payment('bought') $$,
        'a payment that nobody finished'
    ),
    ($$ select app.adjust_earnings(tests.user_id('ann'), -40000000, 'a test', null) $$, 'a debt')
) as w (statement, what);
select is((select p.display_name from app.profiles as p where p.id = user_id('ann')), 'Ann Example', 'nothing was forgotten until now');

-- What others have of her, before ----------------------------------------------------------
select tests.note('before', of_others()::text);
select tests.note('reconciled', (select jsonb_agg(to_jsonb(r)) from app.reconcile() as r)::text);
select tests.note('her_money', her_money()::text);

-- Forgotten -----------------------------------------------------------------------------------
select authenticate_as('ann');
select tests.note('answer', api.erase_me(true)::text);
select sign_out();
select matches(noted('answer')::jsonb ->> 'handle', '^gone_[0-9a-f]{16}$', 'the new name says nothing');
select is((noted('answer')::jsonb ->> 'erased_at')::timestamptz, now(), 'and the answer says since when');
select row_eq(
    $$ select p.display_name, p.bio, p.avatar_url, p.is_creator, p.erased_at, p.handle = tests.noted('answer')::jsonb ->> 'handle'
       from app.profiles as p where p.id = tests.user_id('ann') $$,
    row(null::text, null::text, null::text, false, now(), true), 'nobody is behind the profile');
select is((select count(*)::integer from api.creators as c where c.id = user_id('ann')), 0, 'nor among the creators');

-- What goes: nothing that she wrote, was called or could be reached by is anywhere.
select is_empty(format('select places_with(%L)', what), 'nowhere: ' || what)
from unnest(array[
    'ann@example.com', 'Ann Example', 'Lisbon', 'ann.jpg', 'It made me cry', 'secret draft', 'Not for anybody yet', 'Never shown',
    'my own face', 'my house', 'grandmother', '"last4": "4242"', 'first_name', 'All about Unsold', 'All about Returned']) as what;
select is(
    array(select places_with('bob@example.com')), array['app.stripe_events'], 'what Stripe said of others is as it was');
select is_empty(format('select * from %s as t where t.%I = tests.user_id(''ann'')', what, owner), 'no rows are left in ' || what)
from (values
    ('app.reading_progress', 'user_id'), ('app.user_library', 'user_id'), ('app.reading_days', 'user_id'), ('app.notices', 'user_id'),
    ('app.notice_settings', 'user_id'), ('app.feature_usage', 'user_id'), ('app.payout_settings', 'creator_id'),
    ('app.operators', 'user_id'), ('app.infinite_pages_cache', 'user_id')) as w (what, owner);
select is(
    array(select e.id from app.export_files as f inner join app.exports as e on e.id = f.export_id), array[noted('copy_of_bob')::uuid],
    'her file is gone, Bob''s is not');
select is(
    (select format('%s, %s, %s', e.state, e.copy_code is not null, e.cost_credits) from app.exports as e where e.id = noted('copy')::uuid),
    'expired, t, 250', 'her download was one');
select is(
    (select t.handle from app.exports as e cross join lateral (select p.handle from app.profiles as p where p.id = e.user_id) as t
        where e.id = noted('copy')::uuid),
    noted('answer')::jsonb ->> 'handle', 'a copied page leads to the new name');
select row_eq(
    $$ select a.country, a.requirements, a.deauthorized_at is not null
       from app.payout_accounts as a where a.user_id = tests.user_id('ann') $$,
    row(null::text, '{}'::jsonb, true), 'her account is not read again');
select is(
    (select format('%s %s %s', c.content, c.request, c.user_id is null) from app.infinite_pages_cache as c),
    '"Once upon a time." {} t', 'the cache does not say what was asked, nor by whom');

-- Stories: off sale; gone where nobody else has a part in them.
select set_eq(
    $$ select s.title, s.description, s.tags::text, s.status, x.content
       from app.stories as s inner join app.chapters as c on c.story_id = s.id and c.chapter_number = 3
       inner join app.chapter_texts as x on x.chapter_id = c.id where s.user_id = tests.user_id('ann') $$,
    $$ values ('Sold', 'All about Sold', '{secret}', 'archived', 'The text of chapter 3'),
       ('Together', 'All about Together', '{secret}', 'archived', 'The text of chapter 3'), ('-', '', '{}', 'archived', '-') $$,
    'what was sold or written with others stays');
select is(
    (select count(*)::integer from app.stories as s where s.user_id = user_id('ann') and s.title = '-'), 3,
    'the draft, what nobody bought, and what was given back do not');
select is(
    array(select distinct c.title from app.chapters as c inner join app.stories as s on s.id = c.story_id where s.title = '-'), array['-'],
    'their chapters have no titles');
select set_eq(
    $$ select c.story_id = tests.story_id('Sold') as is_sold, c.is_primary, c.removed_at is null as is_there, c.prompt
       from app.story_covers as c
       where c.user_id = tests.user_id('ann') $$,
    $$ values (true, true, true, ''), (false, false, false, '') $$,
    'the cover of what was sold is shown, the other is removed, and what was to be on them is forgotten');
select set_eq(
    $$ select p.handle, a.basis_points from app.story_authors as a inner join app.profiles as p on p.id = a.creator_id
       where a.story_id = tests.story_id('Half of Cora') $$,
    $$ values ('cora', 10000) $$, 'her part in Cora''s story is Cora''s');

-- Who bought keeps reading.
select authenticate_as('bob');
select is((select r.content from api.read_chapter(story_id('Sold'), 3) as r), 'The text of chapter 3', 'Bob reads what he bought');
select is((select r.content from api.read_chapter(story_id('Sold'), 1) as r), 'The text of chapter 1', 'and what is free of it');
select is(
    (select format('%s, %s', s.title, s.access_level) from api.reading_state as s), 'Sold, partial', 'it is in his library');
select is(
    refusal($$ select api.purchase_story(tests.story_id('Together'), 'chapter', '{3}') $$),
    'PT404 story_not_found: There is no such story on sale.', 'and nobody buys from her any more');
select authenticate_as('cora');
select is(
    (select r.content from api.read_chapter(story_id('Together'), 3) as r), 'The text of chapter 3',
    'Cora reads what they wrote together');
select sign_out();

-- The money stays as it was -----------------------------------------------------------------
select is(her_money(), noted('her_money')::jsonb, 'her payments, purchases, payouts and logs are what they were');
select is(of_others() -> 'accounts', noted('before')::jsonb -> 'accounts', 'others have what they had');
select is(of_others() -> 'receipts', noted('before')::jsonb -> 'receipts', 'their receipts say the same');
select is(of_others() -> 'bob', noted('before')::jsonb -> 'bob', 'nothing of Bob''s has changed');
select is(
    of_others() #> '{cora,earnings}', noted('before')::jsonb #> '{cora,earnings}', 'nor what Cora has earned');
select ok(
    of_others() -> 'money' @> (noted('before')::jsonb -> 'money'), 'no movement has changed');
select bag_eq(
    $$ select t.kind, t.amount::bigint, t.debit_kind, t.credit_kind, t.credit_owner_id = ledger.platform_id() as is_ours
       from ledger.transfers as t
       where not tests.noted('before')::jsonb -> 'money' @> jsonb_build_array(jsonb_build_object('id', t.id)) $$,
    $$ values ('expiry', 667::bigint, 'wallet', 'expired', true), ('expiry', 88, 'wallet', 'expired', true),
       ('expiry', 10, 'wallet', 'expired', true), ('expiry', 100, 'wallet', 'expired', true),
       ('correction', 30227500, 'earnings', 'royalties', true) $$,
    'but what she gave up is the platform''s, lot by lot');
select is(
    array(
        select format('%s %s', k, ledger.balance(user_id('ann'), k))
        from unnest(array['wallet', 'reserved', 'earnings', 'payouts']) as k),
    array['wallet 0', 'reserved 0', 'earnings 0', 'payouts 0'], 'nothing is left to her');
select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select is((select jsonb_agg(to_jsonb(r)) from app.reconcile() as r), noted('reconciled')::jsonb, 'and Stripe has what it had');
select is(
    (select format('%s, %s of %s', r.buyer_name, r.net_cents, r.amount_cents)
        from app.receipts as r where r.payment_id = payment('bought')),
    (noted('answer')::jsonb ->> 'handle') || ', 399 of 499', 'her own receipt has the new name');

-- Stripe is to forget her --------------------------------------------------------------------
select row_eq(
    $$ select r.state, r.parameters ->> 'customer', r.is_live, r.next_attempt_at <= now(), r.idempotency_key
       from app.stripe_requests as r where r.kind = 'customer_deletion' $$,
    row('pending'::text, 'cus_ann'::text, false, true, format('customer_deletion-%s-1', user_id('ann'))),
    'her customer is to be deleted, at once');
select is(
    array(select distinct r.parameters ? 'email' from app.stripe_requests as r where r.user_id = user_id('ann')), array[false],
    'and what was asked for her does not say her address');
select app.record_stripe_answer(r.id, '{"object": "customer", "id": "cus_ann", "deleted": true}')
from app.stripe_requests as r where r.kind = 'customer_deletion';
select row_eq(
    $$ select r.state, r.stripe_id from app.stripe_requests as r where r.kind = 'customer_deletion' $$,
    row('succeeded'::text, 'cus_ann'::text), 'what Stripe answers is on record');
select is(
    (select e.payload #> '{data,object}' from app.stripe_events as e where e.object_id = stripe_id('ch', payment('bought'))),
    jsonb_build_object(
        'object', 'charge', 'id', stripe_id('ch', payment('bought')), 'customer', 'cus_ann', 'amount', 499,
        'refunds', '[{"amount": 1}]'::jsonb),
    'of what Stripe said, ids and amounts stay');
-- What comes later is no better.
select is(tests.deliver('customer.deleted', jsonb_build_object(
    'object', 'customer', 'id', 'cus_ann', 'livemode', false, 'email', 'ann@example.com', 'name', 'Ann Example', 'metadata', '{}'::jsonb),
    id => 'evt_late'), 'ignored', 'that Stripe deleted her is no news');
select is(tests.deliver('charge.dispute.closed', tests.dispute_object(
    payment('fought'), 'two', 499, 'won', '{"evidence": {"customer_name": "Ann Example"}}'), id => 'evt_dispute'),
    'applied', 'a dispute is still applied');
select tests.from_account(
    'acct_ann', 'account.updated', '{"object": "account", "id": "acct_ann", "email": "ann@example.com", "country": "PT"}');
select is_empty(format('select places_with(%L)', what), 'still nowhere: ' || what)
from unnest(array['ann@example.com', 'Ann Example']) as what;
select is((select e.payload ->> 'id' from app.stripe_events as e where e.id = 'evt_late'), 'evt_late', 'but it came');
select is((select a.country from app.payout_accounts as a where a.user_id = user_id('ann')), null, 'and her account says nothing again');
select is_empty('select * from ledger.verify()', 'nor did that make or lose anything');

-- Once ------------------------------------------------------------------------------------------
select is(asked_to_forget('ann', true), 'PT409 already_erased: There is nothing left to forget.', 'twice is not possible');
select is(asked_to_forget('ann'), 'PT409 already_erased: There is nothing left to forget.', 'in no way');
select authenticate_as('ann');
select throws_ok('delete from app.notices', '42501', null, 'notices cannot be deleted from outside');
select sign_out();

-- By operators ------------------------------------------------------------------------------------
select tests.sign_in('service_role', jsonb_build_object(
    'sub', tests.user_id('operator'), 'role', 'service_role', 'email', 'op@example.com', 'user_metadata', '{"name": "Op"}'::jsonb));
select is(
    refusal(format('select api.erase_person(%s)', arguments)), answer, 'erase_person: ' || arguments)
from (values
    ($$ tests.user_id('ann'), 'asked by letter', true $$, 'PT409 already_erased: There is nothing left to forget.'),
    ($$ tests.user_id('nobody'), 'asked by letter' $$, 'PT404 user_not_found: There is no such person.'),
    ($$ null, 'asked by letter' $$, 'PT404 user_not_found: There is no such person.'),
    ($$ tests.user_id('cora'), ' ' $$, 'PT400 text_required: Please give the reason.'),
    ($$ tests.user_id('cora'), null $$, 'PT400 text_required: Please give the reason.'),
    (
        $$ tests.user_id('cora'), repeat('x', 501) $$,
        'PT400 text_too_long: The reason is too long. It has 501 characters; at most 500 are allowed.'
    )
) as w (arguments, answer);
select matches(
    refusal($$ select api.erase_person(tests.user_id('cora'), 'asked by letter') $$), 'PT409 not_settled: .*of earnings',
    'not without settling');
select matches(
    api.erase_person(user_id('cora'), 'asked by letter', true) ->> 'handle', '^gone_', 'an operator has somebody forgotten');
select sign_out();
select bag_eq(
    $$ select a.action, a.actor_id, a.subject, a.details - 'amount_microdollars' as details, a.claims from app.audit_log as a
       where a.actor_id = tests.user_id('operator') and a.action in ('erase_person', 'adjust_earnings') $$,
    $$ select w.action, o.id, tests.user_id('cora')::text, w.details::jsonb, jsonb_build_object('sub', o.id, 'role', 'service_role') as c
       from (select tests.user_id('operator') as id) as o
       cross join (values
           ('erase_person', '{"reason": "asked by letter"}'),
           ('adjust_earnings', '{"reason": "Given up by who was forgotten"}')) as w (action, details) $$,
    'that is on record, without anybody''s address');
select is_empty('select * from ledger.verify()', 'and again nothing was made or lost');

select * from finish();
rollback;
