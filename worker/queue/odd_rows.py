"""Odd rows: rows with values that no program can read. They are found and handled, so that other rows can go on.

The constraints of the database refuse most odd values (`smsclick._database.constraints`). A value that passes them
makes a step fail that reads many rows at once. Then this module does the following:

1. It checks each column of the rows that the step would read.
2. A queued message whose content is odd becomes `failed`, with the reason. Columns that only workers write get a value
   that can be read.
3. It reports the incident `odd_row`, and the step runs again.

Only a row's own columns can make a message fail. An error of the environment or a defect of ours never does.
"""

import dataclasses
import datetime as dt
import secrets
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from smsclick._database import constraints
from smsclick._database.columns import UtcDateTime, db_now
from smsclick._database.engine import Database, Fault, fault_of
from smsclick._logs.event_log import EventLog
from smsclick.contract import IfAbsent, Priority, State, messages
from smsclick.errors import DatabaseUnavailable, UnreadableRow
from worker.alerting import incidents
from worker.alerting.details import Detail, made
from worker.alerting.wording import DetailCode
from worker.lifecycle import message_rows, on_claim, state_machine
from worker.lifecycle.model import Message
from worker.sql import readable
from worker.sql.now import database_now
from worker.sql.readable import UNREADABLE, Values

log = EventLog(__name__)

T = TypeVar("T")
Suspects = Callable[[sa.Connection], Collection[int]]
"""Returns the ids of the rows that a step would read. Its query reads no other column, because any may be odd."""

_ROUNDS = 5
_POSTPONED = dt.timedelta(minutes=1)
_UNRECONCILED_WAIT = dt.timedelta(hours=1)
_INCIDENT = "odd_row"
_CONTENT = frozenset({"phone", "text", "rule_id", "send_at", "expires_at", "priority", "if_absent"})
"""The columns that decide whether, when and how a message is sent.

If one of them is odd, nobody knows what the producer wanted, so the message fails.
"""

_KEPT = frozenset({"phone", "text", "key", "state"})
_FIRST = dt.datetime.fromisoformat(constraints.FIRST_TIME).replace(tzinfo=dt.UTC)
_AFTER_LAST = dt.datetime.fromisoformat(constraints.AFTER_LAST_TIME).replace(tzinfo=dt.UTC)
_REPAIRED: dict[str, Any] = {"priority": Priority.NORMAL.value, "if_absent": IfAbsent.RESEND.value}
_ENUMS: dict[str, frozenset[object]] = {
    "state": frozenset(State),
    "priority": frozenset(Priority),
    "if_absent": frozenset(IfAbsent),
}


def run(database: Database, work: Callable[[sa.Connection], T], suspects: Suspects) -> T:
    """Run `work` in a transaction. If it fails because of the content of rows, handle the odd ones and run it again.

    Args:
        database: where the rows are.
        work: as for `Database.transact`.
        suspects: the rows that it reads.

    Raises:
        DatabaseUnavailable: as `Database.transact`.
        SQLAlchemyError: `work` fails, and no suspect is odd. A constraint may be the cause.
        UnreadableRow: `work` fails with an error of our own, and no suspect is odd. The text says where in the code,
            and shows nothing of a row.
    """
    rounds = 0
    while True:
        try:
            return database.transact(work)
        except Exception as error:
            if fault_of(error) is not Fault.ROW:
                raise
            failed = error
        rounds += 1
        aside = database.transact(lambda connection: _set_aside(connection, suspects(connection)))
        if aside and rounds < _ROUNDS:
            continue
        if isinstance(failed, SQLAlchemyError):
            raise failed  # `Database` has removed the row's values from its text
        raise UnreadableRow(f"rows could not be worked on: {place(failed)}")


