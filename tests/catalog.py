"""What a database is made of, as text: two are alike when their fingerprints are equal."""

import psycopg

SCHEMAS = ["ledger", "app", "api", "yoyo"]

# Each query gives (name, description). A missing list of grants stands for the default ones, and
# grants are sorted, so that it does not matter how they came about.
_GRANTS = """
    (select string_agg(entry::text, ' ' order by entry::text)
     from unnest(coalesce({given}, acldefault('{kind}', {owner}))) as entry)
"""

_QUERIES = {
    "schema": f"""
        select n.nspname,
               concat_ws(' | ', n.nspowner::regrole, obj_description(n.oid, 'pg_namespace'),
                         {_GRANTS.format(given="n.nspacl", kind="n", owner="n.nspowner")})
        from pg_namespace n where n.nspname = any (%(schemas)s)
    """,
    "relation": f"""
        select c.oid::regclass,
               concat_ws(' | ', c.relkind, c.relpersistence, c.relowner::regrole, c.reloptions,
                         'rls ' || c.relrowsecurity || ' ' || c.relforcerowsecurity,
                         pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
                         obj_description(c.oid, 'pg_class'),
                         {_GRANTS.format(given="c.relacl", kind="r", owner="c.relowner")},
                         case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end)
        from pg_class c
        where c.relnamespace::regnamespace::text = any (%(schemas)s) and c.relkind <> 'i'
    """,
    "column": """
        select format('%%s.%%I', a.attrelid::regclass, a.attname),
               concat_ws(' | ', format_type(a.atttypid, a.atttypmod),
                         case when a.attnotnull then 'not null' end,
                         a.attidentity, a.attgenerated, a.attacl,
                         pg_get_expr(d.adbin, d.adrelid),
                         col_description(a.attrelid, a.attnum))
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where c.relnamespace::regnamespace::text = any (%(schemas)s)
          and c.relkind <> 'i' and a.attnum > 0 and not a.attisdropped
    """,
    "constraint": """
        select format('%%s: %%I', coalesce(c.conrelid::regclass::text, c.contypid::regtype::text),
                      c.conname),
               concat_ws(' | ', pg_get_constraintdef(c.oid), 'valid ' || c.convalidated,
                         obj_description(c.oid, 'pg_constraint'))
        from pg_constraint c where c.connamespace::regnamespace::text = any (%(schemas)s)
    """,
    "index": """
        select i.indexrelid::regclass,
               concat_ws(' | ', pg_get_indexdef(i.indexrelid), 'valid ' || i.indisvalid)
        from pg_index i
        join pg_class c on c.oid = i.indexrelid
        where c.relnamespace::regnamespace::text = any (%(schemas)s)
    """,
    "trigger": """
        select format('%%s: %%I', t.tgrelid::regclass, t.tgname),
               concat_ws(' | ', pg_get_triggerdef(t.oid), t.tgenabled)
        from pg_trigger t
        join pg_class c on c.oid = t.tgrelid
        where c.relnamespace::regnamespace::text = any (%(schemas)s) and not t.tgisinternal
    """,
    "policy": """
        select format('%%s: %%I', p.polrelid::regclass, p.polname),
               concat_ws(' | ', p.polcmd, 'permissive ' || p.polpermissive,
                         array(select role::regrole::text
                               from unnest(p.polroles) as role order by 1),
                         pg_get_expr(p.polqual, p.polrelid),
                         pg_get_expr(p.polwithcheck, p.polrelid),
                         obj_description(p.oid, 'pg_policy'))
        from pg_policy p
        join pg_class c on c.oid = p.polrelid
        where c.relnamespace::regnamespace::text = any (%(schemas)s)
    """,
    "function": f"""
        select p.oid::regprocedure,
               concat_ws(' | ', p.proowner::regrole, obj_description(p.oid, 'pg_proc'),
                         {_GRANTS.format(given="p.proacl", kind="f", owner="p.proowner")},
                         case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end)
        from pg_proc p where p.pronamespace::regnamespace::text = any (%(schemas)s)
    """,
    "type": f"""
        select t.oid::regtype,
               concat_ws(' | ', t.typtype, t.typowner::regrole, obj_description(t.oid, 'pg_type'),
                         {_GRANTS.format(given="t.typacl", kind="T", owner="t.typowner")},
                         array(select e.enumlabel::text from pg_enum e
                               where e.enumtypid = t.oid order by e.enumsortorder))
        from pg_type t where t.typnamespace::regnamespace::text = any (%(schemas)s)
    """,
    "default grants": """
        select concat_ws(' ', d.defaclrole::regrole, nullif(d.defaclnamespace, 0)::regnamespace,
                         d.defaclobjtype),
               array(select entry::text from unnest(d.defaclacl) as entry order by 1)
        from pg_default_acl d
    """,
    "setting": """
        select nullif(s.setrole, 0)::regrole, s.setconfig
        from pg_db_role_setting s
        join pg_database d on d.oid = s.setdatabase
        where d.datname = current_database()
    """,
}


def fingerprint(connection: psycopg.Connection) -> dict[str, str]:
    """Describe every object of the project's schemas, keyed by its kind and name."""
    connection.execute("set search_path = ''")
    found = {}
    for kind, query in _QUERIES.items():
        for name, description in connection.execute(query, {"schemas": SCHEMAS}):
            found[f"{kind} {name}"] = str(description)
    return found


def fingerprint_of(url: str) -> dict[str, str]:
    """The same over a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        return fingerprint(connection)
