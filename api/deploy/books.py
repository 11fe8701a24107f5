"""The record of what was applied: yoyo's own tables, and a checksum of every applied file.

yoyo identifies a migration by its name alone. The checksums make an edit of an applied file
visible, which would otherwise leave two databases of the same version with different tables.
"""

import hashlib
from pathlib import Path
from typing import Any

from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import Migration, MigrationList, default_migration_table

from api.deploy.errors import DeployError

SCHEMA = "yoyo"

# The tables of yoyo 9 (its format 2), made here so that they exist before its first use, are in a
# schema of their own, and are the same in install.sql. yoyo upgrades them when it needs to.
TABLES = f"""\
create schema if not exists {SCHEMA};

create table if not exists {SCHEMA}._yoyo_migration (
    migration_hash varchar(64) primary key,
    migration_id varchar(255),
    applied_at_utc timestamp
);

create table if not exists {SCHEMA}._yoyo_log (
    id varchar(36) primary key,
    migration_hash varchar(64),
    migration_id varchar(255),
    operation varchar(10),
    username varchar(255),
    hostname varchar(255),
    comment varchar(255),
    created_at_utc timestamp
);

create table if not exists {SCHEMA}._yoyo_version (
    version int primary key,
    installed_at_utc timestamp
);

insert into {SCHEMA}._yoyo_version (version, installed_at_utc)
values (2, now() at time zone 'utc')
on conflict do nothing;

create table if not exists {SCHEMA}.yoyo_lock (
    locked int primary key default 1,
    ctime timestamp,
    pid int not null
);

create table if not exists {SCHEMA}.checksums (
    file_name text primary key,
    migration_id text not null,
    sha256 text not null
);

create table if not exists {SCHEMA}.standing (
    thing text primary key,
    text text not null,
    definition text not null
);
"""


def rollback_path(migration: Migration) -> Path:
    """The file that undoes a migration."""
    return Path(migration.path).with_suffix(".rollback.sql")


def checksums(migration: Migration) -> dict[str, str]:
    """The SHA-256 of a migration's files by file name."""
    paths = (Path(migration.path), rollback_path(migration))
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.exists()
    }


class Books:
    """yoyo's record in one database, and the connection it is kept over."""

    def __init__(self, url: str) -> None:
        # yoyo's own parsing of URLs knows neither percent-encoded names nor libpq's other forms.
        parameters: dict[str, Any] = conninfo_to_dict(url)
        database = parameters.pop("dbname", None)
        address = DatabaseURI(
            scheme="postgresql+psycopg",
            username=None,
            password=None,
            hostname=None,
            port=None,
            database=database,
            args={**parameters, "schema": SCHEMA},
        )
        self._backend = PostgresqlPsycopgBackend(address, default_migration_table)

    @property
    def connection(self) -> Connection:
        """The session of this deploy, in autocommit mode."""
        connection: Connection = self._backend.connection
        return connection

    def open(self) -> None:
        """Make the tables where they are missing."""
        self.connection.execute(TABLES)
        self._find_tables()
        self._backend.ensure_internal_schema_updated()

    def pending(self, migrations: MigrationList) -> list[Migration]:
        """What is not applied yet, in the order to apply it."""
        self._find_tables()
        return list(self._backend.to_apply(migrations))

    def applied(self, migrations: MigrationList) -> list[Migration]:
        """What is applied, the newest first."""
        self._find_tables()
        return list(self._backend.to_rollback(migrations))

    def refuse_surprises(self, migrations: MigrationList) -> None:
        """Stop when the database and the folder disagree about what has been applied."""
        known = {migration.id: migration for migration in migrations}
        for (name,) in self.connection.execute(
            f"select migration_id from {SCHEMA}._yoyo_migration order by migration_id"
        ):
            if name not in known:
                raise DeployError(
                    f"The database has migration {name}, which this version does not: "
                    "deploy the version that brought it, or a later one."
                )
        for name, file_name, recorded in self.connection.execute(
            f"select migration_id, file_name, sha256 from {SCHEMA}.checksums "
            f"join {SCHEMA}._yoyo_migration using (migration_id) order by file_name"
        ):
            found = checksums(known[name]).get(file_name)
            if found != recorded:
                raise DeployError(
                    f"{file_name} was {'edited' if found else 'removed'} after it was applied: "
                    "restore it and write a new migration."
                )

    def enter(self, migration: Migration) -> None:
        """Record a migration as applied, with its checksums."""
        self._find_tables()
        self._backend.log_migration(migration, "apply")
        self._backend.mark_one(migration, log=False)
        for file_name, checksum in checksums(migration).items():
            self.connection.execute(
                f"insert into {SCHEMA}.checksums (file_name, migration_id, sha256) "
                "values (%s, %s, %s) on conflict (file_name) do update "
                "set migration_id = excluded.migration_id, sha256 = excluded.sha256",
                (file_name, migration.id, checksum),
            )

    def strike(self, migration: Migration) -> None:
        """Record a migration as rolled back."""
        self._find_tables()
        self._backend.log_migration(migration, "rollback")
        self._backend.unmark_one(migration, log=False)
        self.connection.execute(
            f"delete from {SCHEMA}.checksums where migration_id = %s", (migration.id,)
        )

    def _find_tables(self) -> None:
        """Undo what a file set for its session: yoyo names its tables without their schema."""
        self.connection.execute(f"reset role; set search_path = {SCHEMA}")
