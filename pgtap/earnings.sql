-- earnings: what creators have, what waits, what can be paid (IP6), and the profile that shows it.
begin;
\ir helpers.psql
\ir alone.psql
select plan(64);

select count(tests.create_person(p)) from unnest(array['creator', 'cowriter', 'calendar', 'reader', 'stranger', 'operator']) as p;
select give('reader', 1000, 'purchase', paid_microdollars => 40000000);
select tests.publish_story('creator', 12, 'Story');
select tests.publish_story('calendar', 12, 'Months');

-- A sale of one chapter: 5 credits, 175000 micro-dollars. Its id is kept under the chapter's name (Story_3).
create function tests.sell(title text, chapter_number integer)
returns void
language sql volatile
as $$
    select tests.note(
        format('%s_%s', title, chapter_number),
        (tests.buy('reader', tests.story_id(title), 'chapter', array[chapter_number])).purchase_id::text);
$$;

create function tests.sold_at(title text, chapter_number integer, at timestamptz)
returns bigint
language sql volatile
as $$
    select tests.tamper(format(
        'update ledger.transfers set created_at = %L
         where transaction_id = (select p.transaction_id from app.story_purchases as p where p.id = %L)',
        at, tests.noted(format('%s_%s', title, chapter_number))));
$$;
comment on function tests.sold_at(text, integer, timestamptz) is 'Let a sale have been at that time.';

create function tests.take_back(title text, chapter_number integer, credits bigint default null)
returns void
language plpgsql volatile
as $$
begin
    perform tests.authenticate_as_service('operator');
    perform api.refund_story_purchase(
        tests.user_id('reader'), tests.noted(format('%s_%s', take_back.title, take_back.chapter_number))::uuid,
        'a mistake', take_back.credits);
    perform tests.sign_out();
end;
$$;

-- The summary of a creator, as one line.
create function tests.summary(handle text)
returns text
language plpgsql volatile
as $$
declare
    v_summary record;
begin
    perform tests.authenticate_as(summary.handle);
    select * into v_summary from api.earnings_summary();
    perform tests.sign_out();
    if v_summary.balance_microdollars <> v_summary.pending_microdollars + v_summary.available_microdollars then
        return 'the balance is not what is pending and what is available';
    end if;
    if v_summary.total_earned_microdollars
        <> v_summary.balance_microdollars + v_summary.on_the_way_microdollars + v_summary.paid_microdollars
    then
        return 'what was earned is not what is there, on its way and paid';
    end if;
    if v_summary.negative_microdollars <> least(v_summary.balance_microdollars, 0) then
        return 'the debt is not what the balance lacks';
    end if;
    return format(
        'pending %s available %s on the way %s paid %s of %s', v_summary.pending_microdollars,
        v_summary.available_microdollars, v_summary.on_the_way_microdollars, v_summary.paid_microdollars,
        v_summary.total_earned_microdollars);
end;
$$;

-- Nothing yet -----------------------------------------------------------------
select authenticate_as('stranger');
select results_eq(
    'select * from api.earnings_summary()',
    $$ values (0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 7, 'bronze', '[]'::jsonb, '[]'::jsonb) $$,
    'who sold nothing has nothing, and would wait seven days');

-- The hold --------------------------------------------------------------------
select tests.sign_out();
select tests.sell('Story', n) from generate_series(3, 5) as n;
select is(tests.summary('creator'), 'pending 525000 available 0 on the way 0 paid 0 of 525000', 'new earnings wait');
select tests.sold_at('Story', 3, now() - interval '7 days' + interval '1 microsecond');
select is(tests.summary('creator'), 'pending 525000 available 0 on the way 0 paid 0 of 525000', 'a microsecond before seven days still');
select tests.sold_at('Story', 3, now() - interval '7 days');
select is(tests.summary('creator'), 'pending 350000 available 175000 on the way 0 paid 0 of 525000', 'after seven days no more');
select tests.sold_at('Story', 3, now() - interval '400 days');
select is(tests.summary('creator'), 'pending 350000 available 175000 on the way 0 paid 0 of 525000', 'and never again');
select is(tests.summary('cowriter'), 'pending 0 available 0 on the way 0 paid 0 of 0', 'it is nobody else''s');

