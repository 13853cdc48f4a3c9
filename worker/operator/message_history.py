"""Read one message with its events and incidents, and say in words what it waits for and until when."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.causes import Cause, cause_of
from smsclick.contract import State, events
from worker.account.account_state import AccountState
from worker.alerting.wording import Language
from worker.callbacks import replay
from worker.callbacks.replay import StoredCallback
from worker.operator import message_names, open_incidents
from worker.operator.open_incidents import Incident
from worker.operator.waiting import facts
from worker.operator.waiting.codes import Waiting
from worker.operator.waiting.decision import decide
from worker.operator.waiting.facts import NO_LIMITS, Limits
from worker.operator.waiting.sentences import UTC, say
from worker.sql import readable

_MOST_EVENTS = 500


@dataclasses.dataclass(frozen=True, slots=True)
class MessageHistory:
    """One message with all that is known about it.

    Attributes:
        message: its columns by name. A mapping, because an odd row may hold a value of any type in any column.
        events: its state changes by the columns' names, oldest first.
        callbacks: what its producer was or is notified of, oldest first.
        incidents: the open ones that concern it.
        waiting: what it waits for and until when, first what comes last; see `worker.operator.waiting`.
        next: the same in words.
        now: the time of the reading, by the database's clock.
    """

    message: Mapping[str, Any] = dataclasses.field(repr=False)
    events: list[dict[str, Any]]
    callbacks: list[StoredCallback]
    incidents: list[Incident]
    waiting: list[Waiting]
    next: str
    now: dt.datetime


def read(
    database: Database, name: str, *, limits: Limits = NO_LIMITS, language: Language = "en", zone: ZoneInfo = UTC
) -> MessageHistory:
    """Return one message and its history.

    Args:
        database: where the message is.
        name: its id or its key.
        limits: what the settings say about sending.
        language: of the words.
        zone: of the times in them.

    Raises:
        MessageNotFound: no message has this id or key.
        NotAllowed: the name is the id of one message and the key of another.
    """
    with database.read() as connection:
        message_id = message_names.id_of(connection, name)
        row = readable.read(connection, [message_id])[message_id]
        rows = connection.execute(
            sa.select(events).where(events.c.message_id == message_id).order_by(events.c.id).limit(_MOST_EVENTS)
        ).mappings()
        changes = [dict(event) for event in rows]
        known = facts.read(connection, row, limits)
        waiting = decide(known)
        return MessageHistory(
            message={column: readable.shown(value) for column, value in row.items()},
            events=changes,
            callbacks=replay.of_message(connection, message_id),
            incidents=_concerning(connection, row, changes, known.account),
            waiting=waiting,
            next=say(waiting, known.now, language=language, zone=zone),
            now=known.now,
        )


def _concerning(
    connection: sa.Connection, row: Mapping[str, Any], changes: Sequence[Mapping[str, Any]], state: AccountState
) -> list[Incident]:
    """Return the open incidents that explain the state of this message."""
    keys = []
    if row["state"] == State.QUEUED and state.hold_reason is not None:
        keys.append(f"{state.hold_reason}:")
    if row["state"] == State.FAILED and row["last_code"] is not None:
        keys.append(f"unlisted_code:{row['last_code']}")
    if row["state"] == State.UNKNOWN:
        keys += ["old_unknown:", "report_lag:"]
    if row["state"] == State.UNDETERMINED:
        keys.append("undetermined:")
    unchanged = (event for event in changes if event["from_state"] == event["to_state"])
    if any(cause_of(event["cause"]) is Cause.LATE_ANSWER for event in unchanged):
        keys.append("lost_id:")
    return open_incidents.read(connection, keys) if keys else []
