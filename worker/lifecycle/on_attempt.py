"""What an attempt's outcome, or the end of its lease, makes of its message. Pure functions."""

import datetime as dt
import random

from smsclick._values.causes import PHRASES, Cause
from smsclick.contract import State
from smsclick.provider.codes import Action, Estatus
from smsclick.provider.results import Accepted, Refused, Unknown
from worker.lifecycle.backoff import backoff
from worker.lifecycle.model import Change, Message, Note, replace
from worker.lifecycle.on_report import FIRST_LOOK_SECONDS
from worker.lifecycle.on_status import next_poll
from worker.lifecycle.policy import UNCLAIMED, Invalid, OptedOut, Outcome, Policy, Released, seconds, without_claim

MAX_REFUSALS = 8
"""How often in a row a code outside the manual counts as "not now" before the message fails: about ten minutes."""

_REFUSED_BACKOFF = (5.0, 900.0)
_UNREACHABLE_BACKOFF = (2.0, 300.0)


def after_attempt(
    message: Message, token: str, outcome: Outcome, now: dt.datetime, policy: Policy, rng: random.Random
) -> Change | None:
    """What an attempt's outcome makes of its message.

    Returns:
        None where the outcome no longer matters: another result was recorded meanwhile.
    """
    if message.token != token:
        return None
    if message.state not in {State.SENDING, State.UNKNOWN}:
        return None
    late = message.state is State.UNKNOWN
    if late and isinstance(outcome, Unknown):
        return None
    match outcome:
        case Accepted():
            return _accepted(message, outcome, now, policy, rng, late=late)
        case Unknown():
            becomes = replace(
                message,
                state=State.UNKNOWN,
                lease_until=None,
                unknown_since=now,
                due_at=now + seconds(FIRST_LOOK_SECONDS),
                polls=0,
                last_code=outcome.code,
                last_error=outcome.reason,
            )
            return Change(message, becomes, Note(Cause.ANSWERED, outcome.code, outcome.reason))
        case Refused():
            return _refused(message, outcome, now, rng, late=late)
        case Invalid():
            return Change(message, _not_called(message, outcome.reason, now), Note(Cause.INVALID, None, outcome.reason))
        case OptedOut():
            # The list's own reason is the operator's; the producer reads the cause.
            becomes = _not_called(message, PHRASES[Cause.OPTED_OUT], now)
            return Change(message, becomes, Note(Cause.OPTED_OUT))
        case Released():
            becomes = replace(without_claim(message, spent=False), state=State.QUEUED, due_at=now)
            return Change(message, becomes, Note(Cause.RELEASED))


def accepted_after_all(message: Message, token: str, outcome: Outcome) -> Change | None:
    """A message that the report lacked and that waits to be sent again, whose answer comes now: it must not be sent.

    The contract leaves `queued` only through `sending`, so this is the first of two changes; `after_attempt` follows.
    """
    if message.state is not State.QUEUED or message.token != token or not isinstance(outcome, Accepted):
        return None
    return Change(message, replace(message, state=State.SENDING, waits_for=None), Note(Cause.LATE_ANSWER))


def after_lease(message: Message, now: dt.datetime) -> Change:
    """A `sending` row whose lease ended: its worker died or lost the database, so nobody knows: `unknown`."""
    reason = "the worker was lost while the request may have been in flight"
    becomes = replace(
        message,
        state=State.UNKNOWN,
        lease_until=None,
        unknown_since=message.lease_until or now,
        due_at=now,
        polls=0,
        last_code=None,
        last_error=reason,
    )
    return Change(message, becomes, Note(Cause.LEASE_ENDED, None, reason))


def _not_called(message: Message, reason: str, now: dt.datetime) -> Message:
    """A message that fails before any call; its attempt does not count."""
    unclaimed = without_claim(message, spent=False)
    return replace(unclaimed, state=State.FAILED, due_at=None, final_at=now, last_error=reason)


def _accepted(
    message: Message,
    outcome: Accepted,
    now: dt.datetime,
    policy: Policy,
    rng: random.Random,
    *,
    late: bool,
) -> Change:
    becomes = replace(
        message,
        **UNCLAIMED,
        state=State.SENT,
        id_mensaje=outcome.id_mensaje,
        estatus_mensaje=Estatus.PENDIENTE,
        credits_used=outcome.credits_used,
        sent_at=(message.attempted_at or now) if late else now,
        polls=0,
        refusals=0,
        last_code=1,
        last_error=None,
    )
    becomes = replace(becomes, due_at=next_poll(becomes, now, policy, rng))
    cause = Cause.LATE_ANSWER if late else Cause.ANSWERED
    return Change(message, becomes, Note(cause, 1, outcome.description, outcome.id_mensaje))


def _refused(
    message: Message,
    outcome: Refused,
    now: dt.datetime,
    rng: random.Random,
    *,
    late: bool,
) -> Change:
    becomes = replace(
        without_claim(message, spent=True),
        last_code=outcome.code,
        last_error=outcome.description or outcome.reason,
    )
    match outcome.action:
        case Action.FAIL:
            becomes = replace(becomes, state=State.FAILED, due_at=None, final_at=now)
        case Action.HOLD_NO_BALANCE | Action.HOLD_KEY:
            # Nothing was wrong with this message: the attempt does not count against it.
            becomes = replace(becomes, state=State.QUEUED, due_at=now, attempts=message.attempts - 1)
        case _ if outcome.code is None:
            wait = backoff(message.attempts, _UNREACHABLE_BACKOFF, rng)
            becomes = replace(becomes, state=State.QUEUED, due_at=now + seconds(wait))
        case _ if message.refusals + 1 >= MAX_REFUSALS:
            becomes = replace(becomes, state=State.FAILED, due_at=None, final_at=now, refusals=message.refusals + 1)
        case _:
            wait = backoff(message.refusals + 1, _REFUSED_BACKOFF, rng)
            becomes = replace(becomes, state=State.QUEUED, due_at=now + seconds(wait), refusals=message.refusals + 1)
    cause = Cause.LATE_ANSWER if late else Cause.ANSWERED
    return Change(message, becomes, Note(cause, outcome.code, becomes.last_error))
