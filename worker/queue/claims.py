"""Who is next: the SQL that finds waiting messages and claims them, written once.

A claim is one short transaction, committed before any request leaves: rows are locked (`SKIP LOCKED` where there is
such a thing, the single writer on SQLite), become `sending` with a token of their own, and are called for outside of
it.
"""

import dataclasses
import datetime as dt
import random
import secrets
from collections.abc import Collection
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from smsclick._database.columns import db_now
from smsclick._values.texts import CHARACTERS_PER_CREDIT
from smsclick._values.zones import zones_of
from smsclick.contract import Priority, State, messages
from worker.lifecycle import message_rows, model, on_claim, state_machine
from worker.lifecycle.attempt import Claim
from worker.lifecycle.fingerprint import digits, wire_key
from worker.lifecycle.policy import Policy
from worker.queue import optouts
from worker.sql.bulk import among

_ROUNDS = 25
"""How often one claim looks further where all that it found only moved to later: quiet hours, duplicates, expiry."""

_WIDEST = 1000
"""Rows of a further look: what moves to later comes in thousands, and each look is one statement."""

ALL: Final = tuple(Priority)
HIGH: Final = (Priority.HIGH,)
OTHERS: Final = (Priority.NORMAL, Priority.LOW)
"""The classes that one claim may look for: all, or one of two parts, so that high messages need not wait for others."""

_SUSPECTS = 100
_RNG = random.Random()


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """A message whose turn it is."""

    id: int
    credits: int


