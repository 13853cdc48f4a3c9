"""Read one message with its events and incidents, and say in words what happens to it next."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.causes import Cause, cause_of
from smsclick._values.times import span
from smsclick.contract import State, events
from worker.account import holds
from worker.account.holds import AccountState
from worker.operator import message_names, open_incidents
from worker.operator.account import hold_reasons
from worker.operator.open_incidents import Incident
from worker.queue import odd_rows
from worker.reconciliation import reasons
from worker.sql import readable

_MOST_EVENTS = 500


@dataclasses.dataclass(frozen=True, slots=True)
class MessageHistory:
    """One message with all that is known about it.

    Attributes:
        message: its columns by name. A mapping, because an odd row may hold a value of any type in any column.
        events: its state changes by the columns' names, oldest first.
        incidents: the open ones that concern it.
        next: what happens to it next, in words.
    """

    message: Mapping[str, Any] = dataclasses.field(repr=False)
    events: list[dict[str, Any]]
    incidents: list[Incident]
    next: str


def read(database: Database, name: str) -> MessageHistory:
    """Return one message and its history.

    Args:
        database: where the message is.
        name: its id or its key.

    Raises:
        MessageNotFound: no message has this id or key.
        NotAllowed: the name is the id of one message and the key of another.
    """
    with database.read() as connection:
        message_id = message_names.id_of(connection, name)
        row = readable.read(connection, [message_id])[message_id]
        faults = odd_rows.faults_of(row)
        rows = connection.execute(
            sa.select(events).where(events.c.message_id == message_id).order_by(events.c.id).limit(_MOST_EVENTS)
        ).mappings()
        changes = [dict(event) for event in rows]
        state = holds.read(connection)
        return MessageHistory(
            message={column: readable.shown(value) for column, value in row.items()},
            events=changes,
            incidents=_concerning(connection, row, changes, state),
            next=f"the row is odd: {odd_rows.reason(faults)}" if faults else what_next(row, state),
        )


def what_next(row: Mapping[str, Any], state: AccountState) -> str:
    """Return what happens to a message next, in words.

    Args:
        row: the message's columns by name.
        state: the account's state, with the time of the reading.
    """
    due = row["due_at"]
    wait = None if due is None else (due - state.now).total_seconds()
    match State(row["state"]):
        case State.QUEUED:
            return _when_queued(row, state, wait)
        case State.SENDING:
            return "a request may be in flight; without a result the message becomes unknown when its lease ends"
        case State.UNKNOWN:
            return _when_unknown(row, wait)
        case State.FAILED:
            return "nothing, unless an operator retries it (smsclick retry)"
        case State.CANCELLED:
            return "nothing more: this is final"
        case State.UNDETERMINED if wait is None:
            return "nothing more: its status was checked until long after the tracking window"
        case _ if wait is None:
            return "nothing more: this is final"
        case final_or_sent:
            check = f"next status check in {span(wait)}" if wait > 0 else "next status check now"
            return f"{check}, for a reply" if final_or_sent is State.DELIVERED else check


def _when_queued(row: Mapping[str, Any], state: AccountState, wait: float | None) -> str:
    if row["send_at"] is not None and row["send_at"] > state.now:
        return f"is sent in {span((row['send_at'] - state.now).total_seconds())}"
    if not state.is_open:
        return f"waits: sending is held ({', '.join(hold_reasons(state))})"
    if row["waits_for"] is not None:
        return "waits: another message with its phone and text is in flight, and a report could not tell them apart"
    return f"next try in {span(wait)}" if wait is not None and wait > 0 else "is sent as soon as a worker is free"


def _when_unknown(row: Mapping[str, Any], wait: float | None) -> str:
    if wait is None:
        return "only a person can decide what became of it: smsclick settle"
    when = f"in {span(wait)}" if wait > 0 else "now"
    known = reasons.reason(row["unknown_reason"])
    why = "" if known is None else f": {known.why}; {known.todo}"
    return f"the provider's report is read for it {when}; it is not sent again while it could have been accepted{why}"


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
