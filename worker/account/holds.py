"""The holds of the account. One row says whether messages may be sent; this module begins and lifts its holds.

There are three holds, and each is lifted without regard to the others:

- The operator's hold: `hold_by_operator`, `lift_operator_hold`.
- The automatic hold, because there is no balance, the key is refused, or the provider is down. It is lifted after a
  canary was accepted. A canary is one message that is sent while the account is held; `worker.maintenance.balance`
  chooses it.
- The hold of a restored backup: `hold_restored`, `end_restored`.

The circuit breaker (`count_failures`) begins the automatic hold after some calls in a row without an answer. Without it
each queued message would be sent to a provider that is down, and become an attempt of unknown outcome.
"""

import datetime as dt

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import ACCOUNT, HoldReason, accounts
from smsclick.provider.codes import Action, lookup
from smsclick.provider.results import Accepted, Refused
from smsclick.settings import Settings
from worker.account.account_state import AccountState, read
from worker.alerting import incidents
from worker.alerting.details import NONE, Detail, made, of_code
from worker.alerting.wording import DetailCode
from worker.lifecycle import effects
from worker.lifecycle.effects import Effects
from worker.lifecycle.policy import Invalid, OptedOut, Outcome, Released
from worker.queue import claims

REASONS = {Action.HOLD_NO_BALANCE: HoldReason.NO_BALANCE, Action.HOLD_KEY: HoldReason.KEY_REFUSED}
"""The refusals that hold the account, and the reason of the hold for each."""

MOST_FAILURES = 5
"""After so many calls in a row without an answer, counted over all workers, the provider counts as down."""

RELAPSE_SECONDS = 900.0
"""A provider that is down again within this time after the last hold was lifted has relapsed."""

MOST_CANARIES = 5
"""Each relapse adds one canary that must be accepted in a row before the hold is lifted; this is the most."""

_CANARY_CANDIDATES = 500


def hold_by_operator(connection: sa.Connection, *, actor: str | None = None, why: str | None = None) -> bool:
    """Begin the operator's hold.

    Args:
        connection: in a transaction.
        actor: who holds the account, at most 100 characters.
        why: in that person's words, at most 200 characters.

    Returns:
        False if an operator held the account already. That hold keeps its first actor and reason.
    """
    if read(connection, lock=True).operator_hold_at is not None:
        return False
    update(connection, operator_hold_at=db_now(), operator_hold_by=actor, operator_hold_why=why)
    return True


def lift_operator_hold(connection: sa.Connection) -> AccountState:
    """Lift the operator's hold; return the account's state after that.

    The time of the next probe becomes now, so that an automatic hold that remains can end soon.
    """
    read(connection, lock=True)
    update(connection, operator_hold_at=None, operator_hold_by=None, operator_hold_why=None, probe_at=db_now())
    return read(connection)


def hold_restored(connection: sa.Connection, since: dt.datetime) -> dt.datetime:
    """Hold the account after a backup was restored, while messages that could have been sent become `unknown`.

    Args:
        connection: in a transaction.
        since: messages after this time are concerned.

    Returns:
        The earliest `since` of this call and of calls before it.
    """
    account_state = read(connection, lock=True)
    earliest = since if account_state.restored_since is None else min(since, account_state.restored_since)
    update(connection, restored_since=earliest, restored_at=None)
    return earliest


def mark_restored(connection: sa.Connection) -> None:
    """Record that all messages concerned are `unknown` now.

    The hold ends when the report was read for each of them (`worker.restore.restored`).
    """
    update(connection, restored_at=db_now())


def end_restored(connection: sa.Connection) -> None:
    """Lift the hold of a restore."""
    update(connection, restored_since=None, restored_at=None)


