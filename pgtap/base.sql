-- base: who is calling, profiles, rate limits, the audit log and the policy numbers.
begin;
\ir helpers.psql
\ir alone.psql
select plan(119);

-- Claims --------------------------------------------------------------------------------------

select is(app.claims(), '{}'::jsonb, 'without a token the claims are an empty object');
select is(app.current_user_id(), null, 'without a token nobody is calling');

create function tests.caller(claims text)
returns uuid
language plpgsql volatile
as $$
begin
    perform set_config('request.jwt.claims', caller.claims, true);
    return app.current_user_id();
end;
$$;

select is(tests.caller(''), null, 'empty claims, as an earlier transaction leaves them, are nobody');
select is(app.claims(), '{}'::jsonb, 'and read as an empty object');
select is(
    tests.caller('{"sub": "26c46e64-4f49-34b0-55c3-6514f442b353"}'), '26c46e64-4f49-34b0-55c3-6514f442b353'::uuid,
    'a sub that is a UUID is the id');
select is(
    tests.caller('{"sub": "26C46E64-4F49-34B0-55C3-6514F442B353"}'), '26c46e64-4f49-34b0-55c3-6514f442b353'::uuid,
    'in capitals too');
select is(
    tests.caller('{"iss": "https://issuer.example/", "sub": "auth0|123"}'),
    encode(substring(sha256('https://issuer.example/|auth0|123') for 16), 'hex')::uuid,
    'any other sub gives an id derived from issuer and subject');
select is(
    tests.caller('{"iss": "https://issuer.example/", "sub": "auth0|123"}'),
    tests.caller('{"sub": "auth0|123", "role": "authenticated", "iss": "https://issuer.example/"}'),
    'the same one each time');
select isnt(
    tests.caller('{"iss": "https://issuer.example/", "sub": "auth0|123"}'),
    tests.caller('{"iss": "https://other.example/", "sub": "auth0|123"}'),
    'and another one for another issuer');
select isnt(
    tests.caller('{"iss": "https://issuer.example/", "sub": "{26c46e64-4f49-34b0-55c3-6514f442b353}"}'),
    '26c46e64-4f49-34b0-55c3-6514f442b353'::uuid,
    'other spellings of a UUID do not become that person');
select is(tests.caller('{"sub": "auth0|123"}'), null, 'without an issuer such a sub is nobody');
select is(tests.caller('{"iss": "https://issuer.example/"}'), null, 'no sub is nobody');
select is(tests.caller('{"iss": "https://issuer.example/", "sub": ""}'), null, 'an empty sub is nobody');
select is(tests.caller('{"iss": "https://issuer.example/", "sub": null}'), null, 'a null sub is nobody');
select is(tests.caller('["26c46e64-4f49-34b0-55c3-6514f442b353"]'), null, 'claims that are no object are nobody');
select is(
    tests.caller('{"sub": "00000000-0000-0000-0000-000000000000"}'), null,
    'nobody can be the platform');

-- Profile and wallet on first use -------------------------------------------------------------

select sign_in('authenticated', '{}');
select is(
    refusal('select api.me()'), 'PT401 login_required: Please sign in first. The call carries no token with a subject.',
    'a token without a subject is 401');
select is(
    refusal($$ select api.update_profile('somebody') $$),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.',
    'for changes too');
select authenticate_as_anon();
select throws_ok('select api.me()', '42501', 'permission denied for function me', 'anon has no profile');

select authenticate_as('newcomer');
select is_empty('select * from api.profiles', 'a newcomer has no profile yet');
select results_eq(
    'select handle, is_creator, creator_tier, subscription_tier, credits_balance from api.me()',
    format($$ values ('u%s', false, 'bronze', 'free', 0::bigint) $$, replace(user_id('newcomer')::text, '-', '')),
    'the first call makes it, with a handle of its own');
select results_eq(
    'select id, credits_balance from api.profiles', format('values (%L::uuid, 0::bigint)', user_id('newcomer')),
    'and there it is');
