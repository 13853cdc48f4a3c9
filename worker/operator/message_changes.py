"""Cancel or retry messages that an operator names by id or key."""

import contextlib
import dataclasses
import datetime as dt
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._wakeups import publisher
from smsclick.contract import State
from smsclick.errors import MessageNotFound, NotAllowed, SmsclickError
from worker.lifecycle import message_rows, on_operator, state_machine
from worker.lifecycle.model import Change, Message
from worker.operator import message_names
from worker.queue import odd_rows
from worker.sql import audit
from worker.sql.audit import Act
from worker.sql.now import database_now

_NAMES_PER_TRANSACTION = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What became of one message that an operator named.

    Attributes:
        name: the id or key, as it was given.
        id: of the message; None if no message has this name.
        problem: why the message was not changed: `MessageNotFound` or `NotAllowed`; None if it was changed.
    """

    name: str
    id: int | None = None
    problem: SmsclickError | None = None


Decide = Callable[[Message, dt.datetime], Change | NotAllowed]
"""Takes a message and the database's time; returns what the message becomes, or why it cannot be changed."""


def cancel(database: Database, names: Sequence[str], *, actor: str, attempt: int | None = None) -> Iterator[Result]:
    """Cancel messages that are still queued.

    Args:
        database: where the messages are.
        names: their ids or keys.
        actor: who does it, for the events and the audit record.
        attempt: how many attempts the message had when the person decided; with another number it is not changed.

    Yields:
        One result for each name, in the order of the names.
    """
    return change(database, names, as_seen(functools.partial(cancelled, actor=actor), attempt), Act.CANCEL, actor)


def retry(
    database: Database,
    names: Sequence[str],
    *,
    actor: str,
    even_if_unknown: bool = False,
    attempt: int | None = None,
) -> Iterator[Result]:
    """Queue failed messages again.

    Args:
        database: where the messages are.
        names: their ids or keys.
        actor: who does it, for the events and the audit record.
        even_if_unknown: also queue messages in `unknown`. The provider may have accepted them already, so their
            recipients may get a second SMS.
        attempt: how many attempts the message had when the person decided; with another number it is not changed.

    Yields:
        One result for each name, in the order of the names.
    """

    def decide(message: Message, now: dt.datetime) -> Change | NotAllowed:
        if even_if_unknown and message.state is State.UNKNOWN and message.erased_at is None:
            return on_operator.retried(message, now, actor, "sent again although unknown")
        return retried(message, now, actor)

    detail = "even if unknown" if even_if_unknown else ""
    return change(database, names, as_seen(decide, attempt), Act.RETRY, actor, detail)


def change(
    database: Database, names: Sequence[str], decide: Decide, act: Act, actor: str, detail: str = ""
) -> Iterator[Result]:
    """Change each message as `decide` says, and wake the workers for those that become queued.

    Each chunk of names has one short transaction. A name that fails does not keep the others from being changed.

    Args:
        database: where the messages are.
        names: their ids or keys.
        decide: called once for each message that was found.
        act: what is recorded.
        actor: who is recorded.
        detail: is recorded, beside how many names there were; without a name of them.

    Yields:
        One result for each name, in the order of the names.
    """
    rest = iter(names)
    record = audit.begin(database, act, actor, f"{len(names)} named; {detail}".removesuffix("; "))
    while chunk := list(itertools.islice(rest, _NAMES_PER_TRANSACTION)):
        results, queued = odd_rows.run(
            database,
            functools.partial(_change_chunk, names=chunk, decide=decide, record=record),
            functools.partial(_existing_ids, names=chunk),
        )
        if queued and publisher.configured():
            publisher.wake(queued)
        yield from results


def as_seen(decide: Decide, attempt: int | None) -> Decide:
    """Return a decision that refuses a message which made another attempt after the person looked at it.

    Args:
        decide: what is decided otherwise.
        attempt: how many attempts the person saw; None does not compare.
    """

    def decided(message: Message, now: dt.datetime) -> Change | NotAllowed:
        if attempt is not None and message.attempts != attempt:
            return NotAllowed(f"message {message.id} has made another attempt meanwhile: look at it again")
        return decide(message, now)

    return decided


def refusal(message: Message, what: str, rule: str) -> NotAllowed:
    """Return the error for a message that cannot be changed.

    Args:
        message: the message.
        what: what was asked for, as a participle: `cancelled`.
        rule: which messages it is possible for.
    """
    why = _REASONS_BY_STATE.get(message.state, f"it is {message.state}")
    return NotAllowed(f"message {message.id} cannot be {what}: {why}; {rule}")


_REASONS_BY_STATE = {
    State.SENDING: "it is being sent right now",
    State.UNKNOWN: "the provider may have accepted it, and only its report or your word decides (smsclick settle; "
    "--even-if-unknown overrules it)",
    State.SENT: "the provider has accepted it",
    State.UNDETERMINED: "the provider has accepted it",
}


def cancelled(message: Message, now: dt.datetime, actor: str) -> Change | NotAllowed:
    """Return the change of a message that is cancelled, or why it cannot be."""
    if message.state is State.QUEUED:
        return on_operator.cancelled(message, now, actor)
    return refusal(message, "cancelled", "only queued messages can be cancelled")


def retried(message: Message, now: dt.datetime, actor: str) -> Change | NotAllowed:
    """Return the change of a message that is queued again, or why it cannot be."""
    if message.state is not State.FAILED:
        return refusal(message, "retried", "only failed messages can be retried")
    if message.erased_at is not None:
        return NotAllowed(
            f"message {message.id} cannot be retried: its phone and text were erased (SMSCLICK_RETENTION_DAYS)"
        )
    if message.expires_at is not None and message.expires_at <= now:
        return NotAllowed(
            f"message {message.id} cannot be retried: its validity ended at {message.expires_at.isoformat()}"
        )
    return on_operator.retried(message, now, actor)


def _change_chunk(
    connection: sa.Connection, names: Sequence[str], decide: Decide, record: int
) -> tuple[list[Result], list[int]]:
    """Change one chunk; return the results and the ids of the messages that are queued now."""
    found: dict[str, int | SmsclickError] = {}
    for name in names:
        try:
            found[name] = message_names.id_of(connection, name)
        except SmsclickError as error:
            found[name] = error
    rows = message_rows.lock(connection, {each for each in found.values() if isinstance(each, int)})
    now = database_now(connection)
    decided = {message_id: decide(message, now) for message_id, message in rows.items()}
    changes = [each for each in decided.values() if isinstance(each, Change)]
    state_machine.apply(connection, changes)
    audit.add(connection, record, len(changes))
    results = [_result(name, each, decided) for name, each in found.items()]
    return results, [each.was.id for each in changes if each.becomes.state is State.QUEUED]


def _result(name: str, found: int | SmsclickError, decided: dict[int, Change | NotAllowed]) -> Result:
    if isinstance(found, SmsclickError):
        return Result(name, problem=found)
    # A row can be deleted between the look-up and the lock.
    decision = decided.get(found, MessageNotFound(f"message {found} does not exist any more"))
    return Result(name, found, None if isinstance(decision, Change) else decision)


def _existing_ids(connection: sa.Connection, names: Sequence[str]) -> list[int]:
    ids = []
    for name in names:
        with contextlib.suppress(SmsclickError):
            ids.append(message_names.id_of(connection, name))
    return ids
