"""The limit of calls at once, against a provider that is a formula and a clock that is a number."""

import pytest

from worker.sending.concurrency import Concurrency


class Provider:
    """Answers after `latency` seconds, but no more than `capacity` a second: what is more than that queues."""

    def __init__(self, latency: float, capacity: float) -> None:
        self.latency = latency
        self.capacity = capacity
        self.now = 0.0

    def serve(self, concurrency: Concurrency, seconds: float, *, busy: bool = True) -> None:
        """So many seconds with as many calls under way as the limit allows."""
        end = self.now + seconds
        while self.now < end:
            at_once = concurrency.limit
            rate = min(at_once / self.latency, self.capacity)
            self.now += 1 / rate
            concurrency.answered(self.now, at_once / rate, busy=busy)


@pytest.mark.parametrize(
    ("latency", "capacity", "least", "most"),
    [(0.001, 1500, 4, 8), (0.2, 1e9, 256, 256), (0.2, 300, 55, 110), (2.0, 1e9, 256, 256), (0.05, 100, 4, 10)],
    ids=["at once", "slow", "slow and narrow", "very slow", "narrow"],
)
def test_there_are_as_many_calls_at_once_as_bring_more_answers(
    latency: float, capacity: float, least: int, most: int
) -> None:
    concurrency = Concurrency(256)
    Provider(latency, capacity).serve(concurrency, 60)
    assert least <= concurrency.limit <= most


def test_a_thousand_answers_a_second_at_two_hundred_milliseconds_are_reached_within_seconds() -> None:
    concurrency = Concurrency(256)
    Provider(0.2, 1e9).serve(concurrency, 5)
    assert concurrency.limit >= 200


def test_a_doubling_that_brings_a_fifth_leaves_a_fifth_more_calls_at_once() -> None:
    concurrency = Concurrency(256)
    Provider(0.2, 770).serve(concurrency, 4)
    assert 150 <= concurrency.limit <= 160


def test_a_provider_that_becomes_narrow_is_given_fewer_and_more_again_when_it_is_wide() -> None:
    concurrency, provider = Concurrency(256), Provider(0.2, 1e9)
    provider.serve(concurrency, 20)
    provider.capacity = 100
    provider.serve(concurrency, 120)
    assert concurrency.limit <= 50
    provider.capacity = 1e9
    provider.serve(concurrency, 60)
    assert concurrency.limit == 256


def test_what_comes_while_there_is_little_to_do_changes_nothing() -> None:
    concurrency = Concurrency(256)
    Provider(0.2, 1e9).serve(concurrency, 20, busy=False)
    assert concurrency.limit == 8


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
