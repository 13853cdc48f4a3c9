"""Read the report for attempts of unknown outcome: one pass from before them to now, in slices, with control rows.

No transaction is open while the provider answers. What a pass means is judged by `worker.reconciliation.trust`.
"""

import bisect
import contextlib
import dataclasses
import datetime as dt
import logging
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from smsclick.contract import messages
from smsclick.errors import ProviderError, ProviderRefused
from smsclick.provider.results import MessageStatus
from worker.account import balance_history, request_budget, status_check
from worker.context import Context
from worker.lifecycle.doubt import Doubt
from worker.lifecycle.fingerprint import digits
from worker.lifecycle.on_report import FROM_PERSON
from worker.reconciliation.control_rows import Control
from worker.reconciliation.trust import LEAST_CONTROL_ROWS, LONGEST_BEFORE, LONGEST_BEFORE_WITH_BALANCE, Reading
from worker.reports import watermark, windows
from worker.reports.matching import CLOCK_TOLERANCE, Attempt
from worker.sql.now import database_now

log = logging.getLogger(__name__)

MARK = "unknown"
"""The watermark that remembers how dense these reports are."""

MOST_REPORTS = 30
"""Reports of one pass at the most; a span that would need more is too long to be read at once."""

_ALL = 2000
"""So many control rows are looked for without choosing; of more, `_EACH` from each of `_PARTS` parts of the span."""
_PARTS, _EACH = 40, 50
_HOUR = dt.timedelta(hours=1)
_TRIES = 2
_BROKEN_BY_LENGTH = 100
"""A report that breaks off after fewer rows did not do so for its length."""

_Span = tuple[dt.datetime, dt.datetime]


def near(context: Context, attempts: Sequence[Attempt]) -> Reading:
    """Read the report around attempts that lie close together: enough to find what was accepted with them."""
    begin = min(attempt.since for attempt in attempts) - CLOCK_TOLERANCE
    end = max(attempt.until for attempt in attempts) + CLOCK_TOLERANCE
    reading = _begin(context, attempts, begin, end)
    _read(context, reading, begin, end)
    return reading


def to_now(context: Context, attempts: Sequence[Attempt], account: str | None = None) -> Reading:
    """Read the report from the control rows before the first attempt up to now, in as many slices as that takes.

    Args:
        context: this process's.
        attempts: none of which is older than `reach`.
        account: the fingerprint of the key of these attempts; None: of this process's key. Only messages of that key
            are witnesses; those of this process's key must be there too.
    """
    zone = context.settings.zone
    first = min(attempt.since for attempt in attempts)
    now = context.clock.read(context.database)
    with context.database.read() as connection:
        density = watermark.density(connection, MARK)
        reached = min(first, now - _reach(density))
        before = _before(connection, first, max(first - LONGEST_BEFORE, reached))
        if before == first and balance_history.books(connection, account or context.account).balanced:
            before = _before(connection, first, max(first - LONGEST_BEFORE_WITH_BALANCE, reached))
        begin = _unrepeated(before - CLOCK_TOLERANCE, zone)
    end = now + CLOCK_TOLERANCE
    reading = _begin(context, attempts, begin + CLOCK_TOLERANCE, end, account)
    if _repeats(reading.read_at, zone):
        reading.unsure = Doubt.REPEATED_HOUR
    most = 0
    for start, stop in _plan(
        begin,
        end,
        windows.longest_slice(density),
        reading.controls.missing_times,
        zone,
    ):
        most = max(most, _read(context, reading, start, stop))
        if reading.failed is not None:
            return reading
    _close(context, reading, end, most)
    _ask_for_one(context, reading)
    return reading


def reach(connection: sa.Connection) -> dt.timedelta:
    """How long a span one pass can read, by the density of the reports that were read so far."""
    return _reach(watermark.density(connection, MARK))


