-- stripe: the inbox. What Stripe tells us is kept once, takes effect once, and stops nothing.
begin;
\ir helpers.psql
select plan(122);

select count(create_person(p)) from unnest(array['reader', 'other', 'operator']) as p;

create function tests.tell(
    object jsonb, event_id text default null, endpoint text default 'platform', livemode boolean default false,
    changes jsonb default '{}')
returns text
language sql volatile
return app.handle_stripe_event(
    jsonb_build_object(
        'id', coalesce(event_id, 'evt_' || gen_random_uuid()), 'object', 'event', 'type', 'thing.happened',
        'api_version', '2026-10-28', 'created', 1790000000, 'livemode', livemode,
        'data', jsonb_build_object('object', object)) || changes,
    endpoint, false);
comment on function tests.tell(jsonb, text, text, boolean, jsonb) is
'An event of Stripe about this object comes in; we are in test mode. Returns what became of it.';

-- Objects of a type that only exists here: what comes of them is written in them.
create function app.apply_stripe_probe(object jsonb)
returns app.stripe_outcome
language plpgsql volatile
set search_path = ''
as $$
begin
    perform app.audit('probe', apply_stripe_probe.object ->> 'id');
    if apply_stripe_probe.object ? 'raise' and tests.noted('repaired') is null then
        raise exception using
            errcode = apply_stripe_probe.object ->> 'raise', message = 'The probe broke.', detail = 'On purpose.';
    elsif apply_stripe_probe.object ? 'waits_for' and tests.noted('repaired') is null then
        return ('parked', apply_stripe_probe.object ->> 'waits_for')::app.stripe_outcome;
    end if;
    return ('applied', null)::app.stripe_outcome;
end;
$$;
create function app.apply_stripe_probe_part(object jsonb)
returns app.stripe_outcome
language sql volatile
set search_path = ''
begin atomic
    select app.audit('probe part', apply_stripe_probe_part.object ->> 'id');
    select ('applied', null)::app.stripe_outcome;
end;
create function app.apply_stripe_connect_probe(object jsonb)
returns app.stripe_outcome
language sql volatile
set search_path = ''
begin atomic
    select app.audit('connect probe', apply_stripe_connect_probe.object ->> 'id');
    select ('applied', null)::app.stripe_outcome;
end;

create function tests.probe(id text, more jsonb default '{}')
returns jsonb
language sql immutable
return jsonb_build_object('id', probe.id, 'object', 'probe') || more;

create function tests.probed(id text)
returns text
language sql stable
return (select coalesce(string_agg(l.action, ', ' order by l.id), 'never') from app.audit_log as l where l.subject = probed.id);
comment on function tests.probed(text) is 'Which handlers saw the object.';

create function tests.state(event_id text)
returns text
language sql stable
return (
    select concat_ws(' ', e.state, 'after ' || e.attempts, 'for ' || e.waits_for, 'because ' || e.error)
    from app.stripe_events as e where e.id = state.event_id);

-- Kept once -----------------------------------------------------------------------------------

select is(
    tell(probe('1'), 'evt_1', changes => '{"type": "probe.sent", "request": {"id": null}}'), 'applied',
    'an event takes effect');
select results_eq(
    $$ select
        type, endpoint, account, api_version, is_live, object_id, object_type, state, waits_for, error, attempts,
        created_at, handled_at is not null
    from app.stripe_events where id = 'evt_1' $$,
    $$ values (
        'probe.sent', 'platform', null, '2026-10-28', false, '1', 'probe', 'applied', null, null, 1,
        '2026-09-21 14:13:20+00'::timestamptz, true) $$,
    'and is kept with everything about it');
select is(
    (select payload from app.stripe_events where id = 'evt_1'),
    '{"id": "evt_1", "object": "event", "type": "probe.sent", "api_version": "2026-10-28", "created": 1790000000,
      "livemode": false, "request": {"id": null}, "data": {"object": {"id": "1", "object": "probe"}}}'::jsonb,
    'as it came');
