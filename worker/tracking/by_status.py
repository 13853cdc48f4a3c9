"""Follow by status: ask `getMsg` for single messages until Recibido or Rechazado, and after that for replies.

It asks only for what no report answers (`worker.tracking.by_report`): slices with a few messages, messages that reports
lack or fail for, replies, and one last time before a message becomes `undetermined`. All workers together keep within
`worker.account.status_check`.

A check is claimed by moving the row's due time (`due_at`) forward by a lease, so that no other worker asks for the same
message. If the worker dies, the check is due again when the lease has ended.
"""

import datetime as dt
import random
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._logs.event_log import EventLog
from smsclick.contract import State, messages
from smsclick.provider.results import MessageStatus
from smsclick.settings import Settings
from worker.account import account_state, status_check
from worker.account.status_check import key_refused
from worker.alerting import incidents
from worker.alerting.details import made
from worker.alerting.wording import DetailCode
from worker.context import Context
from worker.lifecycle import message_rows, on_status, state_machine
from worker.lifecycle.model import Change
from worker.lifecycle.on_status import NotShown, PollFailed
from worker.lifecycle.policy import Policy
from worker.queue import odd_rows
from worker.sql.now import database_now
from worker.tracking import bracket_claim

log = EventLog(__name__)

CHECKS_PER_TASK = 20

FOLLOWED_STATES = (State.SENT, State.DELIVERED, State.UNDETERMINED)
"""The states whose rows may have a due check; delivered ones only while a reply is awaited."""

Seen = MessageStatus | PollFailed | NotShown
"""What was seen of a message, by its own check or by a report."""

_Answer = MessageStatus | PollFailed


def due(connection: sa.Connection, limit: int) -> list[int]:
    """Return row ids of messages whose check is due, oldest first in each state; none while the key is refused.

    While reports of young messages are read on time, the check of a sent message waits a little longer for the report.
    """
    if not account_state.read(connection).key_works:
        return []
    grace = bracket_claim.grace(connection)
    ids: list[int] = []
    for state in FOLLOWED_STATES:
        since: Any = db_now() if grace is None or state is not State.SENT else grace
        query = (
            sa.select(messages.c.id)
            .where(message_rows.in_state(state), messages.c.due_at <= since)
            .order_by(messages.c.due_at)
            .limit(limit - len(ids))
        )
        ids += connection.scalars(query)
        if len(ids) >= limit:
            break
    return ids


def poll(context: Context, ids: Collection[int], *, slice_seconds: float = 5.0) -> int:
    """Ask for those of these messages whose check is due, and record the answers.

    Args:
        context: this process's.
        ids: row ids.
        slice_seconds: no request begins after this time. The rest is due at once, and the next sweep finds it.

    Returns:
        How many messages were asked for.
    """
    end = time.monotonic() + slice_seconds
    claimed = _claim(context, ids)
    answers: dict[int, _Answer] = {}
    for message_id, id_mensaje in claimed.items():
        if context.stopping.is_set() or time.monotonic() >= end:
            break
        answers[message_id] = status_check.ask(context.client, id_mensaje)
        if key_refused(answers[message_id]):
            break
    _record(context, answers, unasked=claimed.keys() - answers.keys())
    return len(answers)


def write_statuses(
    connection: sa.Connection, seen: Mapping[int, Seen], policy: Policy, rng: random.Random
) -> list[Change]:
    """Write what was seen of messages, each judged again with its row locked.

    Args:
        connection: in a transaction.
        seen: by row id.
        policy: of this process.
        rng: for the jitter of the next due times.

    Returns:
        The changes; a row that is not followed any more has none.
    """
    rows = message_rows.lock(connection, seen.keys())
    now = database_now(connection)
    decided = (on_status.after_poll(row, seen[row.id], now, policy, rng) for row in rows.values())
    changes = [change for change in decided if change is not None]
    state_machine.apply(connection, changes)
    return changes


def _claim(context: Context, ids: Collection[int]) -> dict[int, int]:
    """Claim due checks within the budget; returns the provider's id by row id."""

    def work(connection: sa.Connection) -> dict[int, int]:
        if not account_state.read(connection).key_works:
            return {}
        rows = connection.execute(
            sa.select(messages.c.id, messages.c.id_mensaje, db_now().label("now"))
            .where(
                messages.c.id.in_(ids),
                message_rows.in_state(*FOLLOWED_STATES),
                messages.c.due_at <= db_now(),
                messages.c.id_mensaje.is_not(None),
            )
            .order_by(messages.c.id)
            .limit(CHECKS_PER_TASK)
            .with_for_update(skip_locked=True)
        ).all()
        if rows:
            # What the budget does not cover stays due.
            rows = rows[: status_check.take(connection, len(rows))]
        if rows:
            later = rows[0].now + dt.timedelta(seconds=context.settings.lease_seconds)
            connection.execute(
                sa.update(messages).where(messages.c.id.in_([row.id for row in rows])).values(due_at=later)
            )
        return {row.id: row.id_mensaje for row in rows}

    return context.database.transact(work)


def _record(context: Context, answers: Mapping[int, _Answer], unasked: Collection[int]) -> None:
    def work(connection: sa.Connection) -> list[Change]:
        changes = write_statuses(connection, answers, Policy.of(context.settings), context.rng)
        if unasked:
            connection.execute(sa.update(messages).where(messages.c.id.in_(unasked)).values(due_at=db_now()))
        _raise_incidents(connection, changes, answers.values(), context.settings)
        return changes

    for change in odd_rows.run(context.database, work, lambda _: answers.keys()):
        log.info(
            "status_asked",
            message_id=change.was.id,
            attempt=change.was.attempts,
            state=change.becomes.state,
            estatus=change.becomes.estatus_mensaje,
            next_at=change.becomes.due_at,
        )


def _raise_incidents(
    connection: sa.Connection, changes: Sequence[Change], answers: Iterable[_Answer], settings: Settings
) -> None:
    lost = [c for c in changes if c.becomes.state is State.UNDETERMINED and c.was.state is State.SENT]
    if lost:
        detail = made(DetailCode.FIRST, id=lost[0].was.id)
        incidents.report(connection, "undetermined", detail=detail, count=len(lost))
    refused = next((each for each in answers if key_refused(each)), None)
    if isinstance(refused, PollFailed):
        status_check.hold_for_refused_key(connection, refused, settings)