def hold_for_refusal(
    connection: sa.Connection, refused: Refused, *, epoch: int, needed_credits: int, settings: Settings
) -> None:
    """Hold the account because of a refusal that `REASONS` lists.

    Many calls may get the same refusal at once; only the first of them begins a hold and opens an incident.

    Args:
        connection: in a transaction.
        refused: the provider's answer.
        epoch: the account's epoch when that request left. The epoch grows when a hold is lifted, so an answer to an
            older request does not hold the account again.
        needed_credits: the predicted credits of the smallest message that was refused.
        settings: for the time of the first probe.
    """
    effects.note(connection, Effects(hold_changed=True))
    account_state = read(connection, lock=True)
    reason = REASONS[refused.action]
    if account_state.epoch != epoch:
        return
    if account_state.hold_reason is reason:
        update(connection, needed_credits=min(account_state.needed_credits, needed_credits))
        return
    # Our own words, because the provider's may repeat a phone or a text, and the incident is kept longer than those.
    code = refused.code
    detail = NONE if code is None else made(DetailCode.HOLD, code=code, meaning=of_code(code))
    _begin(connection, account_state, reason, detail, needed_credits, settings)


def hold_for_refused_key(connection: sa.Connection, code: int, settings: Settings) -> None:
    """Hold the account because `getMsg` or `credits` refused the key.

    Args:
        connection: in a transaction.
        code: the `codigo` of the answer.
        settings: for the time of the first probe.
    """
    meaning = lookup(code).meaning
    refused = Refused(code, meaning, Action.HOLD_KEY, meaning)
    hold_for_refusal(connection, refused, epoch=read(connection).epoch, needed_credits=1, settings=settings)


def count_failures(connection: sa.Connection, failed: int, *, epoch: int, settings: Settings) -> bool:
    """Count the failed calls of a group of results, and hold the account if too many calls in a row have failed.

    Args:
        connection: in a transaction.
        failed: how many calls of the group ended without a readable answer, or never left.
        epoch: the account's epoch when those requests left. Failures of an earlier epoch are not counted: they happened
            before the last hold was lifted.
        settings: for the time of the first probe.

    Returns:
        True if this call began a hold.
    """
    effects.note(connection, Effects(hold_changed=True))
    account_state = read(connection, lock=True)
    if account_state.epoch != epoch or account_state.hold_reason is not None:
        return False
    failures = account_state.failures + failed
    update(connection, failures=failures)
    if failures < MOST_FAILURES:
        return False
    detail = made(DetailCode.NO_ANSWERS, count=failures)
    _begin(connection, account_state, HoldReason.PROVIDER_DOWN, detail, 1, settings)
    return True


def forget_failures(connection: sa.Connection) -> None:
    """Begin the count of failed calls again, because a call that left after they began was answered."""
    connection.execute(
        sa.update(accounts).where(accounts.c.account == ACCOUNT, accounts.c.failures > 0).values(failures=0)
    )


def _begin(
    connection: sa.Connection,
    account_state: AccountState,
    reason: HoldReason,
    detail: Detail,
    needed_credits: int,
    settings: Settings,
) -> None:
    """Begin the automatic hold and report its incident. A hold for another reason is replaced, and its incident closed.

    Args:
        connection: in a transaction.
        account_state: as it was read with a lock.
        reason: of the hold.
        detail: of the incident.
        needed_credits: the predicted credits of the smallest message that was refused.
        settings: for the time of the first probe.
    """
    if account_state.hold_reason is not None:
        incidents.close(connection, account_state.hold_reason)
    update(
        connection,
        hold_reason=reason,
        hold_since=account_state.now,
        needed_credits=needed_credits,
        probe_at=account_state.now + dt.timedelta(seconds=settings.balance_seconds),
        canary_id=None,
        canary_until=None,
        failures=0,
        canaries=0,
        relapses=_relapses(account_state, reason),
    )
    incidents.report(connection, reason, detail=detail)


def _relapses(account_state: AccountState, reason: HoldReason) -> int:
    """Return how often in a row the provider was down again within `RELAPSE_SECONDS`."""
    if reason is not HoldReason.PROVIDER_DOWN:
        return 0
    soon = account_state.opened_at is not None and account_state.now - account_state.opened_at < dt.timedelta(
        seconds=RELAPSE_SECONDS
    )
    return min(account_state.relapses + 1, MOST_CANARIES - 1) if soon else 0


