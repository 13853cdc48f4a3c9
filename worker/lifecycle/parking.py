"""Messages that wait for one of equal content that is in flight: out of the claims' way until it ends.

Two messages that a report could confuse are never in flight together. A backend that loops enqueues one alert a
thousand times under new keys; while the first is of unknown outcome, the others would be looked at by every claim. So
a claim parks them: `waits_for` is the content fingerprint (`wire_key`) of what is in flight, and `due_at` is an hour
away. Whatever ends that flight releases one of them, in the same transaction; the next one waits for that one.

A release can be missed, where a claim parks a message while the flight ends: `sweep` finds it,
and the hour is a bound should the sweep never come to it.
"""

import random
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from smsclick._database.columns import db_now
from smsclick.contract import State, messages
from worker.lifecycle import effects
from worker.lifecycle.effects import Effects
from worker.sql.bulk import among

_LOOKS = 100
_QUEUED = messages.c.state == sa.literal(str(State.QUEUED), literal_execute=True)


def release(connection: sa.Connection, fingerprints: Collection[str]) -> list[int]:
    """Make one message due for each content that is in flight no more, the first by priority and age.

    Args:
        connection: in the transaction that ends the flights.
        fingerprints: their `wire_key`.

    Returns:
        The ids of those that are due now.
    """
    if not fingerprints:
        return []
    first = _first_of_many(connection, fingerprints)
    if first:
        connection.execute(
            sa.update(messages)
            .where(messages.c.id.in_(first), _QUEUED, messages.c.waits_for.is_not(None))
            .values(waits_for=None, due_at=db_now())
        )
        effects.note(connection, Effects(sendable=tuple(first)))
    return first


def sweep(connection: sa.Connection, rng: random.Random) -> list[int]:
    """Release what waits for a flight that is over: one look into the index for each content, up to a hundred contents.

    They are walked through from a random place on, so that none is left out for good.
    """
    start = f"{rng.getrandbits(128):032x}"
    over: list[str] = []
    last: str | None = None
    begun_again = False
    for _ in range(_LOOKS):
        following = messages.c.waits_for > (last or start if not begun_again else last or "")
        found: str | None = connection.scalar(
            sa.select(messages.c.waits_for).where(following).order_by(messages.c.waits_for).limit(1)
        )
        if found is None and not begun_again:
            begun_again, last = True, None
            continue
        if found is None or (begun_again and found > start):
            break
        last = found
        flying = sa.select(messages.c.id).where(messages.c.wire_key == found)
        if connection.execute(flying).first() is None:
            over.append(found)
    return release(connection, over)


def _first_of_many(connection: sa.Connection, fingerprints: Collection[str]) -> list[int]:
    if connection.dialect.name == "postgresql":
        return [row.id for row in connection.execute(_FIRST, {"fingerprints": sorted(fingerprints)})]
    waits = sa.select(messages.c.id).where(among(connection, messages.c.waits_for, sorted(fingerprints)))
    if connection.execute(waits.order_by(messages.c.waits_for).limit(1)).first() is None:
        return []
    return [row.id for each in sorted(fingerprints) for row in connection.execute(_of(messages.c.waits_for == each))]


def _of(condition: sa.ColumnElement[bool]) -> sa.Select[tuple[int]]:
    return (
        sa.select(messages.c.id)
        .where(condition, _QUEUED)
        .order_by(messages.c.priority, messages.c.id)
        .limit(1)
        # One that is being cancelled makes way for the next.
        .with_for_update(skip_locked=True)
    )


_wanted = (
    sa.func.unnest(sa.bindparam("fingerprints", type_=postgresql.ARRAY(sa.String)))
    .table_valued("fingerprint")
    .render_derived(name="wanted")
)
_first = _of(messages.c.waits_for == _wanted.c.fingerprint).lateral("first")
# Built once: it runs for every group of results.
_FIRST = sa.select(_first.c.id).select_from(_wanted.join(_first, sa.true()))
