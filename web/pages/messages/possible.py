"""Which acts a message allows now, as the person is shown them. Pure."""

import enum
from collections.abc import Mapping
from typing import Any

from smsclick.contract import IfAbsent, State


class Act(enum.StrEnum):
    """What a person can do with one message; the value is the last part of the form's address."""

    CANCEL = "cancelar"
    RETRY = "reintentar"
    ACCEPTED = "aceptado"
    NOT_ACCEPTED = "no-aceptado"
    RESEND = "reenviar"


def acts(message: Mapping[str, Any], now: Any) -> list[tuple[Act, str]]:  # noqa: ANN401 - a time, compared only
    """Return the acts that are possible, each with the code of the text that says its consequence.

    Args:
        message: its columns by name.
        now: by the database's clock.
    """
    state, erased = message["state"], message["erased_at"] is not None
    expires = message["expires_at"]
    over = expires is not None and expires <= now
    if state == State.QUEUED:
        return [(Act.CANCEL, "act.cancel.then")]
    if state == State.FAILED and not erased and not over:
        return [(Act.RETRY, "act.retry.then")]
    if state != State.UNKNOWN:
        return []
    found = [(Act.ACCEPTED, "act.accepted.then")]
    if not erased:
        fails = message["if_absent"] == IfAbsent.FAIL
        found.append((Act.NOT_ACCEPTED, "act.not_accepted.fails" if fails else "act.not_accepted.again"))
        found.append((Act.RESEND, "act.resend.then"))
    return found
