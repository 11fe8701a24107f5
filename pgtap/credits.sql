-- credits: packages, balance, statement, and what operators give (IP2, K4).
begin;
\ir helpers.psql
\ir alone.psql
select plan(85);

select create_person('reader'), create_person('stranger'), create_person('creator');

-- Packages ------------------------------------------------------------------------------------

select columns_are(
    'api', 'credit_packages',
    array[
        'id', 'name', 'description', 'credits_amount', 'price_usd', 'bonus_credits', 'stripe_price_id', 'is_active',
        'sort_order', 'created_at', 'updated_at', 'price_cents', 'currency'],
    'IP1: packages have the columns of seed 000, and the price in cents');
select authenticate_as_anon();
select results_eq(
    'select name, credits_amount, price_usd, bonus_credits, stripe_price_id from api.credit_packages order by sort_order',
    $$ values
        ('Starter Pack', 100::bigint, 4.99, 10::bigint, 'price_starter'),
        ('Reader Pack', 250, 9.99, 50, 'price_reader'),
        ('Enthusiast Pack', 600, 19.99, 150, 'price_enthusiast'),
        ('Creator Pack', 1500, 39.99, 500, 'price_creator') $$,
    'IP2: everybody sees the four starter packages');
select throws_ok(
    'update api.credit_packages set price_cents = 1', '42501', 'permission denied for view credit_packages',
    'nobody changes a price from outside');
reset role;
update app.credit_packages set is_active = false where name = 'Reader Pack';
select authenticate_as_anon();
select is((select count(*) from api.credit_packages), 3::bigint, 'IP2: what is off sale is not shown');
select authenticate_as('reader');
select is((select count(*) from api.credit_packages), 3::bigint, 'IP2: to readers neither');
select authenticate_as_service('admin');
select is((select count(*) from api.credit_packages), 4::bigint, 'IP2: but to operators');
reset role;
select throws_ok(format('update app.credit_packages set %s', change), '23514', null, format('a package with %s is refused', change))
from (values
    ('credits_amount = 0'), ('credits_amount = -5'), ('price_cents = 0'), ('price_cents = -1'),
    ('bonus_credits = -1'), ('currency = ''USD''')
) as bad (change);
update app.credit_packages set is_active = true;

select authenticate_as_service('admin');
select results_eq(
    'select * from api.package_margins()',
    $$ values
        ('Starter Pack', 110::bigint, 4990000::bigint, 3850000::bigint, 1140000::bigint),
        ('Reader Pack', 300, 9990000, 10500000, -510000),
        ('Enthusiast Pack', 750, 19990000, 26250000, -6260000),
        ('Creator Pack', 2000, 39990000, 70000000, -30010000) $$,
    'K8: the larger packages cost more than they bring');
reset role;
update app.economy set earnings_mode = 'cash_value';
select authenticate_as_service('admin');
select results_eq(
    'select owed_microdollars, margin_microdollars from api.package_margins()',
    $$ values
        (3493000::bigint, 1497000::bigint), (6993000, 2997000), (13993000, 5997000), (27993000, 11997000) $$,
    'K8: unless a credit earns at most what was paid for it');
select authenticate_as('reader');
select throws_ok(
    'select * from api.package_margins()', '42501', 'permission denied for function package_margins',
    'K8: which is for operators to know');
reset role;
update app.economy set earnings_mode = 'fixed';

-- The balance ---------------------------------------------------------------------------------

select authenticate_as_anon();
select throws_ok(
    'select * from api.credit_balance()', '42501', 'permission denied for function credit_balance', 'anon has no balance');
