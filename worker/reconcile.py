"""Settle attempts of unknown outcome by the provider's own report: the one thing that knows.

A timeout, a reset, a killed worker: nobody can tell from here whether the provider has the message. The report of the
time around the attempt is read and matched (`worker.matching`). Found: `sent`. Absent, in a report that is complete and
was asked for `SMSCLICK_SETTLE_SECONDS` after the request can have left at the latest: surely not accepted, and the
producer's `if_absent` decides. A report that fails, cannot be read, or lacks what we know it must have proves nothing.
"""

import contextlib
import dataclasses
import datetime as dt
import logging
from collections.abc import Generator, Iterable, Iterator, Sequence

import sqlalchemy as sa

from smsclick.columns import db_now
from smsclick.contract import State, messages
from smsclick.errors import ProviderError
from smsclick.replies import ReportRow
from worker import decisions, gate, incidents, lifecycle, slices, watermark
from worker.decisions import Found, NotFound, Policy
from worker.lifecycle import Change
from worker.matching import SLACK, Attempt, digits, match, undated
from worker.runtime import Runtime

log = logging.getLogger(__name__)

_UNKNOWNS = 500
_SLICE = dt.timedelta(minutes=10)
"""The longest slice; where the report is dense or breaks off, slices become shorter."""
_MARK = "unknown"
_KNOWN = 200
"""Accepted messages of the window that a report must have before its silence about others counts."""

_OLD = 2.0
"""An unknown older than this many settle times opens an incident: something keeps the report from us."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Unknown:
    attempt: Attempt
    token: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Report:
    """A whole report, as much of it as settling needs: the rows of the phones in question, and every id."""

    rows: Sequence[ReportRow]
    read_at: dt.datetime
    ids: frozenset[int]

    @classmethod
    def of(cls, slice_: Sequence[_Unknown], rows: Iterable[ReportRow], read_at: dt.datetime) -> "_Report":
        """Take what is needed from rows as they come."""
        phones = {digits(unknown.attempt.phone) for unknown in slice_}
        kept: list[ReportRow] = []
        ids: set[int] = set()
        for row in rows:
            ids.add(row.id_mensaje)
            if row.phone in phones:
                kept.append(row)
        return cls(kept, read_at, frozenset(ids))


def reconcile(runtime: Runtime) -> int:
    """Look into the report for every unknown attempt whose turn it is; returns how many were settled.

    Running it twice at once does no harm: rows are locked and judged again before they change.
    """
    settled = 0
    lease = runtime.settings.lease_seconds
    unknowns = runtime.database.transact(lambda connection: _claim(connection, lease))
    for slice_ in _slices(unknowns, _longest(runtime) if unknowns else _SLICE):
        report = _ask(runtime, slice_)
        changes = _settle_slice(runtime, slice_, report)
        runtime.wake_callbacks(changes)
        settled += sum(change.becomes.state is not State.UNKNOWN for change in changes)
        for change in changes:
            if change.note is not None:
                log.info(
                    "An unknown attempt is settled. message=%s state=%s cause=%s id_mensaje=%s",
                    change.was.id,
                    change.becomes.state,
                    change.note.cause,
                    change.becomes.id_mensaje,
                )
    _watch_age(runtime)
    if settled:
        runtime.bell.sweep()
    return settled


def due(connection: sa.Connection) -> bool:
    """Whether an unknown attempt's turn has come, or an incident about old ones is open."""
    query = sa.select(messages.c.id).where(lifecycle.in_state(State.UNKNOWN), messages.c.due_at <= db_now())
    first = connection.execute(query.order_by(messages.c.due_at).limit(1)).first()
    return first is not None or incidents.is_open(connection, "old_unknown")


