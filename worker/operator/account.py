"""Hold and resume the account, and say in words why it is held."""

from smsclick._database.engine import Database
from smsclick.contract import HoldReason
from worker.account import holds
from worker.account.holds import AccountState

_REASONS = {
    HoldReason.NO_BALANCE: "no balance",
    HoldReason.KEY_REFUSED: "the APIKEY is refused",
    HoldReason.PROVIDER_DOWN: "the provider does not answer",
}


def hold(database: Database) -> bool:
    """Stop sending until `resume`; requests that are in flight end normally.

    Returns:
        False if an operator held the account already.
    """
    with database.begin() as connection:
        return holds.hold_by_operator(connection)


def resume(database: Database) -> AccountState:
    """Lift the operator's hold.

    Returns:
        The account's state afterwards: another reason, such as no balance, may still hold it.
    """
    with database.begin() as connection:
        return holds.lift_operator_hold(connection)


def hold_reasons(state: AccountState) -> list[str]:
    """Return why the account is held, one phrase for each reason; empty if it is not held."""
    reasons = [] if state.operator_hold_at is None else ["by an operator: smsclick resume lifts it"]
    if state.restored_since is not None:
        reasons.append(
            "a backup was restored: messages that could have been sent since the backup are being reconciled"
            if state.restored_at is not None
            else "a backup was restored, and smsclick restored did not finish: run it again"
        )
    if state.hold_reason is not None:
        reasons.append(_REASONS.get(state.hold_reason, str(state.hold_reason)))
    return reasons
