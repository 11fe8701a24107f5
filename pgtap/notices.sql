-- notices: what people are told, in which words, once; where it goes, and how a mail is tried.
begin;
\ir helpers.psql
select plan(124);

select count(create_person(p)) from unnest(array['reader', 'other', 'quiet', 'operator']) as p;

create function tests.come_with(handle text, claims jsonb default '{}')
returns text
language plpgsql volatile
as $$
begin
    perform tests.claim(come_with.handle);
    perform set_config(
        'request.jwt.claims', (current_setting('request.jwt.claims')::jsonb || come_with.claims)::text, true);
    perform app.remember_notice_address();
    return (select s.email from app.notice_settings as s where s.user_id = tests.user_id(come_with.handle));
end;
$$;
comment on function tests.come_with(text, jsonb) is 'Somebody calls with these claims; returns the address that is known then.';

create function tests.told(handle text, key text)
returns text
language sql stable
return (
    select concat_ws(' | ', n.kind, n.subject, n.body, case when n.needs_action then 'act' end, n.email_state)
    from app.notices as n where n.dedupe_key = told.key and n.user_id = tests.user_id(told.handle)
);
comment on function tests.told(text, text) is 'A notice in one line.';

create function tests.mail(key text)
returns text
language sql stable
return (
    select concat_ws(
        ' ', n.email_state, 'after ' || n.attempts, case when n.emailed_at is not null then 'out' end, 'because ' || n.email_error)
    from app.notices as n where n.dedupe_key = mail.key
);
comment on function tests.mail(text) is 'How the mail of a notice stands, in one line.';

create function tests.due(key text, seconds integer default 0)
returns void
language sql volatile
as $$
    update app.notices as n set next_attempt_at = now() + make_interval(secs => seconds) where n.dedupe_key = key;
$$;

-- Filling in ------------------------------------------------------------------
select is(app.fill_in('You get {amount}.', '{"amount": "$5.00"}'), 'You get $5.00.', 'a placeholder is filled');
select is(app.fill_in('{a}{b} and {a}', '{"a": "x", "b": "y"}'), 'xy and x', 'side by side, and twice');
select is(app.fill_in('Hello {nobody}!', '{"a": "x"}'), 'Hello !', 'an unknown one stays empty');
select is(app.fill_in('{a}', '{"a": null}'), '', 'null is nothing');
select is(app.fill_in('{a} {b}', '{"a": "{b}", "b": "secret"}'), '{b} secret', 'what was put in is not filled again');
select is(app.fill_in('{a}{a}', '{"a": "{a"}'), '{a{a', 'nor put together from two pieces');
select is(app.fill_in('100 % \1 \& {a}', '{"a": "\\1 \\& %s"}'), '100 % \1 \& \1 \& %s', 'there are no other signs with a meaning');
select is(app.fill_in('{A} {} {a b} {1{a}', '{"a": "x"}'), '{A} {} {a b} {1x', 'only {name} is one');
select is(app.fill_in(E'line one\n\n{a}\n', '{"a": 7}'), E'line one\n\n7\n', 'lines and numbers');
select is(app.fill_in('{a}', '{"a": {"b": [1]}}'), '{"b": [1]}', 'anything else as its JSON');
select is(app.fill_in('', '{}'), '', 'an empty text');
select is(app.fill_in('no placeholder', '{}'), 'no placeholder', 'and one without any');
select is(
    length(app.fill_in(repeat('{a}', 1500), jsonb_build_object('a', repeat('{a}', 100)))), 450000, 'long ones come to an end');

-- Every template reads well ----------------------------------------------------
select set_eq(
    'select t.kind from app.notice_templates as t',
    array[
        'payout_sent', 'payout_failed', 'payout_canceled', 'payout_held', 'payout_reversed', 'payout_action_needed', 'payout_bank_refused',
        'refund_on_its_way', 'refund_paid', 'refund_failed', 'dispute_opened', 'dispute_won', 'dispute_lost',
        'cover_ready', 'cover_failed', 'download_ready', 'download_failed',
        'subscription_started', 'subscription_ended', 'subscription_payment_failed'],
    'there are words for all that is told');
select set_eq(
    'select t.kind from app.notice_templates as t where t.needs_action',
    array[
        'payout_failed', 'payout_action_needed', 'payout_bank_refused', 'dispute_opened', 'subscription_payment_failed'],
    'and some ask for something');
select set_eq(
    'select t.kind from app.notice_templates as t where not t.is_mailed',
    array['refund_on_its_way', 'cover_ready', 'download_ready', 'subscription_started'],
    'what is followed by another within the hour, or was waited for, is not mailed');

