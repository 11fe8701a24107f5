"""What is said to a mail server, and what is not said in the clear; and how it is set."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from api.config import Settings, SettingsError, SmtpSettings
from api.config.smtp import smtp_environment
from api.notices.letters import Notice
from api.notices.smtp import AwayError, MailServer
from tests.postbox import SENDER, Postbox, certificate, server_context

NOTICE = Notice(uuid4(), 1, "ann@example.com", "Subject", "Body", datetime.now(UTC))


@pytest.fixture(scope="module")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("mail"))


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every mail server is on another machine."""
    monkeypatch.setattr(SmtpSettings, "is_on_this_machine", False)


@pytest.fixture
def trusted(own_certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(own_certificate))


def hand_in(settings: SmtpSettings) -> None:
    with closing(MailServer(settings)) as server:
        server.send(NOTICE)


def test_a_server_on_this_machine_may_speak_plainly() -> None:
    with Postbox().open() as postbox:
        hand_in(postbox.settings())
    assert not postbox.accepted[0].was_encrypted


@pytest.mark.usefixtures("far_away")
@pytest.mark.parametrize("login", ["", "me:right@"])
def test_another_machine_may_not(login: str) -> None:
    postbox = Postbox()
    with (
        postbox.open(authenticator=postbox.authenticate, auth_require_tls=False),
        pytest.raises(AwayError, match="does not offer STARTTLS"),
    ):
        hand_in(postbox.settings(f"smtp://{login}127.0.0.1:{{port}}"))
    assert (postbox.logins, postbox.asked_for, postbox.letters) == ([], [], [])


@pytest.mark.usefixtures("far_away")
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_nor_with_a_certificate_of_its_own_making(own_certificate: Path, scheme: str) -> None:
    postbox = Postbox()
    with (
        postbox.open(**tls(own_certificate, scheme), authenticator=postbox.authenticate),
        pytest.raises(AwayError),
    ):
        hand_in(postbox.settings(f"{scheme}://me:right@127.0.0.1:{{port}}"))
    assert (postbox.logins, postbox.asked_for, postbox.letters) == ([], [], [])


def tls(file: Path, scheme: str) -> dict[str, object]:
    """The options of a server that speaks TLS from the start, or when it is asked to."""
    context = server_context(file)
    if scheme == "smtps":
        return {"ssl_context": context, "auth_require_tls": False}
    return {"tls_context": context, "require_starttls": True}


@pytest.mark.usefixtures("far_away", "trusted")
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_server_that_can_be_trusted_hears_the_password(
    own_certificate: Path, scheme: str
) -> None:
    postbox = Postbox()
    options = tls(own_certificate, scheme)
    with postbox.open(**options, authenticator=postbox.authenticate):
        hand_in(postbox.settings(f"{scheme}://me%40here:right@127.0.0.1:{{port}}"))
    (letter,) = postbox.accepted
    assert (letter.was_encrypted, letter.login) == (True, "me@here")
    assert postbox.logins == [("me@here", "right")]


def test_on_this_machine_a_certificate_is_not_looked_at(own_certificate: Path) -> None:
    with Postbox().open(**tls(own_certificate, "smtp")) as postbox:
        hand_in(postbox.settings())
    assert postbox.accepted[0].was_encrypted


def test_a_password_that_is_wrong() -> None:
    postbox = Postbox()
    with (
        postbox.open(authenticator=postbox.authenticate, auth_require_tls=False),
        pytest.raises(AwayError, match=r"^The mail server does not accept the name and password"),
    ):
        hand_in(postbox.settings("smtp://me:wrong@127.0.0.1:{port}"))
    assert postbox.letters == []


def test_a_server_that_knows_no_login() -> None:
    with (
        Postbox().open() as postbox,
        pytest.raises(AwayError, match="a login or TLS"),
    ):
        hand_in(postbox.settings("smtp://me:right@127.0.0.1:{port}"))
    assert postbox.letters == []


# Settings -----------------------------------------------------------------------------------------