select is(tell(probe('1'), 'evt_1'), 'duplicate', 'case 1: the same event again is a duplicate');
select is(tell(probe('2'), 'evt_1'), 'duplicate', 'case 1: whatever it says now');
select is(tell(probe('2'), 'evt_1', 'connect'), 'duplicate', 'case 1: at the other endpoint too');
select is(probed('1') || ', ' || probed('2'), 'probe, never', 'case 1: it took effect once');
select is(tell(probe('1'), 'evt_2'), 'applied', 'case 1: another event about the same object');
select is(probed('1'), 'probe, probe', 'case 1: is handled by itself');
select is(tell('{"id": "card_1", "object": "issuing.card"}', 'evt_unknown'), 'ignored', 'what nobody here knows is ignored');
select is(state('evt_unknown'), 'ignored after 1', 'and kept');
select is(tell(probe('3'), repeat('e', 255)), 'applied', 'an id may have 255 characters');

-- What is no event ----------------------------------------------------------------------------

create function tests.event(changes jsonb, without text default '')
returns jsonb
language sql immutable
return ('{"id": "evt_bad", "type": "probe.sent", "created": 1790000000, "livemode": false,
          "data": {"object": {"id": "bad", "object": "probe"}}}'::jsonb || changes) - without;

select is(
    refusal(format('select app.handle_stripe_event(%L, ''platform'', false)', event)),
    'PT400 invalid_event: This is not an event of Stripe. An event has an id, a type, a time, a mode and an object.',
    format('%s is no event', what))
from (values
    ('null', null), ('a JSON null', 'null'), ('an empty object', '{}'), ('an array', '[]'), ('an array of events', '[{}]'),
    ('a text', '"evt_bad"'), ('a number', '5'), ('true', 'true'),
    ('without an id it', event('{}', 'id')), ('with an id of null it', event('{"id": null}')),
    ('with an empty id it', event('{"id": ""}')), ('with a number as its id it', event('{"id": 5}')),
    ('with an object as its id it', event('{"id": {"a": 1}}')),
    ('with an id of 256 characters it', event(jsonb_build_object('id', repeat('e', 256)))),
    ('without a type it', event('{}', 'type')), ('with a type of null it', event('{"type": null}')),
    ('with an empty type it', event('{"type": ""}')), ('with an array as its type it', event('{"type": ["probe.sent"]}')),
    ('with a type of 256 characters it', event(jsonb_build_object('type', repeat('t', 256)))),
    ('without a time it', event('{}', 'created')), ('with a time of null it', event('{"created": null}')),
    ('with a text as its time it', event('{"created": "1790000000"}')), ('with a time below zero it', event('{"created": -1}')),
    ('with a time after all times it', event('{"created": 10000000001}')), ('with a huge time it', event('{"created": 1e300}')),
    ('without a mode it', event('{}', 'livemode')), ('with a mode of null it', event('{"livemode": null}')),
    ('with a text as its mode it', event('{"livemode": "false"}')), ('with a number as its mode it', event('{"livemode": 0}')),
    ('without data it', event('{}', 'data')), ('with data of null it', event('{"data": null}')),
    ('with an array as its data it', event('{"data": [{"object": {}}]}')), ('without an object it', event('{"data": {}}')),
    ('with an object of null it', event('{"data": {"object": null}}')),
    ('with an array as its object it', event('{"data": {"object": []}}')),
    ('with a text as its object it', event('{"data": {"object": "probe"}}'))
) as bad (what, event);
select is(
    refusal(format('select app.handle_stripe_event(tests.event(''{}''), %L, false)', endpoint)),
    'PT400 invalid_event: This is not an event of Stripe. An event has an id, a type, a time, a mode and an object.',
    format('nor does it come in by the door %L', endpoint))
