"""The canary's claim: the one message that may go while the account is held.

`worker.maintenance.balance` chooses it when `credits` is answered. What it chose may turn out not to go at all: quiet
hours, a message of equal content in flight, an end of its validity, an operator who cancelled it. Then another one is
chosen in the same transaction, or the account would stay closed for a lease while a message of high priority waits.
Only one that a worker holds keeps its place, until its lease ends.
"""

import datetime as dt

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._logs.event_log import EventLog
from smsclick.contract import State, messages
from worker.account import holds
from worker.lifecycle.attempt import Claim
from worker.lifecycle.policy import Policy
from worker.queue import claims

log = EventLog(__name__)

_TRIES = 25
"""Candidates of one claim; the sweep's next wake-up goes on with those behind them."""


def claim(connection: sa.Connection, chosen: int, policy: Policy) -> list[Claim]:
    """Claim the chosen canary, or another one where that one cannot go now.

    Args:
        connection: in a transaction that the caller commits before it calls the provider.
        chosen: as the account's row names it.
        policy: for the lease and the quiet hours.

    Returns:
        At most one claim.
    """
    candidate: int | None = chosen
    for _ in range(_TRIES):
        if candidate is None:
            break
        claimed = claims.claim(connection, [candidate], 1, policy, canary=candidate)
        if claimed or _is_somebodys(connection, candidate):
            return claimed
        log.info("canary_replaced", message_id=candidate)
        candidate = _another(connection, candidate, policy)
    return []


def _is_somebodys(connection: sa.Connection, message_id: int) -> bool:
    """Whether another worker has it, or is just claiming it: then its answer is waited for."""
    row = connection.execute(
        sa.select(messages.c.state, (messages.c.due_at <= db_now()).label("due")).where(messages.c.id == message_id)
    ).first()
    if row is None:
        return False
    return row.state == State.SENDING or (row.state == State.QUEUED and bool(row.due))


def _another(connection: sa.Connection, instead_of: int, policy: Policy) -> int | None:
    """The next candidate, which is on record; None where there is none, or where somebody else has chosen meanwhile."""
    now = holds.read(connection, lock=True)
    if now.allowed_canary != instead_of:
        return None
    holds.update(connection, canary_id=None, canary_until=None)
    until = now.now + dt.timedelta(seconds=policy.lease)
    candidate = holds.choose_canary(connection, now.balance or 0, until)
    if candidate is None:
        # As where none waited when `credits` was answered: that answer is the only witness there can be.
        holds.open_without_canary(connection)
    return candidate
