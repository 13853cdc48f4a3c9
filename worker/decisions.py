"""What becomes of a message: pure functions from what it was and what happened to a `Change`.

Time and randomness come in as arguments. Nothing here reads or writes anything.
"""

import dataclasses
import datetime as dt
import random
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from smsclick.codes import ACCEPTED, Action, Estatus
from smsclick.contract import IfAbsent, Priority, State
from smsclick.quiet import QuietHours
from smsclick.replies import Accepted, MessageStatus, Refused, Unknown
from smsclick.settings import Settings
from worker.lifecycle import Cause, Change, Message, Note, replace

MAX_REFUSALS = 8
"""How often in a row a code outside the manual is taken as "not now" before the message fails: about ten minutes."""

_REFUSED_BACKOFF = (5.0, 900.0)
_UNREACHABLE_BACKOFF = (2.0, 300.0)
_NORMAL_TURNS, _LOW_TURNS = 0.2, 0.1
_FIRST_LOOK_SECONDS = 2.0
_LAST_LOOK_SECONDS = 60.0
_RARE_LOOK_SECONDS = 1800.0
_LOOK_SHARE = 1 / 8
"""Of its age: how long an attempt that a report could not tell of waits for the next look."""
_ABSENT = "surely not accepted: the provider's report does not have it"
ACCEPTED_WITHOUT_ID, ABSENT_TWICE = "accepted_without_id", "absent_twice"
"""Why a report's silence about one message proves nothing, whatever it is worth for others: `worker.trust.Doubt`s."""

MOST_ABSENCES = 2
"""How often a report's silence may send the same message again; after that a person decides."""

FROM_REPORT, FROM_PERSON = "report", "person"
"""Who said a message's `id_mensaje` where that was not the answer of `sendMsg`."""
_BEYOND = 1.25
PARKED = dt.timedelta(hours=1)
"""After this a message that waits for one of equal content is looked at, whether or not it was released."""

_UNDETERMINED_WINDOWS = 4
"""An undetermined message is still asked for, rarely, until this many tracking windows after it was sent."""