def run_in_halves(
    database: Database,
    work: Callable[[sa.Connection], list[T]],
    suspects: Suspects,
    some: Callable[[sa.Connection, Sequence[int]], list[T]],
    limit: int,
) -> list[T]:
    """Do the same as `run`. If no odd row explains the failure, work on the suspects in halves.

    A half that fails is halved again. A row that fails alone is postponed by a minute. So even a defect of ours does
    not stop the other rows.

    Args:
        database: as for `run`.
        work: as for `run`.
        suspects: as for `run`.
        some: does the same work, on the given rows only.
        limit: how many results at most.
    """
    try:
        return run(database, work, suspects)
    except Exception as error:
        if fault_of(error) is not Fault.ROW:
            raise
        log.warning("rows_halved", error=place(error))
    with database.read() as connection:
        parts = [list(suspects(connection))]
    done: list[T] = []
    while parts and len(done) < limit:
        ids = parts.pop()
        try:
            done += database.transact(lambda connection, ids=ids: some(connection, ids))  # type: ignore[misc]
        except Exception as error:
            if isinstance(error, DatabaseUnavailable) and done:
                return done  # the database has these results already, so the caller must continue with them
            if fault_of(error) is not Fault.ROW:
                raise
            if len(ids) > 1:
                parts += [ids[len(ids) // 2 :], ids[: len(ids) // 2]]
            else:
                _postpone(database, ids[0], place(error))
    return done


def revive(connection: sa.Connection, limit: int = 500) -> int:
    """Make queued messages due that no claim would find: their `due_at` is missing, or after the year 9999.

    Each priority has two queries, because the queue's index begins with the priority.

    Args:
        connection: in a transaction.
        limit: the most messages of each query.

    Returns:
        How many messages were made due.
    """
    found: list[int] = []
    for priority in Priority:
        for lost in (messages.c.due_at.is_(None), messages.c.due_at >= _AFTER_LAST):
            query = sa.select(messages.c.id).where(
                message_rows.in_state(State.QUEUED),
                messages.c.priority == sa.literal(int(priority), literal_execute=True),
                lost,
            )
            found += [row.id for row in connection.execute(query.order_by(messages.c.due_at).limit(limit))]
    if found:
        connection.execute(sa.update(messages).where(messages.c.id.in_(found)).values(due_at=db_now()))
        detail = made(DetailCode.FIRST_COLUMNS, id=found[0], columns="due_at")
        _report(connection, dict.fromkeys(found, "due_at is missing or never comes"), detail)
    return len(found)


def faults_of(values: Values) -> dict[str, str]:
    """Return what is odd about a row: words for each odd column, which do not show its value.

    Args:
        values: the values of all columns, as `worker.sql.readable.read` returns them.
    """
    found = {}
    for column in messages.c:
        fault = _fault(column, values[column.name])
        if fault is not None:
            found[column.name] = fault
    return found


def reason(faults: Mapping[str, str]) -> str:
    """Return what `faults_of` found as one line."""
    return "; ".join(f"{name} {words}" for name, words in faults.items())[:300]


def place(error: BaseException) -> str:
    """Return the class of an exception and where it was raised, without its text: drivers write rows into it."""
    ours = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "/worker/" in frame.filename or "/smsclick/" in frame.filename
    ]
    return f"{type(error).__name__} at {' > '.join(ours[-3:]) or 'an unknown place'}"


def _fault(column: sa.Column[Any], value: object) -> str | None:
    if value is UNREADABLE:
        return "cannot be read"
    if value is None:
        return None if column.nullable else "is missing"
    if column.name in _ENUMS:
        return None if value in _ENUMS[column.name] else "is none of the known ones"
    if isinstance(column.type, UtcDateTime):
        fine = isinstance(value, dt.datetime) and _FIRST <= value < _AFTER_LAST
        return None if fine else "is no time that can be"
    if isinstance(column.type, sa.Integer | sa.BigInteger):
        if type(value) is not int:
            return "is no whole number"
        within = 0 <= value <= (4 if column.name == "estatus_mensaje" else constraints.MOST_COUNTED)
        bounded = column.name == "estatus_mensaje" or column.name in constraints.COUNTS
        return None if within or not bounded else "is out of its range"
    return None if isinstance(value, str) else "is no text"


def _set_aside(connection: sa.Connection, suspects: Collection[int]) -> int:
    """Handle the odd rows among these; return how many were handled, so that they do not make a step fail again."""
    odd = [each for each, values in readable.read(connection, suspects).items() if faults_of(values)]
    if not odd:
        return 0
    query = sa.select(messages.c.id).where(messages.c.id.in_(odd)).order_by(messages.c.id).with_for_update()
    locked = [row.id for row in connection.execute(query)]
    now = database_now(connection)
    claimed, failed, reasons, columns = [], [], {}, ""
    for message_id, values in readable.read(connection, locked).items():
        faults = faults_of(values)
        repairs = _repairs(values, faults, now)
        if not faults or not (repairs or values["state"] == State.QUEUED):
            continue
        reasons[message_id] = why = reason(faults)
        columns = columns or ", ".join(faults)
        if repairs:
            connection.execute(sa.update(messages).where(messages.c.id == message_id).values(**repairs))
        if values["state"] == State.QUEUED and _CONTENT & faults.keys():
            first, second = on_claim.after_odd_content(_message(values | repairs), secrets.token_hex(8), why, now)
            claimed.append(first)
            failed.append(second)
    state_machine.apply(connection, claimed)
    state_machine.apply(connection, failed)
    if reasons:
        detail = made(DetailCode.FIRST_COLUMNS, id=next(iter(reasons)), columns=columns)
        _report(connection, reasons, detail)
    return len(reasons)


def _repairs(values: Values, faults: dict[str, str], now: dt.datetime) -> Values:
    """Return the values that make the row readable. Phone, text, key and state are kept for a person to look at."""
    state = values["state"]
    repairs = {name: _repaired(messages.c[name], state, now) for name in faults.keys() - _KEPT}
    if state == State.UNKNOWN and {"phone", "text"} & faults.keys():
        # No row of a report can be matched with it, so only a person can decide it. It is read again in an hour.
        repairs["due_at"] = now + _UNRECONCILED_WAIT
    return repairs


def _repaired(column: sa.Column[Any], state: object, now: dt.datetime) -> Any:  # noqa: ANN401 - of any column
    name = column.name
    if name in _REPAIRED:
        return _REPAIRED[name]
    if name in constraints.COUNTS:
        return 0
    needed = {
        "created_at": True,
        "due_at": state in {State.QUEUED, State.SENDING, State.UNKNOWN, State.SENT},
        "attempted_at": state in {State.SENDING, State.UNKNOWN},
        "unknown_since": state == State.UNKNOWN,
        "sent_at": state in {State.SENT, State.UNDETERMINED, State.DELIVERED},
    }
    return now if needed.get(name, False) else None


def _message(values: Values) -> Message:
    """Return the message of a row for the state machine. All its columns must be readable."""
    known = {field.name: values[field.name] for field in dataclasses.fields(Message)}
    known["state"] = State(known["state"])
    known["priority"] = Priority(known["priority"])
    known["if_absent"] = IfAbsent(known["if_absent"])
    return Message(**known)


def _postpone(database: Database, message_id: int, where: str) -> None:
    def work(connection: sa.Connection) -> None:
        connection.execute(
            sa.update(messages)
            .where(messages.c.id == message_id, message_rows.in_state(State.QUEUED))
            .values(due_at=database_now(connection) + _POSTPONED)
        )
        _report(connection, {message_id: "it could not be worked on"}, made(DetailCode.FIRST, id=message_id))

    log.error("message_postponed", message_id=message_id, error=where)
    database.transact(work)


def _report(connection: sa.Connection, reasons: dict[int, str], detail: Detail) -> None:
    for message_id, why in reasons.items():
        log.warning("row_odd", message_id=message_id, reason=why)
    incidents.report(connection, _INCIDENT, detail=detail, count=len(reasons))
