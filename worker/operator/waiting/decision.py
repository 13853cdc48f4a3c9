"""Which case a message is in. Pure: facts in, codes and data out."""

import datetime as dt
from collections.abc import Iterator
from typing import Final

from smsclick._values.causes import Cause
from smsclick.contract import State
from worker.alerting import doubt_reasons
from worker.callbacks.replay import CallbackState
from worker.operator import account
from worker.operator.account import HoldCode
from worker.operator.waiting.codes import Code, Waiting
from worker.operator.waiting.facts import MOST_AHEAD, Facts

_HOLDS: Final = {
    HoldCode.OPERATOR: Code.HOLD_OPERATOR,
    HoldCode.RESTORED: Code.HOLD_RESTORED,
    HoldCode.RESTORE_UNFINISHED: Code.HOLD_RESTORE_UNFINISHED,
    HoldCode.NO_BALANCE: Code.HOLD_NO_BALANCE,
    HoldCode.KEY_REFUSED: Code.HOLD_KEY_REFUSED,
    HoldCode.PROVIDER_DOWN: Code.HOLD_PROVIDER_DOWN,
}
_PROBED: Final = frozenset({Code.HOLD_NO_BALANCE, Code.HOLD_KEY_REFUSED, Code.HOLD_PROVIDER_DOWN})
"""Holds that end by themselves: the account is asked again at a known time."""

_FINAL: Final = {
    State.DELIVERED: Code.DELIVERED,
    State.REJECTED: Code.REJECTED,
    State.EXPIRED: Code.EXPIRED,
    State.CANCELLED: Code.CANCELLED,
    State.UNDETERMINED: Code.UNDETERMINED,
}
_CHECKED: Final = {State.SENT: Code.SENT, State.DELIVERED: Code.REPLY}


def decide(facts: Facts) -> list[Waiting]:
    """Return what is true of a message now: first what it waits for, then what else matters.

    Args:
        facts: about the message.
    """
    if facts.odd:
        return [Waiting(Code.ODD, None, {"why": facts.odd})]
    return [*_of_state(facts), *_of_erasure(facts), *_of_callbacks(facts)]


def _of_state(facts: Facts) -> Iterator[Waiting]:
    row = facts.row
    state = State(row["state"])
    if state is State.QUEUED:
        yield from _queued(facts)
    elif state is State.SENDING:
        lease = row["lease_until"]
        over = lease is None or lease <= facts.now
        yield Waiting(Code.LEASE_OVER if over else Code.SENDING, None if over else lease)
    elif state is State.UNKNOWN:
        yield from _unknown(facts)
        yield from _without_sweep(facts)
    elif state is State.FAILED:
        code = "" if row["last_code"] is None else str(row["last_code"])
        data = {"code": code, "why": row["last_error"] or ""}
        failed = Code.FAILED_OPTED_OUT if facts.last_cause is Cause.OPTED_OUT else Code.FAILED
        yield Waiting(failed, row["final_at"], data)
    elif row["due_at"] is None:
        yield Waiting(_FINAL.get(state, Code.UNDETERMINED), row["final_at"])
    else:
        yield Waiting(_CHECKED.get(state, Code.LATE_STATUS), max(row["due_at"], facts.now))
        yield from _without_sweep(facts)


def _queued(facts: Facts) -> Iterator[Waiting]:
    row, now = facts.row, facts.now
    expires = row["expires_at"]
    if expires is not None and expires <= now:
        yield Waiting(Code.VALIDITY_OVER, expires)
        yield from _without_sweep(facts)
        return
    own = _for_its_own(facts)
    held = list(_held(facts))
    # What comes last is said first: a message for tomorrow waits for tomorrow although the account is held today.
    first, rest = (own, held) if own and own[0].code in {Code.SEND_AT, Code.QUIET_HOURS} else (held, own)
    said = [*first, *rest] or [_in_line(facts)]
    yield from said
    if facts.workers == 0 and said[0].code is not Code.NO_WORKER:
        yield Waiting(Code.NO_WORKER)
    if expires is not None:
        yield Waiting(Code.VALIDITY_ENDS, expires)


