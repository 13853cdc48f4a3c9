"""Providers and workers that are formulas, with a clock that is a number: what a rule for the calls in flight does.

A call waits at the provider until one of its places is free, takes the provider's time, and waits for its worker,
which handles one answer after the other. So an answer is late where the provider has too many calls, or the worker.
"""

import dataclasses
import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

_SEED = 7
_RATE_WINDOW_SECONDS = 0.5


class Search(Protocol):
    """What is tried."""

    limit: int

    def answered(self, now: float, seconds: float, *, busy: bool, in_flight: int) -> None:
        """Count an answer."""


@dataclasses.dataclass(frozen=True)
class Provider:
    """Answers to calls.

    Attributes:
        seconds: a call takes.
        spread: standard deviation of its logarithm; 0: each takes as long as the others.
        capacity: answers a second at the most, of all workers together.
        places: calls at once at the most, the others queue.
    """

    seconds: float
    spread: float = 0.0
    capacity: float = float("inf")
    places: int | None = None

    def possible(self, workers: int, handled: float) -> float:
        """Answers a second that so many workers could have from it."""
        by_places = float("inf") if self.places is None else self.places / self.seconds
        return min(self.capacity, by_places, workers * handled)


@dataclasses.dataclass
class _Worker:
    search: Search
    handled: float
    stalls: tuple[tuple[float, float], ...]
    in_flight: int = 0
    most: int = 0
    free_at: float = 0.0

    def handles(self, now: float) -> float:
        """When an answer that comes now is handled."""
        begins = max(now, self.free_at)
        for stall, length in self.stalls:
            if stall <= begins < stall + length:
                begins = stall + length
        self.free_at = begins + 1 / self.handled
        return self.free_at


@dataclasses.dataclass(frozen=True)
class Result:
    """What a rule did.

    Attributes:
        most: calls in flight of one worker at the most.
        limits: of the workers at the end.
        answers: their times, of all workers.
        longest: seconds that a call took at the most.
    """

    most: int
    limits: tuple[int, ...]
    answers: list[float]
    longest: float

    def rate(self, since: float, until: float) -> float:
        """Answers a second between two times."""
        return sum(since < each <= until for each in self.answers) / (until - since)

    def reaches(self, rate: float) -> float:
        """Seconds to the first half second with so many answers a second; infinite if there is none."""
        window: deque[float] = deque()
        for each in self.answers:
            window.append(each)
            while window[0] <= each - _RATE_WINDOW_SECONDS:
                window.popleft()
            if len(window) >= rate * _RATE_WINDOW_SECONDS:
                return each
        return float("inf")


def run(
    make: Callable[[], Search],
    provider: Provider,
    seconds: float,
    *,
    workers: int = 1,
    handled: float = 1e6,
    stalls: tuple[tuple[float, float], ...] = (),
) -> Result:
    """Let workers call a provider as often as their searches allow; messages always wait.

    Args:
        make: a search for each worker.
        provider: what they call.
        seconds: how long.
        workers: how many.
        handled: answers a second that one worker can handle.
        stalls: when each worker stops, and for how many seconds.
    """
    rng = random.Random(_SEED)
    each = [_Worker(make(), handled, stalls) for _ in range(workers)]
    events: list[tuple[float, int, int, float, bool]] = []
    queue: deque[tuple[int, float]] = deque()
    answers: list[float] = []
    number = at_provider = 0
    free_at = now = longest = 0.0

    def admit(worker: int, began: float) -> None:
        nonlocal number, at_provider, free_at
        at_provider += 1
        number += 1
        takes = provider.seconds * (rng.lognormvariate(0.0, provider.spread) if provider.spread else 1.0)
        free_at = max(free_at + 1 / provider.capacity, now + takes)
        done = free_at if provider.capacity < float("inf") else now + takes
        heapq.heappush(events, (done, number, worker, began, False))

    def begin(worker: int) -> None:
        this = each[worker]
        while this.in_flight < this.search.limit:
            this.in_flight += 1
            if provider.places is not None and at_provider >= provider.places:
                queue.append((worker, now))
            else:
                admit(worker, now)
        this.most = max(this.most, this.in_flight)

    for worker in range(workers):
        begin(worker)
    while events and events[0][0] <= seconds:
        now, _, worker, began, handled_now = heapq.heappop(events)
        this = each[worker]
        if not handled_now:
            at_provider -= 1
            number += 1
            heapq.heappush(events, (this.handles(now), number, worker, began, True))
            if queue:
                admit(*queue.popleft())
            continue
        answers.append(now)
        longest = max(longest, now - began)
        this.search.answered(now, now - began, busy=True, in_flight=this.in_flight)
        this.in_flight -= 1
        begin(worker)
    return Result(max(one.most for one in each), tuple(one.search.limit for one in each), answers, longest)