select lives_ok('select api.me()', 'the second call changes nothing');
reset role;
select results_eq(
    format('select kind, asset, is_guarded, balance from ledger.accounts where owner_id = %L', user_id('newcomer')),
    $$ values ('wallet', 'credit', true, 0::bigint) $$,
    'the wallet came with it, once');

select authenticate_as('onlooker');
select is(
    by_get('select id, credits_balance from api.me()'),
    jsonb_build_array(jsonb_build_object('id', user_id('onlooker'), 'credits_balance', 0)),
    'who only looks (GET) sees what the profile will be');
reset role;
select is_empty(
    format('select * from app.profiles where id = %L', user_id('onlooker')), 'and leaves nothing behind');

-- update_profile ------------------------------------------------------------------------------

select create_person('neighbour');
select authenticate_as('newcomer');
select is(
    api.update_profile('reader_1', '  A Reader ', 'Reads.', 'https://example.org/face.png'), user_id('newcomer'),
    'a profile is changed by its owner, who gets the id');
select results_eq(
    'select handle, display_name, bio, avatar_url from api.profiles',
    $$ values ('reader_1', 'A Reader', 'Reads.', 'https://example.org/face.png') $$,
    'with blanks at the ends taken off');
select lives_ok($$ select api.update_profile(bio => 'Writes.') $$, 'one field can be changed by itself');
select results_eq(
    'select handle, display_name, bio, avatar_url from api.profiles',
    $$ values ('reader_1', 'A Reader', 'Writes.', 'https://example.org/face.png') $$,
    'and what is left out stays');
select lives_ok($$ select api.update_profile('reader_1') $$, 'one''s own handle is not taken');
select is(
    refusal(format('select api.update_profile(%L)', handle)),
    'PT400 invalid_handle: A handle has 3 to 40 lower-case letters, digits or underscores.',
    format('a handle that %s is refused', reason))
from (values
    ('ab', 'is too short'), (repeat('a', 41), 'is too long'), ('Reader', 'has capitals'), ('', 'is empty'),
    ('a reader', 'has a blank'), (E'reader\n', 'ends a line'), ('лев', 'is in other letters')
) as bad (handle, reason);
select is(
    refusal($$ select api.update_profile('neighbour') $$),
    'PT409 handle_taken: This handle belongs to somebody else.', 'somebody else''s handle is 409');
select is(
    refusal($$ select api.update_profile(display_name => E' \t\n') $$),
    'PT400 text_required: Please give the display name.', 'a name of blanks is refused');
select is(
    refusal($$ select api.update_profile(display_name => repeat('x', 81)) $$),
    'PT400 text_too_long: The display name is too long. It has 81 characters; at most 80 are allowed.',
    'a name of 81 characters is refused');
select is(
    refusal($$ select api.update_profile(bio => repeat('x', 2001)) $$),
    'PT400 text_too_long: The bio is too long. It has 2001 characters; at most 2000 are allowed.',
    'a bio of 2001 is refused');
select is(
    refusal($$ select api.update_profile(avatar_url => 'https://' || repeat('x', 493)) $$),
    'PT400 text_too_long: The avatar address is too long. It has 501 characters; at most 500 are allowed.',
    'an address of 501 is refused');
select is(
    refusal($$ select api.update_profile(avatar_url => 'javascript:alert(1)') $$),
    'PT400 invalid_avatar_url: The picture''s address must begin with https://.', 'and so is a script');

-- The first handle of a person is made from the id, which is no secret.
select is(
    refusal(format('select api.update_profile(%L)', 'u' || replace(user_id('victim')::text, '-', ''))),
    'PT409 handle_taken: This handle belongs to somebody else.',
    'the first handle of somebody who was never here cannot be taken in advance');
select authenticate_as('victim');
select lives_ok('select api.me()', 'so that they can still come');
select isnt_empty('select * from api.profiles', 'and have a profile');

-- Rate limits (IP15) --------------------------------------------------------------------------

