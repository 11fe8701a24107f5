-- Everything about a person, as they may have it (GDPR, articles 15 and 20).

create or replace function app.private_columns()
returns text[]
language sql immutable
set search_path = ''
return array[
    'lease_token', 'leased_until', 'token_hash', 'embedding', 'copy_code', 'idempotency_key', 'dedupe_key', 'search',
    'fingerprint', 'parameters',
    -- What operators did is theirs; to whom, and what they saw of them, is not.
    'audit_log.subject', 'audit_log.details', 'audit_log.claims'
];
comment on function app.private_columns() is $$What is ours, or another's: keys, marks, indexes

Columns of every table, and with a table's name before it of that one only.$$;

create or replace function app.personal_tables()
returns table (schema_name text, table_name text, column_names text[])
language sql stable
set search_path = ''
begin atomic
    -- Whatever names a person belongs to them, also in modules that come later.
    select n.nspname::text, c.relname::text, array_agg(a.attname::text order by a.attnum)
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind in ('r', 'p') and not c.relispartition
        and ((n.nspname = 'app' and a.attname in ('user_id', 'creator_id', 'actor_id'))
            or (n.nspname = 'app' and c.relname = 'profiles' and a.attname = 'id')
            or (n.nspname = 'ledger' and a.attname in ('owner_id', 'book_id', 'creator_id')))
        and c.relname not in ('rate_buckets', 'requests', 'export_links', 'stripe_requests')
    group by n.nspname, c.relname
    order by n.nspname, c.relname;
end;
comment on function app.personal_tables() is $$Every table that holds rows about people, and the columns that say about whom

Left out: counters of calls, answers kept for retries, and the outbox, whose content is in the tables it is for.$$;

create or replace function app.private_columns_of(table_name text)
returns text[]
language sql immutable
set search_path = ''
return array(
    select split_part(c, '.', 2) from unnest(app.private_columns()) as c where split_part(c, '.', 1) = private_columns_of.table_name
    union all
    select c from unnest(app.private_columns()) as c where c !~ '[.]'
);
comment on function app.private_columns_of(text) is $$What is ours of a table's columns$$;

create or replace function app.earnings_in_others_books(user_id uuid)
returns jsonb
language sql stable
set search_path = ''
begin atomic
    select jsonb_agg(
        jsonb_build_object(
            'id', m.id, 'kind', m.kind, 'microdollars', m.microdollars, 'reference_type', m.reference_type,
            'reference_id', m.reference_id, 'created_at', m.created_at)
        order by m.id)
    from (
        select t.id, t.kind, t.amount::bigint as microdollars, t.reference_type, t.reference_id, t.created_at
        from ledger.transfers as t
        where t.credit_owner_id = earnings_in_others_books.user_id and t.credit_kind = 'earnings'
            and t.book_id <> earnings_in_others_books.user_id
        union all
        select t.id, t.kind, -t.amount::bigint, t.reference_type, t.reference_id, t.created_at
        from ledger.transfers as t
        where t.debit_owner_id = earnings_in_others_books.user_id and t.debit_kind = 'earnings'
            and t.book_id <> earnings_in_others_books.user_id
    ) as m;
end;
comment on function app.earnings_in_others_books(uuid) is $$What a creator earned and gave back by others' purchases

Without who bought. Null without any.$$;

create or replace function app.export_person(user_id uuid)
returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
    -- Nobody has so many; what is cut is said to be.
    c_most_rows constant integer := 50000;
    v_table record;
    v_rows jsonb;
    v_found jsonb := jsonb_build_object();
    v_cut text[] := array[]::text[];
begin
    for v_table in
        select
            t.schema_name, t.table_name,
            (select string_agg(format('s.%I = $1', c), ' or ') from unnest(t.column_names) as c) as is_about
        from app.personal_tables() as t
    loop
        execute format(
            -- A creator's sale is theirs; who bought is not.
            'select jsonb_agg(r.stored - $2 - case when r.stored ->> ''user_id'' <> $1::text then ''user_id'' else '''' end)
            from (select to_jsonb(s) as stored from %I.%I as s where %s limit %s) as r',
            v_table.schema_name, v_table.table_name, v_table.is_about, c_most_rows + 1)
        into v_rows using export_person.user_id, app.private_columns_of(v_table.table_name);
        if jsonb_array_length(v_rows) > c_most_rows then
            v_cut := v_cut || v_table.table_name::text;
            v_rows := v_rows - c_most_rows;
        end if;
        if v_rows is not null then
            v_found := v_found || jsonb_build_object(v_table.table_name, v_rows);
        end if;
    end loop;
    return jsonb_build_object(
        'exported_at', now(), 'user_id', export_person.user_id, 'cut_off', v_cut,
        'chapters', coalesce((
            select jsonb_agg(jsonb_build_object(
                'story', s.title, 'chapter_number', c.chapter_number, 'title', c.title, 'content', x.content)
                order by s.id, c.chapter_number)
            from app.stories as s
            inner join app.chapters as c on c.story_id = s.id
            inner join app.chapter_texts as x on x.chapter_id = c.id
            where s.user_id = export_person.user_id), '[]'),
        'earnings', coalesce(app.earnings_in_others_books(export_person.user_id), '[]'),
        'tables', v_found);
end;
$$;
comment on function app.export_person(uuid) is $$Everything about a person

The rows of every table that names them, what they wrote, and what they earned. `cut_off` names tables with more than 50,000 rows about them.$$;

create or replace function app.export_my_data()
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
begin
    return app.export_person(app.require_claimed_user());
end;
$$;
comment on function app.export_my_data() is $$Everything about the caller

Errors: 401 login_required.$$;
grant execute on function app.export_my_data() to authenticated;

create or replace function app.export_data_of(user_id uuid)
returns jsonb
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    if not exists (select from app.profiles as p where p.id = export_data_of.user_id) then
        perform app.fail(404, 'user_not_found', 'There is no such person.');
    end if;
    perform app.audit('export_person', export_data_of.user_id::text);
    return app.export_person(export_data_of.user_id);
end;
$$;
comment on function app.export_data_of(uuid) is $$Everything about somebody, for operators who were asked for it

On record in the audit log. Errors: 404 user_not_found.$$;
grant execute on function app.export_data_of(uuid) to service_role;
