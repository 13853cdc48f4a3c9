"""Follow by report: one request shows the final status of all messages of a span of time.

For each bracket of similar ages whose report is due (`worker.tracking.bracket_claim`), its messages are split into
slices, one report is read for each slice, and what it shows is written before the next one is requested
(`worker.tracking.recording`). A complete report that lacks a message proves that it is not final, so its own check is
postponed until after the next report.

Where reports fail, are slow or lack messages they must show (`worker.tracking.progress`), nothing is postponed: the
messages' own checks (`due_at`) become due, and `worker.tracking.by_status` asks for them one by one, within its budget.
See docs/decisions/0011-tracking-by-report.md.
"""

import dataclasses
import functools
import logging
from array import array

from smsclick.errors import ProviderRefused
from smsclick.provider.codes import Estatus, lookup
from smsclick.provider.results import MessageStatus, ReportRow, UnreadableRow
from worker.account import status_check
from worker.context import Context
from worker.lifecycle.on_status import PollFailed
from worker.lifecycle.policy import Policy
from worker.queue import odd_rows
from worker.reports import windows
from worker.reports.matching import CLOCK_TOLERANCE
from worker.reports.reader import read_report
from worker.reports.windows import ReportSlice
from worker.tracking import bracket_claim
from worker.tracking.bracket_claim import MOST_MESSAGES, UNTRUSTED_FOR, BracketClaim
from worker.tracking.progress import FinalStatuses, Progress
from worker.tracking.recording import record_report, write_statuses
from worker.tracking.tracked import Followed

log = logging.getLogger(__name__)

MOST_REPORTS_PER_CLAIM = 8
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
        final = record_report(context, claimed, span, report, trusted=not progress.untrusted)
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
        log.warning("A report could not be read to its end. bracket=%s error=%s", claimed.bracket.name, error)
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


def _log(claimed: BracketClaim, progress: Progress) -> None:
    if progress.reads:
        log.info(
            "Reports were read. bracket=%s reports=%s open=%s final=%s next=%.0f failed=%s",
            claimed.bracket.name,
            progress.reads,
            len(claimed.messages),
            progress.final,
            claimed.wait_seconds,
            "no" if progress.failed is None else progress.failed.reason,
        )
    if progress.untrusted:
        log.warning(
            "A report lacks a final message; getMsg is asked instead for a while. bracket=%s seconds=%.0f",
            claimed.bracket.name,
            UNTRUSTED_FOR.total_seconds(),
        )
