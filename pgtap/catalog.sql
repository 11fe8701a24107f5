-- What has to hold for every object of ours, whatever module it belongs to: nothing here names a table or a function.
-- The questions of Supabase's database linter are among them; each answer is the list of offenders.
begin;
\ir catalog.psql
select plan(54);

-- The lists are about something -----------------------------------------------
select is((select count(*)::integer from our_schemas), 3, 'the three schemas are there');
select isnt_empty('select * from our_tables', 'there are tables to look at');
select isnt_empty('select * from our_functions', 'there are functions to look at');
select isnt_empty('select * from our_policies', 'there are policies to look at');
select isnt_empty('select * from our_calls', 'views and wrappers call what is recorded in the catalog');

-- Tables ----------------------------------------------------------------------
select is_empty(
    'select t.oid::regclass from our_tables as t where not t.has_row_security',
    'every table has row-level security, partitions too');

select is_empty(
    $$ select t.oid::regclass from our_tables as t
       where not exists (select from pg_constraint as c where c.conrelid = t.oid and c.contype = 'p') $$,
    'every table has a primary key');

select is_empty(
    $$ select t.oid::regclass, c.conname
       from our_tables as t
       inner join pg_constraint as c on c.conrelid = t.oid and c.contype = 'f'
       where not exists (
           select from pg_index as i
           where i.indrelid = c.conrelid and i.indpred is null and i.indisvalid
               and (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey) $$,
    'every foreign key is indexed');

select is_empty(
    $$ select t.oid::regclass, c.conname
       from our_tables as t
       inner join pg_constraint as c on c.conrelid = t.oid and c.contype = 'f'
       where c.confdeltype not in ('r', 'a') or c.confupdtype not in ('r', 'a') $$,
    'no foreign key cascades: that would pass by row-level security');

select is_empty(
    $$ select c.conrelid::regclass, c.conname
       from our_schemas as s
       inner join pg_constraint as c on c.connamespace = s.oid
       where not c.convalidated $$,
    'every constraint is validated');

select is_empty(
    $$ select i.indexrelid::regclass
       from our_tables as t
       inner join pg_index as i on i.indrelid = t.oid
       where not i.indisvalid or not i.indisready $$,
    'every index is valid');

select is_empty(
    $$ select i.indrelid::regclass, array_agg(i.indexrelid::regclass)
       from our_tables as t
       inner join pg_index as i on i.indrelid = t.oid
       inner join pg_class as c on c.oid = i.indexrelid
       group by
           i.indrelid, c.relam, i.indkey::text, i.indclass::text, i.indcollation::text, i.indoption::text,
           pg_get_expr(i.indpred, i.indrelid), pg_get_expr(i.indexprs, i.indrelid)
       having count(*) > 1 $$,
    'no index is there twice');

select is_empty(
    $$ select t.oid::regclass from our_tables as t
       where t.persistence = 'u' and exists (
           select from pg_constraint as c where c.contype = 'f' and t.oid in (c.conrelid, c.confrelid)) $$,
    'nothing depends on a table that a crash empties');

select is_empty(
    $$ select c.schema_name, c.relation_name, c.name from our_columns as c where c.type_oid = 'timestamp'::regtype
       union all
       select f.schema_name, f.signature, null from our_functions as f where 'timestamp'::regtype = any (f.type_oids) $$,
    'every time is a timestamptz');

select is_empty(
    $$ select c.schema_name, c.relation_name, c.name
       from our_columns as c
       where c.kind in ('r', 'p', 'c') and c.persistence <> 'u'
           and c.type_oid in ('real'::regtype, 'double precision'::regtype, 'numeric'::regtype, 'money'::regtype)
           and c.name <> 'embedding' $$,
    'whatever is kept is whole: no floats, numeric or money');

-- People who ask for money may say dollars. What is kept of it is counted in cents.
select is_empty(
    $$ select f.signature, v.name
       from our_functions as f
       cross join lateral unnest(f.value_names, f.type_oids) as v (name, type_oid)
       where v.type_oid in ('real'::regtype, 'double precision'::regtype, 'numeric'::regtype, 'money'::regtype)
           and (v.name, v.type_oid) is distinct from ('amount_usd', 'numeric'::regtype)
           -- What a text means is no amount.
           and (v.name, v.type_oid) is distinct from ('embedding', 'real'::regtype) $$,
    'no function takes or answers a fraction');

-- Policies --------------------------------------------------------------------
select is_empty(
    $$ select p.table_oid::regclass, p.command, p.role_oid::regrole, array_agg(p.name)
       from our_policies as p
       where p.is_permissive
       group by p.table_oid, p.command, p.role_oid
       having count(*) > 1 $$,
    'one permissive policy for each command, role and table');

select is_empty(
    'select p.table_oid::regclass, p.name from our_policies as p where p.role_oid = 0',
    'every policy says for whom it is');

select is_empty(
    $$ select p.table_oid::regclass, p.name from our_policies as p
       where p.name !~ format(
           '^%s_%s_[a-z]+$', p.table_name, case p.polcmd when '*' then 'all' else p.command end) $$,
    'policies are named <table>_<command>_<who>');

-- Once a statement, not once a row: as (select app.current_user_id()), or as the plain call where
-- that is an index condition: on the leading column of a compound primary key (a book), or of any
-- index of the ledger. Nothing else may ask who is calling.
create temp view index_leads as
select i.indrelid as table_oid, a.attname as column_name
from our_tables as t
inner join pg_index as i on i.indrelid = t.oid
inner join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
where (i.indisprimary and i.indnkeyatts > 1) or t.schema_name = 'ledger';

select is_empty(
    $$ select p.table_oid::regclass, p.name, p.expression
       from our_policies as p
       cross join lateral (
           select coalesce(string_agg(l.column_name, '|'), 'none') as names from index_leads as l where l.table_oid = p.table_oid
       ) as leads
       where regexp_replace(
               regexp_replace(p.expression, '\( SELECT app\.current_user_id\(\) AS current_user_id\)', '', 'g'),
               '\((' || leads.names || ') = app\.current_user_id\(\)\)', '', 'g')
           ~ '(current_user_id|current_setting|claims|auth\.)' $$,
    'policies ask who is calling once, not for every row');

select set_eq(
    $$ select distinct p.table_oid::regclass::text, p.command, p.role_oid::regrole::text
       from our_policies as p
       where p.is_permissive $$,
    $$ select distinct t.oid::regclass::text, lower(g.privilege_type), g.grantee::regrole::text
       from our_tables as t
       cross join lateral (
           select a.grantee, a.privilege_type from aclexplode(t.grants) as a
           union
           select a.grantee, a.privilege_type
           from pg_attribute as c
           cross join lateral aclexplode(c.attacl) as a
           where c.attrelid = t.oid
       ) as g
       inner join web_roles as w on w.oid = g.grantee $$,
    'a grant on a table has its policy, and a policy its grant');

-- Privileges ------------------------------------------------------------------
select is_empty(
    $$ select w.name, s.schema_name
       from web_roles as w
       cross join our_schemas as s
       where has_schema_privilege(w.oid, s.oid, 'USAGE') <> (s.schema_name = 'api')
           or has_schema_privilege(w.oid, s.oid, 'CREATE') $$,
    'web roles may use schema api and no other of ours, and create nothing');

select is_empty(
    $$ select r.oid::regclass, g.grantee::regrole, g.privilege_type
       from our_relations as r
       cross join lateral aclexplode(r.grants) as g
       where (g.grantee = 0 or g.grantee in (select w.oid from web_roles as w))
           and not (g.grantee <> 0 and g.privilege_type = 'SELECT' and not g.is_grantable) $$,
    'web roles may only read tables and views, and PUBLIC not even that');

select is_empty(
    $$ select r.oid::regclass, g.grantee::regrole, g.privilege_type
       from our_relations as r
       cross join lateral aclexplode(r.grants) as g
       where g.grantee <> r.owner_oid and g.grantee not in (select w.oid from web_roles as w) $$,
    'nobody else has a right on a table: logins such as the edge only call functions');

-- Nor a column, a sequence, a schema or another role: what a login that is not a web role's may do is to call.
select is_empty(
    $$ select c.relation_name, c.name, g.grantee::regrole
       from our_columns as c
       inner join pg_attribute as a on a.attrelid = c.attrelid and a.attnum = c.attnum
       cross join lateral aclexplode(a.attacl) as g
       where g.grantee not in (select w.oid from web_roles as w)
       union all
       select s.schema_name, p.privilege, 'edge'::regrole
       from our_schemas as s
       cross join (values ('USAGE'), ('CREATE')) as p (privilege)
       where has_schema_privilege('edge', s.oid, p.privilege) <> (s.schema_name = 'app' and p.privilege = 'USAGE')
       union all
       select m.roleid::regrole::text, 'MEMBER', m.member::regrole from pg_auth_members as m where m.member = 'edge'::regrole
       union all
       select r.schema_name, r.name, 'edge'::regrole
       from our_relations as r
       where case r.kind when 'S' then has_sequence_privilege('edge', r.oid, 'USAGE, SELECT, UPDATE')
           else r.kind <> 'c' and (
               has_table_privilege('edge', r.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
               or has_any_column_privilege('edge', r.oid, 'SELECT, INSERT, UPDATE, REFERENCES')) end $$,
    'the edge may use schema app and nothing in it but functions');

select is_empty(
    $$ select f.signature
       from our_functions as f
       where has_function_privilege('edge', f.oid, 'EXECUTE') and (f.schema_name <> 'app' or not f.is_definer) $$,
    'which are definers: it has no rights of its own to call others with');

select is_empty(
    $$ select f.signature from our_functions as f cross join lateral aclexplode(f.grants) as g where g.grantee = 0 $$,
    'nothing is executable by PUBLIC');

select is_empty(
    $$ select f.signature, g.grantee::regrole
       from our_functions as f
       cross join lateral aclexplode(f.grants) as g
       where g.is_grantable and g.grantee <> f.owner_oid $$,
    'nobody hands an EXECUTE on');

select is_empty(
    $$ select format('schema %s', s.schema_name) from our_schemas as s where s.owner_oid <> 'app_owner'::regrole
       union all
       select format('relation %s.%s', r.schema_name, r.name) from our_relations as r where r.owner_oid <> 'app_owner'::regrole
       union all
       select format('function %s', f.signature) from our_functions as f where f.owner_oid <> 'app_owner'::regrole
       union all
       select format('type %s', t.oid::regtype)
       from pg_type as t
       inner join our_schemas as s on s.oid = t.typnamespace
       where t.typowner <> 'app_owner'::regrole $$,
    'app_owner owns everything');

select is_empty(
    $$ select r.rolname from pg_roles as r
       where r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator', 'app_owner', 'edge')
           and (r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication
               or (r.rolname = 'app_owner' and r.rolcanlogin) or (r.rolname = 'authenticator' and r.rolinherit)) $$,
    'no role of ours has more than it needs');

select is_empty(
    $$ select m.member::regrole, m.roleid::regrole
       from pg_auth_members as m
       inner join pg_roles as r on r.oid = m.member
       where m.roleid = 'app_owner'::regrole
           and r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator', 'edge') $$,
    'no role from outside can become the owner');

-- Functions -------------------------------------------------------------------
select is_empty(
    $$ select f.signature from our_functions as f
       where not f.is_aggregate and (f.settings is null or not f.settings @> array['search_path=""']) $$,
    'every function pins search_path to empty');

select is_empty(
    $$ select f.signature from our_functions as f where f.schema_name = 'api' and f.is_definer $$,
    'no definer function is exposed');

select is_empty(
    $$ select f.signature from our_functions as f where f.schema_name = 'api' and not f.is_parsed and not f.is_aggregate $$,
    'wrappers are begin atomic: what they use cannot be dropped under them');

select is_empty(
    $$ select f.name from our_functions as f where f.schema_name = 'api' group by f.name having count(*) > 1 $$,
    'no exposed name is there twice: a JSON call could not tell them apart');

select is_empty(
    $$ select f.signature from our_functions as f
       inner join pg_proc as p on p.oid = f.oid
       where f.schema_name = 'api' and not f.is_aggregate
           and cardinality(array_remove(coalesce(p.proargnames, '{}'), '')) < coalesce(cardinality(p.proallargtypes), p.pronargs) $$,
    'every argument and result of an exposed function has a name');

select is_empty(
    $$ select f.signature, c.callee_oid::regprocedure
       from our_functions as f
       inner join our_calls as c on c.caller_oid = f.oid
       inner join our_functions as g on g.oid = c.callee_oid
       where f.volatility <> 'v' and g.volatility = 'v' $$,
    'what says that it only reads calls nothing that writes');

select is_empty(
    $$ select w.name, c.caller, g.signature
       from our_calls as c
       inner join our_functions as g on g.oid = c.callee_oid
       cross join web_roles as w
       left join our_functions as f on f.oid = c.caller_oid
       left join our_relations as r on r.oid = c.caller_oid
       where (f.schema_name = 'api' or r.schema_name = 'api')
           and case when f.oid is not null then has_function_privilege(w.oid, f.oid, 'EXECUTE')
               else has_table_privilege(w.oid, r.oid, 'SELECT') end
           and not has_function_privilege(w.oid, g.oid, 'EXECUTE') $$,
    'who may call a wrapper or read a view may call what is behind it');

select is_empty(
    $$ select w.name, g.signature
       from our_functions as g
       cross join web_roles as w
       where g.schema_name <> 'api' and g.is_definer and has_function_privilege(w.oid, g.oid, 'EXECUTE')
           and not exists (
               select from our_calls as c
               left join our_functions as f on f.oid = c.caller_oid and f.schema_name = 'api'
               left join our_relations as r on r.oid = c.caller_oid and r.schema_name = 'api'
               where c.callee_oid = g.oid
                   and (has_function_privilege(w.oid, f.oid, 'EXECUTE') or has_table_privilege(w.oid, r.oid, 'SELECT'))) $$,
    'no web role may call a definer function that nothing exposed to it uses');

-- An object of Stripe finds its handler by name: whatever is called like one has to be one.
create temp view our_handlers as
select f.*, p.pronargs, p.prorettype, p.proretset
from our_functions as f
inner join pg_proc as p on p.oid = f.oid
where f.schema_name = 'app' and f.name like 'apply\_stripe\_%' and 'jsonb'::regtype = any (p.proargtypes::oid[]);
select isnt_empty('select * from our_handlers', 'there are handlers of Stripe''s objects');
select is_empty(
    $$ select h.signature from our_handlers as h
       where h.pronargs <> 1 or h.prorettype <> 'app.stripe_outcome'::regtype or h.proretset
           or h.volatility <> 'v' or h.is_definer $$,
    'a handler takes the object and gives its outcome');
select is_empty(
    $$ select h.signature from our_handlers as h
       where h.name !~ '^apply_stripe_(connect_)?[a-z_]{1,40}$' or h.name ~ '^apply_stripe_connect_connect_' $$,
    'its name can be made from a type');
select is_empty(
    $$ select h.signature from our_handlers as h cross join lateral aclexplode(h.grants) as g where g.grantee <> h.owner_oid $$,
    'nobody from outside calls a handler');

-- Views -----------------------------------------------------------------------
select is_empty(
    $$ select r.name from our_relations as r
       where r.schema_name = 'api' and r.kind = 'v' and pg_relation_is_updatable(r.oid::regclass, true) = 0 $$,
    'a write to any view is refused for want of the privilege, not as a fault of the server');

select is_empty(
    $$ select r.oid::regclass, r.kind from our_relations as r where r.schema_name = 'api' and r.kind not in ('v', 'c') $$,
    'schema api holds views: no table, foreign table, materialized view or sequence');

select is_empty(
    $$ select r.oid::regclass from our_relations as r
       where r.kind = 'v' and not coalesce(r.options && array['security_invoker=true', 'security_invoker=on'], false) $$,
    'every view is security_invoker');

-- Documentation ---------------------------------------------------------------
select is_empty(
    $$ select s.schema_name from our_schemas as s where obj_description(s.oid, 'pg_namespace') is null
       union all
       select format('%s.%s', r.schema_name, r.name) from our_relations as r
       where r.kind in ('r', 'p', 'v') and obj_description(r.oid, 'pg_class') is null
       union all
       select f.signature from our_functions as f where obj_description(f.oid, 'pg_proc') is null
       union all
       select t.oid::regtype::text
       from pg_type as t
       inner join our_schemas as s on s.oid = t.typnamespace
       left join our_relations as r on r.oid = t.typrelid
       where (t.typtype in ('d', 'e', 'r') or r.kind = 'c') and obj_description(t.oid, 'pg_type') is null $$,
    'schemas, tables, views, functions and types are documented');

select is_empty(
    $$ select c.relation_name, c.name from our_columns as c
       where c.schema_name = 'api' and coalesce(col_description(c.attrelid, c.attnum), '') = '' $$,
    'every column in api is documented');

create temp view summaries as
select f.schema_name, f.signature as object, split_part(obj_description(f.oid, 'pg_proc'), E'\n', 1) as summary,
    obj_description(f.oid, 'pg_proc') as whole
from our_functions as f
union all
select r.schema_name, r.oid::regclass::text, split_part(obj_description(r.oid, 'pg_class'), E'\n', 1), obj_description(r.oid, 'pg_class')
from our_relations as r
where r.kind = 'v';

select is_empty(
    $$ select s.object, length(s.summary) from summaries as s
       where length(s.summary) > 80 or s.summary = '' or s.summary <> btrim(s.summary) $$,
    'a comment begins with a summary of at most 80 characters');

select is_empty(
    $$ select s.object from summaries as s
       where position(E'\n' in s.whole) > 0 and s.whole !~ E'^[^\n]+\n\n[^\n]' $$,
    'a description follows its summary after an empty line');

select is_empty(
    $$ select s.object from summaries as s where s.schema_name = 'api' and length(s.whole) = length(s.summary) $$,
    'whatever is exposed says more than its summary');

-- Triggers --------------------------------------------------------------------
create temp view our_triggers as
select r.oid as table_oid, r.schema_name, r.name as table_name, t.tgname as name, t.tgenabled as enabled
from our_relations as r
inner join pg_trigger as t on t.tgrelid = r.oid
where not t.tgisinternal and t.tgparentid = 0;

select is_empty(
    $$ select t.table_oid::regclass, t.name from our_triggers as t where t.name !~ format('^tg_%s__[a-z_]+$', t.table_name) $$,
    'triggers are named tg_<table>__<task>');

select is_empty(
    $$ select t.table_oid::regclass, t.name from our_triggers as t where t.enabled not in ('O', 'A') $$,
    'every trigger is on');

-- Partitions ------------------------------------------------------------------
select is_empty(
    $$ select r.oid::regclass, g.grantee::regrole
       from our_relations as r
       cross join lateral aclexplode(r.grants) as g
       where r.is_partition and g.grantee <> r.owner_oid $$,
    'a partition is reached through its table alone');

select * from finish();
rollback;