def waiting(connection: sa.Connection, limit: int) -> list[Waiting]:
    """Up to `limit` due messages in the order in which they would go: by priority, then by age."""
    found: list[Waiting] = []
    for priority in Priority:
        rows = connection.execute(
            _due(sa.select(messages.c.id, sa.func.char_length(messages.c.text)), priority, limit - len(found))
        )
        found += [Waiting(row[0], max(1, -(-row[1] // CHARACTERS_PER_CREDIT))) for row in rows]
        if len(found) >= limit:
            break
    return found


class FirstDue(NamedTuple):
    """When the message of a priority that has waited longest became due, and the database's time."""

    due_at: dt.datetime
    now: dt.datetime


def first_due(connection: sa.Connection, priority: Priority) -> FirstDue | None:
    """What has waited longest in a priority, by one look into the queue's index; None where nothing is due."""
    row = connection.execute(_due(sa.select(messages.c.due_at, db_now().label("now")), priority, 1)).first()
    return None if row is None else FirstDue(row.due_at, row.now)


def claim(
    connection: sa.Connection,
    ids: Collection[int] | None,
    limit: int,
    policy: Policy,
    *,
    canary: int | None = None,
    only: tuple[Priority, ...] = ALL,
    rng: random.Random = _RNG,
) -> list[Claim]:
    """Claim up to `limit` messages that are due: of `ids`, or whatever is next where `ids` is None.

    Args:
        connection: in a transaction that the caller commits before it calls the provider.
        ids: the wake-up's ids; those that are not due, or that others hold, are passed over, and so are those behind
            which a message of higher priority waits: a bulk's wake-ups must not overtake it.
        limit: rows at most.
        policy: for the lease and the quiet hours.
        canary: the one message that may go while the account is held, whoever else waits.
        only: `ALL`, `HIGH` or `OTHERS`, where `ids` is None.
        rng: for the shares of lower priorities, see `on_claim.favoured`.
    """
    if ids is not None:
        rows = _by_id(connection, ids, limit, overtaking=canary is not None)
        return _claim(connection, rows, limit, policy, canary)
    looked_at = limit
    for _ in range(_ROUNDS):
        rows = _next(connection, looked_at, on_claim.favoured(rng.random()), only)
        claimed = _claim(connection, rows, limit, policy, canary)
        if claimed or not rows:
            return claimed
        looked_at = max(looked_at, min(4 * looked_at, _WIDEST))
    return []


def _claim(connection: sa.Connection, rows: list[Any], limit: int, policy: Policy, canary: int | None) -> list[Claim]:
    changes, claimed = _decide(connection, rows, limit, policy, canary)
    state_machine.apply(connection, changes)
    return claimed


def _decide(
    connection: sa.Connection, rows: list[Any], limit: int, policy: Policy, canary: int | None
) -> tuple[list[model.Change], list[Claim]]:
    """What becomes of these rows, and which of them are claimed; nothing is written."""
    changes: list[model.Change] = []
    claimed: list[Claim] = []
    keys = {row.id: wire_key(row.phone, row.text) for row in rows}
    phones = {row.id: digits(row.phone) for row in rows}
    listed_as = optouts.forms(set(phones.values()))
    # A phone, in any form, has fewer characters than a key, so one set holds both.
    in_flight = _in_flight_or_opted_out(connection, keys.values(), listed_as)
    opted_out = {listed_as[form] for form in in_flight & listed_as.keys()}
    for row in rows:
        if len(claimed) >= limit:
            break
        message = message_rows.read(row)
        key = keys[row.id]
        if key in in_flight:
            changes.append(on_claim.after_duplicate(message, key, row.now))
            continue
        quiet = policy.quiet is not None and message.priority is Priority.LOW
        zones = zones_of(phones[row.id]) if quiet else ()
        change = on_claim.after_claim(message, secrets.token_hex(8), key, row.now, policy, zones)
        if change.becomes.wire_key is not None:
            in_flight.add(key)
        changes.append(change)
        token = change.becomes.token
        if change.becomes.state is State.SENDING and token is not None:
            valid = None if message.expires_at is None else (message.expires_at - row.now).total_seconds()
            claimed.append(
                Claim(
                    id=message.id,
                    token=token,
                    phone=row.phone,
                    text=row.text,
                    rule_id=message.rule_id,
                    valid_seconds=valid,
                    priority=message.priority,
                    canary=message.id == canary,
                    opted_out=phones[row.id] in opted_out,
                    due_seconds=_due_seconds(message, row.now),
                    attempt=change.becomes.attempts,
                )
            )
    return changes, claimed


def _due_seconds(message: model.Message, now: dt.datetime) -> float | None:
    return None if message.attempts or message.due_at is None else (now - message.due_at).total_seconds()


def suspects(
    connection: sa.Connection, ids: Collection[int] | None, limit: int, only: tuple[Priority, ...] = ALL
) -> list[int]:
    """The ids of what a claim would look at, without reading anything else of those rows."""
    if ids is not None:
        query = sa.select(messages.c.id).where(messages.c.id.in_(ids), message_rows.in_state(State.QUEUED))
        return [row.id for row in connection.execute(query.where(messages.c.due_at <= db_now()))]
    return [
        row.id
        for priority in only
        for row in connection.execute(_due(sa.select(messages.c.id), priority, max(limit, _SUSPECTS)))
    ]


def claim_some(connection: sa.Connection, ids: Collection[int], limit: int, policy: Policy) -> list[Claim]:
    """Claim of these ids what is due, whoever else waits: for when a claim of more than these failed."""
    return _claim(connection, _by_id(connection, ids, limit, overtaking=True), limit, policy, None)


def last_waiting(connection: sa.Connection) -> int | None:
    """The due message that goes last: while any worker sends, it is the last one to stay due."""
    for priority in reversed(Priority):
        query = _due(sa.select(messages.c.id), priority, 1).order_by(None).order_by(messages.c.due_at.desc())
        found = connection.scalar(query)
        if found is not None:
            return int(found)
    return None


def is_waiting(connection: sa.Connection, message_id: int) -> bool:
    """Whether this message is due and waits to be claimed."""
    query = sa.select(messages.c.id).where(messages.c.id == message_id, message_rows.in_state(State.QUEUED))
    return connection.scalar(query.where(messages.c.due_at <= db_now())) is not None


def would_take(connection: sa.Connection, message_id: int, policy: Policy) -> bool:
    """Whether a claim would take this message now: not where it would move to later, or another transaction has it."""
    rows = _by_id(connection, [message_id], 1, overtaking=True)
    return bool(_decide(connection, rows, 1, policy, None)[1])


def over(connection: sa.Connection, limit: int) -> list[int]:
    """The ids of what `expire` would end, without reading anything else of those rows."""
    query = sa.select(messages.c.id).where(message_rows.in_state(State.QUEUED), messages.c.expires_at <= db_now())
    return [row.id for row in connection.execute(query.order_by(messages.c.expires_at).limit(limit))]


def expire(connection: sa.Connection, limit: int) -> int:
    """End messages whose validity ran out while they waited, also while the account is held; returns how many."""
    rows = connection.execute(
        sa.select(*message_rows.COLUMNS, db_now().label("now"))
        .where(message_rows.in_state(State.QUEUED), messages.c.expires_at <= db_now())
        .order_by(messages.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    state_machine.apply(connection, [on_claim.after_expiry(message_rows.read(row), row.now) for row in rows])
    return len(rows)


def _in_flight_or_opted_out(connection: sa.Connection, keys: Collection[str], phones: Collection[str]) -> set[str]:
    """Which of these keys a message in flight has, and which of these phones are never written to, in one statement.

    The unique index catches a key that comes since.
    """
    if not keys:
        return set()
    if connection.dialect.name == "postgresql":
        return set(connection.scalars(_IN_FLIGHT_OR_OPTED_OUT, {"keys": list(keys), "phones": list(phones)}))
    in_flight = sa.select(messages.c.wire_key).where(among(connection, messages.c.wire_key, keys))
    return set(
        connection.scalars(
            in_flight.union_all(sa.select(optouts.PHONE).where(among(connection, optouts.PHONE, phones)))
        )
    )


# Built once, as those below.
_IN_FLIGHT_OR_OPTED_OUT = sa.union_all(
    sa.select(messages.c.wire_key).where(
        messages.c.wire_key == sa.any_(sa.bindparam("keys", type_=postgresql.ARRAY(sa.String)))
    ),
    sa.select(optouts.PHONE).where(sa.any_(sa.bindparam("phones", type_=postgresql.ARRAY(sa.String))) == optouts.PHONE),
)

_CLAIM_COLUMNS = (*message_rows.COLUMNS, messages.c.phone, messages.c.text, db_now().label("now"))


def _next(connection: sa.Connection, limit: int, favoured: Priority | None, only: tuple[Priority, ...]) -> list[Any]:
    """What goes next, in order of priority and age; half of it is of the favoured class where so many of it wait."""
    favoured = favoured if favoured in only else None
    if favoured is None and connection.dialect.name == "postgresql":
        rows = list(connection.execute(_NEXT_OF[only], {"limit": limit}).all())
    else:
        rows = [] if favoured is None else _of(connection, favoured, (limit + 1) // 2)
        for priority in only:
            if len(rows) < limit:
                chosen = [row.id for row in rows] if priority is favoured else []
                rows += _of(connection, priority, limit - len(rows), chosen)
    return sorted(rows, key=lambda row: (row.priority, row.due_at))


def _of(connection: sa.Connection, priority: Priority, limit: int, chosen: Collection[int] = ()) -> list[Any]:
    if chosen:
        return list(connection.execute(_NEXT_BESIDE[priority], {"limit": limit, "chosen": list(chosen)}).all())
    return list(connection.execute(_NEXT[priority], {"limit": limit}).all())


def _by_id(connection: sa.Connection, ids: Collection[int], limit: int, *, overtaking: bool) -> list[Any]:
    query = (
        sa.select(*_CLAIM_COLUMNS)
        .where(messages.c.id.in_(ids), message_rows.in_state(State.QUEUED), messages.c.due_at <= db_now())
        .order_by(messages.c.priority, messages.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if not overtaking:
        query = query.where(*(_none_before(priority) for priority in Priority if priority is not Priority.LOW))
    return list(connection.execute(query).all())


def _none_before(priority: Priority) -> sa.ColumnElement[bool]:
    """The row is of this priority or a higher one, or nothing of it waits: one look into the queue's index."""
    other = messages.alias()
    waits = sa.exists().where(
        other.c.state == sa.literal(str(State.QUEUED), literal_execute=True),
        other.c.priority == sa.literal(int(priority), literal_execute=True),
        other.c.due_at <= db_now(),
    )
    return sa.or_(messages.c.priority <= sa.literal(int(priority), literal_execute=True), ~waits)


def _due(query: sa.Select[Any], priority: Priority, limit: "int | sa.BindParameter[int]") -> sa.Select[Any]:
    """One priority at a time, so that the index gives the rows in order and reads no more than it returns."""
    return (
        query.where(
            message_rows.in_state(State.QUEUED),
            messages.c.priority == sa.literal(int(priority), literal_execute=True),
            messages.c.due_at <= db_now(),
        )
        .order_by(messages.c.due_at)
        .limit(limit)
    )


# Built once: it runs for every claim, and building it costs as much as running it.
_NEXT = {
    priority: _due(sa.select(*_CLAIM_COLUMNS), priority, sa.bindparam("limit", type_=sa.Integer)).with_for_update(
        skip_locked=True
    )
    for priority in Priority
}
# For PostgreSQL, which looks at one priority after the other and stops at the limit: no row of a lower priority is read
# or locked too many. The others lock no rows within a part of a statement.
_NEXT_OF = {
    only: sa.select(sa.union_all(*(sa.select(_NEXT[each].subquery()) for each in only)).subquery("next")).limit(
        sa.bindparam("limit", type_=sa.Integer)
    )
    for only in (ALL, HIGH, OTHERS)
}
_NEXT_BESIDE = {
    priority: query.where(messages.c.id.not_in(sa.bindparam("chosen", expanding=True)))
    for priority, query in _NEXT.items()
}
