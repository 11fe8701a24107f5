-- payouts: creators' accounts at Stripe, what is missing, and who may say what about whom (IP7).
begin;
\ir helpers.psql
select plan(142);

select count(create_person(p)) from unnest(array['maker', 'other', 'early', 'operator']) as p;

create function tests.ask_account(name text, livemode boolean default false)
returns text
language plpgsql volatile
as $$
declare
    v_account record;
begin
    v_account := app.connect_account(ask_account.livemode);
    perform tests.note(ask_account.name, v_account.request_id::text);
    return coalesce(v_account.stripe_account_id, 'to be asked');
end;
$$;
comment on function tests.ask_account(text, boolean) is 'The caller''s account; the request that makes one is noted.';

create function tests.made(name text, handle text, changes jsonb default '{}')
returns text
language plpgsql volatile
as $$
begin
    perform app.record_stripe_answer(
        tests.noted(made.name)::uuid, tests.account_object(made.handle, tests.noted(made.name)::uuid, made.changes));
    return (select r.state || ' as ' || r.stripe_id from app.stripe_requests as r where r.id = tests.noted(made.name)::uuid);
end;
$$;
comment on function tests.made(text, text, jsonb) is 'Stripe has made the account that was asked for.';

create function tests.news(handle text, changes jsonb default '{}', account text default null)
returns text
language sql volatile
return tests.from_account(
    coalesce(account, 'acct_' || handle), 'account.updated', tests.account_object(handle, null, changes));
comment on function tests.news(text, jsonb, text) is 'account.updated of a person''s account, sent by it or by another one.';

create function tests.capability(account text, status text, changes jsonb default '{}', sender text default null)
returns text
language sql volatile
return tests.from_account(coalesce(sender, account), 'capability.updated', jsonb_build_object(
    'object', 'capability', 'id', 'transfers', 'account', account, 'requested', true, 'status', status) || changes);

create function tests.deauthorized(account text)
returns text
language sql volatile
return tests.from_account(
    account, 'account.application.deauthorized', '{"object": "application", "id": "ca_1", "name": "Infinite Pages"}');

create function tests.account_of(handle text)
returns text
language sql stable
return (
    select concat_ws(
        ' ', a.stripe_account_id, a.country, case when a.details_submitted then 'submitted' end,
        case when a.payouts_enabled then 'enabled' end, a.transfers_status,
        case when a.deauthorized_at is not null then 'gone' end)
    from app.payout_accounts as a
    where a.user_id = tests.user_id(account_of.handle) and not a.is_live
);
comment on function tests.account_of(text) is 'What is known of a person''s account, in one line.';

-- Asking for one ------------------------------------------------------------------------------
select is(
    refusal('select app.connect_account(false)'),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'IP7: nobody has no account');
select is(
    refusal('select app.payout_account()'),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'nor is told about one');
select sign_in('none', jsonb_build_object('sub', user_id('newcomer'), 'role', 'authenticated', 'email', 'new@example.org'));
select results_eq(
    'select * from app.payout_account()',
    $$ values ('none', false, 'Set up payouts to receive what you earn.',
        '{}'::text[], null::text, false, false, 1000::bigint, 7, false) $$,
    'IP7: who never came before may ask how to be paid');
select is(ask_account('first'), 'to be asked', 'and set it up: Stripe has to make an account');
select results_eq(
    $$ select user_id, kind, subject_id, parameters, idempotency_key, is_live, state, attempts
       from app.stripe_requests where id = tests.noted('first')::uuid $$,
    $$ values (
        tests.user_id('newcomer'), 'account', tests.user_id('newcomer'),
        jsonb_build_object(
            'controller', '{"stripe_dashboard": {"type": "express"}, "fees": {"payer": "application"},
                "losses": {"payments": "application"}, "requirement_collection": "stripe"}'::jsonb,
            'capabilities', '{"transfers": {"requested": true}}'::jsonb, 'email', 'new@example.org',
            'metadata', jsonb_build_object('user_id', tests.user_id('newcomer'), 'request_id', tests.noted('first'))),
        format('account-%s-1', tests.user_id('newcomer')), false, 'pending', 0) $$,
    'that can receive transfers and no more, with Stripe asking the questions');
