"""Settle attempts of unknown outcome by the provider's own report: the one thing that knows.

A timeout, a reset, a killed worker: nobody can tell from here whether the provider has the message. The report is read
(`worker.reconciliation.reading`) and matched (`worker.reports.matching`). Found: `sent`. Absent, where the report has
proven that it would have spoken (`worker.reconciliation.trust`) and was asked for `SMSCLICK_SETTLE_SECONDS` after the
request can have left at the latest: surely not accepted, and the producer's `if_absent` decides. Whatever else it is
stays `unknown`, with its reason.
"""

import collections
import dataclasses
import datetime as dt
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from smsclick._database.columns import db_now
from smsclick.contract import State, messages, watermarks
from worker.account import balance_history, holds
from worker.account.books import Books
from worker.alerting import incidents
from worker.context import Context
from worker.database_clock import clock
from worker.lifecycle import machine, message_rows, on_report
from worker.lifecycle.doubt import Doubt
from worker.lifecycle.model import Change
from worker.lifecycle.on_report import Found, NotFound
from worker.lifecycle.policy import Policy
from worker.queue import odd_rows
from worker.reconciliation import reading, reasons
from worker.reconciliation.trust import Reading
from worker.reports import matching, watermark
from worker.reports.matching import Attempt, Match
from worker.sql.bulk import among
from worker.sql.now import database_now

log = logging.getLogger(__name__)

_UNKNOWNS = 500
_NEAR_REPORTS = 20
"""Reports of one call around young attempts; what is left over comes with the next, when its lease is over."""
_NEAR_SPAN = dt.timedelta(minutes=10)

TO_NOW = "absence"
"""The watermark that says when the next pass up to now may begin."""
FREE_ROWS = 20_000
_ROWS_PER_SECOND = 5000.0
"""Rows that passes may read on average where they have more than `FREE_ROWS`: they must not hold up sending."""

_OLD = 2.0
"""An unknown older than this many settle times opens an incident: something keeps it from being settled."""
_OLD_COUNTED = 500
_NAMED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Unsettled:
    """An attempt of unknown outcome, as it was claimed to be looked for."""

    attempt: Attempt
    token: str
    account: str | None


def reconcile(context: Context) -> int:
    """Look into the report for every unknown attempt whose turn it is; returns how many were settled.

    Running it twice at once does no harm: rows are locked and judged again before they change.
    """
    lease = context.settings.lease_seconds
    claimed = odd_rows.run(
        context.database,
        lambda connection: claim(connection, lease),
        lambda connection: message_rows.due_ids(connection, State.UNKNOWN, _UNKNOWNS),
    )
    settled = sum(record(context, looked) for looked in look(context, claimed)) if claimed else 0
    _watch_age(context)
    if settled:
        context.wakeups.sweep()
    return settled


def due(connection: sa.Connection) -> bool:
    """Whether an unknown attempt's turn has come, or an incident about old ones is open."""
    query = sa.select(messages.c.id).where(message_rows.in_state(State.UNKNOWN), messages.c.due_at <= db_now())
    first = connection.execute(query.order_by(messages.c.due_at).limit(1)).first()
    return first is not None or incidents.is_open(connection, "old_unknown")


