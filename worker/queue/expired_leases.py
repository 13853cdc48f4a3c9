"""Claims whose lease ended: the worker died or lost the database, so the outcome of the attempt is unknown."""

import sqlalchemy as sa

from smsclick.contract import State
from worker.lifecycle import message_rows, on_attempt, state_machine
from worker.sql.now import database_now


def expire_leases(connection: sa.Connection, limit: int) -> list[int]:
    """Change `sending` rows whose lease ended to `unknown`; returns their ids."""
    lost = message_rows.lock_due(connection, State.SENDING, limit)
    if lost:
        now = database_now(connection)
        state_machine.apply(connection, [on_attempt.after_lease(message, now) for message in lost])
    return [message.id for message in lost]
