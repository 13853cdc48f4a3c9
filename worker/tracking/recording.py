"""Write what the provider said of followed messages, from reports and from `getMsg`."""

import datetime as dt
import functools
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from smsclick.contract import State, messages
from smsclick.provider.results import MessageStatus
from worker.account import status_check
from worker.context import Context
from worker.lifecycle import message_rows, on_status, state_machine
from worker.lifecycle.model import Change
from worker.lifecycle.on_status import NotShown, PollFailed
from worker.lifecycle.policy import Policy
from worker.queue import odd_rows
from worker.reports.windows import ReportSlice
from worker.sql.now import database_now
from worker.tracking.bracket_claim import BracketClaim
from worker.tracking.progress import FinalStatuses

_ROWS_PER_TRANSACTION = 500

Seen = MessageStatus | PollFailed | NotShown


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


def record_report(
    context: Context, claimed: BracketClaim, span: ReportSlice, report: FinalStatuses, *, trusted: bool
) -> int:
    """Write what a report showed of our messages, in groups.

    Args:
        context: this process's.
        claimed: the bracket that the report is about.
        span: the slice that the report is about.
        report: what it showed.
        trusted: whether a message that it lacks is not final.

    Returns:
        How many messages changed their state.
    """
    seen = _seen_by_row(context, claimed, report)
    if report.complete and trusted:
        seen |= _not_shown(claimed, span, seen)
    changed = 0
    for part in _groups(seen):
        write = functools.partial(
            write_statuses,
            seen={message_id: seen[message_id] for message_id in part},
            policy=Policy.of(context.settings),
            rng=context.rng,
        )
        changes = odd_rows.run(context.database, write, functools.partial(_the_ids, ids=part))
        changed += sum(change.becomes.state is not change.was.state for change in changes)
    failed = report.failed
    if failed is not None and status_check.key_refused(failed):
        context.database.transact(
            lambda connection: status_check.hold_for_refused_key(connection, failed, context.settings)
        )
    return changed


def _seen_by_row(context: Context, claimed: BracketClaim, report: FinalStatuses) -> dict[int, Seen]:
    """The statuses by row id: of followed messages, and of delivered ones that wait for their reply."""
    seen: dict[int, Seen] = {}
    replied: dict[int, MessageStatus] = {}
    for id_mensaje, status in report.statuses.items():
        message_id = claimed.messages.id_of(id_mensaje)
        if message_id is not None:
            seen[message_id] = status
        elif status.reply is not None:
            replied[id_mensaje] = status
    for part in _groups(replied):
        with context.database.read() as connection:
            seen |= {row.id: replied[row.id_mensaje] for row in _awaiting_reply(connection, part)}
    return seen


def _not_shown(claimed: BracketClaim, span: ReportSlice, seen: Collection[int]) -> dict[int, Seen]:
    """The messages that the report lacks and whose own check would come before the next report: it is postponed."""
    found: dict[int, Seen] = {}
    for each in map(claimed.messages.__getitem__, claimed.messages.places(span.first, span.last)):
        horizon = on_status.horizon(claimed.wait_seconds, claimed.now - each.sent_at)
        soon = claimed.now + dt.timedelta(seconds=horizon)
        if each.id not in seen and each.due_at is not None and each.due_at <= soon:
            found[each.id] = NotShown(claimed.wait_seconds)
    return found


def _awaiting_reply(connection: sa.Connection, ids: Collection[int]) -> Sequence[Any]:
    return connection.execute(
        sa.select(messages.c.id, messages.c.id_mensaje).where(
            messages.c.id_mensaje.in_(ids),
            message_rows.in_state(State.DELIVERED),
            messages.c.rule_id.is_not(None),
            messages.c.reply.is_(None),
        )
    ).all()


def _the_ids(_connection: sa.Connection, ids: Sequence[int]) -> Sequence[int]:
    return ids


def _groups(ids: Iterable[int]) -> Iterator[list[int]]:
    each = sorted(ids)
    return (each[start : start + _ROWS_PER_TRANSACTION] for start in range(0, len(each), _ROWS_PER_TRANSACTION))
