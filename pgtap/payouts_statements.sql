-- payouts: statements. They add up to the ledger, as data, as a table and as a page, whatever a title says (IP7, FT6).
begin;
\ir helpers.psql
select plan(99);

select count(create_person(p)) from unnest(array['reader', 'payer', 'cowriter', 'stranger', 'operator']) as p;
select create_creator('maker');
select give('reader', 1000, 'purchase', paid_microdollars => 50000000);
select publish_story('maker', 12, 'Plain'), publish_story('maker', 12, '=SUM(A1:A9)'), publish_story('maker', 12, 'Shared');
select claim('maker'), app.set_story_authors(story_id('Shared'), array[user_id('maker'), user_id('cowriter')], '{6667,3333}'), sign_out();
update app.economy set minimum_payout_cents = 1;

create function tests.dated(at timestamptz)
returns bigint
language sql volatile
return tests.tamper(format('update ledger.transfers set created_at = %L where created_at = now()', at));
comment on function tests.dated(timestamptz) is 'Everything since the last call happened then.';

create function tests.months_ago(months integer)
returns date
language sql stable security definer
return (app.month_of(now()) - make_interval(months => months))::date;

create function tests.statement_of(handle text, month date)
returns app.creator_statement
language sql stable security definer
return (select row(s.*)::app.creator_statement from app.creator_statements(tests.user_id(handle), month) as s);

create function tests.sums(handle text, month date)
returns text
language sql stable
return (
    select format(
        '%s: %s + %s + %s + %s + %s = %s', to_char(s.month, 'YYYY-MM'), s.opening_microdollars, s.sales_microdollars,
        s.refunds_microdollars, s.adjustments_microdollars, s.payouts_microdollars, s.closing_microdollars)
    from tests.statement_of(handle, month) as s);

create function tests.lines(handle text, month date)
returns text[]
language sql stable
return array(
    select format('%s: %s (%s) %s', l ->> 'section', l ->> 'description', l ->> 'movements', l ->> 'microdollars')
    from jsonb_array_elements((tests.statement_of(handle, month)).lines) as l);

create function tests.page_amounts(page text)
returns numeric[]
language sql immutable
return array(
    select (case when m[1] = '-' then -1 else 1 end) * m[2]::numeric
    from regexp_matches(page, '<td>(-?)\$([0-9.]+)</td>', 'g') as m);

create function tests.faults(handle text)
returns setof text
language sql stable security definer
begin atomic
    -- Every month, and what each form of it says.
    with months as materialized (
        select s, m.month, tests.page_amounts(app.statement_html(s)) as page,
            string_to_array(btrim(app.statement_csv(s), E'\r\n'), E'\r\n') as rows
        from generate_series(timestamp '2025-11-01', now()::timestamp, '1 month') as g (month)
        cross join lateral (select g.month::date as month) as m
        cross join lateral app.creator_statements(tests.user_id(faults.handle), m.month) as s
    )
    select format('%s: the sections do not add up', m.month) from months as m
    where (m.s).closing_microdollars <> (m.s).opening_microdollars + (m.s).sales_microdollars + (m.s).refunds_microdollars
        + (m.s).adjustments_microdollars + (m.s).payouts_microdollars
    union all
    select format('%s: %s is not the sum of its lines', m.month, x.section)
    from months as m
    cross join lateral (values ('sales', (m.s).sales_microdollars), ('refunds', (m.s).refunds_microdollars),
        ('adjustments', (m.s).adjustments_microdollars), ('payouts', (m.s).payouts_microdollars)) as x (section, amount)
    where x.amount <> (
        select coalesce(sum((l ->> 'microdollars')::bigint), 0)
        from jsonb_array_elements((m.s).lines) as l where l ->> 'section' = x.section)
    union all
    select format('%s: begins with %s, the one before ended with %s', m.month, (m.s).opening_microdollars, m.before)
    from (select m.s, m.month, lag((m.s).closing_microdollars) over (order by m.month) as before from months as m) as m
    where (m.s).opening_microdollars <> coalesce(m.before, 0)
    union all
    select format('%s: ends with %s, the ledger says %s', m.month, (m.s).closing_microdollars, b.balance)
    from months as m
    cross join lateral (select ledger.balance_at(
        tests.user_id(faults.handle), 'earnings',
        app.month_start((m.month + interval '1 month')::date) - interval '1 microsecond') as balance) as b
    where (m.s).closing_microdollars <> b.balance
    union all
    select format('%s: the page says %s', m.month, m.page) from months as m
    where (select sum(p) from unnest(m.page[:cardinality(m.page) - 1]) as p) <> m.page[cardinality(m.page)]
        or m.page[1] * 1000000 <> (m.s).opening_microdollars or m.page[cardinality(m.page)] * 1000000 <> (m.s).closing_microdollars
        or cardinality(m.page) <> jsonb_array_length((m.s).lines) + 2
    union all
    select format('%s: the table does not add up', m.month) from months as m
    where cardinality(m.rows) <> jsonb_array_length((m.s).lines) + 3
        or (select sum(split_part(r, ',', 3 + p.fields)::bigint) from unnest(m.rows[2:cardinality(m.rows) - 1]) as r
            cross join lateral (select length(r) - length(replace(r, ',', '')) - 4 as fields) as p)
        <> (m.s).closing_microdollars;
