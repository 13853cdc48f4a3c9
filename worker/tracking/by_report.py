"""Follow by report: one request tells the final status of all messages of a span of time.

Messages of like age are asked for together, see `worker.reports.windows`; a watermark for each age says when the next
report is due and how far the round has come. A row is written when its status changes, or when its own check (`due_at`)
would come before the next report; so where reports fail, are slow or lack what they must have, rows become due by
themselves and `worker.tracking.by_status` asks for them one by one, within its budget.
"""

import contextlib
import dataclasses
import datetime as dt
import functools
import logging
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import State, messages, watermarks
from smsclick.errors import ProviderError, ProviderRefused
from smsclick.provider.codes import Estatus, lookup
from smsclick.provider.results import MessageStatus, ReportRow, UnreadableRow
from worker.account import holds, request_budget, status_check
from worker.context import Context
from worker.lifecycle import machine, message_rows, on_status
from worker.lifecycle.model import Change
from worker.lifecycle.on_status import NotShown, PollFailed
from worker.lifecycle.policy import Policy
from worker.queue import odd_rows
from worker.reports import watermark, windows
from worker.reports.matching import CLOCK_TOLERANCE
from worker.reports.windows import Bracket, ReportSlice
from worker.sql.now import database_now
from worker.tracking.tracked import Followed, FollowedMessages

log = logging.getLogger(__name__)

OPEN = 20_000
"""Messages of one turn; the next turn goes on behind them."""

_REPORTS = 8
"""Reports of one turn."""
_GROUP = 500
_FINAL = (Estatus.RECIBIDO, Estatus.RECHAZADO)
_PROBE_EVERY = 10
"""After so many reports one message that they lack is asked for by `getMsg`: our own check on their honesty."""
_DISTRUST = dt.timedelta(minutes=10)
_LONGEST_PAUSE = 300.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Turn:
    """What a worker holds while it reads the reports of a bracket."""

    bracket: Bracket
    open: FollowedMessages
    now: dt.datetime
    wait: float
    density: float | None
    cursor: dt.datetime | None
    reads: int
    failures: int
    probe: Followed | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Report:
    """What a report said; `whole` tells whether its silence means anything, `stopped` that we left it."""

    statuses: Mapping[int, MessageStatus]
    rows: int
    whole: bool
    stopped: bool = False
    failed: PollFailed | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Result:
    """What a turn's reports came to."""

    cursor: dt.datetime | None
    density: float | None
    probe: Followed | None
    distrusted: bool = False
    failed: PollFailed | None = None
    reads: int = 0
    final: int = 0
    stopped: bool = False


def due(connection: sa.Connection, policy: Policy) -> bool:
    """Whether a report is due: its turn has come, and it would answer for more than a few messages."""
    if not holds.read(connection).key_works:
        return False
    marks = {row.name: row for row in connection.execute(sa.select(watermarks, db_now().label("now")))}
    return any(
        _is_due(marks.get(bracket.name))
        and len(_open(connection, bracket, None, windows.MOST_SINGLE_CHECKS + 1)) > windows.MOST_SINGLE_CHECKS
        for bracket in windows.age_brackets(policy)
    )


def follow(context: Context) -> int:
    """Read every report that is due and record what it says; returns how many messages became final.

    Running it twice at once does no harm: a bracket has one reader, and rows are locked and judged again.
    """
    final = 0
    for bracket in windows.age_brackets(Policy.of(context.settings)):
        if context.stopping.is_set():
            break
        turn = odd_rows.run(
            context.database,
            functools.partial(_claim, bracket=bracket, context=context),
            functools.partial(_suspects, bracket=bracket),
        )
        if turn is not None:
            final += _read(context, turn)
    return final


def _is_due(mark: Any) -> bool:  # noqa: ANN401 - a Row, whose columns no type can name
    if mark is None:
        return True
    waits = (mark.due_at, mark.lease_until, mark.distrusted_until)
    return all(until is None or until <= mark.now for until in waits)