select is(ask_account('again'), 'to be asked', 'asked again');
select is(noted('again'), noted('first'), 'it is the same request');
select is(
    refusal('select app.connect_account(true)'),
    'PT409 payouts_not_live: Payouts are not open yet. The operator sets app.economy.payouts_are_live as the key of Stripe is.',
    'IP7: no account is made in a mode in which nobody is paid');
update app.economy set payouts_are_live = true;
select is(ask_account('live', true), 'to be asked', 'in live mode');
update app.economy set payouts_are_live = false;
select isnt(noted('live'), noted('first'), 'it is another one');
select claim('maker');
select is(ask_account('maker'), 'to be asked', 'without an address');
select is(
    (select parameters ? 'email' from app.stripe_requests where id = noted('maker')::uuid), false, 'none is sent');
select app.record_stripe_failure(noted('maker')::uuid, 'api_error', 'No.', true);
select is(ask_account('maker'), 'to be asked', 'what Stripe refused is asked anew');
select is(
    (select idempotency_key from app.stripe_requests where id = noted('maker')::uuid), format('account-%s-2', user_id('maker')),
    'under a new key: under the old one Stripe would say the same again');

-- Made ------------------------------------------------------------------------------------------
create temp table bare as
select '{"country": null, "details_submitted": false, "payouts_enabled": false, "capabilities": {},
    "requirements": {"currently_due": ["external_account", "individual.first_name"], "past_due": []}}'::jsonb as account;
grant select on bare to public;
select is(made('maker', 'maker', (select account from bare)), 'succeeded as acct_maker', 'Stripe has made it');
select is(ask_account('none'), 'acct_maker', 'now there is an account');
select is(noted('none'), null, 'and nothing to ask');
select is(account_of('maker'), 'acct_maker unrequested', 'of which little is known yet');
select results_eq(
    'select state, is_ready, message, missing from app.payout_account()',
    $$ values ('started', false, 'Finish setting up payouts: Stripe still has questions.',
        '{A bank account for your payouts.,Your legal name.}'::text[]) $$, 'its creator is told what Stripe wants');
select results_eq(
    $$ select stripe_account_id, read_at <= now(), news_at from app.payout_accounts where user_id = tests.user_id('maker') $$,
    $$ values ('acct_maker', true, null::timestamptz) $$, 'it was read when it was made');
select lives_ok(
    $$ select app.apply_stripe_account(tests.account_object('maker', tests.noted('maker')::uuid, '{"id": "acct_second"}')) $$,
    'made twice, because an answer was lost');
select is(account_of('maker'), 'acct_maker unrequested', 'the first one stays theirs');
select is(
    (app.apply_stripe_account(account_object('other', null))).state, 'ignored', 'an account that nobody asked for is nobody''s');
select is(
    (app.apply_stripe_account(account_object('other', null, '{"metadata": {"request_id": "not a uuid"}}'))).state,
    'ignored', 'whatever its metadata say');
select note('customer', (app.stripe_customer(false)).request_id::text);
select is(
    (app.apply_stripe_account(account_object('other', noted('customer')::uuid))).state, 'ignored',
    'nor does the request of something else make one');
select is(
    refusal($$ select app.apply_stripe_account('{"object": "account"}') $$),
    'PT400 invalid_event: This object of Stripe has no id.', 'what has no id is no account');

-- News --------------------------------------------------------------------------------------------
select sign_out();
select is(news('maker'), 'applied', 'account.updated: everything is there');
select is(account_of('maker'), 'acct_maker US submitted enabled active', 'that is kept');
select is(
    (select requirements from app.payout_accounts where user_id = user_id('maker')),
    '{"currently_due": [], "past_due": [], "pending_verification": [], "disabled_reason": null}'::jsonb,
    'of the requirements those that count');
