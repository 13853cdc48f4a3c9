"""The worker's side of its background process: it starts, feeds, watches and ends the child.

One supervised thread does all of it. The child is started again when it has ended, with a pause that grows, and killed
when it has said nothing for a while. Where there has been none for longer than a start takes, this process runs the
ticks itself and says so in the log.
"""

import contextlib
import dataclasses
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from smsclick._logs.event_log import EventLog
from worker.background import lines
from worker.background.runner import Runner
from worker.background.tick import Tick, TickQueue
from worker.threads.supervision import SupervisedThread, ThreadReport

log = EventLog(__name__)

NAME = "smsclick-background"
"""Of the thread; and the prefix of the child's threads in health checks."""

SILENT_SECONDS = 45.0
"""A child that has said nothing for so long hangs, and is killed. It says something every five seconds."""

START_SECONDS = 120.0
"""A child that is not ready after so long is killed."""

ABSENT_SECONDS = 15.0
"""After so long without a child, this process runs the ticks itself."""

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0
"""A child that has lived for so long is started again after the first pause."""

_STEP_SECONDS = 0.25
_GATHER_SECONDS = 0.02
"""Between two writes of ticks, so that many commits cost few lines."""

_BEATS_WITHIN_SECONDS = 60.0
_END_SECONDS = 5.0
_READ_BYTES = 1 << 16
_ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(slots=True)
class _Child:
    """A child and what is known of it; times are of `time.monotonic`."""

    popen: "subprocess.Popen[bytes]"
    started_at: float
    heard_at: float
    reader: lines.LineReader = dataclasses.field(default_factory=lines.LineReader)
    unwritten: bytes = b""
    written_at: float = float("-inf")
    ready: bool = False
    stop_asked: bool = False
    threads: tuple[ThreadReport, ...] = ()
    heard_threads_at: float = 0.0

    @property
    def stdin(self) -> IO[bytes]:
        assert self.popen.stdin is not None  # noqa: S101 - it is a pipe
        return self.popen.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self.popen.stdout is not None  # noqa: S101 - as above
        return self.popen.stdout


def program() -> Sequence[str]:
    """The child's program, for a command line; its arguments follow."""
    return (sys.executable, "-P", "-m", "worker.background_process")


