"""The answer of `credits`: the account's balance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smsclick.errors import UnreadableBalance
from smsclick.provider._answers.amounts import parse_amount
from smsclick.provider._answers.body_text import decode
from smsclick.provider._answers.json_body import parse_object
from smsclick.provider._answers.query import require_accepted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from smsclick.provider.results import HttpAnswer


def parse_credits(answer: HttpAnswer, *, hide: Iterable[str] = ()) -> Decimal:
    """Read the answer of `credits` (manual: "API Crédito").

    Args:
        answer: The HTTP answer.
        hide: Words that must not appear in a description even if the provider echoes them.

    Returns:
        Credits available; most providers count whole ones.

    Raises:
        ProviderRefused: The answer carries another code than 1.
        UnreadableBalance: It is such an answer, but its `creditos` is not an amount.
        UnreadableAnswer: It is no such answer.
    """
    reply = require_accepted(parse_object(decode(answer.body)), answer, hide)
    balance = parse_amount(reply.get("creditos"))
    if balance is None:
        raise UnreadableBalance(f"HTTP {answer.status}, creditos is not an amount", answer.status, answer.retry_after)
    return balance
