"""Settings, read from the environment once and checked before anything starts."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

SHORTEST_JWT_SECRET = 32  # bytes; HS256 with less is open to guessing
DATABASE_NAME = "infinite_pages"


class SettingsError(ValueError):
    """A setting is missing, malformed or contradicts another; the text is one clear line."""


@dataclass(frozen=True)
class Settings:
    """What the commands and the supervisor need to know.

    `database_url` is the owner's URL of somebody's own server; without it an embedded server keeps
    its data in `state_folder`.
    """

    database_url: str | None
    authenticator_password: str | None
    edge_password: str | None
    postgrest_port: int
    edge_port: int
    state_folder: Path
    jwt_secret_given: str | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read and check every variable."""
        settings = cls(
            database_url=_database_url(environment.get("DATABASE_URL")),
            authenticator_password=environment.get("AUTHENTICATOR_PASSWORD") or None,
            edge_password=environment.get("EDGE_PASSWORD") or None,
            postgrest_port=_port(environment, "POSTGREST_PORT", 3000),
            edge_port=_port(environment, "EDGE_PORT", 8000),
            state_folder=Path(environment.get("STATE_DIR") or ".local").absolute(),
            jwt_secret_given=_jwt_secret(environment.get("JWT_SECRET"), "JWT_SECRET"),
        )
        if settings.postgrest_port == settings.edge_port:
            raise SettingsError(
                f"POSTGREST_PORT and EDGE_PORT are both {settings.edge_port}: choose two ports"
            )
        return settings

    @property
    def jwt_secret(self) -> str:
        """JWT_SECRET, else the secret of the state folder, which is made on first use."""
        if self.jwt_secret_given is not None:
            return self.jwt_secret_given
        file = self.state_folder / "jwt.secret"
        try:
            self.state_folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            kept = _jwt_secret(file.read_text().strip(), str(file))
            if kept is None:
                raise SettingsError(f"{file} is empty: remove it to have a new one made") from None
            return kept
        except OSError as error:
            raise SettingsError(f"STATE_DIR cannot be written: {error}") from None
        made = secrets.token_urlsafe(48)
        with os.fdopen(descriptor, "w") as output:
            output.write(made)
        return made

    def login_url(self, owner_url: str, role: str) -> str:
        """The URL with which `role` (authenticator or edge) reaches the owner's database."""
        password = {
            "authenticator": self.authenticator_password,
            "edge": self.edge_password,
        }[role]
        if self.database_url is not None and password is None and urlsplit(owner_url).password:
            raise SettingsError(
                f"DATABASE_URL has a password, so role {role} needs one too: "
                f"set {role.upper()}_PASSWORD, and migrating gives it to the role"
            )
        return with_login(owner_url, role, password)


@dataclass(frozen=True)
class EdgeSettings:
    """What the edge needs to know. `database_url` logs in as role `edge`."""

    database_url: str
    jwt_secret: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "EdgeSettings":
        """Read and check every variable."""
        database_url = _database_url(environment.get("DATABASE_URL"))
        jwt_secret = _jwt_secret(environment.get("JWT_SECRET"), "JWT_SECRET")
        if database_url is None:
            raise SettingsError("DATABASE_URL is not set: give the edge its login's URL")
        if jwt_secret is None:
            raise SettingsError("JWT_SECRET is not set: give the edge PostgREST's secret")
        return cls(database_url=database_url, jwt_secret=jwt_secret)


def with_login(url: str, user: str, password: str | None) -> str:
    """The same server and database for another login."""
    parts = urlsplit(url)
    login = quote(user, safe="")
    if password is not None:
        login += f":{quote(password, safe='')}"
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{login}@{host}"
    return urlunsplit(parts._replace(netloc=netloc))


def _database_url(given: str | None) -> str | None:
    if not given:
        return None
    if urlsplit(given).scheme not in ("postgres", "postgresql"):
        raise SettingsError("DATABASE_URL must begin with postgresql://")
    return given


def _port(environment: Mapping[str, str], variable: str, default: int) -> int:
    given = environment.get(variable) or str(default)
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= 65535):
        raise SettingsError(f"{variable} must be a port from 1 to 65535, not {given!r}")
    return int(given)


def _jwt_secret(given: str | None, source: str) -> str | None:
    if not given:
        return None
    if len(given.encode()) < SHORTEST_JWT_SECRET:
        raise SettingsError(f"{source} must be at least {SHORTEST_JWT_SECRET} characters long")
    return given
