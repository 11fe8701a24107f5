-- payouts: the month's end, in one go or in steps: everybody is paid once or told why not (IP7, FT5, cases 5, 7 and 8).
begin;
\ir helpers.psql
\ir alone.psql
select plan(110);

select count(create_person(p)) from unnest(array['nobody', 'operator']) as p;
select note('month', (app.month_of(now()) - interval '1 month')::date::text);
create function tests.last_month()
returns date
language sql stable
return tests.noted('month')::date;

create function tests.outcomes(batch_month date default tests.last_month())
returns text[]
language sql stable security definer
return array(
    select o.line collate "default"
    from (
        select format('%s: %s %s', p.handle, o.status, o.amount_cents) as line
        from app.payouts as o
        inner join app.monthly_payout_batches as b on b.id = o.batch_id and b.month = outcomes.batch_month
        inner join app.profiles as p on p.id = o.creator_id
        union all
        select format('%s: %s %s of %s, %s', p.handle, s.reason, s.available_microdollars, s.balance_microdollars, s.minimum_cents)
        from app.payout_skips as s
        inner join app.monthly_payout_batches as b on b.id = s.batch_id and b.month = outcomes.batch_month
        inner join app.profiles as p on p.id = s.creator_id
    ) as o
    order by o.line collate "default");
comment on function tests.outcomes(date) is 'What became of everybody in a batch.';

create function tests.batch(batch_month date default tests.last_month())
returns text
language sql stable security definer
return (
    select format('%s: %s of %s, %s payouts of %s, %s skipped', b.state, b.creators_done, b.creators, b.payouts, b.total_cents, b.skipped)
    from app.monthly_payout_batches as b where b.month = batch.batch_month);

create function tests.trial(statement text, question text)
returns text
language plpgsql volatile
as $$
declare
    v_answer text;
begin
    execute trial.statement;
    execute trial.question into v_answer;
    raise sqlstate 'UNDO0';
exception
    when sqlstate 'UNDO0' then
        return v_answer;
end;
$$;
comment on function tests.trial(text, text) is 'The answer to a question after a statement, which is undone.';

create function tests.in_steps(creators integer)
returns integer
language plpgsql volatile
as $$
declare
    v_steps integer := 0;
    v_is_closed boolean := false;
begin
    while not v_is_closed loop
        v_is_closed := (app.continue_monthly_payouts(tests.last_month(), creators)).is_closed;
        v_steps := v_steps + 1;
    end loop;
    return v_steps;
end;
$$;
comment on function tests.in_steps(integer) is 'Close last month by so many creators at a time; how many steps that took.';

-- Which month --------------------------------------------------------------------------------------
select is(app.month_to_close(), null, 'FT5: where nobody has earned anything no month is due');
select is(
    refusal(format('select app.run_monthly_payouts(%L)', month)),
    'PT400 invalid_month: Please name a month by one of its days, such as 2026-10-01.', format('case 11: %L is no month', month))
from (values (null), ('infinity'), ('-infinity'), ('10000-01-01'), ('5874897-12-31')) as v (month);
select is(
    refusal(format('select app.run_monthly_payouts(%L, %L)', month, early)),
    format('PT422 month_not_over: This month is not over. It ends on %s.',
        to_char(date_trunc('month', month) + interval '1 month', 'YYYY-MM-DD 00:00 "UTC"')), what)
from (values
    (app.month_of(now()), false, 'FT5: a month that runs is not closed'),
    ((app.month_of(now()) + interval '1 month')::date, false, 'nor one to come'),
    ((app.month_of(now()) + interval '1 month')::date, true, 'not even early'),
    ('9999-12-31', true, 'however far away')
) as v (month, early, what);
select is(
    refusal(format('select app.continue_monthly_payouts(%L, 10)', month)),
    'PT422 month_too_old: This month is too long ago. A later month pays what was left of it. At most 12 months back.',
    format('nor is %s closed any more', month))