@dataclasses.dataclass(frozen=True, slots=True)
class Released:
    """A claimed message whose request never left: the gate closed, the worker stops, the lease runs out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Invalid:
    """A row that a plain INSERT made and that cannot be sent; the reason is one line without phone or text."""

    reason: str


Outcome = Accepted | Refused | Unknown | Released | Invalid
"""How an attempt ended."""


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


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What decisions need of the settings: durations in seconds, and the quiet hours if there are any.

    Attributes:
        account: the fingerprint of the key that calls are made with (`worker.account`); None where none are made.
    """

    lease: float
    settle: float
    tracking: float
    poll: tuple[float, ...]
    quiet: QuietHours | None = None
    account: str | None = None

    @classmethod
    def of(cls, settings: Settings, account: str | None = None) -> "Policy":
        """The policy that the settings ask for."""
        return cls(
            account=account,
            lease=settings.lease_seconds,
            settle=settings.settle_seconds,
            tracking=settings.tracking_seconds,
            poll=settings.poll_seconds,
            quiet=settings.quiet_hours,
        )


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
        doubt: why its silence proves nothing (a `worker.trust.Doubt`); None where it has proven that it would have
            spoken.
    """

    read_at: dt.datetime
    doubt: str | None = None


def favoured(roll: float) -> Priority | None:
    """The class whose turn it is to come before higher ones in half of a claim; None: strictly by priority.

    Args:
        roll: from 0 to 1, at random for each claim. So while higher ones keep coming, normal messages get about a tenth
            of what is sent and low ones about a twentieth.
    """
    if roll < _LOW_TURNS:
        return Priority.LOW
    return Priority.NORMAL if roll < _LOW_TURNS + _NORMAL_TURNS else None


def after_claim(
    message: Message,
    token: str,
    wire_key: str,
    now: dt.datetime,
    policy: Policy,
    zones: Iterable[ZoneInfo] = (),
) -> Change:
    """A queued message that a worker takes: `sending`, with its attempt on record; or `expired`, or later.

    Args:
        message: as it waits.
        token: of the new attempt.
        wire_key: of its phone and text.
        now: by the database's clock.
        policy: for the lease and the quiet hours.
        zones: where its recipient may be at home; only asked for messages of low priority.
    """
    if message.expires_at is not None and message.expires_at <= now:
        return after_expiry(message, now)
    if message.send_at is not None and message.send_at > now:
        # Only a plain INSERT leaves it due before its time.
        return Change(message, replace(message, waits_for=None, due_at=message.send_at), None)
    if policy.quiet is not None and message.priority is Priority.LOW:
        quiet_until = policy.quiet.ends(now, zones)
        if quiet_until is not None:
            return Change(message, replace(message, waits_for=None, due_at=quiet_until), Note(Cause.QUIET))
    lease_until = now + _seconds(policy.lease)
    becomes = replace(
        message,
        state=State.SENDING,
        token=token,
        wire_key=wire_key,
        waits_for=None,
        lease_until=lease_until,
        due_at=lease_until,
        attempts=message.attempts + 1,
        attempted_at=now,
        account_fingerprint=policy.account,
    )
    return Change(message, becomes, Note(Cause.CLAIMED))


def after_duplicate(message: Message, fingerprint: str, now: dt.datetime) -> Change:
    """A queued message while one of equal content is in flight: it waits, or the report could not tell them apart.

    Args:
        message: as it waits.
        fingerprint: `wire_key` of both.
        now: by the database's clock.
    """
    return Change(message, replace(message, waits_for=fingerprint, due_at=now + PARKED), None)


def after_odd_content(message: Message, token: str, reason: str, now: dt.datetime) -> tuple[Change, Change]:
    """A queued message whose row cannot be read, or holds what none may: it fails, through `sending`, without a call.

    Args:
        message: what can be read of it.
        token: of the attempt that is not made.
        reason: which columns, without their content.
        now: by the database's clock.
    """
    claimed = replace(message, state=State.SENDING, token=token, waits_for=None, lease_until=now, due_at=now)
    failed = replace(_without_claim(claimed, spent=True), state=State.FAILED, due_at=None, final_at=now, last_error=reason)
    return Change(message, claimed, Note(Cause.CLAIMED)), Change(claimed, failed, Note(Cause.INVALID, None, reason))


def after_expiry(message: Message, now: dt.datetime) -> Change:
    """A queued message whose validity ended before it could be sent."""
    becomes = replace(message, state=State.EXPIRED, waits_for=None, due_at=None, final_at=now)
    return Change(message, becomes, Note(Cause.TOO_LATE))


def after_attempt(
    message: Message, token: str, outcome: Outcome, now: dt.datetime, policy: Policy, rng: random.Random
) -> Change | None:
    """What an attempt's outcome makes of its message.

    Returns:
        None where the outcome no longer matters: the row was settled by someone else meanwhile.
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
                due_at=now + _seconds(_FIRST_LOOK_SECONDS),
                polls=0,
                last_code=outcome.code,
                last_error=outcome.reason,
            )
            return Change(message, becomes, Note(Cause.ANSWERED, outcome.code, outcome.reason))
        case Refused():
            return _refused(message, outcome, now, rng, late=late)
        case Invalid():
            becomes = replace(
                _without_claim(message, spent=False),
                state=State.FAILED,
                due_at=None,
                final_at=now,
                last_error=outcome.reason,
            )
            return Change(message, becomes, Note(Cause.INVALID, None, outcome.reason))
        case Released():
            becomes = replace(_without_claim(message, spent=False), state=State.QUEUED, due_at=now)
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
    reason = "the worker was lost while the request may have been on the wire"
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


def after_report(
    message: Message, token: str, seen: Found | NotFound, now: dt.datetime, policy: Policy, rng: random.Random
) -> Change | None:
    """What the provider's report says of an attempt of unknown outcome.

    Only this, a late answer or a person (`settled_by_hand`, `retried`) settles it.

    Absence counts once the report was asked for `policy.settle` seconds after the request can have left at the latest,
    only if nothing puts that report's silence in doubt, and at most `MOST_ABSENCES` times for a message.

    Returns:
        None where the attempt was settled meanwhile.
    """
    if message.state is not State.UNKNOWN or message.token != token or message.unknown_since is None:
        return None
    if isinstance(seen, Found):
        becomes = _sent(message, seen.id_mensaje, FROM_REPORT, seen.accepted_at or message.attempted_at or now, now)
        return Change(message, becomes, Note(Cause.REPORTED, 1, seen.how, seen.id_mensaje))
    doubt = _doubt(message, seen)
    settled_at = message.unknown_since + _seconds(policy.settle)
    if doubt is not None or seen.read_at < settled_at:
        due = now + _seconds(_next_look(message, now, policy) * rng.uniform(0.9, 1.1))
        if now < settled_at < due:
            due = settled_at
        return Change(message, replace(message, due_at=due, polls=message.polls + 1, unknown_reason=doubt), None)
    becomes = _not_accepted(message, now)
    becomes = replace(becomes, absences=message.absences + 1, absent_since=message.absent_since or message.attempted_at)
    return Change(message, becomes, Note(Cause.ABSENT, None, _ABSENT))


