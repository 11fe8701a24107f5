"""install.sql: all migrations and all code in one file, for people who only have psql."""

from pathlib import Path

from psycopg import sql
from yoyo.migrations import Migration, get_migration_hash

from api.deploy import code, migrations
from api.deploy.books import SCHEMA, TABLES, checksums
from api.deploy.session import FRESH_SESSION

_HEADER = """\
-- Infinite Pages, whole, for a database that does not have it yet:
--
--     psql -q -v ON_ERROR_STOP=1 -f install.sql "$DATABASE_URL"
--
-- Written by `infinite-pages install-sql`. It also records what it applied, so that later
-- versions come with `infinite-pages migrate`.

begin;

do $$
begin
    if to_regnamespace('ledger') is not null then
        raise exception 'Infinite Pages is already in this database; '
            'install.sql is for an empty one. Run "infinite-pages migrate" to upgrade.';
    end if;
end;
$$;
"""


def build(project: Path) -> str:
    """The text of install.sql."""
    parts = [_HEADER, TABLES]
    for migration in migrations.read(project / "migrations"):
        parts += [_section(Path(migration.path), project), FRESH_SESSION + "\n", _entry(migration)]
    parts.append(code.AS_OWNER + "\n")
    parts += [_section(path, project) for path in code.read_order(project / "sql")]
    parts += [FRESH_SESSION, code.RELOAD, "commit;\n", code.SCHEDULE]
    return "\n".join(parts)


def _section(path: Path, project: Path) -> str:
    title = f"-- {path.relative_to(project)} "
    return f"{title:-<100}\n\n{path.read_text(encoding='utf-8').strip()}\n"


def _entry(migration: Migration) -> str:
    """The SQL twin of `Books.enter`."""
    identity = {
        "schema": sql.Identifier(SCHEMA),
        "hash": sql.Literal(get_migration_hash(migration.id)),
        "id": sql.Literal(migration.id),
    }
    files = sql.SQL(",\n    ").join(
        sql.SQL("({}, {}, {})").format(name, migration.id, checksum)
        for name, checksum in checksums(migration).items()
    )
    entry = sql.SQL("""\
insert into {schema}._yoyo_migration (migration_hash, migration_id, applied_at_utc)
values ({hash}, {id}, clock_timestamp() at time zone 'utc');
insert into {schema}._yoyo_log (
    id, migration_hash, migration_id, operation, username, hostname, created_at_utc
)
values (
    gen_random_uuid(), {hash}, {id}, 'apply', session_user, 'install.sql',
    clock_timestamp() at time zone 'utc'
);
insert into {schema}.checksums (file_name, migration_id, sha256)
values
    {files};
""").format(**identity, files=files)
    return entry.as_string()
