-- people: one's own profile, and taking everything along (IP1, GDPR).
begin;
\ir helpers.psql
\ir covers.psql
\ir cache.psql
\ir people.psql
select plan(90);

select is_empty('select * from ledger.verify()', 'the world of these tests is in order');

-- Shape -------------------------------------------------------------------------
select columns_are('api', 'profiles', array[
    'id', 'handle', 'display_name', 'bio', 'avatar_url', 'subscription_tier', 'credits_balance', 'credits_earned_total',
    'credits_spent_total', 'is_creator', 'creator_tier', 'total_earnings_usd', 'pending_payout_usd', 'created_at', 'updated_at',
    'cache_hits', 'cache_discount_earned', 'stripe_connect_account_id']);
select function_returns('api', 'export_my_data', array[]::text[], 'jsonb');
select function_returns('api', 'erase_me', array['boolean'], 'jsonb');
select volatility_is('api', 'export_my_data', array[]::text[], 'stable', 'so that GET works');
select function_privs_are('api', f, a::text[], r, case when r = allowed then array['EXECUTE'] else array[]::text[] end, r || ' and ' || f)
from (values
    ('export_my_data', '{}', 'authenticated'), ('erase_me', '{boolean}', 'authenticated'),
    ('export_person', '{uuid}', 'service_role'), ('erase_person', '{uuid,text,boolean}', 'service_role')) as w (f, a, allowed)
cross join unnest(array['anon', 'authenticated', 'service_role', 'edge']) as r;
select function_privs_are('app', f, array['uuid'], r, array[]::text[], r || ' cannot call app.' || f)
from unnest(array['export_person', 'forget_writing', 'forget_contacts', 'forfeit_all']) as f
cross join unnest(array['anon', 'authenticated', 'service_role', 'edge']) as r;

-- One's own profile ---------------------------------------------------------------
select authenticate_as('ann');
select is(
    (select format('%s, %s, %s, %s: %s hits saved %s', p.display_name, p.credits_balance, p.is_creator,
            p.stripe_connect_account_id, p.cache_hits, p.cache_discount_earned)
        from api.profiles as p),
    'Ann Example, 865, t, acct_ann: 1 hits saved 2', 'a profile has its figures');
select is((select count(*)::integer from api.profiles), 1, 'and it is one''s own alone');
select authenticate_as('bob');
select is((select p.stripe_connect_account_id from api.profiles as p), null, 'who is not paid has no account');
select sign_out();
update app.economy set payouts_are_live = true;
select authenticate_as('ann');
select is((select p.stripe_connect_account_id from api.profiles as p), null, 'an account of the test mode is none in earnest');
select sign_out();
update app.economy set payouts_are_live = false;

-- Every row of hers ---------------------------------------------------------------
select tests.note('export', app.export_person(tests.user_id('ann'))::text);

create function tests.exported()
returns jsonb
language sql stable
return tests.noted('export')::jsonb;

-- Where a person's id stands at all, whatever the column is called.
create function tests.traces_of(handle text)
returns table (place text, found_rows bigint)
language plpgsql volatile security definer
as $$
declare
    v_column record;
begin
    for v_column in
        select c.relnamespace::regnamespace::text as schema_name, c.relname, a.attname
        from pg_class as c
        inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relkind in ('r', 'p') and not c.relispartition and a.atttypid = 'uuid'::regtype
            and c.relnamespace in ('app'::regnamespace, 'ledger'::regnamespace)
    loop
        place := format('%s.%s.%s', v_column.schema_name, v_column.relname, v_column.attname);
        execute format('select count(*) from %I.%I where %I = $1', v_column.schema_name, v_column.relname, v_column.attname)
        into found_rows using tests.user_id(traces_of.handle);
        if found_rows > 0 then
            return next;
        end if;
    end loop;
end;
$$;

select set_eq(
    $$ select t.place from traces_of('ann') as t
       where not exists (
           select from app.personal_tables() as p
           where t.place = any (select format('%s.%s.%s', p.schema_name, p.table_name, c) from unnest(p.column_names) as c)) $$,
    array[
        'ledger.transfers.debit_owner_id', 'ledger.transfers.credit_owner_id', 'ledger.requests.book_id',
        'app.stripe_requests.user_id', 'app.stripe_requests.subject_id'],
    'her id stands in tables that are exported, and in these, of which the content is in others');
select cmp_ok((select count(*) from app.personal_tables()), '>', 30::bigint, 'that is most tables there are');
select bag_eq(
    $$ select split_part(t.place, '.', 2), sum(t.found_rows)::bigint from traces_of('ann') as t
       where t.place not similar to '%.(debit_owner_id|credit_owner_id|subject_id)|ledger.requests.%|app.stripe_requests.%'
       group by 1 $$,
    $$ select t.key, jsonb_array_length(t.value)::bigint from jsonb_each(exported() -> 'tables') as t $$,
    'every row that names her is there, once');
select set_has(
    $$ select t.key from jsonb_each(exported() -> 'tables') as t $$,
    $$ values ('profiles'), ('user_library'), ('reading_progress'), ('reading_days'), ('stories'), ('story_authors'), ('story_pricing'),
       ('story_purchases'), ('story_entitlements'), ('payments'), ('refunds'), ('disputes'), ('stripe_customers'), ('notices'),
       ('notice_settings'), ('cover_jobs'), ('story_covers'), ('generation_jobs'), ('cache_rewards'), ('ai_usage_logs'),
       ('infinite_pages_cache'), ('exports'), ('feature_usage'), ('subscriptions'), ('payouts'), ('payout_accounts'),
       ('payout_settings'), ('audit_log'), ('operators'), ('accounts'), ('lots'), ('draws'), ('transfers') $$,
    'she had done all that can be done');
