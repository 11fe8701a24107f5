-- stories: what a purchase costs, what it unlocks and what it pays its authors (IP4, IP5, K7).
begin;
\ir helpers.psql
\ir alone.psql
select plan(109);

select count(tests.create_person(p))
from unnest(array['creator', 'cowriter', 'third', 'reader', 'neighbour', 'poor', 'rich']) as p;
select give('reader', 200), give('neighbour', 200), give('poor', 3), give('rich', 100000);
select tests.publish_story('creator', 6, 'Long');
select tests.publish_story('creator', 3, 'Short');
select tests.claim('creator');
select app.save_chapter(tests.story_id('Long'), 7, 'Chapter 7', 'Not ready', null);
select app.create_story('Draft', '', 'fiction', 'en', '{}');
select app.save_chapter(tests.story_id('Draft'), 1, 'Chapter 1', 'Not ready', null);
select tests.sign_out();

-- Quotes, as one line: cost of full price for what, "owned" when there is nothing to buy.
create function tests.quote(title text, purchase_type text, chapters integer[] default null)
returns text
language sql stable
return (
    select concat_ws(' ', q.cost, 'of', q.full_price, 'for', q.chapters_to_unlock, case when q.already_owned then 'owned' end)
    from api.quote_story(tests.story_id(quote.title), quote.purchase_type, quote.chapters) as q
);

-- A purchase, as one line: how much for what, and what is left in the wallet.
create function tests.buy_line(title text, purchase_type text, chapters integer[] default null, idempotency_key text default null)
returns text
language sql volatile
return (
    select concat_ws(
        ' ', p.credits_spent, 'for', p.chapters_unlocked, 'leaves', p.balance,
        case when p.already_owned then 'owned' end, case when p.purchase_id is null then 'unpaid' end)
    from api.purchase_story(
        tests.story_id(buy_line.title), buy_line.purchase_type, buy_line.chapters,
        idempotency_key => buy_line.idempotency_key) as p
);

select authenticate_as('reader');
select is(tests.quote('Long', 'chapter', '{3}'), '5 of 5 for {3}', 'a chapter costs 5');
select is(tests.quote('Long', 'chapter', '{3,5}'), '10 of 10 for {3,5}', 'two chapters one by one cost twice that');
select is(tests.quote('Long', 'chapter', '{3,3,3}'), '5 of 5 for {3}', 'a chapter named three times costs once');
select is(tests.quote('Long', 'chapter', '[7:8]={5,3}'), '10 of 10 for {3,5}', 'however the list is written');
select is(tests.quote('Long', 'chapter', '{1}'), '0 of 0 for {} owned', 'the first two are free');
select is(tests.quote('Long', 'chapter', '{2,3}'), '5 of 5 for {3}', 'free ones are left out');
select is(tests.quote('Long', 'bundle', '{3,4}'), '9 of 10 for {3,4}', 'a bundle is 15 % off, rounded up: 8.5 is 9');
select is(tests.quote('Long', 'bundle', '{3,4,5}'), '13 of 15 for {3,4,5}', '12.75 is 13');
select is(tests.quote('Long', 'bundle'), '17 of 20 for {3,4,5,6}', 'a bundle of all is of all that is published');
select is(tests.quote('Long', 'premium_unlock'), '50 of 50 for {0}', 'a premium unlock is 50, for the whole story');
select results_eq(
    $$ select title, balance, can_afford from api.quote_story(tests.story_id('Long'), 'bundle') $$,
    $$ values ('Long', 200::bigint, true) $$, 'a quote knows the wallet');
select authenticate_as('poor');
select results_eq(
    $$ select balance, can_afford from api.quote_story(tests.story_id('Long'), 'chapter', '{3}') $$,
    $$ values (3::bigint, false) $$, 'also a thin one');
select authenticate_as_anon();
select results_eq(
    $$ select cost, balance, can_afford from api.quote_story(tests.story_id('Long'), 'chapter', '{3}') $$,
    $$ values (5::bigint, null::bigint, null::boolean) $$, 'without a token there is a price and no wallet');
