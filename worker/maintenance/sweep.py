"""The sweep: find what no wake-up announced, and wake up workers for it.

Wake-ups may be lost, and time itself wakes nobody: due times come, leases and validities end. So one of the processes
sweeps every few seconds, and each of them looks for due work. Each query is bounded and served by an index, and running
it twice at once does no harm.
"""

from smsclick._logs.event_log import EventLog
from smsclick.contract import State
from worker.account import minutes, status_check, usage
from worker.alerting import delivery, incidents
from worker.callbacks import store as callback_store
from worker.context import Context
from worker.database_clock import clock
from worker.lifecycle import message_rows, parking
from worker.lifecycle.policy import Policy
from worker.queue import claims, expired_leases, odd_rows, withdrawals
from worker.reconciliation import claims as unknown_claims
from worker.restore import hold as restore_hold
from worker.sending import attempts
from worker.sql import heartbeat
from worker.tracking import bracket_claim, by_status

log = EventLog(__name__)

_MOST_ENDED_LEASES = 500
_MOST_EXPIRED = 500
_MOST_WITHDRAWN = 500
_MOST_SEND_WAKEUPS = 320
"""Enough to wake up every thread of a few machines; each thread then goes on by itself."""


def sweep(context: Context, *, urgent: bool = False) -> bool:
    """Run one tick: end what is over, then wake up workers for what is due.

    It makes attempts whose lease has ended `unknown`, ends expired and withdrawn messages, ends the hold of a restore,
    releases parked messages, reminds of open incidents, counts what was sent and notes the minute's counters.

    Args:
        context: this process's.
        urgent: run even if another process has just run it.

    Returns:
        False where another process has run this tick.
    """
    if not heartbeat.take(context.database, "sweep", context.settings.sweep_seconds) and not urgent:
        return False
    context.clock.read(context.database)  # A jump of the clock must be noticed before anything ends by it.
    clock.shift(context.database, context.stopping)
    context.database.transact(odd_rows.revive)
    _end_what_is_over(context)
    context.database.transact(restore_hold.end_if_looked_for)
    context.database.transact(lambda connection: parking.sweep(connection, context.rng))
    context.database.transact(incidents.tick)
    if heartbeat.take(context.database, "usage", usage.COUNT_SECONDS):
        usage.count(context.database)
    minutes.note(context.database)
    attempts.wake_for_waiting(context, _MOST_SEND_WAKEUPS)
    look(context)
    return True


def look(context: Context) -> None:
    """Look for due work other than sending, and do it in this process.

    Any number of processes may look at once: each row's work is claimed by one of them.
    """
    with context.database.read() as connection:
        reports_due = bracket_claim.due(connection, Policy.of(context.settings))
        checks = by_status.due(connection, status_check.left(connection))
        alerts_due = delivery.due(connection)
        unknown_due = unknown_claims.due(connection)
        callbacks_due = callback_store.due(connection)
    if reports_due:
        context.wakeups.follow()
    for start in range(0, len(checks), by_status.CHECKS_PER_TASK):
        context.wakeups.poll(checks[start : start + by_status.CHECKS_PER_TASK])
    if unknown_due:
        context.wakeups.reconcile()
    if alerts_due:
        context.wakeups.alerts()
    if callbacks_due:
        context.wakeups.callbacks()


def _end_what_is_over(context: Context) -> None:
    unknown = odd_rows.run(
        context.database,
        lambda connection: expired_leases.expire_leases(connection, _MOST_ENDED_LEASES),
        lambda connection: message_rows.due_ids(connection, State.SENDING, _MOST_ENDED_LEASES),
    )
    expired = odd_rows.run(
        context.database,
        lambda connection: claims.expire(connection, _MOST_EXPIRED),
        lambda connection: claims.over(connection, _MOST_EXPIRED),
    )
    odd_rows.run(
        context.database,
        lambda connection: withdrawals.finish(connection, _MOST_WITHDRAWN),
        lambda connection: withdrawals.unfinished(connection, _MOST_WITHDRAWN),
    )
    if unknown:
        log.warning("claims_lost", messages=unknown)
    if expired:
        log.info("messages_expired", count=expired)
