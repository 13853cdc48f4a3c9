"""Choose the attempts of unknown outcome that are looked for now, and claim them.

A claim moves the row's due time (`due_at`) forward by a lease, so that no other worker reads the same report meanwhile.
"""

import datetime as dt
from collections.abc import Sequence

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import State, messages
from worker.account import account_state
from worker.alerting import incidents
from worker.lifecycle import message_rows
from worker.reconciliation.unknown_attempt import UnknownAttempt
from worker.reports.matching import Attempt

MOST_ATTEMPTS = 500
"""Attempts of one claim."""


def due(connection: sa.Connection) -> bool:
    """Return whether an unknown attempt is due, or an incident about old ones is open and may be closed."""
    query = sa.select(messages.c.id).where(message_rows.in_state(State.UNKNOWN), messages.c.due_at <= db_now())
    first = connection.execute(query.order_by(messages.c.due_at).limit(1)).first()
    return first is not None or incidents.is_open(connection, "old_unknown")


def claim(connection: sa.Connection, lease_seconds: float) -> list[UnknownAttempt]:
    """Claim the attempts that are due, at most `MOST_ATTEMPTS`; none while the key is refused."""
    if not account_state.read(connection).key_works:
        return []
    rows = connection.execute(
        sa.select(
            messages.c.id,
            messages.c.phone,
            messages.c.text,
            messages.c.token,
            messages.c.attempted_at,
            messages.c.absent_since,
            messages.c.unknown_since,
            messages.c.account_fingerprint,
            db_now().label("now"),
        )
        .where(message_rows.in_state(State.UNKNOWN), messages.c.due_at <= db_now())
        .order_by(messages.c.due_at)
        .limit(MOST_ATTEMPTS)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        later = rows[0].now + dt.timedelta(seconds=lease_seconds)
        postpone(connection, [row.id for row in rows], later)
    return [
        UnknownAttempt(
            # An earlier attempt that was judged absent may have been accepted late: that would be this message too.
            Attempt(row.id, row.phone, row.text, row.absent_since or row.attempted_at, row.unknown_since),
            row.token,
            row.account_fingerprint,
        )
        for row in rows
    ]


def postpone(connection: sa.Connection, ids: Sequence[int], until: dt.datetime) -> None:
    """Make unknown attempts due at this time."""
    still_unknown = message_rows.in_state(State.UNKNOWN)
    connection.execute(sa.update(messages).where(messages.c.id.in_(ids), still_unknown).values(due_at=until))