from (values ((app.month_of(now()) - interval '13 months')::date), ('0001-01-01'), ('0044-03-15 BC')) as v (month);
select is(
    tests.trial(
        format('select app.run_monthly_payouts(%L)', app.month_of(now()) - interval '12 months' + interval '27 days'),
        'select month::text from app.monthly_payout_batches'),
    (app.month_of(now()) - interval '12 months')::date::text, 'a year ago is, by any of its days');
select is_empty('select * from app.monthly_payout_batches', 'nothing of that was begun');

-- Everybody ------------------------------------------------------------------------------------------
select create_creator('exact', 123456789), create_creator('just', 10000000), create_creator('almost', 9999999), create_creator('young'),
    create_creator('mixed', 5000000), create_creator('negative'), create_creator('paused', 20000000), create_creator('reviewed', 20000000),
    create_creator('zero'), create_creator('back'), create_creator('crumbs', 20000005), create_creator('gone', 20000000),
    create_creator('stopped', 20000000), create_creator('golden', 30000000), create_creator('silver', 30000000);
select create_person('stranger'), earn('stranger', 20000000), create_person('poor'), earn('poor', 10000);
select earn('young', 50000000, now() - interval '1 hour'), earn('mixed', 50000000, now() - interval '1 hour');
select note('sold', earn('negative', 30000000)::text);
select pay_out('before', 'negative'), unearn(noted('sold')::uuid), unearn(earn('back', 20000000));
select pay_out('requested', 'crumbs');
select claim('paused'), app.pause_payouts(true), claim('stopped'), app.pause_payouts(true), sign_out();
select app.review_creator(user_id('reviewed'), 'a look'), app.review_creator(user_id('stopped'), 'a look'),
    app.review_creator(user_id('negative'), 'a look');
update app.payout_accounts set transfers_status = 'inactive' where user_id = user_id('gone');
update app.creator_tiers set minimum_payout_cents = 3001 where tier = 'gold';
update app.creator_tiers set minimum_payout_cents = 3000 where tier = 'silver';
update app.profiles set creator_tier = 'gold' where handle = 'golden';
update app.profiles set creator_tier = 'silver' where handle = 'silver';

create temp table expected (line text);
grant select on expected to public;
insert into expected values
('almost: below_minimum 9999999 of 9999999, 1000'), ('crumbs: below_minimum 5 of 5, 1000'), ('exact: pending 12345'),
('gone: not_verified 20000000 of 20000000, 1000'), ('golden: below_minimum 30000000 of 30000000, 3001'), ('just: pending 1000'),
('mixed: on_hold 5000000 of 55000000, 1000'), ('negative: negative -30000000 of -30000000, 1000'),
('paused: paused 20000000 of 20000000, 1000'),
('poor: below_minimum 10000 of 10000, 1000'), ('reviewed: under_review 20000000 of 20000000, 1000'), ('silver: pending 3000'),
('stopped: under_review 20000000 of 20000000, 1000'), ('stranger: not_verified 20000000 of 20000000, 1000'),
('young: on_hold 0 of 50000000, 1000');
select note('expected', array_agg(e.line order by e.line collate "default")::text) from expected as e;
select note('figures', 'closed: 16 of 16, 3 payouts of 16345, 12 skipped');

select is(
    tests.trial(format('select tests.in_steps(%L)', step), 'select tests.outcomes() || tests.batch()'),
    (noted('expected')::text[] || noted('figures'))::text, format('IP7: everybody is paid or told why not, %L at a time', step))
from (values (1), (2), (5), (16), (1000), (0), (-5), (null), (2147483647)) as v (step);
select is(
    tests.trial('select 1', format('select tests.in_steps(%s)', step)), steps::text, format('%s at a time are %s steps', step, steps))
from (values (1, 17), (5, 4), (16, 2), (17, 1)) as v (step, steps);

-- Killed half-way, and something happens meanwhile ------------------------------------------------------
select is(
    (select format('%s %s %s', is_closed, creators_done, creators_total) from app.continue_monthly_payouts(last_month(), 6)),
    'f 6 16', 'case 7: a batch that was killed half-way');
