"""A notice as a mail: made from the database's words so that nothing in them becomes a header."""

from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from uuid import UUID

from api.config import SmtpSettings

ENCODED = "=?"  # begins what the mail library takes for encoded, and decodes, line breaks and all


class UnwritableError(ValueError):
    """There is no mail with this address or this text."""


@dataclass(frozen=True)
class Notice:
    """A notice that was taken for sending. What is somebody's own business is not in the repr."""

    id: UUID
    attempt: int
    email: str = field(repr=False)
    subject: str = field(repr=False)
    body: str = field(repr=False)
    created_at: datetime


@dataclass(frozen=True)
class Letter:
    """A mail as it is handed in."""

    recipient: str = field(repr=False)
    content: bytes = field(repr=False)


def write_letter(notice: Notice, settings: SmtpSettings) -> Letter:
    """The mail of a notice: the same each time it is sent, so that a second copy can be known.

    Its `Message-ID` is made from the notice's id, its date is the notice's.
    """
    message = EmailMessage(policy=SMTP)
    try:
        recipient = _address(notice.email)
        message["From"] = settings.sender
        message["To"] = recipient
        message["Subject"] = _one_line(notice.subject)
        message["Date"] = notice.created_at
        message["Message-ID"] = f"<{notice.id}@{settings.sender_domain}>"
        message["Auto-Submitted"] = "auto-generated"
        # Lines of any length and any letters, over servers that know seven bits.
        message.set_content(notice.body, cte="quoted-printable")
        content = message.as_bytes()
    except (ValueError, IndexError, MessageError):
        # What the library says of it would hold the address.
        raise UnwritableError("No mail can be written with this address or text.") from None
    # What is read at the other end has these headers and no others.
    if message_from_bytes(content, policy=SMTP).keys() != message.keys():
        raise UnwritableError("This notice would not be the mail that was meant.")
    return Letter(recipient.addr_spec, content)


def _address(given: str) -> Address:
    """An address that every server can be given: names of domains have a form in plain letters."""
    if ENCODED in given:
        raise ValueError
    name, _, domain = given.rpartition("@")
    return Address(addr_spec=f"{name}@{domain.encode('idna').decode()}")


def _one_line(text: str) -> str:
    """The text without whatever could end its line, now or when somebody decodes it."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return printable.replace(ENCODED, "= ?")
