"""What only this process's memory knows: durations, and how many calls are in flight.

Counting is an addition under a lock of this object, so it may stand in the path of every message.
`worker.metrics.reporter` writes what was counted every few seconds; a killed process loses what came since.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence

from worker.metrics import histograms
from worker.metrics.tallies import Tally

CALLS = "calls"
CALL_SECONDS = "call_seconds"
WAIT_SECONDS = "wait_seconds"
_MOST_SERIES = 500
"""More names and labels than this are a defect of ours: what is new then is not counted."""


class ProcessMetrics:
    """The counters and gauges of one process. All methods are safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: Counter[Tally] = Counter()
        self._gauges: dict[str, Callable[[], float]] = {}

    def count(self, name: str, label: str = "", amount: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._add(name, label, amount)

    def observe(self, name: str, seconds: float, limits: Sequence[float] = histograms.FAST_SECONDS) -> None:
        """Add a duration to a histogram."""
        parts = histograms.counts(seconds, limits)
        with self._lock:
            for part, amount in parts.items():
                self._add(name, part, amount)

    def call_ended(self, outcome: str, code: int | None, seconds: float, waited_seconds: float | None) -> None:
        """Note one call of `sendMsg`.

        Args:
            outcome: `accepted`, `refused` or `unknown`.
            code: the provider's `codigo`; None where none could be read.
            seconds: how long it took.
            waited_seconds: from when the message could first be sent to the call; None for a later attempt.
        """
        self.count(CALLS, f"{outcome} {'none' if code is None else code}")
        self.observe(CALL_SECONDS, seconds)
        if waited_seconds is not None:
            self.observe(WAIT_SECONDS, waited_seconds)

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Have the reporter ask for a value of now; `name` is a column of `smsclick_worker_gauges`."""
        self._gauges[name] = read

    def gauges(self) -> dict[str, int]:
        """The gauges' values now."""
        return {name: int(read()) for name, read in self._gauges.items()}

    def take(self) -> Counter[Tally]:
        """What was counted since the last call."""
        with self._lock:
            since_last, self._counted = self._counted, Counter()
            return since_last

    def give_back(self, since_last: Counter[Tally]) -> None:
        """Count again what `take` gave and could not be written."""
        with self._lock:
            self._counted.update(since_last)

    def _add(self, name: str, label: str, amount: int) -> None:
        tally = (name, label)
        if tally in self._counted or len(self._counted) < _MOST_SERIES:
            self._counted[tally] += amount
