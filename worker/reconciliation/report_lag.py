"""Measure how late the provider's report shows a message. Absence by the report rests on this.

Reconciling assumes that the report shows each accepted message within SMSCLICK_SETTLE_SECONDS. So this is measured all
the time: at most once a minute the newest accepted message is chosen as the **probe**, and each tick reads the report
around it until the report shows it or it is given up. The time from its acceptance to then is at least the lag. If half
of SMSCLICK_SETTLE_SECONDS has gone by and the probe is not shown, the incident `report_lag` opens; while it is open, no
absence counts. Its text says why: a longer SMSCLICK_SETTLE_SECONDS helps only against a lag.
"""

import dataclasses
import datetime as dt

import sqlalchemy as sa

from smsclick._logs.event_log import EventLog
from smsclick.contract import incidents as incidents_table
from smsclick.contract import messages
from smsclick.provider.results import MessageStatus, ReportRow, UnreadableRow
from worker.account import account_state, holds, status_check
from worker.alerting import incidents
from worker.alerting.details import NONE, Detail, made
from worker.alerting.wording import DetailCode
from worker.context import Context
from worker.reports.matching import CLOCK_TOLERANCE
from worker.reports.reader import read_report
from worker.sql import heartbeat
from worker.sql.bulk import among
from worker.sql.now import database_now

log = EventLog(__name__)

SECONDS_BETWEEN_PROBES = 60.0
"""How often a new probe is chosen, at most."""

GIVE_UP_AFTER_WINDOWS = 2.0
"""A probe that the report has not shown after so many times SMSCLICK_SETTLE_SECONDS is replaced by another one."""

_NARROW_MARGIN = dt.timedelta(seconds=10)
_WIDE_MARGIN = CLOCK_TOLERANCE
_LATE_SHARE_OF_WINDOW = 0.5
_MOST_COMPARED_ROWS = 200
_KIND = "report_lag"


@dataclasses.dataclass(frozen=True, slots=True)
class _Probe:
    """A message that the report must show.

    Attributes:
        id_mensaje: the provider's id.
        accepted_at: when it was accepted, by the database's clock.
        margin: how much before and after that time the report is read.
    """

    id_mensaje: int
    accepted_at: dt.datetime
    margin: dt.timedelta = _NARROW_MARGIN


@dataclasses.dataclass(slots=True)
class _Shown:
    """What the report shows around a probe: whether the probe is there, and the dates of other rows by id."""

    there: bool = False
    others: dict[int, dt.datetime] = dataclasses.field(default_factory=dict)


def measure(context: Context) -> float | None:
    """Look for the probe in the report, and open or close the incident.

    The incident opens when a probe is not shown after half of SMSCLICK_SETTLE_SECONDS. It closes when a probe is shown
    in time and no late one has been seen for SMSCLICK_SETTLE_SECONDS.

    Returns:
        The lag in seconds where the report shows the probe now for the first time.
    """
    probe = _pending(context) or _choose(context)
    if probe is None:
        return None
    shown = _look(context, probe)
    if shown is None:
        return None
    settle_seconds = context.settings.settle_seconds
    age = (context.database.clock() - probe.accepted_at).total_seconds()
    late = not shown.there and age >= settle_seconds * _LATE_SHARE_OF_WINDOW
    why = _why_missing(context, probe, shown) if late else NONE
    context.database.transact(lambda connection: _record(connection, probe, settle_seconds, there=shown.there, why=why))
    with context.database.read() as connection:
        return account_state.read(connection).report_lag if shown.there else None


def _look(context: Context, probe: _Probe) -> _Shown | None:
    shown = _Shown()

    def add(row: ReportRow | UnreadableRow) -> None:
        if row.id_mensaje == probe.id_mensaje:
            shown.there = True
        elif isinstance(row, ReportRow) and row.fecha_envio is not None and len(shown.others) < _MOST_COMPARED_ROWS:
            shown.others[row.id_mensaje] = row.fecha_envio

    begin, end = probe.accepted_at - probe.margin, probe.accepted_at + probe.margin
    read = read_report(context.client, begin, end, add, stop=lambda: shown.there)
    if read.error is not None:
        log.warning("report_lag_unmeasured", error=read.error)
        return None
    return shown


