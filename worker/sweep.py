"""The sweep: find what no doorbell announced, and ring for it. Bounded, indexed, harmless to run twice."""

import logging

from smsclick.contract import State
from worker import (
    alerts,
    budget,
    callbacks,
    claims,
    clock,
    follow,
    heartbeat,
    incidents,
    lifecycle,
    odd_rows,
    parking,
    poll,
    reconcile,
    restored,
    send,
    withdrawn,
)
from worker.decisions import Policy
from worker.runtime import Runtime

log = logging.getLogger(__name__)

_STRANDED = 500
_EXPIRED = 500
_WITHDRAWN = 500
_WAITING = 320
"""Enough lists to wake every thread of a few machines; each then goes on by itself."""


def sweep(runtime: Runtime, *, urgent: bool = False) -> bool:
    """One tick: strand lost claims, end what expired or was withdrawn, ring for what is due, remind of incidents.

    Args:
        runtime: this process's.
        urgent: look now, whether or not it is this tick's turn.

    Returns:
        False where another process took this tick.
    """
    if not heartbeat.take(runtime.database, "sweep", runtime.settings.sweep_seconds) and not urgent:
        return False
    runtime.clock.read(runtime.database)  # before anything ends by it
    clock.shift(runtime.database, runtime.stopping)
    runtime.database.transact(odd_rows.revive)
    stranded = odd_rows.run(
        runtime.database,
        lambda connection: claims.strand(connection, _STRANDED),
        lambda connection: lifecycle.due_ids(connection, State.SENDING, _STRANDED),
    )
    expired = odd_rows.run(
        runtime.database,
        lambda connection: claims.expire(connection, _EXPIRED),
        lambda connection: claims.over(connection, _EXPIRED),
    )
    odd_rows.run(
        runtime.database,
        lambda connection: withdrawn.finish(connection, _WITHDRAWN),
        lambda connection: withdrawn.unfinished(connection, _WITHDRAWN),
    )
    runtime.database.transact(restored.release)
    runtime.database.transact(lambda connection: parking.sweep(connection, runtime.rng))
    runtime.database.transact(incidents.tick)
    with runtime.database.read() as connection:
        reports = follow.due(connection, Policy.of(runtime.settings))
        checks = poll.due(connection, budget.left(connection))
        news = alerts.due(connection)
        unknowns = reconcile.due(connection)
        untold = callbacks.due(connection)
    if stranded:
        log.warning("Claims were lost and are unknown now. messages=%s", stranded)
    if expired:
        log.info("Messages expired while they waited. count=%s", expired)
    send.ring_for_waiting(runtime, _WAITING)
    if reports:
        runtime.bell.follow()
    for start in range(0, len(checks), poll.BATCH):
        runtime.bell.poll(checks[start : start + poll.BATCH])
    if unknowns:
        runtime.bell.reconcile()
    if news:
        runtime.bell.alerts()
    if untold:
        runtime.bell.callbacks()
    return True
