"""The worker's side of its background process, with children that are real processes and behave badly."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.processes import alive, wait_until
from worker.background import lines, process
from worker.background.process import BackgroundProcess
from worker.background.runner import Runner
from worker.background.tick import Tick

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SAY = "import json, os, sys, time\ndef say(what): os.write(1, json.dumps(what).encode() + b'\\n')\n"
READY = SAY + "say({'ready': os.getpid()})\n"
ECHO = READY + (
    "for line in sys.stdin:\n"
    "    said = json.loads(line)\n"
    "    if 'stop' in said: break\n"
    "    say({'send': said['ids']})\n"
)
"""Passes on the ids of each tick, until it is to stop."""

HANGS = READY + "time.sleep(3600)\n"
DIES = SAY + "sys.exit(3)\n"
GARBAGE = "import time; print('Traceback (most recent call last):', flush=True); time.sleep(3600)\n"


class Start(Protocol):
    def __call__(self, *command: str) -> Background:
        """A background process with this program."""


class Background:
    """A background process, and what came of it."""

    def __init__(self, command: Sequence[str] | None) -> None:
        self.stopping = threading.Event()
        self.sent: list[int] = []
        self.ran_here: list[Tick] = []
        self.process = BackgroundProcess(list, self.sent.extend, self._in_process, self.stopping, command)
        self.process.thread.start()

    def _in_process(self, stopping: threading.Event) -> Runner:
        runner = Runner(self.sent.extend, {}, stopping)
        runner.start(self.ran_here.append)
        return runner

    def pid(self, *, other_than: int | None = None) -> int:
        """Of the child, once it is ready."""
        return wait_until(lambda: (pid := self.process.pid) != other_than and pid, what="a child that is ready") or 0

    def end(self, seconds: float = 60) -> None:
        self.stopping.set()
        self.process.close(seconds)
        assert not self.process.thread.is_alive


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[Background] = []

    def make(*command: str) -> Background:
        made.append(Background(command or None))
        return made[-1]

    yield make
    for each in made:
        each.end(0.1)


def test_ticks_reach_the_child_and_its_wakeups_come_back(start: Start) -> None:
    background = start(*python(ECHO))
    background.process.put(Tick("poll", (1, 2)))  # before there is a child
    wait_until(lambda: background.sent == [1, 2])
    background.process.put(Tick("poll", (3,)))
    wait_until(lambda: background.sent == [1, 2, 3])
    pid = background.pid()
    background.end()
    assert not alive(pid)
    assert background.ran_here == []


def test_a_child_that_is_killed_is_started_again(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    background = start(*python(ECHO))
    first = background.pid()
    os.kill(first, signal.SIGKILL)
    second = background.pid(other_than=first)
    background.process.put(Tick("poll", (7,)))
    wait_until(lambda: background.sent == [7])
    assert second != first
    assert f"The background process ended and is started again. child_pid={first} code=-9" in caplog.text


def test_where_no_child_can_start_this_process_runs_the_ticks(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "ABSENT_SECONDS", 0.5)
    for command, why in (
        (("/nowhere/python",), "cannot be started. error=FileNotFoundError"),
        (python(DIES), "code=3"),
    ):
        background = start(*command)
        background.process.put(Tick("follow"))
        wait_until(lambda: background.ran_here == [Tick("follow")])  # noqa: B023
        background.process.put(Tick("poll", (1,)))
        wait_until(lambda: Tick("poll", (1,)) in background.ran_here)  # noqa: B023
        assert next(thread.name for thread in background.process.report()) == "smsclick-schedule"
        wait_until(lambda: why in caplog.text, what=why)  # noqa: B023
        background.end()
    assert "this process runs the ticks itself" in caplog.text


def test_a_process_without_a_child_runs_the_ticks_at_once(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    background = start()
    background.process.put(Tick("follow"))
    wait_until(lambda: background.ran_here == [Tick("follow")])
    assert caplog.text == ""


def test_the_child_takes_the_ticks_back(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ABSENT_SECONDS", 0.0)
    background = start(*python("import time; time.sleep(1)\n" + ECHO))
    background.process.put(Tick("follow"))
    wait_until(lambda: background.ran_here == [Tick("follow")])
    background.pid()
    background.process.put(Tick("poll", (5,)))
    wait_until(lambda: background.sent == [5] or Tick("poll", (5,)) in background.ran_here)
    background.process.put(Tick("poll", (6,)))
    wait_until(lambda: 6 in background.sent)


@pytest.mark.parametrize(
    ("code", "why"), [(HANGS, "it has said nothing"), (GARBAGE, "it writes what is no line of ours")]
)
def test_a_child_that_hangs_or_writes_something_else_is_killed_and_replaced(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: str, why: str
) -> None:
    monkeypatch.setattr(process, "SILENT_SECONDS", 0.5)
    start(*python(code))
    wait_until(lambda: caplog.text.count(f'The background process is killed. reason="{why}') >= 2)


def test_a_child_that_is_never_ready_is_killed_and_replaced(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "START_SECONDS", 0.5)
    start(*python("import time; time.sleep(3600)"))
    wait_until(lambda: caplog.text.count('The background process is killed. reason="it is not ready') >= 2)


def test_a_child_that_does_not_read_blocks_nobody(start: Start) -> None:
    background = start(*python(HANGS))
    background.pid()
    for n in range(20_000):
        background.process.put(Tick("poll", tuple(range(n, n + 20))))
    wait_until(lambda: background.process._child is not None and background.process._child.unwritten)
    assert sum(len(tick.ids) for tick in background.process._ticks.take_all()) <= 1000


def test_a_child_that_does_not_end_is_killed(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    background = start(*python(HANGS))
    pid = background.pid()
    background.end(0.2)
    assert not alive(pid)
    assert "it did not end in time" in caplog.text


def test_the_threads_of_the_child_are_in_the_report(start: Start) -> None:
    said = lines.encode({"threads": [{"name": "smsclick-poll", "alive": True, "idle_seconds": 100.0}]})
    background = start(*python(READY + f"os.write(1, {said!r})\ntime.sleep(3600)\n"))
    [thread] = wait_until(background.process.report)
    assert thread.name == "smsclick-background smsclick-poll"
    assert thread.idle_seconds >= 100
    # What the child said grows old while it says nothing more.
    wait_until(lambda: background.process.report()[0].idle_seconds > thread.idle_seconds)
