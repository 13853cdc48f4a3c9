"""The threads that run ticks: in the background process, or in the worker itself where there is none.

Each kind of tick has threads of its own, so that a slow report or receiver holds up no other kind. A further thread
makes the ticks that nobody else makes: by the monotonic clock, so that work goes on while beat or the broker is away.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from smsclick._logs.event_log import EventLog
from worker.background.tick import URGENT, Tick
from worker.queue.odd_rows import place
from worker.threads.supervision import SupervisedThread, Supervisor, ThreadReport
from worker.tracking import by_status

log = EventLog(__name__)

_MOST_THREADS = {"poll": 8, "follow": 3}
"""Ticks that wait for the provider for long, and that several threads may share; all others have one thread."""

_OWN_AFTER = (1.1, 1.6)
"""A tick that has not come for so many of its periods is made here; random, so that processes do not look together."""

_FIRST_WITHIN_SECONDS = 5.0
_SCHEDULE_SECONDS = 0.25
_BEATS_WITHIN_SECONDS = 60.0
_IDLE_SECONDS = 5.0


class Runner:
    """Runs ticks on threads, and is also the `Wakeups` of the runtime that they work on.

    Args:
        send: wakes up the senders of messages with these row ids.
        periods: seconds between two ticks of each name that comes regularly.
        stopping: set when the process ends; no further tick begins then.
    """

    def __init__(
        self, send: Callable[[Sequence[int]], None], periods: Mapping[str, float], stopping: threading.Event
    ) -> None:
        self._send = send
        self._stopping = stopping
        self._run: Callable[[Tick], None] | None = None
        self._supervisor = Supervisor()
        self._kinds: dict[str, _Kind] = {}
        self._lock = threading.Lock()
        self._ended = 0
        self._periods = dict(periods)
        now = time.monotonic()
        self._due = {
            name: now + random.uniform(0, min(seconds, _FIRST_WITHIN_SECONDS)) for name, seconds in periods.items()
        }
        self._schedule = self._supervisor.add(
            SupervisedThread(
                "smsclick-schedule", self._make_ticks, stopping=stopping, beats_within=_BEATS_WITHIN_SECONDS
            )
        )

    @property
    def progress(self) -> int:
        """How many ticks have ended."""
        return self._ended

    def start(self, run: Callable[[Tick], None]) -> None:
        """Start to make ticks and to run those that were put.

        Args:
            run: runs one tick; any exception is logged and ends nothing.
        """
        self._run = run
        self._schedule.start()

    def put(self, tick: Tick) -> None:
        """Run a tick soon; one that waits already is not queued twice."""
        with self._lock:
            if self._run is None:
                return  # the first look finds it
            kind = self._kinds.get(tick.name)
            if kind is None:
                kind = self._kinds[tick.name] = _Kind(tick.name, self._run_one, self._stopping, self._supervisor)
            if tick.name in self._periods:
                self._due[tick.name] = time.monotonic() + self._periods[tick.name] * random.uniform(*_OWN_AFTER)
        kind.put(tick)

    def revive(self) -> None:
        """Start again the threads that should run and do not."""
        self._supervisor.revive()

    def report(self) -> list[ThreadReport]:
        """The state of each thread now."""
        return self._supervisor.report()

    def close(self, seconds: float) -> bool:
        """Wait at most so many seconds until the ticks under way have ended; `stopping` is set already."""
        for kind in list(self._kinds.values()):
            kind.wake()
        return self._supervisor.stop(seconds)

    # --- Wake-ups of this process's own steps

    def send(self, ids: Sequence[int]) -> None:
        """Wake up the senders."""
        self._send(ids)

    def poll(self, ids: Sequence[int]) -> None:
        """Ask for these statuses."""
        self.put(Tick("poll", tuple(ids)))

    def follow(self) -> None:
        """Track by report."""
        self.put(Tick("follow"))

    def reconcile(self) -> None:
        """Reconcile unknown attempts."""
        self.put(Tick("reconcile"))

    def alerts(self) -> None:
        """Deliver alerts."""
        self.put(Tick("alerts"))

    def callbacks(self) -> None:
        """Deliver callbacks."""
        self.put(Tick("callbacks"))

    def sweep(self) -> None:
        """Sweep now."""
        self.put(Tick("sweep", flags=frozenset((URGENT,))))

    # --- The threads

    def _make_ticks(self) -> None:
        while not self._stopping.wait(_SCHEDULE_SECONDS):
            self._schedule.beat()
            self._supervisor.revive()
            now = time.monotonic()
            for name in [name for name, at in self._due.items() if at <= now]:
                self.put(Tick(name))

    def _run_one(self, tick: Tick) -> None:
        try:
            if self._run is not None:
                self._run(tick)
        except Exception as error:  # noqa: BLE001 - a tick that fails must not stop the others; it comes again
            # Without the error's text and its traceback: a driver's may show a row.
            log.error(  # noqa: TRY400
                "tick_failed", tick=f"smsclick.{tick.name}", error=type(error).__name__, place=place(error)
            )
        finally:
            with self._lock:
                self._ended += 1


class _Kind:
    """The ticks of one name and their threads, which start when they are needed.

    Args:
        name: of the ticks.
        run: runs one; raises nothing.
        stopping: set when the process ends.
        supervisor: starts the threads again.
    """

    def __init__(
        self, name: str, run: Callable[[Tick], None], stopping: threading.Event, supervisor: Supervisor
    ) -> None:
        self._name = name
        self._run = run
        self._stopping = stopping
        self._supervisor = supervisor
        self._changed = threading.Condition()
        self._waiting: Tick | None = None
        self._idle = 0
        self._threads: list[SupervisedThread] = []

    def put(self, tick: Tick) -> None:
        with self._changed:
            self._waiting = tick if self._waiting is None else self._waiting.merged(tick)
            wanted = math.ceil(len(self._waiting.ids) / by_status.CHECKS_PER_TASK) or 1
            self._changed.notify(wanted)
            missing = min(wanted - self._idle, _MOST_THREADS.get(self._name, 1) - len(self._threads))
            started = [self._thread() for _ in range(missing)]
        for thread in started:
            self._supervisor.add(thread).start()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _thread(self) -> SupervisedThread:
        def work() -> None:
            while (tick := self._next()) is not None:
                self._run(tick)
                thread.beat()

        thread = SupervisedThread(f"smsclick-{self._name}", work, stopping=self._stopping)
        self._threads.append(thread)
        return thread

    def _next(self) -> Tick | None:
        """The next tick to run; None when the process ends."""
        with self._changed:
            self._idle += 1
            try:
                while self._waiting is None and not self._stopping.is_set():
                    self._changed.wait(_IDLE_SECONDS)
            finally:
                self._idle -= 1
            tick = self._waiting
            if tick is None or self._stopping.is_set():
                return None
            tick, self._waiting = tick.split(by_status.CHECKS_PER_TASK)
            return tick
