"""Settings of the commands and of the stack on one machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from api.config.covers import CoverSettings, WebuiServer, read_servers, read_store_url
from api.config.edge import check_origin, read_return_origins
from api.config.reading import (
    SettingsError,
    check_jwt_secret,
    kept_secret,
    read_database_url,
    read_port,
)
from api.config.smtp import SmtpSettings
from api.config.stripe import StripeSettings

DATABASE_NAME = "infinite_pages"
LOOPBACK = "127.0.0.1"
WEBUI_PORT = 7860  # the WebUI's own, by which its users know it


@dataclass(frozen=True)
class Settings:
    """What the commands and the supervisor need to know.

    `database_url` is the owner's URL of somebody's own server; without it an embedded server keeps
    its data in `state_folder`. Without `stripe_given` a sandbox stands in for Stripe. Without
    `smtp` nothing stands in for a mail server: notices are shown and not sent. Without
    `webui_servers` a sandbox draws the covers, except beside a live key: there nobody draws them.
    """

    database_url: str | None = field(repr=False)
    authenticator_password: str | None = field(repr=False)
    edge_password: str | None = field(repr=False)
    postgrest_port: int
    edge_port: int
    sandbox_port: int
    state_folder: Path
    jwt_secret_given: str | None = field(repr=False)
    stripe_given: StripeSettings | None = None
    edge_url_given: str | None = None
    return_origins: tuple[str, ...] = ()
    smtp: SmtpSettings | None = None
    webui_servers: tuple[WebuiServer, ...] = ()
    webui_port_given: int | None = None
    cover_store_given: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read and check every variable."""
        stripe = StripeSettings.from_environment(environment)
        edge_url = environment.get("EDGE_URL")
        settings = cls(
            database_url=read_database_url(environment),
            authenticator_password=environment.get("AUTHENTICATOR_PASSWORD") or None,
            edge_password=environment.get("EDGE_PASSWORD") or None,
            postgrest_port=read_port(environment, "POSTGREST_PORT", 3000),
            edge_port=read_port(environment, "EDGE_PORT", 8000),
            sandbox_port=read_port(environment, "STRIPE_SANDBOX_PORT", 8001),
            state_folder=Path(environment.get("STATE_DIR") or ".local").absolute(),
            jwt_secret_given=check_jwt_secret(environment.get("JWT_SECRET"), "JWT_SECRET"),
            stripe_given=stripe,
            edge_url_given=check_origin(edge_url, "EDGE_URL", stripe) if edge_url else None,
            return_origins=read_return_origins(environment, stripe),
            smtp=SmtpSettings.from_environment(environment),
            webui_servers=read_servers(environment),
            webui_port_given=_webui_port(environment),
            cover_store_given=read_store_url(environment),
        )
        settings._refuse_equal_ports()
        return settings

    @property
    def jwt_secret(self) -> str:
        """JWT_SECRET, else the secret of the state folder, which is made on first use."""
        if self.jwt_secret_given is not None:
            return self.jwt_secret_given
        file = "jwt.secret"
        kept = kept_secret(self.state_folder, file)
        return check_jwt_secret(kept, str(self.state_folder / file)) or kept

    @property
    def edge_url(self) -> str:
        """Where browsers find the edge."""
        return self.edge_url_given or f"http://{LOOPBACK}:{self.edge_port}"

    @property
    def uses_sandbox(self) -> bool:
        """Whether the sandbox stands in for Stripe."""
        return self.stripe_given is None

    @property
    def sandbox_folder(self) -> Path:
        """Where the sandbox keeps its state, beside its secrets."""
        return self.state_folder / "stripe"

    @property
    def stripe(self) -> StripeSettings:
        """The account that is set, else the sandbox; its secrets are made on first use."""
        if self.stripe_given is not None:
            return self.stripe_given
        folder = self.sandbox_folder
        return StripeSettings(
            secret_key=kept_secret(folder, "key.secret", "sk_test_"),
            webhook_secrets=(kept_secret(folder, "webhook.secret", "whsec_"),),
            connect_webhook_secrets=(kept_secret(folder, "connect-webhook.secret", "whsec_"),),
            api_base=f"http://{LOOPBACK}:{self.sandbox_port}",
        )

    @property
    def uses_webui_sandbox(self) -> bool:
        """Whether the sandbox stands in for the servers that draw covers.

        Beside a live key it would sell drawings of a sandbox for real money.
        """
        is_live = self.stripe_given is not None and self.stripe_given.livemode
        return not self.webui_servers and not is_live

    @property
    def webui_port(self) -> int:
        """Where the WebUI's sandbox is meant to listen."""
        return self.webui_port_given or WEBUI_PORT

    @property
    def cover_store_url(self) -> str:
        """Where covers are kept: as it is set, else in the state folder."""
        return self.cover_store_given or str(self.state_folder / "covers")

    def covers(self, webui_port: int) -> CoverSettings | None:
        """What the worker of the stack draws with; None where covers are off.

        `webui_port` is where the sandbox came to listen, if it is one.
        """
        servers = self.webui_servers
        if self.uses_webui_sandbox:
            servers = (WebuiServer(url=f"http://{LOOPBACK}:{webui_port}"),)
        return CoverSettings(servers, self.cover_store_url) if servers else None

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

    def _refuse_equal_ports(self) -> None:
        ports = {"POSTGREST_PORT": self.postgrest_port, "EDGE_PORT": self.edge_port}
        if self.uses_sandbox:
            ports["STRIPE_SANDBOX_PORT"] = self.sandbox_port
        if self.uses_webui_sandbox:
            ports["WEBUI_SANDBOX_PORT"] = self.webui_port
        seen: dict[int, str] = {}
        for variable, port in ports.items():
            if port in seen:
                raise SettingsError(
                    f"{seen[port]} and {variable} are both {port}: choose two ports"
                )
            seen[port] = variable


def _webui_port(environment: Mapping[str, str]) -> int | None:
    """WEBUI_SANDBOX_PORT, or None where it is not set."""
    if not environment.get("WEBUI_SANDBOX_PORT"):
        return None
    return read_port(environment, "WEBUI_SANDBOX_PORT", WEBUI_PORT)


def with_login(url: str, user: str, password: str | None) -> str:
    """The same server and database for another login."""
    parts = urlsplit(url)
    login = quote(user, safe="")
    if password is not None:
        login += f":{quote(password, safe='')}"
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{login}@{host}"
    return urlunsplit(parts._replace(netloc=netloc))
