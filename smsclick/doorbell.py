"""The producer's doorbell: tells the workers by ids to look now. It never blocks or fails a commit.

A bounded queue and one daemon thread stand between the producer and the broker. What is lost here, because the queue is
full, the broker is down or silent, or the process ends, costs time and never a message: the sweep finds it.
"""

import atexit
import contextlib
import functools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from smsclick.errors import SettingsError
from smsclick.settings import get_settings

log = logging.getLogger(__name__)

_LIST = 10
_QUEUE = 1000
_PAUSE_SECONDS = 5.0
_EXIT_SECONDS = 1.0
_EXPIRES_SECONDS = 60


def configured() -> bool:
    """Whether there is a broker to ring through; without one the sweep finds new messages."""
    try:
        url = get_settings().broker_url
    except SettingsError:
        return False
    return bool(url) and not url.startswith("memory://")


def ring(ids: Sequence[int], *, delay: float = 0.0) -> None:
    """Ring for these messages, in the background; returns at once.

    Args:
        ids: of messages that are committed, or will be after `delay`.
        delay: seconds to wait first.
    """
    bell = _bell(os.getpid())
    for start in range(0, len(ids), _LIST):
        bell.put(list(ids[start : start + _LIST]), delay)


class _Bell:
    def __init__(self, publish: Callable[[list[int]], None]) -> None:
        self._publish = publish
        self._queue: queue.Queue[tuple[list[int], float]] = queue.Queue(_QUEUE)
        self._paused_until = 0.0
        threading.Thread(target=self._run, name="smsclick-doorbell", daemon=True).start()
        atexit.register(self._flush)

    def put(self, ids: list[int], delay: float) -> None:
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait((ids, time.monotonic() + delay))

    def _run(self) -> None:
        while True:
            ids, at = self._queue.get()
            try:
                time.sleep(max(0.0, at - time.monotonic()))
                if time.monotonic() >= self._paused_until:
                    self._publish(ids)
            except Exception as error:  # noqa: BLE001 - kombu raises whatever its transport does; nothing depends on it
                self._paused_until = time.monotonic() + _PAUSE_SECONDS
                log.warning(
                    "The doorbell did not ring; the sweep will find the messages. error=%s",
                    type(error).__name__,
                )
            finally:
                self._queue.task_done()

    def _flush(self) -> None:
        """A short script ends right after its commit: give the thread a moment."""
        end = time.monotonic() + _EXIT_SECONDS
        while self._queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)
        if self._queue.unfinished_tasks:
            log.warning(
                "The doorbell did not ring, because the broker did not answer; the sweep will find the messages."
            )


@functools.cache
def _bell(process: int) -> _Bell:  # noqa: ARG001 - a forked child has no thread of its parent's
    return _Bell(_publisher(get_settings().broker_url))


def _publisher(broker_url: str) -> Callable[[list[int]], None]:
    try:
        from celery import Celery  # noqa: PLC0415 - an extra; without it the sweep finds the messages
        from kombu import Connection  # noqa: PLC0415

        # Imported here and not by the thread's first ring: once a short script ends, Python lets no thread import
        # what starts an executor, as redis does, and the bell would stay silent.
        Connection(broker_url).get_transport_cls()
    except ModuleNotFoundError:
        log.warning("smsclick[celery] is not installed: no doorbell; the sweep finds new messages")
        return lambda ids: None  # noqa: ARG005

    options: dict[str, Any] = {"connect_timeout": 1}
    if broker_url.startswith(("redis", "sentinel")):
        options = {"socket_timeout": 1, "socket_connect_timeout": 1}
    app = Celery("smsclick-producer", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        broker_transport_options=options,
        broker_connection_timeout=1,
        broker_pool_limit=1,
        redis_socket_timeout=1,
        redis_socket_connect_timeout=1,
    )

    def publish(ids: list[int]) -> None:
        app.send_task("smsclick.send", args=[ids], queue="smsclick.send", expires=_EXPIRES_SECONDS, retry=False)

    return publish