end;
comment on function tests.faults(text) is 'What is wrong with any statement of a person: JSON, page or table.';

-- Nothing yet ------------------------------------------------------------------------------------------
select is(tests.sums('stranger', '2026-01-31'), '2026-01: 0 + 0 + 0 + 0 + 0 = 0', 'who earned nothing has a statement of nothing');
select is(tests.lines('stranger', '2026-01-31'), '{}', 'without lines');
select is_empty('select * from tests.faults(''stranger'')', 'which adds up');
select is_empty('select * from app.creator_statements(tests.user_id(''stranger''))', 'and no month in which something moved');

-- January: sales ------------------------------------------------------------------------------------------
select note('chapter', (buy('reader', story_id('Plain'), 'chapter', '{3}')).purchase_id::text), buy('reader', story_id('Plain'), 'bundle',
    '{4,5,6}'),
    buy('reader', story_id('=SUM(A1:A9)'), 'chapter', '{3}'), buy('reader', story_id('Shared'), 'chapter', '{3}');
select dated('2026-01-15 12:00+00');
select is(tests.sums('maker', '2026-01-01'), '2026-01: 0 + 921673 + 0 + 0 + 0 = 921673', 'IP7: a month of sales');
select is(
    tests.lines('maker', '2026-01-31'),
    '{"sales: Plain (2) 630000","sales: =SUM(A1:A9) (1) 175000","sales: Shared (1) 116673"}',
    'one line a story, whatever was sold of it, the largest first');
select is(tests.lines('cowriter', '2026-01-31'), '{"sales: Shared (1) 58327"}', 'K7: a co-author''s is the other part');

-- February: a refund and a payout ---------------------------------------------------------------------------
select claim('operator');
select sign_in('none', jsonb_build_object('sub', user_id('operator'), 'role', 'service_role'));
select app.refund_story_purchase(user_id('reader'), noted('chapter')::uuid, 'by mistake', null, null);
select sign_out();
select pay_out('paid', 'maker', 0.50);
select dated('2026-02-10 12:00+00');
select is(tests.sums('maker', '2026-02-28'), '2026-02: 921673 + 0 + -175000 + 0 + -500000 = 246673', 'IP7: a refund and a payout');
select is(
    tests.lines('maker', '2026-02-01'), '{"refunds: Plain: refunded (1) -175000","payouts: Payout (1) -500000"}',
        'with what they were for');
select is(tests.sums('maker', '2026-01-01'), '2026-01: 0 + 921673 + 0 + 0 + 0 = 921673', 'no month that is over is changed by that');

-- March: a payout comes back, a sale is disputed ---------------------------------------------------------------
select ask_payout('refused', 'maker', 0.20), begin_transfer('refused'), fail_transfer('refused', 'api_error');
select deliver('transfer.reversed', reversed('paid', '{10}'));
select buy_credits('card', 'payer'), buy('payer', story_id('=SUM(A1:A9)'), 'chapter', '{4}');
select dispute('bank', 'card', 499);
select dated('2026-03-10 12:00+00');
select is(tests.sums('maker', '2026-03-01'), '2026-03: 246673 + 175000 + -175000 + 0 + 100000 = 346673', 'case 5: frozen is taken back');
select is(
    tests.lines('maker', '2026-03-01'),
    '{"sales: =SUM(A1:A9) (1) 175000","refunds: =SUM(A1:A9): payment refunded or disputed (1) -175000",'
    '"payouts: Payout (1) -200000","payouts: Payout came back (1) 200000","payouts: Payout: taken back at Stripe (1) 100000"}',
    'case 7: what came back is named');