def read(url: str, sender: str = SENDER) -> SmtpSettings:
    settings = SmtpSettings.from_environment({"SMTP_URL": url, "NOTICES_FROM": sender})
    assert settings is not None
    return settings


def test_without_settings_nothing_is_mailed() -> None:
    assert SmtpSettings.from_environment({}) is None
    assert SmtpSettings.from_environment({"SMTP_URL": "", "NOTICES_FROM": ""}) is None
    assert Settings.from_environment({}).smtp is None


def test_settings_are_read() -> None:
    settings = read("smtp://me%40here:p%3A%2F%23@mail.example.com")
    assert (settings.host, settings.port, settings.is_tls) == ("mail.example.com", 587, False)
    assert (settings.username, settings.password) == ("me@here", "p:/#")
    assert (settings.sender_address, settings.sender_domain) == (
        "noreply@pages.example",
        "pages.example",
    )
    assert "p:/#" not in repr(settings)
    assert "p%3A" not in repr(settings)
    assert not settings.is_on_this_machine
    assert (read("smtps://mail").port, read("smtps://mail").is_tls) == (465, True)
    assert read("smtps://mail:2465").port == 2465
    assert read("smtp://x", "noreply@pages.example").sender_address == "noreply@pages.example"
    assert read("smtp://x", '"Pages, Infinite" <a@pages.example>').sender_address == (
        "a@pages.example"
    )


def test_settings_are_handed_on() -> None:
    settings = read("smtp://me:secret@mail.example.com:25")
    assert SmtpSettings.from_environment(smtp_environment(settings)) == settings
    assert SmtpSettings.from_environment(smtp_environment(None)) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_this_machine_is_known(host: str) -> None:
    assert read(f"smtp://{host}:1025").is_on_this_machine


@pytest.mark.parametrize("host", ["10.0.0.1", "[fe80::1]", "localhost.example.com", "mailpit"])
def test_other_machines_are_known(host: str) -> None:
    assert not read(f"smtp://{host}:1025").is_on_this_machine


@pytest.mark.parametrize(
    ("url", "sender", "said"),
    [
        ("smtp://mail", "", "SMTP_URL is set, and NOTICES_FROM is not"),
        ("", SENDER, "NOTICES_FROM is set, and SMTP_URL is not"),
        ("http://mail", SENDER, "must be an address such as"),
        ("mail.example.com:587", SENDER, "must be an address such as"),
        ("smtp://", SENDER, "must be an address such as"),
        ("smtp://mail:0", SENDER, "must be an address such as"),
        ("smtp://mail:99999", SENDER, "is not an address such as"),
        ("smtp://mail\nserver", SENDER, "must be an address such as"),
        ("smtp://mail server", SENDER, "must be an address such as"),
        ("smtp://mail/inbox", SENDER, "ends with the port"),
        ("smtp://mail?x=secret", SENDER, "ends with the port"),
        ("smtp://me@mail", SENDER, "both, or neither"),
        ("smtp://me:@mail", SENDER, "both, or neither"),
        ("smtp://:secret@mail", SENDER, "both, or neither"),
        ("smtp://me:se/cret@mail", SENDER, "is not an address such as"),
        ("smtp://mail", "nobody", "must be one address"),
        ("smtp://mail", "<>", "must be one address"),
        ("smtp://mail", "a@localhost", "must be one address"),
        ("smtp://mail", "a@b.example, c@d.example", "must be one address"),
        ("smtp://mail", "Group: a@b.example;", "must be one address"),
        ("smtp://mail", "Pages <a@b.example>\nBcc: c@d.example", "must be one address"),
        ("smtp://mail", "Pages, Infinite <a@b.example>", "must be one address"),
        ("smtp://mail", "jörg@b.example", "must be one address"),
        ("smtp://mail", "x" * 400 + "@b.example", "must be one address"),
    ],
)
def test_wrong_settings_are_told(url: str, sender: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refusal:
        SmtpSettings.from_environment({"SMTP_URL": url, "NOTICES_FROM": sender})
    assert "cret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