def _for_its_own(facts: Facts) -> list[Waiting]:
    """What concerns this message and no other; at most one."""
    row, now = facts.row, facts.now
    send_at, due = row["send_at"], row["due_at"]
    if send_at is not None and send_at > now:
        return [Waiting(Code.SEND_AT, send_at)]
    if row["waits_for"] is not None:
        return [Waiting(Code.DUPLICATE, None, {"id": "?" if facts.flying is None else str(facts.flying)})]
    if due is not None and due > now:
        if facts.last_cause is Cause.QUIET_HOURS:
            return [Waiting(Code.QUIET_HOURS, due)]
        data = {"tries": str(row["refusals"]), "code": "" if row["last_code"] is None else str(row["last_code"])}
        return [Waiting(Code.RETRY, due, data)]
    if facts.opted_out:
        return [Waiting(Code.OPTED_OUT)]
    if facts.quiet_until is not None:
        return [Waiting(Code.QUIET_HOURS, facts.quiet_until)]
    return []


def _held(facts: Facts) -> Iterator[Waiting]:
    state = facts.account
    if state.is_open:
        return
    if state.allowed_canary is not None and state.allowed_canary == facts.row["id"] and state.canary_flies:
        yield Waiting(Code.CANARY, state.canary_until)
        return
    for hold in account.in_force(state):
        code = _HOLDS[hold.code]
        yield Waiting(code, max(state.probe_at, facts.now) if code in _PROBED else None, {"by": hold.by or ""})
    if state.allowed_canary is not None and state.canary_flies:
        yield Waiting(Code.CANARY_ELSEWHERE, state.canary_until, {"id": str(state.allowed_canary)})


def _in_line(facts: Facts) -> Waiting:
    """It is due and nothing holds it: only others before it, or too few workers, can be the reason."""
    if facts.workers == 0:
        return Waiting(Code.NO_WORKER)
    data = {"ahead": f"{MOST_AHEAD}+" if facts.ahead >= MOST_AHEAD else str(facts.ahead)}
    if facts.per_second > 0:
        wait = facts.ahead / facts.per_second
        slots = facts.slots_until if facts.slots_until is not None else facts.now
        if wait >= 1 or slots > facts.now:
            until = max(slots, facts.now) + dt.timedelta(seconds=wait)
            return Waiting(Code.RATE_LIMIT, until, data | {"per_second": f"{facts.per_second:g}"})
    return Waiting(Code.IN_LINE if facts.ahead else Code.NEXT, None, data)


def _unknown(facts: Facts) -> Iterator[Waiting]:
    row = facts.row
    known = doubt_reasons.reason(row["unknown_reason"])
    data = {"reason": row["unknown_reason"] if known is not None else ""}
    if row["due_at"] is None:
        yield Waiting(Code.UNKNOWN_PERSON, None, data)
    else:
        yield Waiting(Code.UNKNOWN, max(row["due_at"], facts.now), data)


def _without_sweep(facts: Facts) -> Iterator[Waiting]:
    if not facts.sweeps:
        yield Waiting(Code.NO_SWEEP)


def _of_erasure(facts: Facts) -> Iterator[Waiting]:
    if facts.row["erased_at"] is not None:
        yield Waiting(Code.ERASED, facts.row["erased_at"])


def _of_callbacks(facts: Facts) -> Iterator[Waiting]:
    """The oldest callback that waits, and the latest that was given up."""
    waiting = [each for each in facts.callbacks if each.state is CallbackState.WAITING]
    given_up = [each for each in facts.callbacks if each.state is CallbackState.GIVEN_UP]
    if waiting:
        first = waiting[0]
        data = {"receiver": first.receiver, "type": first.type, "tries": str(first.tries)}
        yield Waiting(Code.CALLBACK_PENDING, max(first.next_at or facts.now, facts.now), data)
    if given_up:
        last = given_up[-1]
        data = {"receiver": last.receiver, "type": last.type, "tries": str(last.tries)}
        yield Waiting(Code.CALLBACK_GIVEN_UP, last.ended_at, data | {"why": last.last_error or ""})
