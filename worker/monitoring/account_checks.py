"""What an operator should hear of the account: credits, rejections, and how fast the provider answers.

Each `judge_…` is pure and says whether its incident should be open: True, False, or None where nothing should change.
An incident ends well below the limit at which it begins, so that it does not flap.
"""

import dataclasses
import datetime as dt
import statistics
from collections.abc import Sequence

import sqlalchemy as sa

from smsclick._values.times import span
from smsclick.contract import messages
from worker.account import usage
from worker.account.account_state import AccountState
from worker.account.forecast import Forecast
from worker.account.usage import Usage
from worker.alerting.details import NONE, Detail, made
from worker.alerting.wording import DetailCode

HOURS_LEFT = 24.0
"""A balance that lasts for less than this, at the present rate, is an incident."""

LEAST_FINAL = 40
"""With fewer final messages in the hour nothing is said of their share of rejected ones."""

LEAST_USUAL = 200
"""With fewer final messages in the days before, nobody knows what is usual."""

USUAL_REJECTED_SHARE = 0.1
"""Stands for what is usual where that is not known."""

LEAST_SENT = 20
"""With fewer messages, nothing is said of charges or of the provider's speed."""

CREDITS_SHARE = 0.05
"""Charges that differ from the predicted ones by more than this share are an incident."""

SLOW_SECONDS = 5.0
"""A provider whose calls take longer than this, at the median, is slow."""

_HOUR = dt.timedelta(hours=1)
_USUAL = dt.timedelta(days=7)
_RECENT_CALLS = dt.timedelta(minutes=10)
_CALLS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """Whether an incident should be open.

    Attributes:
        kind: of the incident.
        is_open: None where it should stay as it is.
        detail: for its alerts.
    """

    kind: str
    is_open: bool | None
    detail: Detail = NONE


def judgements(connection: sa.Connection, account_state: AccountState) -> list[Judgement]:
    """Judge the account as it is now; each query is bounded.

    Args:
        connection: where to read.
        account_state: as just read.
    """
    now = account_state.now
    recent = usage.read(connection, now - _HOUR, fresh=False)
    usual = usage.read(connection, now - _USUAL, fresh=False) - recent
    balance = account_state.balance
    return [
        judge_balance(balance, usage.present_forecast(connection, account_state), held=not account_state.is_open),
        judge_rejected(recent, usual),
        judge_credits(recent),
        judge_speed(_call_seconds(connection, now)),
    ]


def judge_balance(balance: int | None, found: Forecast | None, *, held: bool) -> Judgement:
    """Whether the balance will soon be used up; while sending is held the present rate says nothing."""
    kind = "balance_ends"
    if found is None or held:
        return Judgement(kind, None)
    if found.seconds_left is None or found.seconds_left > 1.25 * HOURS_LEFT * 3600:
        return Judgement(kind, is_open=False)
    if found.seconds_left >= HOURS_LEFT * 3600:
        return Judgement(kind, None)
    rate = f"{found.credits_per_hour:.0f}"
    detail = made(DetailCode.BALANCE_LASTS, left=str(balance), span=span(found.seconds_left), rate=rate)
    return Judgement(kind, is_open=True, detail=detail)


def judge_rejected(recent: Usage, usual: Usage) -> Judgement:
    """Whether more of the final messages than usual are rejected ones."""
    kind = "many_rejected"
    final, before = recent.delivered + recent.rejected, usual.delivered + usual.rejected
    if final < LEAST_FINAL:
        return Judgement(kind, is_open=False if recent.rejected == 0 else None)
    share = recent.rejected / final
    usual_share = usual.rejected / before if before >= LEAST_USUAL else USUAL_REJECTED_SHARE
    limit = 2 * usual_share + 0.05
    if share > limit:
        detail = made(DetailCode.REJECTED, share=f"{share:.0%}", usual=f"{usual_share:.0%}")
        return Judgement(kind, is_open=True, detail=detail)
    return Judgement(kind, is_open=None if share > (usual_share + limit) / 2 else False)


def judge_credits(recent: Usage) -> Judgement:
    """Whether the provider charges other credits than predicted."""
    kind = "credits_differ"
    if recent.sent < LEAST_SENT or not recent.predicted:
        return Judgement(kind, is_open=False if recent.sent == 0 else None)
    share = abs(recent.credits - recent.predicted) / recent.predicted
    if share > CREDITS_SHARE:
        detail = made(DetailCode.CREDITS, charged=recent.credits, predicted=recent.predicted)
        return Judgement(kind, is_open=True, detail=detail)
    return Judgement(kind, is_open=None if share > CREDITS_SHARE / 2 else False)


def judge_speed(calls: Sequence[float]) -> Judgement:
    """Whether the provider is slow.

    Args:
        calls: seconds from the claim to the recorded answer, of the latest messages.
    """
    kind = "provider_slow"
    if len(calls) < LEAST_SENT:
        return Judgement(kind, is_open=None if calls else False)
    median = statistics.median(calls)
    if median > SLOW_SECONDS:
        detail = made(DetailCode.SLOW, seconds=f"{median:.1f}")
        return Judgement(kind, is_open=True, detail=detail)
    return Judgement(kind, is_open=None if median > SLOW_SECONDS / 2 else False)


def _call_seconds(connection: sa.Connection, now: dt.datetime) -> list[float]:
    query = sa.select(messages.c.attempted_at, messages.c.sent_at).where(
        messages.c.sent_at > now - _RECENT_CALLS,
        messages.c.attempted_at.is_not(None),
        messages.c.id_source.is_(None),
    )
    rows = connection.execute(query.order_by(messages.c.sent_at.desc()).limit(_CALLS))
    return [max(0.0, (row.sent_at - row.attempted_at).total_seconds()) for row in rows]
