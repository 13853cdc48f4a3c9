"""Open, reopen, remind of and close incidents.

An incident is one open problem and one row of `smsclick_incidents`. Its alert events (opened, reminder, reopened,
closed) are rows of `smsclick_alerts`, written in the transaction that found the problem; `worker.alerting.delivery`
delivers them. So a channel that does not answer never holds up the code that reports a problem.

A problem that occurs again soon after its end reopens the same incident. The operator gets one alert that it reopened,
and the alert of its end only once it has been over for `Kind.reopen_seconds`: a problem that comes and goes makes four
alerts, however often it occurs.
"""

import datetime as dt
from typing import Any, Literal

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import alerts, incidents
from worker.alerting.details import NONE, Detail
from worker.alerting.kinds import KINDS, known_or_new
from worker.lifecycle import effects
from worker.lifecycle.effects import Effects
from worker.sql.insert_once import insert_once_with_id
from worker.sql.now import database_now

AlertEvent = Literal["opened", "reminder", "reopened", "closed"]

_INCIDENTS_PER_TICK = 100


def report(connection: sa.Connection, kind: str, *, subject: str = "", detail: Detail = NONE, count: int = 1) -> bool:
    """Report that a problem exists: open an incident with one alert event, or count it in the open incident.

    Args:
        connection: in a transaction.
        kind: a name of `KINDS`.
        subject: which one, for a kind that can be open several times at once.
        detail: without phone or text.
        count: how many times the problem occurred; 0 where it only continues.

    Returns:
        True where an alert event was stored: the incident opened, or reopened for the first time.
    """
    open_key = f"{kind}:{subject}"
    counted = connection.execute(
        sa.update(incidents)
        .where(incidents.c.open_key == open_key)
        .values(occurrences=incidents.c.occurrences + count, last_at=db_now())
    )
    if counted.rowcount:
        return _reopen(connection, open_key, detail)
    remind_at = database_now(connection) + dt.timedelta(seconds=KINDS[kind].remind_seconds)
    opened = {
        "kind": kind,
        "subject": subject,
        "open_key": open_key,
        "occurrences": max(1, count),
        "detail": detail,
        "remind_at": remind_at,
    }
    primary_key = insert_once_with_id(connection, incidents, opened)
    if primary_key is None:
        # Another process has just opened it.
        return report(connection, kind, subject=subject, detail=detail, count=count)
    _add_alert(connection, primary_key[0], "opened")
    return True


def describe(connection: sa.Connection, kind: str, *, subject: str = "", detail: Detail) -> None:
    """Replace the detail of an open incident; its later alerts show the new one."""
    connection.execute(sa.update(incidents).where(incidents.c.open_key == f"{kind}:{subject}").values(detail=detail))


def is_open(connection: sa.Connection, kind: str, *, subject: str = "") -> bool:
    """Whether this problem exists now."""
    query = sa.select(incidents.c.id).where(incidents.c.open_key == f"{kind}:{subject}", incidents.c.ends_at.is_(None))
    return connection.execute(query).first() is not None


def close(connection: sa.Connection, kind: str, *, subject: str = "") -> bool:
    """Report that a problem ended. The end of an incident that has reopened is alerted later, by `tick`.

    Args:
        connection: in a transaction.
        kind: a name of `KINDS`.
        subject: as given to `report`.

    Returns:
        True where an alert event was stored.
    """
    row = connection.execute(
        sa.select(incidents.c.id, incidents.c.kind, incidents.c.reopened)
        .where(incidents.c.open_key == f"{kind}:{subject}", incidents.c.ends_at.is_(None))
        .with_for_update()
    ).first()
    return row is not None and _close(connection, row)