class BackgroundProcess:
    """The background process of this worker process.

    Args:
        arguments: of the child's program, read when it starts.
        send: wakes up senders; called with row ids that the child passes on.
        in_process: makes the threads that run ticks in this process; called where there is no child.
        stopping: set when this process ends; then the child is asked to end.
        command: `program()`; None where this process runs all ticks itself.
    """

    def __init__(
        self,
        arguments: Callable[[], Sequence[str]],
        send: Callable[[Sequence[int]], None],
        in_process: Callable[[threading.Event], Runner],
        stopping: threading.Event,
        command: Sequence[str] | None,
    ) -> None:
        self._arguments = arguments
        self._send = send
        self._in_process = in_process
        self._stopping = stopping
        self._command = command
        self._ticks = TickQueue()
        self._child: _Child | None = None
        self._fallback: Runner | None = None
        self._fallback_stopping = threading.Event()
        self._pause = 0.0
        self._start_at = float("-inf")
        self._absent_since = time.monotonic()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.settimeout(0)
        self._wake_write.settimeout(0)
        self.thread = SupervisedThread(NAME, self._run, stopping=stopping, beats_within=_BEATS_WITHIN_SECONDS)
        """Its owner adds it to those of the process, and starts it."""

    @property
    def pid(self) -> int | None:
        """Of the child, once it runs ticks."""
        child = self._child
        return child.popen.pid if child is not None and child.ready else None

    def put(self, tick: Tick) -> None:
        """Have a tick run soon. Never blocks; a tick that waits already is not queued twice."""
        fallback = self._fallback
        if fallback is not None:
            fallback.put(tick)
            return
        self._ticks.put(tick)
        self._wake()

    def report(self) -> list[ThreadReport]:
        """The state of the threads that run ticks, wherever they are."""
        fallback, child = self._fallback, self._child
        if fallback is not None:
            return fallback.report()
        if child is None:
            return []
        silent = time.monotonic() - child.heard_threads_at
        return [
            dataclasses.replace(
                thread,
                name=f"{NAME} {thread.name}",
                idle_seconds=thread.idle_seconds + silent,
                failing_seconds=thread.failing_seconds and thread.failing_seconds + silent,
            )
            for thread in child.threads
        ]

    def close(self, seconds: float) -> None:
        """Wait for the child's end, which `stopping` has asked for; kill it after so many seconds."""
        self._wake()
        self._fallback_stopping.set()
        fallback = self._fallback
        end = time.monotonic() + seconds
        if not self.thread.join(seconds):
            self._kill("it did not end in time")
            self.thread.join(_END_SECONDS)
        if fallback is not None:
            fallback.close(max(0.0, end - time.monotonic()))
        if not self.thread.is_alive:
            self._wake_read.close()
            self._wake_write.close()

    # --- The thread

    def _run(self) -> None:
        while True:
            self.thread.beat()
            stopping = self._stopping.is_set()
            if self._child is None:
                if stopping:
                    return
                self._start_if_due()
                self._choose_who_runs_ticks()
            if self._child is None:
                self._stopping.wait(_STEP_SECONDS)
            else:
                self._converse(self._child, stopping=stopping)

    def _start_if_due(self) -> None:
        if self._command is None or time.monotonic() < self._start_at:
            return
        try:
            popen = subprocess.Popen(  # noqa: S603 - our own program
                [*self._command, *self._arguments()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(os.environ),
                bufsize=0,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._note_end(0.0)
            log.error("background_not_started", error=type(error).__name__)  # noqa: TRY400
            return
        now = time.monotonic()
        child = _Child(popen, started_at=now, heard_at=now)
        os.set_blocking(child.stdin.fileno(), False)
        os.set_blocking(child.stdout.fileno(), False)
        self._child = child

    def _converse(self, child: _Child, *, stopping: bool) -> None:
        """Write what waits, read what the child says, and note its end."""
        now = time.monotonic()
        if stopping and not child.stop_asked:
            child.stop_asked = True
            child.unwritten += lines.encode(lines.STOP)
        elif not child.unwritten and child.ready and self._ticks and now - child.written_at >= _GATHER_SECONDS:
            child.written_at = now
            child.unwritten = b"".join(lines.encode(tick.as_json()) for tick in self._ticks.take_all())
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            if child.unwritten:
                selector.register(child.stdin, selectors.EVENT_WRITE)
            gathering = bool(self._ticks) and child.ready and not child.unwritten
            ready = {key.fileobj for key, _ in selector.select(_GATHER_SECONDS if gathering else _STEP_SECONDS)}
        if self._wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                self._wake_read.recv(_READ_BYTES)
        if child.stdin in ready:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                child.unwritten = child.unwritten[os.write(child.stdin.fileno(), child.unwritten) :]
        is_over = child.stdout in ready and not self._read(child)
        if is_over:
            self._end(child)
        else:
            self._check_silence(child)
            self._choose_who_runs_ticks()

    def _read(self, child: _Child) -> bool:
        """Act on what the child has written; returns whether it goes on."""
        try:
            data = os.read(child.stdout.fileno(), _READ_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        child.heard_at = time.monotonic()
        try:
            for said in child.reader.feed(data):
                self._hear(child, said)
        except (ValueError, TypeError, KeyError) as error:
            self._kill(f"it writes what is no line of ours ({type(error).__name__})")
        return True

    def _hear(self, child: _Child, said: Mapping[str, Any]) -> None:
        if "send" in said:
            self._send([int(each) for each in said["send"]])
        elif "threads" in said:
            child.threads = tuple(ThreadReport(**each) for each in said["threads"])
            child.heard_threads_at = time.monotonic()
        elif "ready" in said:
            child.ready = True
            log.info("background_started", child_pid=child.popen.pid)

    def _check_silence(self, child: _Child) -> None:
        now = time.monotonic()
        if child.ready and now - child.heard_at > SILENT_SECONDS:
            self._kill(f"it has said nothing for {now - child.heard_at:.0f} s")
        elif not child.ready and now - child.started_at > START_SECONDS:
            self._kill(f"it is not ready after {now - child.started_at:.0f} s")

    def _kill(self, why: str) -> None:
        child = self._child
        if child is not None and child.popen.poll() is None:
            log.error("background_killed", reason=why, child_pid=child.popen.pid)
            child.popen.kill()
            child.heard_at = child.started_at = time.monotonic()  # its end follows

    def _end(self, child: _Child) -> None:
        """The child has closed its pipe."""
        try:
            code = child.popen.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            child.popen.kill()
            code = child.popen.wait()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        self._child = None
        seconds = time.monotonic() - child.started_at
        self._note_end(seconds)
        if not self._stopping.is_set():
            log.error(
                "background_ended",
                child_pid=child.popen.pid,
                code=code,
                seconds=round(seconds),
                pause=round(self._pause, 1),
            )

    def _note_end(self, lived_seconds: float) -> None:
        now = time.monotonic()
        if lived_seconds >= _STEADY_SECONDS:
            self._pause = 0.0
        self._pause = min(2 * self._pause or _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._start_at = now + self._pause

    def _choose_who_runs_ticks(self) -> None:
        """Run ticks here while there has been no child for long, and leave them to the child once it is ready."""
        now = time.monotonic()
        if self._child is not None and self._child.ready:
            self._absent_since = now
            if self._fallback is not None:
                log.warning("background_again", child_pid=self._child.popen.pid)
                self._fallback_stopping.set()
                self._fallback = None
            return
        is_long = self._command is None or now - self._absent_since >= ABSENT_SECONDS
        if self._fallback is None and is_long and not self._stopping.is_set():
            if self._command is not None:
                log.warning("background_absent")
            self._fallback_stopping = threading.Event()
            self._fallback = self._in_process(self._fallback_stopping)
            for tick in self._ticks.take_all():
                self._fallback.put(tick)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full, or closed: the thread looks by itself
            self._wake_write.send(b"\n")


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The same variables, and this checkout first among the places where Python looks for `worker`."""
    path = [str(_ROOT), *filter(None, [variables.get("PYTHONPATH")])]
    return {**variables, "PYTHONPATH": os.pathsep.join(path)}
