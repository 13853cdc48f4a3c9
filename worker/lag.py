"""Measure how late the provider's report shows a message: the one assumption that settling by the report rests on.

One accepted message at a time is looked for in the report until it is there. The time from its acceptance is an upper
bound on the lag, as coarse as the sweep.
"""

import contextlib
import dataclasses
import datetime as dt
import logging

import sqlalchemy as sa

from smsclick.columns import db_now
from smsclick.contract import messages
from smsclick.errors import ProviderError
from worker import gate, heartbeat, incidents
from worker.matching import SLACK
from worker.runtime import Runtime

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""How often a new message is chosen to be looked for."""

_AROUND = dt.timedelta(seconds=10)
_NEAR = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class _Probe:
    id_mensaje: int
    accepted_at: dt.datetime
    around: dt.timedelta = _AROUND


def measure(runtime: Runtime) -> float | None:
    """Look for the chosen message in the report; returns the lag in seconds where it was just found.

    Opens an incident when the lag comes near `SMSCLICK_SETTLE_SECONDS`, and closes it when it is well below again.
    """
    probe = _pending(runtime) or _choose(runtime)
    if probe is None:
        return None
    try:
        with contextlib.closing(
            runtime.client.report_rows(probe.accepted_at - probe.around, probe.accepted_at + probe.around)
        ) as rows:
            seen = any(row.id_mensaje == probe.id_mensaje for row in rows)
    except ProviderError as error:
        log.warning("The report's lag could not be measured. error=%s", error)
        return None
    if runtime.database.transact(
        lambda connection: _note(connection, probe, runtime.settings.settle_seconds, seen=seen)
    ):
        runtime.bell.alerts()
    with runtime.database.read() as connection:
        return gate.read(connection).report_lag if seen else None


def _pending(runtime: Runtime) -> _Probe | None:
    with runtime.database.read() as connection:
        now = gate.read(connection)
    if now.lag_id is None or now.lag_since is None:
        return None
    # Not there at once: perhaps only because the provider's clock is off. Wide reports are kept for this case.
    return _Probe(now.lag_id, now.lag_since, SLACK if now.now - now.lag_since >= _AROUND else _AROUND)


def _choose(runtime: Runtime) -> _Probe | None:
    """The message that was accepted last, if it is new enough to tell anything."""
    if not heartbeat.take(runtime.database, "lag", EVERY_SECONDS):
        return None

    def work(connection: sa.Connection) -> _Probe | None:
        now = gate.read(connection, lock=True)
        row = connection.execute(
            sa.select(messages.c.id_mensaje, messages.c.sent_at)
            .where(messages.c.sent_at > now.now - dt.timedelta(seconds=EVERY_SECONDS))
            .order_by(messages.c.sent_at.desc())
            .limit(1)
        ).first()
        if row is None:
            return None
        gate.note(connection, lag_id=row.id_mensaje, lag_since=row.sent_at)
        return _Probe(row.id_mensaje, row.sent_at)

    return runtime.database.transact(work)


def _note(connection: sa.Connection, probe: _Probe, settle_seconds: float, *, seen: bool) -> bool:
    now = connection.execute(sa.select(db_now())).scalar_one()
    lag = (now - probe.accepted_at).total_seconds()
    told = False
    if lag >= settle_seconds * _NEAR:
        detail = f"{lag:.0f} s and {'seen' if seen else 'not seen yet'}; settled after {settle_seconds:.0f} s"
        told = incidents.report(connection, "report_lag", detail=detail, count=0)
    elif seen:
        told = incidents.close(connection, "report_lag")
    if seen:
        gate.note(connection, lag_id=None, lag_since=None, report_lag=lag, report_lag_at=now)
    return told
