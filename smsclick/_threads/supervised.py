"""A thread that no exception ends: what every thread of ours runs in.

An exception that leaves a thread's function ends the thread, and with it what the process exists for, while the process
stays alive. Here the function is called again, after a pause that grows, and one line of the log says what happened.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
"""Between an exception and the next call; twice as long after each further exception."""

LONGEST_PAUSE_SECONDS = 5.0

_RECOVERED_SECONDS = 30.0
"""A target that has run for this long since its last exception is no longer failing, whether or not it says so."""

_LOGGED_SECONDS = 60.0
"""After the first line of a series of exceptions, one line in this time: a thread may fail for hours."""


class SupervisedThread:
    """A daemon thread whose target is called again after an exception.

    The target returns when it has nothing more to do; it has to look at `stopping` for that. It calls `beat` whenever
    it got something done or found nothing to do, so that others see that it progresses.

    Args:
        name: of the thread, as log lines and health checks show it.
        target: what to run; it may be called many times, and must leave nothing half done for its next call.
        stopping: set when the thread is to end; one of its own by default. It may be shared.
        beats_within: how many seconds there are from one `beat` to the next at the most; what takes longer, and is not
            within `waiting_for`, hangs. None: nobody knows.
        first_pause: seconds between the first exception and the next call.
        longest_pause: seconds beyond which the pause does not grow.
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
        """When the present series of failures began, as of `time.monotonic`; None once the target has called `beat`."""
        self.last_beat = time.monotonic()
        """When the target last progressed, as of `time.monotonic`."""
        self.waits_for: str | None = None
        """What the target waits for without being to blame, such as `database`; None otherwise."""
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
        """Whether the thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def failing_seconds(self) -> float:
        """How long it has been failing; 0 where it progresses, or has run for a while without another failure."""
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
        """Start the thread where it does not run; cheap where it does, and safe from any thread.

        Returns:
            Whether it runs. False where the system allows no further thread (it counts as failing, and the caller
            tries again later), and where it is done.
        """
        if self.is_alive:
            return True
        with self._starting:
            if self._thread is not None and self._thread.is_alive():  # another has just started it
                return True
            if self.is_done:
                return False
            thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:
                # "can't start new thread": a limit of the system, which may have room again in a moment.
                self._note_failure(error)
                return False
            self._thread = thread
            return True

    def stop(self) -> None:
        """Ask it to end: sets `stopping`, and cuts a pause short. What else the target waits for is the caller's."""
        self.stopping.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread's end.

        Args:
            timeout: seconds at the most; None: as long as it takes.

        Returns:
            Whether it has ended.
        """
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        return not self.is_alive

    def beat(self) -> None:
        """The target progresses: called by the target."""
        self.last_beat = time.monotonic()
        if self.failing_since is not None:
            self.failing_since, self._pause = None, 0.0
            self._logged_at = float("-inf")

    @contextlib.contextmanager
    def waiting_for(self, what: str) -> Iterator[None]:
        """The target waits for something within this block: called by the target."""
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
            except BaseException as error:  # noqa: BLE001 - SystemExit too would end the thread without a word
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
        if now - self._logged_at >= _LOGGED_SECONDS:
            self._logged_at = now
            # Neither its words nor a traceback: drivers put rows into them, and rows have phones and texts.
            log.error(
                "A thread failed and goes on. thread=%s error=%s at=%s restarts=%s",
                self.name,
                type(error).__name__,
                _place(error.__traceback__),
                self.restarts,
            )


def periodic(
    name: str, work: Callable[[], None], seconds: float, *, stopping: threading.Event | None = None
) -> SupervisedThread:
    """A supervised thread that calls `work` every so many seconds, the first time at once; `start` begins it.

    Args:
        name: of the thread.
        work: may raise whatever it likes; then it is called again after a pause.
        seconds: from the end of one call to the next.
        stopping: as `SupervisedThread` has it.
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