from (values ('Platform'), (''), (null)) as bad (endpoint);
select is(state('evt_bad') || probed('bad'), null, 'nothing of that is kept');

-- Test and live ---------------------------------------------------------------------------------

select is(
    refusal($$ select tests.tell(tests.probe('live'), 'evt_live', livemode => true) $$),
    'PT400 livemode_mismatch: This event is of another mode. livemode is f here.', 'a live event is refused in test mode');
select is(
    refusal($$ select app.handle_stripe_event(tests.event('{}'), 'platform', true) $$),
    'PT400 livemode_mismatch: This event is of another mode. livemode is t here.', 'a test event in live mode');
select is(
    refusal($$ select app.handle_stripe_event(tests.event('{}'), 'platform', null) $$),
    'PT400 livemode_mismatch: This event is of another mode. livemode is  here.', 'and any where no mode is known');
select is((select count(*) from app.stripe_events where id in ('evt_live', 'evt_bad')), 0::bigint, 'nothing of that is kept either');
select is(
    app.handle_stripe_event(event('{"id": "evt_ours", "livemode": true}'), 'platform', true), 'applied',
    'a live event is ours in live mode');
select ok((select is_live from app.stripe_events where id = 'evt_ours'), 'and is kept as one');
select is(
    tell(probe('theirs'), 'evt_theirs', 'connect', livemode => true), 'ignored',
    'the Connect endpoint gets events of both modes: the other one''s are ignored');
select is(
    app.handle_stripe_event(event('{"id": "evt_theirs_too"}'), 'connect', true), 'ignored', 'in live mode too');
select is(state('evt_theirs'), 'ignored after 0', 'and kept');
select is(app.replay_stripe_event('evt_theirs'), 'ignored', 'replayed, they still are');
select is(probed('theirs'), 'never', 'without effect');

-- Who handles what ------------------------------------------------------------------------------

select is(tell('{"id": "part", "object": "probe.part"}'), 'applied', 'a dot in a type is an underscore in the function''s name');
select is(probed('part'), 'probe part', 'and that function has it');
select is(tell(probe('connected'), endpoint => 'connect'), 'applied', 'what connected accounts tell goes to functions of its own');
select is(probed('connected'), 'connect probe', 'and to no other');
select is(
    tell(probe('account'), 'evt_account', changes => '{"account": "acct_1"}'), 'applied',
    'an event that names an account is that account''s, whatever door it came by');
select results_eq(
    $$ select endpoint, account, tests.probed('account') from app.stripe_events where id = 'evt_account' $$,
    $$ values ('connect', 'acct_1', 'connect probe') $$, 'and is kept and handled as such');
select is(
    tell(probe('their mode'), changes => '{"account": "acct_1", "livemode": true}'), 'ignored', 'in either mode');
select is(
    tell('{"id": "part of theirs", "object": "probe.part"}', endpoint => 'connect'), 'ignored', 'without one it is ignored');
select is(
    tell('{"id": "x", "object": "payment_intent", "status": "succeeded", "metadata": {}}', endpoint => 'connect'), 'ignored',
    'a connected account''s payments are not ours');
select is(
    string_agg(tell(jsonb_build_object('id', 'named', 'object', name)), ' '), btrim(repeat('ignored ', 25)),
    'no name leads anywhere else')
from (values
    ('"event"'), ('"x_event"'), ('"connect_probe"'), ('"connect.probe"'), ('"Probe"'), ('"PROBE"'), ('" probe"'), ('"probe "'),
    ('"probe\n"'), ('"probe\""'), ('"probe''"'), ('"probe;"'), ('"probe(jsonb)"'), ('"app.probe"'), ('"probe--"'), ('"prob\u0435"'),
    ('"%s"'), ('""'), ('null'), ('5'), ('["probe"]'), ('{"probe": 1}'), ('"stripe_probe"'),
    (to_jsonb(repeat('a', 41))::text), (to_jsonb(repeat('probe', 40))::text)
) as names (text) cross join lateral (values (text::jsonb)) as n (name);
select is(tell('{"id": "nameless"}'), 'ignored', 'nor does none');
select is(probed('named'), 'never', 'and nobody saw any of them');