reset role;
create function tests.calls(times integer, path text default '/rpc/purchase_story')
returns void
language plpgsql volatile
as $$
begin
    perform set_config('request.path', calls.path, true);
    for i in 1 .. calls.times loop
        perform api.before_request();
    end loop;
end;
$$;

select results_eq(
    'select class, capacity, per_minute from app.rate_limits order by class',
    $$ values ('default', 120, 120), ('money', 60, 60), ('payment', 10, 10), ('payment_address', 30, 30), ('uploads', 20, 10) $$,
    'the limits on delivery');
update app.rate_limits set capacity = 3, per_minute = 6 where class = 'money';
update app.rate_limits set capacity = 5 where class = 'default';

select authenticate_as('newcomer');
select lives_ok('select tests.calls(3)', 'a bucket of three allows three calls');
select throws_ok(
    'select tests.calls(1)', 'PGRST',
    '{"code": "PT429", "hint": "rate_limited", "details": "Try again in 10 seconds.",'
    ' "message": "Too many calls. Please wait a moment."}',
    'the fourth is 429, in the form that PostgREST reads');
select matches(
    refusal('select tests.calls(1)'), '{"status": 429, "headers": {"Retry-After": "10"}}$',
    'and says when to come back');
select lives_ok($$ select tests.calls(5, '/rpc/archive_story') $$, 'functions without a class of their own share a bucket');
select matches(refusal($$ select tests.calls(1, '/rpc/me') $$), '^PGRST', 'which is empty in its turn');
select matches(
    refusal($$ select tests.calls(1, '/credit_packages') $$), '^PGRST', 'whatever else may write counts there too');
select matches(
    refusal($$ select tests.calls(1, '/rpc/purchase%5Fstory') $$), '^PGRST', 'a name that is spelt otherwise is as dear as the dearest');
select authenticate_as('neighbour');
select lives_ok('select tests.calls(3)', 'other people have their own buckets');

reset role;
update app.rate_buckets set calls = 0, refilled_at = clock_timestamp() - interval '15 seconds'
where user_id = user_id('newcomer') and class = 'money';
select authenticate_as('newcomer');
select lives_ok('select tests.calls(1)', 'six a minute: after a quarter of it one call is back');
select matches(refusal('select tests.calls(1)'), 'Try again in [45] seconds', 'and half of the next');
reset role;
update app.rate_buckets set refilled_at = clock_timestamp() - interval '1 year' where user_id = user_id('newcomer');
select authenticate_as('newcomer');
select lives_ok('select tests.calls(3)', 'a year later three calls are there');
select matches(refusal('select tests.calls(1)'), '^PGRST', 'and no more than three');

reset role;
update app.rate_buckets set calls = 2, refilled_at = clock_timestamp() where user_id = user_id('newcomer');
select authenticate_as('newcomer');
select lives_ok($$ select by_get('select tests.calls(10)') $$, 'reads are not counted');
select authenticate_as_service('newcomer');
select lives_ok('select tests.calls(10)', 'nor is the service role');
select authenticate_as_anon();
select lives_ok('select tests.calls(10)', 'nor is who has no token, and so nothing to write');
select sign_out();
select results_eq(
    $$ select calls from app.rate_buckets where user_id = user_id('newcomer') and class = 'money' $$,
    array[2::double precision], 'the bucket is as it was');

-- Calls of the edge -----------------------------------------------------------------------------

-- As the edge: whoever it names has a bucket, and what is too much is told, not raised.
create function tests.count_calls(times integer, subject text, class text default 'payment')
returns integer[]
language sql volatile
return array(select app.count_call(class, subject) from generate_series(1, times));

