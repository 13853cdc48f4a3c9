"""Builds messages and settings with defaults for what a test does not care about; records wake-ups."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import random
import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import ACCOUNT, IfAbsent, Priority, State, accounts, alerts, events, incidents, messages
from smsclick.settings import Settings, load_settings
from worker.lifecycle import effects
from worker.lifecycle.model import Message
from worker.lifecycle.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from smsclick._database.engine import Database
    from worker.lifecycle.effects import Effects

FINAL_STATES = frozenset({State.DELIVERED, State.REJECTED, State.FAILED, State.EXPIRED, State.CANCELLED})
"""As the contract calls them final."""
NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
KEY = "a-key-that-nobody-may-see"
USER_PASSWORD = "four words by chance"  # of the page
PHONE = "5551402211"
POLICY = Policy(lease=120, settle_seconds=600, tracking=604_800, poll=(15, 30, 60, 120, 300, 900, 3600))

_numbers = itertools.count(1)


def message(**values: Any) -> Message:  # noqa: ANN401 - any column
    """A message as the state machine sees it; queued by default."""
    blank: dict[str, Any] = {
        "id": 1,
        "state": State.QUEUED,
        "priority": Priority.NORMAL,
        "rule_id": None,
        "if_absent": IfAbsent.RESEND,
        "send_at": None,
        "expires_at": None,
        "due_at": NOW,
        "token": None,
        "lease_until": None,
        "wire_key": None,
        "unknown_since": None,
        "attempts": 0,
        "attempted_at": None,
        "refusals": 0,
        "polls": 0,
        "id_mensaje": None,
        "estatus_mensaje": None,
        "credits_used": None,
        "last_code": None,
        "last_error": None,
        "sent_at": None,
        "final_at": None,
        "reply": None,
        "replied_at": None,
    }
    return Message(**(blank | values))


def sending(**values: Any) -> Message:  # noqa: ANN401 - any column
    """A claimed message, its first attempt on record."""
    claimed = {
        "state": State.SENDING,
        "token": "mine",
        "lease_until": NOW + dt.timedelta(seconds=POLICY.lease),
        "due_at": NOW + dt.timedelta(seconds=POLICY.lease),
        "attempts": 1,
        "attempted_at": NOW - dt.timedelta(seconds=1),
    }
    return message(**(claimed | values))


def sent(**values: Any) -> Message:  # noqa: ANN401 - any column
    """An accepted message that is being followed."""
    accepted = {
        "state": State.SENT,
        "attempts": 1,
        "id_mensaje": 7,
        "estatus_mensaje": 0,
        "sent_at": NOW,
        "last_code": 1,
    }
    return message(**(accepted | values))


def settings(database_url: str, base_url: str = "http://127.0.0.1:1/sms-services", **variables: object) -> Settings:
    """Settings by the variables' names."""
    given = {"DATABASE_URL": database_url, "SMSCLICK_BASE_URL": base_url, "SMSCLICK_API_KEY": KEY} | variables
    return load_settings(**given)


def insert(database: Database, count: int = 1, **values: Any) -> list[int]:  # noqa: ANN401 - any column
    """Store messages, each with a key and a text of its own, due long ago by default; returns their ids."""
    ids = []
    with database.begin() as connection:
        for _ in range(count):
            number = next(_numbers)
            # Given texts may be equal: different phones keep the contents different.
            phone = f"55514{number % 100_000:05d}" if "text" in values else PHONE
            given = {"key": f"key-{number}", "phone": phone, "text": f"text {number}", "due_at": LONG_AGO} | values
            result = connection.execute(sa.insert(messages).values(**given))
            ids.append(result.inserted_primary_key[0])  # type: ignore[index]
    return ids


def change(database: Database, ids: Sequence[int] | None = None, **values: Any) -> None:  # noqa: ANN401 - any column
    """Write columns of messages, as only time or a test can."""
    query = sa.update(messages).values(**values)
    with database.begin() as connection:
        connection.execute(query if ids is None else query.where(messages.c.id.in_(ids)))


def change_account(database: Database, **values: Any) -> None:  # noqa: ANN401 - any column
    """Write columns of the account's row."""
    with database.begin() as connection:
        connection.execute(sa.update(accounts).where(accounts.c.account == ACCOUNT).values(**values))


def row(database: Database, message_id: int) -> Any:  # noqa: ANN401 - a Row, whose columns no type can name
    """The row of a message."""
    with database.read() as connection:
        return connection.execute(sa.select(messages).where(messages.c.id == message_id)).one()


def states(database: Database) -> list[str]:
    """The states of all messages, in the order of their ids."""
    with database.read() as connection:
        return list(connection.scalars(sa.select(messages.c.state).order_by(messages.c.id)))


def history(database: Database, message_id: int) -> list[Any]:
    """The events of a message, oldest first."""
    with database.read() as connection:
        query = sa.select(events).where(events.c.message_id == message_id).order_by(events.c.id)
        return list(connection.execute(query))


def alert_events(database: Database) -> list[tuple[str, str]]:
    """All alert events as (kind of the incident, event), oldest first."""
    with database.read() as connection:
        query = sa.select(incidents.c.kind, alerts.c.news).join_from(alerts, incidents).order_by(alerts.c.id)
        return [(found.kind, found.news) for found in connection.execute(query)]


def clock(database: Database) -> dt.datetime:
    """The database's time."""
    with database.read() as connection:
        return connection.execute(sa.select(db_now())).scalar_one()


class Roll(random.Random):
    """Always the same roll of the dice."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        return self._value


class RecordingWakeups:
    """Records each wake-up and sends none."""

    def __init__(self) -> None:
        self.sends: list[list[int]] = []
        self.polls: list[list[int]] = []
        self.followed = threading.Event()
        self.reconciled = threading.Event()
        self.alerted = threading.Event()
        self.swept = threading.Event()
        self.called_back = threading.Event()

    def send(self, ids: Sequence[int]) -> None:
        self.sends.append(list(ids))

    def poll(self, ids: Sequence[int]) -> None:
        self.polls.append(list(ids))

    def follow(self) -> None:
        self.followed.set()

    def reconcile(self) -> None:
        self.reconciled.set()

    def alerts(self) -> None:
        self.alerted.set()

    def callbacks(self) -> None:
        self.called_back.set()

    def sweep(self) -> None:
        self.swept.set()


@contextlib.contextmanager
def noted(database: Database) -> Iterator[list[Effects]]:
    """The effects of each transaction that is committed meanwhile, those without any left out."""
    found: list[Effects] = []
    before, database.after_commit = database.after_commit, lambda each: found.append(effects.combined(each))
    try:
        yield found
    finally:
        database.after_commit = before