select authenticate_as('creator');
select is(tests.quote('Long', 'bundle'), '0 of 0 for {} owned', 'an author is not charged for their own');
select tests.sign_out();
select results_eq(
    $$ select count(*)::integer from ledger.draws $$, array[0], 'asking for prices moved nothing');

-- What cannot be asked for: the same answer to a quote and to a purchase ------
create temp table wrong (title text, arguments text, answer text);
grant select on wrong to public;
insert into wrong values
('Long', $$ 'novel', '{3}' $$, 'PT400 unknown_purchase_type: A purchase is of a chapter, a bundle or a premium_unlock.'),
('Long', $$ null, '{3}' $$, 'PT400 unknown_purchase_type: A purchase is of a chapter, a bundle or a premium_unlock.'),
('Long', $$ '', null $$, 'PT400 unknown_purchase_type: A purchase is of a chapter, a bundle or a premium_unlock.'),
('Long', $$ 'chapter' $$, 'PT400 chapters_required: Please say which chapters. For example {"chapters": [3]}.'),
('Long', $$ 'chapter', '{}' $$, 'PT400 chapters_required: Please say which chapters. For example {"chapters": [3]}.'),
('Long', $$ 'chapter', '{0}' $$, 'PT400 invalid_chapters: Chapters are a list of at most 1000 numbers from 1.'),
('Long', $$ 'bundle', '{3,-4}' $$, 'PT400 invalid_chapters: Chapters are a list of at most 1000 numbers from 1.'),
('Long', $$ 'bundle', '{3,null}' $$, 'PT400 invalid_chapters: Chapters are a list of at most 1000 numbers from 1.'),
('Long', $$ 'bundle', array[[3, 4], [5, 6]] $$, 'PT400 invalid_chapters: Chapters are a list of at most 1000 numbers from 1.'),
(
    'Long', $$ 'bundle', array(select generate_series(1, 1001)) $$,
    'PT400 invalid_chapters: Chapters are a list of at most 1000 numbers from 1.'
),
(
    'Long', $$ 'premium_unlock', '{3}' $$,
    'PT400 invalid_chapters: A premium unlock is for the whole story: leave the chapters out.'
),
(
    'Long', $$ 'premium_unlock', '{}' $$,
    'PT400 invalid_chapters: A premium unlock is for the whole story: leave the chapters out.'
),
('Long', $$ 'chapter', '{7}' $$, 'PT404 chapter_not_found: One of these chapters is not published.'),
('Long', $$ 'bundle', '{3,4,2147483647}' $$, 'PT404 chapter_not_found: One of these chapters is not published.'),
('Draft', $$ 'chapter', '{1}' $$, 'PT404 story_not_found: There is no such story on sale.'),
('Draft', $$ 'premium_unlock' $$, 'PT404 story_not_found: There is no such story on sale.'),
('No story: null', $$ 'bundle' $$, 'PT404 story_not_found: There is no such story on sale.'),
('No story: null', $$ 'premium_unlock' $$, 'PT404 story_not_found: There is no such story on sale.'),
('No story: null', $$ 'chapter', '{3}' $$, 'PT404 story_not_found: There is no such story on sale.');
select authenticate_as('reader');
select is(
    refusal(format('select api.%s(tests.story_id(%L), %s)', f, title, arguments)), answer, format('no %s of %s:%s', f, title, arguments))
from wrong
cross join unnest(array['quote_story', 'purchase_story']) as f;
select matches(
    refusal($$ select api.purchase_story(user_id('reader'), 'bundle') $$), '^PT404 story_not_found: ', 'a person is no story');
select matches(
    refusal($$ select api.purchase_story(tests.story_id('Long'), 'bundle', '{}') $$), '^PT400 ', 'a bundle of nothing is not "owned"');
select is(
    refusal($$ select api.purchase_story(tests.story_id('Long'), 'chapter', '{3}', -1) $$),
    'PT400 invalid_max_credits: The most you will pay cannot be negative.', 'nobody pays less than nothing');
select is(
    refusal($$ select api.purchase_story(tests.story_id('Long'), 'bundle', '{2,3}') $$),
    'PT422 bundle_too_small: A bundle needs at least two chapters that you do not own yet. Buy chapter 3 by itself.',
    'one chapter is no bundle');
