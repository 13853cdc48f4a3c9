"""Send: claim a few messages, commit, call the provider for each with no transaction open, record each answer.

`send` does it on one thread, for whatever is due; `worker.sending.pump` does the same for a whole process, with many
calls at once. Both go by priority and age: the database is the queue, the broker only wakes.
"""

import dataclasses
import functools
import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import sqlalchemy as sa

from smsclick._values.phones import normalize_phone
from smsclick._values.texts import clean_text
from smsclick.errors import DatabaseUnavailable, InvalidMessage
from smsclick.provider.clock import clock
from smsclick.provider.results import Accepted, SendResult, Unknown
from worker.account import canary as canaries
from worker.account import holds
from worker.context import Context
from worker.lifecycle.attempt import Claim, Ended
from worker.lifecycle.policy import Invalid, Outcome, Policy, Released
from worker.queue import claims as queue_claims
from worker.queue import odd_rows

log = logging.getLogger(__name__)

BATCH = 10
"""Messages of one doorbell, and of one claim of `send`: little waits behind a slow call."""

BATCH_SECONDS = 5.0
"""What has waited for its call this long since its claim is released for others to take."""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Claims of one transaction; `claimed_at` is a time of `clock()` just before it."""

    claimed_at: float
    claims: list[Claim]


class Sender(Protocol):
    """What `send` needs of the provider's client."""

    def send(self, phone: str, text: str, rule_id: str | None = None, *, not_after: float | None = None) -> SendResult:
        """One `sendMsg` call, no byte of which leaves after `not_after`."""


def send(context: Context, ids: Collection[int]) -> int:
    """Send the messages of `ids` that are due, then whatever else is; returns how many attempts ended.

    Ids that do not exist, are not due, or were claimed by others are passed over, so doubled and late doorbells do no
    harm.

    Raises:
        DatabaseUnavailable: nothing could be claimed.
    """
    most = min(BATCH, context.limiter.claim_limit or BATCH)
    ended = _work(context, claim(context, sorted(ids)[:BATCH], most))
    while not context.stopping.is_set():
        batch = claim(context, None, most)
        if not batch.claims:
            break
        ended += _work(context, batch)
    return ended


def wake_for_waiting(context: Context, limit: int) -> int:
    """Ring for up to `limit` messages whose turn it is, in lists of `BATCH` ids; returns how many.

    While the gate is held that is the canary alone, whose own doorbell may have been lost.
    """
    with context.database.read() as connection:
        now = holds.read(connection)
        if now.is_open:
            ids = [message.id for message in queue_claims.waiting(connection, limit)]
        else:
            ids = [] if now.allowed_canary is None else [now.allowed_canary]
    for start in range(0, len(ids), BATCH):
        context.wakeups.send(ids[start : start + BATCH])
    return len(ids)


def claim(context: Context, ids: Collection[int] | None, limit: int) -> Batch:
    """Claim up to `limit` messages: of `ids`, or whatever is next; while the gate is held only its canary.

    Raises:
        DatabaseUnavailable: nothing could be claimed.
    """

    def work(connection: sa.Connection, some: Sequence[int] | None = None) -> list[Claim]:
        read_at = time.monotonic()
        now = holds.read(connection)
        context.hold_cache.seen(read_at, now)  # the calls that follow at once need not read it again
        policy = Policy.of(context.settings, context.account)
        if now.simulated_at is not None and not context.simulated:
            _tell_simulated()
            return []
        if now.is_open and some is not None:
            return queue_claims.claim_some(connection, some, limit, policy)
        if now.is_open:
            return queue_claims.claim(connection, ids, limit, policy)
        canary = now.allowed_canary
        if canary is None or (ids is not None and canary not in ids):
            return []
        return canaries.claim(connection, canary, policy)

    began = clock()  # before the claim, so that our lease can only be shorter than the row's
    claimed = odd_rows.run_in_halves(
        context.database, work, lambda connection: queue_claims.suspects(connection, ids, limit), work, limit
    )
    return Batch(began, claimed)


@functools.cache
def _tell_simulated() -> None:
    """Said once: a worker refuses such a database when it starts, so this one was marked after that."""
    log.error("Nothing is sent: `smsclick up --simulate` uses this database. Give one of the two another DATABASE_URL.")


def attempt(
    context: Context,
    claim: Claim,
    claimed_at: float,
    *,
    first: bool = False,
    may_begin: Callable[[], bool] = lambda: True,
) -> Ended:
    """Call for a claim, unless that would begin too late or may not be now: then it is released.

    Args:
        context: this process's.
        claim: on record since `claimed_at`, a time of `clock()`.
        claimed_at: see above.
        first: it has waited behind no other call, so its wait is no reason to release it.
        may_begin: asked last of all before the call.
    """
    # A request that leaves after this could outlive the lease, however long the process was paused before.
    not_after = claimed_at + context.settings.lease_seconds - context.settings.read_timeout
    if claim.refusal is not None:
        return Ended(claim, Invalid(claim.refusal), epoch=0)
    # One whose validity ended meanwhile is released too: the next claim finds that it expired.
    valid = math.inf if claim.valid_seconds is None else claimed_at + claim.valid_seconds
    latest = min(not_after, valid, math.inf if first else claimed_at + BATCH_SECONDS)
    try:
        late = clock() >= latest or not context.limiter.acquire(context.stopping, latest) or clock() >= latest
        allowed = None if late else _state_if_allowed(context, claim)
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing has left yet, so the message may wait
        log.error("A call did not begin. message=%s error=%s", claim.id, type(error).__name__)  # noqa: TRY400
        allowed = None
    if allowed is None or not may_begin():
        return Ended(claim, Released(), epoch=0)
    return Ended(claim, _call(context.client, claim, not_after), allowed.epoch, allowed.failures)


def _work(context: Context, batch: Batch) -> int:
    for index, each in enumerate(batch.claims):
        ended = attempt(context, each, batch.claimed_at, first=index == 0)
        context.recorder.record(ended)
        if not isinstance(ended.outcome, Accepted):
            context.hold_cache.forget()  # that may have closed it, and the next call begins at once
    return len(batch.claims)


def _state_if_allowed(context: Context, claim: Claim) -> holds.AccountState | None:
    if claim.canary:
        context.hold_cache.forget()  # its permission may be younger than what was read last
    try:
        now = context.hold_cache.current()
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
    except Exception as error:  # noqa: BLE001 - see below
        # A defect of ours while a request may be on the wire: the one honest answer is that nobody knows. Its words
        # and its traceback stay out of the log: they may hold the phone or the text.
        where = odd_rows.place(error)
        log.error("A call ended in an unexpected error. message=%s error=%s", claim.id, where)  # noqa: TRY400
        return Unknown("an unexpected error of the worker during the call")
