"""Send: claim a few messages, commit, call the provider for each with no transaction open, record each answer.

One call of `send` works on one thread. It begins with the ids that a doorbell named and then takes whatever is next, by
priority and age, until nothing is due or its time slice is over: the database is the queue, the broker only wakes.
"""

import logging
import time
from collections.abc import Collection
from typing import Protocol

import sqlalchemy as sa

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


class Sender(Protocol):
    """What `send` needs of the provider's client."""

    def send(self, phone: str, text: str, rule_id: str | None = None) -> SendResult:
        """One `sendMsg` call."""


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
        claimed = _claim(runtime, None)
        if not claimed:
            return ended
        ended += _work(runtime, claimed)
    return ended


def ring_for_waiting(runtime: Runtime, limit: int) -> int:
    """Ring for up to `limit` messages whose turn it is, in lists of `BATCH` ids; returns how many. None while held."""
    with runtime.database.read() as connection:
        if not gate.read(connection).is_open:
            return 0
        ids = [message.id for message in claims.waiting(connection, limit)]
    for start in range(0, len(ids), BATCH):
        runtime.bell.send(ids[start : start + BATCH])
    return len(ids)


def _claim(runtime: Runtime, ids: Collection[int] | None) -> list[Claim]:
    def work(connection: sa.Connection) -> list[Claim]:
        now = gate.read(connection)
        policy = Policy.of(runtime.settings)
        if now.is_open:
            return claims.claim(connection, ids, BATCH, policy)
        canary = now.allowed_canary
        if canary is None or ids is None or canary not in ids:
            return []
        return claims.claim(connection, [canary], 1, policy, canary=canary)

    return runtime.database.transact(work)


def _work(runtime: Runtime, claimed: list[Claim]) -> int:
    """Call for each claim and record how it ended; those that would begin too late are released instead."""
    settings = runtime.settings
    began = time.monotonic()
    # A call that begins after this could outlive the lease.
    in_time = min(BATCH_SECONDS, settings.lease_seconds - settings.connect_timeout - settings.read_timeout)
    for index, claim in enumerate(claimed):
        elapsed = time.monotonic() - began
        late = (index > 0 and elapsed >= in_time) or runtime.stopping.is_set()
        # One whose validity ended meanwhile is released too: the next claim finds that it expired.
        late |= claim.valid_seconds is not None and elapsed >= claim.valid_seconds
        epoch = None if late else _epoch_if_allowed(runtime, claim)
        outcome = Released() if epoch is None else _call(runtime.client, claim)
        runtime.recorder.record(Ended(claim, outcome, epoch or 0))
    return len(claimed)


def _epoch_if_allowed(runtime: Runtime, claim: Claim) -> int | None:
    if claim.canary:
        runtime.gate.forget()  # its permission may be younger than what was read last
    try:
        now = runtime.gate.current()
    except DatabaseUnavailable:
        return None  # without the database its answer could not be recorded: do not call
    return now.epoch if now.is_open or now.allowed_canary == claim.id else None


def _call(client: Sender, claim: Claim) -> Outcome:
    try:
        phone, text = normalize_phone(claim.phone), clean_text(claim.text)
    except InvalidMessage as error:
        # Only a row of a plain INSERT comes here; enqueue and import refuse at the door.
        return Invalid(str(error))
    try:
        return client.send(phone, text, claim.rule_id)
    except Exception:
        # A defect of ours while a request may be on the wire: the one honest answer is that nobody knows.
        log.exception("A call ended in an unexpected error. message=%s", claim.id)
        return Unknown("an unexpected error of the worker during the call")