select sign_in('authenticated', '{"role": "authenticated"}');
select is(
    refusal($$ select api.purchase_story(tests.story_id('Long'), 'chapter', '{3}') $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'buyers have a name');

-- 402 and 409 leave no trace --------------------------------------------------
select authenticate_as('poor');
select is(
    refusal($$ select api.purchase_story(tests.story_id('Long'), 'chapter', '{3}', idempotency_key => 'poor-1') $$),
    'PT402 insufficient_credits: Not enough credits. This costs 5 credits; you have 3.', 'who has too little is told so');
select is(
    refusal($$ select api.purchase_story(tests.story_id('Long'), 'chapter', '{3}', 4) $$),
    'PT409 price_changed: This costs more than you agreed to pay. '
    'It costs 5 credits; you agreed to at most 4. Ask for a new quote.',
    'nobody pays more than agreed');
select is_empty('select * from api.story_purchases', 'nothing was bought');
select is_empty('select * from api.story_entitlements', 'nothing was unlocked');
select is((select balance from api.credit_balance()), 3::bigint, 'nothing was paid');
select tests.sign_out();
select give('poor', 2);
select authenticate_as('poor');
select is(
    (select credits_spent from api.purchase_story(tests.story_id('Long'), 'chapter', '{3}', 5, 'poor-1')), 5::bigint,
    'K4: a refused call does not use its key up, and the agreed price is enough');

-- A purchase ------------------------------------------------------------------
select authenticate_as('reader');
select is(tests.buy_line('Long', 'chapter', '{3}'), '5 for {3} leaves 195', 'a chapter is bought');
select results_eq(
    $$ select user_id, story_id, creator_id, purchase_type::text, chapters_unlocked, credits_spent::bigint, creator_earnings
       from api.story_purchases $$,
    $$ values (user_id('reader'), tests.story_id('Long'), user_id('creator'), 'chapter', '{3}'::integer[], 5::bigint, 0.175) $$,
    'and on record, with what its author earned');
select results_eq(
    $$ select story_id, chapter_number, purchase_id = (select id from api.story_purchases) from api.story_entitlements $$,
    $$ values (tests.story_id('Long'), 3, true) $$, 'and can be read');
select results_eq(
    $$ select transaction_type, amount, balance_after, reference_id, reference_type, description, metadata ->> 'kind'
       from api.credit_transactions order by id desc limit 1 $$,
    $$ values ('spend', -5::bigint, 195::bigint, tests.story_id('Long')::text, 'story_read', 'Story purchase: chapter', 'spend') $$,
    'and on the statement');
select results_eq(
    $$ select already_owned, credits_spent, purchase_id, message
       from api.purchase_story(tests.story_id('Long'), 'chapter', '{3}', 0) $$,
    $$ values (true, 0::bigint, null::uuid, 'You can read this already; nothing was charged.') $$,
    'what is owned costs nothing and says so');
select is(tests.buy_line('Long', 'chapter', '{1}'), '0 for {} leaves 195 owned unpaid', 'nor does what is free');
select is(tests.buy_line('Long', 'chapter', '{3,4}'), '5 for {4} leaves 190', 'with an owned one only the other is paid');
select is(
    refusal($$ select api.purchase_story(tests.story_id('Long'), 'bundle', '{3,5}') $$),
    'PT422 bundle_too_small: A bundle needs at least two chapters that you do not own yet. Buy chapter 5 by itself.',
    'owned ones do not fill a bundle');
select is(tests.buy_line('Long', 'bundle'), '9 for {5,6} leaves 181', 'a bundle of the rest is 15 % off the rest');
select is(tests.buy_line('Long', 'bundle'), '0 for {} leaves 181 owned unpaid', 'and then all is owned');
select is(tests.quote('Long', 'premium_unlock'), '50 of 50 for {0}', 'but what is still to come is not');
select authenticate_as('neighbour');
select is(tests.buy_line('Long', 'premium_unlock'), '50 for {0} leaves 150', 'a premium unlock');
select is(tests.buy_line('Long', 'chapter', '{3}'), '0 for {} leaves 150 owned unpaid', 'covers every chapter');
select is(tests.buy_line('Long', 'premium_unlock'), '0 for {} leaves 150 owned unpaid', 'and is bought once');
select authenticate_as('creator');
select is(tests.buy_line('Long', 'premium_unlock'), '0 for {} leaves 0 owned unpaid', 'authors do not buy their own');
select api.publish_story(tests.story_id('Long'));
select authenticate_as('neighbour');
select is(tests.buy_line('Long', 'chapter', '{7}'), '0 for {} leaves 150 owned unpaid', 'the unlock covers a later chapter');
select authenticate_as('reader');
select is(tests.buy_line('Long', 'chapter', '{7}'), '5 for {7} leaves 176', 'which everybody else pays for');

-- IP5: what it earns ----------------------------------------------------------
select authenticate_as('creator');
select results_eq(
    $$ select reader_id, story_id, reference_type, credits_spent, credit_value_microdollars, creator_basis_points,
           split_basis_points, microdollars::bigint, usd_equivalent, credits_earned
       from api.creator_earnings where reader_id = user_id('reader') order by id $$,
    $$ select user_id('reader'), tests.story_id('Long'), k, c, 50000::bigint, 7000, 10000, m, u, e
       from (values
           (1, 'story_chapter', 5::bigint, 175000::bigint, 0.175000, 3.5000),
           (2, 'story_chapter', 5::bigint, 175000::bigint, 0.175000, 3.5000),
           (3, 'story_bundle', 9::bigint, 315000::bigint, 0.315000, 6.3000),
           (4, 'story_chapter', 5::bigint, 175000::bigint, 0.175000, 3.5000)) as v (n, k, c, m, u, e)
       order by n $$,
    'IP5: 5 credits earn 175000 micro-dollars, 9 earn 315000: 70 % of $0.05 each');
select results_eq(
    $$ select microdollars::bigint from api.creator_earnings where reader_id = user_id('neighbour') $$, array[1750000::bigint],
    'IP5: a premium unlock earns 1750000');

-- K7: co-authors --------------------------------------------------------------
select api.set_story_authors(
    tests.story_id('Short'), array[user_id('creator'), user_id('cowriter'), user_id('third')], '{3333,3333,3334}');
select authenticate_as('cowriter');
select is(tests.quote('Short', 'chapter', '{3}'), '0 of 0 for {} owned', 'K7: a co-author pays nothing');
select authenticate_as('neighbour');
select is(tests.buy_line('Short', 'chapter', '{3}'), '5 for {3} leaves 145', 'K7: a sale by three authors');
select tests.sign_out();
select results_eq(
    $$ select t.credit_owner_id, t.amount::bigint, t.split_basis_points from ledger.transfers as t
       where t.reference_id = tests.story_id('Short') and t.kind = 'earning' order by t.split_basis_points, t.amount desc $$,
    $$ values
       (user_id('creator'), 58328::bigint, 3333),
       (user_id('cowriter'), 58327::bigint, 3333),
       (user_id('third'), 58345::bigint, 3334) $$,
    'K7: each gets the floor of their part, the first the odd micro-dollar: 175000 in all');
select is((select earned_microdollars from app.story_purchases where story_id = tests.story_id('Short')), 175000::bigint, 'K7: on record');

-- Rates belong to the sale ----------------------------------------------------
update app.economy set story_creator_basis_points = 5000, credit_value_microdollars = 40000;
select tests.buy('rich', tests.story_id('Long'), 'chapter', '{3}');
select results_eq(
    $$ select t.amount::bigint, t.credit_value, t.creator_basis_points from ledger.transfers as t
       where t.book_id = user_id('rich') and t.kind = 'earning' $$,
    $$ values (100000::bigint, 40000::bigint, 5000) $$, 'a change of the economy counts from the next sale on');
select is(
    (select sum(t.amount)::bigint from ledger.transfers as t where t.book_id = user_id('reader') and t.kind = 'earning'), 840000::bigint,
    'and changes nothing of an earlier one');
update app.economy set story_creator_basis_points = 7000, credit_value_microdollars = 50000, earnings_mode = 'cash_value';
select is(
    (select credits_spent from tests.buy('rich', tests.story_id('Long'), 'chapter', '{4}')), 5::bigint,
    'with cash_value a credit nobody paid for still buys');
select is(
    (select p.earned_microdollars from app.story_purchases as p where p.user_id = user_id('rich') order by p.id desc limit 1), 0::bigint,
    'and earns nothing');
update app.economy set earnings_mode = 'fixed';

-- The price is the database's -------------------------------------------------
select authenticate_as('creator');
select api.set_story_pricing(tests.story_id('Short'), 10000, 33, false, 5, 0);
select authenticate_as('rich');
select is(tests.quote('Short', 'chapter', '{1}'), '10000 of 10000 for {1}', 'without a free sample the first chapter has its price');
select is(tests.quote('Short', 'bundle'), '20100 of 30000 for {1,2,3}', 'a third off');
select is(
    refusal($$ select api.purchase_story(tests.story_id('Short'), 'chapter', '{1}', 5) $$),
    'PT409 price_changed: This costs more than you agreed to pay. '
    'It costs 10000 credits; you agreed to at most 5. Ask for a new quote.',
    'a raised price is not charged unasked');
select is(tests.buy_line('Short', 'premium_unlock'), '0 for {0} leaves 99990 unpaid', 'a gift is a gift: no payment, no purchase');
select is_empty(
    $$ select * from api.story_purchases where story_id = tests.story_id('Short') $$, 'and nothing is on record as paid');
select authenticate_as('creator');
select api.set_story_pricing(tests.story_id('Short'), 5, 100, true, 0, 50);
select authenticate_as('poor');
select is(tests.buy_line('Short', 'bundle', '{1,2}'), '0 for {1,2} leaves 0 unpaid', 'at 100 % off a bundle is free');
select authenticate_as('creator');
select api.set_story_pricing(tests.story_id('Short'), bundle_discount => 0);
select authenticate_as('poor');
select is(tests.quote('Short', 'chapter', '{1,2,3}'), '5 of 5 for {3}', 'and stays with who took it');
select is(
    refusal($$ select tests.quote('Short', 'bundle') $$),
    'PT422 bundle_too_small: A bundle needs at least two chapters that you do not own yet. Buy chapter 3 by itself.',
    'a quote refuses what a purchase would');
select authenticate_as('rich');
select is(tests.quote('Short', 'bundle'), '0 of 0 for {} owned', 'as the unlock does');

-- Credits that lapsed ---------------------------------------------------------
select tests.sign_out();
select give('poor', 50, expires_at => now() - interval '1 second'), give('poor', 7);
select authenticate_as('poor');
select is(tests.buy_line('Short', 'chapter', '{3}'), '5 for {3} leaves 2', 'what lapsed is not counted as left, swept or not');
select is((select balance from api.credit_balance()), 2::bigint, 'the wallet says the same');
select is(
    refusal($$ select api.purchase_story(tests.story_id('Long'), 'chapter', '{4}') $$),
    'PT402 insufficient_credits: Not enough credits. This costs 5 credits; you have 2.', 'and so does a refusal');

-- Off sale --------------------------------------------------------------------
select authenticate_as('creator');
select api.archive_story(tests.story_id('Long'));
select authenticate_as('rich');
select matches(
    refusal($$ select api.purchase_story(tests.story_id('Long'), 'chapter', '{5}') $$), '^PT404 story_not_found: ',
    'an archived story is not sold');
select matches(
    refusal($$ select api.purchase_story(tests.story_id('Long'), 'premium_unlock') $$), '^PT404 story_not_found: ', 'nor unlocked');
select is(tests.buy_line('Long', 'chapter', '{3}'), '0 for {} leaves 99990 owned unpaid', 'what was bought is still owned');

-- On record -------------------------------------------------------------------
select tests.sign_out();
select throws_ok(
    'delete from app.story_purchases', 'PT403', 'Rows of app.story_purchases are never changed or removed.', 'purchases only grow');
select throws_ok(
    'update app.story_purchases set credits_spent = 1', 'PT403', 'Rows of app.story_purchases are never changed or removed.',
    'and never change');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
