"""The circuit breaker: after some calls in a row without an answer the account is held as "provider down".

Without it each queued message would be sent to a provider that is down, and become an attempt of unknown outcome.
"""

import sqlalchemy as sa

from smsclick.contract import ACCOUNT, HoldReason, accounts
from smsclick.settings import Settings
from worker.account import holds
from worker.alerting.details import made
from worker.alerting.wording import DetailCode

MOST_FAILURES = 5
"""After so many calls in a row without an answer, counted over all workers, the provider counts as down."""


def count_failures(connection: sa.Connection, failed: int, *, answered: bool, epoch: int, settings: Settings) -> bool:
    """Count the failed calls of a group of results, and hold the account if too many calls in a row have failed.

    Args:
        connection: in a transaction.
        failed: how many calls of the group ended without a readable answer, or never left.
        answered: whether the group has an answer to a call that left after the failures began. Then the provider is not
            down, and the count becomes zero.
        epoch: the account's epoch when those requests left. Failures of an earlier epoch are not counted: they happened
            before the last hold was lifted.
        settings: for the time of the first probe.

    Returns:
        True if this call began a hold.
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
    detail = made(DetailCode.NO_ANSWERS, count=failures)
    holds.begin(connection, account_state, HoldReason.PROVIDER_DOWN, detail, 1, settings)
    return True
