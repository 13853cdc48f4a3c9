"""Record how attempts ended: one short transaction for a group of them, whoever they belong to now."""

import dataclasses
import datetime as dt
import logging
import random
from collections.abc import Sequence

import sqlalchemy as sa

from smsclick.columns import db_now
from smsclick.contract import State, messages
from smsclick.replies import Accepted, Refused
from smsclick.settings import Settings
from smsclick.texts import predict_credits
from worker import decisions, gate, incidents, lifecycle
from worker.claims import Claim
from worker.decisions import Outcome, Policy
from worker.lifecycle import Cause, Change, Message, Note

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """One attempt and how it ended; `epoch` is the gate's when its request left."""

    claim: Claim
    outcome: Outcome
    epoch: int


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """What a group's record brought besides the rows: whether the gate opened, and whether alerts wait."""

    opened: bool
    alerts: bool


def settle(connection: sa.Connection, group: Sequence[Ended], settings: Settings, rng: random.Random) -> Settled:
    """Write the outcomes of a group of attempts; each changes its row only while the row still waits for it.

    An accepted answer whose row was settled otherwise meanwhile is kept as an event, so that no `id_mensaje` is lost.
    """
    rows = lifecycle.lock(connection, {ended.claim.id for ended in group})
    now = connection.execute(sa.select(db_now())).scalar_one()
    policy = Policy.of(settings)
    changes, orphans, taken = [], [], set()
    for ended in sorted(group, key=lambda each: each.claim.id):
        row = rows[ended.claim.id]
        change = decisions.after_attempt(row, ended.claim.token, ended.outcome, now, policy, rng)
        if change is not None and row.id not in taken:
            changes.append(change)
            taken.add(row.id)
        elif isinstance(ended.outcome, Accepted):
            orphans.append(_orphan(row, ended.outcome))
    _drop_taken_ids(connection, changes, now)
    lifecycle.apply(connection, changes)
    lifecycle.keep(connection, orphans)
    told = _raise_incidents(connection, changes, orphans)
    opened = _settle_gate(connection, group, settings)
    for change in changes:
        _log(change)
    return Settled(opened=opened, alerts=told or opened or any(_holds(ended) for ended in group))


def _holds(ended: Ended) -> bool:
    return isinstance(ended.outcome, Refused) and ended.outcome.action in gate.REASONS


def _settle_gate(connection: sa.Connection, group: Sequence[Ended], settings: Settings) -> bool:
    opened = False
    for ended in group:
        if ended.claim.canary:
            opened |= gate.settle_canary(connection, ended.claim.id, ended.outcome, settings)
    held = [ended for ended in group if _holds(ended)]
    for action in {ended.outcome.action for ended in held if isinstance(ended.outcome, Refused)}:
        met = [e for e in held if isinstance(e.outcome, Refused) and e.outcome.action is action]
        smallest = min(met, key=lambda each: predict_credits(each.claim.text))
        if isinstance(smallest.outcome, Refused):
            gate.close(
                connection,
                smallest.outcome,
                epoch=max(each.epoch for each in met),
                needed_credits=predict_credits(smallest.claim.text),
                settings=settings,
            )
    return opened


def _drop_taken_ids(connection: sa.Connection, changes: list[Change], now: dt.datetime) -> None:
    """An `id_mensaje` that another row has proves nothing about this one: it becomes `unknown`; the others go on."""
    wanted: dict[int, int] = {}
    for index, change in enumerate(changes):
        id_mensaje = change.becomes.id_mensaje
        if id_mensaje is None or change.was.id_mensaje == id_mensaje:
            continue
        if id_mensaje in wanted:
            changes[index] = _without_id(change, now)
        else:
            wanted[id_mensaje] = index
    if not wanted:
        return
    column = messages.c.id_mensaje
    for taken in connection.scalars(sa.select(column).where(column.in_(wanted))).all():
        changes[wanted[taken]] = _without_id(changes[wanted[taken]], now)


def _without_id(change: Change, now: dt.datetime) -> Change:
    reason = f"accepted with an id_mensaje that another message has ({change.becomes.id_mensaje})"
    was = change.was
    becomes = dataclasses.replace(
        was,
        state=State.UNKNOWN,
        lease_until=None,
        due_at=now,
        last_code=1,
        last_error=reason,
    )
    return Change(was, becomes, Note(Cause.ANSWERED, 1, reason, change.becomes.id_mensaje))


def _orphan(row: Message, outcome: Accepted) -> Change:
    return Change(row, row, Note(Cause.LATE_ANSWER, 1, outcome.description, outcome.id_mensaje))


def _raise_incidents(connection: sa.Connection, changes: Sequence[Change], orphans: Sequence[Change]) -> bool:
    told = False
    for code in {
        change.becomes.last_code
        for change in changes
        if change.becomes.refusals >= decisions.MAX_REFUSALS and change.becomes.state is State.FAILED
    }:
        told |= incidents.report(connection, "unlisted_code", subject=str(code), detail=f"codigo {code}")
    if orphans:
        told |= incidents.report(
            connection,
            "lost_id",
            detail=", ".join(f"message {orphan.was.id}" for orphan in orphans[:10]),
            count=len(orphans),
        )
    return told


def _log(change: Change) -> None:
    note = change.note
    log.info(
        "Attempt ended. message=%s attempt=%s state=%s code=%s id_mensaje=%s",
        change.was.id,
        change.was.attempts,
        change.becomes.state,
        note.code if note else None,
        change.becomes.id_mensaje,
    )
