"""How many calls may be in flight: the search for the number that brings the most answers a second. Pure.

Too few calls in flight waste time with a slow provider. Too many only wait, at the provider or for a processor here.

At first the number grows with each answer, as long as answers take no longer than those before: it doubles within the
time of one call, and grows fourfold where a call takes long. Answers drive it, so a provider that answers little gets
little more, and one that is silent gets none. When answers begin to take longer, more calls would only wait: the number
becomes what the last answers needed. Later a few more or a few fewer are tried from time to time; fewer are kept if
they bring as much, and if more bring more, the number grows again as at first. What was found stays while the process
lives. A provider that answers 429 or 503 halves the number. Why: docs/decisions/0056-calls-in-flight.md.
"""

import dataclasses

_START = 16
_LEAST = 4
_ROUND_SECONDS = 0.3
_REST_SECONDS = 3.0
_MORE, _MORE_GAIN = 1.5, 1.1
_FEWER, _FEWER_SHARE = 0.8, 0.97
_IDLE_SHARE = 0.1
"""A round proves something only if at most this share of its answers came while no message waited."""

_GROWTH = 1
_SLOW_SECONDS, _SLOW_GROWTH = 0.3, 3
"""Further calls for each answer while the number grows; the second where a call takes longer than so many seconds."""
_GENTLE_SECONDS = 60.0
"""For so long after 429 or 503 it grows by the first only."""
_FIRST_ANSWERS = 8
"""Their mean is what a call usually takes."""
_LONGER, _LONGER_SECONDS = 1.5, 0.1
"""Answers take longer than usual: by this factor, and so many seconds for the delays of this process itself."""
_WINDOW_SECONDS = 0.1
_FULL_SHARE = 0.7
"""The number grows only where at least this share of it is in use."""

_LONGEST_PAUSE_SECONDS = 60.0


@dataclasses.dataclass
class Concurrency:
    """The limit of one process. Not thread-safe: one thread changes it. All times are seconds of one monotonic clock.

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
    _gentle_until: float = float("-inf")
    _answers: int = 0
    _idle: int = 0
    _before: tuple[int, float] | None = None
    _last_trial: float = _FEWER
    _growing: bool = True
    _usual: float = 0.0
    _growth_answers: int = 0
    _window: tuple[float, int] = (float("-inf"), 0)
    _rate: float = 0.0

    def __post_init__(self) -> None:
        self.limit = min(self.most, self.limit or _START)

    def answered(self, now: float, seconds: float, *, busy: bool, in_flight: int) -> None:
        """Count an answer.

        Args:
            now: the time.
            seconds: how long the call took.
            busy: whether more messages waited to be sent.
            in_flight: how many calls were, with this one.
        """
        self._latency += (seconds - self._latency) * (0.1 if self._latency else 1.0)
        if self._ends_at < now - 10 * (_ROUND_SECONDS + self._latency):
            self._begin(now)  # a new round after an idle time
            self._growth_answers = 0
        if self._growing:
            self._grow(now, seconds, full=busy and in_flight >= self.limit * _FULL_SHARE)
            return
        if now < self._counts_from:
            return
        self._answers += 1
        self._idle += not busy
        if now >= self._ends_at:
            self._judge(now)

    def throttled(self, now: float, retry_after: float | None) -> None:
        """Halve the limit after 429 or 503, and pause for as long as `Retry-After` asks, a minute at most."""
        self._gentle_until = now + _GENTLE_SECONDS
        if now >= self._together_until:
            # Halve once for all calls that were in flight together.
            self._together_until = now + self._latency
            self.limit = max(1, self.limit // 2)
            self._growing, self._before = False, None
            self._begin(now)
        self.paused_until = max(self.paused_until, now + min(retry_after or 0.0, _LONGEST_PAUSE_SECONDS))

    def _grow(self, now: float, seconds: float, *, full: bool) -> None:
        self._growth_answers += 1
        if self._growth_answers == 1:
            self._usual, self._rate, self._window = seconds, 0.0, (now, 0)
        elif self._growth_answers <= _FIRST_ANSWERS:
            self._usual += (seconds - self._usual) / self._growth_answers
            self._latency = self._usual
        began, answers = self._window
        if (passed := now - began) >= max(_WINDOW_SECONDS, self._usual):
            self._rate, self._window = (answers + 1) / passed, (now, 0)
        else:
            self._window = (began, answers + 1)
        if self._latency > self._usual * _LONGER + _LONGER_SECONDS:
            needed = round(self._rate * self._usual * _LONGER) if self._rate else self.limit
            # This process itself may have been slow for once, so only what the last doubling found is given up.
            found = self.limit // (1 + (_SLOW_GROWTH if self._usual > _SLOW_SECONDS else _GROWTH))
            self.limit = max(min(self.limit, _START), found, min(self.limit, needed))
            self._end_growth(now)
            self._last_trial = _FEWER  # more are tried next
        elif full:
            slow = self._usual > _SLOW_SECONDS and now >= self._gentle_until
            self.limit = min(self.most, self.limit + (_SLOW_GROWTH if slow else _GROWTH))
        if self.limit >= self.most:
            self._end_growth(now)

    def _end_growth(self, now: float) -> None:
        self._growing, self._before, self._last_trial = False, None, _MORE
        self._begin(now)

    def _begin(self, now: float, rest: float = 0.0) -> None:
        # Answers to calls that began under the previous limit do not count.
        self._counts_from = now + self._latency + rest
        self._ends_at = self._counts_from + max(_ROUND_SECONDS, self._latency)
        self._answers = self._idle = 0

    def _judge(self, now: float) -> None:
        rate = self._answers / (now - self._counts_from)
        conclusive = self._idle <= self._answers * _IDLE_SHARE
        rest = 0.0
        if self._before is not None:
            rest = self._compare(rate, conclusive=conclusive)
        elif conclusive:
            self._try(rate)
        self._begin(now, rest)

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
            self._growing, self._growth_answers = True, 0  # more calls bring more answers, so grow fast
        return 0.0 if kept else _REST_SECONDS