select sign_in('authenticated', '{}');
select is(
    refusal('select * from api.credit_balance()'),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nobody has none either');
select authenticate_as('never here');
select results_eq(
    'select * from api.credit_balance()',
    $$ values (0::bigint, '{}'::jsonb, 0::bigint, null::timestamptz, 0::bigint, 0::bigint, 0::bigint, 0::bigint) $$,
    'DG1: who was never here has a balance of zeros');

reset role;
select give('reader', 100, 'purchase', paid_microdollars => 4990000);
select give('reader', 10, 'bonus');
select give('reader', 30, 'allowance', now() + interval '14 days');
select give('reader', 40, 'allowance', now() + interval '15 days');
select give('reader', 7, 'grant', now() - interval '1 day');
select authenticate_as('reader');
select results_eq(
    'select * from api.credit_balance()',
    $$ values (
        180::bigint, '{"purchase": 100, "bonus": 10, "allowance": 70}'::jsonb, 30::bigint, now() + interval '14 days',
        100::bigint, 87::bigint, 0::bigint, 0::bigint) $$,
    'IP2: balance, by source, what lapses soon, bought and received; lapsed credits are left out');
reset role;
select note('sale', (spend('reader', 75, '{creator}')).transaction_id::text);
select authenticate_as('reader');
select results_eq(
    'select * from api.credit_balance()',
    $$ values (
        105::bigint, '{"purchase": 95, "bonus": 10}'::jsonb, 0::bigint, null::timestamptz,
        100::bigint, 87::bigint, 75::bigint, 0::bigint) $$,
    'IP2: then spent');
reset role;
select ledger.reverse(user_id('reader'), noted('sale')::uuid, 5);
select ledger.expire_lots();
select authenticate_as('reader');
select results_eq(
    'select balance, by_source, lifetime_bought, lifetime_received, lifetime_spent from api.credit_balance()',
    $$ values (110::bigint, '{"purchase": 95, "bonus": 10, "refund": 5}'::jsonb, 100::bigint, 87::bigint, 70::bigint) $$,
    'IP2: what came back was not spent, and what lapsed neither');
reset role;
select spend('reader', 110);
select authenticate_as('reader');
select results_eq(
    'select balance, by_source, lifetime_spent from api.credit_balance()',
    $$ values (0::bigint, '{}'::jsonb, 180::bigint) $$, 'IP2: spending a refund counts');
select authenticate_as('creator');
select results_eq(
    'select balance, lifetime_earned_microdollars from api.credit_balance()', $$ values (0::bigint, 2450000::bigint) $$,
    'IP2: a creator''s earnings are shown beside');
select is(
    by_get('select balance from api.credit_balance()'), '[{"balance": 0}]', 'a balance can be asked for by GET');

-- The statement -------------------------------------------------------------------------------

reset role;
select is(
    (select string_agg(a.attname collate "default", ' ' order by a.attnum)
        from pg_catalog.pg_attribute as a where a.attrelid = 'api.credit_transactions'::regclass and a.attnum > 0),
    'id user_id transaction_type amount balance_after description reference_id reference_type metadata created_at',
    'IP1: transactions have the columns of seed 000, in its order');
select publish_story('creator', 4);
select give('reader', 100, 'allowance');
select buy('reader', story_id(), 'chapter', '{3}');
select authenticate_as('reader');
select results_eq(
    $$ select transaction_type, amount, balance_after, description, metadata ->> 'kind'
    from api.credit_transactions order by id $$,
    $$ values
        ('purchase', 100::bigint, 100::bigint, 'Credits bought', 'purchase'),
        ('bonus', 10, 110, 'Bonus credits', 'bonus'),
        ('bonus', 30, 140, 'Monthly credits', 'allowance'),
        ('bonus', 40, 180, 'Monthly credits', 'allowance'),
        ('bonus', 7, 187, 'Credits received', 'grant'),
        ('spend', -7, 180, 'Credits expired', 'expiry'),
        ('spend', -75, 105, 'Purchase', 'spend'),
        ('refund', 5, 110, 'Credits returned', 'refund'),
        ('spend', -110, 0, 'Purchase', 'spend'),
        ('bonus', 100, 100, 'Monthly credits', 'allowance'),
        ('spend', -5, 95, 'Story purchase: chapter', 'spend') $$,
    'IP2: the statement, line by line, with the balance after each');
select results_eq(
    $$ select t.reference_type, t.reference_id from api.credit_transactions as t order by t.id desc limit 1 $$,
    format($$ values ('story_read', %L) $$, story_id()), 'IP2: a story purchase names its story');
select is_empty(
    $$ select id from api.credit_transactions where user_id <> tests.user_id('reader') or created_at is distinct from now() $$,
    'IP2: all of it is the reader''s own');
select authenticate_as('stranger');
select is_empty('select * from api.credit_transactions', 'IP2: a stranger sees none of it');
select authenticate_as('creator');
select is_empty('select * from api.credit_transactions', 'IP2: nor does the creator');
select authenticate_as_service('admin');
select is_empty('select * from api.credit_transactions', 'IP2: an operator sees their own, and all in api.transfers');
select sign_in('authenticated', '{}');
select is_empty('select * from api.credit_transactions', 'IP2: nobody sees nothing');
select authenticate_as_anon();
select throws_ok(
    'select * from api.credit_transactions', '42501', 'permission denied for view credit_transactions', 'IP2: anon may not ask');

-- What operators give -------------------------------------------------------------------------

select authenticate_as('stranger');
select throws_ok(
    $$ select api.grant_credits(tests.user_id('stranger'), 1000, 'please') $$,
    '42501', 'permission denied for function grant_credits', 'nobody gives to themselves');
select authenticate_as_service('admin');
set local time zone 'UTC';
select is(
    refusal(format('select api.grant_credits(%L, %s, %L, %L)', user_id(handle), credits, reason, expires_at)),
    refused, format('a grant %s is refused', what))
from (values
    ('of nothing', 'stranger', '0', 'thanks', null,
        'PT400 invalid_credits: Credits are a whole number from 1 to 1,000,000. You asked for 0.'),
    ('of less', 'stranger', '-1', 'thanks', null,
        'PT400 invalid_credits: Credits are a whole number from 1 to 1,000,000. You asked for -1.'),
    ('of null', 'stranger', 'null', 'thanks', null,
        'PT400 invalid_credits: Credits are a whole number from 1 to 1,000,000. You asked for nothing.'),
    ('of too much', 'stranger', '1000001', 'thanks', null,
        'PT400 invalid_credits: Credits are a whole number from 1 to 1,000,000. You asked for 1000001.'),
    ('of the largest number', 'stranger', '9223372036854775807', 'thanks', null,
        'PT400 invalid_credits: Credits are a whole number from 1 to 1,000,000. You asked for 9223372036854775807.'),
    ('of NaN', 'stranger', '''NaN''', 'thanks', null, '22P02 : invalid input syntax for type bigint: "NaN"'),
    ('of one and a half', 'stranger', '''1.5''', 'thanks', null, '22P02 : invalid input syntax for type bigint: "1.5"'),
    ('without a reason', 'stranger', '5', null, null, 'PT400 text_required: Please give the reason.'),
    ('with a blank reason', 'stranger', '5', E' \n ', null, 'PT400 text_required: Please give the reason.'),
    ('with a long reason', 'stranger', '5', repeat('x', 501), null,
        'PT400 text_too_long: The reason is too long. It has 501 characters; at most 500 are allowed.'),
    ('to nobody', null, '5', 'thanks', null, 'PT400 user_required: Please say who gets the credits.'),
    ('that lapsed', 'stranger', '5', 'thanks', '2020-01-01 00:00+00',
        'PT400 invalid_expiry: The expiry must be a time in the future. 2020-01-01 00:00:00+00'),
    ('that never lapses, in so many words', 'stranger', '5', 'thanks', 'infinity',
        'PT400 invalid_expiry: The expiry must be a time in the future. infinity')
) as bad (what, handle, credits, reason, expires_at, refused);
select is(
    refusal($$ select api.grant_credits('00000000-0000-0000-0000-000000000000', 5, 'thanks') $$),
    'PT400 user_required: Please say who gets the credits.', 'the platform is given nothing');

select results_eq(
    $$ select balance_after from api.grant_credits(tests.user_id('stranger'), 50, ' Thanks ', '2100-01-01 00:00+00') $$,
    array[50::bigint], 'an operator gives');
select results_eq(
    $$ select a.action, a.subject, a.details ->> 'credits', a.details ->> 'reason', a.actor_id, a.actor_role
    from api.audit_log as a where a.action = 'grant_credits' $$,
    format(
        $$ values ('grant_credits', %L, '50', 'Thanks', %L::uuid, 'service_role') $$, user_id('stranger'), user_id('admin')),
    'K10: which is on record');
select results_eq(
    $$ select t.transaction_id from api.transfers as t where t.book_id = tests.user_id('stranger') $$,
    $$ select (a.details ->> 'transaction_id')::uuid from api.audit_log as a where a.action = 'grant_credits' $$, 'K10: with the movement');
select results_eq(
    $$ select balance_after from api.grant_credits(tests.user_id('new here'), 5, 'Welcome') $$,
    array[5::bigint], 'a wallet is made for who has none');

-- Idempotency (K4) ----------------------------------------------------------------------------

reset role;
create function tests.thank(
    handle text default 'stranger', credits bigint default 10, reason text default 'Sorry',
    expires_at timestamptz default '2100-01-01 00:00+00', key text default 'key')
returns text
language sql volatile
as $$
    select format('%s after transaction %s', g.balance_after, g.transaction_id)
    from api.grant_credits(tests.user_id(handle), credits, reason, expires_at, key) as g;
$$;

select authenticate_as_service('admin');
select note('first', thank());
select alike(noted('first'), '60 after transaction %', 'K4: a call with a key is done');
select is(thank(), noted('first'), 'K4: a retry gets the first answer');
select is(thank(reason => ' Sorry '), noted('first'), 'K4: also with other blanks around the reason');
set local time zone 'Asia/Tokyo';
select is(refusal('select tests.thank()'), 'allowed', 'K4: also in another time zone');
set local time zone 'UTC';
select authenticate_as_service('another operator');
select is(thank(), noted('first'), 'K4: also from another operator');
select is(
    refusal(format('select tests.thank(%s)', arguments)),
    'PT409 idempotency_mismatch: This idempotency key was used for another call.'
    ' It first came with grant_credits. Use a new key for a new call.',
    format('K4: other %s under the same key are 409', what))
from (values
    ('credits', 'credits => 11'), ('reasons', $$ reason => 'Thanks' $$),
    ('expiries', $$ expires_at => '2100-01-02 00:00+00' $$), ('ends', 'expires_at => null')
) as other (what, arguments);
select isnt(thank('reader'), noted('first'), 'K4: a key belongs to one person''s book');
select isnt(thank(key => 'Key'), noted('first'), 'K4: and to one call; capitals count');
select is(
    refusal($$ select tests.thank(key => '') $$),
    'PT400 invalid_idempotency_key: An idempotency key has 1 to 200 characters. This one has 0.', 'K4: an empty key is refused');
select is(
    refusal($$ select tests.thank(key => repeat('k', 201)) $$),
    'PT400 invalid_idempotency_key: An idempotency key has 1 to 200 characters. This one has 201.', 'K4: a long one too');
select alike(thank(key => repeat('k', 200)), '80 after%', 'K4: 200 characters are allowed');

select set_config('request.headers', '{"idempotency-key": "key", "accept": "*/*"}', true);
select is(thank(key => null), noted('first'), 'K4: the header Idempotency-Key counts as the key');
select alike(thank(key => 'other'), '90 after%', 'K4: the argument goes before it');
select set_config('request.headers', '{"accept": "*/*"}', true);
select alike(thank(key => null), '100 after%', 'K4: without a key each call is a new one');
select alike(thank(key => null), '110 after%', 'K4: each');
select set_config('request.headers', '', true);
select alike(thank(key => null), '120 after%', 'K4: without headers, too');
select is(
    (select count(*) from api.audit_log as a where a.subject = tests.user_id('stranger')::text), 8::bigint,
    'K4: retries are not on record as new grants');

select is(
    refusal($$ select tests.thank(key => 'refused', credits => 0) $$),
    'PT400 invalid_credits: Credits are a whole number from 1 to 1,000,000. You asked for 0.',
    'K4: what was refused is not remembered');
select alike(thank(key => 'refused'), '130 after%', 'K4: and can be put right under the same key');

reset role;
select is(
    refusal($$ select tests.buy('stranger', tests.story_id(), 'chapter', '{3}', 'key') $$),
    'allowed', 'K4: a person''s keys and the operators'' are two sets');
select note('bought', (buy('stranger', story_id(), 'chapter', '{3}', 'buy'))::text);
select is(
    (buy('stranger', story_id(), 'chapter', '{3}', 'buy'))::text, noted('bought'),
    'K4: a purchase answers a retry like the first time');
select is(balance('stranger'), 125::bigint, 'K4: and was paid once');
reset role;
select is(
    (select count(*) from ledger.requests as r where r.book_id = user_id('stranger')), 2::bigint,
    'K4: nobody can take an operator''s key before them');

-- Credits whose payment is called into question -------------------------------------------------

reset role;
select create_person('payer');
create function tests.statement(since integer)
returns setof text
language sql stable
begin atomic
    select format(
        '%s %s leaves %s: %s (%s, %s)', t.transaction_type, t.amount, t.balance_after, t.description, t.reference_type,
        t.metadata ->> 'kind')
    from api.credit_transactions as t order by t.id offset since;
end;
select buy_credits('paid', 'payer');
select authenticate_as('payer');
select results_eq(
    'select * from tests.statement(0)',
    array[
        'purchase 100 leaves 100: Credits bought (purchase, purchase)', 'bonus 10 leaves 110: Bonus credits (purchase, bonus)'],
    'IP2: what a payment brings is two lines');
reset role;
select dispute('one', 'paid', 499);
select authenticate_as('payer');
select results_eq(
    'select * from tests.statement(2)', array['refund -110 leaves 0: Credits taken back: dispute (dispute, freeze)'],
    'IP2: a dispute takes them off the statement');
select results_eq(
    'select balance, by_source, lifetime_bought, lifetime_received, lifetime_spent from api.credit_balance()',
    $$ values (0::bigint, '{}'::jsonb, 100::bigint, 10::bigint, 0::bigint) $$, 'IP2: nothing was spent by that');
reset role;
select dispute('one', 'paid', 499, 'won');
select authenticate_as('payer');
select results_eq(
    'select * from tests.statement(3)', array['refund 110 leaves 110: Credits given back: dispute (dispute, release)'],
    'IP2: won, they are back');
select results_eq(
    'select balance, lifetime_bought, lifetime_received, lifetime_spent from api.credit_balance()',
    $$ values (110::bigint, 100::bigint, 10::bigint, 0::bigint) $$, 'IP2: and all figures are as before');
reset role;
select repay('one', 'paid', 100);
select authenticate_as('payer');
select results_eq(
    'select * from tests.statement(4)', array['refund -22 leaves 88: Credits taken back: refund (refund, freeze)'],
    'IP2: a refund is one line, paid or not');
reset role;

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