select is(capability('acct_maker', 'inactive'), 'applied', 'capability.updated: transfers are off');
select is(account_of('maker'), 'acct_maker US submitted enabled inactive', 'that is kept');
select is(capability('acct_maker', 'pending'), 'applied', 'they are looked at');
select is(capability('acct_maker', 'active'), 'applied', 'and on again');
select is(account_of('maker'), 'acct_maker US submitted enabled active', 'so they are');
select is(
    capability('acct_maker', 'inactive', '{"id": "card_payments"}'), 'ignored', 'other capabilities are nobody''s business');
select is(news('maker', '{"capabilities": {}, "payouts_enabled": null, "requirements": {}}'), 'applied', 'Stripe may leave things out');
select is(account_of('maker'), 'acct_maker US submitted unrequested', 'then they are not there');
select is(news('maker', '{"capabilities": {"transfers": "something_new"}, "requirements": null}'), 'applied',
    'or say what nobody knows here');
select is(account_of('maker'), 'acct_maker US submitted enabled inactive', 'then nobody is paid');
select is(capability('acct_maker', status), 'applied', format('a capability of %L', status))
from unnest(array['something_new', null]) as status;
select is(account_of('maker'), 'acct_maker US submitted enabled unrequested', 'is none');
select is(news('maker'), 'applied', 'and come back');

-- An attack: what one account says of another ----------------------------------------------------------
select claim('other');
select connect('other');
select sign_out();
select is(news('maker', '{"payouts_enabled": false}', 'acct_other'), 'ignored', 'attack: one account speaks of another');
select is(
    capability('acct_maker', 'inactive', sender => 'acct_other'), 'ignored', 'attack: and of its capabilities');
select is(
    deliver('account.updated', account_object('maker', noted('maker')::uuid, '{"payouts_enabled": false}')), 'applied',
    'what the platform''s door brings of an account that is there');
select is(account_of('maker'), 'acct_maker US submitted enabled active', 'changes nothing either');
select is(
    from_account('acct_other', 'transfer.created', '{"object": "transfer", "id": "tr_x"}'), 'ignored',
    'attack: transfers of their own are not ours');
select is(
    from_account('acct_other', 'account.updated', '{"object": "account", "id": ""}'), 'failed',
    'attack: an account without an id is kept as failed');
select is(
    deliver('capability.updated', '{"object": "capability", "id": "transfers", "account": "acct_maker", "status": "inactive"}', 'connect'),
    'ignored', 'attack: a capability without a sender');
select is(news('stranger'), 'ignored', 'an account that is not ours is ignored');
select is(capability('acct_stranger', 'active'), 'ignored', 'so is its capability');
select is(deauthorized('acct_stranger'), 'ignored', 'and that it goes');
select is(account_of('maker'), 'acct_maker US submitted enabled active', 'nothing of that did anything');

-- Before its answer ------------------------------------------------------------------------------------
select claim('early');
select is(ask_account('early'), 'to be asked', 'an account is asked for');
select sign_out();
select is(
    news('early', jsonb_build_object('metadata', jsonb_build_object('request_id', noted('early')))), 'parked',
    'case 1: news of it come before the answer, and wait');
select is(
    (select e.waits_for from app.stripe_events as e where e.state = 'parked'), 'acct_early', 'for the account');
select made('early', 'early', (select account from bare));
select is(account_of('early'), 'acct_early US submitted enabled active', 'case 1: after the answer they count');
select is((select count(*) from app.stripe_events where state = 'parked'), 0::bigint, 'and wait no more');
select is(
    news('stranger', jsonb_build_object('metadata', jsonb_build_object('request_id', noted('early')))), 'ignored',
    'attack: a request that was answered lets nobody else wait');

