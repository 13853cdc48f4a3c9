"""What an operator's word makes of a message, a restored backup included. Pure functions."""

import datetime as dt

from smsclick._values.causes import Cause
from smsclick.contract import State
from worker.lifecycle.model import Change, Message, Note, replace
from worker.lifecycle.on_report import FROM_PERSON, not_accepted, sent
from worker.lifecycle.policy import without_claim


def reconciled_by_hand(message: Message, id_mensaje: int | None, actor: str, now: dt.datetime) -> Change:
    """A person's word on an attempt of unknown outcome.

    Args:
        message: whose state is `unknown`.
        id_mensaje: under which the provider accepted it; None where it did not.
        actor: who says so.
        now: by the database's clock.
    """
    if id_mensaje is not None:
        becomes = sent(message, id_mensaje, FROM_PERSON, message.attempted_at or now, now)
        return Change(message, becomes, Note(Cause.OPERATOR, 1, "accepted", id_mensaje, actor))
    return Change(message, not_accepted(message, now), Note(Cause.OPERATOR, None, "not accepted", actor=actor))


RESTORED = "it could have been sent between the backup that was restored and the restore"


def after_restore(
    message: Message,
    token: str,
    since: dt.datetime,
    wire_key: str | None,
    account: str | None,
    now: dt.datetime,
    actor: str | None = None,
) -> list[Change]:
    """A message of a restored backup that could have been sent after the backup was made: `unknown`, since then.

    Args:
        message: queued, sending or unknown.
        token: of the attempt that may have been made, where none is on record.
        since: when the backup was made, or earlier.
        wire_key: of its phone and text; None where another message of equal content has it.
        account: the fingerprint of the key with which it would have been sent.
        now: by the database's clock.
        actor: who restored it.

    Returns:
        The changes, each to be applied before the next: the contract leaves `queued` only through `sending`. None for
        a message whose time had not come, or of any other state.
    """
    changes: list[Change] = []
    if message.state is State.QUEUED:
        if message.send_at is not None and message.send_at > now:
            return []
        claimed = replace(
            message,
            state=State.SENDING,
            token=message.token or token,
            wire_key=wire_key,
            waits_for=None,
            lease_until=now,
            due_at=now,
            attempts=message.attempts + 1,
            attempted_at=since,
            account_fingerprint=account,
        )
        changes.append(Change(message, claimed, None))
        message = claimed
    if message.state not in {State.SENDING, State.UNKNOWN}:
        return []
    # A request that was in hand when the backup was made may leave until its lease ends.
    until = max(now, message.lease_until or now)
    becomes = replace(
        message,
        state=State.UNKNOWN,
        token=message.token or token,
        lease_until=None,
        attempted_at=min(since, message.attempted_at or since),
        account_fingerprint=message.account_fingerprint or account,
        unknown_since=until,
        unknown_reason=None,
        due_at=now,
        polls=0,
        last_error=RESTORED,
    )
    return [*changes, Change(message, becomes, Note(Cause.RESTORED, None, RESTORED, actor=actor))]


def cancelled(message: Message, now: dt.datetime, actor: str) -> Change:
    """A queued message that `actor` withdraws."""
    becomes = replace(message, state=State.CANCELLED, waits_for=None, due_at=None, final_at=now)
    return Change(message, becomes, Note(Cause.OPERATOR, actor=actor))


def retried(message: Message, now: dt.datetime, actor: str, said: str | None = None) -> Change:
    """A failed message that an operator sends once more, with a fresh count of refusals; or one of unknown outcome.

    The token stays: should an answer to the attempt come after all, it is known whose it is. The event keeps
    `actor` and `said`.
    """
    becomes = replace(without_claim(message, spent=True), token=message.token)
    becomes = replace(becomes, state=State.QUEUED, due_at=now, final_at=None, refusals=0, polls=0)
    return Change(message, becomes, Note(Cause.OPERATOR, None, said, actor=actor))