def tick(connection: sa.Connection) -> int:
    """Remind of open incidents, close those without a recent occurrence, and end those that can no longer reopen.

    Args:
        connection: in a transaction.

    Returns:
        How many alert events were stored.
    """
    now = database_now(connection)
    quiet = [
        sa.and_(incidents.c.kind == kind.name, incidents.c.last_at <= now - dt.timedelta(seconds=kind.quiet_seconds))
        for kind in KINDS.values()
        if kind.quiet_seconds is not None
    ]
    rows = connection.execute(
        sa.select(
            incidents.c.id,
            incidents.c.kind,
            incidents.c.last_at,
            incidents.c.remind_at,
            incidents.c.ends_at,
            incidents.c.reopened,
        )
        .where(
            incidents.c.open_key.is_not(None),
            # Only due rows, so that others do not use up the limit.
            sa.or_(
                incidents.c.ends_at <= now,
                sa.and_(incidents.c.ends_at.is_(None), sa.or_(incidents.c.remind_at <= now, *quiet)),
            ),
        )
        .order_by(incidents.c.open_key)
        .limit(_INCIDENTS_PER_TICK)
        .with_for_update(skip_locked=True)
    ).all()
    alert_events = 0
    for row in rows:
        # A newer release may have stored a kind that this one does not know.
        kind = known_or_new(row.kind)
        if row.ends_at is not None:
            alert_events += _end(connection, row)
        elif kind.quiet_seconds is not None and now - row.last_at >= dt.timedelta(seconds=kind.quiet_seconds):
            alert_events += _close(connection, row)
        else:
            connection.execute(
                sa.update(incidents)
                .where(incidents.c.id == row.id)
                .values(remind_at=now + dt.timedelta(seconds=kind.remind_seconds))
            )
            _add_alert(connection, row.id, "reminder")
            alert_events += 1
    return alert_events


def _reopen(connection: sa.Connection, open_key: str, detail: Detail) -> bool:
    """Reopen an incident that is closed but has not ended; True where an alert event was stored."""
    closed = sa.select(incidents.c.id, incidents.c.reopened).where(
        incidents.c.open_key == open_key, incidents.c.ends_at.is_not(None)
    )
    row = connection.execute(closed.with_for_update()).first()
    if row is None:
        return False
    connection.execute(
        sa.update(incidents)
        .where(incidents.c.id == row.id)
        .values(ends_at=None, closed_at=None, reopened=row.reopened + 1, detail=detail)
    )
    if row.reopened:
        return False
    _add_alert(connection, row.id, "reopened")
    return True


def _close(connection: sa.Connection, row: Any) -> bool:  # noqa: ANN401 - a Row
    """Close an incident, which can reopen for a while; True where an alert event was stored."""
    now = database_now(connection)
    kind = KINDS.get(row.kind)
    reopen_seconds = 0 if kind is None else kind.reopen_seconds
    connection.execute(
        sa.update(incidents)
        .where(incidents.c.id == row.id)
        .values(closed_at=now, ends_at=now + dt.timedelta(seconds=reopen_seconds))
    )
    alert_now = reopen_seconds == 0 or not row.reopened
    if alert_now:
        _add_alert(connection, row.id, "closed")
    if reopen_seconds == 0:
        connection.execute(sa.update(incidents).where(incidents.c.id == row.id).values(open_key=None, ends_at=None))
    return alert_now


def _end(connection: sa.Connection, row: Any) -> bool:  # noqa: ANN401 - a Row
    """End a closed incident, which can no longer reopen; True where the alert event of its end was stored now."""
    connection.execute(sa.update(incidents).where(incidents.c.id == row.id).values(open_key=None, ends_at=None))
    if not row.reopened:
        return False
    _add_alert(connection, row.id, "closed")
    return True


def _add_alert(connection: sa.Connection, incident_id: int, event: AlertEvent) -> None:
    connection.execute(
        sa.insert(alerts).values({alerts.c.incident_id: incident_id, alerts.c.news: event, alerts.c.delivered_to: ""})
    )
    effects.note(connection, Effects(alerts=True))
