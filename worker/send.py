"""Send: claim a few messages, commit, call the provider for each with no transaction open, record each answer.

One call of `send` works on one thread. It begins with the ids that a doorbell named and then takes whatever is next, by
priority and age, until nothing is due or its time slice is over: the database is the queue, the broker only wakes.
"""

import dataclasses
import logging
import math
import time
from collections.abc import Collection
from typing import Protocol

import sqlalchemy as sa

from smsclick.client import clock
from smsclick.errors import DatabaseUnavailable, InvalidMessage
from smsclick.phones import normalize_phone
from smsclick.replies import SendResult, Unknown
from smsclick.texts import clean_text
from worker import claims, gate
from worker.claims import Claim
from worker.decisions import Invalid, Outcome, Policy, Released
from worker.runtime import Runtime
from worker.settle import Ended

log = logging.getLogger(__name__)

BATCH = 10
"""Messages of one claim: few enough to be sent well within the lease, and that little waits behind a slow call."""

BATCH_SECONDS = 5.0
"""When the calls of a batch have taken this long, what is left of it is released for others to take."""

SLICE_SECONDS = 2.0
"""After this a task claims no more, so that ticks and status checks get a thread; its own doorbell goes on."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Batch:
    claimed_at: float
    claims: list[Claim]


class Sender(Protocol):
    """What `send` needs of the provider's client."""

    def send(self, phone: str, text: str, rule_id: str | None = None, *, not_after: float | None = None) -> SendResult:
        """One `sendMsg` call, no byte of which leaves after `not_after`."""


def send(runtime: Runtime, ids: Collection[int]) -> int:
    """Send the messages of `ids` that are due, then whatever else is; returns how many attempts ended.

    Ids that do not exist, are not due, or were claimed by others are passed over, so doubled and late doorbells do no
    harm.

    Raises:
        DatabaseUnavailable: nothing could be claimed.
    """
    end = time.monotonic() + SLICE_SECONDS
    ended = _work(runtime, _claim(runtime, sorted(ids)[:BATCH]))
    while not runtime.stopping.is_set():
        if time.monotonic() >= end:
            ring_for_waiting(runtime, BATCH)
            return ended
        batch = _claim(runtime, None)
        if not batch.claims:
            return ended
        ended += _work(runtime, batch)
    return ended


def ring_for_waiting(runtime: Runtime, limit: int) -> int:
    """Ring for up to `limit` messages whose turn it is, in lists of `BATCH` ids; returns how many.

    While the gate is held that is the canary alone, whose own doorbell may have been lost.
    """
    with runtime.database.read() as connection:
        now = gate.read(connection)
        if now.is_open:
            ids = [message.id for message in claims.waiting(connection, limit)]
        else:
            ids = [] if now.allowed_canary is None else [now.allowed_canary]
    for start in range(0, len(ids), BATCH):
        runtime.bell.send(ids[start : start + BATCH])
    return len(ids)


def _claim(runtime: Runtime, ids: Collection[int] | None) -> _Batch:
    def work(connection: sa.Connection) -> list[Claim]:
        now = gate.read(connection)
        policy = Policy.of(runtime.settings)
        if now.is_open:
            # Under a limit each thread would only sit on the rest of its batch.
            return claims.claim(connection, ids, BATCH if runtime.limiter.claim_limit is None else 1, policy)
        canary = now.allowed_canary
        if canary is None or ids is None or canary not in ids:
            return []
        return claims.claim(connection, [canary], 1, policy, canary=canary)

    began = clock()  # before the claim, so that our lease can only be shorter than the row's
    return _Batch(began, runtime.database.transact(work))


def _work(runtime: Runtime, batch: _Batch) -> int:
    """Call for each claim and record how it ended; those that would begin too late are released instead."""
    # A request that leaves after this could outlive the lease, however long the process was paused before.
    not_after = batch.claimed_at + runtime.settings.lease_seconds - runtime.settings.read_timeout
    for index, claim in enumerate(batch.claims):
        if claim.refusal is not None:
            runtime.recorder.record(Ended(claim, Invalid(claim.refusal), epoch=0))
            continue
        # One whose validity ended meanwhile is released too: the next claim finds that it expired.
        valid = math.inf if claim.valid_seconds is None else batch.claimed_at + claim.valid_seconds
        latest = min(not_after, valid, math.inf if index == 0 else batch.claimed_at + BATCH_SECONDS)
        late = clock() >= latest or not runtime.limiter.acquire(runtime.stopping, latest) or clock() >= latest
        allowed = None if late else _gate_if_allowed(runtime, claim)
        if allowed is None:
            runtime.recorder.record(Ended(claim, Released(), epoch=0))
        else:
            outcome = _call(runtime.client, claim, not_after)
            runtime.recorder.record(Ended(claim, outcome, allowed.epoch, allowed.failures))
    return len(batch.claims)


def _gate_if_allowed(runtime: Runtime, claim: Claim) -> gate.Gate | None:
    if claim.canary:
        runtime.gate.forget()  # its permission may be younger than what was read last
    try:
        now = runtime.gate.current()
    except DatabaseUnavailable:
        return None  # without the database its answer could not be recorded: do not call
    return now if now.is_open or now.allowed_canary == claim.id else None


def _call(client: Sender, claim: Claim, not_after: float) -> Outcome:
    try:
        phone, text = normalize_phone(claim.phone), clean_text(claim.text)
    except InvalidMessage as error:
        # Only a row of a plain INSERT comes here; enqueue and import refuse at the door.
        return Invalid(str(error))
    try:
        return client.send(phone, text, claim.rule_id, not_after=not_after)
    except Exception:
        # A defect of ours while a request may be on the wire: the one honest answer is that nobody knows.
        log.exception("A call ended in an unexpected error. message=%s", claim.id)
        return Unknown("an unexpected error of the worker during the call")
