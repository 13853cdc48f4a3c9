"""After a restored backup, or a failover that lost commits: what could have been sent since becomes `unknown`.

A backup holds messages as they were when it was made. What it shows as waiting may have been sent since, so sending is
held, every such message becomes `unknown` with an attempt from then to now, and the provider's report decides, by the
same rule as for any other attempt (`worker.reconciliation.reconcile`). The hold ends when each has been looked for once
after `SMSCLICK_SETTLE_SECONDS`; what the report could not decide stays `unknown`. See docs/operations.md.
"""

import dataclasses
import datetime as dt
import itertools
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick.contract import State, messages
from smsclick.errors import InvalidTime
from worker.account import holds
from worker.alerting import incidents
from worker.lifecycle import machine, message_rows, on_operator
from worker.lifecycle.doubt import Doubt
from worker.lifecycle.fingerprint import wire_key
from worker.queue import odd_rows
from worker.sql.bulk import among

_BATCH = 500
_OPEN = (State.QUEUED, State.SENDING, State.UNKNOWN)
_NOT_LOOKED_FOR = (str(Doubt.SETTLING), str(Doubt.NO_REPORT))
"""Reasons of unknown attempts that no report has answered for yet; and so is none at all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Restored:
    """What a restore made of the messages.

    Attributes:
        since: from when on they could have been sent, by this or an earlier call that has not ended.
        unknown: how many are looked for now.
    """

    since: dt.datetime
    unknown: int


def restored(
    database: Database, since: dt.datetime, account: str | None, *, progress: Callable[[int], None] = lambda _: None
) -> Restored:
    """Hold sending and make every message that could have been sent since then `unknown`.

    It may be run again: after it was interrupted, with an earlier time, or when lost messages were imported again.

    Args:
        database: the restored one.
        since: when the backup was made, or earlier; after a failover, when the standby was last known to be complete.
        account: the fingerprint of the key that messages were sent with since then.
        progress: is called with the number of messages so far.

    Raises:
        InvalidTime: it lies in the future.
        DatabaseUnavailable: run it again; sending stays held.
    """
    if since > database.clock():
        raise InvalidTime("--since: lies in the future; give the time at which the backup was made")

    def begin(connection: sa.Connection) -> tuple[dt.datetime, int]:
        earliest = holds.hold_restored(connection, since)
        incidents.report(connection, "restored", detail=f"since {earliest:%Y-%m-%d %H:%M:%S} UTC", count=0)
        return earliest, connection.scalar(sa.select(sa.func.max(messages.c.id))) or 0

    earliest, last = database.transact(begin)
    count, after = 0, 0
    while after < last:
        count_of_batch, after = odd_rows.run(
            database,
            lambda connection, after=after: _doubt(connection, after, last, earliest, account),  # type: ignore[misc]
            lambda connection, after=after: _next_ids(connection, after, last),  # type: ignore[misc]
        )
        count += count_of_batch
        progress(count)
    database.transact(holds.mark_restored)
    return Restored(earliest, count)


def _next_ids(connection: sa.Connection, after: int, last: int) -> list[int]:
    query = sa.select(messages.c.id).where(message_rows.in_state(*_OPEN), messages.c.id > after, messages.c.id <= last)
    return [row.id for row in connection.execute(query.order_by(messages.c.id).limit(_BATCH))]


def _doubt(
    connection: sa.Connection, after: int, last: int, since: dt.datetime, account: str | None
) -> tuple[int, int]:
    """The next messages by id; returns how many became unknown, and up to which id that is done."""
    rows = connection.execute(
        sa.select(*message_rows.COLUMNS, messages.c.phone, messages.c.text, db_now().label("now"))
        .where(message_rows.in_state(*_OPEN), messages.c.id > after, messages.c.id <= last)
        .order_by(messages.c.id)
        .limit(_BATCH)
        .with_for_update()
    ).all()
    if not rows:
        return 0, last
    keys = {row.id: wire_key(row.phone, row.text) for row in rows}
    taken = _in_flight(connection, set(keys.values()))
    first, second = [], []
    for row in rows:
        message = message_rows.read(row)
        # Where several have one content, only one can hold its key; the report's rows are given to them one by one.
        key = None if keys[row.id] in taken else keys[row.id]
        changes = on_operator.after_restore(message, secrets.token_hex(8), since, key, account, row.now)
        if changes and message.state is State.QUEUED:
            taken.add(keys[row.id])
        first += changes[:-1]
        second += changes[-1:]
    machine.apply(connection, first)
    machine.apply(connection, second)
    return len(second), rows[-1].id


def _in_flight(connection: sa.Connection, keys: Collection[str]) -> set[str]:
    return set(connection.scalars(sa.select(messages.c.wire_key).where(among(connection, messages.c.wire_key, keys))))


def release(connection: sa.Connection) -> bool:
    """End the hold where everything has been looked for; a tick calls this. False where it stays, or there is none."""
    state = holds.read(connection)
    if state.restored_at is None:
        return False
    reason = messages.c.unknown_reason
    waits = connection.execute(
        sa.select(messages.c.id)
        .where(
            message_rows.in_state(State.UNKNOWN),
            messages.c.unknown_since.is_not(None),
            messages.c.attempted_at <= state.restored_at,
            sa.or_(reason.is_(None), reason.in_(_NOT_LOOKED_FOR)),
        )
        .limit(1)
    ).first()
    if waits is not None:
        return False
    end(connection)
    return True


def end(connection: sa.Connection) -> None:
    """Lift the hold, whatever has been looked for; what is unknown stays so."""
    holds.read(connection, lock=True)
    holds.end_restored(connection)
    incidents.close(connection, "restored")


def missing_keys(database: Database, keys: Iterable[str]) -> Iterator[str]:
    """Which of a producer's keys no message has, in their order: after a restore, those whose messages are gone."""
    rest = iter(keys)
    while part := list(itertools.islice(rest, _BATCH)):
        with database.read() as connection:
            there = set(
                connection.scalars(sa.select(messages.c.key).where(among(connection, messages.c.key, set(part))))
            )
        yield from (key for key in part if key not in there)


def unowned(database: Database, ids: Iterable[int]) -> Iterator[int]:
    """Which ids of the provider's report no message has: sent by a message that is gone, or by somebody else."""
    rest = iter(ids)
    while part := list(itertools.islice(rest, _BATCH)):
        with database.read() as connection:
            query = sa.select(messages.c.id_mensaje).where(among(connection, messages.c.id_mensaje, set(part)))
            owned = set(connection.scalars(query))
        yield from (each for each in part if each not in owned)