select is(tests.batch() like 'running: 6 of 16%', true, 'says how far it came');
select is_empty('select * from ledger.verify()', 'case 7: verify agrees');
select note('done', tests.outcomes()::text);
update app.economy set payout_day = 28;
select is(app.month_to_close(), last_month(), 'FT5: it goes on, whatever the day');
select is(app.due_payout_month(), last_month(), 'by the worker');
update app.economy set payout_day = 8;
-- Who was gone through already earns more, and somebody new comes after everybody.
select earn(p.handle, 70000000) from app.profiles as p
inner join ledger.accounts as a on a.owner_id = p.id and a.kind = 'earnings'
inner join app.monthly_payout_batches as b on a.owner_id <= b.last_creator_id
order by p.id limit 1;
insert into app.profiles (id, handle) values ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'latest');
insert into app.payout_accounts (user_id, is_live, stripe_account_id, payouts_enabled, transfers_status, read_at)
values ('ffffffff-ffff-ffff-ffff-ffffffffffff', false, 'acct_latest', true, 'active', now());
select app.adjust_earnings('ffffffff-ffff-ffff-ffff-ffffffffffff', 15000000, 'a test', null);
select results_eq(
    'select creators_done, payouts, skipped, total_cents from app.run_monthly_payouts(tests.last_month())',
    $$ values (17::bigint, 4::bigint, 12::bigint, 17845::bigint) $$, 'case 7: goes on where it was');
select is(tests.outcomes() @> noted('done')::text[], true, 'what was done stays done');
select set_eq(
    'select unnest(tests.outcomes())', 'select line from expected union all values (''latest: pending 1500'')',
    'IP7: and all have what they should, also who came meanwhile');
select is(tests.batch(), 'closed: 17 of 17, 4 payouts of 17845, 12 skipped', 'the batch is closed');
select results_eq(
    'select creators_done, payouts, skipped, total_cents from app.run_monthly_payouts(tests.last_month() + 13, true)',
    $$ values (17::bigint, 4::bigint, 12::bigint, 17845::bigint) $$, 'case 7: closed again it answers the same');
select is(
    (select format('%s %s', is_closed, creators_done) from app.continue_monthly_payouts(last_month(), 1)), 't 17', 'case 7: in steps too');
select is((select count(*) from app.payouts where batch_id is not null), 4::bigint, 'case 7: and pays nobody twice');
select is(app.month_to_close(), null, 'FT5: the month is closed');
select is_empty('select * from ledger.verify()', 'verify agrees');
select is(owed('exact'), '6789 | 123450000 | 0', 'IP7: whole cents are paid, the rest stays');
select is(owed('back'), '0 | 0 | 0', 'who has nothing left is not told so');
select is(
    (select format('%s %s %s', subject, details, actor_role) from app.audit_log where action = 'open_payout_batch'),
    format('%s {"early": false} %s', last_month(), session_user), 'it is on record who began it');
select results_eq(
    $$ select cutoff_at, currency, started_at, closed_at >= now() from app.monthly_payout_batches $$,
    $$ values (app.month_start(app.month_of(now())), 'usd', now(), true) $$, 'with its cutoff');
select is(
    (select count(*) from app.claim_stripe_requests(100, false) as r where r.kind = 'transfer'), 4::bigint,
        'FT5: Stripe is asked for each');

-- Who sees what ---------------------------------------------------------------------------------------
select authenticate_as('exact');
select results_eq(
    'select month, creator_id, amount_usd, status, earnings_count from api.individual_payouts',
    $$ values (tests.last_month(), tests.user_id('exact'), 123.45, 'processing', 0::bigint) $$, 'IP7: creators see their part of a batch');
select is_empty('select * from api.payout_skips', 'isolation: and nobody else''s');
select throws_ok('select * from api.monthly_payout_batches', '42501', null, 'isolation: nor what all were paid');
select authenticate_as('mixed');
select results_eq(
    'select month, reason, balance_microdollars, available_microdollars, minimum_cents from api.payout_skips',
    $$ values (tests.last_month(), 'on_hold', 55000000::bigint, 5000000::bigint, 1000::bigint) $$, 'FT5: who was skipped sees why');
