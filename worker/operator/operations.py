"""An operator's hand: see how things stand, look at messages, withdraw or retry them, hold and resume the account."""

import contextlib
import dataclasses
import datetime as dt
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.database import Database
from smsclick._values.times import span
from smsclick._wakeups import wakeups
from smsclick.contract import HoldReason, Priority, State, events, heartbeats, incidents, messages
from smsclick.errors import MessageNotFound, NotAllowed, SmsclickError
from worker.account import holds
from worker.account.holds import AccountState
from worker.alerting.kinds import KINDS
from worker.lifecycle import machine, message_rows, on_operator
from worker.lifecycle.model import Cause, Change, Message
from worker.operator import counting
from worker.operator.counting import Counts
from worker.queue import odd_rows
from worker.reconciliation import reasons
from worker.sql import readable

_CHUNK = 200
_MOST_EVENTS = 500
_MOST_INCIDENTS = 100
_MOST_HEARTBEATS = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """What became of one ID-or-KEY of a command; `problem` is the reason where it was refused."""

    word: str
    id: int | None = None
    problem: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Incident:
    """One open problem."""

    kind: str
    subject: str
    title: str
    advice: str
    opened_at: dt.datetime
    occurrences: int
    detail: str


@dataclasses.dataclass(frozen=True, slots=True)
class Heartbeat:
    """When something last got something done."""

    name: str
    at: dt.datetime
    age_seconds: float
    progress: int


@dataclasses.dataclass(frozen=True, slots=True)
class Stats:
    """How things stand.

    Attributes:
        counts: how many messages there are in each state.
        oldest_due_seconds: since when the message that waits longest could have been sent; None where none waits.
        gate: the account's hold and balance.
        incidents: those that are open.
        heartbeats: the youngest first.
        now: by the database's clock.
    """

    counts: Counts
    oldest_due_seconds: float | None
    account_state: AccountState
    incidents: list[Incident]
    heartbeats: list[Heartbeat]
    now: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Story:
    """One message with all that is known of it.

    Attributes:
        message: its columns by name.
        events: its state changes by the columns' names, oldest first.
        incidents: open ones that concern it.
        next: what happens next, in words.
    """

    message: dict[str, Any] = dataclasses.field(repr=False)
    events: list[dict[str, Any]]
    incidents: list[Incident]
    next: str


def show(database: Database, word: str) -> Story:
    """One message and its history.

    Args:
        database: where it is.
        word: its id or its key.

    Raises:
        MessageNotFound: nothing has this id or key.
        NotAllowed: the word is the id of one message and the key of another.
    """
    with database.read() as connection:
        message_id = _find(connection, word)
        row = readable.read(connection, [message_id])[message_id]
        faults = odd_rows.faults_of(row)
        history = connection.execute(
            sa.select(events).where(events.c.message_id == message_id).order_by(events.c.id).limit(_MOST_EVENTS)
        ).mappings()
        story = [dict(event) for event in history]
        state = holds.read(connection)
        following = f"the row is odd: {odd_rows.reason(faults)}" if faults else what_next(row, state)
        shown = {name: readable.shown(value) for name, value in row.items()}
        return Story(shown, story, _concerning(connection, row, story, state), following)


def cancel(database: Database, words: Sequence[str]) -> Iterator[Done]:
    """Withdraw messages that have not been sent; yields what became of each ID-or-KEY, in order."""
    return change(database, words, _cancelled)


def retry(
    database: Database, words: Sequence[str], *, even_if_unknown: bool = False, who: str | None = None
) -> Iterator[Done]:
    """Queue failed messages once more; yields what became of each ID-or-KEY, in order.

    Args:
        database: where they are.
        words: their ids or keys.
        even_if_unknown: also those of unknown outcome, which the recipient may then get twice: the operator's word
            stands for the report's.
        who: asks for it; kept with the event.
    """

    def decide(message: Message, now: dt.datetime, erased: bool) -> Change | str:  # noqa: FBT001 - a Decide
        if even_if_unknown and message.state is State.UNKNOWN and not erased:
            return on_operator.retried(message, now, f"{who or 'an operator'}: sent again although unknown")
        return _retried(message, now, erased)

    return change(database, words, decide)


def hold(database: Database) -> bool:
    """Stop sending; what is on the wire ends normally. False where an operator held already."""
    with database.begin() as connection:
        return holds.hold(connection)


def resume(database: Database) -> AccountState:
    """Lift the operator's hold; returns the gate, which no balance or a refused key may still keep closed."""
    with database.begin() as connection:
        return holds.resume(connection)


def stats(database: Database) -> Stats:
    """Counts by state, age of the oldest due message, hold, balance, open incidents and signs of life."""
    with database.read() as connection:
        state = holds.read(connection)
        oldest = _oldest_due(connection)
        return Stats(
            counts=counting.count(connection),
            oldest_due_seconds=None if oldest is None else (state.now - oldest).total_seconds(),
            account_state=state,
            incidents=open_incidents(connection),
            heartbeats=signs_of_life(connection),
            now=state.now,
        )