update app.rate_limits set capacity = 3, per_minute = 6 where class = 'payment';
set local role edge;
select is(tests.count_calls(5, 'somebody'), '{0,0,0,10,20}', 'three calls at once, then so many seconds');
select is(tests.count_calls(3, 'somebody'), '{30,30,30}', 'refused calls count, but no debt is larger than the bucket');
select is(tests.count_calls(1, 'somebody else'), '{0}', 'others have their own buckets');
select is(tests.count_calls(1, 'Somebody'), '{0}', 'by their very name');
select is(tests.count_calls(1, 'somebody', 'payment_address'), '{0}', 'and for each class another one');
select is(tests.count_calls(1, ''), '{0}', 'even without a name');
select is(tests.count_calls(1, repeat('2001:db8::', 1000)), '{0}', 'or with a long one');
select is(refusal('select * from app.rate_buckets'), '42501 : permission denied for table rate_buckets', 'the edge cannot look into them');
select is(
    refusal('update app.rate_limits set capacity = 1000'), '42501 : permission denied for table rate_limits', 'nor change the limits');
reset role;
select is_empty(
    $$ select * from app.rate_buckets as b where b::text ~* 'somebody' $$,
    'only a hash of the name is kept');
update app.rate_buckets set refilled_at = clock_timestamp() - interval '30 seconds' where class = 'payment' and calls = -3;
select is(tests.count_calls(1, 'somebody'), '{10}', 'after half a minute the debt is paid');
update app.rate_buckets set refilled_at = clock_timestamp() - interval '1 hour' where class = 'payment' and calls < 0;
select is(tests.count_calls(4, 'somebody'), '{0,0,0,10}', 'after an hour all are there, and no more');
update app.rate_buckets set refilled_at = now() - case class when 'payment' then interval '1 day' else interval '1 day 1 second' end
where class like 'payment%';
select is(app.forget_rate_buckets(), 1, 'who has not called for a day is forgotten');
select isnt_empty($$ select * from app.rate_buckets where class = 'payment' $$, 'and nobody else');
select throws_ok($$ select app.count_call('nothing', 'somebody') $$, 'P0002', null, 'a class that does not exist is a mistake of ours');
select authenticate_as('newcomer');
select is(
    refusal($$ select app.count_call('payment', 'somebody') $$), '42501 : permission denied for schema app',
    'nobody can use up another''s calls');
reset role;

-- Operators ---------------------------------------------------------------------------------------

create function tests.as_operator(claims text)
returns text
language plpgsql volatile
as $$
begin
    perform set_config('request.jwt.claims', as_operator.claims, true);
    return tests.refusal('select app.require_operator()');
end;
$$;
create function tests.claims_of(handle text, role text)
returns text
language sql immutable
return jsonb_build_object('sub', tests.user_id(handle), 'role', role);

insert into app.operators (user_id) values (user_id('neighbour'));
select is(
    tests.as_operator(claims), 'PT401 login_required: Please sign in first. The call carries no token with a subject.',
    format('%s is no operator', who))
from (values
    ('nobody', ''), ('a token without a subject', '{"role": "authenticated"}'), ('an anonymous one', '{"role": "anon"}'),
    ('the platform itself', '{"sub": "00000000-0000-0000-0000-000000000000", "role": "authenticated"}')
) as bad (who, claims);
select is(
    tests.as_operator(claims), 'PT403 operator_required: Only the operators of this platform may do this.',
    format('%s is no operator', who))
from (values
    ('somebody', claims_of('newcomer', 'authenticated')), ('who says so', claims_of('newcomer', 'operator')),
    ('a role like the service''s', claims_of('newcomer', 'service_role ')),
    ('a role in a list', jsonb_build_object('sub', user_id('newcomer'), 'role', '{service_role}'::text[])::text),
    ('a role one level deeper', jsonb_build_object('sub', user_id('newcomer'), 'app_metadata', '{"role": "service_role"}'::jsonb)::text)
) as bad (who, claims);
select is(tests.as_operator(claims), 'allowed', format('%s is', who))
from (values
    ('whoever is among the operators', claims_of('neighbour', 'authenticated')),
    ('the service role', claims_of('newcomer', 'service_role')),
    ('the service role without a person', '{"role": "service_role"}')
) as good (who, claims);
select sign_out();

-- The audit log (K10) -------------------------------------------------------------------------