select is_empty('select * from api.individual_payouts', 'isolation: and nobody else''s payouts');
select authenticate_as('zero');
select is_empty('select * from api.payout_skips', 'who had nothing was not skipped');
select authenticate_as_service('operator');
select results_eq(
    'select month, state, creators, payouts, skipped, total_cents, paid, failed, waiting from api.monthly_payout_batches',
    $$ values (tests.last_month(), 'closed', 17::bigint, 4::bigint, 12::bigint, 17845::bigint, 0::bigint, 0::bigint, 4::bigint) $$,
    'operators see the batch');
select is((select count(*) from api.payout_skips), 12::bigint, 'and who was skipped');
select results_eq(
    format('select creators_done, payouts, skipped, total_cents from api.run_monthly_payouts(%L)', last_month()),
    $$ values (17::bigint, 4::bigint, 12::bigint, 17845::bigint) $$, 'and may close it themselves');
select sign_out();

-- The order of the reasons -------------------------------------------------------------------------------
create function tests.reason(handle text, since timestamptz default null)
returns text
language sql stable
return (select coalesce(c.reason, 'none') from app.payout_candidates(array[tests.user_id(handle)], since) as c);
select create_person('orders'), earn('orders', 1);
select is(tests.reason('orders'), 'below_minimum', 'too little comes before not verified');
select earn('orders', 10000000, now() - interval '1 hour');
select is(tests.reason('orders'), 'on_hold', 'the hold too');
select earn('orders', 10000000);
select is(tests.reason('orders'), 'not_verified', 'then the account');
select is(tests.reason('orders', now() - interval '1 year'), 'on_hold', 'after a cutoff nothing is there yet');
select claim('orders'), app.pause_payouts(true), sign_out();
select is(tests.reason('orders'), 'paused', 'a pause comes before them');
select app.review_creator(user_id('orders'), 'a look');
select is(tests.reason('orders'), 'under_review', 'a review before that');
select app.adjust_earnings(user_id('orders'), -50000000, 'a test', null);
select is(tests.reason('orders'), 'negative', 'and a debt before all');
select app.adjust_earnings(user_id('orders'), 50000000, 'a test', null), app.end_review(user_id('orders'));
select claim('orders'), app.pause_payouts(false), sign_out(), connect('orders');
select is(tests.reason('orders'), 'none', 'without any of them they are paid');

-- Early, and the one after (case 5) -----------------------------------------------------------------------
update app.economy set payout_review_cents = 5000;
update app.payout_accounts set transfers_status = 'active' where user_id = user_id('gone');
select earn('negative', 45000000), app.end_review(user_id('negative')), earn('just', 50000000);
create function tests.this_month()
returns date
language sql stable
return app.month_of(now());
select results_eq(
    'select payouts, total_cents from app.run_monthly_payouts(tests.this_month(), true)',
    $$ values (5::bigint, 2000::bigint + 1500 + 5000 + 7000 + 1000) $$, 'the running month is closed early');
select is(
    outcomes(this_month()) @> array[
        'negative: pending 1500', 'just: held 5000', 'gone: pending 2000', 'orders: pending 1000',
            'exact: below_minimum 6789 of 6789, 1000',
        'young: on_hold 0 of 50000000, 1000'],
    true, 'case 5: a debt is netted, an account that is ready now is paid, and a large payout waits for a person');
select is((select cutoff_at from app.monthly_payout_batches where month = this_month()), now(), 'sales from now on belong to the next one');
select is(
    (select details from app.audit_log where action = 'open_payout_batch' order by id desc limit 1), '{"early": true}'::jsonb, 'on record');
select is(
    (select count(*) from app.stripe_requests as r inner join app.payouts as p on p.id = r.subject_id where p.status = 'held'), 0::bigint,
    'what is held is not asked for');
select earn('just', 20000000);
select is(
    (select payouts from app.run_monthly_payouts(this_month(), true)), 5::bigint, 'case 7: closed is closed, whoever earned since');
