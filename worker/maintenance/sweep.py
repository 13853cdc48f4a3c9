"""The sweep: find what no doorbell announced, and ring for it. Bounded, indexed, harmless to run twice."""

import logging

from smsclick.contract import State
from worker.account import request_budget
from worker.alerting import delivery, incidents
from worker.callbacks import store as callback_store
from worker.context import Context
from worker.database_clock import clock
from worker.lifecycle import message_rows, parking
from worker.lifecycle.policy import Policy
from worker.queue import claims, odd_rows, withdrawals
from worker.reconciliation import reconcile
from worker.restore import restored
from worker.sending import attempts
from worker.sql import heartbeat
from worker.tracking import by_report, by_status

log = logging.getLogger(__name__)

_STRANDED = 500
_EXPIRED = 500
_WITHDRAWN = 500
_WAITING = 320
"""Enough lists to wake every thread of a few machines; each then goes on by itself."""


def sweep(context: Context, *, urgent: bool = False) -> bool:
    """One tick: strand lost claims, end what expired or was withdrawn, ring for what is due, remind of incidents.

    Args:
        context: this process's.
        urgent: look now, whether or not it is this tick's turn.

    Returns:
        False where another process took this tick.
    """
    if not heartbeat.take(context.database, "sweep", context.settings.sweep_seconds) and not urgent:
        return False
    context.clock.read(context.database)  # before anything ends by it
    clock.shift(context.database, context.stopping)
    context.database.transact(odd_rows.revive)
    stranded = odd_rows.run(
        context.database,
        lambda connection: claims.strand(connection, _STRANDED),
        lambda connection: message_rows.due_ids(connection, State.SENDING, _STRANDED),
    )
    expired = odd_rows.run(
        context.database,
        lambda connection: claims.expire(connection, _EXPIRED),
        lambda connection: claims.over(connection, _EXPIRED),
    )
    odd_rows.run(
        context.database,
        lambda connection: withdrawals.finish(connection, _WITHDRAWN),
        lambda connection: withdrawals.unfinished(connection, _WITHDRAWN),
    )
    context.database.transact(restored.release)
    context.database.transact(lambda connection: parking.sweep(connection, context.rng))
    context.database.transact(incidents.tick)
    with context.database.read() as connection:
        reports = by_report.due(connection, Policy.of(context.settings))
        checks = by_status.due(connection, request_budget.left(connection))
        news = delivery.due(connection)
        unknowns = reconcile.due(connection)
        untold = callback_store.due(connection)
    if stranded:
        log.warning("Claims were lost and are unknown now. messages=%s", stranded)
    if expired:
        log.info("Messages expired while they waited. count=%s", expired)
    attempts.wake_for_waiting(context, _WAITING)
    if reports:
        context.wakeups.follow()
    for start in range(0, len(checks), by_status.BATCH):
        context.wakeups.poll(checks[start : start + by_status.BATCH])
    if unknowns:
        context.wakeups.reconcile()
    if news:
        context.wakeups.alerts()
    if untold:
        context.wakeups.callbacks()
    return True