-- April: the dispute is won, and corrections -------------------------------------------------------------------
select dispute('bank', 'card', 499, 'won');
select app.adjust_earnings(user_id('maker'), -1500000, 'Paid by hand.', null), app.adjust_earnings(user_id('maker'), 1,
    'A rounding.', null);
select dated('2026-04-30 23:59:59.9+00');
select is(tests.sums('maker', '2026-04-01'), '2026-04: 346673 + 0 + 175000 + -1499999 + 0 = -978326', 'K6: below zero');
select alike(
    tests.lines('maker', '2026-04-01')::text,
    '%refunds: =SUM(A1:A9): dispute or refund came to nothing (1) 175000%adjustments: Correction%', 'and why');
select is(tests.sums('maker', '2026-05-01'), '2026-05: -978326 + 0 + 0 + 0 + 0 = -978326',
    'a month in which nothing happened carries it on');
select is(tests.sums('maker', '2025-12-01'), '2025-12: 0 + 0 + 0 + 0 + 0 = 0', 'one before everything is empty');
select is_empty('select * from tests.faults(''maker'')', 'IP7: all months add up, in all forms, to the ledger');
select is_empty('select * from tests.faults(''cowriter'')', 'and everybody''s');
select is(
    (statement_of('maker', months_ago(0))).closing_microdollars, balance('maker', 'earnings'), 'the last one ends with the balance');

-- Case 5: taken back after it was paid ---------------------------------------------------------------------------
select create_creator('five');
select publish_story('five', 5, 'Fifth');
select note('fifth', (buy('reader', story_id('Fifth'), 'chapter', '{3}')).purchase_id::text);
select dated('2026-01-31 23:59:59.9+00');
select pay_out('fifth_payout', 'five');
select dated('2026-02-08 00:00+00');
select sign_in('none', jsonb_build_object('sub', user_id('operator'), 'role', 'service_role'));
select app.refund_story_purchase(user_id('reader'), noted('fifth')::uuid, 'by mistake', null, null);
select sign_out();
select dated('2026-03-01 00:00+00');
select is(
    array[tests.sums('five', '2026-01-01'), tests.sums('five', '2026-02-01'), tests.sums('five', '2026-03-01')],
    array['2026-01: 0 + 175000 + 0 + 0 + 0 = 175000', '2026-02: 175000 + 0 + 0 + 0 + -170000 = 5000',
        '2026-03: 5000 + 0 + -175000 + 0 + 0 = -170000'], 'case 5: what was paid and then refunded is carried');
select is(tests.lines('five', '2026-03-01'), '{"refunds: Fifth: refunded (1) -175000"}', 'case 5: and the statement says why');
select is_empty('select * from tests.faults(''five'')', 'case 5: to the micro-dollar');

-- Case 8: whose month it is --------------------------------------------------------------------------------------
update app.economy set business_time_zone = 'Asia/Tokyo';
select is(tests.sums('maker', '2026-05-01'), '2026-05: 346673 + 0 + 175000 + -1499999 + 0 = -978326',
    'case 8: in Tokyo it was May already');
select is(tests.sums('maker', '2026-04-01'), '2026-04: 346673 + 0 + 0 + 0 + 0 = 346673', 'case 8: and nothing in April');
select is_empty('select * from tests.faults(''maker'')', 'case 8: it adds up there');
set local time zone 'America/Los_Angeles';
select is(tests.sums('maker', '2026-05-01'), '2026-05: 346673 + 0 + 175000 + -1499999 + 0 = -978326',
    'case 8: for any session''s time zone');
select is_empty('select * from tests.faults(''maker'')', 'case 8: it adds up there too');
set local time zone 'UTC';
update app.economy set business_time_zone = 'America/St_Johns';
select is_empty('select * from tests.faults(''maker'')', 'case 8: and half an hour off');
update app.economy set business_time_zone = 'UTC';

-- Asking for one -------------------------------------------------------------------------------------------------
select authenticate_as('maker');
select results_eq(
    $$ select creator_id, month, currency, opening_microdollars, closing_microdollars, jsonb_array_length(lines)
       from api.payout_statement('2026-02-14') $$,
    $$ values (tests.user_id('maker'), date '2026-02-01', 'usd', 921673::bigint, 246673::bigint, 2) $$, 'IP7: by any day of the month');
select is(
    (select s.month from api.payout_statement() as s), months_ago(1), 'without one it is last month''s');
