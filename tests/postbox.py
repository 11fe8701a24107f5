"""A real SMTP server on this machine: it keeps what it is given, and fails as it is told to."""

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.config import SmtpSettings
from api.stack.ports import free_port
from api.stack.wait import wait_until

SENDER = "Infinite Pages <noreply@pages.example>"
WAIT_SECONDS = 20.0
HANG_UP, HOLD = "hang up", "hold"


@dataclass
class Letter:
    """A mail as it came in."""

    to: list[str]
    sender: str
    raw: bytes
    was_encrypted: bool
    login: str | None
    connection: int

    @property
    def message(self) -> EmailMessage:
        parsed = message_from_bytes(self.raw, _class=EmailMessage, policy=default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def body(self) -> str:
        return str(self.message.get_content()).replace("\r\n", "\n").rstrip("\n")


@dataclass
class Postbox:
    """What has arrived, and what the server will say next.

    `refused` answers RCPT for an address; `to_data` are answers to the next mails, HANG_UP and HOLD
    among them; `to_sender` answers MAIL.
    """

    port: int = field(default_factory=free_port)
    letters: list[Letter] = field(default_factory=list)
    accepted: list[Letter] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    asked_for: list[str] = field(default_factory=list)
    to_data: deque[str] = field(default_factory=deque)
    to_sender: str | None = None
    logins: list[tuple[str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    hangs_up_after_each: bool = False
    connections: set[SMTP] = field(default_factory=set)

    def settings(self, url: str | None = None) -> SmtpSettings:
        given = (url or "smtp://127.0.0.1:{port}").format(port=self.port)
        made = SmtpSettings.from_environment({"SMTP_URL": given, "NOTICES_FROM": SENDER})
        assert made is not None
        return made

    @contextmanager
    def open(self, **options: Any) -> Iterator["Postbox"]:
        """Listen until the block ends; the options are aiosmtpd's."""
        controller = _Controller(self, hostname="127.0.0.1", port=self.port, **options)
        controller.start()
        try:
            yield self
        finally:
            self.released.set()
            assert wait_until(lambda: not self.connections, seconds=WAIT_SECONDS)
            controller.stop()

    def wait_for_letters(self, count: int) -> None:
        arrived = wait_until(lambda: len(self.letters) >= count, seconds=WAIT_SECONDS)
        assert arrived, self.letters

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        is_right = data.password == b"right"
        return AuthResult(success=is_right, handled=False, auth_data=data.login.decode())

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.to_sender is not None:
            return self.to_sender
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked_for.append(address)
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        assert session.peer is not None
        transport = server.transport
        assert isinstance(transport, asyncio.WriteTransport)
        letter = Letter(
            to=[str(each) for each in envelope.rcpt_tos],
            sender=envelope.mail_from or "",
            raw=envelope.content,
            was_encrypted=transport.get_extra_info("sslcontext") is not None,
            login=session.auth_data if session.authenticated else None,
            connection=int(session.peer[1]),
        )
        self.letters.append(letter)
        answer = self.to_data.popleft() if self.to_data else "250 OK"
        if answer == HOLD:
            await asyncio.to_thread(self.released.wait)
            answer = "250 OK"
        if answer == HANG_UP:
            transport.abort()
        if answer.startswith("250"):
            self.accepted.append(letter)
            if self.hangs_up_after_each:
                asyncio.get_running_loop().call_soon(transport.close)
        return answer


class _Controller(Controller):
    """aiosmtpd's, with a server that knows who is connected."""

    def factory(self) -> SMTP:
        return _Server(self.handler, **self.SMTP_kwargs)


class _Server(SMTP):
    event_handler: Postbox

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.event_handler.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.event_handler.connections.discard(self)


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate for 127.0.0.1 that signs for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "mail-server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file


def server_context(file: Path) -> ssl.SSLContext:
    """What a server with that certificate speaks TLS with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context
