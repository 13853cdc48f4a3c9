"""Forget a person: erase the phone and what was written to it from every table, and say what was done.

Messages that wait are cancelled first. Those in flight or of unknown outcome keep their phone and text, because only
these can prove whether the provider accepted them: they are named in the receipt, and `forget` is run again when they
are final. Counts stay right, because no message is deleted.
Why: docs/decisions/0062-forgotten-people.md.
"""

import collections
import dataclasses
import datetime as dt
import enum
import functools
from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.phones import normalize_phone
from smsclick.contract import State
from worker.intake import dead_letters
from worker.lifecycle import erasure, message_rows, on_operator, state_machine
from worker.operator import person_rows
from worker.queue import odd_rows, optouts
from worker.sql import audit
from worker.sql.audit import Act
from worker.sql.now import database_now

MESSAGES_PER_TRANSACTION: Final = 200
_MOST_NAMED: Final = 20
_IN_FLIGHT: Final = frozenset({State.SENDING, State.UNKNOWN})


class OptOut(enum.StrEnum):
    """What became of the phone's opt-out."""

    NONE = "none"
    HASHED = "hashed"
    REMOVED = "removed"


@dataclasses.dataclass(frozen=True, slots=True)
class Receipt:
    """What was done; it holds no phone, no text and no key.

    Attributes:
        at: when it began, by the database's clock.
        erased: messages whose phone, text and reply were erased; those of earlier runs are not counted again.
        cancelled: those of them that waited to be sent.
        deferred: ids of messages in flight or of unknown outcome, which keep their phone and text for now.
        keys: keys that held the phone and were replaced; the same key would now be a new message.
        references: references that held the phone and were removed.
        callbacks: stored callbacks from which words of the provider, or an address with the phone, were removed.
        dead_letters: dead letters that were deleted.
        optout: what became of the opt-out.
        mentions: messages to other phones that hold this one in a text, key or reference; they were left alone.
        mention_ids: the first ids of these.
    """

    at: dt.datetime
    erased: int
    cancelled: int
    deferred: tuple[int, ...]
    keys: int
    references: int
    callbacks: int
    dead_letters: int
    optout: OptOut
    mentions: int
    mention_ids: tuple[int, ...]


def forget(
    database: Database,
    phone: str,
    *,
    actor: str,
    optout_too: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Receipt:
    """Erase a person's data from every table of smsclick.

    Args:
        database: where it is.
        phone: in any usual form.
        actor: who does it, for the audit record, which holds no phone.
        optout_too: remove the phone's opt-out as well; otherwise it is kept as a hash, so that nothing is sent to it.
        progress: is called with the highest id looked at.

    Raises:
        InvalidPhone: it is not a Mexican number; nothing was changed.
    """
    digits = normalize_phone(phone)
    at = database.clock()
    record = audit.begin(database, Act.FORGET, actor, "opt-out too" if optout_too else "")
    total: collections.Counter[str] = collections.Counter()
    deferred: list[int] = []
    mentions: list[int] = []
    _keep_no_copies(database)
    for look in person_rows.messages_of(database, digits):
        mentions += look.mentions
        for start in range(0, len(look.theirs), MESSAGES_PER_TRANSACTION):
            chunk = look.theirs[start : start + MESSAGES_PER_TRANSACTION]
            work = functools.partial(_forget_chunk, ids=chunk, digits=digits, actor=actor, record=record)
            counts, left = odd_rows.run(database, work, lambda _, chunk=chunk: chunk)  # type: ignore[misc]
            total.update(counts)
            deferred += left
        progress(look.last)
    letters = [letter for letter, _ in person_rows.dead_letters_of(database, digits)]
    if letters:
        total["dead_letters"] = dead_letters.drop(database, letters, actor=actor)
    optout = OptOut(optouts.forget(database, digits, remove=optout_too))
    _keep_no_copies(database)
    return Receipt(
        at=at,
        erased=total["erased"],
        cancelled=total["cancelled"],
        deferred=tuple(deferred),
        keys=total["keys"],
        references=total["references"],
        callbacks=total["callbacks"],
        dead_letters=total["dead_letters"],
        optout=optout,
        mentions=len(mentions),
        mention_ids=tuple(mentions[:_MOST_NAMED]),
    )


def _forget_chunk(
    connection: sa.Connection, *, ids: Sequence[int], digits: str, actor: str, record: int
) -> tuple[dict[str, int], list[int]]:
    """Forget one chunk; return what was done, and the ids that must wait."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # zeros in place of what is erased
    now = database_now(connection)
    rows = message_rows.lock(connection, ids)
    waiting = [each for each in rows.values() if each.state is State.QUEUED]
    state_machine.apply(connection, [on_operator.cancelled(each, now, actor) for each in waiting])
    left = [each.id for each in rows.values() if each.state in _IN_FLIGHT]
    known = [each for each in rows.values() if each.state not in _IN_FLIGHT]
    fresh = [each.id for each in known if each.erased_at is None]
    if not known:
        return {}, left
    if fresh:
        erasure.erase(connection, fresh, now)
    counts = erasure.erase_traces(connection, [each.id for each in known], digits)
    audit.add(connection, record, len(fresh))
    return counts | {"erased": len(fresh), "cancelled": len(waiting)}, left


def _keep_no_copies(database: Database) -> None:
    """On SQLite empty the write-ahead log, which holds pages as they were, as far as other readers allow."""
    if database.engine.dialect.name == "sqlite":
        raw = database.engine.raw_connection()  # outside of a transaction, which our connections always begin
        try:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            raw.close()