-- Read from Stripe ---------------------------------------------------------------------------------------
create function tests.read_account(handle text, read_at timestamptz, changes jsonb default '{}', livemode boolean default false)
returns boolean
language sql volatile
return app.record_payout_account(tests.account_object(handle, null, changes), livemode, read_at);

select is(read_account('maker', now(), (select account from bare)), true, 'an account is read from Stripe');
select is(account_of('maker'), 'acct_maker unrequested', 'what was read counts');
select is(read_account('maker', now() - interval '1 second'), false, 'an answer that took longer is too late');
select is(read_account('maker', now() + interval '1 second', livemode => true), false, 'nor does the other mode');
select is(read_account('stranger', now()), false, 'nobody''s account is nobody''s');
select is(
    refusal('select app.record_payout_account(''{}'', false, now())'),
    'PT400 invalid_event: This object of Stripe has no id.', 'and without an id it is none');
select is(read_account('maker', now()), true, 'the same instant counts');
select is(account_of('maker'), 'acct_maker US submitted enabled active', 'as the last one');

create function tests.to_be_read(handle text, ready boolean, read_at interval, news_at interval default null)
returns text
language plpgsql volatile
as $$
begin
    update app.payout_accounts as a
    set read_at = now() - to_be_read.read_at, news_at = now() - to_be_read.news_at, payouts_enabled = to_be_read.ready
    where a.user_id = tests.user_id(to_be_read.handle);
    return concat_ws(
        ' and ',
        (select 'stale' from app.stale_payout_accounts(false, 10) as s where s.stripe_account_id = 'acct_' || to_be_read.handle),
        (select 'news' from app.payout_accounts_with_news(false, 10) as s where s.stripe_account_id = 'acct_' || to_be_read.handle));
end;
$$;
select is(to_be_read('maker', ready, read_at, news_at), expected, what)
from (values
    (true, interval '1 hour', null, '', 'one that is ready is not read again'),
    (true, interval '7 days', null, '', 'for seven days'),
    (true, interval '7 days 1 second', null, 'stale', 'then it is'),
    (false, interval '6 hours', null, '', 'one that is not ready for six hours'),
    (false, interval '6 hours 1 second', null, 'stale', 'then it is'),
    (true, interval '1 hour', interval '1 minute', 'news', 'after news it is read at once'),
    (true, interval '1 minute', interval '1 hour', '', 'news from before are known'),
    (true, interval '8 days', interval '1 minute', 'stale and news', 'both may be')
) as v (ready, read_at, news_at, expected, what);
update app.payout_accounts set read_at = now() - interval '8 days', news_at = now();
update app.payout_accounts set read_at = now() - interval '9 days' where user_id = user_id('early');
select results_eq(
    format('select stripe_account_id from app.%s(false, 1)', name), array['acct_early'], format('%s: the oldest first, so many', name))
from unnest(array['stale_payout_accounts', 'payout_accounts_with_news']) as name;
select is_empty(format('select * from app.%s(true, 10)', name), format('%s: of the worker''s mode alone', name))
from unnest(array['stale_payout_accounts', 'payout_accounts_with_news']) as name;
select ok(
    (select bool_and(s.read_at between now() and clock_timestamp())
    from (select * from app.stale_payout_accounts(false, 10) union all select * from app.payout_accounts_with_news(false, 10)) as s),
    'with the time before Stripe is asked');

-- In any order ------------------------------------------------------------------------------------------------
create function tests.said(at interval, changes jsonb)
returns text
language plpgsql volatile
as $$
begin
    perform tests.from_account(
        'acct_early', case changes ->> 'object' when 'capability' then 'capability.updated' else 'account.updated' end,
        tests.account_object('early', null, changes), date_trunc('second', now()) + at);
    return tests.account_of('early');
