"""Read the report for attempts of unknown outcome. No transaction is open while the provider answers.

There are two ways to read it:

- `read_around` reads a few minutes around young attempts: enough to find what was accepted in time.
- `read_to_now` reads from the control rows before the first attempt up to now, in slices: it can also prove absence.
  The provider may accept a request minutes after the call was given up, so absence needs the whole span.

What a reading proves is judged by `worker.reconciliation.absence_proof` and `worker.reconciliation.verdict`.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence

import sqlalchemy as sa

from smsclick._logs.event_log import EventLog
from smsclick.errors import ProviderRefused
from smsclick.provider.results import MessageStatus
from worker.account import balance_history, status_check
from worker.context import Context
from worker.lifecycle.doubt import Doubt
from worker.lifecycle.fingerprint import digits
from worker.reconciliation import control_queries
from worker.reconciliation.absence_proof import LONGEST_BEFORE, LONGEST_BEFORE_WITH_BALANCE, Reading
from worker.reconciliation.span_plan import before_repeated_hour, is_repeated, plan_spans
from worker.reports import watermark, windows
from worker.reports.matching import CLOCK_TOLERANCE, Attempt
from worker.reports.reader import read_report

log = EventLog(__name__)

WATERMARK = "unknown"
"""The name of the watermark that remembers the density of these reports."""

MOST_REPORTS_PER_PASS = 30
"""A span that needs more reports than this is too long to be read."""

_TRIES_PER_REPORT = 2
_LEAST_ROWS_OF_TOO_LONG = 100
"""A report that breaks off after fewer rows did not break off because of its length."""


def read_around(context: Context, attempts: Sequence[Attempt]) -> Reading:
    """Read one report around attempts that lie close together."""
    begin = min(attempt.since for attempt in attempts) - CLOCK_TOLERANCE
    end = max(attempt.until for attempt in attempts) + CLOCK_TOLERANCE
    reading = _begin(context, attempts, begin, end)
    _read(context, reading, begin, end)
    return reading


def read_to_now(context: Context, attempts: Sequence[Attempt], account: str | None = None) -> Reading:
    """Read the report from the control rows before the first attempt up to now, in as many slices as that takes.

    Args:
        context: this process's.
        attempts: none of them is older than `longest_pass`.
        account: the fingerprint of the APIKEY of these attempts; None for this process's key. Only messages of that key
            are witnesses. The messages of this process's key must be in the report too.
    """
    zone = context.settings.zone
    first = min(attempt.since for attempt in attempts)
    now = context.clock.read(context.database)
    with context.database.read() as connection:
        density = watermark.density(connection, WATERMARK)
        begin = before_repeated_hour(
            _begin_of_pass(connection, first, now - _longest_pass(density), account or context.account)
            - CLOCK_TOLERANCE,
            zone,
        )
    end = now + CLOCK_TOLERANCE
    reading = _begin(context, attempts, begin + CLOCK_TOLERANCE, end, account)
    if is_repeated(reading.read_at, zone):
        reading.unsure = Doubt.REPEATED_HOUR
    most_rows = 0
    for start, stop in plan_spans(begin, end, windows.longest_slice(density), reading.controls.missing_times, zone):
        most_rows = max(most_rows, _read(context, reading, start, stop))
        if reading.failed is not None:
            return reading
    _read_end_again(context, reading, end, most_rows)
    _ask_for_missing(context, reading)
    return reading


def longest_pass(connection: sa.Connection) -> dt.timedelta:
    """Return how long a span one pass can read, by the density of the reports that were read before."""
    return _longest_pass(watermark.density(connection, WATERMARK))


def _longest_pass(density: float | None) -> dt.timedelta:
    # A slice that ends at a control row may have only half of its length.
    return windows.longest_slice(density) * (MOST_REPORTS_PER_PASS // 2)


def _begin_of_pass(connection: sa.Connection, first: dt.datetime, reached: dt.datetime, account: str) -> dt.datetime:
    """Where the control rows before the first attempt begin.

    They may be much older where the account's balance can be the second proof: then there need to be fewer of them.
    """
    reached = min(first, reached)
    begin = control_queries.begin_of_controls_before(connection, first, max(first - LONGEST_BEFORE, reached))
    if begin == first and balance_history.books(connection, account).balanced:
        earliest = max(first - LONGEST_BEFORE_WITH_BALANCE, reached)
        begin = control_queries.begin_of_controls_before(connection, first, earliest)
    return begin


def _begin(
    context: Context,
    attempts: Sequence[Attempt],
    controls_from: dt.datetime,
    end: dt.datetime,
    account: str | None = None,
) -> Reading:
    with context.database.read() as connection:
        controls = control_queries.controls_within(connection, controls_from, end, account or context.account)
        if account not in {None, context.account}:
            own = control_queries.controls_within(connection, controls_from, end, context.account)
            controls += [dataclasses.replace(control, witness=False) for control in own]
    phones = {digits(attempt.phone) for attempt in attempts}
    # The time is read after the control rows: what is committed in between is then not expected in the report.
    return Reading(phones, controls, context.clock.read(context.database))


def _read(context: Context, reading: Reading, begin: dt.datetime, end: dt.datetime) -> int:
    """Read one report, twice if it fails; returns how many rows it had. Where both fail, the reading has failed.

    One pass needs several reports. Without the second try, a provider that fails now and then would end most passes.
    """
    rows = 0
    for _ in range(_TRIES_PER_REPORT):
        read = read_report(context.client, begin, end, reading.add, stop=context.stopping.is_set)
        rows = read.rows
        _remember_density(context, rows, end - begin, complete=read.complete)
        if read.complete:
            return rows
        if read.error is not None:
            log.warning("report_unreadable", error=read.error)
        if read.error is None or isinstance(read.error, ProviderRefused):
            break  # Stopped, too long, or refused: the next try would end in the same way.
    reading.failed = Doubt.NO_REPORT
    return rows


def _remember_density(context: Context, rows: int, length: dt.timedelta, *, complete: bool) -> None:
    """Remember how dense the report was, so that the next slices are shorter where it was too long."""
    if complete:
        seen = max(rows, 1)  # An empty report shows that they are thin, too.
    elif rows >= _LEAST_ROWS_OF_TOO_LONG:
        seen = 2 * max(rows, windows.WANTED_REPORT_ROWS)
    else:
        return
    context.database.transact(lambda connection: watermark.record_density(connection, WATERMARK, seen, length))


def _read_end_again(context: Context, reading: Reading, end: dt.datetime, most_rows: int) -> None:
    """Read the end of the span once more, from the last control row on: were rows cut off behind it?

    A provider that silently cuts off reports after so many rows would show as many rows of this short span as of any
    other one. Fewer rows are all of them.
    """
    last = reading.controls.last_date
    if last is None:
        return
    reading.end_is_open = _read(context, reading, last, end) >= most_rows
    if reading.end_is_open:
        log.info("report_end_uncertain", rows=most_rows)


def _ask_for_missing(context: Context, reading: Reading) -> None:
    """Ask `getMsg` for a control row that the report lacks: if its date is another one, all dates are shifted."""
    missing = reading.controls.missing
    if not missing or reading.controls.dates_are_shifted:
        return
    control = missing[0]
    status = status_check.ask_within_budget(context.database, context.client, control.id_mensaje)
    if not isinstance(status, MessageStatus) or status.fecha_envio is None:
        return
    if not control.since - CLOCK_TOLERANCE <= status.fecha_envio <= control.until + CLOCK_TOLERANCE:
        reading.controls.dates_are_shifted = not is_repeated(control.until, context.settings.zone)
