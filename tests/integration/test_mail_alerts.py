"""Alerts by mail: a real SMTP server receives what `ALERT_URLS=mailto://…` sends."""

from __future__ import annotations

import email.policy
import html
import logging
import random
from contextlib import contextmanager
from email import message_from_bytes
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from smsclick.contract import alerts
from smsclick.contract import incidents as table
from tests.factories import LONG_AGO
from tests.servers import free_port
from worker.alerting import delivery, incidents
from worker.alerting.catalogues import catalogue
from worker.alerting.details import Detail
from worker.alerting.texts import Style

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from aiosmtpd.smtp import SMTP, Envelope, Session

    from smsclick._database.engine import Database

USER, PASSWORD = "alertas", "secreto-del-correo"
ACCEPTED, REFUSED = "250 OK", "451 try again later"

pytestmark = pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated:DeprecationWarning",
    # The server is on this machine and speaks no TLS.
    "ignore:Requiring AUTH while not requiring TLS can lead to security vulnerabilities!:UserWarning",
)


class Mailbox:
    """What arrives, by its envelope and as a parsed mail."""

    def __init__(self) -> None:
        self.answer = ACCEPTED
        self.to: list[str] = []
        self.logins: list[str] = []
        self.mails: list[EmailMessage] = []
        self.raw: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        if self.answer == ACCEPTED:
            assert isinstance(envelope.content, bytes)
            self.raw.append(envelope.content)
            self.to += envelope.rcpt_tos
            self.mails.append(message_from_bytes(envelope.content, policy=email.policy.default))
        return self.answer

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, how: str, data: object) -> AuthResult:  # noqa: ARG002
        assert isinstance(data, LoginPassword)
        self.logins.append(f"{data.login.decode()}:{data.password.decode()}")
        return AuthResult(success=self.logins[-1] == f"{USER}:{PASSWORD}", handled=False)


@contextmanager
def mailbox(port: int) -> Iterator[Mailbox]:
    """A mail server on this machine that wants a login."""
    made = Mailbox()
    server = Controller(
        made,
        hostname="127.0.0.1",
        port=port,
        authenticator=made.authenticate,
        auth_required=True,
        auth_require_tls=False,
    )
    server.start()
    try:
        yield made
    finally:
        server.stop()


def address(port: int) -> str:
    """As an operator writes it into `ALERT_URLS`."""
    return f"mailto://{USER}:{PASSWORD}@127.0.0.1:{port}/?from=smsclick@tienda.mx&to=guardia@tienda.mx&mode=insecure"


def report(database: Database) -> None:
    def work(connection: sa.Connection) -> bool:
        return incidents.report(connection, "no_balance", detail=Detail("-104 Saldo insuficiente"))

    database.transact(work)


def deliver(database: Database, url: str, language: str) -> int:
    """A delivery when everything that was put off is due again."""
    with database.begin() as connection:
        connection.execute(sa.update(alerts).where(alerts.c.due_at.is_not(None)).values(due_at=LONG_AGO))
    return delivery.deliver(database, delivery.channels(url), random.Random(0), Style("tienda peñón", language))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("language", ["es", "en"])
def test_a_mail_has_subject_severity_and_accents(database: Database, language: str) -> None:
    port = free_port()
    words = catalogue(language)
    with mailbox(port) as box:
        report(database)
        assert deliver(database, address(port), language) == 1
        database.transact(lambda connection: incidents.close(connection, "no_balance"))
        assert deliver(database, address(port), language) == 1
    assert box.to == ["guardia@tienda.mx"] * 2
    text = words.kinds["no_balance"]
    subjects = [str(mail["subject"]) for mail in box.mails]
    over = words.phrases["closed"].format(title=text.title)
    assert subjects == [f"SMSClick tienda peñón: {text.title}", f"SMSClick tienda peñón: {over}"]
    assert "guardia@tienda.mx" in str(box.mails[0]["to"])
    assert "smsclick@tienda.mx" in str(box.mails[0]["from"])
    body = box.mails[0].get_body(("plain", "html"))
    assert body is not None
    said = html.unescape(body.get_content())
    for part in (text.meaning, text.advice, "-104 Saldo insuficiente", words.phrases["critical"], "tienda peñón"):
        assert part in said
    # Any mail server on the way may be one that knows no UTF-8.
    assert all(raw.isascii() for raw in box.raw)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("trouble", ["refused", "wrong password", "nobody listens"])
def test_a_mail_server_that_fails_gets_it_later_and_no_log_has_the_password(
    database: Database, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    caplog.set_level(logging.DEBUG)
    port = free_port()
    report(database)
    if trouble == "nobody listens":
        assert deliver(database, address(port), "es") == 0
    with mailbox(port) as box:
        if trouble == "refused":
            box.answer = REFUSED
            assert deliver(database, address(port), "es") == 0
            box.answer = ACCEPTED
        elif trouble == "wrong password":
            assert deliver(database, address(port).replace(PASSWORD, f"{PASSWORD}-viejo"), "es") == 0
        assert box.mails == []
        assert deliver(database, address(port), "es") == 1
        assert len(box.mails) == 1
        assert box.logins[-1] == f"{USER}:{PASSWORD}"
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("mail.")]
    assert any("is tried again" in line for line in ours)
    with database.read() as connection:
        stored = [
            *ours,
            *map(str, connection.execute(sa.select(alerts))),
            *map(str, connection.execute(sa.select(table))),
        ]
    assert not [line for line in stored if PASSWORD in line]
