"""Follow by report: one request shows the final status of all messages of a span of time.

For each bracket of similar ages whose report is due (`worker.tracking.bracket_claim`), its messages are split into
slices, one report is read for each slice, and what it shows is written before the next one is requested. A complete
report that lacks a message proves that it is not final, so its own check is postponed until after the next report.

Where reports fail, are slow or lack messages they must show (`worker.tracking.progress`), nothing is postponed: the
messages' own checks (`due_at`) become due, and `worker.tracking.by_status` asks for them one by one, within its budget.
See docs/decisions/0011-tracking-by-report.md.
"""

import dataclasses
import datetime as dt
import functools
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from smsclick._logs.event_log import EventLog
from smsclick.contract import State, messages
from smsclick.errors import ProviderRefused
from smsclick.provider.codes import Estatus, lookup
from smsclick.provider.results import MessageStatus, ReportRow, UnreadableRow
from worker.account import status_check
from worker.context import Context
from worker.lifecycle import message_rows
from worker.lifecycle.on_status import NotShown, PollFailed
from worker.lifecycle.policy import Policy
from worker.queue import odd_rows
from worker.reports import windows
from worker.reports.matching import CLOCK_TOLERANCE
from worker.reports.reader import read_report
from worker.reports.windows import ReportSlice
from worker.tracking import bracket_claim
from worker.tracking.bracket_claim import MOST_MESSAGES, UNTRUSTED_FOR, BracketClaim
from worker.tracking.by_status import Seen, write_statuses
from worker.tracking.progress import FinalStatuses, Progress
from worker.tracking.tracked import Followed

log = EventLog(__name__)

MOST_REPORTS_PER_CLAIM = 8
_ROWS_PER_TRANSACTION = 500
REPORTS_PER_PROBE = 10
"""After so many reports, `getMsg` is asked for one message that they lack: a test whether reports are complete."""

_FINAL = (Estatus.RECIBIDO, Estatus.RECHAZADO)


def follow(context: Context) -> int:
    """Read every report that is due and record what it shows.

    Two processes may run it at once: one of them claims a bracket, and rows are locked and judged again.

    Returns:
        How many messages became final.
    """
    final = 0
    for bracket in windows.age_brackets(Policy.of(context.settings)):
        if context.stopping.is_set():
            break
        claimed = odd_rows.run(
            context.database,
            functools.partial(bracket_claim.claim, bracket=bracket, context=context),
            functools.partial(bracket_claim.suspects, bracket=bracket),
        )
        if claimed is not None:
            final += _read_bracket(context, claimed)
    return final


def _read_bracket(context: Context, claimed: BracketClaim) -> int:
    """Read the reports of a claim one after the other; each is recorded before the next is requested."""
    progress = claimed.progress
    planned = windows.plan_slices(claimed.messages.times(), windows.longest_slice(progress.density))
    wanted = [span for span in planned if span.count > windows.MOST_SINGLE_CHECKS]
    for span in wanted[:MOST_REPORTS_PER_CLAIM]:
        if context.stopping.is_set():
            break
        report = _read_slice(context, claimed, span, progress.probe)
        progress = progress.after(report, span, claimed.bracket)
        final = _record_report(context, claimed, span, report, trusted=not progress.untrusted)
        progress = dataclasses.replace(progress, final=progress.final + final)
        if progress.stopped:
            break
        if progress.probe is None and (claimed.reads + progress.reads) % REPORTS_PER_PROBE == 0:
            progress = dataclasses.replace(progress, probe=_find_probe(context, claimed, span, report))
    if progress.reads == len(wanted) and not progress.stopped:
        all_claimed = len(claimed.messages) == MOST_MESSAGES
        progress = progress.after_round(
            go_on_behind=claimed.messages[-1].sent_at if all_claimed else None, probe_before=claimed.progress.probe
        )
    context.database.transact(lambda connection: bracket_claim.release(connection, context, claimed, progress))
    _log(claimed, progress)
    return progress.final


def _read_slice(context: Context, claimed: BracketClaim, span: ReportSlice, probe: Followed | None) -> FinalStatuses:
    """Request one report of final statuses, and keep those of our messages and of the probe."""
    probe_id = None if probe is None else probe.id_mensaje
    statuses: dict[int, MessageStatus] = {}

    def add(row: ReportRow | UnreadableRow) -> None:
        if isinstance(row, UnreadableRow) or row.estatus is None:
            return  # If it is one of our messages, its own status check asks for it.
        # The report also shows what other systems sent with the same APIKEY.
        ours = row.id_mensaje == probe_id or claimed.messages.id_of(row.id_mensaje) is not None
        if row.estatus.final and (ours or row.reply is not None):
            statuses[row.id_mensaje] = _status(row, row.estatus)

    end = read_report(
        context.client,
        span.first - claimed.bracket.margin_before,
        span.last + CLOCK_TOLERANCE,
        add,
        statuses=_FINAL,
        stop=context.stopping.is_set,
    )
    error = end.error
    if isinstance(error, ProviderRefused):
        return FinalStatuses({}, end.rows, complete=False, failed=PollFailed(error.code, lookup(error.code).meaning))
    if error is not None:
        log.warning("report_incomplete", bracket=claimed.bracket.name, error=error)
        return FinalStatuses(statuses, end.rows, complete=False, failed=PollFailed(None, str(error)))
    return FinalStatuses(statuses, end.rows, end.complete, end.interrupted)


