"""The holds of the account: one row says whether anything may be sent, and this module puts and lifts its holds.

Two holds are independent of each other: the operator's (`hold_by_operator`, `lift_operator_hold`), and the automatic
one, for no balance, a refused key or a provider that is down (`worker.account.circuit_breaker`). The automatic hold is
lifted after a canary: one message that may go while the account is held, chosen by `worker.maintenance.balance`.
"""

import dataclasses
import datetime as dt

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import ACCOUNT, HoldReason, accounts
from smsclick.provider.codes import Action, lookup
from smsclick.provider.results import Accepted, Refused
from smsclick.settings import Settings
from worker.alerting import incidents
from worker.lifecycle import effects
from worker.lifecycle.effects import Effects
from worker.lifecycle.policy import Invalid, Outcome, Released
from worker.queue import claims

REASONS = {Action.HOLD_NO_BALANCE: HoldReason.NO_BALANCE, Action.HOLD_KEY: HoldReason.KEY_REFUSED}
"""Which refusals hold the account, and for what."""

RELAPSE_SECONDS = 900.0
"""A provider that is down again this soon after it came back has relapsed."""

MOST_CANARIES = 5
"""After each relapse one more canary must be accepted in a row before the hold is lifted, up to so many."""

_CANARY_CANDIDATES = 500


@dataclasses.dataclass(frozen=True, slots=True)
class AccountState:
    """The account's row as it was read, with the database's time of the reading."""

    operator_hold_at: dt.datetime | None
    operator_hold_by: str | None
    operator_hold_why: str | None
    hold_reason: HoldReason | None
    hold_since: dt.datetime | None
    epoch: int
    needed_credits: int
    probe_at: dt.datetime
    canary_id: int | None
    canary_until: dt.datetime | None
    failures: int
    lag_id: int | None
    lag_since: dt.datetime | None
    report_lag: float | None
    report_lag_at: dt.datetime | None
    balance: int | None
    balance_at: dt.datetime | None
    opened_at: dt.datetime | None
    relapses: int
    canaries: int
    simulated_at: dt.datetime | None
    restored_since: dt.datetime | None
    restored_at: dt.datetime | None
    now: dt.datetime

    @property
    def is_open(self) -> bool:
        """Whether everything may be sent."""
        return self.operator_hold_at is None and self.hold_reason is None and self.restored_since is None

    @property
    def allowed_canary(self) -> int | None:
        """The message that may go although the account is held; never against the operator's wish."""
        if self.operator_hold_at is not None or self.restored_since is not None or self.hold_reason is None:
            return None
        return self.canary_id

    @property
    def canary_flies(self) -> bool:
        """Whether a canary may still bring its answer; one whose worker died gives way when its lease is over."""
        return self.canary_id is not None and self.canary_until is not None and self.canary_until > self.now

    @property
    def key_works(self) -> bool:
        """Whether asking the provider anything but `credits` makes sense."""
        return self.hold_reason is not HoldReason.KEY_REFUSED


_COLUMNS = [accounts.c[field.name] for field in dataclasses.fields(AccountState) if field.name != "now"]
# Built once: read many times a second.
_READ = sa.select(*_COLUMNS, db_now().label("now")).where(accounts.c.account == ACCOUNT)
_LOCKED = _READ.with_for_update()


def read(connection: sa.Connection, *, lock: bool = False) -> AccountState:
    """Read the account's row. A step that also locks messages locks those first."""
    row = connection.execute(_LOCKED if lock else _READ).one()
    values = row._asdict()
    values["hold_reason"] = HoldReason(row.hold_reason) if row.hold_reason else None
    return AccountState(**values)


def hold_by_operator(connection: sa.Connection, *, actor: str | None = None, why: str | None = None) -> bool:
    """The operator's hold. False where it was held already: then it keeps its first name and reason.

    Args:
        connection: in a transaction.
        actor: who holds the account, at most 100 characters.
        why: in that person's words, at most 200 characters.
    """
    if read(connection, lock=True).operator_hold_at is not None:
        return False
    update(connection, operator_hold_at=db_now(), operator_hold_by=actor, operator_hold_why=why)
    return True


def lift_operator_hold(connection: sa.Connection) -> AccountState:
    """Lift the operator's hold and probe at once where an automatic one remains; returns the account's state then."""
    read(connection, lock=True)
    update(connection, operator_hold_at=None, operator_hold_by=None, operator_hold_why=None, probe_at=db_now())
    return read(connection)


def hold_restored(connection: sa.Connection, since: dt.datetime) -> dt.datetime:
    """Hold while what could have been sent since then becomes unknown; returns the earliest such time asked for."""
    account_state = read(connection, lock=True)
    earliest = since if account_state.restored_since is None else min(since, account_state.restored_since)
    update(connection, restored_since=earliest, restored_at=None)
    return earliest


def mark_restored(connection: sa.Connection) -> None:
    """All of it is unknown; the hold ends when it has been looked for (`worker.restore.restored`)."""
    update(connection, restored_at=db_now())


def end_restored(connection: sa.Connection) -> None:
    """Lift the hold of a restore."""
    update(connection, restored_since=None, restored_at=None)


