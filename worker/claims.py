"""Who is next: the SQL that finds waiting messages and claims them, written once.

A claim is one short transaction, committed before any request leaves: rows are locked (`SKIP LOCKED` where there is
such a thing, the single writer on SQLite), become `sending` with a token of their own, and are called for outside of
it.
"""

import dataclasses
import datetime as dt
import secrets
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from smsclick.columns import db_now
from smsclick.contract import Priority, State, messages
from smsclick.texts import CHARACTERS_PER_CREDIT
from worker import decisions, lifecycle
from worker.decisions import Policy
from worker.matching import wire_key


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """One attempt that is on record and may now be called for.

    Attributes:
        token: proves that this attempt is the row's latest.
        valid_seconds: what was left of the message's validity at the claim; None where it has none.
        canary: whether it goes although the gate is held.
    """

    id: int
    token: str
    phone: str = dataclasses.field(repr=False)
    text: str = dataclasses.field(repr=False)
    rule_id: str | None
    valid_seconds: float | None
    canary: bool


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


def claim(
    connection: sa.Connection,
    ids: Collection[int] | None,
    limit: int,
    policy: Policy,
    *,
    canary: int | None = None,
) -> list[Claim]:
    """Claim up to `limit` messages that are due: of `ids`, or whatever is next where `ids` is None.

    Args:
        connection: in a transaction that the caller commits before it calls the provider.
        ids: the doorbell's ids; those that are not due, or that others hold, are passed over.
        limit: rows at most.
        policy: for the lease.
        canary: the one message that may go while the gate is held; only for marking it.
    """
    rows = _by_id(connection, ids, limit) if ids is not None else _next(connection, limit)
    changes, claimed = [], []
    keys = {row.id: wire_key(row.phone, row.text) for row in rows}
    on_the_wire = _on_the_wire(connection, keys.values())
    for row in rows:
        message = lifecycle.read(row)
        key = keys[row.id]
        if key in on_the_wire:
            changes.append(decisions.after_twin(message, row.now))
            continue
        change = decisions.after_claim(message, secrets.token_hex(8), key, row.now, policy)
        if change.becomes.wire_key is not None:
            on_the_wire.add(key)
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
                    canary=message.id == canary,
                )
            )
    lifecycle.apply(connection, changes)
    return claimed


def expire(connection: sa.Connection, limit: int) -> int:
    """End messages whose validity ran out while they waited, also while the gate is held; returns how many."""
    rows = connection.execute(
        sa.select(*lifecycle.COLUMNS, db_now().label("now"))
        .where(lifecycle.in_state(State.QUEUED), messages.c.expires_at <= db_now())
        .order_by(messages.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    lifecycle.apply(connection, [decisions.after_expiry(lifecycle.read(row), row.now) for row in rows])
    return len(rows)


def strand(connection: sa.Connection, limit: int) -> list[int]:
    """Turn `sending` rows whose lease ended into `unknown`; returns their ids."""
    stranded = lifecycle.lock_due(connection, State.SENDING, limit)
    if stranded:
        now = _now(connection)
        lifecycle.apply(connection, [decisions.after_lease(message, now) for message in stranded])
    return [message.id for message in stranded]


def _on_the_wire(connection: sa.Connection, keys: Collection[str]) -> set[str]:
    """Which of these keys a message has whose request may be on the wire. The unique index catches what comes since."""
    if not keys:
        return set()
    return set(connection.scalars(sa.select(messages.c.wire_key).where(messages.c.wire_key.in_(keys))))


_CLAIM_COLUMNS = (*lifecycle.COLUMNS, messages.c.phone, messages.c.text, db_now().label("now"))


def _next(connection: sa.Connection, limit: int) -> list[Any]:
    rows: list[Any] = []
    for priority in Priority:
        query = _due(sa.select(*_CLAIM_COLUMNS), priority, limit - len(rows))
        rows += connection.execute(query.with_for_update(skip_locked=True)).all()
        if len(rows) >= limit:
            break
    return rows


def _by_id(connection: sa.Connection, ids: Collection[int], limit: int) -> list[Any]:
    query = (
        sa.select(*_CLAIM_COLUMNS)
        .where(messages.c.id.in_(ids), lifecycle.in_state(State.QUEUED), messages.c.due_at <= db_now())
        .order_by(messages.c.priority, messages.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(query).all())


def _due(query: sa.Select[Any], priority: Priority, limit: int) -> sa.Select[Any]:
    """One priority at a time, so that the index gives the rows in order and reads no more than it returns."""
    return (
        query.where(
            lifecycle.in_state(State.QUEUED),
            messages.c.priority == sa.literal(int(priority), literal_execute=True),
            messages.c.due_at <= db_now(),
        )
        .order_by(messages.c.due_at)
        .limit(limit)
    )


def _now(connection: sa.Connection) -> dt.datetime:
    return connection.execute(sa.select(db_now())).scalar_one()
