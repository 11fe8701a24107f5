"""Putting right what a restore without owners and privileges lost.

Dumps of managed services are often restored with `--no-owner --no-privileges`. Then everything
belongs to whoever restored it and not to app_owner, which the code runs as; and functions are back
at PostgreSQL's default, by which everybody may execute them. The code grants what it needs with
every deploy, but it takes nothing away, and what migrations granted they do not grant again.
"""

from psycopg import Connection

from api.deploy.errors import DeployError
from api.deploy.session import Report, in_one_transaction

# What each migration granted outside of sql/; a fresh database is where it should be already.
_PRIVILEGES = """
set local role app_owner;
alter default privileges for role app_owner revoke execute on functions from public;
revoke execute on all routines in schema ledger, app, api from public;
grant usage on schema api to anon, authenticated, service_role;
grant usage on schema app to edge;
grant execute on function app.new_id() to anon, authenticated, service_role;
reset role;
"""

_IS_DEPLOYED = """
select to_regclass('ledger.transfers') is not null, to_regrole('app_owner') is not null
"""

# Indexes, triggers, policies and the sequences of columns belong to whom their table does.
_STRAYS = """
with ours as (
    select n.oid, n.nspname, n.nspowner
    from pg_catalog.pg_namespace as n
    where n.nspname in ('ledger', 'app', 'api')
),
strays (place, kind, name, owner) as (
    select 1, 'schema', format('%I', o.nspname), o.nspowner
    from ours as o
    union all
    select
        2,
        case c.relkind
            when 'v' then 'view' when 'S' then 'sequence' when 'c' then 'type' else 'table'
        end,
        format('%I.%I', o.nspname, c.relname), c.relowner
    from pg_catalog.pg_class as c
    join ours as o on o.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'c') or (
        c.relkind = 'S' and not exists (
            select from pg_catalog.pg_depend as d
            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')))
    union all
    select
        3, case t.typtype when 'd' then 'domain' else 'type' end,
        t.oid::regtype::text, t.typowner
    from pg_catalog.pg_type as t
    join ours as o on o.oid = t.typnamespace
    where t.typtype in ('d', 'e')
    union all
    select 4, 'routine', p.oid::regprocedure::text, p.proowner
    from pg_catalog.pg_proc as p
    join ours as o on o.oid = p.pronamespace
)
select format('alter %s %s owner to app_owner', s.kind, s.name)
from strays as s
where s.owner <> 'app_owner'::regrole
order by s.place, s.name
"""

# By what only a restore does. What operators add to our schemas is theirs, and left alone.
_HAS_LOST = """
select
    exists (
        select from pg_catalog.pg_class as c
        where c.oid = 'ledger.transfers'::regclass and c.relowner <> 'app_owner'::regrole)
    or not has_schema_privilege('anon', 'api', 'usage')
    or exists (
        select
        from pg_catalog.pg_proc as p
        cross join lateral pg_catalog.aclexplode(
            coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) as a
        where p.pronamespace in ('ledger'::regnamespace, 'app'::regnamespace, 'api'::regnamespace)
            and p.proowner = 'app_owner'::regrole
            and a.grantee = 0)
"""

# pgvector's types are named by app_owner's code. Where this login may not grant that, the deploy
# goes on without, and the cache finds no meanings.
_EXTENSIONS = """
do $$
begin
    if to_regnamespace('extensions') is not null
        and not has_schema_privilege('app_owner', 'extensions', 'usage')
    then
        grant usage on schema extensions to app_owner;
    end if;
exception
    when insufficient_privilege then null;
end
$$;
"""


def put_right(connection: Connection, report: Report) -> None:
    """Give everything back to app_owner, and take back what everybody may do by default."""
    there, has_owner = _one(connection, _IS_DEPLOYED)
    if not there:
        return
    if not has_owner:
        raise DeployError(
            "The database was restored without its roles: deploy into an empty database of this "
            "server first, which makes them, restore again, then deploy."
        )
    if _one(connection, _HAS_LOST) == (False,):
        return

    def work() -> None:
        for (statement,) in connection.execute(_STRAYS).fetchall():
            connection.execute(statement.encode())
        connection.execute(_PRIVILEGES)
        connection.execute(_EXTENSIONS)

    report("a restore lost owners or privileges: putting them right")
    in_one_transaction(connection, work, report)


def _one(connection: Connection, query: str) -> tuple[bool, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row
