"""The two halves of an attempt: claim messages in a committed transaction, then call the provider with none open.

`worker.sending.pump` runs them for a whole process, with many calls in flight. Messages go by priority and age: the
database is the queue, and the broker only wakes workers up.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from smsclick._logs.event_log import EventLog
from smsclick._values.phones import normalize_phone
from smsclick._values.texts import clean_text
from smsclick.contract import Priority
from smsclick.errors import DatabaseUnavailable, InvalidMessage
from smsclick.provider.clock import clock
from smsclick.provider.results import Unknown
from worker.account import account_state
from worker.account import canary as canaries
from worker.context import Context, Sender
from worker.lifecycle.attempt import Claim, Ended
from worker.lifecycle.policy import Invalid, OptedOut, Outcome, Policy, Released
from worker.queue import claims as queue_claims
from worker.queue import odd_rows
from worker.traces import tracer

log = EventLog(__name__)

WAKE_UP_IDS = 10
"""Ids in one wake-up."""

MOST_CLAIM_WAIT_SECONDS = 5.0
"""A claim that has waited for its call for so long is released, so that another process may send it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Claims of one transaction; `claimed_at` is the time of `clock()` just before it."""

    claimed_at: float
    claims: list[Claim]


def wake_for_waiting(context: Context, limit: int) -> int:
    """Wake up workers for up to `limit` due messages, in lists of `WAKE_UP_IDS` ids; returns for how many.

    During a hold only the canary may be sent, and its own wake-up may have been lost.
    """
    with context.database.read() as connection:
        now = account_state.read(connection)
        if now.is_open:
            ids = [message.id for message in queue_claims.waiting(connection, limit)]
        else:
            ids = [] if now.allowed_canary is None else [now.allowed_canary]
    for start in range(0, len(ids), WAKE_UP_IDS):
        context.wakeups.send(ids[start : start + WAKE_UP_IDS])
    return len(ids)


def claim(
    context: Context,
    ids: Collection[int] | None,
    limit: int,
    only: tuple[Priority, ...] = queue_claims.ALL,
) -> Batch:
    """Claim up to `limit` messages: of `ids`, or the next ones; during a hold only its canary.

    Args:
        context: this process's.
        ids: as for `queue.claims.claim`.
        limit: as there.
        only: as there; the canary is claimed by a claim for all or the others, whatever its own class.

    Raises:
        DatabaseUnavailable: nothing could be claimed.
    """

    def work(connection: sa.Connection, some: Sequence[int] | None = None) -> list[Claim]:
        read_at = time.monotonic()
        now = account_state.read(connection)
        context.hold_cache.seen(read_at, now)  # the calls that follow need not read it again
        policy = Policy.of(context.settings, context.account)
        if now.simulated_at is not None and not context.simulated:
            _refuse_simulated()
            return []
        if now.is_open and some is not None:
            return queue_claims.claim_some(connection, some, limit, policy)
        if now.is_open:
            return queue_claims.claim(connection, ids, limit, policy, only=only)
        canary = now.allowed_canary
        if canary is None or only == queue_claims.HIGH or (ids is not None and canary not in ids):
            return []
        return canaries.claim(connection, canary, policy)

    began = clock()  # before the claim, so that our lease can only be shorter than the row's
    claimed = odd_rows.run_in_halves(
        context.database, work, lambda connection: queue_claims.suspects(connection, ids, limit, only), work, limit
    )
    if known := tracer.parents([each.id for each in claimed]) if tracer.is_on() else {}:
        claimed = [dataclasses.replace(each, traceparent=known.get(each.id)) for each in claimed]
    return Batch(began, claimed)


@functools.cache
def _refuse_simulated() -> None:
    """Log once. A worker refuses such a database when it starts, so this one was marked later."""
    log.error("simulated_database")


@dataclasses.dataclass(frozen=True, slots=True)
class Permit:
    """A call of a claim that may begin now.

    Attributes:
        not_after: a time of `clock()`; a request that leaves later could last longer than the lease.
        epoch: the account's, as `Ended` keeps it.
        failures: the account's, as `Ended` keeps it.
    """

    claim: Claim
    not_after: float
    epoch: int
    failures: int


async def permit(context: Context, claim: Claim, claimed_at: float, *, first: bool = False) -> Permit | Ended:
    """Wait until the call of a claim may begin; it must then begin at once.

    Args:
        context: this process's.
        claim: recorded at `claimed_at`.
        claimed_at: a time of `clock()`.
        first: the claim has not waited for another call, so its wait is no reason to release it.

    Returns:
        The permit, or how the attempt ended without a call: it would begin too late, or is not allowed now.
    """
    # A request that leaves later could last longer than the lease, after any pause of this process.
    not_after = claimed_at + context.settings.lease_seconds - context.settings.read_timeout
    if claim.opted_out:
        return Ended(claim, OptedOut(), epoch=0)
    # A claim whose validity ended meanwhile is released too: the next claim finds the message expired.
    valid = math.inf if claim.valid_seconds is None else claimed_at + claim.valid_seconds
    latest = min(not_after, valid, math.inf if first else claimed_at + MOST_CLAIM_WAIT_SECONDS)
    try:
        late = clock() >= latest or not await context.limiter.acquire(context.stopping, latest) or clock() >= latest
        allowed = None if late else await _state_if_allowed(context, claim)
    except Exception as error:  # noqa: BLE001 - no request has left, so the message may wait
        log.error("call_not_begun", message_id=claim.id, attempt=claim.attempt, error=type(error).__name__)  # noqa: TRY400
        allowed = None
    # The account's state may have been long in coming.
    if allowed is None or clock() >= latest:
        return released(claim)
    return Permit(claim, not_after, allowed.epoch, allowed.failures)


async def call(sender: Sender, permitted: Permit) -> Ended:
    """Make the call of a claim.

    Args:
        sender: of the running event loop.
        permitted: what `permit` has just returned.
    """
    outcome = await _call(sender, permitted.claim, permitted.not_after)
    return Ended(permitted.claim, outcome, permitted.epoch, permitted.failures)


def released(claim: Claim) -> Ended:
    """An attempt that ends without a call: its message waits as before."""
    return Ended(claim, Released(), epoch=0)


async def _state_if_allowed(context: Context, claim: Claim) -> account_state.AccountState | None:
    if claim.canary:
        context.hold_cache.forget()  # its permission may be newer than the cached state
    try:
        now = await context.hold_cache.current()
    except DatabaseUnavailable:
        return None  # without the database the answer could not be recorded, so do not call
    return now if now.is_open or now.allowed_canary == claim.id else None


async def _call(sender: Sender, claim: Claim, not_after: float) -> Outcome:
    try:
        phone, text = normalize_phone(claim.phone), clean_text(claim.text)
    except InvalidMessage as error:
        # Only a plain INSERT can store such a row; enqueue and import refuse it.
        return Invalid(str(error))
    try:
        return await sender.send(phone, text, claim.rule_id, not_after=not_after)
    except Exception as error:  # noqa: BLE001 - see below
        # A defect of this program while a request may be in flight: the outcome is unknown. The error's words and
        # traceback stay out of the log, because they may hold the phone or the text.
        where = odd_rows.place(error)
        log.error("call_failed", message_id=claim.id, attempt=claim.attempt, error=where)  # noqa: TRY400
        return Unknown("an unexpected error of the worker during the call")