end;
$$;
comment on function tests.said(interval, jsonb) is 'News of an account that happened then; what is known afterwards.';
update app.payout_accounts set read_at = date_trunc('second', now()) - interval '1 minute', news_at = null, told_at = null
where user_id = user_id('early');
select is(said('-50 seconds', '{"country": "NL"}'), 'acct_early NL submitted enabled active',
    'case 1: what happened after the reading counts');
select is(said('-70 seconds', '{"country": "BE"}'), 'acct_early NL submitted enabled active', 'case 1: what happened before it does not');
select is(said('-20 seconds', '{"country": "DE"}'), 'acct_early DE submitted enabled active', 'case 1: later news count');
select is(said('-30 seconds', '{"country": "FR"}'), 'acct_early DE submitted enabled active', 'case 1: earlier ones that come late do not');
select is(
    said('-30 seconds', '{"object": "capability", "id": "transfers", "account": "acct_early", "status": "inactive"}'),
    'acct_early DE submitted enabled active', 'case 1: nor of the capability');
select is(
    said('-20 seconds', '{"object": "capability", "id": "transfers", "account": "acct_early", "status": "inactive"}'),
    'acct_early DE submitted enabled inactive', 'case 1: the same second counts');
select isnt_empty($$ select from app.payout_accounts_with_news(false, 10) where stripe_account_id = 'acct_early' $$,
    'and Stripe has the last word');

-- Gone ------------------------------------------------------------------------------------------------------
select is(deauthorized('acct_maker'), 'applied', 'a creator takes the account away');
select is(account_of('maker'), 'acct_maker US submitted enabled active gone', 'that is kept');
select is(deauthorized('acct_maker'), 'ignored', 'once');
select is(news('maker'), 'ignored', 'late news of it');
select is(capability('acct_maker', 'active'), 'ignored', 'and of its capability are ignored');
select read_account('maker', now() + interval '1 hour', '{"country": "XX"}');
select app.apply_stripe_account(account_object('maker', noted('maker')::uuid));
select is(account_of('maker'), 'acct_maker US submitted enabled active gone', 'and what was read too late, or made');
select is_empty($$ select * from app.stale_payout_accounts(false, 10) where stripe_account_id = 'acct_maker' $$, 'nobody reads it again');
select claim('maker');
select results_eq(
    'select state, is_ready, message from app.payout_account()',
    $$ values ('deauthorized', false, 'Your Stripe account is not connected any more. Set up payouts again.') $$, 'its creator is told');
select is(ask_account('second'), 'to be asked', 'and may set up another one');
select isnt(noted('second'), noted('maker'), 'by a new request');
select is(made('second', 'maker', '{"id": "acct_maker2"}'), 'succeeded as acct_maker2', 'which Stripe makes');
select is(account_of('maker'), 'acct_maker2 US submitted enabled active', 'that is theirs now');
select sign_out();
select is(deauthorized('acct_maker'), 'ignored', 'a late word of the old one does not touch it');
select is(news('maker'), 'ignored', 'nor do its news');
select is(account_of('maker'), 'acct_maker2 US submitted enabled active', 'it stays ready');

