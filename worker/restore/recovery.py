"""After a restored backup, or a failover that lost commits: what can have been sent since becomes `unknown`.

A backup holds messages as they were when it was made. A message that waits in it may have been sent since. So

1. sending is held (`worker.account.holds`),
2. every such message becomes `unknown`, with an attempt from the time of the backup to now, and
3. the provider's report decides, by the same rule as for any other attempt (`worker.reconciliation.reconcile`).

The hold ends when each of them has been looked for after `SMSCLICK_SETTLE_SECONDS` (`worker.restore.hold`). What the
report could not decide stays `unknown`. See docs/decisions/0030-restored.md.
"""

import dataclasses
import datetime as dt
import secrets
from collections.abc import Callable

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick.contract import State, messages
from smsclick.errors import InvalidTime
from worker.account import holds
from worker.alerting import incidents
from worker.alerting.details import made
from worker.alerting.wording import DetailCode
from worker.lifecycle import message_rows, on_operator, state_machine
from worker.lifecycle.fingerprint import wire_key
from worker.queue import odd_rows
from worker.restore.in_flight import fingerprints_in_flight
from worker.sql import audit
from worker.sql.audit import Act

_ROWS_PER_TRANSACTION = 500
_STATES_BEFORE_ACCEPTANCE = (State.QUEUED, State.SENDING, State.UNKNOWN)


@dataclasses.dataclass(frozen=True, slots=True)
class Recovery:
    """What a recovery did.

    Attributes:
        since: the earliest time at which the messages can have been sent, by this or an earlier unfinished recovery.
        unknown: how many messages are looked for now.
    """

    since: dt.datetime
    unknown: int


def recover(
    database: Database,
    since: dt.datetime,
    account: str | None,
    *,
    actor: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Recovery:
    """Hold sending and make every message `unknown` that can have been sent since then.

    It may be run again: after it was interrupted, with an earlier time, or after lost messages were imported again.

    Args:
        database: the restored one.
        since: when the backup was made, or earlier; after a failover, when the standby was last known to be complete.
        account: the fingerprint of the APIKEY with which messages were sent since then.
        actor: who does it, for the events and the audit record.
        progress: is called with the number of messages so far.

    Raises:
        InvalidTime: `since` lies in the future.
        DatabaseUnavailable: the database does not answer. Sending stays held; run it again.
    """
    if since > database.clock():
        raise InvalidTime("--since: lies in the future; give the time at which the backup was made")

    def begin(connection: sa.Connection) -> tuple[dt.datetime, int]:
        earliest = holds.hold_restored(connection, since)
        detail = made(DetailCode.RESTORED, since=f"{earliest:%Y-%m-%d %H:%M:%S}")
        incidents.report(connection, "restored", detail=detail, count=0)
        return earliest, connection.scalar(sa.select(sa.func.max(messages.c.id))) or 0

    earliest, last = database.transact(begin)
    record = audit.begin(database, Act.RESTORED, actor, f"since {earliest:%Y-%m-%d %H:%M:%S} UTC")
    count, after = 0, 0
    while after < last:
        marked, after = odd_rows.run(
            database,
            lambda connection, after=after: _mark_unknown(connection, after, last, earliest, account, actor, record),  # type: ignore[misc]
            lambda connection, after=after: _next_ids(connection, after, last),  # type: ignore[misc]
        )
        count += marked
        progress(count)
    database.transact(holds.mark_restored)
    return Recovery(earliest, count)


def _next_ids(connection: sa.Connection, after: int, last: int) -> list[int]:
    query = sa.select(messages.c.id).where(
        message_rows.in_state(*_STATES_BEFORE_ACCEPTANCE), messages.c.id > after, messages.c.id <= last
    )
    return [row.id for row in connection.execute(query.order_by(messages.c.id).limit(_ROWS_PER_TRANSACTION))]


def _mark_unknown(
    connection: sa.Connection,
    after: int,
    last: int,
    since: dt.datetime,
    account: str | None,
    actor: str,
    record: int,
) -> tuple[int, int]:
    """Make the next messages by id unknown; returns how many became unknown, and the id up to which that is done."""
    rows = connection.execute(
        sa.select(*message_rows.COLUMNS, messages.c.phone, messages.c.text, db_now().label("now"))
        .where(message_rows.in_state(*_STATES_BEFORE_ACCEPTANCE), messages.c.id > after, messages.c.id <= last)
        .order_by(messages.c.id)
        .limit(_ROWS_PER_TRANSACTION)
        .with_for_update()
    ).all()
    if not rows:
        return 0, last
    fingerprints = {row.id: wire_key(row.phone, row.text) for row in rows}
    in_flight = fingerprints_in_flight(connection, set(fingerprints.values()))
    first, second = [], []
    for row in rows:
        message = message_rows.read(row)
        # Of several messages with one content only one can hold its fingerprint. Matching gives the report's rows to
        # them one by one.
        fingerprint = None if fingerprints[row.id] in in_flight else fingerprints[row.id]
        changes = on_operator.after_restore(message, secrets.token_hex(8), since, fingerprint, account, row.now, actor)
        if changes and message.state is State.QUEUED:
            in_flight.add(fingerprints[row.id])
        first += changes[:-1]
        second += changes[-1:]
    state_machine.apply(connection, first)
    state_machine.apply(connection, second)
    audit.add(connection, record, len(second))
    return len(second), rows[-1].id