select is(app.month_to_close(), null, 'and when its time comes it is not closed again');
update app.economy set payout_review_cents = null;
select is_empty('select * from ledger.verify()', 'verify agrees');

-- Case 8: the month's last tenth of a second --------------------------------------------------------------
update app.monthly_payout_batches set month = (month - interval '12 months')::date;
update app.economy set earnings_hold_days = 0, business_time_zone = 'Asia/Tokyo', minimum_payout_cents = 1;
update app.profiles set creator_tier = 'bronze';
select note('month', (app.month_of(now()) - interval '1 month')::date::text);
select create_creator('eight');
select earn('eight', 10000000, month_end - interval '0.1 seconds'), earn('eight', 1000000, month_end - interval '1 microsecond'),
    earn('eight', 200000, month_end), earn('eight', 30000, month_end + interval '0.1 seconds')
from app.month_start(app.month_of(now())) as month_end;
set local time zone 'America/Los_Angeles';
select is((select payouts > 0 from app.run_monthly_payouts(last_month())), true, 'case 8: in any session''s time zone');
select is(owed('eight'), '230000 | 11000000 | 0', 'case 8: what was sold at 23:59:59.9 in Tokyo is paid, what was sold at midnight is not');
select is(
    (select cutoff_at at time zone 'Asia/Tokyo' from app.monthly_payout_batches where month = last_month()),
    date_trunc('month', now() at time zone 'Asia/Tokyo'), 'case 8: months end in the business time zone');
set local time zone 'UTC';
select earn('eight', 4000, app.month_start(app.month_of(now())) - interval '0.1 seconds');
select is((select payouts from app.run_monthly_payouts(last_month())) is not null, true,
    'case 8: a sale of that moment that committed later');
select is(owed('eight'), '234000 | 11000000 | 0', 'case 8: is not lost, but waits for the next month');
update app.monthly_payout_batches set month = (month - interval '6 months')::date where month = last_month();
select is((select payouts > 0 from app.run_monthly_payouts(this_month(), true)), true, 'case 8: which pays it');
select is(owed('eight'), '4000 | 11230000 | 0', 'case 8: in whole cents');
update app.economy set business_time_zone = 'UTC';

create function tests.wrong_months(zone text)
returns bigint
language plpgsql volatile
as $$
begin
    update app.economy set business_time_zone = zone;
    return (
        select count(*)
        from generate_series(timestamp '2010-01-01', '2030-12-01', '1 month') as m
        where app.month_of(app.month_start(m::date)) <> m::date
            or app.month_of(app.month_start(m::date) - interval '1 microsecond') <> (m - interval '1 month')::date);
end;
$$;
comment on function tests.wrong_months(text) is 'Months that do not begin with their first instant.';
-- In Havana the first midnight of November 2026 comes twice; in Cairo the one of August 2014 did not come.
select is(tests.wrong_months(zone), 0::bigint, format('case 8: every month begins once in %s', zone))
from unnest(array[
    'America/Havana', 'Africa/Cairo', 'Asia/Beirut', 'America/Sao_Paulo', 'Australia/Lord_Howe', 'Pacific/Apia', 'America/St_Johns',
    'Europe/London', 'UTC']) as zone;