select is((select s.month from api.payout_statement(tests.months_ago(0)) as s), months_ago(0), 'the running month may be asked for');
select results_eq(
    'select month, closing_microdollars from api.payout_statements',
    $$ values (date '2026-04-01', -978326::bigint), ('2026-03-01', 346673), ('2026-02-01', 246673), ('2026-01-01', 921673) $$,
    'IP7: all in which something moved, the newest first');
select is(
    refusal(format('select api.payout_statement(%L)', month)),
    'PT400 invalid_month: Please name a month that has begun, by one of its days, such as 2026-10-01.',
    format('case 11: %s is no month', month))
from (values ('infinity'), ('-infinity'), ('1999-12-31'), ('0044-03-15 BC'), ('9999-12-31'), ('5874897-12-31'),
    (to_char(now() + interval '1 month', 'YYYY-MM-DD'))) as v (month);
select is(
    refusal('select api.payout_statement(null, tests.user_id(''cowriter''))'),
    'PT403 operator_required: Only the operators of this platform may do this.', 'isolation: nobody asks for another''s');
select is(
    refusal('select api.payout_statement(null, tests.user_id(''nobody''))'),
    'PT403 operator_required: Only the operators of this platform may do this.', 'isolation: nor learns who there is');
select is((select creator_id from api.payout_statement(null, tests.user_id('maker'))), user_id('maker'), 'oneself one may name');
select authenticate_as('stranger');
select is_empty('select * from api.payout_statements', 'isolation: who has none sees none');
select sign_in('authenticated', '{"role": "authenticated"}');
select is(
    refusal('select api.payout_statement()'), 'PT401 login_required: Please sign in first. The call carries no token with a subject.',
    'nobody has none');
select is_empty('select * from api.payout_statements', 'and sees none');
select sign_in('service_role', '{"role": "service_role"}');
select is(
    (select closing_microdollars from api.payout_statement('2026-02-01', tests.user_id('maker'))), 246673::bigint,
        'operators see everybody''s');
select is(
    refusal('select api.payout_statement(null, tests.user_id(''nobody''))'), 'PT404 creator_not_found: There is no such creator.',
        'but not nobody''s');
select is(
    refusal('select api.payout_statement()'), 'PT401 login_required: Please sign in first. The call carries no token with a subject.',
    'and have to say whose');
select sign_out();
insert into app.operators (user_id) values (user_id('operator'));
select authenticate_as('operator');
select is(
    (select closing_microdollars from api.payout_statement('2026-02-01', tests.user_id('maker'))), 246673::bigint,
        'a person who is an operator too');
select sign_out();

-- Forms ------------------------------------------------------------------------------------------------------------
create temp table titles (title text);
insert into titles values
('<script>alert("it''s")</script> & Co'), ('+1'), ('-1'), ('@cmd'), ('"quoted", and, more'),
(E'two\nlines'), (E'a\ttab'), ('%s %1$s'), ('1, 2');
select publish_story('maker', 3, t.title) from titles as t;
select buy('reader', story_id(t.title), 'chapter', '{3}') from titles as t;
select claim('maker'), app.update_profile(null, '<b>Maker</b>', null, null), sign_out();
select is_empty('select * from tests.faults(''maker'')', 'whatever a title says, it adds up')
from dated('2026-06-15 12:00+00');
select is(
    app.csv_field(value), expected, format('attack: %s is text in any spreadsheet', to_json(value)))
from (values
    ('=SUM(A1:A9)', '"''=SUM(A1:A9)"'), ('+1', '"''+1"'), ('-1', '"''-1"'), ('@cmd', '"''@cmd"'),
    (E'\tx', E'"''\tx"'), (E'\rx', E'"''\rx"'),
    ('"quoted", and', '"""quoted"", and"'), (E'two\nlines', E'"two\nlines"'), ('plain', '"plain"'), ('', '""'), (null, '""'), ('1-1',
        '"1-1"')
) as v (value, expected);
select authenticate_as('maker');
select is(
    (select api.payout_statement_tables(s)::text from api.payout_statement('2026-02-01') as s),
    format(
        E'month,section,reference_id,description,movements,microdollars,amount,currency\r\n'
        '2026-02,opening,,"Opening balance",,921673,0.921673,usd\r\n2026-02,refunds,%s,"Plain: refunded",1,-175000,-0.175000,usd\r\n'
        '2026-02,payouts,%s,"Payout",1,-500000,-0.500000,usd\r\n2026-02,closing,,"Closing balance",,246673,0.246673,usd\r\n',
        story_id('Plain'), noted('paid')), 'IP7: a table');
