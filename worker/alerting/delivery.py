"""Deliver alert events over Apprise, at least once to every channel.

Only the latest alert event of an incident is delivered; an earlier one that a channel has not acknowledged is dropped,
because nobody needs an alert about a problem that is over. So a channel that was away for a day gets one alert of each
incident, and none older than `GIVE_UP_AFTER_SECONDS`.

A channel's address is a secret (tokens, passwords): the database has only a fingerprint of it, and no log shows it.
"""

import copy
import dataclasses
import datetime as dt
import hashlib
import logging
import random
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick._net.urls import scheme_of
from smsclick.contract import State, alerts, incidents, messages
from smsclick.errors import SettingsError
from worker.alerting.details import shown
from worker.alerting.kinds import known_or_new
from worker.alerting.texts import Incident, Style, Text, text_of
from worker.lifecycle import message_rows
from worker.lifecycle.backoff import backoff
from worker.sql.now import database_now

log = EventLog(__name__)

GIVE_UP_AFTER_SECONDS = 24 * 3600.0
"""An older alert event is dropped; an incident that is still open has reminders."""

_LEASE_SECONDS = 120.0
"""A claim ends after this time; another process then delivers the alert event."""

_WAIT_RANGE_SECONDS = (5.0, 300.0)
"""The first and the longest wait between two tries."""

_COUNTED_MESSAGES = 2000
"""How far waiting messages are counted for an alert's text."""