def _claim(connection: sa.Connection, lease_seconds: float) -> list[_Unknown]:
    """Those whose turn it is; it is moved ahead by a lease, so that others do not read the same report meanwhile."""
    if not gate.read(connection).key_works:
        return []
    rows = connection.execute(
        sa.select(
            messages.c.id,
            messages.c.phone,
            messages.c.text,
            messages.c.token,
            messages.c.attempted_at,
            messages.c.unknown_since,
            db_now().label("now"),
        )
        .where(lifecycle.in_state(State.UNKNOWN), messages.c.due_at <= db_now())
        .order_by(messages.c.due_at)
        .limit(_UNKNOWNS)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        later = rows[0].now + dt.timedelta(seconds=lease_seconds)
        ids = [row.id for row in rows]
        connection.execute(sa.update(messages).where(messages.c.id.in_(ids)).values(due_at=later))
    return [
        _Unknown(Attempt(row.id, row.phone, row.text, row.attempted_at, row.unknown_since), row.token) for row in rows
    ]


def _longest(runtime: Runtime) -> dt.timedelta:
    """How long a slice may be, by the density of the reports that were read so far."""
    with runtime.database.read() as connection:
        return min(_SLICE, slices.longest(watermark.density(connection, _MARK)))


def _slices(unknowns: Sequence[_Unknown], longest: dt.timedelta = _SLICE) -> list[list[_Unknown]]:
    """Group attempts that lie close together, so that one report of bounded length answers for all of them."""
    groups: list[list[_Unknown]] = []
    for unknown in sorted(unknowns, key=lambda each: each.attempt.since):
        if groups and unknown.attempt.until - groups[-1][0].attempt.since <= longest:
            groups[-1].append(unknown)
        else:
            groups.append([unknown])
    return groups


def _ask(runtime: Runtime, slice_: Sequence[_Unknown]) -> _Report | None:
    read_at = runtime.database.clock()
    start = min(unknown.attempt.since for unknown in slice_) - SLACK
    end = max(unknown.attempt.until for unknown in slice_) + SLACK
    counted = _Counted(runtime.client.report_rows(start, end))
    report = None
    try:
        with contextlib.closing(counted.rows):
            report = _Report.of(slice_, counted, read_at)
    except ProviderError as error:
        log.warning("The report could not be read; nothing is concluded. unknowns=%s error=%s", len(slice_), error)
    if counted.count:
        # Where it broke off on its way, a shorter one may not.
        count = counted.count if report is not None else 2 * max(counted.count, slices.ROWS)
        runtime.database.transact(lambda connection: watermark.learn(connection, _MARK, count, end - start))
    return report


class _Counted:
    """Rows, and how many have come."""

    def __init__(self, rows: Generator[ReportRow]) -> None:
        self.rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[ReportRow]:
        for row in self.rows:
            self.count += 1
            yield row


def _settle_slice(runtime: Runtime, slice_: Sequence[_Unknown], report: _Report | None) -> list[Change]:
    return runtime.database.transact(lambda connection: _settle(connection, runtime, slice_, report))


def _settle(
    connection: sa.Connection, runtime: Runtime, slice_: Sequence[_Unknown], report: _Report | None
) -> list[Change]:
    policy = Policy.of(runtime.settings)
    locked = lifecycle.lock(connection, [unknown.attempt.message_id for unknown in slice_])
    now = connection.execute(sa.select(db_now())).scalar_one()
    found: dict[int, tuple[ReportRow, bool]] = {}
    doubtful: set[int] = set()
    complete, read_at = False, now
    if report is not None:
        read_at = report.read_at
        complete = _is_complete(connection, slice_, report, runtime.settings.settle_seconds)
        owned = _owned(connection, slice_, report.rows)
        attempts = [unknown.attempt for unknown in slice_]
        found = match(attempts, report.rows, owned)
        doubtful = undated(attempts, report.rows, owned)
    changes: list[Change] = []
    for unknown in slice_:
        row = locked[unknown.attempt.message_id]
        hit = found.get(row.id)
        seen = (
            NotFound(read_at, complete and row.id not in doubtful)
            if hit is None
            else Found(hit[0].id_mensaje, hit[0].fecha_envio, exact=hit[1])
        )
        change = decisions.after_report(row, unknown.token, seen, now, policy, runtime.rng)
        if change is not None:
            changes.append(change)
    lifecycle.apply(connection, changes)
    return changes


def _is_complete(connection: sa.Connection, slice_: Sequence[_Unknown], report: _Report, settle_seconds: float) -> bool:
    """Whether the report has what we know was accepted in its window: our own check on its lag and its honesty.

    Only of what it has had the time to show, or a young attempt in the slice would keep the old ones waiting for ever.
    """
    start = min(unknown.attempt.since for unknown in slice_)
    shown = report.read_at - dt.timedelta(seconds=settle_seconds)
    end = min(shown, max(unknown.attempt.until for unknown in slice_))
    known = connection.scalars(
        sa.select(messages.c.id_mensaje)
        .where(
            messages.c.sent_at.between(start, end),
            messages.c.attempted_at >= start,
            messages.c.attempted_at < messages.c.sent_at,
            messages.c.id_mensaje.is_not(None),
        )
        .order_by(messages.c.sent_at.desc())
        .limit(_KNOWN)
    ).all()
    missing = set(known) - report.ids
    if missing:
        log.warning(
            "The report lacks messages that were accepted; its silence proves nothing. missing=%s", len(missing)
        )
    return not missing


def _owned(connection: sa.Connection, slice_: Sequence[_Unknown], rows: Sequence[ReportRow]) -> set[int]:
    """Which of the ids that could match are a message's already; only those of the phones in question are asked for."""
    phones = {digits(unknown.attempt.phone) for unknown in slice_}
    candidates = [row.id_mensaje for row in rows if row.phone in phones]
    owned: set[int] = set()
    for start in range(0, len(candidates), _UNKNOWNS):
        part = candidates[start : start + _UNKNOWNS]
        owned |= set(connection.scalars(sa.select(messages.c.id_mensaje).where(messages.c.id_mensaje.in_(part))))
    return owned


def _watch_age(runtime: Runtime) -> None:
    def work(connection: sa.Connection) -> bool:
        now = connection.execute(sa.select(db_now())).scalar_one()
        limit = now - dt.timedelta(seconds=runtime.settings.settle_seconds * _OLD)
        old = connection.execute(
            sa.select(messages.c.id)
            .where(lifecycle.in_state(State.UNKNOWN), messages.c.unknown_since < limit)
            .order_by(messages.c.unknown_since)
            .limit(1)
        ).first()
        if old is None:
            return incidents.close(connection, "old_unknown")
        return incidents.report(connection, "old_unknown", detail=f"first: message {old.id}", count=0)

    if runtime.database.transact(work):
        runtime.bell.alerts()