def _status(row: ReportRow, estatus: Estatus) -> MessageStatus:
    return MessageStatus(estatus, None, None, row.fecha_envio, row.reply, row.replied_at, "")


def _find_probe(context: Context, claimed: BracketClaim, span: ReportSlice, report: FinalStatuses) -> Followed | None:
    """Ask `getMsg` for one message that the report lacks; returns a final one: the next report must show it."""
    within = claimed.messages.places(span.first, span.last)
    lacking = array("q", (place for place in within if claimed.messages[place].id_mensaje not in report.statuses))
    if not lacking:
        return None
    chosen = claimed.messages[context.rng.choice(lacking)]
    status = status_check.ask_within_budget(context.database, context.client, chosen.id_mensaje)
    if not isinstance(status, MessageStatus) or not status.estatus.final:
        return None
    context.database.transact(
        functools.partial(write_statuses, seen={chosen.id: status}, policy=Policy.of(context.settings), rng=context.rng)
    )
    return chosen


def _record_report(
    context: Context, claimed: BracketClaim, span: ReportSlice, report: FinalStatuses, *, trusted: bool
) -> int:
    """Write what a report showed of our messages, in groups.

    Args:
        context: this process's.
        claimed: the bracket that the report is about.
        span: the slice that the report is about.
        report: what it showed.
        trusted: whether a message that it lacks is not final.

    Returns:
        How many messages changed their state.
    """
    seen = _seen_by_row(context, claimed, report)
    if report.complete and trusted:
        seen |= _not_shown(claimed, span, seen, context.settings.sweep_seconds)
    changed = 0
    for part in _groups(seen):
        write = functools.partial(
            write_statuses,
            seen={message_id: seen[message_id] for message_id in part},
            policy=Policy.of(context.settings),
            rng=context.rng,
        )
        changes = odd_rows.run(context.database, write, functools.partial(_the_ids, ids=part))
        changed += sum(change.becomes.state is not change.was.state for change in changes)
    failed = report.failed
    if failed is not None and status_check.key_refused(failed):
        context.database.transact(
            lambda connection: status_check.hold_for_refused_key(connection, failed, context.settings)
        )
    return changed


def _seen_by_row(context: Context, claimed: BracketClaim, report: FinalStatuses) -> dict[int, Seen]:
    """The statuses by row id: of followed messages, and of delivered ones that wait for their reply."""
    seen: dict[int, Seen] = {}
    replied: dict[int, MessageStatus] = {}
    for id_mensaje, status in report.statuses.items():
        message_id = claimed.messages.id_of(id_mensaje)
        if message_id is not None:
            seen[message_id] = status
        elif status.reply is not None:
            replied[id_mensaje] = status
    for part in _groups(replied):
        with context.database.read() as connection:
            seen |= {row.id: replied[row.id_mensaje] for row in _awaiting_reply(connection, part)}
    return seen


def _not_shown(claimed: BracketClaim, span: ReportSlice, seen: Collection[int], tick: float) -> dict[int, Seen]:
    """The messages that the report lacks and whose own check would come before the next report: it is postponed."""
    found: dict[int, Seen] = {}
    for each in map(claimed.messages.__getitem__, claimed.messages.places(span.first, span.last)):
        if each.id in seen or each.due_at is None:
            continue
        wait = bracket_claim.seconds_until_judged_again(claimed, each.sent_at, tick)
        if each.due_at <= claimed.now + dt.timedelta(seconds=wait):
            found[each.id] = NotShown(claimed.wait_seconds)
    return found


def _awaiting_reply(connection: sa.Connection, ids: Collection[int]) -> Sequence[Any]:
    return connection.execute(
        sa.select(messages.c.id, messages.c.id_mensaje).where(
            messages.c.id_mensaje.in_(ids),
            message_rows.in_state(State.DELIVERED),
            messages.c.rule_id.is_not(None),
            messages.c.reply.is_(None),
        )
    ).all()


def _the_ids(_connection: sa.Connection, ids: Sequence[int]) -> Sequence[int]:
    return ids


def _groups(ids: Iterable[int]) -> Iterator[list[int]]:
    each = sorted(ids)
    return (each[start : start + _ROWS_PER_TRANSACTION] for start in range(0, len(each), _ROWS_PER_TRANSACTION))


def _log(claimed: BracketClaim, progress: Progress) -> None:
    if progress.reads:
        log.info(
            "reports_read",
            bracket=claimed.bracket.name,
            reports=progress.reads,
            open_messages=len(claimed.messages),
            final_messages=progress.final,
            next_seconds=round(claimed.wait_seconds),
            failed="no" if progress.failed is None else progress.failed.reason,
        )
    if progress.untrusted:
        log.warning("report_lacks_message", bracket=claimed.bracket.name, seconds=round(UNTRUSTED_FOR.total_seconds()))
