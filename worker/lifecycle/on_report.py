"""What the provider's report says of an attempt of unknown outcome. Pure functions."""

import dataclasses
import datetime as dt
import random

from smsclick._values.causes import Cause
from smsclick.contract import IfAbsent, State
from smsclick.provider.codes import ACCEPTED, Estatus
from worker.lifecycle.model import Change, Message, Note, replace
from worker.lifecycle.policy import Policy, seconds, without_claim

FIRST_LOOK_SECONDS = 2.0
_LAST_LOOK_SECONDS = 60.0
_RARE_LOOK_SECONDS = 1800.0
_LOOK_SHARE = 1 / 8
"""Of its age: how long an attempt that a report says nothing of waits for the next look."""
_ABSENT = "surely not accepted: the provider's report does not have it"
ACCEPTED_WITHOUT_ID, ABSENT_TWICE = "accepted_without_id", "absent_twice"
"""Why a report's silence about one message proves nothing: values of `worker.lifecycle.doubt.Doubt`."""

MOST_ABSENCES = 2
"""How often a report's silence may send the same message again; after that a person decides."""

FROM_REPORT, FROM_PERSON = "report", "person"
"""Who said a message's `id_mensaje` where that was not the answer of `sendMsg`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """The report has the attempt, as this id; `how` says in a few words by what it was recognised."""

    id_mensaje: int
    accepted_at: dt.datetime | None
    how: str


@dataclasses.dataclass(frozen=True, slots=True)
class NotFound:
    """A report lacks the attempt.

    Attributes:
        read_at: when the report was asked for, by the database's clock.
        doubt: why its silence proves nothing (a `worker.lifecycle.doubt.Doubt`); None where it has proven that
            it would have spoken.
    """

    read_at: dt.datetime
    doubt: str | None = None


def after_report(
    message: Message, token: str, seen: Found | NotFound, now: dt.datetime, policy: Policy, rng: random.Random
) -> Change | None:
    """What the provider's report says of an attempt of unknown outcome.

    Only this, a late answer or a person (`reconciled_by_hand`, `retried`) reconciles it.

    Absence counts once the report was asked for `policy.settle_seconds` after the latest time at which the request can
    have left, only if nothing puts that report's silence in doubt, and at most `MOST_ABSENCES` times for a message.

    Returns:
        None where the attempt was reconciled meanwhile.
    """
    if message.state is not State.UNKNOWN or message.token != token or message.unknown_since is None:
        return None
    if isinstance(seen, Found):
        becomes = sent(message, seen.id_mensaje, FROM_REPORT, seen.accepted_at or message.attempted_at or now, now)
        return Change(message, becomes, Note(Cause.FOUND_IN_REPORT, 1, seen.how, seen.id_mensaje))
    doubt = _doubt(message, seen)
    absent_from = message.unknown_since + seconds(policy.settle_seconds)
    if doubt is not None or seen.read_at < absent_from:
        due = now + seconds(_next_look(message, now, policy) * rng.uniform(0.9, 1.1))
        if now < absent_from < due:
            due = absent_from
        return Change(message, replace(message, due_at=due, polls=message.polls + 1, unknown_reason=doubt), None)
    becomes = not_accepted(message, now)
    becomes = replace(becomes, absences=message.absences + 1, absent_since=message.absent_since or message.attempted_at)
    return Change(message, becomes, Note(Cause.ABSENT_FROM_REPORT, None, _ABSENT))


def _doubt(message: Message, seen: NotFound) -> str | None:
    """Why silence about this message proves nothing, whatever the report is worth for others."""
    if message.last_code == ACCEPTED:
        return ACCEPTED_WITHOUT_ID  # the provider's own word was `codigo` 1: no silence overrules it
    if seen.doubt is None and message.absences >= MOST_ABSENCES:
        return ABSENT_TWICE
    return seen.doubt


def _next_look(message: Message, now: dt.datetime, policy: Policy) -> float:
    """Seconds until the report is read again: soon for a young attempt, a share of its age for one that stays open."""
    longest = min(_LAST_LOOK_SECONDS, max(FIRST_LOOK_SECONDS, policy.settle_seconds / 10))
    wait = min(FIRST_LOOK_SECONDS * 2.0 ** min(message.polls, 10), longest)
    age = (now - (message.unknown_since or now)).total_seconds() - 2 * policy.settle_seconds
    return max(wait, min(age * _LOOK_SHARE, _RARE_LOOK_SECONDS))


def sent(message: Message, id_mensaje: int, source: str, sent_at: dt.datetime, now: dt.datetime) -> Message:
    """A message whose attempt was accepted under this id, as `source` says."""
    return replace(
        without_claim(message, spent=True),
        state=State.SENT,
        id_mensaje=id_mensaje,
        id_source=source,
        estatus_mensaje=Estatus.PENDIENTE,
        sent_at=sent_at,
        due_at=now,
        polls=0,
        refusals=0,
        last_code=1,
        last_error=None,
    )


def not_accepted(message: Message, now: dt.datetime) -> Message:
    """A message whose attempt was not accepted: it waits again or fails, as its producer asked."""
    # The token stays: should the answer come after all, it is known whose it is.
    becomes = replace(without_claim(message, spent=True), token=message.token, polls=0)
    if message.if_absent is IfAbsent.FAIL:
        return replace(becomes, state=State.FAILED, due_at=None, final_at=now, last_error=_ABSENT)
    return replace(becomes, state=State.QUEUED, due_at=now)