def _open(connection: sa.Connection, bracket: Bracket, cursor: dt.datetime | None, limit: int) -> FollowedMessages:
    """Followed messages of a bracket in the order in which they were sent."""
    now = database_now(connection)
    begin = now - dt.timedelta(seconds=bracket.oldest)
    rows = connection.execute(
        sa.select(messages.c.id, messages.c.id_mensaje, messages.c.sent_at, messages.c.due_at)
        .where(
            message_rows.in_state(bracket.state),
            messages.c.sent_at > begin,
            messages.c.sent_at >= (cursor or begin),
            messages.c.sent_at <= now - dt.timedelta(seconds=bracket.youngest),
            messages.c.id_mensaje.is_not(None),
        )
        .order_by(messages.c.sent_at)
        .limit(limit)
        .execution_options(yield_per=_GROUP)
    )
    return FollowedMessages(rows)


def _suspects(connection: sa.Connection, bracket: Bracket) -> list[int]:
    """The ids of what a bracket's turn may read first, without reading anything else of those rows."""
    query = sa.select(messages.c.id).where(message_rows.in_state(bracket.state)).order_by(messages.c.sent_at)
    newest = sa.select(messages.c.id).where(message_rows.in_state(bracket.state)).order_by(messages.c.sent_at.desc())
    return [row.id for each in (query, newest) for row in connection.execute(each.limit(_GROUP))]


def _ids(_connection: sa.Connection, ids: Sequence[int]) -> Sequence[int]:
    return ids


def _claim(connection: sa.Connection, bracket: Bracket, context: Context) -> _Turn | None:
    if not holds.read(connection).key_works:
        return None
    query = sa.select(watermarks, db_now().label("now")).where(watermarks.c.name == bracket.name)
    mark = connection.execute(query.with_for_update()).first()
    if not _is_due(mark):
        return None
    cursor = None if mark is None else mark.cursor_at
    found = _open(connection, bracket, cursor, OPEN)
    if cursor is None and len(found) <= windows.MOST_SINGLE_CHECKS:
        return None
    if mark is None:
        watermark.create(connection, bracket.name)
        mark = connection.execute(query.with_for_update()).one()
        if not _is_due(mark):
            return None
    policy = Policy.of(context.settings)
    watermark.update(connection, bracket.name, lease_until=mark.now + dt.timedelta(seconds=policy.lease))
    probe = None if mark.probe_id is None else Followed(0, mark.probe_id, mark.probe_at, None)
    return _Turn(
        bracket,
        found,
        mark.now,
        _wait(connection, found, bracket, mark.now, policy),
        mark.density,
        mark.cursor_at,
        mark.reads,
        mark.failures,
        probe,
    )


