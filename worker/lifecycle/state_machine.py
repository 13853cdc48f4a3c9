"""The only code that writes a state.

A step locks rows (`worker.lifecycle.message_rows`), decides with pure functions what each becomes, and passes the
changes to `apply`, which checks them against `TRANSITIONS`, writes them set-wise and keeps an event of each.
"""

import operator
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from smsclick._database.engine import note_for_commit
from smsclick.contract import State, events, messages
from worker.lifecycle import callback_outbox, effects, parking, tallied
from worker.lifecycle.effects import Effects
from worker.lifecycle.model import FIELDS, TRANSITIONS, Change, IllegalTransitionError
from worker.metrics import tallies
from worker.sql import bulk
from worker.traces import tracer

_FIXED = {"id", "priority", "rule_id", "if_absent", "send_at", "expires_at", "callback", "erased_at"}
_WRITABLE = tuple(name for name in FIELDS if name not in _FIXED)
_values = operator.attrgetter(*_WRITABLE)


def apply(connection: sa.Connection, changes: Sequence[Change]) -> None:
    """Write changes of rows that the caller has locked, and an event for each that carries a note.

    The callbacks that these changes make due, and the messages of equal content that waited for one of them, are noted
    as effects of the transaction.

    Raises:
        IllegalTransitionError: a change is not in `TRANSITIONS`; nothing is written.
    """
    if not changes:
        return
    for change in changes:
        _check(change)
    names = _changed(changes)
    rows = [
        {"b_id": change.was.id, "b_was": change.was.state, **{name: getattr(change.becomes, name) for name in names}}
        for change in changes
    ]
    match = {"id": "b_id", "state": "b_was"}
    counted = tallies.Counting(connection, tallied.of(changes))
    kept = [(events, _events(changes)), counted.inserts]
    updated, added = bulk.update_and_insert(connection, messages, match, rows, kept, counted.addition)
    counted.finish(added)
    if updated not in {len(changes), -1}:
        raise IllegalTransitionError("a row changed although it was locked")
    effects.note(connection, Effects(callbacks=callback_outbox.store(connection, changes)))
    if tracer.is_on():
        _note_finished(connection, changes)
    landed = {change.was.wire_key for change in changes if change.becomes.wire_key is None}
    parking.release(connection, [key for key in landed if key is not None])


def _note_finished(connection: sa.Connection, changes: Sequence[Change]) -> None:
    """Note which messages have become final, so that their spans end after the commit."""
    for change in changes:
        was, becomes, note = change.was, change.becomes, change.note
        if note is None or becomes.final_at is None or becomes.state is was.state:
            continue
        seconds = 0.0 if becomes.sent_at is None else (becomes.final_at - becomes.sent_at).total_seconds()
        failed = becomes.state in {State.REJECTED, State.FAILED, State.EXPIRED, State.UNDETERMINED}
        note_for_commit(connection, tracer.Finished(was.id, becomes.state, note.cause, max(0.0, seconds), failed))


def keep(connection: sa.Connection, changes: Sequence[Change]) -> None:
    """Keep the events of changes and count them, without writing the changes themselves."""
    bulk.insert(connection, events, _events(changes))
    tallies.add(connection, tallied.of(changes))


def _events(changes: Iterable[Change]) -> list[bulk.Row]:
    noted = [(change, change.note) for change in changes if change.note is not None]
    rows: list[bulk.Row] = [
        {
            "message_id": change.was.id,
            "from_state": change.was.state,
            "to_state": change.becomes.state,
            "cause": note.cause,
            "attempt": change.becomes.attempts or change.was.attempts,
            "code": note.code,
            "description": note.description,
            "id_mensaje": note.id_mensaje,
        }
        for change, note in noted
    ]
    if any(note.actor is not None for _, note in noted):  # other events, nearly all, are spared the column
        for row, (_, note) in zip(rows, noted, strict=True):
            row["actor"] = note.actor
    return rows


def _check(change: Change) -> None:
    was, becomes = change.was, change.becomes
    if was.id != becomes.id or (was.state is not becomes.state and becomes.state not in TRANSITIONS[was.state]):
        raise IllegalTransitionError(f"message {was.id}: {was.state} cannot become {becomes.state}")


def _changed(changes: Iterable[Change]) -> list[str]:
    """The columns that any of the changes writes; the others keep what they have, because the rows are locked."""
    changed = {"state"}
    for change in changes:
        was, becomes = _values(change.was), _values(change.becomes)
        if was != becomes:
            changed.update(name for name, old, new in zip(_WRITABLE, was, becomes, strict=True) if old != new)
    return sorted(changed)
