"""Open problems: each is one row, heard of once, reminded of while it lasts, and told the end.

One that comes back soon after its end is the same problem: an operator hears of that once, and of its end only when it
has been over for a while. So something that comes and goes makes four alerts, however often it does.

What an operator hears goes into `smsclick_alerts` in the same transaction; `worker.alerting.delivery` delivers it. An
alert that cannot be delivered therefore never holds up what raised it.
"""

import datetime as dt
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from smsclick._database.columns import db_now
from smsclick.contract import alerts, incidents
from worker.alerting.kinds import KINDS, Kind

News = Literal["opened", "reminder", "reopened", "closed"]


def report(connection: sa.Connection, kind: str, *, subject: str = "", detail: str = "", count: int = 1) -> bool:
    """Say that a problem is there. Opens an incident with one alert, or counts in the open one.

    Args:
        connection: in a transaction.
        kind: a name of `KINDS`.
        subject: which one, where a kind can be open several times at once.
        detail: one line without phone or text.
        count: how many times it happened; 0 where it only goes on.

    Returns:
        True where there is something to deliver: it opened, or came back for the first time.
    """
    open_key = f"{kind}:{subject}"
    counted = connection.execute(
        sa.update(incidents)
        .where(incidents.c.open_key == open_key)
        .values(occurrences=incidents.c.occurrences + count, last_at=db_now())
    )
    if counted.rowcount:
        return _reopen(connection, open_key, detail)
    remind_at = _now(connection) + dt.timedelta(seconds=KINDS[kind].remind_seconds)
    try:
        with connection.begin_nested():
            result = connection.execute(
                sa.insert(incidents).values(
                    kind=kind,
                    subject=subject,
                    open_key=open_key,
                    occurrences=max(1, count),
                    detail=detail[:300],
                    remind_at=remind_at,
                )
            )
    except IntegrityError:
        return report(connection, kind, subject=subject, detail=detail, count=count)
    primary_key = result.inserted_primary_key
    if primary_key is not None:
        _tell(connection, primary_key[0], "opened")
    return True


def describe(connection: sa.Connection, kind: str, *, subject: str = "", detail: str) -> None:
    """Say anew why an open problem is there; reminders and the end tell the newest."""
    connection.execute(
        sa.update(incidents).where(incidents.c.open_key == f"{kind}:{subject}").values(detail=detail[:300])
    )


def _reopen(connection: sa.Connection, open_key: str, detail: str) -> bool:
    """Where it has ended but not for long: it goes on. True where that is to be told."""
    ended = sa.select(incidents.c.id, incidents.c.reopened).where(
        incidents.c.open_key == open_key, incidents.c.ends_at.is_not(None)
    )
    row = connection.execute(ended.with_for_update()).first()
    if row is None:
        return False
    connection.execute(
        sa.update(incidents)
        .where(incidents.c.id == row.id)
        .values(ends_at=None, closed_at=None, reopened=row.reopened + 1, detail=detail[:300])
    )
    if row.reopened:
        return False
    _tell(connection, row.id, "reopened")
    return True


def is_open(connection: sa.Connection, kind: str, *, subject: str = "") -> bool:
    """Whether this problem is there now."""
    query = sa.select(incidents.c.id).where(incidents.c.open_key == f"{kind}:{subject}", incidents.c.ends_at.is_(None))
    return connection.execute(query).first() is not None


def close(connection: sa.Connection, kind: str, *, subject: str = "") -> bool:
    """Say that a problem ended. One that came back before is told the end of later, by `tick`.

    Returns:
        True where there is something to deliver.
    """
    row = connection.execute(
        sa.select(incidents.c.id, incidents.c.kind, incidents.c.reopened)
        .where(incidents.c.open_key == f"{kind}:{subject}", incidents.c.ends_at.is_(None))
        .with_for_update()
    ).first()
    return row is not None and _close(connection, row)


def tick(connection: sa.Connection) -> int:
    """Remind of what lasts, close what has been quiet, end what has been over for a while.

    Returns:
        How many alerts that made.
    """
    now = _now(connection)
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
            # What is not due is left out here, so that it does not keep others from their turn.
            sa.or_(
                incidents.c.ends_at <= now,
                sa.and_(incidents.c.ends_at.is_(None), sa.or_(incidents.c.remind_at <= now, *quiet)),
            ),
        )
        .order_by(incidents.c.open_key)
        .limit(100)
        .with_for_update(skip_locked=True)
    ).all()
    told = 0
    for row in rows:
        # A newer release may have stored a kind that this one does not know.
        kind = KINDS.get(row.kind) or Kind(row.kind, row.kind, "")
        if row.ends_at is not None:
            told += _end(connection, row)
        elif kind.quiet_seconds is not None and now - row.last_at >= dt.timedelta(seconds=kind.quiet_seconds):
            told += _close(connection, row)
        else:
            connection.execute(
                sa.update(incidents)
                .where(incidents.c.id == row.id)
                .values(remind_at=now + dt.timedelta(seconds=kind.remind_seconds))
            )
            _tell(connection, row.id, "reminder")
            told += 1
    return told


def _close(connection: sa.Connection, row: Any) -> bool:  # noqa: ANN401 - a Row
    """It is over, and comes back as the same incident for a while; True where that is told now."""
    now = _now(connection)
    kind = KINDS.get(row.kind)
    quiet = 0 if kind is None else kind.reopen_seconds
    connection.execute(
        sa.update(incidents)
        .where(incidents.c.id == row.id)
        .values(closed_at=now, ends_at=now + dt.timedelta(seconds=quiet))
    )
    told = quiet == 0 or not row.reopened
    if told:
        _tell(connection, row.id, "closed")
    if quiet == 0:
        connection.execute(sa.update(incidents).where(incidents.c.id == row.id).values(open_key=None, ends_at=None))
    return told


def _end(connection: sa.Connection, row: Any) -> bool:  # noqa: ANN401 - a Row
    """It has not come back; what came and went before is told the end of now."""
    connection.execute(sa.update(incidents).where(incidents.c.id == row.id).values(open_key=None, ends_at=None))
    if not row.reopened:
        return False
    _tell(connection, row.id, "closed")
    return True


def _tell(connection: sa.Connection, incident_id: int, news: News) -> None:
    connection.execute(sa.insert(alerts).values(incident_id=incident_id, news=news, delivered_to=""))


def _now(connection: sa.Connection) -> dt.datetime:
    return connection.execute(sa.select(db_now())).scalar_one()