select lives_ok($$ select app.audit('try', 'something', '{"figure": 1}') $$, 'K10: the command line is on record');
select results_eq(
    $$ select actor_id, actor_role, claims, subject, details from app.audit_log where action = 'try' $$,
    format(
        $$ values (null::uuid, %L, '{}'::jsonb, 'something', '{"figure": 1}'::jsonb) $$, session_user),
    'K10: under the name of the login');
select claim('neighbour');
select lives_ok($$ select app.audit('try again', null) $$, 'K10: a person is on record');
select results_eq(
    $$ select actor_id, actor_role, claims ->> 'sub', details from app.audit_log where action = 'try again' $$,
    format($$ values (%L::uuid, 'authenticated', %L, '{}'::jsonb) $$, user_id('neighbour'), user_id('neighbour')),
    'K10: with id, role and claims');
select authenticate_as_service('neighbour');
select is((select count(*) from api.audit_log), 2::bigint, 'K10: the service role reads all of it');
select authenticate_as('neighbour');
select throws_ok(
    'select * from api.audit_log', '42501', 'permission denied for view audit_log', 'K10: nobody else reads any of it');
select throws_ok(
    'select * from app.audit_log', '42501', 'permission denied for schema app', 'K10: not past the view either');

-- The policy numbers --------------------------------------------------------------------------

select authenticate_as_anon();
select results_eq(
    'select credit_value_microdollars, earnings_mode, story_creator_basis_points, earnings_hold_days from api.economy',
    $$ values (50000::bigint, 'fixed', 7000, 7) $$, 'everybody can read the policy numbers');
select throws_ok(
    'update api.economy set earnings_hold_days = 0', '42501', 'permission denied for view economy',
    'and nobody can write them from outside');
select sign_out();
select throws_ok(format('update app.economy set %s', change), '23514', null, format('%s is refused', change))
from (values
    ('credit_value_microdollars = -1'), ('credit_value_microdollars = 10000001'), ('earnings_mode = ''free'''),
    ('story_creator_basis_points = 10001'), ('story_creator_basis_points = -1'), ('earnings_hold_days = 366'),
    ('refund_grace_days = -1'), ('expiring_soon_days = 0'), ('is_only_row = false')
) as bad (change);
select throws_ok('insert into app.economy default values', '23505', null, 'there is one row of them');
select is(
    refusal($$ update app.economy set business_time_zone = 'Mars/Olympus' $$),
    'PT400 unknown_time_zone: This is not a time zone that PostgreSQL knows. Mars/Olympus',
    'a time zone that does not exist is refused');
select claim('neighbour');
select lives_ok(
    $$ update app.economy set story_creator_basis_points = 8000, business_time_zone = 'Asia/Tokyo' $$,
    'an operator can change them');
select results_eq(
    $$ select
        actor_id, details -> 'before' ->> 'story_creator_basis_points',
        details -> 'after' ->> 'story_creator_basis_points', details -> 'after' ->> 'business_time_zone'
    from app.audit_log where action = 'change_economy' $$,
    format($$ values (%L::uuid, '7000', '8000', 'Asia/Tokyo') $$, user_id('neighbour')),
    'K10: which is on record, before and after');

-- Business months (case 8) --------------------------------------------------------------------

select is(
    array[app.month_of('2026-01-31 23:59:59.9+09'), app.month_of('2026-02-01 00:00+09')],
    array['2026-01-01', '2026-02-01']::date[], 'case 8: a month ends at midnight of the business time zone');
set local time zone 'America/Los_Angeles';
select is(
    array[app.month_of('2026-01-31 23:59:59.9+09'), app.month_of('2026-02-01 00:00+09')],
    array['2026-01-01', '2026-02-01']::date[], 'case 8: whatever the session''s time zone');
update app.economy set business_time_zone = 'UTC';
select is(
    array[app.month_of('2026-01-31 23:59:59.9+00'), app.month_of('2026-02-01 00:00+00')],
    array['2026-01-01', '2026-02-01']::date[], 'case 8: in UTC it ends nine hours later');
select is(app.month_of(null), null, 'no instant has no month');

select is_empty('select * from ledger.verify()', 'nothing was made or lost');
select * from finish();
rollback;
