"""The program of a worker's background process: `python -m worker.background_process OPTIONS`, started by its worker.

It runs ticks until its worker says that it is to stop, or SIGTERM does: then it ends the ticks under way. When the pipe
from its worker ends, the worker is dead, and this process ends at once: what it had claimed is due again when its lease
ends. SIGINT concerns only the worker: a terminal sends it to both.
"""

import contextlib
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from smsclick._logs.event_log import EventLog
from smsclick._values.callback import TaskTarget
from smsclick.errors import SmsclickError
from smsclick.settings import get_settings
from worker.background import lines, ticks
from worker.background.runner import Runner
from worker.background.tick import Tick
from worker.broker.periods import periods
from worker.callbacks.celery_task import CallTask
from worker.logs.form import LogForm
from worker.metrics.reporter import WRITE_SECONDS
from worker.monitoring.process_health import HEARTBEAT_SECONDS, heartbeat_name
from worker.runtime import Runtime
from worker.sql import heartbeat
from worker.threads import heap, liveness
from worker.threads.supervision import SupervisedThread, periodic

log = EventLog(__name__)

NICENESS = 5
"""Where the processor is busy, sending goes first."""

_STOP_CHECK_SECONDS = 0.2
_END_SECONDS = 5.0
"""Added to the longest call of the provider: how long the ticks under way may take to end."""

_FLUSH_SECONDS = 1.0
_MOST_UNWRITTEN = 1000
_READ_BYTES = 1 << 16


class _Worker:
    """The worker at the other end of the pipes.

    Args:
        stopping: set when it says that this process is to stop.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        # Neither a stray `print` nor a child of ours may write into the pipe, or keep it open.
        self._input, self._output = os.dup(0), os.dup(1)
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        self._lines: queue.Queue[bytes] = queue.Queue(_MOST_UNWRITTEN)

    def say(self, what: Mapping[str, Any]) -> None:
        """Write a line soon; it is dropped while the worker does not read."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(lines.encode(what))

    def flush(self, seconds: float) -> None:
        """Wait at most so many seconds until everything is written."""
        end = time.monotonic() + seconds
        while self._lines.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.005)

    def threads(self, runner: Runner) -> Sequence[SupervisedThread]:
        """The threads that read and write."""

        def read() -> None:
            reader = lines.LineReader()
            while data := os.read(self._input, _READ_BYTES):
                for said in reader.feed(data):
                    if "tick" in said:
                        runner.put(Tick.of_json(said))
                    elif "stop" in said:
                        self._stopping.set()
            os._exit(1)  # the worker is dead

        def write() -> None:
            while True:
                self._write(self._lines.get())
                self._lines.task_done()

        return [
            SupervisedThread("smsclick-from-worker", read),
            SupervisedThread("smsclick-to-worker", write),
            periodic("smsclick-state", lambda: self.say(lines.state(runner.report())), liveness.WRITE_SECONDS),
        ]

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._output, data) :]
        except BrokenPipeError:
            os._exit(1)  # as above


def _call_task() -> CallTask:
    """Calls producers' Celery tasks; loads Celery at the first call, because it takes memory and few are called so."""
    lock = threading.Lock()
    made: list[CallTask] = []

    def call(target: TaskTarget, event_id: str, event: Mapping[str, Any]) -> None:
        with lock:
            if not made:
                from worker.app import app  # noqa: PLC0415 - see above
                from worker.callbacks import celery_task  # noqa: PLC0415 - as above

                made.append(celery_task.caller(app))
        made[0](target, event_id, event)

    return call


def main(arguments: Sequence[str]) -> int:
    """Run ticks until the worker ends.

    Args:
        arguments: a JSON object of `simulated` and `broker`, then those of `LogForm`.

    Returns:
        The exit code.
    """
    heap.keep_small()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    stopping = threading.Event()
    worker = _Worker(stopping)
    options, *form = arguments
    LogForm.of_arguments(form).set_up("background")
    given: dict[str, bool] = json.loads(options)
    try:
        settings = get_settings()
        runner = Runner(lambda ids: worker.say({"send": list(ids)}), periods(settings), stopping)
        runtime = Runtime.start(
            settings,
            runner,
            calls=0,
            call_task=_call_task() if given["broker"] else None,
            simulated=given["simulated"],
        )
    except SmsclickError as error:
        log.error("background_refused", error=error)  # noqa: TRY400 - the line is meant for a person
        return 1
    name = heartbeat_name("background", os.getpid())

    def beat() -> None:
        with contextlib.suppress(SmsclickError):
            heartbeat.beat(runtime.database, name, runner.progress)

    threads = [
        *worker.threads(runner),
        periodic("smsclick-heartbeat", beat, HEARTBEAT_SECONDS),
        periodic("smsclick-merge", runtime.reporter.merge_if_due, WRITE_SECONDS),
    ]
    for thread in threads:
        thread.start()
    runner.start(lambda tick: ticks.run(runtime, tick))
    worker.say({"ready": os.getpid()})
    # A handler only notes the signal: it must not take a lock that this thread may hold.
    while not stopping.wait(_STOP_CHECK_SECONDS):
        if asked:
            stopping.set()
    runtime.stopping.set()
    has_ended = runner.close(settings.connect_timeout + settings.read_timeout + _END_SECONDS)
    runtime.close()
    worker.flush(_FLUSH_SECONDS)
    return 0 if has_ended else 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    # Not `sys.exit`: it would wait for calls of receivers that do not answer.
    sys.stderr.flush()
    os._exit(code)
