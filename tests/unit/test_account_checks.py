"""When an incident about the account opens, ends, or stays as it is."""

from __future__ import annotations

import pytest

from worker.account.forecast import Forecast
from worker.account.usage import Usage
from worker.monitoring.account_checks import judge_balance, judge_credits, judge_rejected, judge_speed

HOUR = 3600.0


@pytest.mark.parametrize(
    ("left", "held", "found"),
    [
        (23 * HOUR, False, True),
        (24 * HOUR, False, None),
        (29 * HOUR, False, None),
        (31 * HOUR, False, False),
        (None, False, False),
        (1 * HOUR, True, None),
    ],
)
def test_a_balance_that_lasts_for_less_than_a_day(left: float | None, *, held: bool, found: bool | None) -> None:
    assert judge_balance(100, Forecast(10.0, left), held=held).is_open is found


def test_without_a_forecast_nothing_changes() -> None:
    assert judge_balance(None, None, held=False).is_open is None


@pytest.mark.parametrize(
    ("rejected", "final", "usual", "found"),
    [
        (30, 100, (50, 1000), True),  # usually 5 %, the limit is 15 %
        (14, 100, (50, 1000), None),
        (9, 100, (50, 1000), False),
        (30, 100, (600, 1000), False),
        (26, 100, (0, 10), True),  # nobody knows what is usual: 10 %
        (24, 100, (0, 10), None),
        (39, 39, (0, 1000), None),
        (0, 10, (0, 1000), False),
    ],
)
def test_rejections_above_their_usual_rate(
    rejected: int, final: int, usual: tuple[int, int], *, found: bool | None
) -> None:
    before = Usage(delivered=usual[1] - usual[0], rejected=usual[0])
    assert judge_rejected(Usage(delivered=final - rejected, rejected=rejected), before).is_open is found


@pytest.mark.parametrize(
    ("sent", "charged", "predicted", "found"),
    [
        (100, 106, 100, True),
        (100, 90, 100, True),
        (100, 104, 100, None),
        (100, 102, 100, False),
        (19, 40, 19, None),
        (0, 0, 0, False),
    ],
)
def test_charges_that_differ_from_the_prediction(
    sent: int, charged: int, predicted: int, *, found: bool | None
) -> None:
    assert judge_credits(Usage(sent=sent, credits=charged, predicted=predicted)).is_open is found


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ([6.0] * 11 + [0.1] * 9, True),
        ([3.0] * 20, None),
        ([0.2] * 20, False),
        ([9.0] * 19, None),
        ([], False),
    ],
)
def test_a_provider_that_is_slow(calls: list[float], *, found: bool | None) -> None:
    assert judge_speed(calls).is_open is found
