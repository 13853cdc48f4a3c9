"""The list of a process's own threads: they are started again where they could not start, and health checks see them.

The thread itself is `smsclick._threads.supervised`, because programs that only install `smsclick` need it too.
"""

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence

from smsclick._threads.supervised import SupervisedThread, periodic

__all__ = ["SupervisedThread", "Supervisor", "ThreadReport", "periodic"]


@dataclasses.dataclass(frozen=True, slots=True)
class ThreadReport:
    """One thread as health checks see it.

    Attributes:
        name: of the thread.
        alive: whether it runs now.
        restarts: how many exceptions its function has ended with.
        failing_seconds: how long it has been failing without any progress; 0 where it is not.
        idle_seconds: since its last progress.
        waits_for: what outside the process it waits for, such as `database`; None where for nothing.
        beats_within: the longest seconds between two heartbeats of a healthy thread; None where there is no limit.
        stalled_because: how it is known that it has stalled, for people.
    """

    name: str
    alive: bool
    restarts: int = 0
    failing_seconds: float = 0.0
    idle_seconds: float = 0.0
    waits_for: str | None = None
    beats_within: float | None = None
    stalled_because: str | None = None

    @property
    def stalled(self) -> bool:
        """Whether it has made no progress for too long, and does not wait for anything outside."""
        return self.waits_for is None and self.beats_within is not None and self.idle_seconds > self.beats_within


class Supervisor:
    """The threads that a process needs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[SupervisedThread] = []
        self._included: list[Callable[[], Sequence[ThreadReport]]] = []

    def add(self, thread: SupervisedThread) -> SupervisedThread:
        """Add a thread and return it: from now on `revive` starts it again and `report` shows it.

        The owner starts it first, when everything that the thread uses exists.
        """
        with self._lock:
            self._threads.append(thread)
        return thread

    def include(self, report: Callable[[], Sequence[ThreadReport]]) -> None:
        """Add to each report what this function returns: the progress of what several threads do together."""
        with self._lock:
            self._included.append(report)

    def remove(self, *threads: SupervisedThread) -> None:
        """Leave threads alone from now on: they run on, and `stop` does not end them."""
        with self._lock:
            self._threads = [each for each in self._threads if each not in threads]

    def revive(self) -> bool:
        """Start the threads that should run and do not; True where all run now. Cheap, and safe from any thread."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive or not thread.is_done]
            threads = list(self._threads)
        started = [thread.start() for thread in threads]  # all of them, also where one cannot start
        return all(started)

    def report(self) -> list[ThreadReport]:
        """The state of each thread now."""
        now = time.monotonic()
        with self._lock:
            threads = [thread for thread in self._threads if thread.is_alive or not thread.is_done]
            included = list(self._included)
        found = [
            ThreadReport(
                name=thread.name,
                alive=thread.is_alive,
                restarts=thread.restarts,
                failing_seconds=thread.failing_seconds,
                idle_seconds=now - thread.last_beat,
                waits_for=thread.waits_for,
                beats_within=thread.beats_within,
            )
            for thread in threads
        ]
        return [*found, *(each for report in included for each in report())]

    def stop(self, seconds: float) -> bool:
        """Ask all threads to end and wait for at most `seconds` in all; True where all have ended."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.stop()
        end = time.monotonic() + seconds
        ended = [thread.join(max(0.0, end - time.monotonic())) for thread in threads]
        return all(ended)