select is(exported() ->> 'cut_off', '[]', 'and nothing was cut off');
select is(
    exported() #> '{tables,user_library,0}' ->> 'personal_notes', 'It made me cry', 'her notes are hers');
select set_eq(
    $$ select c ->> 'story' as story, c ->> 'content' as content
       from jsonb_array_elements(exported() -> 'chapters') as c
       where c ->> 'story' = 'Draft' or c ->> 'chapter_number' = '4' $$,
    $$ values ('Draft', 'A secret draft'), ('Sold', 'Not for anybody yet') $$,
    'what she wrote is there with its drafts');
select bag_eq(
    $$ select e ->> 'kind' as kind, (e ->> 'microdollars')::bigint as microdollars
       from jsonb_array_elements(exported() -> 'earnings') as e $$,
    $$ values ('earning', 175000::bigint), ('earning', 52500), ('earning', 175000), ('clawback', -175000), ('earning', 50000000) $$,
    'so is what others'' purchases brought her, and what was taken back');

-- Nothing of anybody else's ---------------------------------------------------------
select unalike(exported()::text, format('%%%s%%', tests.user_id(p)), p || ' is not named')
from unnest(array['bob', 'operator', 'crowd']) as p;
select unalike(app.export_person(tests.user_id('cora'))::text, format('%%%s%%', tests.user_id('bob')), 'nor does Cora learn of Bob');
select unalike(
    app.export_person(tests.user_id('bob'))::text, '%' || what || '%', 'nor does Bob have ' || what)
from unnest(array['ann@example.com', 'It made me cry', 'secret draft', 'Once upon a time', 'my own face', 'acct_ann', 'cus_ann']) as what;
select unalike(exported()::text, '%' || what || '%', 'nor does Ann have ' || what)
from unnest(array['Bob liked it', 'cus_bob', 'sub_bob', '"seen"', 'acct_cora', 'tr_paid_to_cora']) as what;
select set_eq(
    $$ select s ->> 'id' from jsonb_array_elements(exported() #> '{tables,stories}') as s $$,
    $$ select s.id::text from app.stories as s where s.user_id = tests.user_id('ann') $$, 'the stories are her own');
select is(
    (select count(*)::integer from jsonb_array_elements(exported() #> '{tables,story_purchases}') as p
        where p ? 'user_id' and p ->> 'user_id' <> tests.user_id('ann')::text), 0, 'a sale does not say to whom');

-- No keys and no marks ----------------------------------------------------------------
select is(
    jsonb_path_exists(exported(), format('$.tables.**.%s', c)::jsonpath), false, c || ' is ours')
from unnest(app.private_columns()) as c
where c !~ '[.]';
select isnt_empty('select 1 from app.exports where copy_code is not null', 'there was something to hide');
select is(
    jsonb_path_query_array(exported(), '$.tables.audit_log[*].keyvalue().key'), '["id", "action", "actor_id", "actor_role", "created_at"]',
    'what an operator did is theirs, to whom is not');

-- Too much of it --------------------------------------------------------------------------
insert into app.reading_days (user_id, day, reading_seconds)
select tests.user_id('bob'), date '1000-01-01' + n, 1 from generate_series(1, 50001) as n;
select is(
    (select format('%s: %s', e ->> 'cut_off', jsonb_array_length(e #> '{tables,reading_days}'))
        from app.export_person(tests.user_id('bob')) as e),
    '["reading_days"]: 50000', 'what is cut is said to be');

-- By whom ---------------------------------------------------------------------------------
select authenticate_as_anon();
select matches(refusal('select api.export_my_data()'), '^42501 : permission denied', 'not by anon');
select tests.sign_in('authenticated', '{"role": "authenticated"}');
select is(
    refusal('select api.export_my_data()'),
    'PT401 login_required: Please sign in first. The call carries no token with a subject.', 'not by nobody');
select authenticate_as('ann');
select is(by_get('select api.export_my_data() as it') #> '{0,it}', exported(), 'by herself, by GET');
select matches(
    refusal('select api.export_person(tests.user_id(''bob''))'), '^42501 : permission denied', 'and of nobody else');
select authenticate_as('newcomer');
select is(
    api.export_my_data() - 'exported_at',
    jsonb_build_object('user_id', tests.user_id('newcomer'), 'cut_off', '[]'::jsonb, 'chapters', '[]'::jsonb,
        'earnings', '[]'::jsonb, 'tables', '{}'::jsonb),
    'who was never here has nothing');
select tests.sign_in('service_role', jsonb_build_object(
    'sub', tests.user_id('operator'), 'role', 'service_role', 'email', 'op@example.com', 'user_metadata', '{"name": "Op"}'::jsonb));
select is(api.export_person(tests.user_id('ann')), exported(), 'by operators, for her');
select is(
    refusal('select api.export_person(tests.user_id(''newcomer''))'), 'PT404 user_not_found: There is no such person.',
    'but not of nobody');
select is(refusal('select api.export_person(null)'), 'PT404 user_not_found: There is no such person.', 'nor of null');
select sign_out();
select bag_eq(
    $$ select a.action, a.actor_id, a.subject, a.details, a.claims from app.audit_log as a where a.action = 'export_person' $$,
    $$ values ('export_person', tests.user_id('operator'), tests.user_id('ann')::text, '{}'::jsonb,
           jsonb_build_object('sub', tests.user_id('operator'), 'role', 'service_role')) $$,
    'and it is on record, without anybody''s address');

select * from finish();
rollback;