-- Addresses ---------------------------------------------------------------------
select is(come_with('reader', '{"email": "reader@example.com"}'), 'reader@example.com', 'the address of the token is kept');
select is(come_with('reader'), 'reader@example.com', 'a token without one changes nothing');
select is(come_with('reader', '{"email": "new@example.com"}'), 'new@example.com', 'a new one takes its place');
select is(
    come_with('reader', '{"email": "bad@example.com", "email_verified": false}'), 'new@example.com', 'not one that is not verified');
select is(come_with('reader', '{"email": "seen@example.com", "email_verified": true}'), 'seen@example.com', 'but one that is');
select is(come_with('other', jsonb_build_object('email', e)), null, format('no address: %s', to_json(e)))
from (values
    ('nobody'), ('@example.com'), ('a@'), ('a@b@c'), ('a b@example.com'), (E'a@example.com\r\nBcc: b@example.com'),
    ('a@example.com,b@example.com'), ('<a@example.com>'), ('"a b"@example.com'), (E'a\u0001@example.com'), (''),
    ('=?utf-8?q?a=0D=0ABcc=3Ab?=@example.com'), ('jörg@example.com'),
    (repeat('a', 250) || '@b.co')) as w (e);
select is(come_with('other', '{"email": {"a@b": 1}}'), null, 'nor what is no text');
select is(come_with('other', '{"email": null}'), null, 'nor null');
select lives_ok($$ select set_config('request.jwt.claims', '', true), app.remember_notice_address() $$, 'nobody has none');
select is(
    (select count(*)::integer from app.notice_settings), 1, 'of all these one was kept');
-- Somebody whom nobody knew yet.
select is(come_with('stranger', '{"email": "stranger@example.com"}'), 'stranger@example.com', 'a newcomer has a profile then');
select claim('reader');
select lives_ok(
    $$ select set_config('request.jwt.claims', (current_setting('request.jwt.claims')::jsonb || '{"email": "me@example.com"}')::text, true),
       app.me() $$, 'whoever asks who they are');
select is(
    (select s.email from app.notice_settings as s where s.user_id = user_id('reader')), 'me@example.com', 'leaves their address');
select set_eq(
    $$ select r ->> 'id' from jsonb_array_elements(tests.by_get('select (app.me()).id')) as r $$,
    $$ select user_id('reader')::text $$, 'a read-only call still gets its answer');

-- Telling -------------------------------------------------------------------------
select sign_out();
insert into app.notice_templates (kind, subject, body, needs_action) values ('greeting', 'Hello {name}', E'  You have {amount}.\n', true);
select isnt(
    app.notify(user_id('reader'), 'greeting', 'g1', '{"name": "Ann", "amount": "$5.00"}'), null, 'a notice has an id');
select is(told('reader', 'g1'), 'greeting | Hello Ann | You have $5.00. | act | pending', 'it says what the template says');
select is(app.notify(user_id('reader'), 'greeting', 'g1', '{"name": "Bob"}'), null, 'nobody is told the same twice');
select is(app.notify(user_id('other'), 'greeting', 'g1', '{"name": "Bob"}'), null, 'nor is anybody else');
select is(told('reader', 'g1'), 'greeting | Hello Ann | You have $5.00. | act | pending', 'what was told stays');
update app.notice_templates set body = 'Changed' where kind = 'greeting';
select is(told('reader', 'g1'), 'greeting | Hello Ann | You have $5.00. | act | pending', 'also when the words change');
select isnt(app.notify(user_id('reader'), 'greeting', 'g2'), null, 'data may be missing');
select is(told('reader', 'g2'), 'greeting | Hello | Changed | act | pending', 'then the new words, with nothing in them');

select isnt(app.notify(user_id('reader'), 'never_heard_of', 'u1', '{}'), null, 'a kind without words does not stop the money');
select is(
    told('reader', 'u1'),
    'never_heard_of | News about your account: never heard of | Something about your account has changed. '
    'Please sign in to see what it is. | pending',
    'it is told in general words');