def open_incidents(connection: sa.Connection, keys: Sequence[str] | None = None) -> list[Incident]:
    """The open incidents, oldest first; only those of `keys` (`kind:subject`) where they are given."""
    query = sa.select(incidents).where(incidents.c.open_key.is_not(None), incidents.c.ends_at.is_(None))
    if keys is not None:
        query = query.where(incidents.c.open_key.in_(keys))
    # Closed ones have no key, so its index holds the open ones together.
    rows = connection.execute(query.order_by(incidents.c.open_key).limit(_MOST_INCIDENTS))
    return [
        Incident(
            kind=row.kind,
            subject=row.subject,
            title=KINDS[row.kind].title if row.kind in KINDS else row.kind,
            advice=KINDS[row.kind].advice if row.kind in KINDS else "",
            opened_at=row.opened_at,
            occurrences=row.occurrences,
            detail=row.detail,
        )
        for row in sorted(rows, key=lambda each: each.id)
    ]


def signs_of_life(connection: sa.Connection, *, named: str = "") -> list[Heartbeat]:
    """The heartbeats of ticks and workers, the youngest first.

    Args:
        connection: to read from.
        named: only those whose names begin with this; however many others there are.
    """
    query = sa.select(heartbeats, db_now().label("now"))
    if named:
        query = query.where(heartbeats.c.name.startswith(named, autoescape=True))
    rows = connection.execute(query.order_by(heartbeats.c.at.desc()).limit(_MOST_HEARTBEATS))
    return [Heartbeat(row.name, row.at, max(0.0, (row.now - row.at).total_seconds()), row.progress) for row in rows]


def what_next(row: Any, state: AccountState) -> str:  # noqa: ANN401 - a mapping with the message's columns
    """What happens to a message next, in words."""
    due = row["due_at"]
    wait = None if due is None else (due - state.now).total_seconds()
    match State(row["state"]):
        case State.QUEUED:
            return _when_queued(row, state, wait)
        case State.SENDING:
            return "a request may be on the wire; without a result it becomes unknown when its lease ends"
        case State.UNKNOWN:
            if wait is None:
                return "only a person can settle it: smsclick settle"
            when = f"in {span(wait)}" if wait > 0 else "now"
            known = reasons.reason(row["unknown_reason"])
            why = "" if known is None else f": {known.why}; {known.todo}"
            return (
                f"the provider's report is read for it {when}; it is not sent again while it could have been accepted"
                + why
            )
        case State.FAILED:
            return "nothing, unless an operator retries it (smsclick retry)"
        case State.CANCELLED:
            return "nothing more: this is final"
        case State.UNDETERMINED if wait is None:
            return "nothing more: it was asked for until long after the tracking window"
        case _ if wait is None:
            return "nothing more: this is final"
        case final_or_sent:
            look = f"next look in {span(wait)}" if wait > 0 else "next look now"
            return f"{look}, for a reply" if final_or_sent is State.DELIVERED else look


def _when_queued(row: Any, state: AccountState, wait: float | None) -> str:  # noqa: ANN401 - as `what_next`
    if row["send_at"] is not None and row["send_at"] > state.now:
        return f"goes in {span((row['send_at'] - state.now).total_seconds())}"
    if not state.is_open:
        return f"waits: sending is held ({', '.join(held_for(state))})"
    if row["waits_for"] is not None:
        return "waits: another message with its phone and text is in flight, and a report could not tell them apart"
    return f"next try in {span(wait)}" if wait is not None and wait > 0 else "goes as soon as a worker is free"


_HELD = {
    HoldReason.NO_BALANCE: "no balance",
    HoldReason.KEY_REFUSED: "the APIKEY is refused",
    HoldReason.PROVIDER_DOWN: "the provider does not answer",
}


def held_for(state: AccountState) -> list[str]:
    """Why the gate is closed, in words; empty where it is open."""
    reasons = [] if state.operator_hold_at is None else ["by an operator: smsclick resume lifts it"]
    if state.restored_since is not None:
        reasons.append(
            "a backup was restored: what could have been sent since is looked for"
            if state.restored_at is not None
            else "a backup was restored, and smsclick restored has not come to its end: run it again"
        )
    return reasons if state.hold_reason is None else [*reasons, _HELD.get(state.hold_reason, str(state.hold_reason))]


Decide = Callable[[Message, dt.datetime, bool], Change | str]


def change(database: Database, words: Sequence[str], decide: Decide) -> Iterator[Done]:
    """Change messages as `decide` says, and wake workers for what is queued by that.

    One short transaction for each chunk; a word that fails does not keep the others from it.

    Args:
        database: where they are.
        words: their ids or keys.
        decide: of a message, the database's time, and whether its phone and text were erased: what it becomes, or in a
            line why it cannot be changed.
    """
    rest = iter(words)
    while chunk := list(itertools.islice(rest, _CHUNK)):
        done, queued = odd_rows.run(
            database,
            functools.partial(_change_chunk, words=chunk, decide=decide),
            functools.partial(_ids_of, words=chunk),
        )
        if queued and wakeups.configured():
            wakeups.wake(queued)
        yield from done


