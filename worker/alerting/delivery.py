"""Deliver the news of incidents over Apprise, at least once to every channel.

Only an incident's latest alert is delivered. What a channel has not acknowledged when the next one comes is dropped:
that the balance ran out is of no use to anybody once it is known to be over. So a channel that was away for a day hears
one alert of each incident, and nothing that is older than `MOST_AGE_SECONDS`.

The addresses are secrets (tokens, passwords): the database keeps only a fingerprint of each, and no log names one.
"""

import dataclasses
import datetime as dt
import hashlib
import logging
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick._net.urls import scheme_of
from smsclick._values.times import span
from smsclick.contract import State, alerts, incidents, messages
from smsclick.errors import SettingsError
from worker.alerting.kinds import KINDS, Kind
from worker.lifecycle import message_rows
from worker.lifecycle.policy import backoff

log = logging.getLogger(__name__)

MOST_AGE_SECONDS = 24 * 3600.0
"""An alert that a channel has not acknowledged for so long is dropped; what lasts is reminded of anyway."""

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
    detail: str
    count: int
    opened_at: dt.datetime
    closed_at: dt.datetime | None
    waiting: str


def channels(urls: str) -> list[Channel]:
    """The channels of `ALERT_URLS`.

    Raises:
        SettingsError: an address that no channel takes; of it only the scheme is shown.
    """
    if not urls.strip():
        return []
    with warnings.catch_warnings():
        # Some of its hundred plug-ins import what Python will drop one day.
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise  # noqa: PLC0415 - some megabytes that a worker without channels can do without
        from apprise.utils.parse import parse_urls  # noqa: PLC0415 - as above

        # It logs whole addresses, with their passwords and tokens; what matters is said by ourselves.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        found = apprise.Apprise()
        addresses: list[str] = parse_urls(urls) or [urls]  # type: ignore[no-untyped-call]
        for number, address in enumerate(addresses, start=1):
            if not found.add(address):
                raise SettingsError(
                    f"ALERT_URLS: no channel takes address {number} of {len(addresses)} ({scheme_of(address)}); see "
                    "the list of services at https://github.com/caronc/apprise/wiki, for example "
                    "ALERT_URLS=mailto://user:password@example.com"
                )
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


def due(connection: sa.Connection, *, since_seconds: float = 0.0) -> bool:
    """Whether an alert waits to be delivered, and has for so many seconds."""
    query = sa.select(alerts.c.due_at, db_now().label("now")).where(alerts.c.due_at <= db_now())
    row = connection.execute(query.order_by(alerts.c.due_at).limit(1)).first()
    return row is not None and (row.now - row.due_at).total_seconds() >= since_seconds


def notify_directly(to: Sequence[Channel], title: str, body: str) -> None:
    """Tell the channels without the database, which cannot hold it just now. Tried once."""
    for channel in to:
        _notify(channel.notify, body, title)


def _claim(database: Database, tried: set[int]) -> _Alert | None:
    """The next alert that is to be delivered. Those that are due and that nobody can use any more are dropped."""
    while True:
        claimed = database.transact(lambda connection: _claim_once(connection, tried))
        if not isinstance(claimed, int):
            return claimed
        tried.add(claimed)


def _claim_once(connection: sa.Connection, tried: set[int]) -> _Alert | int | None:
    """An alert; or the id of one that was passed over; None where none is due."""
    query = (
        sa.select(alerts)
        .where(alerts.c.due_at <= db_now(), alerts.c.id.not_in(tried))
        .order_by(alerts.c.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=alerts)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    now = connection.execute(sa.select(db_now())).scalar_one()
    same = sa.select(alerts.c.id).where(alerts.c.incident_id == row.incident_id).limit(1)
    is_old = row.created_at < now - dt.timedelta(seconds=MOST_AGE_SECONDS)
    if is_old or connection.execute(same.where(alerts.c.id > row.id)).first() is not None:
        if is_old and row.tries:
            log.warning("An alert is given up: no channel acknowledged it in time. alert=%s", row.id)
        connection.execute(sa.update(alerts).where(alerts.c.id == row.id).values(due_at=None))
        return int(row.id)
    if connection.execute(same.where(alerts.c.id < row.id, alerts.c.claimed_until > now)).first() is not None:
        # Somebody delivers an earlier one just now, and must not come after this one.
        return int(row.id)
    later = now + dt.timedelta(seconds=_CLAIM_SECONDS)
    connection.execute(
        sa.update(alerts).where(alerts.c.id == row.id).values(due_at=later, claimed_until=later, tries=row.tries + 1)
    )
    about = connection.execute(sa.select(incidents).where(incidents.c.id == row.incident_id)).one()
    return _Alert(
        id=row.id,
        kind=about.kind,
        subject=about.subject,
        news=row.news,
        tries=row.tries + 1,
        delivered_to=row.delivered_to,
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
        if _notify(channel.notify, body, title):
            taken.add(mark)
        else:
            missed += 1
    with database.begin() as connection:
        now = connection.execute(sa.select(db_now())).scalar_one()
        next_try = now + dt.timedelta(seconds=backoff(alert.tries, _BACKOFF, rng)) if missed else None
        connection.execute(
            sa.update(alerts)
            .where(alerts.c.id == alert.id)
            .values(
                due_at=next_try,
                claimed_until=None,
                delivered_at=None if missed else now,
                delivered_to=" ".join(sorted(taken)),
            )
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
    kind = KINDS.get(alert.kind) or Kind(alert.kind, alert.kind, "")
    since = alert.opened_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    match alert.news:
        case "closed":
            title = f"SMSClick: over: {kind.title}"
            ended = alert.closed_at.strftime("%Y-%m-%d %H:%M:%S UTC") if alert.closed_at else "now"
            lines = [f"Began {since}, ended {ended}."]
        case "reopened":
            title = f"SMSClick: again: {kind.title}"
            quiet = f"Its end is told when it has been over for {span(kind.reopen_seconds)}."
            lines = [f"Since {since}; it comes and goes. {quiet} {kind.advice}"]
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
    waiting = sa.select(messages.c.id).where(message_rows.in_state(State.QUEUED))
    # In the queue's order, so that its index gives them: without one the whole table may be read in search of a few.
    bounded = waiting.order_by(messages.c.priority, messages.c.due_at).limit(_WAITING_COUNTED)
    count = connection.execute(sa.select(sa.func.count()).select_from(bounded.subquery())).scalar_one()
    return f"{count}" if count < _WAITING_COUNTED else f"{_WAITING_COUNTED} or more"
