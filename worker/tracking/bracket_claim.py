"""Claim the due reports of a bracket, and give the claim back with what they came to.

The watermark of a bracket says when its next report is due and how far the last round came. One worker at a time reads
a bracket: its claim is a lease in the watermark. If that worker dies, the next one begins when the lease has ended.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any, cast

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import State, messages, watermarks
from worker.account import account_state
from worker.context import Context
from worker.lifecycle import message_rows, on_status
from worker.lifecycle.policy import Policy
from worker.reports import watermark, windows
from worker.reports.windows import Bracket
from worker.sql.now import database_now
from worker.tracking.progress import Progress
from worker.tracking.tracked import Followed, FollowedMessages

MOST_MESSAGES = 20_000
"""Messages of one claim; the next claim goes on behind them."""

UNTRUSTED_FOR = dt.timedelta(minutes=10)
"""How long `getMsg` is asked instead after a report lacked a message that it must have."""

GRACE_SECONDS = 15.0
"""So long a due check of a sent message waits for a report, while reports of young messages are read on time.

Then the report writes only messages whose check is due by then, and not all whose check would come before the next one.
"""

_ON_TIME_SECONDS = 10.0
_ROWS_PER_FETCH = 500
_SUSPECTS_AT_EACH_END = 500
_LONGEST_RETRY_SECONDS = 300.0
_MOST_DOUBLINGS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class BracketClaim:
    """What a worker holds while it reads the reports of a bracket.

    Attributes:
        bracket: which one.
        messages: its followed messages, from the cursor on, in the order in which they were sent.
        now: the database's time of the claim.
        wait_seconds: until the next report of this bracket.
        progress: where the last round ended.
        reads: reports of this bracket that were read before.
        failures: reports in a row that failed.
    """

    bracket: Bracket
    messages: FollowedMessages
    now: dt.datetime
    wait_seconds: float
    progress: Progress
    reads: int
    failures: int


def due(connection: sa.Connection, policy: Policy) -> bool:
    """Return whether a report is due that answers for more than a few messages."""
    if not account_state.read(connection).key_works:
        return False
    marks = {row.name: row for row in connection.execute(sa.select(watermarks, db_now().label("now")))}
    return any(
        _is_due(marks.get(bracket.name)) and not _is_small(_followed(connection, bracket, None, _SMALL + 1))
        for bracket in windows.age_brackets(policy)
    )


def grace(connection: sa.Connection) -> dt.datetime | None:
    """Return the time up to which checks of sent messages are due, or None where that is now.

    It is earlier while the reports of the newest bracket come on time: none failed or lacked a message, and the next
    one is not late, as it is where its worker died, or where so few messages are left that no report is read for them.
    """
    mark = connection.execute(_NEWEST).first()
    if mark is None or mark.read_at is None or mark.failures or not _is_past(mark.distrusted_until, mark.now):
        return None
    if mark.due_at <= mark.now - dt.timedelta(seconds=_ON_TIME_SECONDS):
        return None
    return cast("dt.datetime", mark.now) - dt.timedelta(seconds=GRACE_SECONDS)


def seconds_until_judged_again(claimed: BracketClaim, sent_at: dt.datetime, tick: float) -> float:
    """Return the seconds from the claim within which a due check would come before the next report about a message.

    Args:
        claimed: the bracket that is read.
        sent_at: when the message was sent.
        tick: `SMSCLICK_SWEEP_SECONDS`: so much later the next report may be asked for.
    """
    age = claimed.now - sent_at
    next_report = claimed.wait_seconds * _LATE_REPORT + tick
    stays = claimed.bracket.youngest == 0 and age.total_seconds() + next_report < claimed.bracket.oldest
    if not stays or tick > _ON_TIME_SECONDS:
        return on_status.horizon(claimed.wait_seconds, age)
    return max(0.0, next_report - GRACE_SECONDS)


def claim(connection: sa.Connection, bracket: Bracket, context: Context) -> BracketClaim | None:
    """Claim a bracket for one lease; returns None where no report of it is due or another worker has it."""
    if not account_state.read(connection).key_works:
        return None
    query = sa.select(watermarks, db_now().label("now")).where(watermarks.c.name == bracket.name)
    mark = connection.execute(query.with_for_update()).first()
    if not _is_due(mark):
        return None
    cursor = None if mark is None else mark.cursor_at
    found = _followed(connection, bracket, cursor, MOST_MESSAGES)
    if cursor is None and _is_small(found):
        return None
    if mark is None:
        watermark.create(connection, bracket.name)
        mark = connection.execute(query.with_for_update()).one()
        if not _is_due(mark):
            return None
    policy = Policy.of(context.settings)
    watermark.update(connection, bracket.name, lease_until=mark.now + dt.timedelta(seconds=policy.lease))
    probe = None if mark.probe_id is None else Followed(0, mark.probe_id, mark.probe_at, None)
    return BracketClaim(
        bracket,
        found,
        mark.now,
        _wait_seconds(connection, found, bracket, mark.now, policy),
        Progress(mark.cursor_at, mark.density, probe),
        mark.reads,
        mark.failures,
    )


def release(connection: sa.Connection, context: Context, claimed: BracketClaim, progress: Progress) -> None:
    """Give a claim back: write how far its reports came and when the next one is due."""
    now = database_now(connection)
    tick = context.settings.sweep_seconds
    failures = claimed.failures + 1 if progress.failed is not None else 0
    wait = claimed.wait_seconds * context.rng.uniform(0.9, 1.1)
    if failures:
        wait = min(max(wait, tick) * 2.0 ** min(failures, _MOST_DOUBLINGS), max(wait, _LONGEST_RETRY_SECONDS))
    elif progress.cursor is not None:
        wait = 0.0  # The round goes on.
    # Half a tick earlier, because a tick comes a little before or after its period.
    due_at = claimed.now + dt.timedelta(seconds=max(0.0, wait - tick / 2))
    watermark.update(
        connection,
        claimed.bracket.name,
        due_at=due_at,
        lease_until=None,
        cursor_at=progress.cursor,
        density=progress.density,
        reads=claimed.reads + progress.reads,
        failures=failures,
        probe_id=None if progress.probe is None else progress.probe.id_mensaje,
        probe_at=None if progress.probe is None else progress.probe.sent_at,
        distrusted_until=now + UNTRUSTED_FOR if progress.untrusted else None,
        **({} if progress.stopped else {"read_at": claimed.now}),
    )


def suspects(connection: sa.Connection, bracket: Bracket) -> list[int]:
    """Return the row ids that a claim of this bracket reads first, without reading other columns of those rows.

    `worker.queue.odd_rows` looks for an unreadable row among them when a claim fails.
    """
    query = sa.select(messages.c.id).where(message_rows.in_state(bracket.state))
    orders = (messages.c.sent_at, messages.c.sent_at.desc())
    return [
        row.id for order in orders for row in connection.execute(query.order_by(order).limit(_SUSPECTS_AT_EACH_END))
    ]


_LATE_REPORT = 1.25
_NEWEST = sa.select(watermarks, db_now().label("now")).where(watermarks.c.name == "sent:0")


def _is_past(until: dt.datetime | None, now: dt.datetime) -> bool:
    return until is None or until <= now


_SMALL = windows.MOST_SINGLE_CHECKS


def _is_small(found: Sequence[Followed]) -> bool:
    """Whether `getMsg` asks for these messages one by one instead."""
    return len(found) <= _SMALL


def _is_due(mark: Any) -> bool:  # noqa: ANN401 - a Row, whose columns no type can name
    if mark is None:
        return True
    waits = (mark.due_at, mark.lease_until, mark.distrusted_until)
    return all(_is_past(until, mark.now) for until in waits)


def _followed(connection: sa.Connection, bracket: Bracket, cursor: dt.datetime | None, limit: int) -> FollowedMessages:
    now = database_now(connection)
    begin = now - dt.timedelta(seconds=bracket.oldest)
    rows = connection.execute(
        sa.select(messages.c.id, messages.c.id_mensaje, messages.c.sent_at, messages.c.due_at)
        .where(
            message_rows.in_state(bracket.state),
            messages.c.sent_at > begin,
            messages.c.sent_at >= (cursor or begin),
            messages.c.sent_at <= now - dt.timedelta(seconds=bracket.youngest),
            messages.c.id_mensaje.is_not(None),
        )
        .order_by(messages.c.sent_at)
        .limit(limit)
        .execution_options(yield_per=_ROWS_PER_FETCH)
    )
    return FollowedMessages(rows)


def _wait_seconds(
    connection: sa.Connection, found: FollowedMessages, bracket: Bracket, now: dt.datetime, policy: Policy
) -> float:
    """Seconds until the next report, which is also about the messages that enter the bracket until then."""
    age = (now - found[len(found) // 2].sent_at).total_seconds() if found else bracket.youngest
    without_these = windows.seconds_to_next_report(len(found), age, policy)
    enters_at = now - dt.timedelta(seconds=bracket.youngest)
    coming = (
        sa.select(messages.c.id)
        .where(
            message_rows.in_state(State.SENT),
            messages.c.sent_at > enters_at,
            messages.c.sent_at <= enters_at + dt.timedelta(seconds=without_these),
        )
        .order_by(messages.c.sent_at)
        .limit(MOST_MESSAGES)
    )
    count = connection.scalar(sa.select(sa.func.count()).select_from(coming.subquery())) or 0
    return windows.seconds_to_next_report(len(found) + count, age, policy)