select isnt(app.notify(user_id('reader'), null, null, null), null, 'nor do nulls');
select isnt(app.notify(user_id('reader'), 'greeting', 'g3', '["a list"]'), null, 'nor data of another form');
select isnt(app.notify(user_id('reader'), null, null, null), null, 'without a key it is a new one each time');
select is(app.notify(null, 'greeting', 'g4', '{}'), null, 'there is nobody to tell');
select isnt(app.notify(user_id('unseen'), 'greeting', 'g5', '{}'), null, 'somebody who never came is told when they come');
select is(told('unseen', 'g5'), 'greeting | Hello | Changed | act | none', 'and not by mail');
select isnt(
    app.notify(user_id('reader'), 'greeting', 'g6', jsonb_build_object('name', E'x\r\nBcc: all@example.com\r\n\r\nbody\u0085\t!')),
    null, 'a name may hold anything');
select is(
    (select n.subject from app.notices as n where n.dedupe_key = 'g6'), 'Hello x Bcc: all@example.com body !', 'a subject is one line');
select isnt(
    app.notify(user_id('reader'), 'greeting', 'g7', jsonb_build_object('name', repeat('long ', 1000))), null, 'however long it is');
select is((select length(n.subject) from app.notices as n where n.dedupe_key = 'g7'), 200, 'of a length that mail can carry');
update app.notice_templates set is_mailed = false where kind = 'greeting';
select isnt(app.notify(user_id('reader'), 'greeting', 'g8', '{}'), null, 'what is not worth a mail');
select is(mail('g8'), 'none after 0', 'is only shown');

-- Nothing of it is changed ------------------------------------------------------------
select is(
    refusal(format($$ update app.notices set %s where dedupe_key = 'g1' $$, change)),
    'PT403 append_only: Rows of app.notices are never changed or removed. Post a new row that corrects the old one.',
    format('what was told stays: %s', change))
from (values ('body = ''else'''), ('subject = ''else'''), ('user_id = user_id(''other'')'), ('created_at = now()'), ('dedupe_key = ''x'''),
    ('data = ''{}'''), ('kind = ''x'''), ('needs_action = false')) as c (change);
select throws_like('delete from app.notices', 'Rows of app.notices are never%', 'and does not vanish');
select throws_like('truncate app.notices', 'Rows of app.notices are never%', 'not all at once either');

