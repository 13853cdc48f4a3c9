"""Cancel or retry every message that a filter describes, in short transactions that do not hold up sending.

A count reads the messages of the state by an index, as long as they are not too many. An act walks the table by id,
some thousand ids at a time, up to the id that was the highest when the act began: each message is looked at once, and
what is enqueued meanwhile is left alone. Found messages are locked a few hundred at a time, looked at again and
changed; workers pass over locked rows.
"""

import collections
import dataclasses
import datetime as dt
import functools
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, Literal

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick._wakeups import publisher
from smsclick.contract import State, messages
from smsclick.errors import NotAllowed
from worker.lifecycle import message_rows, state_machine
from worker.lifecycle.model import Change, Message
from worker.operator import message_changes
from worker.queue import odd_rows
from worker.sql import audit
from worker.sql.audit import Act
from worker.sql.now import database_now

IDS_PER_LOOK: Final = 20_000
"""Ids that one statement looks through, wanted or not, so that no statement is long."""

MOST_BY_INDEX: Final = 100_000
"""Messages of the state that one statement counts, by an index of the state; so many take about 100 ms."""

MESSAGES_PER_TRANSACTION: Final = 500
"""Such a transaction takes some tens of milliseconds."""

_LONGEST_REST_SECONDS: Final = 0.5

FilteredAct = Literal[Act.CANCEL, Act.RETRY]
STATE_OF: Final[dict[Act, State]] = {Act.CANCEL: State.QUEUED, Act.RETRY: State.FAILED}
"""The state that a message must have. What could have been accepted is never retried by a filter."""

_INDEX_OF: Final = {Act.CANCEL: "ix_smsclick_messages_queue", Act.RETRY: "ix_smsclick_messages_due"}
"""What MariaDB finds the messages of the state by."""


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """Which messages are meant, beside their state; a message must satisfy every field that is given.

    Attributes:
        references: one of these.
        codes: the provider's latest code is one of these.
        since: created at this time or later.
        until: created at this time or earlier.
    """

    references: Collection[str] = ()
    codes: Collection[int] = ()
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    def described(self) -> str:
        """Return the filter for the audit record: without the references, which may be a person's."""
        parts = []
        if self.references:
            parts.append(f"{len(self.references)} references")
        if self.codes:
            parts.append(f"codes {', '.join(map(str, sorted(self.codes)))}")
        if self.since is not None:
            parts.append(f"since {self.since.isoformat()}")
        if self.until is not None:
            parts.append(f"until {self.until.isoformat()}")
        return "by filter: " + ("; ".join(parts) or "all")


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """How many messages match a filter.

    Attributes:
        possible: can be changed.
        impossible: match, but were erased or their validity ended (only of `retry`).
        complete: whether all messages were looked at; if not, there may be more.
    """

    possible: int
    impossible: int
    complete: bool = True


@dataclasses.dataclass(slots=True)
class Done:
    """What an act did so far.

    Attributes:
        changed: how many messages it changed.
        passed_over: how many it could not change, by the reason.
    """

    changed: int = 0
    passed_over: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """How far an act has come that is done in several steps, see `begin`.

    Attributes:
        record: id of its audit record.
        after: the highest id that was looked at.
        end: the highest id that will be.
        changed: messages changed so far.
        passed_over: messages that could not be changed so far.
    """

    record: int
    after: int
    end: int
    changed: int = 0
    passed_over: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.after >= self.end


def count(database: Database, act: FilteredAct, wanted: Filter, *, seconds: float = math.inf) -> Count:
    """Count the messages that an act would change; changes nothing.

    Of up to `MOST_BY_INDEX` messages in the state the count is exact and fast, however large the table is. Of more it
    looks through the whole table.

    Args:
        database: where the messages are.
        act: what would be done.
        wanted: with which messages.
        seconds: after so long in the whole table the count stops, and is not complete.
    """
    with database.read() as connection:
        looked_at, matching, possible = connection.execute(_counted_by_index(act, wanted)).one()
    if looked_at <= MOST_BY_INDEX:
        return Count(possible, matching - possible)
    # Too many for one statement: the whole table, in short ones.
    possible = impossible = 0
    end = time.monotonic() + seconds
    for first, last in _windows(*_ids(database)):
        if time.monotonic() > end:
            return Count(possible, impossible, complete=False)
        query = sa.select(sa.func.count(), _count_if(_can_be_changed(act, messages))).where(
            *_conditions(act, wanted, first, last)
        )
        with database.read() as connection:
            matching, good = connection.execute(query).one()
        possible += good
        impossible += matching - good
    return Count(possible, impossible)


