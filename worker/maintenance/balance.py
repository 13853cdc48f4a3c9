"""Check the account's balance.

While the account is held, `credits` shows whether messages may go again, and one message (the canary) is sent before
the others. While it is not held, an incident warns when the balance runs low. Each reading of the balance is also kept:
it can later prove that an attempt was not charged (`worker.account.books`).
"""

import datetime as dt
import math
from decimal import Decimal

import sqlalchemy as sa

from smsclick._logs.event_log import EventLog
from smsclick.contract import HoldReason
from smsclick.errors import ProviderError, ProviderRefused, UnreadableBalance
from smsclick.provider.codes import Action, lookup
from smsclick.settings import Settings
from worker.account import account_state, balance_history, holds
from worker.account.account_state import AccountState
from worker.alerting import incidents
from worker.alerting.details import made
from worker.alerting.wording import DetailCode
from worker.context import Context

log = EventLog(__name__)


def check(context: Context) -> int | None:
    """Ask `credits` if that is due, and act on the answer.

    Any number of processes may call it at any time: the due time is in the account's row.

    Returns:
        The whole credits; None where they were not asked for or cannot be read.
    """
    if not _claim(context):
        return None
    exact: Decimal | None
    asked_at = context.clock.read(context.database)
    try:
        exact = context.client.exact_credits()
    except UnreadableBalance as error:
        # The key works and the provider answers. A canary shows whether messages go; without it a hold would never end.
        log.warning("balance_unreadable", error=error)
        exact = None
    except ProviderRefused as error:
        _refused(context, error)
        return None
    except ProviderError as error:
        log.warning("balance_not_asked", error=error)
        return None
    credits_left = None if exact is None else math.floor(exact)
    canary = _record(context, credits_left, exact, asked_at)
    if canary is not None:
        log.info("canary_chosen", message_id=canary, balance=credits_left)
        context.wakeups.send([canary])
    return credits_left


def _claim(context: Context) -> bool:
    """Whether the check is due and this process makes it: the due time is moved forward by one period."""
    with context.database.begin() as connection:
        state = account_state.read(connection, lock=True)
        if state.probe_at > state.now:
            return False
        later = state.now + dt.timedelta(seconds=context.settings.balance_seconds)
        holds.update(connection, probe_at=later)
        return True


def _record(context: Context, credits_left: int | None, exact: Decimal | None, asked_at: dt.datetime) -> int | None:
    """Write the balance and choose a canary; returns the canary's row id where one may go."""
    period = dt.timedelta(seconds=context.settings.balance_seconds)
    with context.database.begin() as connection:
        state = account_state.read(connection, lock=True)
        balance_history.record(connection, context.account, asked_at, state.now, exact, period)
        if credits_left is not None:
            holds.update(connection, balance=credits_left, balance_at=state.now)
            _warn_if_low(connection, state, credits_left, context.settings)
        canary = _choose_canary(connection, state, credits_left, context.settings)
        if canary is None and not state.canary_flies:
            # No message can be the canary, so `credits` alone ends the hold: statuses must be asked for again.
            holds.open_without_canary(connection)
    return canary


def _warn_if_low(connection: sa.Connection, state: AccountState, credits_left: int, settings: Settings) -> None:
    """Open or close the incident `low_balance`; it is not opened beside the one that says that there is no balance."""
    if not settings.low_balance or credits_left >= settings.low_balance:
        incidents.close(connection, "low_balance")
    elif state.hold_reason is not HoldReason.NO_BALANCE:
        detail = made(DetailCode.BALANCE, left=credits_left, limit=settings.low_balance)
        incidents.report(connection, "low_balance", detail=detail)


def _choose_canary(
    connection: sa.Connection, state: AccountState, credits_left: int | None, settings: Settings
) -> int | None:
    if state.hold_reason is None or state.operator_hold_at is not None:
        return None
    if state.canary_flies:
        return None  # One at a time.
    holds.update(connection, canary_id=None, canary_until=None)
    if state.hold_reason is HoldReason.NO_BALANCE and credits_left is not None and credits_left < state.needed_credits:
        return None
    until = state.now + dt.timedelta(seconds=settings.lease_seconds)
    return holds.choose_canary(connection, credits_left, until)


def _refused(context: Context, error: ProviderRefused) -> None:
    if lookup(error.code).action is not Action.HOLD_KEY:
        log.warning("balance_refused", code=error.code)
        return
    with context.database.begin() as connection:
        holds.hold_for_refused_key(connection, error.code, context.settings)
