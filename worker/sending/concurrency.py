"""How many calls at once: as many as bring more answers, and fewer when the provider asks for it.

Too few calls at once waste time behind a slow provider; too many only queue, there or for a processor here. Which it
is cannot be known from the time that one call takes, so it is tried: twice as many while that brings more answers a
second, then now and then a few more or fewer, and fewer stay where they bring as much.
"""

import dataclasses

_START = 8
_LEAST = 4
_ROUND_SECONDS = 0.3
_REST_SECONDS = 3.0
_DOUBLED_BRINGS = 1.25
_MORE, _MORE_BRINGS = 1.5, 1.1
_FEWER, _FEWER_KEEPS = 0.8, 0.97
_IDLE_SHARE = 0.1
"""Of a round's answers, how many may come while nothing more waited to be sent; else it tells nothing."""

_LONGEST_PAUSE = 60.0


@dataclasses.dataclass
class Concurrency:
    """One process's limit. Not thread-safe: its owner has a lock. Times are of one clock, in seconds.

    Attributes:
        most: calls at once at the most.
        limit: calls at once now.
        paused_until: no call begins before.
    """

    most: int
    limit: int = 0
    paused_until: float = float("-inf")
    _latency: float = 0.0
    _counts_from: float = float("-inf")
    _ends_at: float = float("-inf")
    _together_until: float = float("-inf")
    _answers: int = 0
    _idle: int = 0
    _doubling: bool = True
    _before: tuple[int, float] | None = None
    _last_trial: float = _FEWER

    def __post_init__(self) -> None:
        self.limit = min(self.most, self.limit or _START)

    def answered(self, now: float, seconds: float, *, busy: bool) -> None:
        """A call brought its answer.

        Args:
            now: the time.
            seconds: how long the call took.
            busy: whether more waited to be sent.
        """
        self._latency += (seconds - self._latency) * (0.1 if self._latency else 1.0)
        if self._ends_at < now - 10 * (_ROUND_SECONDS + self._latency):
            self._begin(now)  # after an idle time
        if now < self._counts_from:
            return
        self._answers += 1
        self._idle += not busy
        if now >= self._ends_at:
            self._judge(now)

    def pushed_back(self, now: float, retry_after: float | None) -> None:
        """The provider answered 429 or 503: half as many at most, and none until it said."""
        if now >= self._together_until:
            # Once for all calls that were under way together.
            self._together_until = now + self._latency
            self.limit = max(1, self.limit // 2)
            self._doubling, self._before = False, None
            self._begin(now)
        self.paused_until = max(self.paused_until, now + min(retry_after or 0.0, _LONGEST_PAUSE))

    def _begin(self, now: float, rest: float = 0.0) -> None:
        # Answers to calls that left under the last limit do not count.
        self._counts_from = now + self._latency + rest
        self._ends_at = self._counts_from + max(_ROUND_SECONDS, self._latency)
        self._answers = self._idle = 0

    def _judge(self, now: float) -> None:
        rate = self._answers / (now - self._counts_from)
        telling = self._idle <= self._answers * _IDLE_SHARE
        rest = 0.0
        if self._doubling:
            rest = self._double(rate, telling=telling)
        elif self._before is None:
            if telling:
                self._try(rate)
        else:
            rest = self._compare(rate, telling=telling)
        self._begin(now, rest)

    def _double(self, rate: float, *, telling: bool) -> float:
        """Go on doubling, or end it; returns how long to leave it so."""
        before = self._before
        if not telling:
            return 0.0
        if before is not None and rate < before[1] * _DOUBLED_BRINGS:
            # Twice as many brought, say, a fifth more: a fifth more calls bring that too, and fewer are tried next.
            self.limit = max(before[0], round(before[0] * rate / before[1]))
            self._doubling, self._before, self._last_trial = False, None, _MORE
            return _REST_SECONDS
        if self.limit >= self.most:
            self._doubling, self._before = False, None
        else:
            self._before = (self.limit, rate)
            self.limit = min(self.most, self.limit * 2)
        return 0.0

    def _try(self, rate: float) -> None:
        wanted = _FEWER if self._last_trial == _MORE else _MORE
        tried = min(self.most, max(_LEAST, round(self.limit * wanted)))
        self._last_trial = wanted
        if tried != self.limit:
            self._before = (self.limit, rate)
            self.limit = tried

    def _compare(self, rate: float, *, telling: bool) -> float:
        """Keep what was tried, or go back; returns how long to leave it so."""
        if self._before is None:
            return 0.0
        limit, base = self._before
        more = self.limit > limit
        kept = rate >= base * (_MORE_BRINGS if more else _FEWER_KEEPS)
        if not telling:
            kept = not more and kept
        self._before = None
        if not kept:
            self.limit = limit
        elif more:
            self._doubling = True  # there is more to have: quickly on
        return 0.0 if kept else _REST_SECONDS
