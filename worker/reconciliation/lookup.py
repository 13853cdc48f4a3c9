"""Look for claimed attempts in the report: which report is read for which of them.

- Attempts that ended at least SETTLE ago are looked for in one pass up to now, which can prove absence.
- Younger ones, and ones too old for one pass, are looked for in short reports around them, which can prove presence.
- Attempts of another APIKEY are looked for in one pass for each key. The report of another account proves nothing, so
  the pass must show messages of the attempts' own key.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import watermarks
from worker.context import Context
from worker.lifecycle.doubt import Doubt
from worker.reconciliation import claims, reading
from worker.reconciliation.absence_proof import Reading
from worker.reconciliation.unknown_attempt import UnknownAttempt, group_by_time
from worker.reconciliation.verdict import Lookup
from worker.reports import watermark
from worker.reports.matching import Attempt
from worker.sql.now import database_now

WATERMARK = "absence"
"""The name of the watermark that says when the next pass up to now may begin."""

ROWS_WITHOUT_PAUSE = 20_000
_ROWS_PER_SECOND = 5000.0
"""Rows that longer passes may read on average, because reading them takes time from sending."""
_MOST_SHORT_REPORTS = 20
"""Short reports of one call. The attempts of further ones are due again when their lease has ended."""


def look(context: Context, claimed: Sequence[UnknownAttempt]) -> Iterator[Lookup]:
    """Read reports for claimed attempts, one lookup after the other, so that each can be recorded at once."""
    now = context.clock.read(context.database)
    settle_window = dt.timedelta(seconds=context.settings.settle_seconds)
    with context.database.read() as connection:
        earliest = now - reading.longest_pass(connection)
    other_key: list[UnknownAttempt] = []
    after_window: list[UnknownAttempt] = []
    too_old: list[UnknownAttempt] = []
    young: list[UnknownAttempt] = []
    for each in claimed:
        if each.account not in {None, context.account}:
            other_key.append(each)
        elif each.attempt.until + settle_window > now:
            young.append(each)
        else:
            (after_window if each.attempt.since >= earliest else too_old).append(each)
    yield from _look_with_other_keys(context, other_key, earliest, now - settle_window)
    if after_window and not _postponed(context, after_window):
        seen = reading.read_to_now(context, _attempts(after_window))
        _pause_after(context, seen)
        yield Lookup(after_window, seen, None)
    groups = [(group, Doubt.TOO_YOUNG) for group in group_by_time(young)]
    groups += [(group, Doubt.TOO_LONG) for group in group_by_time(too_old)]
    for group, doubt in groups[:_MOST_SHORT_REPORTS]:
        if context.stopping.is_set():
            break
        yield Lookup(group, reading.read_around(context, _attempts(group)), doubt)


def _look_with_other_keys(
    context: Context, attempts: Sequence[UnknownAttempt], earliest: dt.datetime, ended_by: dt.datetime
) -> Iterator[Lookup]:
    readable: dict[str, list[UnknownAttempt]] = {}
    unreadable: list[UnknownAttempt] = []
    for each in attempts:
        if each.account is not None and each.attempt.until <= ended_by and each.attempt.since >= earliest:
            readable.setdefault(each.account, []).append(each)
        else:
            unreadable.append(each)
    for account, group in readable.items():
        if not _postponed(context, group):
            seen = reading.read_to_now(context, _attempts(group), account)
            _pause_after(context, seen)
            yield Lookup(group, seen, None, other_key=True)
    if unreadable:
        yield Lookup(unreadable, None, Doubt.ACCOUNT)


def _pause_after(context: Context, seen: Reading) -> None:
    if seen.row_count > ROWS_WITHOUT_PAUSE:
        context.database.transact(lambda connection: pause(connection, seen.row_count))


def pause(connection: sa.Connection, rows: int) -> None:
    """Let the next pass wait as long as a pass of so many rows requires."""
    now = database_now(connection)
    watermark.upsert(connection, WATERMARK, due_at=now + dt.timedelta(seconds=rows / _ROWS_PER_SECOND))


def _postponed(context: Context, attempts: Sequence[UnknownAttempt]) -> bool:
    """Whether a pass must wait because the last one was long; these attempts are then due when it may begin."""

    def work(connection: sa.Connection) -> bool:
        until = connection.scalar(
            sa.select(watermarks.c.due_at).where(watermarks.c.name == WATERMARK, watermarks.c.due_at > db_now())
        )
        if until is None:
            return False
        claims.postpone(connection, [each.attempt.message_id for each in attempts], until)
        return True

    return context.database.transact(work)


def _attempts(group: Iterable[UnknownAttempt]) -> list[Attempt]:
    return [each.attempt for each in group]
