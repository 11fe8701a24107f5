"""Settings of covers: the servers that draw them, and where the images are kept."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from api.config.reading import SettingsError, origin_of

SERVERS_VARIABLE = "STABLE_DIFFUSION_WEBUI_URL"
STORE_VARIABLE = "COVER_STORE_URL"
MOST_CAPACITY = 16
OPTIONS = ("capacity", "models")


@dataclass(frozen=True)
class WebuiServer:
    """A server that speaks the WebUI's API. No password is in the repr.

    `capacity` is how many covers it is given at once. `models` is for a server that cannot list
    its own; None where it is asked.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    capacity: int = 1
    models: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """Host and port, as the database knows the server; with its path where it has one."""
        parts = urlsplit(self.url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
        return f"[{host}]:{port}{parts.path}" if ":" in host else f"{host}:{port}{parts.path}"

    @property
    def address(self) -> str:
        """The server with its password and options, as it is written in the variable."""
        scheme, _, rest = self.url.partition("://")
        login = ""
        if self.username is not None and self.password is not None:
            login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        options = [f"capacity={self.capacity}"] if self.capacity != 1 else []
        if self.models is not None:
            options.append("models=" + ",".join(quote(model, safe="") for model in self.models))
        return f"{scheme}://{login}{rest}" + ("#" + "&".join(options) if options else "")


@dataclass(frozen=True)
class CoverSettings:
    """What the worker needs to make covers."""

    servers: tuple[WebuiServer, ...]
    store_url: str

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ
    ) -> "CoverSettings | None":
        """Read and check both variables; None where neither is set."""
        servers, store_url = read_servers(environment), read_store_url(environment)
        if not servers and store_url is None:
            return None
        if store_url is None:
            raise SettingsError(
                f"{SERVERS_VARIABLE} is set, and {STORE_VARIABLE} is not: where are covers kept?"
            )
        if not servers:
            raise SettingsError(
                f"{STORE_VARIABLE} is set, and {SERVERS_VARIABLE} is not: which server draws?"
            )
        return cls(servers=servers, store_url=store_url)


def cover_environment(settings: CoverSettings | None) -> dict[str, str]:
    """The variables that these settings are read from; empty where there are none."""
    if settings is None:
        return {SERVERS_VARIABLE: "", STORE_VARIABLE: ""}
    return {
        SERVERS_VARIABLE: " ".join(server.address for server in settings.servers),
        STORE_VARIABLE: settings.store_url,
    }


def read_servers(environment: Mapping[str, str]) -> tuple[WebuiServer, ...]:
    """STABLE_DIFFUSION_WEBUI_URL: servers parted by blanks; none where it is not set."""
    servers: dict[str, WebuiServer] = {}
    for number, given in enumerate((environment.get(SERVERS_VARIABLE) or "").split(), start=1):
        # Which one is wrong is said by its number: the address may hold a password.
        server = _read_server(given, f"server {number} of {SERVERS_VARIABLE}")
        if server.name in servers:
            raise SettingsError(
                f"{SERVERS_VARIABLE} names {server.name} twice: "
                "for more covers at once give it #capacity=2"
            )
        servers[server.name] = server
    return tuple(servers.values())


def read_store_url(environment: Mapping[str, str]) -> str | None:
    """COVER_STORE_URL, or None where it is not set.

    What is wrong is said without the URL: it may hold a secret. A folder must be absolute, for the
    edge and the worker may run in different ones and still have to mean the same.
    """
    given = environment.get(STORE_VARIABLE)
    if not given:
        return None
    wrong = SettingsError(
        f"{STORE_VARIABLE} must be an absolute path, file:///path or s3://bucket/prefix"
    )
    if not given.isprintable() or "::" in given:  # `::` is how fsspec chains file systems
        raise wrong
    if given.startswith("/"):
        return given
    scheme, _, rest = given.partition("://")
    if scheme == "file" and rest.startswith("/"):
        return given
    bucket = rest.partition("/")[0]
    if "@" in bucket:
        raise SettingsError(
            f"{STORE_VARIABLE} must not hold a key: "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
        )
    if scheme != "s3" or not bucket or any(each in given for each in " ?#"):
        raise wrong
    return given


def _read_server(given: str, which: str) -> WebuiServer:
    parts = _take_apart(given, which)
    options = _read_options(parts.fragment, which)
    username, password = (unquote(each or "") for each in (parts.username, parts.password))
    if bool(username) != bool(password):
        raise SettingsError(f"{which} holds a name or a password: it takes both, or neither")
    # Basic authentication parts the two by a colon; the WebUI reads them as ASCII.
    login = username + password
    if ":" in username or not (login.isascii() and login.isprintable()):
        raise SettingsError(
            f"{which}: a name has no colon in it, and name and password are plain ASCII"
        )
    return WebuiServer(
        url=origin_of(parts) + parts.path.rstrip("/"),
        username=username or None,
        password=password or None,
        capacity=_capacity(options.get("capacity", "1"), which),
        models=_models(options.get("models"), which),
    )


def _take_apart(given: str, which: str) -> SplitResult:
    try:
        parts = urlsplit(given)
        port = parts.port  # a port that is no number is found out only now
    except ValueError:
        raise SettingsError(f"{which} is not an address such as http://host:7860") from None
    is_usable = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not is_usable or not given.isprintable():
        raise SettingsError(f"{which} must be an address such as http://host:7860 or https://host")
    if parts.query:
        raise SettingsError(f"{which} has a `?`: options follow a #, and in a password it is %3F")
    if "@" in parts.path or "@" in parts.fragment:
        raise SettingsError(f"{which}: in a name or password write / as %2F, # as %23, @ as %40")
    return parts


def _read_options(fragment: str, which: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option in fragment.split("&") if fragment else ():
        name, _, value = option.partition("=")
        if name not in OPTIONS:
            raise SettingsError(
                f"{which} has the option {name!r}, which is not known: "
                "there are #capacity=2 and #models=one,other, parted by &"
            )
        if name in options:
            raise SettingsError(f"{which} has the option {name!r} twice")
        options[name] = value
    return options


def _capacity(given: str, which: str) -> int:
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= MOST_CAPACITY):
        raise SettingsError(f"{which}: capacity must be from 1 to {MOST_CAPACITY}, not {given!r}")
    return int(given)


def _models(given: str | None, which: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    models = tuple(unquote(model) for model in given.split(","))
    if not all(model and model.isprintable() for model in models):
        raise SettingsError(f"{which}: models are names parted by commas, such as models=one,other")
    return tuple(dict.fromkeys(models))
