-- subscriptions: plans, taking one out, what it gives, and how often in a month.
begin;
\ir helpers.psql
\ir subscriptions.psql
select plan(93);

select count(create_person(p)) from unnest(array['reader', 'friend', 'saver', 'learner', 'operator']) as p;

-- What there is ----------------------------------------------------------------------------------
select authenticate_as_anon();
select results_eq(
    'select slug, family, tier, price_cents, credits_per_period from api.subscription_plans order by sort_order',
    $$ values ('free', 'pages', 'free', 0::bigint, 0::bigint), ('basic', 'pages', 'basic', 499, 100),
        ('premium', 'pages', 'premium', 1499, 300), ('liberation_free', 'liberation', 'free', 0, 0),
        ('pro', 'liberation', 'basic', 999, 0), ('enterprise', 'liberation', 'premium', 9900, 0),
        ('flow_free', 'flow', 'free', 0, 0), ('flow', 'flow', 'premium', 1000, 0) $$, 'LB1, FT1: everybody sees the plans');
select results_eq(
    $$ select features -> 'downloads' ->> 'limit', features -> 'library' -> 'limit' from api.subscription_plans where slug = 'premium' $$,
    $$ values ('5', 'null'::jsonb) $$, 'with what they give, and how often');
select is(
    (select features -> 'downloads' from api.subscription_plans where slug = 'basic'), null, 'Basic gives no downloads');
select throws_ok('select * from api.my_plan()', '42501', null, 'what somebody has is not for everybody');
select sign_out();
update app.subscription_plans set is_active = false where slug = 'pro';
select authenticate_as_anon();
select is((select count(*) from api.subscription_plans), 7::bigint, 'what is not on sale is not shown');
select sign_out();
update app.subscription_plans set is_active = true where slug = 'pro';
select throws_ok(
    $$ insert into app.subscription_plans (slug, family, tier, rank, name, price_cents) values ('gift', 'pages', 'basic', 1, 'Gift', 0) $$,
    '23514', null, 'what costs nothing is free');
select throws_ok(
    $$ insert into app.subscription_plans (slug, family, tier, rank, name, price_cents) values ('free2', 'pages', 'free', 0, 'Free', 0) $$,
    '23505', null, 'one free plan for each family');

-- Without a subscription ---------------------------------------------------------------------------
select authenticate_as('reader');
select results_eq(
    'select family, plan, tier, status, current_period_end, cancel_at_period_end from api.my_plan() order by family',
    $$ values ('flow', 'flow_free', 'free', 'active', null::timestamptz, false),
        ('liberation', 'liberation_free', 'free', 'active', null, false), ('pages', 'free', 'free', 'active', null, false) $$,
    'everybody has the free plans');
select is(array[api.has_feature('library'), api.has_feature('downloads'), api.has_feature('nonsense'), api.has_feature(null)],
    '{t,f,f,f}'::boolean[], 'and what they give');
