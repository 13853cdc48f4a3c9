"""Open problems: each is one row, heard of once, reminded of while it lasts, and told the end.

One that comes back soon after its end is the same problem: an operator hears of that once, and of its end only when it
has been over for a while. So something that comes and goes makes four alerts, however often it does.

What an operator hears goes into `smsclick_alerts` in the same transaction; `worker.alerting.alerts` delivers it. An
alert that cannot be delivered therefore never holds up what raised it.
"""

import dataclasses
import datetime as dt
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from smsclick._database.columns import db_now
from smsclick.contract import HoldReason, alerts, incidents

News = Literal["opened", "reminder", "reopened", "closed"]
_HOUR = 3600


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What is said about a kind of incident.

    Attributes:
        title: the news in a few words.
        advice: what to do.
        remind_seconds: how often it is said again while it lasts.
        quiet_seconds: where no single event ends it, how long nothing more must happen; None: something ends it.
        reopen_seconds: what comes back within this time after its end is the same incident.
    """

    name: str
    title: str
    advice: str
    remind_seconds: int = 4 * _HOUR
    quiet_seconds: int | None = None
    reopen_seconds: int = 1800


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            HoldReason.NO_BALANCE,
            "No balance (-104): sending is held",
            "Buy credits at SMSClick. Messages wait and nothing is lost; sending goes on by itself.",
            remind_seconds=_HOUR,
        ),
        Kind(
            HoldReason.KEY_REFUSED,
            "The APIKEY is refused: sending is held",
            "Check SMSCLICK_API_KEY against SMSClick's panel (HERRAMIENTAS > Componentes/APIS) and restart "
            "the workers. Messages wait and nothing is lost.",
            remind_seconds=_HOUR,
        ),
        Kind(
            HoldReason.PROVIDER_DOWN,
            "SMSClick does not answer: sending is held",
            "Messages wait and nothing is lost; sending goes on by itself when it answers again.",
            remind_seconds=_HOUR,
        ),
        Kind(
            "old_unknown",
            "Attempts of unknown outcome cannot be settled",
            "The detail says why, and what to do; `smsclick unknown` says it for each. They are not sent again until "
            "it is known that they were not accepted.",
        ),
        Kind(
            "report_lag",
            "The provider's report shows messages late, or not at all",
            "The detail says what was seen and what to do. Until it ends no attempt is taken for absent.",
        ),
        Kind(
            "restored",
            "A backup was restored: sending is held until what could have been sent since has been looked for",
            "Messages wait and nothing is sent twice; sending goes on by itself. `smsclick unknown` lists what the "
            "provider's report has not decided yet; `smsclick restored --missing-keys FILE` tells which keys are gone.",
        ),
        Kind(
            "low_balance",
            "The balance is low",
            "Buy credits at SMSClick before sending stops.",
            remind_seconds=24 * _HOUR,
        ),
        Kind(
            "unlisted_code",
            "Messages failed: the provider answers with a code that its manual does not list",
            "Ask SMSClick what it means; then `smsclick retry ID`.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
        Kind(
            "undetermined",
            "Messages have no final status within the tracking window",
            "See `smsclick export --state undetermined`; a later status still corrects them.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
        Kind(
            "lost_id",
            "The provider accepted an attempt whose message was settled otherwise",
            "The recipient may have got it twice; see `smsclick show ID`.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
        Kind(
            "odd_row",
            "Rows of smsclick_messages hold what no message may hold",
            "Correct the program that writes them by SQL; `smsclick show ID` names the columns. What waited with "
            "content that cannot be read has failed, the others go on.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
        Kind(
            "callback_failed",
            "A producer cannot be told what became of its messages",
            "Mend the receiver that the detail names, or SMSCLICK_WEBHOOK_HOSTS and SMSCLICK_WEBHOOK_SECRET. What is "
            "less than three days old is tried again by itself; the messages themselves are not affected.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=48 * _HOUR,
            reopen_seconds=24 * _HOUR,
        ),
        Kind(
            "no_ticks",
            "No ticks arrive: beat or the broker is away",
            "Start `celery -A worker beat`, and see that workers and beat reach the same broker. Messages are sent "
            "meanwhile; statuses, holds and unknown attempts wait.",
        ),
        Kind(
            "old_due",
            "Messages wait for long although sending is not held",
            "See `smsclick stats` and `smsclick doctor`: too few workers, a provider that is slow, or "
            "SMSCLICK_MAX_PER_SECOND is too low for what is sent.",
        ),
        Kind(
            "no_records",
            "Nothing is sent although messages wait",
            "See `smsclick doctor` and the workers' logs: no worker runs, none of them progresses, or the database "
            "cannot be written.",
            remind_seconds=_HOUR,
        ),
        Kind(
            "operator_hold",
            "Sending is held by hand",
            "`smsclick resume` lets messages go again; until then they wait, and some may expire.",
            reopen_seconds=0,
        ),
        Kind(
            "many_unknown",
            "Many attempts end without an answer that can be read",
            "Ask SMSClick, and check the network and SMSCLICK_READ_TIMEOUT. Each of them waits for the report: see "
            "`smsclick unknown`.",
        ),
        Kind(
            "many_absent",
            "Many attempts are absent from the provider's report and are sent again",
            "Compare `smsclick show ID` of one of them with SMSClick's panel. If the panel has it: `smsclick hold`, "
            "raise SMSCLICK_SETTLE_SECONDS, and ask SMSClick how late its report shows a message.",
            remind_seconds=_HOUR,
        ),
        Kind(
            "clock_step",
            "The database's clock was set",
            "Let NTP slew the clock of the database's machine instead of setting it (chrony: no `makestep` after the "
            "start). Due times, leases and the waits of unknown attempts were moved with it; messages whose validity "
            "ended by the new time have expired.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
        Kind(
            "bad_call",
            "A call to the task smsclick.enqueue or smsclick.cancel was refused",
            "Correct the producer; the reason stands in the detail.",
            remind_seconds=24 * _HOUR,
            quiet_seconds=24 * _HOUR,
        ),
    )
}
"""Every kind of incident, as data."""


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
