"""Liveness: each process writes the progress of its threads into a small file, and `smsclick health` reads the files.

A file and not a row: whether a process is alive must not depend on the database, the broker or beat, or an orchestrator
would restart every worker because of an outage elsewhere. Each process has its own file, so that one that hangs is seen
beside others that work. A process holds a lock on its file while it lives, which distinguishes the file of a dead
process from that of one that hangs, even if its pid is in use again. Why: docs/decisions/0034-liveness-is-a-file.md.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from worker.threads.supervision import ThreadReport

WRITE_SECONDS = 5.0
"""Between two writes of a process's file."""

SILENT_SECONDS = 45.0
"""A process that has not written for this long hangs."""

FAILING_SECONDS = 60.0
"""A thread that has failed, or has not run, for this long does not recover by itself."""

_READ_TRIES = 3
_READ_RETRY_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessReport:
    """The content of a liveness file; times are of `time.monotonic`, which all processes of a machine share.

    Attributes:
        role: `worker` or `beat`.
        pid: of the process.
        database: a fingerprint of its DATABASE_URL, because several deployments may share a machine.
        written_at: when it was written.
        threads: the state of each thread.
    """

    role: str
    pid: int
    database: str
    written_at: float
    threads: tuple[ThreadReport, ...]


def problems(process: ProcessReport, now: float) -> list[str]:
    """What is wrong with a process; empty where it makes progress or waits for something outside it.

    Args:
        process: from its file.
        now: by `time.monotonic`.
    """
    silent = now - process.written_at
    if silent > SILENT_SECONDS:
        return [f"has written no heartbeat for {silent:.0f} s"]
    found = []
    for thread in process.threads:
        # The last known state is assumed to have lasted until now.
        idle, failing = thread.idle_seconds + silent, thread.failing_seconds and thread.failing_seconds + silent
        if failing > FAILING_SECONDS:
            found.append(f"{thread.name} has failed for {failing:.0f} s")
        elif not thread.alive and idle > FAILING_SECONDS:
            found.append(f"{thread.name} has not run for {idle:.0f} s")
        elif thread.stalled:
            because = f": {thread.stalled_because}" if thread.stalled_because else ""
            found.append(f"{thread.name} has made no progress for {idle:.0f} s{because}")
    return found


class LivenessFile:
    """The liveness file of this process; `write` replaces its content.

    Args:
        role: `worker` or `beat`.
        database_url: of its settings.
        report: returns the state of its threads.
        directory: where the files are; by default a directory of this user under the system's temporary directory.
    """

    def __init__(
        self,
        role: str,
        database_url: str,
        report: Callable[[], Sequence[ThreadReport]],
        *,
        directory: Path | None = None,
    ) -> None:
        self._role = role
        self._database = fingerprint(database_url)
        self._report = report
        self._path = (directory or default_directory()) / f"{role}-{os.getpid()}"
        self._lock = threading.Lock()
        self._file: int | None = None

    def current(self) -> ProcessReport:
        """The state of this process now."""
        return ProcessReport(self._role, os.getpid(), self._database, time.monotonic(), tuple(self._report()))

    def write(self) -> None:
        """Write the state of this process.

        Raises:
            OSError: the file cannot be written; health checks then see a process that hangs.
        """
        text = json.dumps(dataclasses.asdict(self.current())).encode()
        with self._lock:
            file = self._opened()
            os.ftruncate(file, max(len(text), os.fstat(file).st_size))
            os.pwrite(file, text.ljust(os.fstat(file).st_size), 0)  # in one call, so that no reader sees half of it

    def close(self) -> None:
        """Remove the file: this process ends normally."""
        with self._lock:
            if self._file is not None:
                self._path.unlink(missing_ok=True)
                os.close(self._file)
                self._file = None

    def _opened(self) -> int:
        if self._file is not None:
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(self._file).st_ino == self._path.stat().st_ino:
                    return self._file
            os.close(self._file)  # another program removed the file
            self._file = None
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.parent.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._path.parent} belongs to another user")
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise
        self._file = file
        return file


def read(
    role: str | None = None, database_url: str | None = None, *, directory: Path | None = None
) -> list[ProcessReport]:
    """Read the files of this machine's and user's living processes; files of dead processes are removed.

    Args:
        role: `worker` or `beat`; None for both.
        database_url: of the deployment; None for all.
        directory: see `LivenessFile`.
    """
    place = directory or default_directory()
    wanted = None if database_url is None else fingerprint(database_url)
    found = [each for path in sorted(place.glob(f"{role or '*'}-*")) if (each := _read(path)) is not None]
    return [each for each in found if wanted is None or each.database == wanted]


def default_directory() -> Path:
    """Where the files are by default."""
    return Path(tempfile.gettempdir()) / f"smsclick-{os.getuid()}"


def fingerprint(database_url: str) -> str:
    """A short hash that distinguishes databases without showing an address."""
    return hashlib.sha256(database_url.encode()).hexdigest()[:16]


def _read(path: Path) -> ProcessReport | None:
    with contextlib.suppress(FileNotFoundError), _open(path) as file:
        if _is_free(file):
            path.unlink(missing_ok=True)
            return None
        for _ in range(_READ_TRIES):
            try:
                return _parse(os.pread(file, os.fstat(file).st_size, 0))
            except (ValueError, KeyError, TypeError):
                time.sleep(_READ_RETRY_SECONDS)  # it is being written now
    return None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        yield file
    finally:
        os.close(file)


def _is_free(file: int) -> bool:
    """Whether the lock is free, so that the file's process is dead."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parse(text: bytes) -> ProcessReport:
    values: dict[str, Any] = json.loads(text)
    threads = tuple(ThreadReport(**thread) for thread in values.pop("threads"))
    return ProcessReport(**values, threads=threads)
