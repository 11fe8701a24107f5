"""Handing mail to a server: one connection for many, and what its answers mean to us.

Nothing is said in the clear to another machine. What is wrong is told apart by whose fault it is:
a mail that the server will not have, one that it wants later, and a server that has nothing to do
with us at all, for which the mail cannot be blamed.
"""

import contextlib
import smtplib
import ssl
import time
from typing import Any

from api.config import SmtpSettings
from api.notices.letters import Notice, UnwritableError, write_letter

CONNECT_SECONDS = 10.0
# From taking a notice to the server's last word, however slowly it speaks: its lease is 60 seconds.
SEND_SECONDS = 45.0


class DeliveryError(RuntimeError):
    """The mail did not go out. The text names nobody; `said` is what the server said."""

    def __init__(self, text: str, said: str = "") -> None:
        super().__init__(text)
        self.said = said

    @property
    def in_full(self) -> str:
        """With the server's own words, for those who may read the notice."""
        return f"{self} {self.said}".strip()


class RefusedError(DeliveryError):
    """The server will never take this mail."""


class LaterError(DeliveryError):
    """The server will not take this mail now."""


class AwayError(DeliveryError):
    """The server does not answer, or takes nothing from us."""


class Session(smtplib.SMTP):
    """A conversation that ends in time, even with a server that says one letter a minute."""

    def __init__(self, *arguments: Any, ends_at: float, **options: Any) -> None:
        self.ends_at = ends_at
        super().__init__(*arguments, **options)

    def getreply(self) -> tuple[int, bytes]:
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("The mail server is too slow.")
        if self.sock is not None:
            self.sock.settimeout(left)
        try:
            return super().getreply()
        except smtplib.SMTPServerDisconnected:
            if time.monotonic() >= self.ends_at:
                raise TimeoutError("The mail server is too slow.") from None
            raise


class EncryptedSession(Session, smtplib.SMTP_SSL):
    """The same, in TLS from the first byte."""


class MailServer:
    """The server of the settings; the connection is made by the first mail."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._session: Session | None = None

    def send(self, notice: Notice) -> None:
        """Hand one notice in. When this returns, the server has it."""
        try:
            letter = write_letter(notice, self._settings)
        except UnwritableError as error:
            raise RefusedError(str(error)) from None
        session = self._open(time.monotonic() + SEND_SECONDS)
        try:
            session.sendmail(self._settings.sender_address, [letter.recipient], letter.content)
        except smtplib.SMTPRecipientsRefused as error:
            ((code, said),) = error.recipients.values()
            raise _about_the_mail("The mailbox was refused", code, said) from None
        except smtplib.SMTPDataError as error:
            raise _about_the_mail(
                "The mail was refused", error.smtp_code, error.smtp_error
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            self._session = None
            session.close()
            raise _about_the_server(error) from None

    def close(self) -> None:
        """Say goodbye, if the server still listens."""
        session, self._session = self._session, None
        if session is not None:
            session.ends_at = time.monotonic() + CONNECT_SECONDS
            with contextlib.suppress(smtplib.SMTPException, OSError):
                session.quit()
            session.close()

    def _open(self, ends_at: float) -> Session:
        """The connection that is there, if it is still good; else a new one."""
        if self._session is not None:
            self._session.ends_at = ends_at
            with contextlib.suppress(smtplib.SMTPException, OSError):
                if self._session.noop()[0] == 250:
                    return self._session
            self._session.close()
            self._session = None
        try:
            self._session = self._connect(ends_at)
        except (smtplib.SMTPException, OSError) as error:
            raise _about_the_server(error) from None
        return self._session

    def _connect(self, ends_at: float) -> Session:
        settings = self._settings
        context = ssl.create_default_context()
        if settings.is_on_this_machine:
            # Nobody is in between, and such servers sign for themselves.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        address: dict[str, Any] = {
            "host": settings.host,
            "port": settings.port,
            "local_hostname": settings.sender_domain,  # else the name service is asked for ours
            "timeout": CONNECT_SECONDS,
            "ends_at": ends_at,
        }
        if settings.is_tls:
            session: Session = EncryptedSession(**address, context=context)
        else:
            session = Session(**address)
        try:
            self._introduce(session, context)
        except BaseException:
            session.close()
            raise
        return session

    def _introduce(self, session: Session, context: ssl.SSLContext) -> None:
        settings = self._settings
        session.ehlo_or_helo_if_needed()
        if not settings.is_tls:
            if session.has_extn("starttls"):
                session.starttls(context=context)
                session.ehlo_or_helo_if_needed()
            elif not settings.is_on_this_machine:
                raise AwayError("The mail server does not offer STARTTLS: use smtps:// or another.")
        if settings.username is not None and settings.password is not None:
            session.login(settings.username, settings.password)


def _about_the_mail(what: str, code: int, said: bytes | str) -> DeliveryError:
    words = _words(said)
    # 530 and 5.7 are said of who sends, not of who should get it: that can be mended here.
    is_final = 500 <= code <= 599 and code != 530 and not words.startswith("5.7.")
    kind = RefusedError if is_final else LaterError
    return kind(f"{what} ({code}).", words)


def _about_the_server(error: Exception) -> AwayError:
    """Names, passwords and senders that are refused are ours to mend: the mails wait."""
    match error:
        case smtplib.SMTPAuthenticationError():
            what = "The mail server does not accept the name and password of SMTP_URL"
        case smtplib.SMTPSenderRefused():
            what = "The mail server does not accept the sender of NOTICES_FROM"
        case smtplib.SMTPServerDisconnected():
            what = "The mail server has hung up"
        case smtplib.SMTPNotSupportedError():
            what = "The mail server cannot do what is needed, a login or TLS"
        case smtplib.SMTPException():
            what = "The mail server refuses to speak with us"
        case ssl.SSLCertVerificationError():
            what = f"The mail server's certificate is not valid: {error.verify_message}"
        case TimeoutError():
            what = "The mail server is too slow"
        case _:
            what = f"The mail server cannot be reached: {type(error).__name__}"
    if isinstance(error, smtplib.SMTPResponseException):
        return AwayError(f"{what} ({error.smtp_code}).", _words(error.smtp_error))
    return AwayError(f"{what}.")


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(text.replace("\0", " ").split())
