"""What a status makes of a sent message, and when its status is asked for next. Pure functions."""

import dataclasses
import datetime as dt
import random

from smsclick._values.causes import Cause
from smsclick.contract import State
from smsclick.provider.codes import Estatus
from smsclick.provider.results import MessageStatus
from worker.lifecycle.model import Change, Message, Note, replace
from worker.lifecycle.policy import Policy, seconds

_BEYOND = 1.25

_UNDETERMINED_WINDOWS = 4
"""An undetermined message is still asked for, rarely, until this many tracking windows after it was sent."""


@dataclasses.dataclass(frozen=True, slots=True)
class PollFailed:
    """A status check without an answer that can be used: -200, -201, unreadable, unreachable."""

    code: int | None
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class NotShown:
    """A whole report of the final messages of its time does not have it, so it is not final, as far as reports go.

    Attributes:
        wait: seconds until the next such report.
    """

    wait: float


def after_poll(
    message: Message, seen: MessageStatus | PollFailed | NotShown, now: dt.datetime, policy: Policy, rng: random.Random
) -> Change | None:
    """What an answer to a status check makes of a message that was sent. A status never goes backwards.

    Returns:
        None where the message is not followed any more, or where a report's silence about it means nothing.
    """
    if message.state not in {State.SENT, State.UNDETERMINED, State.DELIVERED}:
        return None
    if isinstance(seen, NotShown):
        return _not_shown(message, seen, now, policy, rng)
    becomes, note = replace(message, polls=message.polls + 1), None
    if isinstance(seen, MessageStatus):
        becomes, note = _seen(becomes, seen, now)
    elif message.state is not State.DELIVERED:
        becomes = replace(becomes, last_code=seen.code, last_error=seen.reason)
    if becomes.state is State.SENT and now >= _tracking_end(becomes, policy):
        becomes = replace(becomes, state=State.UNDETERMINED)
        note = Note(Cause.TRACKING_ENDED, becomes.last_code, "no final status within the tracking window")
    return Change(message, replace(becomes, due_at=next_poll(becomes, now, policy, rng)), note)


def horizon(wait: float, age: dt.timedelta) -> float:
    """Seconds within which a message of this age has the next report for sure, where they come every `wait` seconds.

    Its share of the age covers the way into the next bracket, whose reports are rarer.
    """
    seconds = age.total_seconds()
    return max(2 * wait, min(seconds, 120 + seconds / 5))


def _seen(message: Message, seen: MessageStatus, now: dt.datetime) -> tuple[Message, Note | None]:
    note = None
    # A reply that comes after the message was erased would be the one thing that is left of it.
    if message.reply is None and seen.reply is not None and message.erased_at is None:
        message = replace(message, reply=seen.reply, replied_at=seen.replied_at or now)
        note = Note(Cause.REPLIED)
    if message.state is State.DELIVERED:
        return message, note
    estatus = max(Estatus(message.estatus_mensaje or 0), seen.estatus)
    message = replace(message, estatus_mensaje=estatus, last_code=1, last_error=None)
    if not estatus.final:
        return message, note
    state = State.DELIVERED if estatus is Estatus.RECIBIDO else State.REJECTED
    note = Note(Cause.STATUS_CHECKED, 1, estatus.name, message.id_mensaje)
    return replace(message, state=state, final_at=now, polls=0), note


def _not_shown(message: Message, seen: NotShown, now: dt.datetime, policy: Policy, rng: random.Random) -> Change | None:
    """Its own check waits: the next report comes before it. Only `getMsg` itself ends the tracking of a message."""
    if message.state is State.DELIVERED or message.sent_at is None:
        return None
    end = _tracking_end(message, policy)
    if message.state is State.SENT and now >= end:
        return None
    becomes = replace(message, polls=message.polls + 1)
    due = next_poll(becomes, now, policy, rng)
    if due is not None:
        due = max(due, now + seconds(horizon(seen.wait, now - message.sent_at) * _BEYOND))
        if message.state is State.SENT:
            due = min(due, end)
    return Change(message, replace(becomes, due_at=due), None)


def next_poll(message: Message, now: dt.datetime, policy: Policy, rng: random.Random) -> dt.datetime | None:
    """When to ask next, with jitter, so that what was sent together is not asked together; None: never."""
    end = _tracking_end(message, policy)
    wait = policy.poll[min(message.polls, len(policy.poll) - 1)] * rng.uniform(0.9, 1.1)
    match message.state:
        case State.SENT:
            return min(now + seconds(wait), end)
        case State.UNDETERMINED:
            last = end + seconds(policy.tracking * (_UNDETERMINED_WINDOWS - 1))
            return now + seconds(max(policy.poll[-1], policy.tracking / 7)) if now < last else None
        case State.DELIVERED if message.rule_id and message.reply is None and now < end:
            return now + seconds(wait)
        case _:
            return None


def _tracking_end(message: Message, policy: Policy) -> dt.datetime:
    """The end of the tracking window, which begins again at delivery for a reply."""
    begin = message.final_at or message.sent_at
    if begin is None:
        raise ValueError("a message that was never sent is not followed")
    return begin + seconds(policy.tracking)
