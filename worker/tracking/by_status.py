"""Follow: ask `getMsg` for messages that were sent, until Recibido or Rechazado, and for replies after that.

Only for what no report answers (`worker.tracking.by_report`): a few, those that reports lack or fail for, replies, and
once more before a message is given up. All workers together keep within `worker.account.request_budget`.

A check is claimed by moving its due time ahead by a lease, so that two workers do not ask for the same message;
a worker that dies in between costs that much time and nothing else.
"""

import datetime as dt
import logging
import random
import time
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import State, messages
from smsclick.provider.results import MessageStatus
from smsclick.settings import Settings
from worker.account import holds, request_budget, status_check
from worker.account.status_check import hold_for_refused_key, key_refused
from worker.alerting import incidents
from worker.context import Context
from worker.lifecycle import machine, message_rows, on_status
from worker.lifecycle.model import Change
from worker.lifecycle.on_status import PollFailed
from worker.lifecycle.policy import Policy
from worker.queue import odd_rows
from worker.sql.now import database_now

log = logging.getLogger(__name__)

BATCH = 20
"""Status checks of one task."""

FOLLOWED = (State.SENT, State.DELIVERED, State.UNDETERMINED)
"""The states whose rows may have a due check; delivered ones only while a reply is awaited."""

_Seen = MessageStatus | PollFailed


def due(connection: sa.Connection, limit: int) -> list[int]:
    """Ids of messages whose status check is due, oldest first within each state; none while the key is refused."""
    if not holds.read(connection).key_works:
        return []
    ids: list[int] = []
    for state in FOLLOWED:
        query = (
            sa.select(messages.c.id)
            .where(message_rows.in_state(state), messages.c.due_at <= db_now())
            .order_by(messages.c.due_at)
            .limit(limit - len(ids))
        )
        ids += connection.scalars(query)
        if len(ids) >= limit:
            break
    return ids


def poll(context: Context, ids: Collection[int], *, slice_seconds: float = 5.0) -> int:
    """Ask for the messages of `ids` whose check is due and record what was seen; returns how many were asked for.

    What the slice leaves over is due at once and found by the next sweep.
    """
    end = time.monotonic() + slice_seconds
    claimed = _claim(context, ids)
    seen: dict[int, _Seen] = {}
    for message_id, id_mensaje in claimed.items():
        if context.stopping.is_set() or time.monotonic() >= end:
            break
        seen[message_id] = status_check.ask(context.client, id_mensaje)
        if key_refused(seen[message_id]):
            break
    _record(context, seen, unasked=claimed.keys() - seen.keys())
    return len(seen)


def _claim(context: Context, ids: Collection[int]) -> dict[int, int]:
    def work(connection: sa.Connection) -> dict[int, int]:
        if not holds.read(connection).key_works:
            return {}
        rows = connection.execute(
            sa.select(messages.c.id, messages.c.id_mensaje, db_now().label("now"))
            .where(
                messages.c.id.in_(ids),
                message_rows.in_state(*FOLLOWED),
                messages.c.due_at <= db_now(),
                messages.c.id_mensaje.is_not(None),
            )
            .order_by(messages.c.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        if rows:
            # What the budget does not cover stays due.
            rows = rows[: request_budget.take(connection, len(rows))]
        if rows:
            later = rows[0].now + dt.timedelta(seconds=context.settings.lease_seconds)
            connection.execute(
                sa.update(messages).where(messages.c.id.in_([row.id for row in rows])).values(due_at=later)
            )
        return {row.id: row.id_mensaje for row in rows}

    return context.database.transact(work)


def _record(context: Context, seen: dict[int, _Seen], unasked: Collection[int]) -> None:
    def work(connection: sa.Connection) -> list[Change]:
        changes = _write(connection, seen, unasked, context.settings)
        _raise_incidents(connection, changes, seen, context.settings)
        return changes

    changes = odd_rows.run(context.database, work, lambda _: seen.keys())
    for change in changes:
        log.info(
            "Status asked. message=%s state=%s estatus=%s next=%s",
            change.was.id,
            change.becomes.state,
            change.becomes.estatus_mensaje,
            change.becomes.due_at,
        )


def _write(
    connection: sa.Connection, seen: dict[int, _Seen], unasked: Collection[int], settings: Settings
) -> list[Change]:
    policy, rng = Policy.of(settings), random.Random()
    rows = message_rows.lock(connection, seen.keys())
    now = database_now(connection)
    decided = (on_status.after_poll(rows[each], what, now, policy, rng) for each, what in seen.items())
    changes = [change for change in decided if change is not None]
    machine.apply(connection, changes)
    if unasked:
        connection.execute(sa.update(messages).where(messages.c.id.in_(unasked)).values(due_at=now))
    return changes


def _raise_incidents(
    connection: sa.Connection, changes: Sequence[Change], seen: dict[int, _Seen], settings: Settings
) -> None:
    lost = [c for c in changes if c.becomes.state is State.UNDETERMINED and c.was.state is State.SENT]
    if lost:
        detail = f"first: message {lost[0].was.id}"
        incidents.report(connection, "undetermined", detail=detail, count=len(lost))
    refused = next((what for what in seen.values() if key_refused(what)), None)
    if isinstance(refused, PollFailed):
        hold_for_refused_key(connection, refused, settings)