def claim(connection: sa.Connection, lease_seconds: float) -> list[Unsettled]:
    """Those whose turn it is; it is moved ahead by a lease, so that others do not read the same report meanwhile."""
    if not holds.read(connection).key_works:
        return []
    rows = connection.execute(
        sa.select(
            messages.c.id,
            messages.c.phone,
            messages.c.text,
            messages.c.token,
            messages.c.attempted_at,
            messages.c.absent_since,
            messages.c.unknown_since,
            messages.c.account_fingerprint,
            db_now().label("now"),
        )
        .where(message_rows.in_state(State.UNKNOWN), messages.c.due_at <= db_now())
        .order_by(messages.c.due_at)
        .limit(_UNKNOWNS)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        later = rows[0].now + dt.timedelta(seconds=lease_seconds)
        ids = [row.id for row in rows]
        connection.execute(sa.update(messages).where(messages.c.id.in_(ids)).values(due_at=later))
    return [
        Unsettled(
            # What an earlier attempt of the message brought after all would be this message too.
            Attempt(row.id, row.phone, row.text, row.absent_since or row.attempted_at, row.unknown_since),
            row.token,
            row.account_fingerprint,
        )
        for row in rows
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Looked:
    """Attempts and what was read for them, not yet judged.

    Attributes:
        seen: the reading; None where none would say anything of them.
        doubt: why silence proves nothing here, whatever was read; None after a reading up to now.
        other_key: whether they were sent under another key than the report was read with.
    """

    group: Sequence[Unsettled]
    seen: Reading | None
    doubt: Doubt | None
    other_key: bool = False


def look(context: Context, claimed: Sequence[Unsettled]) -> Iterator[Looked]:
    """Read the report for claimed attempts: up to now where absence may count, else around them."""
    now = context.clock.read(context.database)
    settle = dt.timedelta(seconds=context.settings.settle_seconds)
    with context.database.read() as connection:
        earliest = now - reading.reach(connection)
    others: list[Unsettled] = []
    ripe: list[Unsettled] = []
    long: list[Unsettled] = []
    young: list[Unsettled] = []
    for each in claimed:
        if each.account not in {None, context.account}:
            others.append(each)
        elif each.attempt.until + settle > now:
            young.append(each)
        else:
            (ripe if each.attempt.since >= earliest else long).append(each)
    yield from _look_for_others(context, others, earliest, now - settle)
    if ripe and not _postponed(context, ripe):
        seen = reading.to_now(context, _attempts(ripe))
        _rest(context, seen)
        yield Looked(ripe, seen, None)
    groups = [(group, Doubt.SETTLING) for group in nearby(young)] + [(group, Doubt.TOO_LONG) for group in nearby(long)]
    for group, doubt in groups[:_NEAR_REPORTS]:
        if context.stopping.is_set():
            break
        yield Looked(group, reading.near(context, _attempts(group)), doubt)


def _look_for_others(
    context: Context, others: Sequence[Unsettled], earliest: dt.datetime, ended_by: dt.datetime
) -> Iterator[Looked]:
    """Attempts of other keys: of this account too, if its report has the control rows of their key on both sides."""
    readable: dict[str, list[Unsettled]] = {}
    unreadable: list[Unsettled] = []
    for each in others:
        if each.account is not None and each.attempt.until <= ended_by and each.attempt.since >= earliest:
            readable.setdefault(each.account, []).append(each)
        else:
            unreadable.append(each)
    for account, group in readable.items():
        if not _postponed(context, group):
            seen = reading.to_now(context, _attempts(group), account)
            _rest(context, seen)
            yield Looked(group, seen, None, other_key=True)
    if unreadable:
        yield Looked(unreadable, None, Doubt.ACCOUNT)


def _rest(context: Context, seen: Reading) -> None:
    if seen.row_count > FREE_ROWS:
        context.database.transact(lambda connection: _pause(connection, seen.row_count))


def _pause(connection: sa.Connection, rows: int) -> None:
    now = database_now(connection)
    until = now + dt.timedelta(seconds=rows / _ROWS_PER_SECOND)
    if not watermark.update(connection, TO_NOW, due_at=until):
        watermark.create(connection, TO_NOW)
        watermark.update(connection, TO_NOW, due_at=until)


def _postponed(context: Context, ripe: Sequence[Unsettled]) -> bool:
    """Whether the last pass was so large and so young that these wait for the next one; then they are due with it."""

    def work(connection: sa.Connection) -> bool:
        until = connection.scalar(
            sa.select(watermarks.c.due_at).where(watermarks.c.name == TO_NOW, watermarks.c.due_at > db_now())
        )
        if until is None:
            return False
        ids = [each.attempt.message_id for each in ripe]
        waits = message_rows.in_state(State.UNKNOWN)
        connection.execute(sa.update(messages).where(messages.c.id.in_(ids), waits).values(due_at=until))
        return True

    return context.database.transact(work)


def _attempts(group: Iterable[Unsettled]) -> list[Attempt]:
    return [each.attempt for each in group]


def nearby(unknowns: Sequence[Unsettled]) -> list[list[Unsettled]]:
    """Group attempts that lie close together, so that one report of bounded length looks for all of them."""
    groups: list[list[Unsettled]] = []
    for each in sorted(unknowns, key=lambda each: each.attempt.since):
        if groups and each.attempt.until - groups[-1][0].attempt.since <= _NEAR_SPAN:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def record(context: Context, looked: Looked) -> int:
    """Judge what was read and write it down; returns how many attempts were settled."""
    try:
        changes = odd_rows.run(
            context.database,
            lambda connection: _record(connection, context, looked),
            lambda _: [each.attempt.message_id for each in looked.group],
        )
    except IntegrityError:
        log.warning("An id was given to another message meanwhile; they are looked for again.")
        return 0
    for change in changes:
        if change.note is not None:
            log.info(
                "An unknown attempt is settled. message=%s state=%s cause=%s id_mensaje=%s",
                change.was.id,
                change.becomes.state,
                change.note.cause,
                change.becomes.id_mensaje,
            )
        elif change.becomes.unknown_reason != change.was.unknown_reason:
            log.info("An attempt stays unknown. message=%s reason=%s", change.was.id, change.becomes.unknown_reason)
    return sum(change.becomes.state is not State.UNKNOWN for change in changes)


def _record(connection: sa.Connection, context: Context, looked: Looked) -> list[Change]:
    """Write what was seen of attempts, each only while its row still waits for it."""
    policy = Policy.of(context.settings)
    locked = message_rows.lock(connection, [each.attempt.message_id for each in looked.group])
    now = database_now(connection)
    said = _judged(connection, context, looked, now)
    decided = (
        on_report.after_report(locked[message_id], each.token, said[message_id], now, policy, context.rng)
        for each in looked.group
        if (message_id := each.attempt.message_id) in locked
    )
    changes = [change for change in decided if change is not None]
    machine.apply(connection, changes)
    return changes


def _judged(
    connection: sa.Connection, context: Context, looked: Looked, now: dt.datetime
) -> dict[int, Found | NotFound]:
    """What was seen of each attempt, asked in the transaction that writes it: others may have taken ids meanwhile."""
    seen, settle = looked.seen, dt.timedelta(seconds=context.settings.settle_seconds)
    if seen is None or seen.failed is not None:
        doubt = looked.doubt if seen is None else seen.failed
        return {each.attempt.message_id: NotFound(now, doubt or Doubt.NO_REPORT) for each in looked.group}
    if looked.other_key and not seen.proves_account(settle):
        return {each.attempt.message_id: NotFound(now, Doubt.ACCOUNT) for each in looked.group}
    attempts = _attempts(looked.group)
    owned = _owned(connection, [*(row.id_mensaje for row in seen.rows), *seen.unreadable.ids])
    found: dict[int, Match] = {}
    if not seen.controls.dates_are_shifted:
        found = matching.match_rows(attempts, seen.rows, owned, form=seen.form, read_at=seen.read_at)
    owned |= {hit.row.id_mensaje for hit in found.values()}
    missed = [attempt for attempt in attempts if attempt.message_id not in found]
    like = matching.possibly_present(missed, seen.rows, owned, form=seen.form, read_at=seen.read_at)
    lagging = incidents.is_open(connection, "report_lag")
    # Set back since, the database's clock says that it was read later than it was.
    read_at = min(seen.read_at, now)
    trusted = clock.trusted_since(connection)
    account_books = functools.cache(lambda: balance_history.books(connection, context.account))
    said: dict[int, Found | NotFound] = {}
    for each in looked.group:
        attempt = each.attempt
        hit = found.get(attempt.message_id)
        if hit is not None:
            said[attempt.message_id] = Found(hit.row.id_mensaje, hit.accepted_at(attempt), hit.how)
            continue
        doubts = (
            looked.doubt,
            _doubt_of_report(looked, attempt, owned, settle, account_books),
            Doubt.SIMILAR if attempt.message_id in like else None,
            Doubt.ACCOUNT if each.account is None else None,
            Doubt.LAG if lagging else None,
            Doubt.CLOCK if trusted is not None and attempt.until < trusted and read_at < trusted + settle else None,
        )
        said[attempt.message_id] = NotFound(read_at, next((doubt for doubt in doubts if doubt is not None), None))
    return said


def _doubt_of_report(
    looked: Looked, attempt: Attempt, owned: set[int], settle: dt.timedelta, account_books: Callable[[], Books]
) -> Doubt | None:
    if looked.seen is None:
        return looked.doubt
    doubt = looked.seen.doubt(attempt, owned, settle)
    if doubt is not Doubt.NO_CONTROLS or looked.doubt is not None:
        return doubt
    if looked.other_key:
        # The report of another account may look perfect; only control rows of the attempt's own key say that it is not.
        return Doubt.ACCOUNT
    if account_books().flaws(attempt, settle):
        return doubt
    return looked.seen.doubt(attempt, owned, settle, balanced=True)


def _owned(connection: sa.Connection, ids: Sequence[int]) -> set[int]:
    """Which of these ids are a message's already."""
    owned: set[int] = set()
    for start in range(0, len(ids), _UNKNOWNS):
        part = ids[start : start + _UNKNOWNS]
        owned |= set(
            connection.scalars(sa.select(messages.c.id_mensaje).where(among(connection, messages.c.id_mensaje, part)))
        )
    return owned


def _watch_age(context: Context) -> None:
    def work(connection: sa.Connection) -> None:
        now = database_now(connection)
        limit = now - dt.timedelta(seconds=context.settings.settle_seconds * _OLD)
        old = connection.execute(
            sa.select(messages.c.id, messages.c.unknown_reason)
            .where(message_rows.in_state(State.UNKNOWN), messages.c.unknown_since < limit)
            .order_by(messages.c.unknown_since)
            .limit(_OLD_COUNTED)
        ).all()
        if not old:
            incidents.close(connection, "old_unknown")
            return
        detail = why_open([(row.id, row.unknown_reason) for row in old])
        if not incidents.report(connection, "old_unknown", detail=detail, count=0):
            incidents.describe(connection, "old_unknown", detail=detail)

    context.database.transact(work)


def why_open(old: Sequence[tuple[int, str | None]]) -> str:
    """One line that says why attempts stay unknown and what to do, the most frequent reason first.

    Args:
        old: ids with the codes of their reasons, oldest first.
    """
    by_reason = collections.Counter(code for _, code in old)
    [(code, count), *others] = by_reason.most_common()
    ids = [str(each) for each, why in old if why == code]
    named = ", ".join(ids[:_NAMED]) + (" …" if len(ids) > _NAMED else "")
    known = reasons.reason(code) or reasons.REASONS[Doubt.NO_REPORT]
    more = f"; {sum(number for _, number in others)} for other reasons" if others else ""
    many = "attempt" if count == 1 else "attempts"
    return f"{count} {many} (message {named}): {known.why}; {known.todo}{more}"
