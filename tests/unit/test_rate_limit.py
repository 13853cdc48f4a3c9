"""The arithmetic of the rate limit: slots are evenly spaced and not given too far ahead."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from pyrate_limiter import Rate

from smsclick.provider.clock import clock
from worker.account.rate_limit import Given, Unlimited, give

NOW = 1_790_000_000_000_000
RATE = Rate(limit=50_000, interval=1_000_000, burst=50)
STEP = 20_000


def test_after_a_pause_the_first_may_go_at_once_and_nothing_was_saved_up() -> None:
    assert give(RATE, 0, NOW, 1) == Given(NOW, STEP, NOW + STEP)
    assert give(RATE, NOW - 10**9, NOW, 5) == Given(NOW, STEP, NOW + 5 * STEP)


def test_the_next_ones_follow_without_a_gap_whoever_asks_and_when() -> None:
    assert give(RATE, NOW + STEP, NOW + 7, 1) == Given(NOW + STEP, STEP, NOW + 2 * STEP)


@pytest.mark.parametrize("per_second", [0.1, 0.5, 1, 7, 90, 333, 5000])
def test_any_rate_is_given_out_to_the_last_call(per_second: float) -> None:
    rate = Rate(limit=round(per_second * 1000), interval=1_000_000, burst=20)
    next_at = 0
    for _ in range(10):
        given = give(rate, next_at, NOW, 2)
        assert isinstance(given, Given)
        next_at = given.next_at
    assert 0.999 * per_second <= 20 / ((next_at - NOW) / 1e6) <= per_second


def test_slots_are_not_given_further_ahead_than_the_burst() -> None:
    full = NOW + 50 * STEP
    assert isinstance(give(RATE, full - STEP, NOW, 1), Given)
    assert give(RATE, full, NOW, 1) == pytest.approx(0.02)


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    wait = give(RATE, NOW + 3_600_000_000, NOW, 1)
    assert wait == pytest.approx(0.02)


def test_without_a_limit_calls_leave_at_once_until_the_worker_stops() -> None:
    stopping = threading.Event()
    began = time.monotonic()
    assert asyncio.run(Unlimited().acquire(stopping, clock() + 120))
    assert time.monotonic() - began < 60
    stopping.set()
    assert not asyncio.run(Unlimited().acquire(stopping))