class Channel(Protocol):
    """A service that alerts are sent to; Apprise's plug-ins have this form."""

    def notify(self, body: str, title: str, notify_type: Any) -> bool:  # noqa: ANN401 - Apprise's enumeration
        """Send an alert; True where the service acknowledged it."""

    def url(self) -> str:
        """The channel's address, with its secrets."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Alert:
    id: int
    tries: int
    delivered_to: str
    about: Incident


def channels(urls: str) -> list[Channel]:
    """The channels of `ALERT_URLS`.

    Args:
        urls: Apprise URLs, separated by commas.

    Raises:
        SettingsError: no channel accepts an address; the error shows only its scheme.
    """
    if not urls.strip():
        return []
    with warnings.catch_warnings():
        # Some of Apprise's plug-ins import deprecated modules.
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise  # noqa: PLC0415 - a worker without channels saves some megabytes
        from apprise.utils.parse import parse_urls  # noqa: PLC0415 - as above

        # Apprise logs whole addresses, with passwords and tokens; our own log lines are enough.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        found = apprise.Apprise()
        addresses: list[str] = parse_urls(urls) or [urls]  # type: ignore[no-untyped-call]
        for number, address in enumerate(addresses, start=1):
            if not found.add(address):
                raise SettingsError(
                    f"ALERT_URLS: no channel accepts address {number} of {len(addresses)} ({scheme_of(address)}); see "
                    "the list of services at https://github.com/caronc/apprise/wiki, for example "
                    "ALERT_URLS=mailto://user:password@example.com"
                )
        return list(found)


def deliver(database: Database, to: Sequence[Channel], rng: random.Random, style: Style) -> int:
    """Deliver the due alert events. Each is also logged, which is all that happens without a channel.

    Args:
        database: where the alert events are.
        to: the channels.
        rng: for the jitter of the waits.
        style: how they are written.

    Returns:
        How many alert events all channels have acknowledged.
    """
    done = 0
    tried: set[int] = set()
    while True:
        alert = _claim(database, tried)
        if alert is None:
            return done
        tried.add(alert.id)
        done += _deliver(database, alert, to, rng, style)


def due(connection: sa.Connection, *, since_seconds: float = 0.0) -> bool:
    """Whether an alert event is due, and has been for `since_seconds`."""
    query = sa.select(alerts.c.due_at, db_now().label("now")).where(alerts.c.due_at <= db_now())
    row = connection.execute(query.order_by(alerts.c.due_at).limit(1)).first()
    return row is not None and (row.now - row.due_at).total_seconds() >= since_seconds


def notify_directly(to: Sequence[Channel], text: Text) -> list[bool]:
    """Send an alert to all channels once, without the database; for the time when the database cannot be used.

    Returns:
        Which of the channels acknowledged it.
    """
    return [_notify(channel, text) for channel in to]


def _claim(database: Database, tried: set[int]) -> _Alert | None:
    """Claim the next due alert event; outdated ones are dropped. None where none is due."""
    while True:
        claimed = database.transact(lambda connection: _claim_once(connection, tried))
        if not isinstance(claimed, int):
            return claimed
        tried.add(claimed)


def _claim_once(connection: sa.Connection, tried: set[int]) -> _Alert | int | None:
    """Look at the next due alert event.

    Returns:
        The claimed alert event; the id of one that was dropped or must wait; None where none is due.
    """
    query = (
        sa.select(alerts, alerts.c.news.label("event"))
        .where(alerts.c.due_at <= db_now(), alerts.c.id.not_in(tried))
        .order_by(alerts.c.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=alerts)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    now = database_now(connection)
    same = sa.select(alerts.c.id).where(alerts.c.incident_id == row.incident_id).limit(1)
    is_old = row.created_at < now - dt.timedelta(seconds=GIVE_UP_AFTER_SECONDS)
    if is_old or connection.execute(same.where(alerts.c.id > row.id)).first() is not None:
        if is_old and row.tries:
            log.warning("alert_given_up", alert=row.id)
        connection.execute(sa.update(alerts).where(alerts.c.id == row.id).values(due_at=None))
        return int(row.id)
    if connection.execute(same.where(alerts.c.id < row.id, alerts.c.claimed_until > now)).first() is not None:
        # Another process delivers an earlier one now; this one must not overtake it.
        return int(row.id)
    later = now + dt.timedelta(seconds=_LEASE_SECONDS)
    connection.execute(
        sa.update(alerts).where(alerts.c.id == row.id).values(due_at=later, claimed_until=later, tries=row.tries + 1)
    )
    about = connection.execute(sa.select(incidents).where(incidents.c.id == row.incident_id)).one()
    return _Alert(
        id=row.id,
        tries=row.tries + 1,
        delivered_to=row.delivered_to,
        about=Incident(
            number=about.id,
            kind=about.kind,
            subject=about.subject,
            event=row.event,
            detail=about.detail,
            count=about.occurrences,
            opened_at=about.opened_at,
            closed_at=about.closed_at,
            waiting=_waiting(connection),
            most_waiting=_COUNTED_MESSAGES,
        ),
    )


def _deliver(database: Database, alert: _Alert, to: Sequence[Channel], rng: random.Random, style: Style) -> bool:
    about = alert.about
    severity = known_or_new(about.kind).severity
    log.warning(
        "alert", incident=about.kind, change=about.event, detail=shown(about.detail, "en"), severity=severity.value
    )
    text = text_of(about, style)
    acknowledged = set(alert.delivered_to.split())
    missed = 0
    for channel in to:
        fingerprint = hashlib.sha256(channel.url().encode()).hexdigest()[:12]
        if fingerprint in acknowledged:
            continue
        if _notify(channel, text):
            acknowledged.add(fingerprint)
        else:
            missed += 1
    with database.begin() as connection:
        now = database_now(connection)
        next_try = now + dt.timedelta(seconds=backoff(alert.tries, _WAIT_RANGE_SECONDS, rng)) if missed else None
        connection.execute(
            sa.update(alerts)
            .where(alerts.c.id == alert.id)
            .values(
                due_at=next_try,
                claimed_until=None,
                delivered_at=None if missed else now,
                delivered_to=" ".join(sorted(acknowledged)),
            )
        )
    if missed:
        log.warning("alert_not_acknowledged", alert=alert.id, channels=missed, tries=alert.tries)
    return not missed


def _notify(channel: Channel, text: Text) -> bool:
    from apprise import NotifyType  # noqa: PLC0415 - a worker without channels saves some megabytes

    try:
        return bool(_with_fields(channel, text).notify(text.body, text.title, notify_type=NotifyType(text.type)))
    except Exception as error:  # noqa: BLE001 - any plug-in may raise anything; the alert is tried again
        # Without the traceback, which may show the address and its secrets.
        log.warning("alert_channel_failed", error=type(error).__name__)
        return False


def _with_fields(channel: Channel, text: Text) -> Channel:
    """The channel with the alert's fields, where its service takes any: `json://`, `xml://` and `form://`.

    What the channel's address itself adds or renames is kept. A copy, because other threads use the channel too.
    """
    extras = getattr(channel, "payload_extras", None)
    if not isinstance(extras, dict):
        return channel
    made: Any = copy.copy(channel)
    made.payload_extras = {**text.fields, **extras}
    return made  # type: ignore[no-any-return]


def _waiting(connection: sa.Connection) -> int:
    """How many messages wait, counted up to `_COUNTED_MESSAGES`."""
    waiting = sa.select(messages.c.id).where(message_rows.in_state(State.QUEUED))
    # In the queue's order, so that the database reads its index and not the whole table.
    bounded = waiting.order_by(messages.c.priority, messages.c.due_at).limit(_COUNTED_MESSAGES)
    return connection.execute(sa.select(sa.func.count()).select_from(bounded.subquery())).scalar_one()