def _reach(density: float | None) -> dt.timedelta:
    # A slice may end at a control row, after half of its length.
    return windows.longest_slice(density) * (MOST_REPORTS // 2)


def _begin(
    context: Context,
    attempts: Sequence[Attempt],
    controls_from: dt.datetime,
    end: dt.datetime,
    account: str | None = None,
) -> Reading:
    with context.database.read() as connection:
        controls = _controls(connection, controls_from, end, account or context.account)
        if account not in {None, context.account}:
            own = _controls(connection, controls_from, end, context.account)
            controls += [dataclasses.replace(control, witness=False) for control in own]
    phones = {digits(attempt.phone) for attempt in attempts}
    # The control rows first: whatever is committed later cannot be missed.
    return Reading(phones, controls, context.clock.read(context.database))


def _before(connection: sa.Connection, first: dt.datetime, earliest: dt.datetime) -> dt.datetime:
    """Where the last few control rows before the first attempt begin."""
    times: sa.ScalarResult[dt.datetime | None] = connection.scalars(
        sa.select(messages.c.attempted_at)
        .where(
            messages.c.sent_at >= earliest,
            messages.c.sent_at <= first,
            messages.c.id_mensaje.is_not(None),
            messages.c.id_source.is_(None),
        )
        .order_by(messages.c.sent_at.desc())
        .limit(LEAST_CONTROL_ROWS)
    )
    return max(earliest, min([first, *(time for time in times if time is not None)]))


def newest_controls(connection: sa.Connection, account: str, within: dt.timedelta, limit: int) -> list[Control]:
    """The newest control rows of an account that are not older than `within`, oldest first."""
    now = database_now(connection)
    times = connection.scalars(
        sa.select(messages.c.sent_at)
        .where(messages.c.sent_at >= now - within, messages.c.sent_at <= now, messages.c.id_mensaje.is_not(None))
        .order_by(messages.c.sent_at.desc())
        .limit(limit)
    ).all()
    if not times:
        return []
    found = _accepted(connection, min(times) - CLOCK_TOLERANCE, now, account, 2 * limit)
    return [control for control in found if control.witness][-limit:]


def _controls(connection: sa.Connection, begin: dt.datetime, end: dt.datetime, account: str) -> list[Control]:
    """Messages of known id that were accepted within a span: all, or some from every part of it."""
    # Counted by rows, not by controls: some rows are none, and the newest ones must not be missing for that.
    more = connection.scalar(
        sa.select(messages.c.id)
        .where(messages.c.sent_at >= begin, messages.c.sent_at <= end, messages.c.id_mensaje.is_not(None))
        .order_by(messages.c.sent_at)
        .offset(_ALL)
        .limit(1)
    )
    if more is None:
        return _accepted(connection, begin, end, account, _ALL)
    part = (end - begin) / _PARTS
    starts = [begin + part * number for number in range(_PARTS)]
    chosen = {
        control.id_mensaje: control
        for start in starts
        for control in _accepted(connection, start, start + part, account, _EACH)
    }
    return list(chosen.values())


def _accepted(
    connection: sa.Connection, begin: dt.datetime, end: dt.datetime, account: str, limit: int
) -> list[Control]:
    rows = connection.execute(
        sa.select(
            messages.c.id_mensaje,
            messages.c.phone,
            messages.c.text,
            messages.c.attempted_at,
            messages.c.sent_at,
            messages.c.id_source,
            messages.c.account_fingerprint,
            messages.c.erased_at,
        )
        .where(messages.c.sent_at >= begin, messages.c.sent_at <= end, messages.c.id_mensaje.is_not(None))
        .order_by(messages.c.sent_at)
        .limit(limit)
    )
    return [
        Control(
            row.id_mensaje,
            row.phone,
            row.text,
            min(row.attempted_at, row.sent_at),
            row.sent_at,
            witness=row.id_source is None,
        )
        for row in rows
        if row.account_fingerprint == account
        and row.erased_at is None
        and row.id_source != FROM_PERSON
        and row.attempted_at is not None
        and row.attempted_at >= begin
    ]


def _read(context: Context, reading: Reading, begin: dt.datetime, end: dt.datetime) -> int:
    """Read one report to its end; returns how many rows it had. Where that fails twice, the reading says so.

    One pass needs several reports: without the second try, a provider that fails now and then would end most passes.
    """
    for _ in range(_TRIES):
        count, whole, again = _try(context, reading, begin, end)
        if whole:
            return count
        if not again:
            break
    reading.failed = Doubt.NO_REPORT
    return count


def _try(context: Context, reading: Reading, begin: dt.datetime, end: dt.datetime) -> tuple[int, bool, bool]:
    """One request: how many rows came, whether that was all of them, and whether asking again makes sense."""
    count = 0
    failed = True
    again = False
    try:
        with contextlib.closing(context.client.report_rows(begin, end)) as rows:
            for row in rows:
                count += 1
                reading.add(row)
                if count >= windows.MOST_REPORT_ROWS or context.stopping.is_set():
                    break
            else:
                failed = False
    except ProviderError as error:
        again = not isinstance(error, ProviderRefused)  # a refusal is an answer: the next one would be the same
        log.warning("The report could not be read; nothing is concluded. error=%s", error)
    if not failed or count >= _BROKEN_BY_LENGTH:
        # Where it broke off on its way, a shorter one may not. One without rows says how thin they are, too.
        seen = 2 * max(count, windows.WANTED_REPORT_ROWS) if failed else max(count, 1)
        context.database.transact(lambda connection: watermark.record_density(connection, MARK, seen, end - begin))
    return count, not failed, again


def _close(context: Context, reading: Reading, end: dt.datetime, most: int) -> None:
    """Read the end of the span once more: what stands behind the last control row.

    A report that silently ends after so many rows would have shown at least as many of these as of any other span, so
    fewer of them are all of them.
    """
    last = reading.controls.last_date
    if last is None:
        return
    reading.end_is_open = _read(context, reading, last, end) >= most
    if reading.end_is_open:
        log.info("The end of the report may be cut off. rows=%s", most)


def _ask_for_one(context: Context, reading: Reading) -> None:
    """Ask `getMsg` for a control row that the report lacks: under another date it was looked for at the wrong time."""
    missing = reading.controls.missing
    if not missing or reading.controls.dates_are_shifted:
        return
    if not context.database.transact(lambda connection: request_budget.take(connection, 1)):
        return
    control = missing[0]
    status = status_check.ask(context.client, control.id_mensaje)
    if not isinstance(status, MessageStatus) or status.fecha_envio is None:
        return
    if not control.since - CLOCK_TOLERANCE <= status.fecha_envio <= control.until + CLOCK_TOLERANCE:
        reading.controls.dates_are_shifted = not _repeats(control.until, context.settings.zone)


def _plan(
    begin: dt.datetime, end: dt.datetime, longest: dt.timedelta, controls: Sequence[dt.datetime], zone: ZoneInfo
) -> list[_Span]:
    """Slices that follow each other, each ending at a control row where there is one: a cap would cut it off."""
    planned: list[_Span] = []
    start = begin
    while start < end:
        stop = start + longest
        place = bisect.bisect_right(controls, stop)
        if place and controls[place - 1] >= start + longest / 2:
            stop = controls[place - 1]
        while stop < end and _repeats(stop, zone):
            stop += _HOUR
        planned.append((start, min(stop, end)))
        start = stop
    return planned


def _repeats(moment: dt.datetime, zone: ZoneInfo) -> bool:
    """Whether the clocks of a zone show this time twice."""
    local = moment.astimezone(zone)
    return local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()


def _unrepeated(moment: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    while _repeats(moment, zone):
        moment -= _HOUR
    return moment
