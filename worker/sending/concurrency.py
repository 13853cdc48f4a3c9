"""How many calls may be in flight: the search for the number that brings the most answers a second. Pure.

Too few calls in flight waste time with a slow provider. Too many only wait, at the provider or for a processor here.
The latency of one call does not show which of the two it is, so the number is tried: it doubles while that brings more
answers a second. Later a few more or a few fewer are tried from time to time, and fewer are kept if they bring as much.
A provider that answers 429 or 503 halves the number.
"""

import dataclasses

_START = 8
_LEAST = 4
_ROUND_SECONDS = 0.3
_REST_SECONDS = 3.0
_DOUBLING_GAIN = 1.25
_MORE, _MORE_GAIN = 1.5, 1.1
_FEWER, _FEWER_SHARE = 0.8, 0.97
_IDLE_SHARE = 0.1
"""A round proves something only if at most this share of its answers came while no message waited."""

_LONGEST_PAUSE_SECONDS = 60.0


@dataclasses.dataclass
class Concurrency:
    """The limit of one process. Not thread-safe: the owner holds a lock. All times are seconds of one monotonic clock.

    Attributes:
        most: the highest limit.
        limit: how many calls may be in flight now.
        paused_until: no call may begin earlier.
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
        """Count an answer.

        Args:
            now: the time.
            seconds: how long the call took.
            busy: whether more messages waited to be sent.
        """
        self._latency += (seconds - self._latency) * (0.1 if self._latency else 1.0)
        if self._ends_at < now - 10 * (_ROUND_SECONDS + self._latency):
            self._begin(now)  # a new round after an idle time
        if now < self._counts_from:
            return
        self._answers += 1
        self._idle += not busy
        if now >= self._ends_at:
            self._judge(now)

    def throttled(self, now: float, retry_after: float | None) -> None:
        """Halve the limit after 429 or 503, and pause for as long as `Retry-After` asks, a minute at most."""
        if now >= self._together_until:
            # Halve once for all calls that were in flight together.
            self._together_until = now + self._latency
            self.limit = max(1, self.limit // 2)
            self._doubling, self._before = False, None
            self._begin(now)
        self.paused_until = max(self.paused_until, now + min(retry_after or 0.0, _LONGEST_PAUSE_SECONDS))

    def _begin(self, now: float, rest: float = 0.0) -> None:
        # Answers to calls that began under the previous limit do not count.
        self._counts_from = now + self._latency + rest
        self._ends_at = self._counts_from + max(_ROUND_SECONDS, self._latency)
        self._answers = self._idle = 0

    def _judge(self, now: float) -> None:
        rate = self._answers / (now - self._counts_from)
        conclusive = self._idle <= self._answers * _IDLE_SHARE
        rest = 0.0
        if self._doubling:
            rest = self._double(rate, conclusive=conclusive)
        elif self._before is None:
            if conclusive:
                self._try(rate)
        else:
            rest = self._compare(rate, conclusive=conclusive)
        self._begin(now, rest)

    def _double(self, rate: float, *, conclusive: bool) -> float:
        """Double again, or stop doubling; returns for how many seconds to keep the result."""
        before = self._before
        if not conclusive:
            return 0.0
        if before is not None and rate < before[1] * _DOUBLING_GAIN:
            # Doubling brought, say, a fifth more. A fifth more calls bring the same; fewer are tried next.
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

    def _compare(self, rate: float, *, conclusive: bool) -> float:
        """Keep the limit that was tried, or restore the one before; returns for how many seconds to keep it."""
        if self._before is None:
            return 0.0
        limit, base = self._before
        more = self.limit > limit
        kept = rate >= base * (_MORE_GAIN if more else _FEWER_SHARE)
        if not conclusive:
            kept = not more and kept
        self._before = None
        if not kept:
            self.limit = limit
        elif more:
            self._doubling = True  # more calls bring more answers, so grow fast
        return 0.0 if kept else _REST_SECONDS