-- What cannot be handled ------------------------------------------------------------------------

select is(tell(probe('poison', '{"raise": "22012"}'), 'evt_poison'), 'failed', 'an event that breaks is taken in all the same');
select is(state('evt_poison'), 'failed after 1 because The probe broke. On purpose.', 'kept with what went wrong');
select is(probed('poison'), 'never', 'and its effects are undone');
select is(tell(probe('next'), 'evt_next'), 'applied', 'the next one has its way');
select is(tell(probe('poison', '{"raise": "22012"}'), 'evt_poison'), 'duplicate', 'Stripe need not send it again');
select is(
    left(refusal(format('select tests.tell(tests.probe(''trouble'', ''{"raise": "%s"}''), ''evt_trouble'')', code)), 5), code,
    format('%s: when the server is in trouble, Stripe has to send it again', code))
from (values ('40001'), ('40P01'), ('53300'), ('55P03'), ('57P01'), ('58030'), ('08006')) as trouble (code);
select is(state('evt_trouble'), null, 'and nothing was kept');

-- Replayed by an operator -------------------------------------------------------------------------

select authenticate_as_service('operator');
select is(api.replay_stripe_event('evt_poison'), 'failed', 'an operator can let it try again');
select note('repaired', 'yes');
select is(api.replay_stripe_event('evt_poison'), 'applied', 'and once the reason is gone, it takes effect');
select is(
    refusal($$ select api.replay_stripe_event('evt_nobody') $$),
    'PT404 stripe_event_not_found: There is no such event in the inbox.', 'an event that never came is 404');
select is(
    refusal('select api.replay_stripe_event(null)'),
    'PT404 stripe_event_not_found: There is no such event in the inbox.', 'so is none');
select results_eq(
    $$ select l.subject, l.details ->> 'state', l.actor_id, l.actor_role
       from api.audit_log as l where l.action = 'replay_stripe_event' and l.subject = 'evt_poison' order by l.id $$,
    $$ values ('evt_poison', 'failed', tests.user_id('operator'), 'service_role'),
              ('evt_poison', 'applied', tests.user_id('operator'), 'service_role') $$,
    'K10: each replay is on record');
select sign_out();
select is(state('evt_poison'), 'applied after 3', 'the error is gone, the attempts are counted');
select note('repaired', null);

-- Parked ------------------------------------------------------------------------------------------

select is(tell(probe('early', '{"waits_for": "parent"}'), 'evt_early'), 'parked', 'an event may wait for another');
select is(state('evt_early'), 'parked after 1 for parent', 'it says for what');
select is(app.replay_stripe_event('evt_early'), 'parked', 'replayed too early it waits on');
select is(
    tell(probe('earlier', '{"waits_for": "parent"}'), 'evt_earlier', changes => '{"created": 1780000000}'), 'parked', 'so does a second');
select is(tell(probe('orphan', '{"waits_for": "nobody"}'), 'evt_orphan'), 'parked', 'and one for somebody else');
select note('repaired', 'yes');
select is(app.replay_waiting_stripe_events('parent'), 2, 'when what they wait for is there, they follow');
select is(
    (select array_agg(l.subject order by l.id desc) from (
        select l.id, l.subject from app.audit_log as l where l.action = 'probe' order by l.id desc limit 2) as l),
    array['early', 'earlier'], 'in the order in which they happened');
select is(state('evt_early') || ', ' || state('evt_orphan'), 'applied after 3, parked after 1 for nobody', 'and only they');
select is(app.replay_waiting_stripe_events('parent'), 0, 'once');

-- Payments whose news come early --------------------------------------------------------------------