-- Case 9: debits count at once, against the sale that they take back ----------
select tests.take_back('Story', 4, 2);
select is(
    tests.summary('creator'), 'pending 280000 available 175000 on the way 0 paid 0 of 455000',
    'case 9: part of a recent sale: less is pending');
select tests.take_back('Story', 4);
select is(tests.summary('creator'), 'pending 175000 available 175000 on the way 0 paid 0 of 350000', 'case 9: the rest of it');
select tests.take_back('Story', 3, 2);
select is(
    tests.summary('creator'), 'pending 175000 available 105000 on the way 0 paid 0 of 280000',
    'case 9: part of an old sale: less is available, at once');

-- On the way, paid, and taken back afterwards ---------------------------------
update app.economy set minimum_payout_cents = 10;
insert into app.payout_accounts (user_id, is_live, stripe_account_id, transfers_status, payouts_enabled, read_at)
values (user_id('creator'), false, 'acct_creator', 'active', true, now());
select tests.claim('creator');
select results_eq(
    'select amount_cents, status, available_microdollars from app.request_payout(null, null)',
    $$ values (10::bigint, 'pending', 5000::bigint) $$, 'whole cents are paid out, the rest of a cent stays');
select is(
    tests.summary('creator'), 'pending 175000 available 5000 on the way 100000 paid 0 of 280000',
    'what a payout set aside is on its way, and earned as before');
select authenticate_as('creator');
select results_eq(
    'select total_accumulated_usd, balance_usd, on_the_way_usd, paid_usd from api.creator_earnings_accumulation',
    $$ values (0.280000, 0.180000, 0.100000, 0.000000) $$, 'IP1: in dollars too');
select is(
    (select pending_payout_usd from api.profiles), 0.280000, 'until it arrives it counts as not paid');
select tests.sign_out();
select app.record_stripe_answer(
    r.id,
    r.parameters || '{"object": "transfer", "id": "tr_1", "amount_reversed": 0, "reversals": {"data": []}}')
from app.stripe_requests as r
where r.kind = 'transfer';
select is(
    tests.summary('creator'), 'pending 175000 available 5000 on the way 0 paid 100000 of 280000', 'and then it is paid');
select tests.take_back('Story', 3);
select is(
    tests.summary('creator'), 'pending 175000 available -100000 on the way 0 paid 100000 of 175000',
    'case 5: taken back after it was paid, it is owed');
select is(tests.balance('creator', 'earnings'), 75000::bigint, 'case 5: against what waits');
select tests.take_back('Story', 5);
select is(tests.summary('creator'), 'pending 0 available -100000 on the way 0 paid 100000 of 0', 'case 5: and may leave a debt');
select authenticate_as('creator');
select is((select negative_microdollars from api.earnings_summary()), -100000::bigint, 'case 5: which is said');
select tests.sign_out();
select tests.sell('Story', n) from generate_series(6, 7) as n;
select tests.sold_at('Story', n, now() - interval '30 days') from generate_series(6, 7) as n;
select is(tests.summary('creator'), 'pending 0 available 250000 on the way 0 paid 100000 of 350000', 'case 5: which later sales make good');

-- How long, and for whom ------------------------------------------------------
update app.economy set earnings_hold_days = 0;
select tests.sell('Story', 8);
select is(tests.summary('creator'), 'pending 0 available 425000 on the way 0 paid 100000 of 525000', 'without a hold nothing waits');
update app.economy set earnings_hold_days = 365;
select is(
    tests.summary('creator'), 'pending 525000 available -100000 on the way 0 paid 100000 of 525000',
    'with a hold of a year everything does');
