"""A thread that no exception ends; every thread of ours is one.

An exception that leaves a thread's function ends the thread. Then the process stays alive without doing its work. Here
the function is called again after a pause that grows, and the exception is logged.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from smsclick._logs.event_log import EventLog

log = EventLog(__name__)

FIRST_PAUSE_SECONDS = 0.1
"""The pause between an exception and the next call; it doubles after each further exception."""

LONGEST_PAUSE_SECONDS = 5.0

_RECOVERED_SECONDS = 30.0
"""A target that has run for this long since its last exception no longer counts as failing, even without `beat`."""

_LOG_INTERVAL_SECONDS = 60.0
"""After the first of a series of exceptions, one is logged in this time: a thread may fail for hours."""


class SupervisedThread:
    """A daemon thread whose target is called again after an exception.

    The target returns when its work is done or `stopping` is set. It calls `beat` whenever it has done something or
    found nothing to do, so that health checks see its progress.

    Args:
        name: of the thread, as log lines and health checks show it.
        target: the function to run. It may be called many times, so an exception must not leave its work half done.
        stopping: set when the thread is to end; several threads may share it. By default the thread has its own.
        beats_within: the longest seconds between two calls of `beat`; a target that takes longer, outside
            `waiting_for`, hangs. None where there is no limit.
        first_pause: seconds between the first exception and the next call.
        longest_pause: the longest pause, in seconds.
    """

    def __init__(
        self,
        name: str,
        target: Callable[[], None],
        *,
        stopping: threading.Event | None = None,
        beats_within: float | None = None,
        first_pause: float = FIRST_PAUSE_SECONDS,
        longest_pause: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        self.name = name
        self.stopping = stopping or threading.Event()
        self.beats_within = beats_within
        self.restarts = 0
        """How many exceptions the target has ended with."""
        self.failing_since: float | None = None
        """When the current series of failures began, by `time.monotonic`; None once the target has called `beat`."""
        self.last_beat = time.monotonic()
        """When the target last made progress, by `time.monotonic`."""
        self.waits_for: str | None = None
        """What outside the process the target waits for, such as `database`; None where for nothing."""
        self._target = target
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._pause = 0.0
        self._logged_at = float("-inf")
        self._failed_at = 0.0
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._returned = False

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs now."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def failing_seconds(self) -> float:
        """How long it has been failing; 0 where it makes progress, or has run for a while without another failure."""
        now = time.monotonic()
        since = self.failing_since
        if since is None or (self.is_alive and now - self._failed_at > _RECOVERED_SECONDS):
            return 0.0
        return now - since

    @property
    def is_done(self) -> bool:
        """Whether the target has returned by itself, or the thread was asked to end."""
        return self._returned or self.stopping.is_set()

    def start(self) -> bool:
        """Start the thread if it does not run. Cheap if it does, and safe from any thread.

        Returns:
            Whether it runs. False where it is done, and where the system allows no further thread: then it counts as
            failing, and the caller tries again later.
        """
        if self.is_alive:
            return True
        with self._starting:
            if self._thread is not None and self._thread.is_alive():  # another thread has just started it
                return True
            if self.is_done:
                return False
            thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:
                # "can't start new thread": a limit of the system, which may be temporary.
                self._note_failure(error)
                return False
            self._thread = thread
            return True

    def stop(self) -> None:
        """Ask the thread to end: set `stopping`, which also ends a pause. The caller ends other waits of the target."""
        self.stopping.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread's end.

        Args:
            timeout: the longest wait in seconds; None for no limit.

        Returns:
            Whether it has ended.
        """
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        return not self.is_alive

    def beat(self) -> None:
        """Note progress; called by the target."""
        self.last_beat = time.monotonic()
        if self.failing_since is not None:
            self.failing_since, self._pause = None, 0.0
            self._logged_at = float("-inf")

    @contextlib.contextmanager
    def waiting_for(self, what: str) -> Iterator[None]:
        """Note that the target waits for something outside the process within this block; called by the target."""
        self.waits_for = what
        try:
            yield
        finally:
            self.waits_for = None

    def _run(self) -> None:
        failed = False
        while True:
            try:
                if failed and self.stopping.wait(self._pause):
                    return
                self._target()
            except BaseException as error:  # noqa: BLE001 - SystemExit too would end the thread, without any log line
                failed = True
                self._note_failure(error)
            else:
                self._returned = True
                return

    def _note_failure(self, error: BaseException) -> None:
        now = time.monotonic()
        self.restarts += 1
        if self.failing_since is None or now - self._failed_at > _RECOVERED_SECONDS:
            self.failing_since, self._pause = now, 0.0
        self._failed_at = now
        self._pause = min(2 * self._pause or self._first_pause, self._longest_pause)
        if now - self._logged_at >= _LOG_INTERVAL_SECONDS:
            self._logged_at = now
            # Without the error's text and the traceback: drivers show rows there, which have phones and texts.
            log.error(
                "thread_restarted",
                thread=self.name,
                error=type(error).__name__,
                place=_place(error.__traceback__),
                restarts=self.restarts,
            )


def periodic(
    name: str, work: Callable[[], None], seconds: float, *, stopping: threading.Event | None = None
) -> SupervisedThread:
    """Make a supervised thread that calls `work` at once and then every `seconds`; the caller starts it.

    Args:
        name: of the thread.
        work: the function to call. After any exception it is called again after a pause.
        seconds: from the end of one call to the next.
        stopping: see `SupervisedThread`.
    """

    def run() -> None:
        while not thread.stopping.is_set():
            work()
            thread.beat()
            thread.stopping.wait(seconds)

    thread = SupervisedThread(name, run, stopping=stopping)
    return thread


def _place(traceback: TracebackType | None) -> str:
    """Where an exception was raised, as `module:function:line`."""
    if traceback is None:
        return "?"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_name}:{traceback.tb_lineno}"
