"""Real processes for tests: started with a log, watched, signalled, and ended even if pytest is killed.

Run as a program this file is the reaper: it survives pytest for a short time and ends the processes left behind.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")

PATIENT_WAKEUPS = """
from smsclick._wakeups import publisher
publisher._ANSWER_SECONDS = publisher._EXIT_SECONDS = 60
"""
"""Start of a producer's program whose wake-ups must arrive: they wait long enough for a slow machine."""

# Nothing else of a person's environment reaches a process under test: no DATABASE_URL, no proxies, no keys.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "COVERAGE_PROCESS_CONFIG")


def wait_until(predicate: Callable[[], T], timeout: float = 60.0, *, what: str = "it", every: float = 0.05) -> T:
    """Asks until the answer is true and returns it; AssertionError when the time is up."""
    deadline = time.monotonic() + timeout
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s for {what}, the last answer was {answer!r}")
        time.sleep(every)


def together(*scenarios: Callable[[], object]) -> None:
    """Runs scenarios that mostly wait side by side, each in a thread; raises what the first of them raised."""
    with ThreadPoolExecutor(len(scenarios)) as pool:
        running = [pool.submit(scenario) for scenario in scenarios]
    for each in running:
        each.result()


# --- Processes as the system sees them


def _stat(pid: int) -> tuple[str, int, str]:
    """State, parent and start time; state Z when there is no such process (or only its corpse)."""
    if Path("/proc/self/stat").exists():
        try:
            # The name before the last parenthesis may hold spaces and parentheses of its own.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return "Z", 0, ""
        return fields[0], int(fields[1]), fields[19]
    answer = subprocess.run(
        ["ps", "-o", "stat=,ppid=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=2)
    return (answer[0][0], int(answer[1]), answer[2].strip()) if len(answer) == 3 else ("Z", 0, "")


def alive(pid: int) -> bool:
    """Whether the process runs (a corpse that nobody has collected does not)."""
    return _stat(pid)[0] not in "ZX"


def descendants(pid: int) -> list[int]:
    """Children, their children and so on, those in sessions of their own too."""
    if Path("/proc/self/stat").exists():
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        parents = {each: _stat(each)[1] for each in pids}
    else:
        lines = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(line.split()[0]): int(line.split()[1]) for line in lines.splitlines()}
    found, frontier = list[int](), {pid}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier}
        found += frontier
    return found


def working_below(directory: Path) -> list[int]:
    """Processes whose working directory is there (found on Linux only)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(directory):
                found.append(int(entry.name))
    return found


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Sends the signal to each process that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def stop_tree(pid: int) -> None:
    """SIGSTOP for a process and all it started; returns when they stand still."""

    def stop(pids: list[int]) -> None:
        signal_all(pids, signal.SIGSTOP)
        wait_until(lambda: all(_stat(each)[0] in "TZX" for each in pids), what="all to stand still", every=0.005)

    # One after the other, so that it starts no further child between the look and the blow.
    stop([pid])
    stop(descendants(pid))


def kill_tree(pid: int) -> None:
    """SIGKILL for a process and all it started, as when the machine goes down; returns when all are gone."""
    # Stopped first, so that it starts no further child between the look and the blow.
    signal_all([pid], signal.SIGSTOP)
    family = [pid, *descendants(pid)]
    signal_all(family, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(alive(each) for each in family[1:]) and time.monotonic() < deadline:
        time.sleep(0.005)


# --- What is left behind when pytest is killed


class Reaper:
    """A process of its own that ends what pytest started and removes its directory, should pytest be killed.

    It reads orders from a pipe; when the pipe ends, pytest is gone.
    """

    def __init__(self) -> None:
        self.directory = _temporary_directory()
        # Created in one step: another session treats a directory without a living owner as a leftover.
        staged = self.directory / "pytest.pid.new"
        staged.write_text(str(os.getpid()))
        staged.rename(self.directory / "pytest.pid")
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, start_new_session=True, text=True
        )
        self._order("directory", str(self.directory))
        atexit.register(self.close)

    def watch(self, pid: int) -> None:
        """End this process with pytest."""
        self._order("watch", str(pid), _stat(pid)[2])

    def forget(self, pid: int) -> None:
        """This process has ended and its number may be another's soon."""
        self._order("forget", str(pid))

    def close(self) -> None:
        """Ends what still runs, removes the directory."""
        if self._process.stdin and not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait(120)

    def _order(self, *words: str) -> None:
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.write("\t".join(words) + "\n")
            self._process.stdin.flush()


