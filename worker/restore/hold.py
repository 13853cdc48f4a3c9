"""When the hold of a restore ends: after every message that can have been sent was looked for in a report."""

import sqlalchemy as sa

from smsclick.contract import State, messages
from worker.account import account_state, holds
from worker.alerting import incidents
from worker.lifecycle import message_rows
from worker.lifecycle.doubt import Doubt
from worker.sql import audit
from worker.sql.audit import Act

_NOT_LOOKED_FOR_YET = (str(Doubt.TOO_YOUNG), str(Doubt.NO_REPORT))
"""Reasons of unknown attempts that no report has answered for yet. An attempt without a reason is one of these, too."""


def end_if_looked_for(connection: sa.Connection) -> bool:
    """End the hold if every attempt was looked for; a tick calls this.

    Returns:
        Whether it ended. False also where there is no hold of a restore.
    """
    state = account_state.read(connection)
    if state.restored_at is None:
        return False
    reason = messages.c.unknown_reason
    waits = connection.execute(
        sa.select(messages.c.id)
        .where(
            message_rows.in_state(State.UNKNOWN),
            messages.c.unknown_since.is_not(None),
            messages.c.attempted_at <= state.restored_at,
            sa.or_(reason.is_(None), reason.in_(_NOT_LOOKED_FOR_YET)),
        )
        .limit(1)
    ).first()
    if waits is not None:
        return False
    end(connection)
    return True


def end_by_operator(connection: sa.Connection, actor: str) -> None:
    """End the hold by an operator's word, and record that `actor` did it."""
    held = account_state.read(connection, lock=True).restored_since is not None
    end(connection)
    audit.record(connection, Act.RESTORED_END, actor, count=int(held))


def end(connection: sa.Connection) -> None:
    """End the hold now, even if attempts were not looked for; what is unknown stays unknown."""
    account_state.read(connection, lock=True)
    holds.end_restored(connection)
    incidents.close(connection, "restored")