-- In words ----------------------------------------------------------------------------------------------------
create function tests.described(changes jsonb)
returns text
language sql volatile
return (
    select format('%s %s: %s %s', d.state, d.is_ready, d.message, array_to_string(d.missing, ' '))
    from app.describe_payout_state(
        jsonb_populate_record(null::app.payout_accounts, '{"stripe_account_id": "acct_1", "details_submitted": true,
            "payouts_enabled": true, "transfers_status": "active", "requirements": {}}'::jsonb || changes)) as d
);
select is(btrim(described(changes)), expected, format('IP7: %s', changes))
from (values
    ('{"stripe_account_id": null, "payouts_enabled": false}'::jsonb, 'none f: Set up payouts to receive what you earn.'),
    ('{"deauthorized_at": "2026-01-01"}',
        'deauthorized f: Your Stripe account is not connected any more. Set up payouts again.'),
    ('{}', 'ready t: You are ready to be paid.'),
    ('{"requirements": {"currently_due": ["individual.phone"]}}', 'ready t: You are ready to be paid. Your phone number.'),
    ('{"details_submitted": false, "payouts_enabled": false}',
        'started f: Finish setting up payouts: Stripe still has questions.'),
    ('{"payouts_enabled": false, "requirements": {"past_due": ["individual.dob.day", "individual.dob.year"],
        "currently_due": ["individual.dob.day", "external_account"]}}',
        'incomplete f: Stripe needs something more before you can be paid. A bank account for your payouts. Your date of birth.'),
    ('{"transfers_status": "inactive", "requirements": {"disabled_reason": "rejected.fraud"}}',
        'rejected f: Stripe does not pay out to this account. Please write to us.'),
    ('{"transfers_status": "inactive", "requirements": {"pending_verification": ["individual.verification.document"]}}',
        'verifying f: Stripe is checking what you sent. This takes up to two days.'),
    ('{"transfers_status": "pending"}', 'verifying f: Stripe is checking what you sent. This takes up to two days.'),
    ('{"transfers_status": "unrequested"}',
        'restricted f: Stripe has paused payouts to your account. Open your Stripe page to see why.'),
    ('{"payouts_enabled": false}',
        'restricted f: Stripe has paused payouts to your account. Open your Stripe page to see why.'),
    ('{"payouts_enabled": false, "requirements": null}',
        'restricted f: Stripe has paused payouts to your account. Open your Stripe page to see why.')
) as v (changes, expected);
select is(app.requirement_text(field), expected, format('%s is: %s', field, expected))
from (values
    ('external_account', 'A bank account for your payouts.'), ('individual.verification.document', 'A photo of an identity document.'),
    ('person_1Ab.verification.document', 'A photo of an identity document.'),
    ('individual.verification.additional_document', 'A document that shows your address.'),
    ('individual.first_name', 'Your legal name.'), ('representative.last_name', 'Your legal name.'),
    ('company.name', 'Your legal name.'), ('individual.dob.month', 'Your date of birth.'),
    ('individual.address.postal_code', 'Your address.'), ('company.address.city', 'Your address.'),
    ('individual.ssn_last_4', 'Your tax or identity number.'), ('individual.id_number', 'Your tax or identity number.'),
    ('company.tax_id', 'Your tax or identity number.'), ('individual.email', 'Your email address.'),
    ('individual.phone', 'Your phone number.'), ('tos_acceptance.date', 'Your consent to Stripe''s terms.'),
    ('business_profile.url', 'A few words about what you do.'), ('business_type', 'Whether you are a person or a company.'),
    ('individual.political_exposure', 'One more detail: individual political exposure.')
) as v (field, expected);

-- Through the edge ------------------------------------------------------------------------------------------------
select claim('other');
update app.economy set payouts_are_live = true;
select results_eq(
    'select state, is_live from app.payout_account()', $$ values ('none', true) $$,
        'where payouts are live, accounts in test mode are none');
update app.economy set payouts_are_live = false;
select results_eq(
    'select state, country, is_live from app.payout_account()', $$ values ('ready', 'US', false) $$, 'else they are');
set local role edge;
select results_eq(
    $$ select state, is_ready, message, missing from app.payout_account_state('acct_other') $$,
    $$ values ('ready', true, 'You are ready to be paid.', '{}'::text[]) $$, 'the edge may ask for its page');
select results_eq(
    $$ select state, is_ready from app.payout_account_state('acct_nobody') $$, $$ values ('none', false) $$, 'of nobody there is nothing');
select is((app.connect_account(false)).stripe_account_id, 'acct_other', 'it asks for an account');
select is(
    app.record_payout_account(tests.account_object('other', null), false, now() + interval '1 day'), true, 'and writes down what it read');
reset role;
select authenticate_as('maker');
select is((select a.state from api.payout_account() as a), 'ready', 'IP7: creators ask api.payout_account()');
select sign_out();

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
