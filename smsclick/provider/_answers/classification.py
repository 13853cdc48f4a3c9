"""Decides what became of a send: whether its message may ever be sent again depends on nothing else.

So it says `Accepted` or `Refused` only if the answer proves it, and `Unknown` in every other case.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from smsclick.provider._answers.amounts import parse_amount
from smsclick.provider._answers.body_text import decode
from smsclick.provider._answers.fields import read_codigo, read_description, read_id
from smsclick.provider._answers.json_body import JsonFloat, JsonObject, NoObject, parse_object, without_accents
from smsclick.provider._answers.query import REDIRECT, is_redirect, is_trusted
from smsclick.provider.codes import ACCEPTED, Action, lookup
from smsclick.provider.failures import FailureKind
from smsclick.provider.results import Accepted, HttpAnswer, Refused, SendResult, TransportFailure, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from decimal import Decimal

_HIDDEN_ONE: Final = re.compile(r"codigo[\W_]*0*1(?![0-9])")
"""`codigo` 1 inside a text, written in any way."""


def classify_send(answer: HttpAnswer | TransportFailure, *, hide: Iterable[str] = ()) -> SendResult:
    """Decide what became of a send.

    *Accepted*: the body is one readable JSON object with `codigo` 1 and a usable `id_mensaje`, whatever the
    HTTP status. *Refused*: a readable error code that nothing in the answer puts in doubt, or proof that the
    request never left. *Unknown*: everything else, without exception; in particular every other answer that
    has `codigo` 1 anywhere.

    Args:
        answer: The end of the call.
        hide: Words that must not appear in a description even if the provider echoes them: key, phone, text.

    Returns:
        One of the three. Never raises.
    """
    if isinstance(answer, TransportFailure):
        if answer.never_left:
            reason = f"{answer.reason}; the request never left"
            return Refused(None, "", Action.RETRY, reason, withheld=answer.kind is FailureKind.WITHHELD)
        return Unknown(f"{answer.reason}; the request may have arrived")
    reply = parse_object(decode(answer.body))
    if isinstance(reply, NoObject):
        why = REDIRECT if is_redirect(answer.status) else reply.why
        return Unknown(f"HTTP {answer.status}, {why}", None, answer.status, answer.retry_after)
    code = read_codigo(reply)
    if code == ACCEPTED:
        return _accepted(answer.status, reply, hide)
    return _refused(answer, reply, code, hide)


def _doubt(reply: JsonObject) -> str | None:
    """Return in a few words what puts the error code of a body in doubt, or None if nothing does."""
    for value in _walk(reply):
        if isinstance(value, JsonObject):
            if value.repeated:
                return "a name comes twice"
            if any("codigo" in name for name in value.fields if value is not reply or name != "codigo"):
                return "more than one codigo"
            if not _is_no_id(value.get("idmensaje")):
                return "an error code with an id_mensaje"
        elif isinstance(value, str) and any(_HIDDEN_ONE.search(without_accents(each)) for each in _readings(value)):
            return "an error code that mentions codigo 1"
    return None


def _readings(text: str) -> Iterator[str]:
    """Yield a text, and the texts it may be if it is UTF-8 that one broken byte elsewhere made us read otherwise."""
    yield text
    if not text.isascii():
        for encoding in ("cp1252", "latin-1"):
            yield text.encode(encoding, "ignore").decode("utf-8", "ignore")


def _is_no_id(value: object) -> bool:
    """Whether an `id_mensaje` says that there is no message: absent, null, blank or 0, as in errors of other calls."""
    if isinstance(value, str):
        return value.strip().lower() in {"", "0", "null"}
    if isinstance(value, JsonFloat):
        return value.whole == 0
    return value is None or (value == 0 and type(value) is int)


def _walk(root: object) -> Iterator[object]:
    """Yield every value of a tree. Without recursion, because the provider chooses its depth."""
    left = [root]
    while left:
        value = left.pop()
        yield value
        if isinstance(value, JsonObject):
            left.extend(value.fields.values())
        elif isinstance(value, list):
            left.extend(value)


def _accepted(status: int, reply: JsonObject, hide: Iterable[str]) -> Accepted | Unknown:
    id_mensaje = read_id(reply.get("idmensaje"))
    if id_mensaje is None or reply.repeated & {"codigo", "idmensaje"}:
        return Unknown(f"HTTP {status}, codigo 1 without one usable id_mensaje", ACCEPTED, status)
    charged = parse_amount(reply.get("creditosusados"))
    fraction = charged is not None and charged != charged.to_integral_value()
    return Accepted(id_mensaje, _credits_used(charged), read_description(reply.get("descripcion"), hide), fraction)


def _refused(answer: HttpAnswer, reply: JsonObject, code: int | None, hide: Iterable[str]) -> Refused | Unknown:
    status = answer.status
    if code is None:
        why = REDIRECT if is_redirect(status) else "no readable codigo"
        return Unknown(f"HTTP {status}, {why}", None, status, answer.retry_after)
    if not is_trusted(status):
        why = REDIRECT if is_redirect(status) else "which proves nothing"
        return Unknown(f"HTTP {status}, {why}", code, status, answer.retry_after)
    if doubt := _doubt(reply):
        return Unknown(f"HTTP {status}, {doubt}", code, status, answer.retry_after)
    row = lookup(code)
    return Refused(code, read_description(reply.get("descripcion"), hide), row.action, row.meaning)


def _credits_used(charged: Decimal | None) -> int | None:
    """Return the price of a message; a part of a credit counts as a whole one, so that a forecast is never too low."""
    return math.ceil(charged) if charged is not None and 0 <= charged < 2**31 else None
