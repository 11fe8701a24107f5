-- What comes of a call, tried as somebody and undone: the tests of security load this after world.sql.

create schema attack;

create table attack.rows_before (relation regclass, content text);
create index on attack.rows_before (relation);

create table attack.owned (owner uuid, id uuid);

create function attack.tables()
returns setof regclass
language sql stable
set search_path = ''
begin atomic
    select c.oid::regclass
    from pg_catalog.pg_class as c
    where c.relnamespace in ('app'::regnamespace, 'ledger'::regnamespace) and c.relkind in ('r', 'p') and not c.relispartition;
end;

create function attack.ids()
returns table (id uuid)
language plpgsql stable
set search_path = ''
as $$
declare
    v_column record;
begin
    for v_column in
        select a.attrelid::regclass as relation, a.attname as name
        from pg_catalog.pg_attribute as a
        where a.attrelid in (select t from attack.tables() as t) and a.atttypid = 'uuid'::regtype and a.attnum > 0
    loop
        return query execute format('select %I from %s where %1$I is not null', v_column.name, v_column.relation);
    end loop;
end;
$$;
comment on function attack.ids() is 'Every id in every table, of whatever it is.';

create function attack.remember()
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    v_relation regclass;
begin
    for v_relation in select t from attack.tables() as t loop
        execute format('insert into attack.rows_before select %L::regclass, t::text from %s as t', v_relation, v_relation);
        execute format(
            'insert into attack.owned
             select p.id, (to_jsonb(t) ->> ''id'')::uuid
             from %s as t inner join app.profiles as p on p.id::text in (select e.value from jsonb_each_text(to_jsonb(t)) as e)
             where to_jsonb(t) ->> ''id'' like ''________-%%''',
            v_relation);
    end loop;
    insert into attack.owned select p.id, p.id from app.profiles as p;
    -- A chapter names its story, and a story its author.
    insert into attack.owned select s.user_id, c.id from app.chapters as c inner join app.stories as s on s.id = c.story_id;
end;
$$;
comment on function attack.remember() is 'Note every row as it is, and which ids are of things that name their owner.';

create function attack.touched(owner uuid)
returns text[]
language plpgsql stable
set search_path = ''
as $$
declare
    v_relation regclass;
    v_rows text[];
    v_touched text[] := '{}';
begin
    for v_relation in select t from attack.tables() as t loop
        execute format(
            'select array_agg(%L || '': '' || gone.content) from (
                 select b.content from attack.rows_before as b where b.relation = %L::regclass
                 except all select t::text from %s as t) as gone
             where not exists (
                 select from attack.owned as o where o.owner = %L and strpos(gone.content, o.id::text) > 0)',
            v_relation, v_relation, v_relation, touched.owner)
        into v_rows;
        v_touched := v_touched || coalesce(v_rows, '{}');
    end loop;
    return v_touched;
end;
$$;
comment on function attack.touched(uuid) is
'The noted rows that are not what they were, but for those about this person or a thing of theirs.';

create function attack.attempt(caller uuid, role text, call text, out outcome text, out touched text[])
language plpgsql volatile
set search_path = ''
as $$
declare
    v_hint text;
    v_message text;
    v_detail text;
begin
    perform set_config(
        'request.jwt.claims', jsonb_build_object('sub', attempt.caller, 'role', 'authenticated')::text, true);
    perform set_config('role', attempt.role, true);
    execute attempt.call into outcome;
    perform set_config('role', 'none', true);
    outcome := 'answer: ' || coalesce(outcome, 'nothing');
    touched := attack.touched(attempt.caller);
    raise exception using errcode = 'UNDO0';
exception
    when sqlstate 'UNDO0' then
        return;
    when others then
        get stacked diagnostics
            v_hint = pg_exception_hint, v_message = message_text, v_detail = pg_exception_detail;
        outcome := concat_ws(' | ', sqlstate, v_hint, v_message, v_detail);
        touched := '{}';
end;
$$;
comment on function attack.attempt(uuid, text, text) is
'What somebody is told who makes this call, and the rows of others that it changed. It is undone.';