def hold_for_refusal(
    connection: sa.Connection, refused: Refused, *, epoch: int, needed_credits: int, settings: Settings
) -> None:
    """Hold the account for a refusal that `REASONS` lists; opens one incident, however many meet it at once.

    Args:
        connection: in a transaction.
        refused: the provider's answer.
        epoch: the account's epoch when that request left; an answer from before the hold was lifted last holds nothing.
        needed_credits: of the smallest message that was refused.
        settings: for the time of the first probe.
    """
    account_state = read(connection, lock=True)
    reason = REASONS[refused.action]
    if account_state.epoch != epoch:
        return
    if account_state.hold_reason is reason:
        update(connection, needed_credits=min(account_state.needed_credits, needed_credits))
        return
    # Our own words: the provider's may repeat what it was sent, and the incident survives the message.
    meaning = refused.reason if refused.code is None else lookup(refused.code).meaning
    begin(connection, account_state, reason, f"{refused.code}: {meaning}", needed_credits, settings)


def hold_for_refused_key(connection: sa.Connection, code: int, settings: Settings) -> None:
    """Hold the account because `getMsg` or `credits` refused the key.

    Args:
        connection: in a transaction.
        code: the provider's.
        settings: for the time of the first probe.
    """
    meaning = lookup(code).meaning
    refused = Refused(code, meaning, Action.HOLD_KEY, meaning)
    hold_for_refusal(connection, refused, epoch=read(connection).epoch, needed_credits=1, settings=settings)


def begin(
    connection: sa.Connection,
    account_state: AccountState,
    reason: HoldReason,
    detail: str,
    needed_credits: int,
    settings: Settings,
) -> None:
    """Hold the account for a reason, in place of the one for which it may be held now, and report the incident.

    Args:
        connection: in a transaction.
        account_state: as it was read with a lock.
        reason: of the hold.
        detail: of the incident, one line.
        needed_credits: of the smallest message that was refused.
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
    effects.note(connection, Effects(hold_changed=True))
    incidents.report(connection, reason, detail=detail)


def _relapses(account_state: AccountState, reason: HoldReason) -> int:
    """How often in a row the provider was down again soon after it came back."""
    if reason is not HoldReason.PROVIDER_DOWN:
        return 0
    soon = account_state.opened_at is not None and account_state.now - account_state.opened_at < dt.timedelta(
        seconds=RELAPSE_SECONDS
    )
    return min(account_state.relapses + 1, MOST_CANARIES - 1) if soon else 0


def judge_canary(connection: sa.Connection, message_id: int, outcome: Outcome, settings: Settings) -> bool:
    """Act on the canary's outcome. True where the hold was lifted and the rest may go."""
    account_state = read(connection, lock=True)
    if account_state.canary_id != message_id or account_state.hold_reason is None:
        return False
    later = account_state.now + dt.timedelta(seconds=settings.balance_seconds)
    if not isinstance(outcome, Accepted):
        # Refused for the account's sake or unknown: later. For the message's own sake, or never tried: another at once.
        own_fault = isinstance(outcome, Invalid) or (isinstance(outcome, Refused) and outcome.action is Action.FAIL)
        at_once = own_fault or isinstance(outcome, Released)
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
        # Enough for the canary but not for the next one: opening would only raise the next incident.
        update(connection, canary_id=None, canary_until=None, balance=left, needed_credits=1, probe_at=later)
        return False
    if (
        account_state.hold_reason is HoldReason.PROVIDER_DOWN
        and account_state.canaries < account_state.relapses
        and following is not None
    ):
        # It fails most of the time: one answer says little. The next canary goes at once.
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
    """Open what was closed for the key or for a provider that was down, now that `credits` is answered.

    For when no message waits that could be the canary. False where it was not closed, or for the balance's sake.
    """
    account_state = read(connection, lock=True)
    if account_state.hold_reason not in {HoldReason.KEY_REFUSED, HoldReason.PROVIDER_DOWN}:
        return False
    _lift(connection, account_state)
    return True


def choose_canary(connection: sa.Connection, balance: int | None, until: dt.datetime) -> int | None:
    """Let one waiting message go: the first by priority and age that the balance covers. None where there is none.

    A balance of None is one that nobody could read: then simply the first goes.
    """
    for candidate in claims.waiting(connection, _CANARY_CANDIDATES):
        if balance is None or candidate.credits <= balance:
            update(connection, canary_id=candidate.id, canary_until=until)
            return candidate.id
    return None


def probe_soon(connection: sa.Connection) -> None:
    """A process has a new key: where the old one was refused, probe at once."""
    if read(connection, lock=True).hold_reason is HoldReason.KEY_REFUSED:
        update(connection, probe_at=db_now())


def next_credits(connection: sa.Connection) -> int | None:
    """The predicted credits of the next message in line, or None where nobody waits."""
    following = claims.waiting(connection, 1)
    return following[0].credits if following else None


def update(connection: sa.Connection, **values: object) -> None:
    """Write columns of the account's row: the balance, the report's lag, the time of the next probe, the canary."""
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
