"""Settings of the mail server that notices go out by."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import policy
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote, urlsplit

from api.config.reading import SettingsError

USUAL_PORTS = {"smtp": 587, "smtps": 465}
LONGEST_SENDER = 320


@dataclass(frozen=True)
class SmtpSettings:
    """Where notices are handed in, and who they are from. No password is in the repr.

    `smtps://` speaks TLS from the first byte. `smtp://` turns to it before anything is said
    (STARTTLS); only a server on this machine may do without.
    """

    url: str = field(repr=False)
    host: str
    port: int
    is_tls: bool
    sender: str
    sender_address: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "SmtpSettings | None":
        """Read and check both variables; None where neither is set."""
        url, sender = environment.get("SMTP_URL"), environment.get("NOTICES_FROM")
        if not url and not sender:
            return None
        if not sender:
            raise SettingsError("SMTP_URL is set, and NOTICES_FROM is not: who are notices from?")
        if not url:
            raise SettingsError("NOTICES_FROM is set, and SMTP_URL is not: which mail server?")
        parts = _take_apart(url)
        return cls(
            url=url,
            host=parts.hostname or "",
            port=parts.port or USUAL_PORTS[parts.scheme],
            is_tls=parts.scheme == "smtps",
            sender=sender,
            sender_address=_address_of(sender),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )

    @property
    def is_on_this_machine(self) -> bool:
        """Whether what is said to the server leaves this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def sender_domain(self) -> str:
        """Where the sender's address is at home."""
        return self.sender_address.rpartition("@")[2]


def smtp_environment(settings: SmtpSettings | None) -> dict[str, str]:
    """The variables that these settings are read from; empty where there are none."""
    if settings is None:
        return {"SMTP_URL": "", "NOTICES_FROM": ""}
    return {"SMTP_URL": settings.url, "NOTICES_FROM": settings.sender}


def _take_apart(url: str) -> SplitResult:
    """SMTP_URL in its parts. What is wrong is said without the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError("SMTP_URL is not an address such as smtp://host:587") from None
    is_one_word = url.isprintable() and " " not in url
    if parts.scheme not in USUAL_PORTS or not parts.hostname or port == 0 or not is_one_word:
        raise SettingsError("SMTP_URL must be an address such as smtp://host:587 or smtps://host")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SettingsError(
            "SMTP_URL ends with the port: in a name or password write / as %2F, "
            "? as %3F, # as %23 and @ as %40"
        )
    if bool(parts.username) != bool(parts.password):
        raise SettingsError("SMTP_URL holds a name or a password: it takes both, or neither")
    return parts


def _address_of(sender: str) -> str:
    """The address in NOTICES_FROM, which is written as in a letter's head."""
    wrong = SettingsError(
        'NOTICES_FROM must be one address, such as "Infinite Pages <noreply@example.com>"'
    )
    if len(sender) > LONGEST_SENDER or not sender.isprintable():
        raise wrong
    header = policy.SMTP.header_factory("From", sender)
    if header.defects or len(header.addresses) != 1 or header.groups[0].display_name is not None:
        raise wrong
    (address,) = header.addresses
    if not address.username or "." not in address.domain or not address.addr_spec.isascii():
        raise wrong
    return str(address.addr_spec)
