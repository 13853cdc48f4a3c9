"""Reconcile attempts of unknown outcome with the provider's own report: the only thing that knows.

After a timeout, a reset or a killed worker, nobody here can say whether the provider accepted the message. Each call

1. claims the unknown attempts that are due (`worker.reconciliation.claims`),
2. reads reports for them, with no transaction open (`worker.reconciliation.lookup`),
3. judges what was read and writes it, in one short transaction with the rows locked (`worker.reconciliation.verdict`).

Found: the message becomes `sent`. Absent, in a report that has proven that it would have shown the attempt
(`worker.reconciliation.absence_proof`) and was requested `SMSCLICK_SETTLE_SECONDS` after the request can have left:
surely not accepted, and the producer's `if_absent` decides. Everything else stays `unknown`, with its reason.
"""

import datetime as dt
import functools

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from smsclick._logs.event_log import EventLog
from smsclick.contract import State
from worker.account import balance_history
from worker.alerting import incidents
from worker.context import Context
from worker.database_clock import clock
from worker.lifecycle import message_rows, on_report, state_machine
from worker.lifecycle.model import Change
from worker.lifecycle.policy import Policy
from worker.queue import odd_rows
from worker.reconciliation import claims, lookup, old_unknown
from worker.reconciliation.verdict import Facts, Lookup, judge
from worker.reports.owners import owned_ids
from worker.sql.now import database_now

log = EventLog(__name__)


def reconcile(context: Context) -> int:
    """Look for every unknown attempt that is due in the provider's report, and record what that proves.

    Two processes may run it at once: rows are locked and judged again before they change.

    Returns:
        How many attempts are not unknown any more.
    """
    lease = context.settings.lease_seconds
    claimed = odd_rows.run(
        context.database,
        lambda connection: claims.claim(connection, lease),
        lambda connection: message_rows.due_ids(connection, State.UNKNOWN, claims.MOST_ATTEMPTS),
    )
    reconciled = sum(record(context, each) for each in lookup.look(context, claimed)) if claimed else 0
    old_unknown.watch(context)
    if reconciled:
        context.wakeups.sweep()
    return reconciled


def record(context: Context, looked: Lookup) -> int:
    """Judge what was read and write it; returns how many attempts are not unknown any more."""
    try:
        changes = odd_rows.run(
            context.database,
            lambda connection: _record(connection, context, looked),
            lambda _: [each.attempt.message_id for each in looked.attempts],
        )
    except IntegrityError:
        log.warning("reconciliation_restarted")
        return 0
    for change in changes:
        if change.note is not None:
            log.info(
                "attempt_reconciled",
                message_id=change.was.id,
                attempt=change.was.attempts,
                state=change.becomes.state,
                cause=change.note.cause,
                id_mensaje=change.becomes.id_mensaje,
            )
        elif change.becomes.unknown_reason != change.was.unknown_reason:
            log.info(
                "attempt_stays_unknown",
                message_id=change.was.id,
                attempt=change.was.attempts,
                reason=change.becomes.unknown_reason,
            )
    return sum(change.becomes.state is not State.UNKNOWN for change in changes)


def _record(connection: sa.Connection, context: Context, looked: Lookup) -> list[Change]:
    """Write the verdicts, each only while its row still has the attempt's token."""
    policy = Policy.of(context.settings)
    locked = message_rows.lock(connection, [each.attempt.message_id for each in looked.attempts])
    now = database_now(connection)
    settle_window = dt.timedelta(seconds=context.settings.settle_seconds)
    verdicts = judge(looked, _facts(connection, context, looked, now), settle_window)
    decided = (
        on_report.after_report(locked[message_id], each.token, verdicts[message_id], now, policy, context.rng)
        for each in looked.attempts
        if (message_id := each.attempt.message_id) in locked
    )
    changes = [change for change in decided if change is not None]
    state_machine.apply(connection, changes)
    return changes


def _facts(connection: sa.Connection, context: Context, looked: Lookup, now: dt.datetime) -> Facts:
    """Read what the verdict needs in the transaction that writes it, because messages may have got ids meanwhile."""
    reading = looked.reading
    ids = [] if reading is None else [*(row.id_mensaje for row in reading.rows), *reading.unreadable.ids]
    return Facts(
        now=now,
        owned=owned_ids(connection, ids),
        report_lags=incidents.is_open(connection, "report_lag"),
        clock_trusted_since=clock.trusted_since(connection),
        books=functools.cache(lambda: balance_history.books(connection, context.account)),
    )
