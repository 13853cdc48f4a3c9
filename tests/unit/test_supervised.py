"""Threads that no exception ends."""

from __future__ import annotations

import functools
import resource
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from smsclick._threads import supervised
from smsclick._threads.supervised import SupervisedThread, periodic
from worker.threads.supervision import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "5551402211 Hola"


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    """Set with the test's end, so that no thread stays behind."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("error", [ValueError(SECRET), SystemExit(SECRET), MemoryError(SECRET), KeyboardInterrupt()])
def test_a_thread_goes_on_after_whatever_it_raised(
    stopping: threading.Event, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0
    went_on = threading.Event()

    def target() -> None:
        nonlocal calls
        calls += 1
        if calls <= 3:
            raise error
        went_on.set()
        stopping.wait(60)

    thread = SupervisedThread("some-thread", target, stopping=stopping, first_pause=0.001)
    assert thread.start()
    assert went_on.wait(60)
    assert thread.restarts == 3
    assert thread.is_alive
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1  # not one for each: it may fail for hours
    assert f"thread=some-thread error={type(error).__name__} place={__name__}:target:" in lines[0]
    assert SECRET not in caplog.text


def test_what_progresses_between_two_exceptions_is_not_failing(stopping: threading.Event) -> None:
    beaten, go = threading.Event(), threading.Event()
    calls = 0

    def target() -> None:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise ValueError
        thread.beat()
        beaten.set()
        go.wait(60)

    thread = SupervisedThread("some-thread", target, stopping=stopping, first_pause=0.001)
    assert thread.failing_since is None
    thread.start()
    assert beaten.wait(60)
    assert thread.failing_since is None
    assert thread.restarts == 2
    go.set()


def test_the_pause_between_two_failures_doubles_up_to_its_longest() -> None:
    class Noted(threading.Event):
        """Ends the thread in its seventh pause."""

        def __init__(self) -> None:
            super().__init__()
            self.pauses: list[float | None] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.pauses.append(timeout)
            return len(self.pauses) == 7

    def target() -> None:
        raise ValueError

    stopping = Noted()
    thread = SupervisedThread("some-thread", target, stopping=stopping, first_pause=1, longest_pause=10)
    thread.start()
    assert thread.join(60)
    assert stopping.pauses == [1, 2, 4, 8, 10, 10, 10]


def test_a_pause_ends_at_once_when_asked_to(stopping: threading.Event) -> None:
    failed = threading.Semaphore(0)

    def target() -> None:
        failed.release()
        raise ValueError

    thread = SupervisedThread("some-thread", target, stopping=stopping, first_pause=0.001, longest_pause=3600)
    thread.start()
    for _ in range(6):
        assert failed.acquire(timeout=60)
    assert thread.failing_since is not None
    thread._pause = 3600
    thread.stop()
    assert thread.join(60)
    assert not thread.start()  # what was asked to end is not started again


def test_one_that_ran_for_long_after_a_failure_fails_no_more_although_it_never_says_so(
    stopping: threading.Event,
) -> None:
    again = threading.Event()

    def target() -> None:
        if not thread.restarts:
            raise ValueError
        again.set()
        stopping.wait(60)

    thread = SupervisedThread("some-thread", target, stopping=stopping, first_pause=0.001)
    thread.start()
    assert again.wait(60)
    assert thread.failing_seconds > 0
    thread._failed_at -= supervised._RECOVERED_SECONDS
    assert thread.failing_seconds == 0


def test_a_target_that_returns_is_done(stopping: threading.Event) -> None:
    thread = SupervisedThread("some-thread", lambda: None, stopping=stopping)
    assert thread.start()
    assert thread.join(60)
    assert thread.is_done
    assert not thread.start()


def test_periodic_work_goes_on_after_an_exception(stopping: threading.Event) -> None:
    calls = threading.Semaphore(0)

    def work() -> None:
        calls.release()
        raise ValueError

    periodic("some-thread", work, 0.001, stopping=stopping).start()
    for _ in range(5):
        assert calls.acquire(timeout=60)


def test_the_supervisor_reports_each_thread_and_forgets_what_is_done() -> None:
    supervisor = Supervisor()
    waits = threading.Event()

    def target() -> None:
        with thread.waiting_for("database"):
            waits.set()
            thread.stopping.wait(60)

    thread = supervisor.add(SupervisedThread("waits", target))
    thread.start()
    ends = supervisor.add(SupervisedThread("ends", lambda: None))
    ends.start()
    assert ends.join(60)
    assert waits.wait(60)
    [report] = supervisor.report()
    assert (report.name, report.alive, report.waits_for, report.failing_seconds) == ("waits", True, "database", 0.0)
    assert supervisor.revive()
    assert supervisor.stop(60)
    assert supervisor.report() == []


def test_one_that_cannot_start_keeps_no_other_from_its_start() -> None:
    supervisor = Supervisor()
    first, second = (supervisor.add(SupervisedThread(name, lambda: None)) for name in "ab")
    tried: list[str] = []

    def start(name: str, *, can: bool) -> bool:
        tried.append(name)
        return can

    vars(first)["start"] = functools.partial(start, "first", can=False)
    vars(second)["start"] = functools.partial(start, "second", can=True)
    assert not supervisor.revive()
    assert tried == ["first", "second"]


CANNOT_START = """
import resource, threading, time
from worker.threads.supervision import SupervisedThread, Supervisor

threading.stack_size(1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
supervisor = Supervisor()
for number in range(100):
    thread = supervisor.add(SupervisedThread(f"thread-{number}", lambda: time.sleep(60)))
    if not thread.start():
        break
assert thread.failing_since is not None
assert not supervisor.revive()
assert thread.restarts == 2
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert supervisor.revive()
assert thread.is_alive
print("revived")
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS") or sys.platform != "linux", reason="Linux's limits")
def test_a_thread_that_cannot_start_is_started_when_there_is_room() -> None:
    """The system really refuses: a process with no address space for another stack."""
    done = subprocess.run(
        [sys.executable, "-c", CANNOT_START], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "revived\n", done.stderr
    assert "error=RuntimeError place=" in done.stderr