_reapers: list[Reaper] = []


def reaper() -> Reaper:
    """The one reaper of this session, started when first needed."""
    if not _reapers:
        _reapers.append(Reaper())
    return _reapers[0]


def _temporary_directory() -> Path:
    """A directory that a server which drops root's rights can reach as well."""
    base = Path(tempfile.gettempdir())
    if os.geteuid() == 0 and not all(each.stat().st_mode & 0o001 for each in [base, *base.parents]):
        base = Path("/tmp")  # noqa: S108 - mkdtemp makes a fresh one below
    directory = Path(tempfile.mkdtemp(prefix="smsclick-tests-", dir=base))
    directory.chmod(0o711)
    return directory


def _reap(orders: IO[str]) -> None:
    watched: dict[int, str] = {}
    directories: list[str] = []
    for order in orders:
        match order.rstrip("\n").split("\t"):
            case ["watch", pid, started]:
                watched[int(pid)] = started
            case ["forget", pid]:
                watched.pop(int(pid), None)
            case ["directory", path]:
                directories.append(path)
            case _:
                pass
    for leftover, since in watched.items():
        if alive(leftover) and _stat(leftover)[2] == since:
            kill_tree(leftover)
    for path in directories:
        shutil.rmtree(path, ignore_errors=True)


# --- Processes of the project


class Process:
    """A program of the project, running, its output in a file.

    `Process(["celery", "-A", "worker", "worker"], {"DATABASE_URL": url}, log=tmp_path / "w.log")`.
    A bare name is looked up beside the Python that runs the tests. Its environment is `env` and the little
    that any program needs.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, *, log: Path, cwd: Path = ROOT
    ) -> None:
        self.name = log.stem
        self.command = list(command)
        self.log = log
        beside = Path(sys.executable).parent / self.command[0]
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [str(beside) if beside.exists() else self.command[0], *self.command[1:]],
                cwd=cwd,
                env={**inherited, "PYTHONUNBUFFERED": "1", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        reaper().watch(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet (stopped by SIGSTOP counts as running)."""
        return self._popen.poll() is None

    @property
    def output(self) -> str:
        """Everything it has written so far, both streams."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self, lines: int = 40) -> str:
        """The last lines it wrote."""
        return "\n".join(self.output.splitlines()[-lines:])

    def wait_for_line(self, pattern: str, timeout: float = 60.0, *, since: int = 0) -> re.Match[str]:
        """Waits for a line that matches the pattern; `since` is an earlier `len(process.output)`."""
        regex = re.compile(pattern, re.MULTILINE)

        def look() -> re.Match[str] | None:
            running = self.running
            match = regex.search(self.output, since)
            if match is None and not running:
                raise AssertionError(
                    f"{self.name} ended with {self._popen.returncode} before /{pattern}/:\n{self.tail()}"
                )
            return match

        try:
            match = wait_until(look, timeout, what=f"/{pattern}/ from {self.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None
        assert match is not None
        return match

    def wait(self, timeout: float = 60.0) -> int:
        """Waits for its end and returns the exit code (negative: the signal that ended it)."""
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout:g} s:\n{self.tail()}") from None
        reaper().forget(self.pid)
        return code

    def sigterm(self) -> None:
        """SIGTERM to the process alone, as a container engine sends it."""
        self._signal(signal.SIGTERM)

    def sigint(self) -> None:
        """SIGINT to the process and its children, as Ctrl-C in a terminal sends it."""
        if self.running:
            os.killpg(self.pid, signal.SIGINT)

    def sigkill(self, *, tree: bool = True) -> None:
        """SIGKILL to it and all it started, or (`tree=False`) to it alone; returns when it is gone."""
        if self.running:
            if tree:
                kill_tree(self.pid)
            else:
                self._signal(signal.SIGKILL)
        self.wait()

    def sigstop(self) -> None:
        """It and its children stand still: alive, connected and silent."""
        if self.running:
            stop_tree(self.pid)

    def sigcont(self) -> None:
        """On they go."""
        if self.running:
            signal_all([*descendants(self.pid), self.pid], signal.SIGCONT)

    def end(self) -> None:
        """Whatever it does, it ends now, with everything it started."""
        if self.running:
            self.sigkill()
        elif self._popen.returncode is not None:
            # Children may survive a parent that was killed alone.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            reaper().forget(self.pid)

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            self._popen.send_signal(number)


if __name__ == "__main__":
    _reap(sys.stdin)
