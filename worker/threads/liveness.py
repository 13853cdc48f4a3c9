"""Liveness: each process writes into a small file how its threads progress, and `smsclick health` reads the files.

A file and no row: whether a process lives must not depend on the database, the broker or beat, or an orchestrator would
restart every worker for another's fault. Each process has a file of its own, so that one that hangs is seen beside
others that work. It holds a lock on it for as long as it lives, so that the file of a dead process is told from that of
one that hangs, whoever has its number now. Why: docs/decisions/0034-liveness-is-a-file.md.
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
"""How often a process writes its file."""

SILENT_SECONDS = 45.0
"""A process that has not written for this long hangs as a whole."""

FAILING_SECONDS = 60.0
"""A thread that has failed, or has not run, for this long does not come back by itself."""

_READ_TRIES = 3
_READ_AGAIN_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessReport:
    """What a process said of itself; times are of `time.monotonic`, which all processes of a machine share.

    Attributes:
        role: `worker` or `beat`.
        database: a fingerprint of its DATABASE_URL: deployments on one machine have nothing to do with each other.
        written_at: when it said so.
    """

    role: str
    pid: int
    database: str
    written_at: float
    threads: tuple[ThreadReport, ...]


def problems(sign: ProcessReport, now: float) -> list[str]:
    """What is wrong with a process, in words; nothing where it progresses, or waits for something without blame.

    Args:
        sign: what it said of itself.
        now: by `time.monotonic`.
    """
    silent = now - sign.written_at
    if silent > SILENT_SECONDS:
        return [f"has shown no sign of life for {silent:.0f} s"]
    found = []
    for thread in sign.threads:
        # The last that was heard of it goes on until the next.
        idle, failing = thread.idle_seconds + silent, thread.failing_seconds and thread.failing_seconds + silent
        if failing > FAILING_SECONDS:
            found.append(f"{thread.name} has failed for {failing:.0f} s")
        elif not thread.alive and idle > FAILING_SECONDS:
            found.append(f"{thread.name} has not run for {idle:.0f} s")
        elif thread.stalled:
            found.append(f"{thread.name} has stood still for {idle:.0f} s")
    return found


class LivenessFile:
    """The file of this process, written anew whenever `write` is called.

    Args:
        role: `worker` or `beat`.
        database_url: of its settings.
        report: how its threads are.
        directory: where the files are; by default one of this user in the machine's directory for temporary files.
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

    def sign(self) -> ProcessReport:
        """How this process is now."""
        return ProcessReport(self._role, os.getpid(), self._database, time.monotonic(), tuple(self._report()))

    def write(self) -> None:
        """Say how this process is now.

        Raises:
            OSError: the file cannot be written; that looks like a process that hangs.
        """
        text = json.dumps(dataclasses.asdict(self.sign())).encode()
        with self._lock:
            file = self._opened()
            os.ftruncate(file, max(len(text), os.fstat(file).st_size))
            os.pwrite(file, text.ljust(os.fstat(file).st_size), 0)  # at once, so that nobody reads a half of it

    def close(self) -> None:
        """Remove the file: this process ends as it should."""
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
            os.close(self._file)  # somebody has tidied up
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
    """What the living processes of this machine and user say of themselves; files of dead ones are removed.

    Args:
        role: only `worker`, or only `beat`.
        database_url: only those with this database.
        directory: see `LivenessFile`.
    """
    place = directory or default_directory()
    wanted = None if database_url is None else fingerprint(database_url)
    found = [sign for path in sorted(place.glob(f"{role or '*'}-*")) if (sign := _read(path)) is not None]
    return [sign for sign in found if wanted is None or sign.database == wanted]


def default_directory() -> Path:
    """Where the files are."""
    return Path(tempfile.gettempdir()) / f"smsclick-{os.getuid()}"


def fingerprint(database_url: str) -> str:
    """Tells databases apart without naming them."""
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
                time.sleep(_READ_AGAIN_SECONDS)  # it is being written just now
    return None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        yield file
    finally:
        os.close(file)


def _is_free(file: int) -> bool:
    """Whether nobody holds the lock: its process is dead."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parse(text: bytes) -> ProcessReport:
    values: dict[str, Any] = json.loads(text)
    threads = tuple(ThreadReport(**thread) for thread in values.pop("threads"))
    return ProcessReport(**values, threads=threads)
