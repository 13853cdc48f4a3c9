"""The search for the calls in flight, against simulated providers and workers: how far too many, and how soon."""

import math

import pytest

from tests.simulated_calls import Provider, Result, run
from worker.sending.concurrency import Concurrency

_MOST = 2000
_SECONDS = 20.0
_CASES = {
    "worker at its limit": (Provider(0.2), 2, 1500.0, (), 4.5, 2.0),
    "worker at its limit that stops now and then": (Provider(0.2), 2, 1500.0, ((0.5, 0.15), (2.0, 0.3)), 7.0, 2.2),
    "worker at its limit, times differ": (Provider(0.2, spread=0.3), 2, 1500.0, (), 3.6, 2.2),
    "worker at its limit, times differ much": (Provider(0.2, spread=0.6), 2, 1500.0, (), 4.6, 2.6),
    "worker at its limit, slow provider": (Provider(0.4), 1, 1500.0, (), 3.7, 2.7),
    "narrow provider": (Provider(0.2, capacity=300), 1, 1e6, (), 4.8, 1.2),
    "provider with few places": (Provider(0.2, places=100), 1, 1e6, (), 20.5, 1.2),
}
"""Provider, workers, answers a second that each handles, when it stops and for how long; then what is allowed: calls in
flight for each that is needed, and seconds to nine tenths of the possible rate. The rule needs little less."""


@pytest.fixture(scope="module", params=_CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, Result]:
    provider, workers, handled, stalls, _, _ = _CASES[request.param]
    found = run(lambda: Concurrency(_MOST), provider, _SECONDS, workers=workers, handled=handled, stalls=stalls)
    return request.param, found


def _possible(name: str) -> float:
    provider, workers, handled, *_ = _CASES[name]
    return provider.possible(workers, handled)


def test_no_more_calls_are_in_flight_than_a_few_times_what_is_needed(case: tuple[str, Result]) -> None:
    name, found = case
    provider, workers, _, _, most, _ = _CASES[name]
    needed = _possible(name) * provider.seconds * math.exp(provider.spread**2 / 2) / workers
    assert found.most <= needed * most


def test_nine_tenths_of_the_possible_rate_are_reached_soon(case: tuple[str, Result]) -> None:
    name, found = case
    assert found.reaches(0.9 * _possible(name)) <= _CASES[name][5]


def test_the_possible_rate_is_kept(case: tuple[str, Result]) -> None:
    name, found = case
    assert found.rate(_SECONDS / 2, _SECONDS) >= 0.95 * _possible(name)


def test_two_workers_get_what_a_provider_of_one_second_can_give_them() -> None:
    found = run(lambda: Concurrency(_MOST), Provider(1.0), 30, workers=2, handled=1200)
    assert found.reaches(1500) <= 5.0
    assert found.rate(15, 30) >= 1500


def test_two_workers_share_a_narrow_provider_without_loss() -> None:
    found = run(lambda: Concurrency(_MOST), Provider(0.2, capacity=1000), 20, workers=2)
    assert found.rate(10, 20) >= 950


def test_a_provider_that_never_answers_gets_no_more_calls() -> None:
    found = run(lambda: Concurrency(_MOST), Provider(1000.0), 100)
    assert found.most == Concurrency(_MOST).limit