update app.economy set earnings_hold_days = 7;
select tests.sold_at('Story', 6, now() - interval '4 days'), tests.sold_at('Story', 7, now() - interval '6 days');
select is(tests.summary('creator'), 'pending 525000 available -100000 on the way 0 paid 100000 of 525000', 'bronze waits seven days');
update app.profiles set creator_tier = 'gold' where handle = 'creator';
select is(tests.summary('creator'), 'pending 350000 available 75000 on the way 0 paid 100000 of 525000', 'gold five');
update app.profiles set creator_tier = 'platinum' where handle = 'creator';
select is(tests.summary('creator'), 'pending 175000 available 250000 on the way 0 paid 100000 of 525000', 'platinum three');
select authenticate_as('creator');
select results_eq(
    'select hold_days, creator_tier from api.earnings_summary()', $$ values (3, 'platinum') $$, 'and is told so');
select results_eq(
    'select tier, rank::integer, minimum_earned_usd, hold_days from api.creator_tiers order by rank',
    $$ values ('bronze', 1, 0.000000, null), ('silver', 2, 100.000000, null), ('gold', 3, 1000.000000, 5),
              ('platinum', 4, 10000.000000, 3) $$,
    'the steps are public');

-- Tiers follow lifetime earnings ----------------------------------------------
select tests.sign_out();
select ledger.open_account(user_id('creator'), 'earnings'), ledger.open_account(user_id('calendar'), 'earnings');
select is(app.promote_creators(), 1, 'a tier that was not earned is taken away');
select is((select creator_tier from app.profiles where handle = 'creator'), 'bronze', 'back to where everybody begins');
update app.creator_tiers set minimum_earned_microdollars = 525000 where tier = 'silver';
select is(app.promote_creators(), 1, 'who has earned enough climbs');
select is((select creator_tier from app.profiles where handle = 'creator'), 'silver', 'with the very micro-dollar');
select is(app.promote_creators(), 0, 'once');
update app.creator_tiers set minimum_earned_microdollars = 525000 where tier in ('gold', 'platinum');
select is(app.promote_creators(), 1, 'several steps at a time');
select is((select creator_tier from app.profiles where handle = 'creator'), 'platinum', 'to the highest');
update app.creator_tiers set minimum_earned_microdollars = 525001 where tier = 'platinum';
select app.promote_creators();
select is((select creator_tier from app.profiles where handle = 'creator'), 'gold', 'a micro-dollar short is short');
select is((select creator_tier from app.profiles where handle = 'calendar'), 'bronze', 'who sold nothing stays');

-- By month, in the business time zone (case 8) --------------------------------
update app.economy set business_time_zone = 'Asia/Tokyo';
select tests.sell('Months', n) from generate_series(3, 6) as n;
select tests.sold_at('Months', 3, '2026-01-31 14:59:59.999999Z');
select tests.sold_at('Months', 4, '2026-01-31 15:00:00Z');
select tests.sold_at('Months', 5, '2026-02-28 14:59:59.9Z');
select tests.sold_at('Months', 6, '2025-12-31 15:00:00Z');
select authenticate_as('calendar');
select is(
    (select by_month from api.earnings_summary()),
    '[{"month": "2026-02-01", "sales": 2, "earned_microdollars": 350000},
      {"month": "2026-01-01", "sales": 2, "earned_microdollars": 350000}]'::jsonb,
    'case 8: a month begins at midnight in the business time zone');
set local time zone 'America/Los_Angeles';
select is(
    (select by_month -> 0 ->> 'earned_microdollars' from api.earnings_summary()), '350000', 'case 8: whatever the session''s is');
set local time zone 'UTC';
select tests.sign_out();
update app.economy set business_time_zone = 'UTC';
select authenticate_as('calendar');
select is(
    (select by_month from api.earnings_summary()),
    '[{"month": "2026-02-01", "sales": 1, "earned_microdollars": 175000},
      {"month": "2026-01-01", "sales": 2, "earned_microdollars": 350000},
      {"month": "2025-12-01", "sales": 1, "earned_microdollars": 175000}]'::jsonb,
    'case 8: in UTC one sale falls into the year before');
