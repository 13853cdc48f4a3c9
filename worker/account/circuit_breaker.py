"""The circuit breaker: calls that fail one after the other hold the account as "provider down".

A provider that is down must not make the whole queue attempts of unknown outcome.
"""

import sqlalchemy as sa

from smsclick.contract import ACCOUNT, HoldReason, accounts
from smsclick.settings import Settings
from worker.account import holds

MOST_FAILURES = 5
"""Calls in a row without an answer, over all workers, after which the provider counts as down."""


def count_failures(connection: sa.Connection, failed: int, *, answered: bool, epoch: int, settings: Settings) -> bool:
    """Count the failed calls of a group, and hold the account where they are too many in a row.

    Args:
        connection: in a transaction.
        failed: calls of a group that ended without a readable answer, or never left.
        answered: whether a call of the group that left after the failures began was answered; then the count begins
            again.
        epoch: the account's epoch when those requests left; older ones say nothing about the provider as it is now.
        settings: for the time of the first probe.

    Returns:
        True where the account is held now.
    """
    if answered:
        connection.execute(
            sa.update(accounts).where(accounts.c.account == ACCOUNT, accounts.c.failures > 0).values(failures=0)
        )
        return False
    if not failed:
        return False
    account_state = holds.read(connection, lock=True)
    if account_state.epoch != epoch or account_state.hold_reason is not None:
        return False
    failures = account_state.failures + failed
    holds.update(connection, failures=failures)
    if failures < MOST_FAILURES:
        return False
    detail = f"{failures} calls in a row without an answer"
    holds.begin(connection, account_state, HoldReason.PROVIDER_DOWN, detail, 1, settings)
    return True
