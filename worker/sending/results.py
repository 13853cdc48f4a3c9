"""Record the outcomes of attempts: one short transaction for a group, which changes rows and the account's state."""

import dataclasses
import random
from collections.abc import Sequence

import sqlalchemy as sa

from smsclick._logs.event_log import EventLog
from smsclick._values.causes import Cause
from smsclick._values.texts import predict_credits
from smsclick.contract import State, messages
from smsclick.provider.codes import ACCEPTED
from smsclick.provider.results import Accepted, Refused, Unknown
from smsclick.settings import Settings
from worker.account import balance_history, holds
from worker.alerting import incidents
from worker.alerting.details import made
from worker.alerting.wording import DetailCode
from worker.lifecycle import message_rows, on_attempt, state_machine
from worker.lifecycle.attempt import Ended
from worker.lifecycle.model import Change, Message, Note
from worker.lifecycle.policy import Outcome, Policy
from worker.sql.bulk import among
from worker.sql.now import database_now

log = EventLog(__name__)

_MOST_NAMED = 5
"""So many messages are named in a detail."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """What is left of a group after its record.

    Attributes:
        locked: messages whose rows somebody else has locked. What their attempts mean for the account is recorded; the
            rows themselves wait.
    """

    locked: frozenset[int] = frozenset()


def record_results(
    connection: sa.Connection,
    group: Sequence[Ended],
    settings: Settings,
    rng: random.Random,
    *,
    skip_locked: bool = False,
    lock_timeout: str | None = None,
    new_ids: bool = False,
) -> Recorded:
    """Write the outcomes of a group of attempts. Each changes its row only if the row still waits for it.

    An accepted answer is kept as an event if its row has another outcome meanwhile, so that no `id_mensaje` is lost. If
    the row is gone, an incident names it.

    Args:
        connection: in a transaction.
        group: the attempts that ended.
        settings: for the policy.
        rng: for the jitter of due times.
        skip_locked: skip rows that others have locked, instead of waiting; `Recorded.locked` names them.
        lock_timeout: with `skip_locked`: how long this may wait for any other lock, such as `2s`, on PostgreSQL.
        new_ids: trust that no other message has one of these `id_mensaje`. Where one has it, the unique index refuses
            the whole group, and the caller tries again without this: that look costs a statement for each group.

    Raises:
        sa.exc.IntegrityError: with `new_ids`, another message has one of the ids.
    """
    ids = {ended.claim.id for ended in group}
    if skip_locked:
        rows, now = message_rows.lock_free(connection, ids, lock_timeout=lock_timeout)
    else:
        rows = message_rows.lock(connection, ids)
        now = database_now(connection)  # after the wait for the rows
    locked = message_rows.existing(connection, ids - rows.keys())
    fresh = [ended for ended in group if not ended.counted]
    policy = Policy.of(settings)
    firsts, changes, orphans, changed = [], [], [], set()
    for ended in sorted(group, key=lambda each: each.claim.id):
        row = rows.get(ended.claim.id)
        if row is None:
            continue
        first = on_attempt.accepted_after_all(row, ended.claim.token, ended.outcome)
        if first is not None and row.id not in changed:
            firsts.append(first)
            row = first.becomes
        change = on_attempt.after_attempt(row, ended.claim.token, ended.outcome, now, policy, rng)
        if change is not None and row.id not in changed:
            changes.append(change)
            changed.add(row.id)
        elif isinstance(ended.outcome, Accepted) and ended.outcome.id_mensaje != row.id_mensaje:
            # Not if a report brought the same id before, or if this is the second try of a commit.
            orphans.append(_orphan(row, ended.outcome))
    doubtful = _drop_owned_ids(connection, changes, look=not new_ids)
    state_machine.apply(connection, firsts)
    state_machine.apply(connection, changes)
    state_machine.keep(connection, orphans)
    _raise_incidents(connection, changes, [*orphans, *doubtful])
    _report_gone(connection, [ended for ended in group if ended.claim.id not in rows.keys() | locked])
    if any(isinstance(ended.outcome, Accepted) and ended.outcome.fraction for ended in fresh):
        balance_history.void(connection, now)
    _update_hold(connection, fresh, settings)
    _count_failures(connection, fresh, settings)
    for change in changes:
        _log(change)
    return Recorded(locked)


def _holds(ended: Ended) -> bool:
    return isinstance(ended.outcome, Refused) and ended.outcome.action in holds.REASONS


def _update_hold(connection: sa.Connection, group: Sequence[Ended], settings: Settings) -> None:
    for ended in group:
        if ended.claim.canary:
            holds.judge_canary(connection, ended.claim.id, ended.outcome, settings)
    held = [ended for ended in group if _holds(ended)]
    for action in {ended.outcome.action for ended in held if isinstance(ended.outcome, Refused)}:
        met = [e for e in held if isinstance(e.outcome, Refused) and e.outcome.action is action]
        smallest = min(met, key=lambda each: predict_credits(each.claim.text))
        if isinstance(smallest.outcome, Refused):
            holds.hold_for_refusal(
                connection,
                smallest.outcome,
                epoch=max(each.epoch for each in met),
                needed_credits=predict_credits(smallest.claim.text),
                settings=settings,
            )


def _count_failures(connection: sa.Connection, group: Sequence[Ended], settings: Settings) -> None:
    failed = [ended.epoch for ended in group if _no_answer(ended.outcome)]
    # A request from before the failures may be answered much later: that says nothing about the provider now.
    if any(ended.failures > 0 and _is_answer(ended.outcome) for ended in group):
        holds.forget_failures(connection)
    elif failed:
        holds.count_failures(connection, len(failed), epoch=max(failed), settings=settings)


def _is_answer(outcome: Outcome) -> bool:
    return isinstance(outcome, Accepted) or (isinstance(outcome, Refused) and outcome.code is not None)


def _no_answer(outcome: Outcome) -> bool:
    if isinstance(outcome, Refused):
        return outcome.code is None and not outcome.withheld
    return isinstance(outcome, Unknown)


def _drop_owned_ids(connection: sa.Connection, changes: list[Change], *, look: bool) -> list[Change]:
    """Make changes whose id belongs to another message `unknown`, for an operator; keep the others."""
    wanted: dict[int, int] = {}
    doubtful: list[int] = []
    for index, change in enumerate(changes):
        id_mensaje = change.becomes.id_mensaje
        if id_mensaje is None or change.was.id_mensaje == id_mensaje:
            continue
        if id_mensaje in wanted:
            doubtful.append(index)
        else:
            wanted[id_mensaje] = index
    if wanted and look:
        column = messages.c.id_mensaje
        owned = sa.select(column).where(among(connection, column, wanted))
        doubtful += [wanted[id_mensaje] for id_mensaje in connection.scalars(owned)]
    for index in doubtful:
        changes[index] = _without_id(changes[index])
    return [changes[index] for index in doubtful]


def _without_id(change: Change) -> Change:
    """It was accepted, so it is never sent again. Only the report or an operator can say which id it has."""
    was, id_mensaje = change.was, change.becomes.id_mensaje
    reason = f"accepted with an id_mensaje that another message has ({id_mensaje})"
    becomes = dataclasses.replace(
        was,
        state=State.UNKNOWN,
        lease_until=None,
        unknown_since=was.unknown_since or was.attempted_at,
        due_at=was.attempted_at,
        polls=0,
        last_code=ACCEPTED,
        last_error=reason,
    )
    return Change(was, becomes, Note(Cause.ANSWERED, 1, reason, id_mensaje))


def _orphan(row: Message, outcome: Accepted) -> Change:
    return Change(row, row, Note(Cause.LATE_ANSWER, 1, outcome.description, outcome.id_mensaje))


def _raise_incidents(connection: sa.Connection, changes: Sequence[Change], orphans: Sequence[Change]) -> None:
    for code in {
        change.becomes.last_code
        for change in changes
        if change.becomes.refusals >= on_attempt.MAX_REFUSALS and change.becomes.state is State.FAILED
    }:
        incidents.report(
            connection, "unlisted_code", subject=str(code), detail=made(DetailCode.UNLISTED, code=str(code))
        )
    if orphans:
        ids = ", ".join(str(orphan.was.id) for orphan in orphans[:_MOST_NAMED])
        incidents.report(connection, "lost_id", detail=made(DetailCode.MESSAGES, ids=ids), count=len(orphans))


def _report_gone(connection: sa.Connection, gone: Sequence[Ended]) -> None:
    """Report accepted attempts whose rows were deleted meanwhile: only the log and an incident keep their ids."""
    lost = []
    for ended in gone:
        id_mensaje = ended.outcome.id_mensaje if isinstance(ended.outcome, Accepted) else None
        log.error(
            "result_without_message", message_id=ended.claim.id, attempt=ended.claim.attempt, id_mensaje=id_mensaje
        )
        if id_mensaje is not None:
            lost.append(f"{ended.claim.id}: {id_mensaje}")
    if not lost:
        return
    pairs = ", ".join(lost[:_MOST_NAMED])
    incidents.report(connection, "lost_id", detail=made(DetailCode.DELETED, pairs=pairs), count=len(lost))


def _log(change: Change) -> None:
    note = change.note
    log.info(
        "attempt_ended",
        message_id=change.was.id,
        attempt=change.was.attempts,
        state=change.becomes.state,
        code=note.code if note else None,
        id_mensaje=change.becomes.id_mensaje,
    )