def judge_canary(connection: sa.Connection, message_id: int, outcome: Outcome, settings: Settings) -> bool:
    """Decide from the canary's outcome whether the hold is lifted.

    Args:
        connection: in a transaction.
        message_id: the message with this outcome; nothing happens if it is not the canary.
        outcome: of its call.
        settings: for the time of the next probe.

    Returns:
        True if the hold was lifted, so that all messages may be sent.
    """
    account_state = read(connection, lock=True)
    if account_state.canary_id != message_id or account_state.hold_reason is None:
        return False
    later = account_state.now + dt.timedelta(seconds=settings.balance_seconds)
    if not isinstance(outcome, Accepted):
        # If the message itself was the reason, or the request never left, the outcome says nothing about the account,
        # and another canary goes at once. Otherwise the next canary goes later.
        own_fault = isinstance(outcome, Refused) and outcome.action is Action.FAIL
        at_once = own_fault or isinstance(outcome, Invalid | OptedOut | Released)
        canaries = account_state.canaries if at_once else 0
        probe_at = account_state.now if at_once else later
        update(connection, canary_id=None, canary_until=None, probe_at=probe_at, canaries=canaries)
        return False
    left = None if account_state.balance is None else account_state.balance - (outcome.credits_used or 1)
    following = next_credits(connection)
    if (
        account_state.hold_reason is HoldReason.NO_BALANCE
        and left is not None
        and following is not None
        and left < following
    ):
        # The balance covered the canary and does not cover the next message. Without the hold that message would be
        # refused, and the account would be held again with another incident.
        update(connection, canary_id=None, canary_until=None, balance=left, needed_credits=1, probe_at=later)
        return False
    if (
        account_state.hold_reason is HoldReason.PROVIDER_DOWN
        and account_state.canaries < account_state.relapses
        and following is not None
    ):
        # The provider was down again soon after each return, so one accepted canary is not enough. The next one goes
        # at once.
        update(
            connection,
            canary_id=None,
            canary_until=None,
            probe_at=account_state.now,
            canaries=account_state.canaries + 1,
        )
        return False
    _lift(connection, account_state)
    return True


def open_without_canary(connection: sa.Connection) -> bool:
    """Lift the hold for a refused key or a provider that was down, after `credits` was answered.

    Called if no message waits that could be the canary.

    Returns:
        False if the account was not held, or held because there is no balance.
    """
    account_state = read(connection, lock=True)
    if account_state.hold_reason not in {HoldReason.KEY_REFUSED, HoldReason.PROVIDER_DOWN}:
        return False
    _lift(connection, account_state)
    return True


def choose_canary(connection: sa.Connection, balance: int | None, until: dt.datetime) -> int | None:
    """Choose the canary: the first waiting message by priority and age that the balance covers.

    Args:
        connection: in a transaction.
        balance: in credits; None if it could not be read. Then the first waiting message is chosen.
        until: how long its answer is waited for.

    Returns:
        The id of the message; None if there is none.
    """
    for candidate in claims.waiting(connection, _CANARY_CANDIDATES):
        if balance is None or candidate.credits <= balance:
            update(connection, canary_id=candidate.id, canary_until=until)
            return candidate.id
    return None


def probe_soon(connection: sa.Connection) -> None:
    """Probe at once if the account is held for a refused key. Called by a process that has a new key."""
    if read(connection, lock=True).hold_reason is HoldReason.KEY_REFUSED:
        update(connection, probe_at=db_now())


def next_credits(connection: sa.Connection) -> int | None:
    """Return the predicted credits of the next message in the queue; None if no message waits."""
    following = claims.waiting(connection, 1)
    return following[0].credits if following else None


def update(connection: sa.Connection, **values: object) -> None:
    """Write columns of the account's row, such as the balance, the report's lag or the time of the next probe."""
    connection.execute(sa.update(accounts).where(accounts.c.account == ACCOUNT).values(**values))


def _lift(connection: sa.Connection, account_state: AccountState) -> None:
    if account_state.hold_reason is not None:
        incidents.close(connection, account_state.hold_reason)
    update(
        connection,
        hold_reason=None,
        hold_since=None,
        canary_id=None,
        canary_until=None,
        epoch=account_state.epoch + 1,
        opened_at=account_state.now,
    )
    effects.note(connection, Effects(hold_lifted=True))
