"""The threads of a worker process: all supervised, started again where they could not start, and seen by health checks.

The thread itself is `smsclick._threads.supervised`, which the wheel has too; here is the list of a process's own.
"""

import dataclasses
import threading
import time

from smsclick._threads.supervised import SupervisedThread, periodic

__all__ = ["SupervisedThread", "Supervisor", "ThreadReport", "periodic"]


@dataclasses.dataclass(frozen=True, slots=True)
class ThreadReport:
    """One thread as health checks see it.

    Attributes:
        name: of the thread.
        alive: whether it runs.
        restarts: how many exceptions its function has ended with.
        failing_seconds: how long it has been failing without any progress; 0 where it is not.
        idle_seconds: since it last progressed.
        waits_for: what it waits for without being to blame.
        beats_within: how many seconds it may take from one progress to the next; None: as many as it likes.
    """

    name: str
    alive: bool
    restarts: int = 0
    failing_seconds: float = 0.0
    idle_seconds: float = 0.0
    waits_for: str | None = None
    beats_within: float | None = None

    @property
    def stalled(self) -> bool:
        """Whether it has stood still for too long, and is itself to blame."""
        return self.waits_for is None and self.beats_within is not None and self.idle_seconds > self.beats_within


class Supervisor:
    """The threads that a process cannot do without."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[SupervisedThread] = []

    def add(self, thread: SupervisedThread) -> SupervisedThread:
        """Watch over a thread of this process: `revive` starts it again, and `report` shows it; returns it.

        Its owner starts it, once whatever the thread looks at is there.
        """
        with self._lock:
            self._threads.append(thread)
        return thread

    def revive(self) -> bool:
        """Start what does not run and should; returns whether all of it runs now. Cheap, and safe from any thread."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive or not thread.is_done]
            threads = list(self._threads)
        started = [thread.start() for thread in threads]  # all of them, whether or not one cannot
        return all(started)

    def report(self) -> list[ThreadReport]:
        """How each thread is now."""
        now = time.monotonic()
        with self._lock:
            threads = [thread for thread in self._threads if thread.is_alive or not thread.is_done]
        return [
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

    def stop(self, seconds: float) -> bool:
        """Ask all to end, and wait for them so long in all; whether they have."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.stop()
        end = time.monotonic() + seconds
        ended = [thread.join(max(0.0, end - time.monotonic())) for thread in threads]
        return all(ended)
