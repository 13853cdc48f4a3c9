"""Watch the balance.

While the gate is held, probe `credits` and let a canary go; while it is open, warn when the balance runs low.
"""

import datetime as dt
import logging
import math
from decimal import Decimal

import sqlalchemy as sa

from smsclick.contract import HoldReason
from smsclick.errors import ProviderError, ProviderRefused, UnreadableBalance
from smsclick.provider.codes import Action, lookup
from smsclick.settings import Settings
from worker.account import balance_history, holds
from worker.account.holds import AccountState
from worker.alerting import incidents
from worker.context import Context

log = logging.getLogger(__name__)


def probe(context: Context) -> int | None:
    """Ask `credits` where that is due, and act on it; returns the balance, or None where it was not asked or not told.

    Harmless to call at any time, from any number of processes: the due time stands in the gate's row.
    """
    if not _take(context):
        return None
    exact: Decimal | None
    asked_at = context.clock.read(context.database)
    try:
        exact = context.client.exact_credits()
    except UnreadableBalance as error:
        # The key works and the provider answers: a canary finds out the rest, or a hold would never be lifted.
        log.warning("The balance could not be read. error=%s", error)
        exact = None
    except ProviderRefused as error:
        _refused(context, error)
        return None
    except ProviderError as error:
        log.warning("The balance could not be asked. error=%s", error)
        return None
    balance = None if exact is None else math.floor(exact)
    canary = _act(context, balance, exact, asked_at)
    if canary is not None:
        log.info("A canary goes. message=%s balance=%s", canary, balance)
        context.wakeups.send([canary])
    return balance


def _take(context: Context) -> bool:
    with context.database.begin() as connection:
        now = holds.read(connection, lock=True)
        if now.probe_at > now.now:
            return False
        later = now.now + dt.timedelta(seconds=context.settings.balance_seconds)
        holds.note(connection, probe_at=later)
        return True


def _act(context: Context, balance: int | None, exact: Decimal | None, asked_at: dt.datetime) -> int | None:
    every = dt.timedelta(seconds=context.settings.balance_seconds)
    with context.database.begin() as connection:
        now = holds.read(connection, lock=True)
        balance_history.record(connection, context.account, asked_at, now.now, exact, every)
        if balance is not None:
            holds.note(connection, balance=balance, balance_at=now.now)
            _watch(connection, now, balance, context.settings)
        canary = _canary(connection, now, balance, context.settings)
        if canary is None and not now.canary_flies:
            # Where no message can be the canary, `credits` is the only witness: statuses must be asked for again.
            holds.open_without_canary(connection)
    return canary


def _watch(connection: sa.Connection, now: AccountState, balance: int, settings: Settings) -> None:
    """The early warning, off by default; not beside the incident that says that there is none at all."""
    if settings.low_balance and balance < settings.low_balance:
        if now.hold_reason is HoldReason.NO_BALANCE:
            return
        incidents.report(connection, "low_balance", detail=f"{balance} credits, the limit is {settings.low_balance}")
    else:
        incidents.close(connection, "low_balance")


def _canary(connection: sa.Connection, now: AccountState, balance: int | None, settings: Settings) -> int | None:
    if now.hold_reason is None or now.operator_hold_at is not None:
        return None
    if now.canary_flies:
        return None  # one at a time
    holds.note(connection, canary_id=None, canary_until=None)
    if now.hold_reason is HoldReason.NO_BALANCE and balance is not None and balance < now.needed_credits:
        return None
    until = now.now + dt.timedelta(seconds=settings.lease_seconds)
    return holds.choose_canary(connection, balance, until)


def _refused(context: Context, error: ProviderRefused) -> None:
    if lookup(error.code).action is not Action.HOLD_KEY:
        log.warning("The balance was refused. code=%s", error.code)
        return
    with context.database.begin() as connection:
        holds.hold_for_refused_key(connection, error.code, context.settings)