select tests.take_back('Months', 6);
select authenticate_as('calendar');
select is(
    (select by_month -> 0 from api.earnings_summary()),
    jsonb_build_object('month', date_trunc('month', now() at time zone 'UTC')::date, 'sales', 0, 'earned_microdollars', -175000),
    'a refund belongs to the month in which it was made');
select is((select by_month -> 3 ->> 'earned_microdollars' from api.earnings_summary()), '175000', 'and changes no month that is over');

-- By story --------------------------------------------------------------------
select tests.sign_out();
select tests.publish_story('creator', 4, 'Shared');
select tests.claim('creator');
select app.set_story_authors(tests.story_id('Shared'), array[user_id('creator'), user_id('cowriter')], '{6667,3333}');
select tests.sell('Shared', n) from generate_series(3, 4) as n;
select tests.take_back('Shared', 4, 1);
select authenticate_as('cowriter');
select is(
    (select by_story from api.earnings_summary()),
    jsonb_build_array(jsonb_build_object(
        'story_id', tests.story_id('Shared'), 'title', 'Shared', 'sales', 2, 'earned_microdollars', 58327 * 2 - 11665)),
    'K7: a co-author sees their part of a story, less what was taken back');
select authenticate_as('creator');
select results_eq(
    $$ select s ->> 'title', (s ->> 'sales')::integer, (s ->> 'earned_microdollars')::integer
       from api.earnings_summary() as e cross join jsonb_array_elements(e.by_story) as s $$,
    $$ values ('Story', 6, 525000), ('Shared', 2, 116673 * 2 - 23334) $$, 'the story that earned most comes first');

-- IP1: the views --------------------------------------------------------------
select tests.sign_out();
select results_eq(
    $$ select a.attname::text collate "default" from pg_attribute as a
       where a.attrelid = 'api.creator_earnings'::regclass and a.attnum between 1 and 8 order by a.attnum $$,
    array['id', 'creator_id', 'story_id', 'reader_id', 'credits_earned', 'usd_equivalent', 'transaction_id', 'created_at'],
    'IP1: creator_earnings has the columns of seed 000');
select authenticate_as('cowriter');
select results_eq(
    $$ select creator_id, story_id, reader_id, credits_earned, usd_equivalent, microdollars::bigint, credits_spent,
           creator_basis_points, split_basis_points
       from api.creator_earnings limit 1 $$,
    $$ values (
        user_id('cowriter'), tests.story_id('Shared'), user_id('reader'), 1.1666, 0.058327, 58327::bigint, 5::bigint, 7000, 3333) $$,
    'IP1: a row says which sale, how much and by which rates');
select is(
    (select c.earning_id from api.creator_clawbacks as c), (select e.id from api.creator_earnings as e order by e.id desc limit 1),
    'a clawback names the earning that it takes back');
select results_eq(
    'select * from api.creator_earnings_accumulation',
    $$ values (user_id('cowriter'), 0.104989, 0.104989, 0.104989, 0.000000, 0.000000, 0.000000) $$,
    'IP1: the accumulation is the summary in dollars');
select authenticate_as('creator');
select results_eq(
    'select total_accumulated_usd, balance_usd, pending_usd + available_usd, paid_usd from api.creator_earnings_accumulation',
    $$ values (0.735012, 0.635012, 0.635012, 0.100000) $$, 'IP1: with what was paid');

select results_eq(
    $$ select handle, credits_balance, credits_earned_total, credits_spent_total, is_creator, creator_tier,
           total_earnings_usd, pending_payout_usd
       from api.profiles $$,
    $$ values ('creator', 0::bigint, 0::bigint, 0::bigint, true, 'gold', 0.735012, 0.635012) $$,
    'a creator''s profile shows the same');