-- How many sales a payout is for -----------------------------------------------------------------------------
select create_creator('counted');
create function tests.sold_lately(seconds double precision)
returns bigint
language sql volatile
return tests.tamper(format(
    'update ledger.transfers set id = overlay(id::text placing left(ledger.id_floor(%L)::text, 13) from 1 for 13)::uuid
     where transaction_id = %L and kind = ''earning''', now() - make_interval(secs => seconds),
    tests.earn('counted', 1000000, now() - make_interval(secs => seconds))));
select sold_lately(5), sold_lately(4);
select ask_payout('count1', 'counted');
select tamper($$ update app.payouts set period_end = now() - interval '3 seconds' where creator_id = tests.user_id('counted') $$);
select sold_lately(2);
select ask_payout('count2', 'counted');
select results_eq(
    $$ select earnings_count, amount_cents from app.payouts where creator_id = tests.user_id('counted') order by id $$,
    $$ values (2::bigint, 200::bigint), (1::bigint, 100::bigint) $$, 'each sale is counted in one payout');
select app.cancel_payout(noted('count2')::uuid) from claim('counted');
select sign_out();
select ask_payout('count3', 'counted');
select is((select earnings_count from app.payouts where id = noted('count3')::uuid), 1::bigint, 'what was canceled does not count');

-- The clock -----------------------------------------------------------------------------------------------------
update app.monthly_payout_batches set month = (month - interval '20 months')::date;
select note('month', (app.month_of(now()) - interval '1 month')::date::text);
create function tests.due_on(day integer)
returns date
language plpgsql volatile
as $$
begin
    update app.economy set payout_day = due_on.day;
    return app.due_payout_month();
end;
$$;
select is(due_on(1), last_month(), 'FT5: from the first on last month is due');
select is(due_on(least(extract(day from now())::integer, 28)), last_month(), 'FT5: on the day');
select is(
    due_on(least(extract(day from now())::integer + 1, 28)), case when extract(day from now()) >= 28 then last_month() end,
    'FT5: and not the day before');
update app.economy set payout_day = 28;
select is(
    tests.trial('select 1', 'select app.close_due_month()') is null, extract(day from now()) < 28, 'FT5: then nothing is closed');
update app.economy set payout_day = 1;
select matches(
    app.close_due_month(),
        format('^%s: ([0-9]+) of \1 creators, [0-9]+ payouts of \$[0-9.]+, [0-9]+ skipped$', to_char(last_month(), 'YYYY-MM')),
        'FT5: on the day it is');
select is(app.close_due_month(), null, 'FT5: once');
update app.monthly_payout_batches set month = (month - interval '3 months')::date where month = last_month();
select is(app.schedule_month_closing(), 'the worker closes the month', 'without pg_cron the worker does');
create schema cron;
create table cron.job (jobname text primary key, schedule text, command text, active boolean default true);
insert into cron.job values ('infinite pages: close the month', '* * * * *', 'select app.close_due_month()');
select is(app.due_payout_month(), last_month(), 'nor with something else of its name');

-- What cannot be undone -----------------------------------------------------------------------------------------
select is(
    refusal(statement), format(
        'PT403 append_only: Rows of app.%s are never changed or removed. Post a new row that corrects the old one.', name),
    format('%s is refused', statement))
from (values
    ('payout_skips', 'update app.payout_skips set reason = ''paused'''), ('payout_skips', 'delete from app.payout_skips'),
    ('payout_skips', 'truncate app.payout_skips'), ('monthly_payout_batches', 'delete from app.monthly_payout_batches'),
    ('monthly_payout_batches', 'truncate app.monthly_payout_batches cascade')
) as v (name, statement);
select alike(array_to_string(tests.seen_after(statement), '; '), expected, format('verify sees that %s', what))
from (values
    ('a batch says more payouts', '%payout_batch: says 5 payouts of 17845 cents and 12 skipped, its rows 4 of 17845 and 12%',
        'update app.monthly_payout_batches set payouts = 5 where total_cents = 17845'),
    ('a batch says more cents', '%payout_batch: says 4 payouts of 17846 cents%',
        'update app.monthly_payout_batches set total_cents = 17846 where total_cents = 17845'),
    ('a skip is gone', '%payout_batch: %', 'delete from app.payout_skips where creator_id = tests.user_id(''mixed'')'),
    ('a payout of a batch is on request', '%payout_batch: %',
        'update app.payouts set batch_id = null where creator_id = tests.user_id(''silver'')'),
    ('more were paid than there are', '%payout_batch: %',
        'update app.monthly_payout_batches set creators_done = 15 where total_cents = 17845'),
    ('somebody was paid and skipped', '%payout_and_skip: was paid and skipped in one batch%', $$ update app.payout_skips
        set creator_id = tests.user_id('silver') where creator_id = tests.user_id('mixed')
            and batch_id = (select batch_id from app.payouts where creator_id = tests.user_id('silver') order by id limit 1) $$)
) as v (what, expected, statement);

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