def _wait(
    connection: sa.Connection, found: FollowedMessages, bracket: Bracket, now: dt.datetime, policy: Policy
) -> float:
    """Seconds until the next report, which is also about those that come of age until then."""
    age = (now - found[len(found) // 2].sent_at).total_seconds() if found else bracket.youngest
    alone = windows.seconds_to_next_report(len(found), age, policy)
    of_age = now - dt.timedelta(seconds=bracket.youngest)
    coming = (
        sa.select(messages.c.id)
        .where(
            message_rows.in_state(State.SENT),
            messages.c.sent_at > of_age,
            messages.c.sent_at <= of_age + dt.timedelta(seconds=alone),
        )
        .order_by(messages.c.sent_at)
        .limit(OPEN)
    )
    count = connection.scalar(sa.select(sa.func.count()).select_from(coming.subquery())) or 0
    return windows.seconds_to_next_report(len(found) + count, age, policy)


def _read(context: Context, turn: _Turn) -> int:
    """The reports of a turn, one after the other, each recorded before the next is asked for."""
    planned = windows.plan_slices(turn.open.times(), windows.longest_slice(turn.density))
    wanted = [slice_ for slice_ in planned if slice_.count > windows.MOST_SINGLE_CHECKS]
    result = _Result(turn.cursor, turn.density, turn.probe)
    for slice_ in wanted[:_REPORTS]:
        if context.stopping.is_set():
            break
        report = _ask(context, turn, slice_, result.probe)
        result = _after(result, report, slice_, turn.bracket)
        final = _record(context, turn, slice_, report, trusted=not result.distrusted)
        result = dataclasses.replace(result, final=result.final + final)
        if not report.whole or result.distrusted:
            break
        if result.probe is None and (turn.reads + result.reads) % _PROBE_EVERY == 0:
            result = dataclasses.replace(result, probe=_probe(context, turn, slice_, report))
    if result.reads == len(wanted) and not result.stopped:
        # The round is done, unless this turn did not hold all that is open.
        cursor = turn.open[-1].sent_at if len(turn.open) == OPEN else None
        # Where no report of the round was about the probe of the one before, nothing is learned from it.
        stale = result.reads > 0 and cursor is None and result.probe is turn.probe
        result = dataclasses.replace(result, cursor=cursor, probe=None if stale else result.probe)
    context.database.transact(lambda connection: _finish(connection, context, turn, result))
    _tell(turn, result)
    return result.final


def _after(result: _Result, report: _Report, slice_: ReportSlice, bracket: Bracket) -> _Result:
    """What a report adds to the result of its turn."""
    span = slice_.last - slice_.first + bracket.margin_before + CLOCK_TOLERANCE
    density = windows.updated_density(result.density, report.rows, span)
    if not report.whole and report.rows and not report.stopped:
        density *= 2  # too large, or broken off on its way: a shorter one may do better
    probe, distrusted = result.probe, False
    if report.whole and probe is not None and slice_.first <= probe.sent_at <= slice_.last:
        distrusted, probe = probe.id_mensaje not in report.statuses, None
    return dataclasses.replace(
        result,
        cursor=slice_.last if report.whole and not distrusted else result.cursor,
        density=density,
        probe=probe,
        distrusted=distrusted,
        failed=report.failed,
        reads=result.reads + 1,
        stopped=not report.whole or distrusted,
    )


def _tell(turn: _Turn, result: _Result) -> None:
    if result.reads:
        log.info(
            "Reports were read. bracket=%s reports=%s open=%s final=%s next=%.0f failed=%s",
            turn.bracket.name,
            result.reads,
            len(turn.open),
            result.final,
            turn.wait,
            "no" if result.failed is None else result.failed.reason,
        )
    if result.distrusted:
        log.warning(
            "A report lacks a final message; getMsg is asked instead for a while. bracket=%s seconds=%.0f",
            turn.bracket.name,
            _DISTRUST.total_seconds(),
        )


def _ask(context: Context, turn: _Turn, slice_: ReportSlice, probe: Followed | None) -> _Report:
    probed = None if probe is None else probe.id_mensaje
    statuses: dict[int, MessageStatus] = {}
    rows = 0
    try:
        with contextlib.closing(
            context.client.report_rows(slice_.first - turn.bracket.margin_before, slice_.last + CLOCK_TOLERANCE, _FINAL)
        ) as report:
            for row in report:
                rows += 1
                if isinstance(row, UnreadableRow) or row.estatus is None:
                    continue  # its own status check asks for it, if it is one of ours
                # What others sent under the same key is in the report too.
                ours = row.id_mensaje == probed or turn.open.id_of(row.id_mensaje) is not None
                if row.estatus.final and (ours or row.reply is not None):
                    statuses[row.id_mensaje] = _status(row, row.estatus)
                if rows >= windows.MOST_REPORT_ROWS or context.stopping.is_set():
                    return _Report(statuses, rows, whole=False, stopped=context.stopping.is_set())
    except ProviderRefused as error:
        return _Report({}, rows, whole=False, failed=PollFailed(error.code, lookup(error.code).meaning))
    except ProviderError as error:
        log.warning("A report could not be read to its end. bracket=%s error=%s", turn.bracket.name, error)
        return _Report(statuses, rows, whole=False, failed=PollFailed(None, str(error)))
    return _Report(statuses, rows, whole=True)


def _status(row: ReportRow, estatus: Estatus) -> MessageStatus:
    return MessageStatus(estatus, None, None, row.fecha_envio, row.reply, row.replied_at, "")


def _record(context: Context, turn: _Turn, slice_: ReportSlice, report: _Report, *, trusted: bool) -> int:
    """Write what a report said of our messages, in groups; returns how many became final."""
    seen: dict[int, MessageStatus | NotShown] = {}
    replied: dict[int, MessageStatus] = {}
    for id_mensaje, status in report.statuses.items():
        message_id = turn.open.id_of(id_mensaje)
        if message_id is not None:
            seen[message_id] = status
        elif status.reply is not None:
            replied[id_mensaje] = status
    for part in _groups(replied):
        with context.database.read() as connection:
            seen |= {row.id: replied[row.id_mensaje] for row in _awaiting(connection, part)}
    if report.whole and trusted:
        for each in map(turn.open.__getitem__, turn.open.places(slice_.first, slice_.last)):
            soon = turn.now + dt.timedelta(seconds=on_status.horizon(turn.wait, turn.now - each.sent_at))
            if each.id not in seen and each.due_at is not None and each.due_at <= soon:
                seen[each.id] = NotShown(turn.wait)
    final = 0
    for part in _groups(seen):
        group = {message_id: seen[message_id] for message_id in part}
        changes = odd_rows.run(
            context.database,
            functools.partial(_write, context=context, seen=group),
            functools.partial(_ids, ids=part),
        )
        final += sum(change.becomes.state is not change.was.state for change in changes)
    failed = report.failed
    if failed is not None and status_check.key_refused(failed):
        context.database.transact(
            lambda connection: status_check.hold_for_refused_key(connection, failed, context.settings)
        )
    return final


def _write(connection: sa.Connection, context: Context, seen: Mapping[int, MessageStatus | NotShown]) -> list[Change]:
    policy = Policy.of(context.settings)
    rows = message_rows.lock(connection, seen.keys())
    now = database_now(connection)
    decided = (on_status.after_poll(row, seen[row.id], now, policy, context.rng) for row in rows.values())
    changes = [change for change in decided if change is not None]
    machine.apply(connection, changes)
    return changes


def _awaiting(connection: sa.Connection, ids: Collection[int]) -> Sequence[Any]:
    """Which of these ids are delivered messages that wait for their reply."""
    return connection.execute(
        sa.select(messages.c.id, messages.c.id_mensaje).where(
            messages.c.id_mensaje.in_(ids),
            message_rows.in_state(State.DELIVERED),
            messages.c.rule_id.is_not(None),
            messages.c.reply.is_(None),
        )
    ).all()


def _probe(context: Context, turn: _Turn, slice_: ReportSlice, report: _Report) -> Followed | None:
    """Ask for one message that the report lacks; it is returned where it is final, and the next report must have it."""
    within = turn.open.places(slice_.first, slice_.last)
    lacking = array("q", (place for place in within if turn.open[place].id_mensaje not in report.statuses))
    if not lacking or not context.database.transact(lambda connection: request_budget.take(connection, 1)):
        return None
    chosen = turn.open[context.rng.choice(lacking)]
    status = status_check.ask(context.client, chosen.id_mensaje)
    if not isinstance(status, MessageStatus) or not status.estatus.final:
        return None
    context.database.transact(functools.partial(_write, context=context, seen={chosen.id: status}))
    return chosen


def _finish(connection: sa.Connection, context: Context, turn: _Turn, result: _Result) -> None:
    now = database_now(connection)
    sweep = context.settings.sweep_seconds
    failures = turn.failures + 1 if result.failed is not None else 0
    wait = turn.wait * context.rng.uniform(0.9, 1.1)
    if failures:
        wait = min(max(wait, sweep) * 2.0 ** min(failures, 10), max(wait, _LONGEST_PAUSE))
    elif result.cursor is not None:
        wait = 0.0  # the round goes on
    # A tick comes a little earlier or later than its period says.
    due_at = turn.now + dt.timedelta(seconds=max(0.0, wait - sweep / 2))
    watermark.update(
        connection,
        turn.bracket.name,
        due_at=due_at,
        lease_until=None,
        cursor_at=result.cursor,
        density=result.density,
        reads=turn.reads + result.reads,
        failures=failures,
        probe_id=None if result.probe is None else result.probe.id_mensaje,
        probe_at=None if result.probe is None else result.probe.sent_at,
        distrusted_until=now + _DISTRUST if result.distrusted else None,
        **({} if result.stopped else {"read_at": turn.now}),
    )


def _groups(ids: Iterable[int]) -> Iterator[list[int]]:
    each = sorted(ids)
    return (each[start : start + _GROUP] for start in range(0, len(each), _GROUP))
