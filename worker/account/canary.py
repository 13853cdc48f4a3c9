"""Claims the canary: the one message that is sent while the account is held.

`worker.maintenance.balance` chooses it after `credits` was answered. Then that message may be impossible to send now:
because of quiet hours or a message with equal content in flight, because its validity has ended, or because an operator
cancelled it. In this case another message is chosen in the same transaction. Without that, the account would stay held
for the length of a lease, while messages of high priority wait. A canary that a worker has claimed is not replaced
before its lease ends.
"""

import datetime as dt

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._logs.event_log import EventLog
from smsclick.contract import State, messages
from worker.account import account_state, holds
from worker.lifecycle.attempt import Claim
from worker.lifecycle.policy import Policy
from worker.queue import claims

log = EventLog(__name__)

_TRIES = 25
"""How many candidates one claim tries. The next wake-up of the sweep continues with the ones after them."""


def claim(connection: sa.Connection, chosen: int, policy: Policy) -> list[Claim]:
    """Claim the chosen canary, or another message if that one cannot be sent now.

    Args:
        connection: in a transaction that the caller commits before it calls the provider.
        chosen: the canary's id in the account's row.
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
    """Return whether another worker has claimed this message or is claiming it now. Then its answer is waited for."""
    row = connection.execute(
        sa.select(messages.c.state, (messages.c.due_at <= db_now()).label("due")).where(messages.c.id == message_id)
    ).first()
    if row is None:
        return False
    return row.state == State.SENDING or (row.state == State.QUEUED and bool(row.due))


def _another(connection: sa.Connection, instead_of: int, policy: Policy) -> int | None:
    """Choose the next candidate and store it in the account's row.

    Returns:
        Its id; None if no message waits, or another process has chosen one in the meantime.
    """
    now = account_state.read(connection, lock=True)
    if now.allowed_canary != instead_of:
        return None
    holds.update(connection, canary_id=None, canary_until=None)
    until = now.now + dt.timedelta(seconds=policy.lease)
    candidate = holds.choose_canary(connection, now.balance or 0, until)
    if candidate is None:
        # No message can be the canary. The answer of `credits` was good, and there is no further evidence to wait for.
        holds.open_without_canary(connection)
    return candidate