def _ids_of(connection: sa.Connection, words: Sequence[str]) -> list[int]:
    ids = []
    for word in words:
        with contextlib.suppress(SmsclickError):
            ids.append(_find(connection, word))
    return ids


def _change_chunk(connection: sa.Connection, words: Sequence[str], decide: Decide) -> tuple[list[Done], list[int]]:
    found: dict[str, int | str] = {}
    for word in words:
        try:
            found[word] = _find(connection, word)
        except SmsclickError as error:
            found[word] = str(error)
    ids = {each for each in found.values() if isinstance(each, int)}
    rows = message_rows.lock(connection, ids)
    erased = set(
        connection.scalars(sa.select(messages.c.id).where(messages.c.id.in_(ids), messages.c.erased_at.is_not(None)))
    )
    now = connection.execute(sa.select(db_now())).scalar_one()
    decided = {each: decide(row, now, each in erased) for each, row in rows.items()}
    changes = [change for change in decided.values() if isinstance(change, Change)]
    machine.apply(connection, changes)
    done = []
    for word, where in found.items():
        if isinstance(where, str):
            done.append(Done(word, problem=where))
            continue
        result = decided.get(where, f"there is no message {where} any more")
        done.append(Done(word, where, result if isinstance(result, str) else None))
    return done, [change.was.id for change in changes if change.becomes.state is State.QUEUED]


def _cancelled(message: Message, now: dt.datetime, erased: bool) -> Change | str:  # noqa: ARG001, FBT001 - a Decide
    if message.state is State.QUEUED:
        return on_operator.cancelled(message, now)
    return refusal(message, "cancelled", "only what is still queued can be withdrawn")


def _retried(message: Message, now: dt.datetime, erased: bool) -> Change | str:  # noqa: FBT001 - a Decide
    if message.state is not State.FAILED:
        return refusal(message, "retried", "only what has failed can be sent once more")
    if erased:
        return f"message {message.id} cannot be retried: its phone and text were erased (SMSCLICK_RETENTION_DAYS)"
    if message.expires_at is not None and message.expires_at <= now:
        return f"message {message.id} cannot be retried: its validity ended at {message.expires_at.isoformat()}"
    return on_operator.retried(message, now)


_WHY = {
    State.SENDING: "it is being sent right now",
    State.UNKNOWN: "the provider may have accepted it, and only its report or your word decides (smsclick settle; "
    "--even-if-unknown overrules it)",
    State.SENT: "the provider has accepted it",
    State.UNDETERMINED: "the provider has accepted it",
}


def refusal(message: Message, what: str, rule: str) -> str:
    """Why a message cannot be changed, in a line."""
    why = _WHY.get(message.state, f"it is {message.state}")
    return f"message {message.id} cannot be {what}: {why}; {rule}"


def _find(connection: sa.Connection, word: str) -> int:
    """The id of the message that `word` names: an id, a key, or one of them said as `id:…` or `key:…`."""
    if not word.isprintable():
        raise MessageNotFound(f"no message has the id or key {word!r}")
    wanted: list[sa.ColumnElement[bool]] = [messages.c.key == word]
    number = word.removeprefix("id:")
    if re.fullmatch(r"[0-9]{1,18}", number):
        wanted.append(messages.c.id == int(number))
    if word.startswith("key:"):
        wanted.append(messages.c.key == word.removeprefix("key:"))
    # One query each: an OR over two columns would lose their indexes.
    found: set[int] = set()
    for each in wanted:
        found.update(connection.scalars(sa.select(messages.c.id).where(each)))
    if not found:
        raise MessageNotFound(f"no message has the id or key {word!r}")
    if len(found) > 1:
        raise NotAllowed(f"{word} is the id of one message and the key of another: say id:{word} or key:{word}")
    return found.pop()


def _oldest_due(connection: sa.Connection) -> dt.datetime | None:
    """One look into the queue's index for each priority."""
    found = [
        connection.scalar(
            sa.select(messages.c.due_at)
            .where(
                message_rows.in_state(State.QUEUED),
                messages.c.priority == sa.literal(int(priority), literal_execute=True),
                messages.c.due_at <= db_now(),
            )
            .order_by(messages.c.due_at)
            .limit(1)
        )
        for priority in Priority
    ]
    return min((each for each in found if each is not None), default=None)


def _concerning(
    connection: sa.Connection,
    row: Any,  # noqa: ANN401
    story: list[dict[str, Any]],
    state: AccountState,
) -> list[Incident]:
    keys = []
    if row["state"] == State.QUEUED and state.hold_reason is not None:
        keys.append(f"{state.hold_reason}:")
    if row["state"] == State.FAILED and row["last_code"] is not None:
        keys.append(f"unlisted_code:{row['last_code']}")
    if row["state"] == State.UNKNOWN:
        keys += ["old_unknown:", "report_lag:"]
    if row["state"] == State.UNDETERMINED:
        keys.append("undetermined:")
    if any(event["cause"] == Cause.LATE_ANSWER and event["from_state"] == event["to_state"] for event in story):
        keys.append("lost_id:")
    return open_incidents(connection, keys) if keys else []