def _counted_by_index(act: FilteredAct, wanted: Filter) -> sa.Select[int, int, int]:
    """Select the numbers of messages of the state that were looked at, that match, and that can be changed.

    The limit stands before the filter, so that it bounds what is read and not only what matches.
    """
    columns = [messages.c[name] for name in ("reference", "last_code", "created_at", "expires_at", "erased_at")]
    of_state = (
        sa.select(*columns)
        # MariaDB would rather read the whole table where one message of seven or so is in the state.
        .with_hint(messages, f"FORCE INDEX ({_INDEX_OF[act]})", "mysql")
        .with_hint(messages, f"FORCE INDEX ({_INDEX_OF[act]})", "mariadb")
        .where(message_rows.in_state(STATE_OF[act]))
        .limit(MOST_BY_INDEX + 1)
        .subquery()
    )
    matches = sa.and_(sa.true(), *_matching(wanted, of_state))
    can_be_changed = sa.and_(matches, _can_be_changed(act, of_state))
    return sa.select(sa.func.count(), _count_if(matches), _count_if(can_be_changed)).select_from(of_state)


def _count_if(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.count(sa.case((condition, 1)))


def cancel(
    database: Database, wanted: Filter, *, actor: str, progress: Callable[[Done], None] = lambda _: None
) -> Done:
    """Cancel the queued messages that match.

    Args:
        database: where the messages are.
        wanted: which ones.
        actor: who does it, for the events and the audit record.
        progress: is called after each transaction with what was done so far.

    Returns:
        What was done.
    """
    return _run(database, Act.CANCEL, wanted, actor, progress)


def retry(database: Database, wanted: Filter, *, actor: str, progress: Callable[[Done], None] = lambda _: None) -> Done:
    """Queue the failed messages that match; arguments and result as of `cancel`.

    Messages of unknown outcome are never among them: the provider could have accepted them.
    """
    return _run(database, Act.RETRY, wanted, actor, progress)


def begin(database: Database, act: FilteredAct, wanted: Filter, *, actor: str) -> Position:
    """Begin an act that is done in several steps, such as requests of a page; `proceed` does them.

    Args:
        database: where the messages are.
        act: what is done.
        wanted: with which messages; the same at each step.
        actor: who does it, for the audit record.
    """
    after, end = _ids(database)
    return Position(audit.begin(database, act, actor, wanted.described()), after, end)


def proceed(
    database: Database, act: FilteredAct, wanted: Filter, position: Position, *, actor: str, seconds: float
) -> Position:
    """Do the next step of an act; a step that is repeated changes nothing twice.

    Args:
        database: where the messages are.
        act: what is done.
        wanted: with which messages.
        position: as `begin` or the step before returned it.
        actor: who does it, for the events.
        seconds: the step ends after about so long.
    """
    end = time.monotonic() + seconds
    for after, changed, passed_over in _steps(
        database, act, wanted, actor, position.record, (position.after, position.end)
    ):
        position = dataclasses.replace(
            position,
            after=after,
            changed=position.changed + changed,
            passed_over=position.passed_over + passed_over.total(),
        )
        if time.monotonic() > end:
            break
    return position


def _run(database: Database, act: FilteredAct, wanted: Filter, actor: str, progress: Callable[[Done], None]) -> Done:
    done = Done()
    record = audit.begin(database, act, actor, wanted.described())
    for _, changed, passed_over in _steps(database, act, wanted, actor, record, _ids(database)):
        done.changed += changed
        done.passed_over += passed_over
        progress(done)
    return done


def _steps(
    database: Database, act: FilteredAct, wanted: Filter, actor: str, record: int, ids: tuple[int, int]
) -> Iterator[tuple[int, int, collections.Counter[str]]]:
    """Change chunk after chunk; yield the highest id that was looked at, and what became of the chunk's messages."""
    for first, last in _windows(*ids):
        query = sa.select(messages.c.id).where(*_conditions(act, wanted, first, last)).order_by(messages.c.id)
        with database.read() as connection:
            found = list(connection.scalars(query))
        for start in range(0, len(found), MESSAGES_PER_TRANSACTION):
            began = time.monotonic()
            chunk = found[start : start + MESSAGES_PER_TRANSACTION]
            change = functools.partial(_change, ids=chunk, act=act, wanted=wanted, actor=actor, record=record)
            changed, passed_over = odd_rows.run(database, change, lambda _, chunk=chunk: chunk)  # type: ignore[misc]
            if act is Act.RETRY and changed and publisher.configured():
                publisher.wake(changed)
            yield chunk[-1], len(changed), passed_over
            # As long a rest as it took: half of the database's time, and on SQLite every second write, is for others.
            time.sleep(min(time.monotonic() - began, _LONGEST_REST_SECONDS))
        yield last, 0, collections.Counter()


def _change(
    connection: sa.Connection, *, ids: Sequence[int], act: FilteredAct, wanted: Filter, actor: str, record: int
) -> tuple[list[int], collections.Counter[str]]:
    """Change one chunk; return the ids that were changed, and why the others were not."""
    rows = message_rows.lock(connection, ids)
    now = database_now(connection)
    decide = message_changes.cancelled if act is Act.CANCEL else message_changes.retried
    passed_over = collections.Counter({"changed meanwhile": len(ids) - len(rows)})
    changes = []
    for message in rows.values():
        if message.state is not STATE_OF[act] or (wanted.codes and message.last_code not in wanted.codes):
            passed_over["changed meanwhile"] += 1
            continue
        decision = decide(message, now, actor)
        if isinstance(decision, Change):
            changes.append(decision)
        else:
            passed_over[_reason(message, decision)] += 1
    state_machine.apply(connection, changes)
    audit.add(connection, record, len(changes))
    return [each.was.id for each in changes], +passed_over


def _reason(message: Message, _refusal: NotAllowed) -> str:
    return "phone and text erased" if message.erased_at is not None else "validity ended"


def _ids(database: Database) -> tuple[int, int]:
    """Return the id before the first message and that of the last one; 0 and 0 where there is none."""
    with database.read() as connection:
        first, last = connection.execute(sa.select(sa.func.min(messages.c.id), sa.func.max(messages.c.id))).one()
    return (0, 0) if first is None else (first - 1, last)


def _windows(after: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield spans of ids, the first one left out and the last one included."""
    for first in range(after, end, IDS_PER_LOOK):
        yield first, min(first + IDS_PER_LOOK, end)


def _conditions(act: FilteredAct, wanted: Filter, first: int, last: int) -> list[sa.ColumnElement[bool]]:
    ids = (messages.c.id > first, messages.c.id <= last)
    return [message_rows.in_state(STATE_OF[act]), *ids, *_matching(wanted, messages)]


def _matching(wanted: Filter, rows: sa.FromClause) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.references:
        found.append(rows.c.reference.in_(wanted.references))
    if wanted.codes:
        found.append(rows.c.last_code.in_(wanted.codes))
    if wanted.since is not None:
        found.append(rows.c.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(rows.c.created_at <= wanted.until)
    return found


def _can_be_changed(act: FilteredAct, rows: sa.FromClause) -> sa.ColumnElement[bool]:
    """The condition in SQL under which `message_changes` allows the act, for a message of the right state."""
    if act is Act.CANCEL:
        return sa.true()
    valid = sa.or_(rows.c.expires_at.is_(None), rows.c.expires_at > db_now())
    return sa.and_(rows.c.erased_at.is_(None), valid)
