"""Hold and resume the account, and say in words why it is held."""

import dataclasses
import datetime as dt
import enum
import re
from collections.abc import Mapping
from typing import Final

from smsclick._database.engine import Database
from smsclick._values import harmless
from worker.account import account_state, holds
from worker.account.account_state import AccountState
from worker.alerting.wording import Language
from worker.sql import audit
from worker.sql.audit import Act

REASON_CHARACTERS: Final = 200
"""Of what a person says why the account is held; longer words are cut."""

_NUMBER: Final = re.compile(r"\+?\d[\d ().-]{8,}\d")
"""What may be a phone: neither the account's row nor the audit holds one."""


class HoldCode(enum.StrEnum):
    """Why nothing is sent."""

    OPERATOR = "operator"
    RESTORED = "restored"
    RESTORE_UNFINISHED = "restore_unfinished"
    NO_BALANCE = "no_balance"
    KEY_REFUSED = "key_refused"
    PROVIDER_DOWN = "provider_down"


_REASONS: Final[Mapping[Language, Mapping[HoldCode, str]]] = {
    "en": {
        HoldCode.OPERATOR: "by an operator: smsclick resume lifts it",
        HoldCode.RESTORED: (
            "a backup was restored: messages that could have been sent since the backup are being reconciled"
        ),
        HoldCode.RESTORE_UNFINISHED: "a backup was restored, and smsclick restored did not finish: run it again",
        HoldCode.NO_BALANCE: "no balance",
        HoldCode.KEY_REFUSED: "the APIKEY is refused",
        HoldCode.PROVIDER_DOWN: "the provider does not answer",
    },
    "es": {
        HoldCode.OPERATOR: "por un operador: smsclick resume lo reanuda",
        HoldCode.RESTORED: (
            "se restauró un respaldo: se concilian los mensajes que pudieron enviarse después del respaldo"
        ),
        HoldCode.RESTORE_UNFINISHED: "se restauró un respaldo y smsclick restored no terminó: ejecútelo otra vez",
        HoldCode.NO_BALANCE: "no hay saldo",
        HoldCode.KEY_REFUSED: "la APIKEY fue rechazada",
        HoldCode.PROVIDER_DOWN: "el proveedor no responde",
    },
}


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """One reason why the account is held.

    Attributes:
        code: the reason.
        since: from when on; None where that is not known.
        by: the person, of an operator's hold; None where no name was given.
        why: in that person's words; None where none were given.
    """

    code: HoldCode
    since: dt.datetime | None
    by: str | None = None
    why: str | None = None

    def words(self, language: Language = "en") -> str:
        """The reason as a phrase."""
        return _REASONS[language][self.code]


def hold(database: Database, *, actor: str, why: str = "") -> bool:
    """Stop sending until `resume`; requests that are in flight end normally.

    Args:
        database: of the account.
        actor: who does it, for the audit record.
        why: the reason in that person's words, which everybody sees while the account is held. Numbers that may be a
            phone are left out.

    Returns:
        False if an operator held the account already; then that hold keeps its name and reason.
    """
    said = _NUMBER.sub("…", " ".join(harmless.for_terminal(why).split()))[:REASON_CHARACTERS]
    with database.begin() as connection:
        held = holds.hold_by_operator(connection, actor=audit.name_of(actor), why=said or None)
        audit.record(connection, Act.HOLD, actor, count=int(held), detail=said)
        return held


def resume(database: Database, *, actor: str) -> AccountState:
    """Lift the operator's hold.

    Args:
        database: of the account.
        actor: who does it, for the audit record.

    Returns:
        The account's state afterwards: another reason, such as no balance, may still hold it.
    """
    with database.begin() as connection:
        was_held = account_state.read(connection, lock=True).operator_hold_at is not None
        audit.record(connection, Act.RESUME, actor, count=int(was_held))
        return holds.lift_operator_hold(connection)


def in_force(state: AccountState) -> list[Hold]:
    """Return every reason why the account is held now; empty if it is not held."""
    found = []
    if state.operator_hold_at is not None:
        found.append(Hold(HoldCode.OPERATOR, state.operator_hold_at, state.operator_hold_by, state.operator_hold_why))
    if state.restored_since is not None:
        finished = state.restored_at is not None
        found.append(Hold(HoldCode.RESTORED if finished else HoldCode.RESTORE_UNFINISHED, state.restored_at))
    if state.hold_reason is not None:
        found.append(Hold(HoldCode(state.hold_reason), state.hold_since))
    return found


def hold_reasons(state: AccountState, language: Language = "en") -> list[str]:
    """Return why the account is held, one phrase for each reason; empty if it is not held."""
    return [each.words(language) for each in in_force(state)]
