"""Withdrawals by plain SQL: the sweep brings them to their end, each with its event.

`UPDATE smsclick_messages SET state = 'cancelled', waits_for = NULL WHERE … AND state = 'queued'` leaves the row its due
time, which no other final row has. So the index of what is due names these rows and no others. The reasons stand in
docs/decisions/0048-withdrawals.md.
"""

from typing import Any

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._values.causes import Cause
from smsclick.contract import State, events, messages
from worker.lifecycle import message_rows, model, state_machine, tallied
from worker.lifecycle.model import Change
from worker.metrics import tallies
from worker.sql import bulk


def unfinished(connection: sa.Connection, limit: int) -> list[int]:
    """The ids of what `finish` would finish, without reading anything else of those rows."""
    return [row.id for row in connection.execute(_unfinished(sa.select(messages.c.id), limit))]


def finish(connection: sa.Connection, limit: int) -> list[int]:
    """Bring to their end what plain SQL withdrew, and keep an event of each; returns the ids."""
    query = _unfinished(sa.select(*message_rows.COLUMNS, db_now().label("now")), limit)
    changes: list[Change] = []
    kept: list[bulk.Row] = []
    for row in connection.execute(query.with_for_update(skip_locked=True)):
        was = message_rows.read(row)
        final_at = was.final_at or row.now
        changes.append(Change(was, model.replace(was, due_at=None, final_at=final_at), None))
        kept.append(
            {
                "message_id": was.id,
                "at": final_at,
                "from_state": State.QUEUED,
                "to_state": State.CANCELLED,
                "cause": Cause.WITHDRAWN,
                "attempt": was.attempts,
            }
        )
    state_machine.apply(connection, changes)
    bulk.insert(connection, events, kept)
    withdrawn = tallied.label(State.QUEUED, State.CANCELLED, Cause.WITHDRAWN)
    tallies.add(connection, {(tallied.EVENTS, withdrawn): len(kept)})
    return [change.was.id for change in changes]


def _unfinished(query: sa.Select[Any], limit: int) -> sa.Select[Any]:
    return (
        query.where(message_rows.in_state(State.CANCELLED), messages.c.due_at.is_not(None))
        .order_by(messages.c.due_at)
        .limit(limit)
    )
