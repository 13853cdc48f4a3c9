"""Find the messages that a report must show: the database's side of `worker.reconciliation.control_rows`."""

import datetime as dt

import sqlalchemy as sa

from smsclick.contract import messages
from worker.lifecycle.on_report import FROM_PERSON
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS
from worker.reconciliation.control_rows import Control
from worker.reports.matching import CLOCK_TOLERANCE
from worker.sql.now import database_now

MOST_CONTROLS = 2000
"""Up to so many messages of a span are all controls. Of more, a sample from every part of the span is used."""
_PARTS_OF_SPAN = 40
_CONTROLS_PER_PART = 50


def controls_within(connection: sa.Connection, begin: dt.datetime, end: dt.datetime, account: str) -> list[Control]:
    """Return messages of known id that an account accepted within a span: all, or some from every part of it.

    Args:
        connection: reads.
        begin: the earliest time at which they were accepted.
        end: the latest.
        account: the fingerprint of the APIKEY.
    """
    # Rows are counted, not controls. Some rows are no controls, and the newest controls must not be cut off for them.
    more = connection.scalar(
        sa.select(messages.c.id)
        .where(messages.c.sent_at >= begin, messages.c.sent_at <= end, messages.c.id_mensaje.is_not(None))
        .order_by(messages.c.sent_at)
        .offset(MOST_CONTROLS)
        .limit(1)
    )
    if more is None:
        return _accepted(connection, begin, end, account, MOST_CONTROLS)
    part = (end - begin) / _PARTS_OF_SPAN
    starts = [begin + part * number for number in range(_PARTS_OF_SPAN)]
    chosen = {
        control.id_mensaje: control
        for start in starts
        for control in _accepted(connection, start, start + part, account, _CONTROLS_PER_PART)
    }
    return list(chosen.values())


def newest_witnesses(connection: sa.Connection, account: str, within: dt.timedelta, limit: int) -> list[Control]:
    """Return up to `limit` newest witnesses of an account that are not older than `within`, the oldest first."""
    now = database_now(connection)
    times = connection.scalars(
        sa.select(messages.c.sent_at)
        .where(messages.c.sent_at >= now - within, messages.c.sent_at <= now, messages.c.id_mensaje.is_not(None))
        .order_by(messages.c.sent_at.desc())
        .limit(limit)
    ).all()
    if not times:
        return []
    found = _accepted(connection, min(times) - CLOCK_TOLERANCE, now, account, 2 * limit)
    return [control for control in found if control.witness][-limit:]


def begin_of_controls_before(connection: sa.Connection, first: dt.datetime, earliest: dt.datetime) -> dt.datetime:
    """Return when the request of the third-last witness before `first` began: a pass must begin there.

    Args:
        connection: reads.
        first: when the first attempt in question began.
        earliest: the result is not earlier than this.

    Returns:
        `first` where there is no witness.
    """
    times: sa.ScalarResult[dt.datetime | None] = connection.scalars(
        sa.select(messages.c.attempted_at)
        .where(
            messages.c.sent_at >= earliest,
            messages.c.sent_at <= first,
            messages.c.id_mensaje.is_not(None),
            messages.c.id_source.is_(None),
        )
        .order_by(messages.c.sent_at.desc())
        .limit(LEAST_CONTROL_ROWS)
    )
    return max(earliest, min([first, *(time for time in times if time is not None)]))


def _accepted(
    connection: sa.Connection, begin: dt.datetime, end: dt.datetime, account: str, limit: int
) -> list[Control]:
    """The controls among the first `limit` messages of known id of a span."""
    rows = connection.execute(
        sa.select(
            messages.c.id_mensaje,
            messages.c.phone,
            messages.c.text,
            messages.c.attempted_at,
            messages.c.sent_at,
            messages.c.id_source,
            messages.c.account_fingerprint,
            messages.c.erased_at,
        )
        .where(messages.c.sent_at >= begin, messages.c.sent_at <= end, messages.c.id_mensaje.is_not(None))
        .order_by(messages.c.sent_at)
        .limit(limit)
    )
    return [
        Control(
            row.id_mensaje,
            row.phone,
            row.text,
            min(row.attempted_at, row.sent_at),
            row.sent_at,
            witness=row.id_source is None,
        )
        for row in rows
        if row.account_fingerprint == account
        and row.erased_at is None
        and row.id_source != FROM_PERSON
        and row.attempted_at is not None
        and row.attempted_at >= begin
    ]
