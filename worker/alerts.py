"""Deliver the news of incidents over Apprise, at least once to every channel, each incident's in order.

The addresses are secrets (tokens, passwords): the database keeps only a fingerprint of each, and no log names one.
"""

import dataclasses
import datetime as dt
import hashlib
import logging
import random
from collections.abc import Callable, Sequence
from typing import Protocol

import sqlalchemy as sa

from smsclick.columns import db_now
from smsclick.contract import State, alerts, incidents, messages
from smsclick.database import Database
from worker import lifecycle
from worker.decisions import backoff
from worker.incidents import KINDS

log = logging.getLogger(__name__)

_CLAIM_SECONDS = 120.0
_BACKOFF = (5.0, 300.0)
_WAITING_COUNTED = 2000


class Channel(Protocol):
    """Where an alert can go; Apprise's plug-ins have this form."""

    def notify(self, body: str, title: str) -> bool:
        """True where it was taken."""

    def url(self) -> str:
        """Its address, with its secrets."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Alert:
    id: int
    kind: str
    subject: str
    news: str
    tries: int
    delivered_to: str
    earlier: tuple[str, ...]
    detail: str
    count: int
    opened_at: dt.datetime
    closed_at: dt.datetime | None
    waiting: str


def channels(urls: str) -> list[Channel]:
    """The channels of `ALERT_URLS`; what Apprise does not understand is left out with a log line."""
    if not urls:
        return []
    import apprise  # noqa: PLC0415 - some megabytes that a worker without channels can do without

    found = apprise.Apprise()
    if not found.add(urls):
        log.error("ALERT_URLS: at least one address is not understood by Apprise; see its list of services")
    return list(found)


def deliver(database: Database, to: Sequence[Channel], rng: random.Random) -> int:
    """Deliver what is due; returns how many alerts every channel has taken. With no channel the log is the channel."""
    done = 0
    tried: set[int] = set()
    while True:
        alert = _claim(database, tried)
        if alert is None:
            return done
        tried.add(alert.id)
        done += _deliver(database, alert, to, rng)


def due(connection: sa.Connection) -> bool:
    """Whether an alert waits to be delivered."""
    query = sa.select(alerts.c.id).where(alerts.c.due_at <= db_now()).order_by(alerts.c.due_at).limit(1)
    return connection.execute(query).first() is not None


def _claim(database: Database, tried: set[int]) -> _Alert | None:
    """The next due alert, with what the undelivered ones of the same incident before it have reached."""
    with database.begin() as connection:
        query = (
            sa.select(alerts.c.id, alerts.c.incident_id, alerts.c.news, alerts.c.tries, alerts.c.delivered_to)
            .where(alerts.c.due_at <= db_now(), alerts.c.id.not_in(tried))
            .order_by(alerts.c.id)
            .limit(1)
            .with_for_update(skip_locked=True, of=alerts)
        )
        row = connection.execute(query).first()
        if row is None:
            return None
        now = connection.execute(sa.select(db_now())).scalar_one()
        later = now + dt.timedelta(seconds=_CLAIM_SECONDS)
        connection.execute(sa.update(alerts).where(alerts.c.id == row.id).values(due_at=later, tries=row.tries + 1))
        earlier = connection.scalars(
            sa.select(alerts.c.delivered_to).where(
                alerts.c.incident_id == row.incident_id, alerts.c.id < row.id, alerts.c.delivered_at.is_(None)
            )
        ).all()
        about = connection.execute(sa.select(incidents).where(incidents.c.id == row.incident_id)).one()
        return _Alert(
            id=row.id,
            kind=about.kind,
            subject=about.subject,
            news=row.news,
            tries=row.tries + 1,
            delivered_to=row.delivered_to,
            earlier=tuple(earlier),
            detail=about.detail,
            count=about.occurrences,
            opened_at=about.opened_at,
            closed_at=about.closed_at,
            waiting=_waiting(connection),
        )


def _deliver(database: Database, alert: _Alert, to: Sequence[Channel], rng: random.Random) -> bool:
    title, body = _words(alert)
    log.warning("Alert. incident=%s news=%s detail=%s", alert.kind, alert.news, alert.detail)
    taken = set(alert.delivered_to.split())
    missed = 0
    for channel in to:
        mark = hashlib.sha256(channel.url().encode()).hexdigest()[:12]
        if mark in taken:
            continue
        # A channel hears an incident's news in order; one that is dead holds up no other.
        if all(mark in each for each in alert.earlier) and _notify(channel.notify, body, title):
            taken.add(mark)
        else:
            missed += 1
    with database.begin() as connection:
        now = connection.execute(sa.select(db_now())).scalar_one()
        next_try = now + dt.timedelta(seconds=backoff(alert.tries, _BACKOFF, rng)) if missed else None
        connection.execute(
            sa.update(alerts)
            .where(alerts.c.id == alert.id)
            .values(due_at=next_try, delivered_at=None if missed else now, delivered_to=" ".join(sorted(taken)))
        )
    if missed:
        log.warning(
            "An alert was not taken and is tried again. alert=%s channels=%s tries=%s",
            alert.id,
            missed,
            alert.tries,
        )
    return not missed


def _notify(notify: Callable[..., bool], body: str, title: str) -> bool:
    try:
        return bool(notify(body=body, title=title))
    except Exception as error:  # noqa: BLE001 - a plug-in of a hundred may raise anything; an alert is retried whatever it was
        # Without the traceback: it may show the address, which holds secrets.
        log.warning("A channel failed. error=%s", type(error).__name__)
        return False


def _words(alert: _Alert) -> tuple[str, str]:
    kind = KINDS[alert.kind]
    since = alert.opened_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    match alert.news:
        case "closed":
            title = f"SMSClick: over: {kind.title}"
            ended = alert.closed_at.strftime("%Y-%m-%d %H:%M:%S UTC") if alert.closed_at else "now"
            lines = [f"Began {since}, ended {ended}."]
        case "reminder":
            title = f"SMSClick: still: {kind.title}"
            lines = [f"Since {since}. {kind.advice}"]
        case _:
            title = f"SMSClick: {kind.title}"
            lines = [f"Since {since}. {kind.advice}"]
    lines += [f"Detail: {alert.detail}"] if alert.detail else []
    lines.append(f"Messages waiting: {alert.waiting}.")
    return title, "\n".join(lines)


def _waiting(connection: sa.Connection) -> str:
    waiting = sa.select(messages.c.id).where(lifecycle.in_state(State.QUEUED))
    # In the queue's order, so that its index gives them: without one the whole table may be read in search of a few.
    bounded = waiting.order_by(messages.c.priority, messages.c.due_at).limit(_WAITING_COUNTED)
    count = connection.execute(sa.select(sa.func.count()).select_from(bounded.subquery())).scalar_one()
    return f"{count}" if count < _WAITING_COUNTED else f"{_WAITING_COUNTED} or more"