select is(
    array(select m[1] from regexp_matches(api.payout_statement_tables(s)::text, '"(''?[=+@-][^"]*)"', 'g') as m order by 1),
    '{"''+1","''-1","''@cmd"}', 'attack: no title is a formula')
from api.payout_statement('2026-06-01') as s group by s;
select note('page', (select api.payout_statement_pages(s)::text from api.payout_statement('2026-06-01') as s));
select alike(noted('page'), fragment, format('the page says %s', left(fragment, 60)))
from (values
    ('<!doctype html>%'), ('%<title>Statement June 2026</title>%'), ('%<p>For &lt;b&gt;Maker&lt;/b&gt;</p>%'),
    ('%<tr class="total"><th scope="row">Opening balance</th><td>-$0.978326</td></tr>%'),
    ('%<th scope="row">Sales: &lt;script&gt;alert(&quot;it&#39;s&quot;)&lt;/script&gt; &amp; Co (1)</th><td>$0.175</td>%'),
    ('%Sales: %s %1$s (1)%')
) as v (fragment);
select unalike(noted('page'), fragment, format('attack: and never %s', fragment)) from (values ('%<script>%'), ('%<b>%')) as v (fragment);
select is(
    (select array[count(*), sum(length(m[1]))] from regexp_matches(api.payout_statement_pages(s)::text, '(<!doctype)', 'g') as m),
    array[1, 9]::bigint[], 'one page a month')
from api.payout_statement('2026-06-01') as s group by s;
select is(
    (select count(*) from regexp_matches((select api.payout_statement_pages(s)::text from api.payout_statements as s), '<!doctype',
        'g')), 5::bigint,
    'all of them one after the other');
select is(
    (select count(*) from regexp_matches((select api.payout_statement_tables(s)::text from api.payout_statements as s), 'month,section',
        'g')),
    5::bigint, 'as tables too');
select authenticate_as('cowriter');
select alike(
    (select api.payout_statement_pages(s)::text from api.payout_statement('2026-01-01') as s), '%<p>For cowriter</p>%',
        'who has no name has a handle');
select sign_out();
select earn('newcomer', 10000000, '2026-01-01') from (select app.ensure_profile(user_id('newcomer'))) as p;
select alike(
    app.statement_html(statement_of('newcomer', '2026-01-01')), format('%%<p>For account %s</p>%%', user_id('newcomer')), 'or a number');
select sign_in('service_role', '{"role": "service_role"}');
select alike(
    (select api.payout_statement_pages(s)::text from api.payout_statement('2026-01-01', tests.user_id('maker')) as s),
    '%<p>For &lt;b&gt;Maker&lt;/b&gt;</p>%', 'operators print them as well');
select sign_out();
select is(app.microdollar_text(amount, currency), expected, format('%s %s is %s', amount, currency, expected))
from (values
    (0, 'usd', '$0.00'), (10000, 'usd', '$0.01'), (-10000, 'usd', '-$0.01'), (1, 'usd', '$0.000001'), (-1, 'usd', '-$0.000001'),
    (1234567891, 'usd', '$1234.567891'), (-999999, 'usd', '-$0.999999'), (5, 'eur', '0.000005 EUR'), (-20000, 'eur', '-0.02 EUR')
) as v (amount, currency, expected);

-- Sections and words of every kind ------------------------------------------------------------------------------------
select is(
    app.statement_section(kind) || ': ' || app.statement_description(kind, reference_type, null), expected,
    format('%s of %s', kind, reference_type))
from (values
    ('earning', 'story_chapter', 'sales: A story'), ('earning', 'test', 'sales: test'), ('earning', null, 'sales: Other'),
    ('clawback', 'story_bundle', 'refunds: A story: refunded'), ('freeze', 'story_bundle',
        'refunds: A story: payment refunded or disputed'),
    ('release', 'story_bundle', 'refunds: A story: dispute or refund came to nothing'), ('payout', 'payout', 'payouts: Payout'),
    ('payout_returned', 'payout', 'payouts: Payout came back'), ('payout_reversed', 'payout_reversal',
        'payouts: Payout: taken back at Stripe'),
    ('correction', 'correction', 'adjustments: Correction'), ('something_new', 'tip', 'adjustments: tip')
) as v (kind, reference_type, expected);

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