select note('late', start_payment('reader')::text);
select is(tell(refund_object(payment('late'), '1', 99), 'evt_refund'), 'parked', 'a refund may come before its payment has succeeded');
select is(tell(dispute_object(payment('late'), '1', 100), 'evt_dispute'), 'parked', 'a dispute as well');
select is(app.replay_parked_stripe_events(), 0, 'while it has not, they wait');
select is(balance('reader'), 0::bigint, 'and nothing has moved');
select is(tell(payment_intent(payment('late')), 'evt_paid'), 'applied', 'the payment comes');
select is(
    array[state('evt_refund'), state('evt_dispute')], array['applied after 2', 'applied after 2'],
    'case 1: and what waited for it took effect at once');
-- 110 credits for 499 cents: with 199 cents of them 43 go.
select is(balance('reader'), 67::bigint, 'case 1: as if it had come in the right order');
select is_empty('select * from ledger.verify()', 'nothing was made or lost');

select note('unborn', app.new_id()::text);
select is(
    tell(
        format('{"id": "pi_unborn", "object": "payment_intent", "status": "processing", "metadata": {"payment_id": "%s"}}',
            noted('unborn'))::jsonb,
        'evt_unborn'),
    'parked', 'an intent that names a payment which is not there yet waits for it');
select is(app.replay_parked_stripe_events(), 0, 'as long as it takes');
insert into app.payments (
    id, user_id, package_id, package_name, method, stripe_customer_id, amount_cents, currency, credits_purchased,
    bonus_credits, is_live)
select payment('unborn'), p.user_id, p.package_id, p.package_name, p.method, p.stripe_customer_id, p.amount_cents, p.currency,
    p.credits_purchased, p.bonus_credits, p.is_live
from app.payments as p where p.id = payment('late');
select is(app.replay_parked_stripe_events(), 1, 'the worker takes it up when the payment is there');
select is((select status from app.payments where id = payment('unborn')), 'processing', 'and it takes effect');
select is(app.replay_parked_stripe_events(), 0, 'once');

-- A real object that breaks half-way: the dispute is in its table by then.
select is(
    tell(dispute_object(payment('late'), 'poison', 1, changes => '{"balance_transactions": [{"fee": "none"}]}'), 'evt_half'), 'failed',
    'a dispute that cannot be read fails');
select is_empty($$ select * from app.disputes where stripe_dispute_id = 'dp_poison' $$, 'and leaves nothing behind');

-- Replays do no harm ----------------------------------------------------------------------------------

create temp table before as
select (select count(*) from ledger.transfers) as transfers,
    (select md5(string_agg(p::text, '' order by p.id)) from app.payments as p) as payments,
    (select md5(string_agg(r::text, '' order by r.id)) from app.refunds as r) as refunds,
    (select md5(string_agg(d::text, '' order by d.id)) from app.disputes as d) as disputes,
    (select md5(string_agg(e.id || e.state, '' order by e.id)) from app.stripe_events as e) as states;
select app.replay_stripe_event(e.id)
from app.stripe_events as e cross join generate_series(1, 2)
where e.object_type in ('payment_intent', 'refund', 'dispute')
order by md5(e.id);
select results_eq(
    $$ select (select count(*) from ledger.transfers), (select md5(string_agg(p::text, '' order by p.id)) from app.payments as p),
        (select md5(string_agg(r::text, '' order by r.id)) from app.refunds as r),
        (select md5(string_agg(d::text, '' order by d.id)) from app.disputes as d),
        (select md5(string_agg(e.id || e.state, '' order by e.id)) from app.stripe_events as e) $$,
    'select * from before', 'case 1: all events again, twice, in any order, change nothing');

-- It never vanishes -------------------------------------------------------------------------------------

select is(
    refusal(statement),
    'PT403 append_only: Rows of app.stripe_events are never changed or removed. Post a new row that corrects the old one.',
    format('%s is refused', statement))
from (values ('delete from app.stripe_events'), ('truncate app.stripe_events')) as removals (statement);

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
