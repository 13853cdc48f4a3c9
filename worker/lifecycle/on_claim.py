"""What becomes of a queued message that is due. Pure functions; time and randomness are arguments."""

import datetime as dt
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from smsclick._values.causes import Cause
from smsclick.contract import Priority, State
from worker.lifecycle.model import Change, Message, Note, replace
from worker.lifecycle.policy import Policy, seconds, without_claim

_NORMAL_SHARE, _LOW_SHARE = 0.2, 0.1
PARKED = dt.timedelta(hours=1)
"""After this a message that waits for one of equal content is looked at, whether or not it was released."""


def favoured(roll: float) -> Priority | None:
    """The class that is due to come before higher ones in half of a claim; None: strictly by priority.

    Args:
        roll: from 0 to 1, at random for each claim. So while higher ones keep coming, normal messages get about a tenth
            of what is sent and low ones about a twentieth.
    """
    if roll < _LOW_SHARE:
        return Priority.LOW
    return Priority.NORMAL if roll < _LOW_SHARE + _NORMAL_SHARE else None


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
            return Change(message, replace(message, waits_for=None, due_at=quiet_until), Note(Cause.QUIET_HOURS))
    lease_until = now + seconds(policy.lease)
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
    failed = replace(
        without_claim(claimed, spent=True), state=State.FAILED, due_at=None, final_at=now, last_error=reason
    )
    return Change(message, claimed, Note(Cause.CLAIMED)), Change(claimed, failed, Note(Cause.INVALID, None, reason))


def after_expiry(message: Message, now: dt.datetime) -> Change:
    """A queued message whose validity ended before it could be sent."""
    becomes = replace(message, state=State.EXPIRED, waits_for=None, due_at=None, final_at=now)
    return Change(message, becomes, Note(Cause.VALIDITY_ENDED))