def _doubt(message: Message, seen: NotFound) -> str | None:
    """Why silence about this message proves nothing, whatever the report is worth for others."""
    if message.last_code == ACCEPTED:
        return ACCEPTED_WITHOUT_ID  # the provider's own word was `codigo` 1: no silence overrules it
    if seen.doubt is None and message.absences >= MOST_ABSENCES:
        return ABSENT_TWICE
    return seen.doubt


def _next_look(message: Message, now: dt.datetime, policy: Policy) -> float:
    """Seconds until the report is read again: soon for a young attempt, a share of its age for one that stays open."""
    longest = min(_LAST_LOOK_SECONDS, max(_FIRST_LOOK_SECONDS, policy.settle / 10))
    wait = min(_FIRST_LOOK_SECONDS * 2.0 ** min(message.polls, 10), longest)
    age = (now - (message.unknown_since or now)).total_seconds() - 2 * policy.settle
    return max(wait, min(age * _LOOK_SHARE, _RARE_LOOK_SECONDS))


def settled_by_hand(message: Message, id_mensaje: int | None, who: str, now: dt.datetime) -> Change:
    """A person's word on an attempt of unknown outcome.

    Args:
        message: whose state is `unknown`.
        id_mensaje: under which the provider accepted it; None where it did not.
        who: says so.
        now: by the database's clock.
    """
    if id_mensaje is not None:
        becomes = _sent(message, id_mensaje, FROM_PERSON, message.attempted_at or now, now)
        return Change(message, becomes, Note(Cause.OPERATOR, 1, f"{who}: accepted", id_mensaje))
    return Change(message, _not_accepted(message, now), Note(Cause.OPERATOR, None, f"{who}: not accepted"))


