"""What all queries (`getMsg`, `report`, `credits`) have in common: only `codigo` 1 brings data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from smsclick.errors import ProviderRefused, UnreadableAnswer
from smsclick.provider._answers.fields import read_codigo, read_description
from smsclick.provider._answers.json_body import JsonObject, NoObject
from smsclick.provider.codes import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smsclick.provider.results import HttpAnswer

REDIRECT: Final = "a redirect, which is never followed: check SMSCLICK_BASE_URL"
"""Without its `Location`, which may repeat what was sent."""


def is_redirect(status: int) -> bool:
    """Whether an HTTP status names another address."""
    return 300 <= status < 400


def is_trusted(status: int) -> bool:
    """Whether an error with this HTTP status comes from the provider itself and not from something on the way."""
    return 200 <= status < 300 or (400 <= status < 500 and status not in (408, 429))


def require_accepted(reply: JsonObject | NoObject, answer: HttpAnswer, hide: Iterable[str]) -> JsonObject:
    """Return a query's object if it carries `codigo` 1.

    Args:
        reply: What was read of the body.
        answer: Its HTTP answer.
        hide: Words that must not appear in a description even if the provider echoes them.

    Raises:
        ProviderRefused: It carries another code.
        UnreadableAnswer: It is no such answer.
    """
    if not is_trusted(answer.status):
        raise_unreadable(answer, "which proves nothing")
    if isinstance(reply, NoObject):
        raise_unreadable(answer, reply.why)
    code = read_codigo(reply)
    if code is None or reply.repeated:
        raise_unreadable(answer, "no readable codigo" if code is None else "a name comes twice")
    if code != ACCEPTED:
        raise ProviderRefused(code, read_description(reply.get("descripcion"), hide))
    if answer.status >= 300:
        raise_unreadable(answer, "codigo 1 with an HTTP error")
    return reply


def raise_unreadable(answer: HttpAnswer, why: str) -> NoReturn:
    """Raise the error of an answer that proves nothing.

    Args:
        answer: The HTTP answer.
        why: A few words for a person. A redirect is a reason of its own and replaces them.

    Raises:
        UnreadableAnswer: Always.
    """
    why = REDIRECT if is_redirect(answer.status) else why
    raise UnreadableAnswer(f"HTTP {answer.status}, {why}", answer.status, answer.retry_after)
