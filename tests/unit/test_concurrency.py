"""The limit of calls at once, against a provider that is a formula and a clock that is a number."""

import collections

import pytest

from worker.sending.concurrency import Concurrency


class Provider:
    """Answers after `latency` seconds, but no more than `capacity` a second: what is more than that queues."""

    def __init__(self, latency: float, capacity: float) -> None:
        self.latency = latency
        self.capacity = capacity
        self.now = 0.0
        self.longest = 0.0
        """Seconds that a call took at the most."""
        self._free_at = 0.0
        self._calls: collections.deque[tuple[float, float]] = collections.deque()

    def serve(self, concurrency: Concurrency, seconds: float, *, busy: bool = True) -> None:
        """So many seconds with as many calls under way as the limit allows."""
        end = self.now + seconds
        while self.now < end:
            while len(self._calls) < concurrency.limit:
                self._free_at = max(self._free_at + 1 / self.capacity, self.now + self.latency)
                self._calls.append((self.now, self._free_at))
            began, self.now = self._calls.popleft()
            self.longest = max(self.longest, self.now - began)
            concurrency.answered(self.now, self.now - began, busy=busy, in_flight=len(self._calls) + 1)


@pytest.mark.parametrize(
    ("latency", "capacity", "least", "most"),
    [(0.001, 1500, 4, 10), (0.2, 1e9, 1600, 2000), (0.2, 300, 50, 110), (2.0, 1e9, 1600, 2000), (0.05, 100, 4, 10)],
    ids=["at once", "slow", "slow and narrow", "very slow", "narrow"],
)
def test_there_are_as_many_calls_at_once_as_bring_more_answers(
    latency: float, capacity: float, least: int, most: int
) -> None:
    concurrency = Concurrency(2000)
    Provider(latency, capacity).serve(concurrency, 60)
    assert least <= concurrency.limit <= most


@pytest.mark.parametrize(
    ("latency", "seconds", "rate"), [(0.02, 0.5, 1500), (0.2, 1.2, 1500), (0.4, 2.0, 1500), (1.0, 3.1, 1000)]
)
def test_the_rate_of_a_wide_provider_is_reached_within_seconds(latency: float, seconds: float, rate: float) -> None:
    concurrency = Concurrency(2000)
    Provider(latency, 1e9).serve(concurrency, seconds)
    assert concurrency.limit >= rate * latency


@pytest.mark.parametrize(("latency", "capacity"), [(0.05, 100), (0.2, 300), (0.2, 770), (1.0, 100)])
def test_a_narrow_provider_is_given_little_more_than_it_can_take(latency: float, capacity: float) -> None:
    concurrency, provider = Concurrency(2000), Provider(latency, capacity)
    provider.serve(concurrency, 20)
    assert provider.longest <= max(0.6, 6 * latency)
    assert concurrency.limit <= max(16, 2 * latency * capacity)


def test_a_provider_that_becomes_narrow_is_given_fewer_and_more_again_when_it_is_wide() -> None:
    concurrency, provider = Concurrency(256), Provider(0.2, 1e9)
    provider.serve(concurrency, 20)
    provider.capacity = 100
    provider.serve(concurrency, 120)
    assert concurrency.limit <= 50
    provider.capacity = 1e9
    provider.serve(concurrency, 60)
    assert concurrency.limit >= 200  # a few fewer are tried from time to time


def test_what_comes_while_there_is_little_to_do_changes_nothing() -> None:
    concurrency = Concurrency(256)
    Provider(0.2, 1e9).serve(concurrency, 20, busy=False)
    assert concurrency.limit == 16


def test_throttling_halves_the_limit_once_for_all_calls_under_way() -> None:
    concurrency, provider = Concurrency(256), Provider(0.2, 1e9)
    provider.serve(concurrency, 20)
    for step in range(100):
        concurrency.throttled(provider.now + step / 1000, None)
    assert concurrency.limit == 128


def test_throttling_pauses_for_the_requested_time_but_at_most_a_minute() -> None:
    concurrency = Concurrency(256)
    concurrency.throttled(100.0, 5.0)
    assert concurrency.paused_until == 105.0
    concurrency.throttled(106.0, 86_400.0)
    assert concurrency.paused_until == 166.0


def test_the_limit_grows_again_after_throttling() -> None:
    concurrency, provider = Concurrency(256), Provider(0.2, 1e9)
    provider.serve(concurrency, 20)
    for _ in range(4):
        provider.now += 1.0
        concurrency.throttled(provider.now, None)
    assert concurrency.limit == 16
    provider.serve(concurrency, 60)
    assert concurrency.limit == 256


def test_the_limit_is_never_more_than_allowed_and_never_none() -> None:
    concurrency, provider = Concurrency(3), Provider(0.2, 1e9)
    provider.serve(concurrency, 10)
    assert concurrency.limit == 3
    for _ in range(10):
        provider.now += 1.0
        concurrency.throttled(provider.now, None)
    assert concurrency.limit == 1
