"""Measure how late the provider's report shows a message: what settling by the report rests on.

One accepted message at a time is looked for in the report until it is there, or until it is given up: then the next
one is. The time from its acceptance is an upper bound on the lag, as coarse as the sweep. Where it does not show, the
incident says why: a longer SMSCLICK_SETTLE_SECONDS helps against a lag and nothing else.
"""

import contextlib
import dataclasses
import datetime as dt
import logging

import sqlalchemy as sa

from smsclick.contract import incidents as incidents_table
from smsclick.contract import messages
from smsclick.errors import ProviderError
from smsclick.provider.results import MessageStatus, ReportRow
from worker.account import holds, request_budget, status_check
from worker.alerting import incidents
from worker.context import Context
from worker.reports.matching import CLOCK_TOLERANCE
from worker.sql import heartbeat
from worker.sql.bulk import among
from worker.sql.now import database_now

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""How often a new message is chosen to be looked for."""

GIVE_UP = 2.0
"""A message that the report has not shown after so many settle times is given up, and another one is looked for."""

_AROUND = dt.timedelta(seconds=10)
_NEAR = 0.5
_COMPARED = 200
_KIND = "report_lag"


@dataclasses.dataclass(frozen=True, slots=True)
class _Probe:
    id_mensaje: int
    accepted_at: dt.datetime
    around: dt.timedelta = _AROUND


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """What the report showed around a probe: whether it was there, and rows that were there instead."""

    there: bool
    others: dict[int, dt.datetime]


def measure(context: Context) -> float | None:
    """Look for the chosen message in the report; returns the lag in seconds where it was just found.

    Opens an incident when the lag comes near `SMSCLICK_SETTLE_SECONDS`, and closes it when none has been seen for that
    long.
    """
    probe = _pending(context) or _choose(context)
    if probe is None:
        return None
    seen = _look(context, probe)
    if seen is None:
        return None
    settle = context.settings.settle_seconds
    age = (context.database.clock() - probe.accepted_at).total_seconds()
    why = _why_missing(context, probe, seen) if not seen.there and age >= settle * _NEAR else ""
    context.database.transact(lambda connection: _note(connection, probe, settle, there=seen.there, why=why))
    with context.database.read() as connection:
        return holds.read(connection).report_lag if seen.there else None


def _look(context: Context, probe: _Probe) -> _Seen | None:
    others: dict[int, dt.datetime] = {}
    there = False
    try:
        with contextlib.closing(
            context.client.report_rows(probe.accepted_at - probe.around, probe.accepted_at + probe.around)
        ) as rows:
            for row in rows:
                if row.id_mensaje == probe.id_mensaje:
                    there = True
                    break
                if isinstance(row, ReportRow) and row.fecha_envio is not None and len(others) < _COMPARED:
                    others[row.id_mensaje] = row.fecha_envio
    except ProviderError as error:
        log.warning("The report's lag could not be measured. error=%s", error)
        return None
    return _Seen(there, others)


def _pending(context: Context) -> _Probe | None:
    with context.database.read() as connection:
        now = holds.read(connection)
    if now.lag_id is None or now.lag_since is None:
        return None
    # Not there at once: perhaps only because the provider's clock is off. Wide reports are kept for this case.
    return _Probe(now.lag_id, now.lag_since, CLOCK_TOLERANCE if now.now - now.lag_since >= _AROUND else _AROUND)


def _choose(context: Context) -> _Probe | None:
    """The message that was accepted last, if it is new enough to tell anything and its id came with its answer."""
    if not heartbeat.take(context.database, "lag", EVERY_SECONDS):
        return None

    def work(connection: sa.Connection) -> _Probe | None:
        now = holds.read(connection, lock=True)
        row = connection.execute(
            sa.select(messages.c.id_mensaje, messages.c.sent_at)
            .where(
                messages.c.sent_at > now.now - dt.timedelta(seconds=EVERY_SECONDS),
                messages.c.id_mensaje.is_not(None),
                messages.c.id_source.is_(None),
            )
            .order_by(messages.c.sent_at.desc())
            .limit(1)
        ).first()
        if row is None:
            return None
        holds.note(connection, lag_id=row.id_mensaje, lag_since=row.sent_at)
        return _Probe(row.id_mensaje, row.sent_at)

    return context.database.transact(work)


def _why_missing(context: Context, probe: _Probe, seen: _Seen) -> str:
    """Why the report does not show a message, and what to do, as far as its rows and `getMsg` tell; one line."""
    with context.database.read() as connection:
        ours = connection.execute(
            sa.select(messages.c.id_mensaje, messages.c.sent_at).where(
                among(connection, messages.c.id_mensaje, list(seen.others)), messages.c.sent_at.is_not(None)
            )
        ).all()
    apart = [(seen.others[row.id_mensaje] - row.sent_at).total_seconds() for row in ours]
    off = next((seconds for seconds in apart if abs(seconds) > CLOCK_TOLERANCE.total_seconds()), None)
    if off is None and not ours:
        off = _apart_by_status(context, probe)
    if off is not None:
        return (
            f"the provider's dates are {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} ours; check "
            "SMSCLICK_TIMEZONE and the zone files of this machine (smsclick doctor)"
        )
    if ours:
        return (
            "the report has others of the same time and lacks this one; compare `smsclick report FROM TO` with "
            "SMSClick's panel and ask them"
        )
    return (
        "the report shows nothing of that time yet; if it comes late, set SMSCLICK_SETTLE_SECONDS well above the lag "
        "that `smsclick stats` shows"
    )


def _apart_by_status(context: Context, probe: _Probe) -> float | None:
    """By how many seconds `getMsg` dates the message otherwise than we do; None where that is nothing or not known."""
    if not context.database.transact(lambda connection: request_budget.take(connection, 1)):
        return None
    status = status_check.ask(context.client, probe.id_mensaje)
    if not isinstance(status, MessageStatus) or status.fecha_envio is None:
        return None
    apart = (status.fecha_envio - probe.accepted_at).total_seconds()
    return apart if abs(apart) > CLOCK_TOLERANCE.total_seconds() else None


def _note(connection: sa.Connection, probe: _Probe, settle_seconds: float, *, there: bool, why: str) -> None:
    now = database_now(connection)
    lag = (now - probe.accepted_at).total_seconds()
    near = lag >= settle_seconds * _NEAR
    if near and not there:
        # What is there now may have been there for long, and nobody could look: only a report that lacks it is late.
        detail = f"message of {lag:.0f} s ago, where {settle_seconds:.0f} s settle: not shown: {why}"
        if not incidents.report(connection, _KIND, detail=detail, count=0):
            incidents.describe(connection, _KIND, detail=detail)
    elif there and not near and _quiet(connection, now, settle_seconds):
        incidents.close(connection, _KIND)
    if there:
        holds.note(connection, lag_id=None, lag_since=None, report_lag=lag, report_lag_at=now)
    elif lag >= settle_seconds * GIVE_UP:
        holds.note(connection, lag_id=None, lag_since=None)


def _quiet(connection: sa.Connection, now: dt.datetime, settle_seconds: float) -> bool:
    """Whether the last late message is so long ago that one in time ends the incident: or it would open and close."""
    last = connection.scalar(sa.select(incidents_table.c.last_at).where(incidents_table.c.open_key == f"{_KIND}:"))
    return last is not None and now - last >= dt.timedelta(seconds=settle_seconds)