select results_eq(
    $$ select (features -> 'support_tickets' ->> 'resets_at')::timestamptz from api.my_plan() where family = 'liberation' $$,
    $$ values (date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' + interval '1 month') $$, 'a month is the calendar''s');
select sign_in('authenticated', '{"role": "authenticated"}');
select alike(refusal('select * from api.my_plan()'), 'PT401 login_required: %', 'nobody has no plan');
select alike(refusal($$ select api.has_feature('library') $$), 'PT401 login_required: %', 'nor anything of one');
select is((select count(*) from api.subscription_usage), 0::bigint, 'nor used anything');
select authenticate_as('reader');
select throws_ok($$ select * from api.use_feature(user_id('reader'), 'library') $$, '42501', null, 'nobody counts for themselves');
select sign_out();

-- Taking one out ----------------------------------------------------------------------------------
select alike(
    refusal($$ select app.start_subscription('basic', 'cus_reader', false, 'a', 'b', null) $$), 'PT401 login_required: %',
    'nobody subscribes');
select is(
    array(select refusal(format('select start_subscription(%L, %L)', 'reader', p)) from unnest(array['gold', 'free', null]) as p),
    array[
        'PT404 plan_not_found: There is no such plan. There are: basic, premium, pro, enterprise, flow.',
        'PT422 plan_is_free: This plan is everybody''s, and costs nothing. free',
        'PT404 plan_not_found: There is no such plan. There are: basic, premium, pro, enterprise, flow.'], 'plans that cannot be had');
select is(
    refusal($$ select start_subscription('reader', 'basic', customer => 'cus_friend') $$),
    'PT409 customer_missing: Your customer at Stripe is not ready. Please try again.', 'another''s customer');
update app.subscription_plans set currency = 'eur' where slug = 'flow';
select is(
    refusal($$ select start_subscription('reader', 'flow') $$),
    'PT422 currency_not_supported: This plan cannot be paid for yet. eur', 'another currency');
update app.subscription_plans set currency = 'usd' where slug = 'flow';
select is((select count(*) from app.subscription_checkouts), 0::bigint, 'none of that began anything');
select note('first', start_subscription('reader', 'premium', 'key-1')::text);
select is(start_subscription('reader', 'premium', 'key-1')::text, noted('first'), 'K4: the same key again is the same checkout');
select is(
    refusal($$ select start_subscription('reader', 'basic', 'key-1') $$),
    'PT409 idempotency_mismatch: This idempotency key was used for another call. '
    'It first came with start_subscription. Use a new key for a new call.', 'K4: another plan is refused');
select isnt(start_subscription('reader', 'premium', 'key-2')::text, noted('first'), 'K4: another key is another one');
select is(
    (select q.parameters #- '{metadata,request_id}'
        from app.stripe_requests as q where q.subject_id = noted('first')::uuid and q.kind = 'subscription_checkout'),
    jsonb_build_object(
        'mode', 'subscription', 'customer', 'cus_reader', 'client_reference_id', noted('first'),
        'line_items', jsonb_build_array(jsonb_build_object('quantity', 1, 'price_data', jsonb_build_object(
            'currency', 'usd', 'unit_amount', 1499, 'recurring', jsonb_build_object('interval', 'month'),
            'product_data', jsonb_build_object('name', 'Premium')))),
        'subscription_data', jsonb_build_object('metadata', jsonb_build_object(
            'subscription_checkout_id', noted('first'), 'plan_id', plan_id('premium'), 'user_id', user_id('reader'))),
        'metadata', jsonb_build_object(
            'subscription_checkout_id', noted('first'), 'plan_id', plan_id('premium'), 'user_id', user_id('reader')),
        'success_url', 'https://app.example/back', 'cancel_url', 'https://app.example/stop'), 'Stripe is asked for exactly this');
update app.subscription_plans set stripe_price_id = 'price_basic', trial_days = 14 where slug = 'basic';
select note('trial', start_subscription('reader', 'basic')::text);
select results_eq(
    $$ select q.parameters #> '{line_items,0}', q.parameters #> '{subscription_data,trial_period_days}'
       from app.stripe_requests as q where q.subject_id = noted('trial')::uuid $$,
    $$ values ('{"quantity": 1, "price": "price_basic"}'::jsonb, '14'::jsonb) $$, 'by its price at Stripe, with free days');
select claim('reader');
select is(refusal('select app.portal_customer(false)'),
    'PT404 no_subscription: You have no subscription to look after. POST /subscriptions/checkout begins one.', 'nothing to look after yet');
select is_empty($$ select * from app.subscription_checkout_result('cs_nobody') $$, 'a page that nobody began');
select sign_out();

-- What the page says of it.
create function tests.page(name text)
returns text
language sql stable security definer
return (
    select format('%s %s %s %s', r.plan, r.status, r.credits, r.balance)
    from app.subscription_checkout_result(tests.stripe_id('cs_test', tests.noted(page.name)::uuid)) as r
);
select is(deliver('checkout.session.created', subscription_session(noted('first')::uuid, 'open')), 'applied', 'the page is there');
select is(page('first'), 'Premium pending 300 0', 'nobody has paid');
select is(deliver('checkout.session.completed', subscription_session(noted('first')::uuid)), 'applied', 'somebody has');
select is(page('first'), 'Premium pending 300 0', 'what they took out is not known yet');
select is(tell(subscription_object('reader', 'reader', 'premium')), 'applied', 'now it is');
select is(page('first'), 'Premium active 300 0', 'and the page says so');
select is(deliver('checkout.session.expired', subscription_session(noted('first')::uuid, 'expired')), 'applied', 'old news of it');
select is((select c.state from app.subscription_checkouts as c where c.id = noted('first')::uuid), 'complete', 'change nothing');
select is(deliver('checkout.session.expired', subscription_session(noted('trial')::uuid, 'expired')), 'applied', 'one that nobody used');
select is(page('trial'), 'Basic expired 100 0', 'is over');
select is(
    deliver('checkout.session.completed', subscription_session(noted('first')::uuid, changes => '{"id": "cs_other"}')), 'ignored',
    'another page with our mark changes nothing');
select is(
    deliver('checkout.session.completed', subscription_session(noted('first')::uuid, changes => '{"metadata": {}}')), 'ignored',
    'nor one without it');
select note('refused', start_subscription('friend', 'basic')::text);
select app.record_stripe_failure(q.id, 'resource_missing', 'No such price', true)
from app.stripe_requests as q where q.subject_id = noted('refused')::uuid;
select is((select c.state from app.subscription_checkouts as c where c.id = noted('refused')::uuid), 'failed', 'Stripe has refused one');
select claim('reader');
select is(app.portal_customer(false), 'cus_reader', 'who has a subscription can look after it');
select alike(refusal('select app.portal_customer(true)'), 'PT404 no_subscription: %', 'in its own mode');
select sign_out();
select is(
    array(select refusal(format('select start_subscription(%L, %L)', 'reader', p)) from unnest(array['basic', 'premium']) as p),
    array_fill('PT409 already_subscribed: You have a subscription already. Change it by POST /subscriptions/portal at the edge.'::text,
    '{2}'),
    'a second one of the family is refused');
select isnt(start_subscription('reader', 'flow'), null, 'of another family it is not');
select tell(subscription_object('reader', 'reader', 'premium', 'canceled'), now() + interval '1 minute');
select note('again', start_subscription('reader', 'basic')::text);
select is(
    (select q.parameters #> '{subscription_data,trial_period_days}'
        from app.stripe_requests as q where q.subject_id = noted('again')::uuid),
    null, 'free days are for who had none of the family before');
select tell(subscription_object('half', 'reader', 'basic', 'incomplete'), now() + interval '1 minute');
select isnt(start_subscription('reader', 'basic'), null, 'one that was not paid is in nobody''s way');
update app.subscription_plans set trial_days = 0 where slug = 'basic';

-- What it gives ------------------------------------------------------------------------------------
select subscribe('learner', 'learner', 'pro'), subscribe('saver', 'saver', 'premium');
select authenticate_as('saver');
select results_eq(
    $$ select plan, tier, status, price_cents, credits_per_period, current_period_end from api.my_plan() where family = 'pages' $$,
    $$ values ('premium', 'premium', 'active', 1499::bigint, 300::bigint, to_timestamp(epoch(now() + interval '20 days'))) $$,
    'the plan that is paid');
select results_eq(
    $$ select plan, name, status, is_entitled, cancel_at_period_end from api.subscriptions $$,
    $$ values ('premium', 'Premium', 'active', true, false) $$, 'and the subscription');
select is(array[api.has_feature('downloads'), api.has_feature('course_upload')], '{t,f}'::boolean[], 'gives what it promises');
select is((select subscription_tier from api.profiles), 'premium', 'and the profile says so');
select sign_out();
create function tests.use(handle text, feature text, uses text default '1')
returns text
language plpgsql volatile
as $$
declare
    v_answer text;
begin
    perform tests.sign_in('service_role', '{"role": "service_role"}');
    execute format(
        'select concat_ws('' '', u.used, coalesce(u.monthly_limit::text, ''-''), coalesce(u.remaining::text, ''-''))
            from api.use_feature(tests.user_id(%L), %L, %s) as u', handle, feature, uses) into v_answer;
    perform tests.sign_out();
    return v_answer;
end;
$$;
comment on function tests.use(text, text, text) is 'Used so often, of how many, and how many are left.';
create function tests.used(handle text, feature text)
returns bigint
language sql stable security definer
return coalesce((
    select sum(u.used) from app.feature_usage as u where u.user_id = tests.user_id(handle) and u.feature = used.feature), 0)::bigint;
select is(use('saver', 'downloads'), '1 5 4', 'a use is counted');
select is(use('saver', 'downloads', '3'), '4 5 1', 'several are');
select is(
    refusal($$ select use('saver', 'downloads', '2') $$),
    format('PT429 limit_reached: You have used this as often as your plan allows this month. 5 a month; it starts again at %s.',
        to_char((now() + interval '20 days') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), 'all of them or none');
select sign_out();
select is(used('saver', 'downloads'), 4::bigint, 'none');
select is(use('saver', 'downloads'), '5 5 0', 'the last one');
select alike(refusal($$ select use('saver', 'downloads') $$), 'PT429 limit_reached: %', 'and no more');
select sign_out();
select is(use('saver', 'library', '1000000'), '1000000 - -', 'without a limit as often as they like');
select authenticate_as('saver');
select results_eq(
    $$ select (features -> 'downloads') - 'resets_at'::text, (features -> 'library') - 'resets_at'::text
        from api.my_plan() where family = 'pages' $$,
    $$ values ('{"limit": 5, "used": 5, "remaining": 0}'::jsonb, '{"limit": null, "used": 1000000, "remaining": null}'::jsonb) $$,
    'what is left is in their plan');
select is(api.has_feature('downloads'), true, 'used up is not taken away');
select sign_out();
select is(
    array(select refusal(format('select use(%L, %L, %L)', 'saver', 'downloads', n)) from unnest(array['0', '-1', '1000001', 'null']) as n),
    array[
        'PT400 invalid_uses: Uses are a whole number from 1 to 1,000,000. 0',
    'PT400 invalid_uses: Uses are a whole number from 1 to 1,000,000. -1',
        'PT400 invalid_uses: Uses are a whole number from 1 to 1,000,000. 1000001',
        'PT400 invalid_uses: Uses are a whole number from 1 to 1,000,000.'], 'how often is a number');
select sign_out();
select is(
    refusal($$ select use('reader', 'downloads') $$),
    'PT403 plan_required: Your plan does not include this. Plans with downloads: Premium.',
    'what a plan does not give is refused, with what does');
select sign_out();
select is(
    refusal($$ select use('reader', 'magic') $$),
    'PT403 plan_required: Your plan does not include this. Plans with magic: none on sale.', 'also what no plan gives');
select sign_out();
select is(
    refusal('select * from app.use_feature_for(null, ''downloads'', 1)'), 'PT400 user_required: Please say who uses it.',
    'nobody uses nothing');
select is(
    refusal('select * from app.use_feature_for(ledger.platform_id(), ''downloads'', 1)'), 'PT400 user_required: Please say who uses it.',
    'nor does the platform');
select is(use('newcomer', 'support_tickets'), '1 1 0', 'somebody who was never here has the free plan');
select is(use('learner', 'course_upload', '10'), '10 10 0', 'another family is counted for itself');
select app.give_back_feature(user_id('saver'), 'downloads', 2, now());
select is(used('saver', 'downloads'), 3::bigint, 'what came to nothing is given back');
select app.give_back_feature(user_id('saver'), 'downloads', 9, now());
select is(used('saver', 'downloads'), 0::bigint, 'not more than was used');
select use('saver', 'downloads', '2');
select app.give_back_feature(user_id('saver'), 'downloads', 1, now() - interval '11 days');
select is(used('saver', 'downloads'), 2::bigint, 'nor of another month');
insert into app.feature_usage (user_id, feature, period_start, period_end, used)
values (user_id('saver'), 'downloads', now() - interval '12 days', now() + interval '5 days', 4);
select app.give_back_feature(user_id('saver'), 'downloads', 1, now());
select results_eq(
    $$ select used from app.feature_usage where user_id = user_id('saver') and feature = 'downloads' order by period_start $$,
    $$ values (4::bigint), (1) $$, 'and once, where a period began within a month');
delete from app.feature_usage where user_id = user_id('saver') and used = 4;

-- The next period, and other plans.
select tell(subscription_object('saver', 'saver', 'premium', starts => now() - interval '1 hour', ends => now() + interval '30 days'),
    now() + interval '1 minute');
select is(use('saver', 'downloads'), '1 5 4', 'a new period begins to count again');
insert into app.subscription_plans (slug, family, tier, rank, name, price_cents) values ('bundle', 'everything', 'premium', 1,
    'Bundle', 3000);
insert into app.plan_features (plan_id, feature, monthly_limit) values (plan_id('bundle'), 'downloads', 8);
select subscribe('bundle', 'saver', 'bundle', now() - interval '5 days');
select is(use('saver', 'downloads', '8'), '8 8 0', 'of two plans the more generous one counts');
update app.plan_features set monthly_limit = null where plan_id = plan_id('premium') and feature = 'downloads';
select is(use('saver', 'downloads', '9'), '10 - -', 'none is more than any number');
update app.plan_features set monthly_limit = 0 where feature = 'downloads';
select alike(refusal($$ select use('saver', 'downloads') $$), 'PT429 limit_reached: % 0 a month; %', 'never is less than once');
select sign_out();
select set_eq(
    $$ select s, app.is_entitled(s) from unnest(array['trialing', 'active', 'past_due', 'unpaid', 'paused', 'canceled', 'incomplete',
    'incomplete_expired']) as s $$,
    $$ values ('trialing', true), ('active', true), ('past_due', true), ('unpaid', false), ('paused', false), ('canceled', false),
        ('incomplete', false), ('incomplete_expired', false) $$, 'a subscription gives while it is paid, or soon will be');

-- Months -------------------------------------------------------------------------------------------
create function tests.month(starts text, ends text, at text)
returns text
language sql stable
return (
    select to_char(m.starts_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' to ' || to_char(m.ends_at at time zone 'UTC',
    'YYYY-MM-DD HH24:MI')
    from app.month_around(
        (starts || ' 12:00Z')::timestamptz, (ends || ' 12:00Z')::timestamptz, (at || 'Z')::timestamptz) as m
);
comment on function tests.month(text, text, text) is 'The month of a period, all days at noon UTC.';
create temp view wrong_months as
select d.at, month(d.starts, d.ends, d.at), d.expected
from (values
    -- Paid by the month: the period is the month, however long it is.
    ('2026-01-31', '2026-02-28', '2026-01-31 12:00', '2026-01-31 12:00 to 2026-02-28 12:00'),
    ('2026-01-31', '2026-02-28', '2026-02-28 11:59', '2026-01-31 12:00 to 2026-02-28 12:00'),
    ('2026-02-28', '2026-03-31', '2026-03-28 11:59', '2026-02-28 12:00 to 2026-03-31 12:00'),
    ('2026-02-28', '2026-03-31', '2026-03-30 23:00', '2026-02-28 12:00 to 2026-03-31 12:00'),
    -- Free days, and periods of a week.
    ('2026-01-01', '2026-01-08', '2026-01-05 00:00', '2026-01-01 12:00 to 2026-01-08 12:00'),
    -- Paid by the year: from the day on which it began, or the last of a month that is too short.
    ('2026-01-31', '2027-01-31', '2026-02-28 11:59', '2026-01-31 12:00 to 2026-02-28 12:00'),
    ('2026-01-31', '2027-01-31', '2026-02-28 12:00', '2026-02-28 12:00 to 2026-03-31 12:00'),
    ('2026-01-31', '2027-01-31', '2026-03-31 11:59', '2026-02-28 12:00 to 2026-03-31 12:00'),
    ('2026-01-31', '2027-01-31', '2026-12-31 12:00', '2026-12-31 12:00 to 2027-01-31 12:00'),
    ('2026-01-31', '2027-01-31', '2027-01-31 11:59', '2026-12-31 12:00 to 2027-01-31 12:00'),
    ('2028-02-29', '2029-02-28', '2028-03-29 11:59', '2028-02-29 12:00 to 2028-03-29 12:00'),
    ('2028-02-29', '2029-02-28', '2029-02-10 00:00', '2029-01-29 12:00 to 2029-02-28 12:00'),
    -- By a machine whose clock is a little behind Stripe's.
    ('2026-01-31', '2027-01-31', '2026-01-31 11:59', '2026-01-31 12:00 to 2026-02-28 12:00')
) as d (starts, ends, at, expected)
where month(d.starts, d.ends, d.at) is distinct from d.expected;
select is_empty('select * from wrong_months', 'every time lies in one month of its period');
set local timezone = 'Pacific/Kiritimati';
select is_empty('select * from wrong_months', 'case 8: in any time zone');
set local timezone = 'America/St_Johns';
select is_empty('select * from wrong_months', 'case 8: in another, too');
set local timezone = 'UTC';
create function tests.tiled(starts timestamptz, ends timestamptz)
returns bigint
language sql stable
return (
    select count(distinct m.starts_at)
    from generate_series(starts, ends - interval '1 hour', interval '41 hours') as t
    cross join lateral app.month_around(starts, ends, t) as m
    where m.starts_at <= t and t < m.ends_at
    having count(*) = (select count(*) from generate_series(starts, ends - interval '1 hour', interval '41 hours'))
);
create temp view days as
select d from generate_series('2027-07-01'::timestamptz, '2028-06-30', '1 day') as d where extract(day from d) in (1, 29, 30, 31);
select is(
    (select array_agg(distinct tiled(d, d + interval '1 year')) from days), '{12}'::bigint[],
    'a year has twelve months, whenever it begins');
select is(
    (select array_agg(distinct tiled(d, d + interval '1 month')) from days), '{1}'::bigint[], 'and a month is one');
-- A limit cannot be passed by saying that one lives elsewhere.
select subscribe('yearly', 'friend', 'premium', now() - interval '40 days', now() + interval '325 days');
update app.plan_features set monthly_limit = 2 where feature = 'downloads';
select is(use('friend', 'downloads', '2'), '2 2 0', 'a month of a year');
create function tests.elsewhere(zone text)
returns text
language plpgsql volatile
as $$
begin
    perform set_config('timezone', zone, true);
    return tests.refusal($r$ select tests.use('friend', 'downloads') $r$);
end;
$$;
select is(
    (select count(*) from unnest(array['UTC', 'Pacific/Kiritimati', 'Pacific/Pago_Pago',
    'Europe/Berlin']) as z where elsewhere(z) like 'PT429 limit_reached: %'),
    4::bigint, 'case 8: is the same month everywhere');
select sign_out();
set local timezone = 'UTC';

-- subscription_usage, with seed 000's columns --------------------------------------------------------
select columns_are(
    'api', 'subscription_usage', array[
        'id', 'user_id', 'subscription_tier', 'credits_used_this_month', 'stories_read_this_month', 'downloads_this_month',
        'period_start', 'period_end', 'created_at', 'updated_at'], 'seed 000');
select create_person('author');
select publish_story('author', 4);
select give('friend', 100);
select buy('friend', story_id(), 'chapter', '{3}'), note('returned', (buy('friend', story_id(), 'chapter', '{4}')).purchase_id::text);
select claim('friend');
select app.save_progress(story_id(), 3, 50, 60, false);
select authenticate_as('friend');
select results_eq(
    'select user_id, subscription_tier, credits_used_this_month, stories_read_this_month, downloads_this_month from api.subscription_usage',
    $$ values (user_id('friend'), 'premium', 10::bigint, 1::bigint, 2::bigint) $$, 'one row for a newcomer: what they used this month');
select is((select id from api.subscription_usage), (select id from api.subscription_usage), 'the same month has the same id');
select sign_out();
select claim('operator');
select app.refund_story_purchase(user_id('friend'), noted('returned')::uuid, 'a test', null, null);
select sign_out();
update app.profiles set created_at = now() - interval '100 days' where id = user_id('friend');
select authenticate_as('friend');
select is(
    (select credits_used_this_month from api.subscription_usage order by period_start desc limit 1), 5::bigint, 'less what came back');
select is((select count(*) from api.subscription_usage), 4::bigint, 'and the months since they came');
select is_empty(
    $$ select * from (select period_end, lead(period_start) over (order by period_start) as next from api.subscription_usage) as m
       where next <> period_end $$, 'one after the other');
select is((select sum(downloads_this_month) from api.subscription_usage), 2::numeric, 'each use is in one of them');
select throws_ok('update api.subscription_usage set downloads_this_month = 0', '42501', null, 'nobody changes what they used');
select sign_out();
update app.profiles set created_at = now() - interval '3 years' where id = user_id('friend');
select authenticate_as('friend');
select is((select count(*) from api.subscription_usage), 12::bigint, 'at most twelve');
select authenticate_as('author');
select is((select count(*) from api.subscription_usage), 1::bigint, 'others see their own');
select is((select count(*) from api.subscriptions), 0::bigint, 'and no subscription of anybody else');
select sign_out();
select is_empty('select * from ledger.verify()', 'nothing was made or lost');

select * from finish();
rollback;