def _pending(context: Context) -> _Probe | None:
    with context.database.read() as connection:
        now = account_state.read(connection)
    if now.lag_id is None or now.lag_since is None:
        return None
    # Where it was not shown at once, the provider's clock may be off: only then a wider report is worth its rows.
    wide = now.now - now.lag_since >= _NARROW_MARGIN
    return _Probe(now.lag_id, now.lag_since, _WIDE_MARGIN if wide else _NARROW_MARGIN)


def _choose(context: Context) -> _Probe | None:
    """Choose the message that was accepted last, if it is new and its id came with the answer to its own request."""
    if not heartbeat.take(context.database, "lag", SECONDS_BETWEEN_PROBES):
        return None

    def work(connection: sa.Connection) -> _Probe | None:
        now = account_state.read(connection, lock=True)
        row = connection.execute(
            sa.select(messages.c.id_mensaje, messages.c.sent_at)
            .where(
                messages.c.sent_at > now.now - dt.timedelta(seconds=SECONDS_BETWEEN_PROBES),
                messages.c.id_mensaje.is_not(None),
                messages.c.id_source.is_(None),
            )
            .order_by(messages.c.sent_at.desc())
            .limit(1)
        ).first()
        if row is None:
            return None
        holds.update(connection, lag_id=row.id_mensaje, lag_since=row.sent_at)
        return _Probe(row.id_mensaje, row.sent_at)

    return context.database.transact(work)


def _why_missing(context: Context, probe: _Probe, shown: _Shown) -> Detail:
    """Say why the report does not show the probe and what to do, as far as its rows and `getMsg` show."""
    with context.database.read() as connection:
        ours = connection.execute(
            sa.select(messages.c.id_mensaje, messages.c.sent_at).where(
                among(connection, messages.c.id_mensaje, list(shown.others)), messages.c.sent_at.is_not(None)
            )
        ).all()
    differences = [(shown.others[row.id_mensaje] - row.sent_at).total_seconds() for row in ours]
    shifted = next((seconds for seconds in differences if abs(seconds) > CLOCK_TOLERANCE.total_seconds()), None)
    if shifted is None and not ours:
        shifted = _seconds_shifted_by_status(context, probe)
    if shifted is not None:
        code = DetailCode.LAG_AHEAD if shifted > 0 else DetailCode.LAG_BEHIND
        return made(code, seconds=f"{abs(shifted):.0f}")
    return made(DetailCode.LAG_LACKS if ours else DetailCode.LAG_NOTHING)


def _seconds_shifted_by_status(context: Context, probe: _Probe) -> float | None:
    """How far the date that `getMsg` gives is ahead of ours; None where it is not shifted or not known."""
    status = status_check.ask_within_budget(context.database, context.client, probe.id_mensaje)
    if not isinstance(status, MessageStatus) or status.fecha_envio is None:
        return None
    seconds = (status.fecha_envio - probe.accepted_at).total_seconds()
    return seconds if abs(seconds) > CLOCK_TOLERANCE.total_seconds() else None


def _record(connection: sa.Connection, probe: _Probe, settle_seconds: float, *, there: bool, why: Detail) -> None:
    now = database_now(connection)
    lag = (now - probe.accepted_at).total_seconds()
    late = lag >= settle_seconds * _LATE_SHARE_OF_WINDOW
    if late and not there:
        # A probe that is shown now may have been shown long before, while nobody could look: that is not late.
        detail = made(DetailCode.LAG, seconds=f"{lag:.0f}", window=f"{settle_seconds:.0f}", why=why)
        if not incidents.report(connection, _KIND, detail=detail, count=0):
            incidents.describe(connection, _KIND, detail=detail)
    elif there and not late and _no_recent_late_one(connection, now, settle_seconds):
        incidents.close(connection, _KIND)
    if there:
        holds.update(connection, lag_id=None, lag_since=None, report_lag=lag, report_lag_at=now)
    elif lag >= settle_seconds * GIVE_UP_AFTER_WINDOWS:
        holds.update(connection, lag_id=None, lag_since=None)


def _no_recent_late_one(connection: sa.Connection, now: dt.datetime, settle_seconds: float) -> bool:
    """Whether the last late probe was seen at least SETTLE ago; without this the incident would open and close."""
    last = connection.scalar(sa.select(incidents_table.c.last_at).where(incidents_table.c.open_key == f"{_KIND}:"))
    return last is not None and now - last >= dt.timedelta(seconds=settle_seconds)