def _sent(message: Message, id_mensaje: int, source: str, sent_at: dt.datetime, now: dt.datetime) -> Message:
    """A message whose attempt was accepted under this id, as `source` says."""
    return replace(
        _without_claim(message, spent=True),
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


def _not_accepted(message: Message, now: dt.datetime) -> Message:
    """A message whose attempt was not accepted: it waits again or fails, as its producer asked."""
    # The token stays: should the answer come after all, it is known whose it is.
    becomes = replace(_without_claim(message, spent=True), token=message.token, polls=0)
    if message.if_absent is IfAbsent.FAIL:
        return replace(becomes, state=State.FAILED, due_at=None, final_at=now, last_error=_ABSENT)
    return replace(becomes, state=State.QUEUED, due_at=now)


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
    return Change(message, replace(becomes, due_at=_next_poll(becomes, now, policy, rng)), note)


def horizon(wait: float, age: dt.timedelta) -> float:
    """Seconds within which a message of this age has the next report for sure, where they come every `wait` seconds.

    Its share of the age covers the way into the next bracket, whose reports are rarer.
    """
    seconds = age.total_seconds()
    return max(2 * wait, min(seconds, 120 + seconds / 5))


RESTORED = "it could have been sent between the backup that was restored and the restore"


def after_restore(
    message: Message, token: str, since: dt.datetime, wire_key: str | None, account: str | None, now: dt.datetime
) -> list[Change]:
    """A message of a restored backup that could have been sent after the backup was made: `unknown`, since then.

    Args:
        message: queued, sending or unknown.
        token: of the attempt that may have been made, where none is on record.
        since: when the backup was made, or earlier.
        wire_key: of its phone and text; None where another message of equal content has it.
        account: the fingerprint of the key with which it would have been sent.
        now: by the database's clock.

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
    return [*changes, Change(message, becomes, Note(Cause.RESTORED, None, RESTORED))]


def cancelled(message: Message, now: dt.datetime) -> Change:
    """A queued message that is withdrawn."""
    becomes = replace(message, state=State.CANCELLED, waits_for=None, due_at=None, final_at=now)
    return Change(message, becomes, Note(Cause.OPERATOR))


def retried(message: Message, now: dt.datetime, said: str | None = None) -> Change:
    """A failed message that an operator sends once more, with a fresh count of refusals; or one of unknown outcome.

    The token stays: should an answer to the attempt come after all, it is known whose it is. `said` is kept with the
    event.
    """
    becomes = replace(_without_claim(message, spent=True), token=message.token)
    becomes = replace(becomes, state=State.QUEUED, due_at=now, final_at=None, refusals=0, polls=0)
    return Change(message, becomes, Note(Cause.OPERATOR, None, said))


def backoff(tries: int, bounds: tuple[float, float], rng: random.Random) -> float:
    """Seconds to wait after the n-th try: doubling from the first bound to the second, jittered down to half."""
    first, longest = bounds
    return min(longest, first * 2.0 ** min(tries - 1, 30)) * rng.uniform(0.5, 1)


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
        **_UNCLAIMED,
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
    becomes = replace(becomes, due_at=_next_poll(becomes, now, policy, rng))
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
        _without_claim(message, spent=True),
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
            becomes = replace(becomes, state=State.QUEUED, due_at=now + _seconds(wait))
        case _ if message.refusals + 1 >= MAX_REFUSALS:
            becomes = replace(becomes, state=State.FAILED, due_at=None, final_at=now, refusals=message.refusals + 1)
        case _:
            wait = backoff(message.refusals + 1, _REFUSED_BACKOFF, rng)
            becomes = replace(becomes, state=State.QUEUED, due_at=now + _seconds(wait), refusals=message.refusals + 1)
    cause = Cause.LATE_ANSWER if late else Cause.ANSWERED
    return Change(message, becomes, Note(cause, outcome.code, becomes.last_error))


def _without_claim(message: Message, *, spent: bool) -> Message:
    """Without its claim; `spent` tells whether the attempt counts."""
    attempts = message.attempts if spent else message.attempts - 1
    return replace(message, **_UNCLAIMED, attempts=attempts)


_UNCLAIMED: dict[str, Any] = dict.fromkeys(("token", "lease_until", "wire_key", "unknown_since", "unknown_reason"))


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
    note = Note(Cause.POLLED, 1, estatus.name, message.id_mensaje)
    return replace(message, state=state, final_at=now, polls=0), note


def _not_shown(message: Message, seen: NotShown, now: dt.datetime, policy: Policy, rng: random.Random) -> Change | None:
    """Its own check waits: the next report comes before it. Only `getMsg` itself ends the tracking of a message."""
    if message.state is State.DELIVERED or message.sent_at is None:
        return None
    end = _tracking_end(message, policy)
    if message.state is State.SENT and now >= end:
        return None
    becomes = replace(message, polls=message.polls + 1)
    due = _next_poll(becomes, now, policy, rng)
    if due is not None:
        due = max(due, now + _seconds(horizon(seen.wait, now - message.sent_at) * _BEYOND))
        if message.state is State.SENT:
            due = min(due, end)
    return Change(message, replace(becomes, due_at=due), None)


def _next_poll(message: Message, now: dt.datetime, policy: Policy, rng: random.Random) -> dt.datetime | None:
    """When to ask next, with jitter, so that what was sent together is not asked together; None: never."""
    end = _tracking_end(message, policy)
    wait = policy.poll[min(message.polls, len(policy.poll) - 1)] * rng.uniform(0.9, 1.1)
    match message.state:
        case State.SENT:
            return min(now + _seconds(wait), end)
        case State.UNDETERMINED:
            last = end + _seconds(policy.tracking * (_UNDETERMINED_WINDOWS - 1))
            return now + _seconds(max(policy.poll[-1], policy.tracking / 7)) if now < last else None
        case State.DELIVERED if message.rule_id and message.reply is None and now < end:
            return now + _seconds(wait)
        case _:
            return None


def _tracking_end(message: Message, policy: Policy) -> dt.datetime:
    """The end of the tracking window, which begins anew at delivery for a reply."""
    begin = message.final_at or message.sent_at
    if begin is None:
        raise ValueError("a message that was never sent is not followed")
    return begin + _seconds(policy.tracking)


def _seconds(value: float) -> dt.timedelta:
    """A span of so many seconds."""
    return dt.timedelta(seconds=value)
