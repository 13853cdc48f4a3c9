"""Liveness files: what counts as hanging, and what does not."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.processes import ROOT, wait_until
from worker.operator import health
from worker.threads import liveness
from worker.threads.liveness import (
    FAILING_SECONDS,
    SILENT_SECONDS,
    WRITE_SECONDS,
    LivenessFile,
    ProcessReport,
    problems,
)
from worker.threads.supervision import ThreadReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

URL = "sqlite:////some/where.db"
NOW = 1000.0


def sign(*threads: ThreadReport, silent: float = 1.0) -> ProcessReport:
    return ProcessReport("worker", 1, liveness.fingerprint(URL), NOW - silent, threads)


def feeder(**values: object) -> ThreadReport:
    return ThreadReport(**{"name": "feeder", "alive": True, "idle_seconds": 2.0, "beats_within": 60.0} | values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "well",
    [
        sign(),
        sign(feeder()),
        sign(feeder(failing_seconds=5.0, restarts=9)),  # it has failed and is about to go on
        sign(feeder(idle_seconds=7200.0, waits_for="database")),  # not its fault
        sign(feeder(idle_seconds=7200.0, beats_within=None)),  # nobody knows how long it may take
        sign(feeder(alive=False, idle_seconds=3.0)),  # it is about to be started again
        sign(feeder(), silent=SILENT_SECONDS - 1),  # a busy machine
    ],
)
def test_what_progresses_or_waits_without_blame_is_healthy(well: ProcessReport) -> None:
    assert problems(well, NOW) == []


@pytest.mark.parametrize(
    ("ill", "words"),
    [
        (sign(feeder(), silent=SILENT_SECONDS + 1), "has written no heartbeat for 46 s"),
        (sign(feeder(failing_seconds=FAILING_SECONDS + 1)), "feeder has failed for 62 s"),
        (sign(feeder(failing_seconds=FAILING_SECONDS - 20), silent=30), "feeder has failed for 70 s"),
        (sign(feeder(alive=False, idle_seconds=FAILING_SECONDS + 1)), "feeder has not run for 62 s"),
        (sign(feeder(idle_seconds=61.0)), "feeder has made no progress for 62 s"),
        (sign(feeder(idle_seconds=7200.0, waits_for="database", failing_seconds=100.0)), "feeder has failed for 101 s"),
    ],
)
def test_what_hangs_fails_or_is_gone_is_not(ill: ProcessReport, words: str) -> None:
    assert problems(ill, NOW) == [words]


def test_it_is_seen_within_two_minutes() -> None:
    probe_every, probes = 30, 2  # docker-compose.yml's
    assert max(FAILING_SECONDS, SILENT_SECONDS) + WRITE_SECONDS + probe_every < 120
    assert probes * probe_every <= 60


PROCESS = """
import sys, time
from pathlib import Path
from worker.threads.liveness import LivenessFile
from worker.threads.supervision import ThreadReport
life = LivenessFile(sys.argv[1], sys.argv[2], lambda: [ThreadReport("feeder", alive=True)], directory=Path(sys.argv[3]))
while True:
    life.write()
    print("written", flush=True)
    time.sleep(0.05)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Processes that write liveness files."""
    made: list[subprocess.Popen[str]] = []

    def begin(role: str = "worker", url: str = URL) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROCESS, role, url, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        made.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        return process

    yield begin
    for process in made:
        process.kill()
        process.communicate()


def test_one_that_hangs_is_seen_beside_another_that_works(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    works, hangs = start(), start()
    hangs.send_signal(19)  # SIGSTOP
    stopped = {each.pid: each.written_at for each in liveness.read(directory=tmp_path)}[hangs.pid]

    def later() -> bool:
        return all(each.written_at > stopped + 1 for each in liveness.read(directory=tmp_path) if each.pid == works.pid)

    wait_until(later, what="the other to show more signs")
    found = health.examine(("worker",), URL, directory=tmp_path, now=stopped + SILENT_SECONDS + 0.5)
    assert {each.pid: each.is_healthy for each in found} == {works.pid: True, hangs.pid: False}


def test_a_dead_process_leaves_nothing_and_no_process_at_all_is_not_healthy(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start()
    assert [each.pid for each in health.examine(("worker",), URL, directory=tmp_path)] == [process.pid]
    process.kill()
    process.wait()
    [missing] = health.examine(("worker",), URL, directory=tmp_path)
    assert (missing.pid, missing.is_healthy) == (None, False)
    assert list(tmp_path.iterdir()) == []


def test_roles_and_deployments_are_distinguished(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    worker, beat, _ = start(), start("beat"), start("worker", "sqlite:////another.db")

    def pids(*roles: str) -> set[int | None]:
        return {each.pid for each in health.examine(roles, URL, directory=tmp_path)}

    assert pids() == {worker.pid, beat.pid}
    assert pids("worker") == {worker.pid}
    assert pids("beat") == {beat.pid}
    assert len(health.examine((), None, directory=tmp_path)) == 3


def test_a_file_that_somebody_tidied_up_comes_back_and_goes_with_the_process(tmp_path: Path) -> None:
    life = LivenessFile("worker", URL, lambda: [feeder()], directory=tmp_path)
    life.write()
    for path in tmp_path.iterdir():
        path.unlink()
    life.write()
    before = time.monotonic()
    [found] = liveness.read("worker", URL, directory=tmp_path)
    assert found.threads == (feeder(),)
    assert found.written_at <= before
    life.close()
    assert list(tmp_path.iterdir()) == []