select authenticate_as('reader');
select results_eq(
    $$ select handle, credits_balance, credits_earned_total, credits_spent_total, is_creator, total_earnings_usd, pending_payout_usd
       from api.profiles $$,
    $$ values ('reader', 961::bigint, 1000::bigint, 39::bigint, false, 0.000000, 0.000000) $$,
    'a reader''s profile shows credits: bought, spent less what came back, left');
select results_eq(
    'select handle, credits_balance, is_creator, creator_tier from api.me()', $$ values ('reader', 961::bigint, false, 'bronze') $$,
    'and so does me()');
select tests.sign_out();
select tests.claim('stranger');
select results_eq(
    $$ select * from app.profile_figures(user_id('reader')) $$,
    $$ values (null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint) $$,
    'the figures of a profile are for its owner alone');
select tests.sign_out();
select set_eq(
    'select distinct user_id from app.story_purchases', array[user_id('reader')], 'one reader paid for all of this');

-- Cases 5 and 6: the payment that paid for it is called into question ----------
select create_person('payer'), create_person('frozen');
select tests.publish_story('frozen', 12, 'Frozen');
select buy_credits('paid', 'payer');
select tests.note('Frozen_' || n, (tests.buy('payer', tests.story_id('Frozen'), 'chapter', array[n])).purchase_id::text)
from generate_series(3, 4) as n;
select tests.sold_at('Frozen', 3, now() - interval '400 days');
select is(tests.summary('frozen'), 'pending 175000 available 175000 on the way 0 paid 0 of 350000', 'of two sales one still waits');
select tests.dispute('one', 'paid', 499);
select is(tests.summary('frozen'), 'pending 0 available 0 on the way 0 paid 0 of 0', 'case 5: a dispute takes both, at once');
select authenticate_as('frozen');
select results_eq(
    $$ select reason, microdollars, usd_equivalent, story_id = tests.story_id('Frozen'),
           earning_id in (select e.id from api.creator_earnings as e)
       from api.creator_clawbacks order by id $$,
    $$ values ('payment', 175000::bigint, 0.175000, true, true), ('payment', 175000::bigint, 0.175000, true, true) $$,
    'IP1: which is said of each sale, with the reason');
select results_eq(
    $$ select by_story -> 0 ->> 'sales', by_story -> 0 ->> 'earned_microdollars', by_month -> 0 ->> 'earned_microdollars'
       from api.earnings_summary() $$,
    $$ values ('2', '0', '-175000') $$, 'the story has earned nothing; what an old month earned is missing in this one');
select sign_out();
select tests.dispute('one', 'paid', 499, 'won');
select is(tests.summary('frozen'), 'pending 175000 available 175000 on the way 0 paid 0 of 350000', 'case 5: won, all is as before');
select authenticate_as('frozen');
select results_eq(
    $$ select reason, microdollars, usd_equivalent, story_id = tests.story_id('Frozen'), earning_id
       from api.creator_clawbacks order by id offset 2 $$,
    $$ values ('release', -175000::bigint, -0.175000, true, null::uuid), ('release', -175000::bigint, -0.175000, true, null::uuid) $$,
    'IP1: and the statement says so');
select is((select sum(microdollars) from api.creator_clawbacks), 0::numeric, 'IP1: it adds up to nothing');
select results_eq(
    $$ select total_accumulated_usd, balance_usd, pending_usd, available_usd from api.creator_earnings_accumulation $$,
    $$ values (0.350000, 0.350000, 0.175000, 0.175000) $$, 'in dollars too');
select sign_out();
select tests.repay('one', 'paid', 499);
select is(tests.summary('frozen'), 'pending 0 available 0 on the way 0 paid 0 of 0', 'case 6: refunded, all is gone');
select authenticate_as('frozen');
select results_eq(
    'select count(*), sum(microdollars)::bigint from api.creator_clawbacks', $$ values (6::bigint, 350000::bigint) $$,
    'IP1: which is said once: settling it is not another clawback');
select is((select by_story -> 0 ->> 'earned_microdollars' from api.earnings_summary()), '0', 'and counted once');
select sign_out();

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
