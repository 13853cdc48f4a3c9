"""The producer's doorbell: tells the workers by ids to look now. It never blocks or fails a commit.

A bounded queue and one daemon thread stand between the producer and the broker. What is lost here, because the queue is
full, the broker is down or silent, or the process ends, costs time and never a message: the sweep finds it.
"""

import atexit

# Redis' client needs it; once a program ends, Python lets no thread import it for the first time.
import concurrent.futures.thread  # noqa: F401
import contextlib
import dataclasses
import datetime as dt
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from smsclick.errors import SettingsError
from smsclick.settings import get_settings

log = logging.getLogger(__name__)

MOST = 300
"""Messages of one transaction, or one file, that are rung for; the workers then find the others by themselves."""

LIST = 75
"""Messages of one doorbell. Each costs a worker a millisecond, and one is enough to wake it."""

_QUEUE = 1000
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_WATCH_SECONDS = 0.0005
_COMMIT_SECONDS = 10.0
_ANSWER_SECONDS = 1
"""What a broker has for each answer."""

_EXIT_SECONDS = 1.5
"""What a program that ends gives the doorbell."""

_EXPIRES_SECONDS = 60
_QUEUE_NAME = "smsclick.send"


class Watched(Protocol):
    """A transaction whose commit has begun; SQLAlchemy's are."""

    @property
    def is_active(self) -> bool:
        """Whether it is still going on."""


def configured() -> bool:
    """Whether there is a broker to ring through; without one the sweep finds new messages."""
    try:
        url = get_settings().broker_url
    except SettingsError:
        return False
    return bool(url) and not url.startswith("memory://")


def ring(ids: Sequence[int], *, after: Watched | None = None) -> None:
    """Ring for these messages, in the background; returns at once.

    Args:
        ids: of messages that are committed, or will be.
        after: rings once this transaction is over; None: now. Should its commit fail, nobody finds the ids.
    """
    try:
        bell = _the_bell()
    except RuntimeError:  # no thread can be started: too many, or the interpreter ends
        log.warning("The doorbell has no thread; the sweep will find the messages.")
        return
    bell.put(list(ids), after)


@dataclasses.dataclass(frozen=True, slots=True)
class _Ring:
    ids: list[int]
    after: Watched | None
    until: float


class _Bell:
    """The queue and its thread, with a breaker: while the broker fails, one ring in a pause tries it anew."""

    def __init__(self, publish: Callable[[list[int]], None], *, pause: float = _PAUSE_SECONDS) -> None:
        self._publish = publish
        self._first_pause = pause
        self._queue: queue.Queue[_Ring] = queue.Queue(_QUEUE)
        self._pause = 0.0
        self._paused_until = 0.0
        threading.Thread(target=self._run, name="smsclick-doorbell", daemon=True).start()

    def put(self, ids: list[int], after: Watched | None = None) -> None:
        """Queue a ring; dropped where the queue is full, and while the broker fails."""
        now = time.monotonic()
        if now >= self._paused_until:
            self._put(_Ring(ids, after, now + _COMMIT_SECONDS))

    def flush(self, seconds: float) -> bool:
        """Wait for what is queued, at most so long; whether all of it was done."""
        end = time.monotonic() + seconds
        while self._queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.005)
        return not self._queue.unfinished_tasks

    def _put(self, ring: _Ring) -> None:
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(ring)

    def _run(self) -> None:
        while True:
            ring = self._queue.get()
            now = time.monotonic()
            if now < self._paused_until:
                pass
            elif ring.after is None or not ring.after.is_active:
                self._try(ring.ids)
            elif now < ring.until:
                # The commit is on its way to the database. To the end of the queue, so that no other waits for it.
                self._put(ring)
                time.sleep(_WATCH_SECONDS)
            self._queue.task_done()

    def _try(self, ids: list[int]) -> None:
        try:
            for start in range(0, len(ids), LIST):
                self._publish(ids[start : start + LIST])
        except Exception as error:  # noqa: BLE001 - kombu raises whatever its transport does; nothing depends on it
            if not self._pause:
                log.warning(
                    "The doorbell did not ring; the sweep will find the messages. error=%s",
                    type(error).__name__,
                )
            self._pause = min(2 * self._pause or self._first_pause, _LONGEST_PAUSE_SECONDS)
            self._paused_until = time.monotonic() + self._pause
        else:
            if self._pause:
                log.info("The doorbell rings again.")
            self._pause = 0.0


_bell: _Bell | None = None
_bell_lock = threading.Lock()


def _the_bell() -> _Bell:
    global _bell  # noqa: PLW0603 - one per process
    with _bell_lock:
        if _bell is None:
            _bell = _Bell(_Publisher(get_settings().broker_url))
        return _bell


def _forget() -> None:
    """In a forked child: the thread, the lock's owner and the broker's socket are the parent's."""
    global _bell, _bell_lock
    _bell, _bell_lock = None, threading.Lock()


def _flush() -> None:
    """A short script ends right after its commit: give the thread a moment."""
    if _bell is not None and not _bell.flush(_EXIT_SECONDS):
        log.warning("The doorbell did not ring, because the broker did not answer; the sweep will find the messages.")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
atexit.register(_flush)


class _Publisher:
    """Publishes over one connection of its own, as Celery would, whose pools and limits belong to the producer's app.

    It declares no queue: the workers do, as they see fit, and before them nobody is there to hear.
    """

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._connection: Any = None
        self._producer: Any = None
        self._missing = False

    def __call__(self, ids: list[int]) -> None:
        """Publish once; over a connection that was open before, and may have been closed meanwhile, twice."""
        if self._missing:
            return
        fresh = self._producer is None
        try:
            self._send(ids)
        except Exception:
            self._close()
            if fresh:
                raise
            self._send(ids)

    def _send(self, ids: list[int]) -> None:
        if self._producer is None:
            self._connect()
        if self._producer is not None:
            headers, body = call_to_send(ids)
            self._producer.publish(
                body,
                exchange="",
                routing_key=_QUEUE_NAME,
                serializer="json",
                headers=headers,
                correlation_id=headers["id"],
                delivery_mode="transient",
                timeout=_ANSWER_SECONDS,
            )

    def _connect(self) -> None:
        try:
            import kombu  # noqa: PLC0415 - an extra, and slow to import: not in the thread that commits
        except ModuleNotFoundError:
            self._missing = True
            log.warning("smsclick[celery] is not installed: no doorbell; the sweep finds new messages")
            return
        if self._url.startswith(("redis", "sentinel")):
            options: dict[str, Any] = {"socket_timeout": _ANSWER_SECONDS, "socket_connect_timeout": _ANSWER_SECONDS}
        else:
            options = {"confirm_publish": True, "read_timeout": _ANSWER_SECONDS, "write_timeout": _ANSWER_SECONDS}
        self._connection = kombu.Connection(self._url, connect_timeout=_ANSWER_SECONDS, transport_options=options)
        # Not its default channel, which would try to connect for ever.
        self._producer = kombu.Producer(self._connection.channel())

    def _close(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.collect(socket_timeout=1)


def call_to_send(ids: list[int]) -> tuple[dict[str, Any], list[Any]]:
    """The headers and the body of a call to `smsclick.send`, in Celery's message protocol 2."""
    call = str(uuid.uuid4())
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=_EXPIRES_SECONDS)
    headers = {
        "lang": "py",
        "task": "smsclick.send",
        "id": call,
        "root_id": call,
        "parent_id": None,
        "group": None,
        "expires": expires.isoformat(),
        "retries": 0,
        "ignore_result": True,
    }
    return headers, [[ids], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
