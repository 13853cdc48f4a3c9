"""When the balance will be used up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.account.forecast import LEAST_SECONDS, Forecast, forecast


def test_the_present_rate_says_when_the_balance_is_used_up() -> None:
    assert forecast(2400, charged=100, seconds=3600) == Forecast(100.0, 24 * 3600.0)


def test_what_was_charged_since_the_balance_was_read_is_gone() -> None:
    made = forecast(100, charged=3600, seconds=3600, balance_age_seconds=40)
    assert made == Forecast(3600.0, 60.0)


def test_without_charges_it_lasts_forever() -> None:
    assert forecast(5, charged=0, seconds=3600) == Forecast(0.0, None)


@pytest.mark.parametrize(("balance", "seconds"), [(None, 3600.0), (100, LEAST_SECONDS - 1)])
def test_nothing_is_said_of_an_unknown_balance_or_of_a_few_minutes(balance: int | None, seconds: float) -> None:
    assert forecast(balance, charged=10, seconds=seconds) is None


@given(
    balance=st.integers(0, 10**9),
    per_second=st.floats(1e-4, 1e4),
    seconds=st.floats(LEAST_SECONDS, 86_400),
)
def test_a_steady_rate_is_met_exactly(balance: int, per_second: float, seconds: float) -> None:
    made = forecast(balance, charged=per_second * seconds, seconds=seconds)
    assert made is not None
    assert made.seconds_left == pytest.approx(balance / per_second)
