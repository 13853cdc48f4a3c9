"""The callback outbox: one row for each change that matters to a producer, in the same transaction as the change.

`worker.lifecycle.state_machine` calls `store` for every group of changes; `worker.callbacks` delivers the rows.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from smsclick._values.callback import parse_callback
from smsclick._values.times import iso
from smsclick.contract import State, callbacks
from smsclick.errors import InvalidField
from worker.sql import bulk

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa

    from worker.lifecycle.model import Change

PUBLISHED_STATES = frozenset(
    {State.SENT, State.DELIVERED, State.REJECTED, State.FAILED, State.EXPIRED, State.UNDETERMINED}
)
"""The states that a producer is notified of; each is `message.<state>`."""

REPLIED = "message.replied"
"""The event of a recipient's reply."""

MISNAMED = "(no address)"
"""The receiver of rows whose callback is no address, which only a plain INSERT can store."""

_DEFAULT = "smsclick_callback"


def use_default(engine: sa.Engine, target: str) -> None:
    """From now on, messages without a callback of their own have this one on connections of this engine."""
    engine.update_execution_options(**{_DEFAULT: target})


def store(connection: sa.Connection, changes: Iterable[Change]) -> bool:
    """Store the callbacks that these changes make due; returns whether there were any."""
    default: str = connection.get_execution_options().get(_DEFAULT, "")
    rows = []
    for change in changes:
        target = change.becomes.callback or default
        if target:
            rows += [_row(change, each, target) for each in _types(change)]
    bulk.insert(connection, callbacks, rows)
    return bool(rows)


def _types(change: Change) -> list[str]:
    was, becomes = change.was, change.becomes
    types = [f"message.{becomes.state}"] if becomes.state is not was.state and becomes.state in PUBLISHED_STATES else []
    return types if becomes.reply is None or was.reply is not None else [*types, REPLIED]


def _row(change: Change, event_type: str, target: str) -> dict[str, object]:
    becomes, event = change.becomes, change.note
    data = {
        "state": becomes.state,
        "id_mensaje": becomes.id_mensaje,
        "estatus_mensaje": becomes.estatus_mensaje,
        "attempts": becomes.attempts,
        "credits_used": becomes.credits_used,
        "code": event.code if event else becomes.last_code,
        "description": event.description if event else becomes.last_error,
        "sent_at": iso(becomes.sent_at),
        "final_at": iso(becomes.final_at),
        "replied_at": iso(becomes.replied_at),
    }
    return {
        "event_id": str(uuid.uuid4()),
        "message_id": becomes.id,
        "type": event_type,
        "target": target,
        "receiver": _receiver(target),
        "data": json.dumps(data, ensure_ascii=False),
    }


def _receiver(target: str) -> str:
    try:
        return parse_callback(target).receiver
    except InvalidField:
        return MISNAMED