select is(
    (select array_agg(a.details #>> '{after,body}' order by a.id) from app.audit_log as a
        where a.action = 'change_notice_template' and a.subject = 'greeting'),
    array[E'  You have {amount}.\n', 'Changed', 'Changed'], 'every change of the words is on record');
select lives_ok($$ delete from app.notice_templates where kind = 'greeting' $$, 'words may go');
select is(
    (select a.details #>> '{before,body}' from app.audit_log as a where a.subject = 'greeting' and a.details -> 'after' = 'null'),
    'Changed', 'and that is on record too');
select throws_ok(
    $$ insert into app.notice_templates (kind, subject, body) values ('x', E'a\nBcc: b', 'text') $$, '23514', null,
    'a subject of two lines is none');

-- Settings ------------------------------------------------------------------------------
select claim('quiet');
select is(app.update_notice_settings(false), false, 'somebody wants no mail');
select is(app.update_notice_settings(null), false, 'null keeps that');
select is(come_with('quiet', '{"email": "quiet@example.com"}'), 'quiet@example.com', 'their address is known all the same');
select sign_out();
select isnt(app.notify(user_id('quiet'), 'refund_paid', 'q1', '{}'), null, 'they are told');
select is(mail('q1'), 'none after 0', 'but not by mail');
select claim('quiet');
select is(app.update_notice_settings(true), true, 'they change their mind');
select sign_out();
select isnt(app.notify(user_id('quiet'), 'refund_paid', 'q2', '{}'), null, 'and are told again');
select is(mail('q1') || ', ' || mail('q2'), 'none after 0, pending after 0', 'by mail from now on');
select throws_ok('select app.update_notice_settings(true)', 'PT401', 'Please sign in first.', 'nobody has no settings');

-- What people see -------------------------------------------------------------------------
select authenticate_as('quiet');
select is((select count(*)::integer from api.notices), 2, 'somebody sees what they were told');
select results_eq(
    'select unread, needing_action from api.count_unread_notices()', 'values (2::bigint, 0::bigint)', 'and how much of it is new');
select is(api.mark_notices_read((select n.id from api.notices as n order by n.id limit 1)), 1::bigint, 'they read one');
select results_eq('select read_at is not null from api.notices order by id', 'values (true), (false)', 'the older one');
select is(api.mark_notices_read(), 1::bigint, 'then the rest');
select is(api.mark_notices_read(), 0::bigint, 'and there is no more');
select results_eq(
    'select email, by_email from api.notice_settings', $$ values ('quiet@example.com', true) $$, 'they see where it goes');
select throws_ok('update api.notices set read_at = null', '42501', null, 'they write nothing');
select throws_ok('delete from api.notices', '42501', null, 'and remove nothing');
select authenticate_as('operator');
select results_eq(
    'select email, by_email from api.notice_settings', 'values (null::text, true)', 'without an address mail would be wanted');
select is(api.mark_notices_read((select max(n.id::text)::uuid from api.notices as n)), 0::bigint, 'there is nothing for others to read');
select sign_out();
select is((select count(*)::integer from app.notices as n where n.read_at is not null), 2, 'nobody reads for somebody else');

-- The mail ------------------------------------------------------------------------------------
update app.notices set email_state = 'none' where dedupe_key <> 'q2';
select tests.note('q2', n.id::text) from app.notices as n where n.dedupe_key = 'q2';
select results_eq(
    'select id::text, attempt, email, subject from app.claim_notices(5)',
    $$ values (tests.noted('q2'), 1, 'quiet@example.com', 'Your refund of') $$, 'a notice is taken');
select is_empty('select * from app.claim_notices(5)', 'for a minute');
select is(
    (select extract(epoch from n.next_attempt_at - now())::integer from app.notices as n where n.dedupe_key = 'q2'), 60,
    'and not longer');
select lives_ok($$ select app.record_notice_failure(noted('q2')::uuid, 1, '451 later', false) $$, 'a server says: later');
select is(mail('q2'), 'pending after 1 because 451 later', 'it is tried again');
select ok(
    n.next_attempt_at between now() + interval '10 seconds' and now() + interval '20 seconds', 'but not at once')
from app.notices as n where n.dedupe_key = 'q2';
select lives_ok(
    $$ update app.notices set attempts = 100 where dedupe_key = 'q2';
       select app.record_notice_failure(noted('q2')::uuid, 100, '451 later', false) $$, 'after many times');
select ok(
    n.next_attempt_at between now() + interval '30 minutes' and now() + interval '1 hour', 'every hour')
from app.notices as n where n.dedupe_key = 'q2';

select due('q2');
select is((select attempt from app.claim_notices(5)), 101, 'the next try');
select lives_ok($$ select app.record_notice_failure(noted('q2')::uuid, 100, '550 no', true) $$, 'somebody who is late says no');
select is(mail('q2'), 'pending after 101 because 451 later', 'that is nobody''s business any more');
select lives_ok($$ select app.record_notice_sent(noted('q2')::uuid) $$, 'but who has sent it has');
select is(mail('q2'), 'sent after 101 out', 'it is out');
select lives_ok($$ select app.record_notice_failure(noted('q2')::uuid, 101, 'too late', true) $$, 'a failure after that');
select is(mail('q2'), 'sent after 101 out', 'changes nothing');

select app.notify(user_id('quiet'), 'refund_paid', 'q3', '{}'), app.notify(user_id('quiet'), 'refund_paid', 'q4', '{}'),
    app.notify(user_id('quiet'), 'refund_paid', 'q5', '{}'), app.notify(user_id('reader'), 'refund_paid', 'r1', '{}');
select tamper($$ update app.notices set created_at = now() - interval '73 hours' where dedupe_key = 'q4' $$);
select due('q4', -3), due('q3', -2), due('r1', -1), due('q5', 0);
select claim('reader');
select is(app.update_notice_settings(false), false, 'somebody had enough meanwhile');
select sign_out();
select is((select count(*)::integer from app.claim_notices(2)), 2, 'a batch is filled with what can be sent');
select is(
    array[mail('q3'), mail('q4'), mail('q5'), mail('r1')],
    array['pending after 1', 'failed after 0 because It was not sent in time.', 'pending after 1', 'none after 0'],
    'what is too old is given up, and what is not wanted is not sent');
select lives_ok(
    $$ select app.record_notice_failure(n.id, 1, '550 no such person', true) from app.notices as n where n.dedupe_key = 'q3' $$,
    'a mailbox that does not exist');
select is(mail('q3'), 'failed after 1 because 550 no such person', 'is not asked again');
select tamper($$ update app.notices set created_at = now() - interval '73 hours' where dedupe_key = 'q5' $$);
select lives_ok(
    $$ select app.record_notice_failure(n.id, 1, '451 later', false) from app.notices as n where n.dedupe_key = 'q5' $$,
    'a server that says later for three days');
select is(mail('q5'), 'failed after 1 because 451 later', 'is not asked for ever');
select is_empty('select * from app.claim_notices(5)', 'nothing is left to send');
select is_empty('select * from app.claim_notices(0)', 'a batch may be empty');

select * from finish();
rollback;
