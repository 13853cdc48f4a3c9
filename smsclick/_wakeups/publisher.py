"""A producer's wake-ups: publish the ids of new messages, so that the workers look at them now.

This never blocks and never fails a commit: a bounded queue and one daemon thread stand between the producer and the
broker. A wake-up may be lost, because the queue is full, the broker is down or silent, or the process ends. That costs
time and never a message: the sweep finds it.
"""

import atexit

# Redis' client needs this module. While a program ends, Python lets no thread import it for the first time.
import concurrent.futures.thread  # noqa: F401
import contextlib
import functools
import os
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from smsclick._broker.address import parse_broker
from smsclick._logs.event_log import EventLog
from smsclick._wakeups.background_publisher import PAUSE_SECONDS, BackgroundPublisher, Watched
from smsclick._wakeups.backlog import TTL_SECONDS, Backlog
from smsclick.errors import SettingsError
from smsclick.settings import get_settings

log = EventLog(__name__)

MOST = 300
"""Ids of one transaction, or of one file, that are published; the workers then find the others themselves."""

LIST = 75
"""Ids of one wake-up. Each wake-up costs a worker a millisecond, and one is enough to wake it."""

_ANSWER_SECONDS = 1
"""How long the broker may take for each answer."""

_EXIT_SECONDS = 5.0
"""How long a program that ends waits for its last wake-ups: on a busy machine it may still have to load Celery."""

_MOST_UNREAD = 1000
_QUEUE_NAME = "smsclick.send"


def configured() -> bool:
    """Return whether there is a broker to publish to; without one the sweep finds new messages."""
    try:
        url = get_settings().broker_url
    except SettingsError:
        return False
    return bool(url) and not url.startswith("memory://")


def wake(ids: Sequence[int], *, after: Watched | None = None) -> None:
    """Wake the workers up for these messages, in the background; return at once.

    Args:
        ids: of messages that are committed, or will be.
        after: publish once this transaction is over; None publishes now. If its commit fails, nobody finds the ids,
            which does no harm.
    """
    _the_publisher().put(list(ids), after)


class _ListPublisher(BackgroundPublisher[list[int]]):
    """Publishes ids in lists of at most `LIST`."""

    def __init__(self, publish: Callable[[list[int]], None], *, pause: float = PAUSE_SECONDS) -> None:
        super().__init__(functools.partial(_in_lists, publish), pause=pause)


def _in_lists(publish: Callable[[list[int]], None], ids: list[int]) -> None:
    for start in range(0, len(ids), LIST):
        publish(ids[start : start + LIST])


_publisher: _ListPublisher | None = None
_publisher_lock = threading.Lock()


def _the_publisher() -> _ListPublisher:
    global _publisher  # noqa: PLW0603 - one per process
    with _publisher_lock:
        if _publisher is None:
            _publisher = _ListPublisher(_Publisher(get_settings().broker_url))
        return _publisher


def _forget() -> None:
    """Start again in a forked child: the thread, the lock's owner and the broker's socket belong to the parent."""
    global _publisher, _publisher_lock
    _publisher, _publisher_lock = None, threading.Lock()


def _flush() -> None:
    """Let the thread publish its last wake-ups: a short script ends right after its commit."""
    if _publisher is not None and not _publisher.flush(_EXIT_SECONDS):
        log.warning("last_wakeups_lost")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
atexit.register(_flush)


class _Publisher:
    """Publishes over a connection of its own, because Celery's pools and limits belong to the producer's app.

    It declares no queue: the workers declare it, and before there is a worker nobody reads it.
    """

    def __init__(self, broker_url: str) -> None:
        self._broker = parse_broker(broker_url)
        self._connection: Any = None
        self._producer: Any = None
        self._missing = False
        self._backlog = Backlog(broker_url, lambda: self._producer.channel, most=_MOST_UNREAD)

    def __call__(self, ids: list[int]) -> None:
        """Publish the ids; try twice if the connection was open before, because it may have been closed since."""
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
        if self._producer is not None and not self._backlog.is_full(_QUEUE_NAME):
            headers, body = call_to_send(ids)
            self._producer.publish(
                body,
                exchange="",
                routing_key=_QUEUE_NAME,
                serializer="json",
                headers=headers,
                correlation_id=headers["id"],
                delivery_mode="transient",
                expiration=TTL_SECONDS,
                timeout=_ANSWER_SECONDS,
            )

    def _connect(self) -> None:
        try:
            import kombu  # noqa: PLC0415 - an extra, and slow to import: not in the thread that commits
        except ModuleNotFoundError:
            self._missing = True
            log.warning("wakeups_without_celery")
            return
        options = self._broker.transport_options(_ANSWER_SECONDS)
        self._connection = kombu.Connection(
            self._broker.url,
            connect_timeout=_ANSWER_SECONDS,
            transport_options=options,
            ssl=dict(self._broker.tls) if self._broker.tls else False,
        )
        # Not the default channel, which would try to connect forever.
        self._producer = kombu.Producer(self._connection.channel())

    def _close(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        self._backlog.forget()
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.collect(socket_timeout=1)


def call_to_send(ids: list[int]) -> tuple[dict[str, Any], list[Any]]:
    """Return headers and body of a call of `smsclick.send`, in version 2 of Celery's message protocol."""
    call = str(uuid.uuid4())
    headers = {
        "lang": "py",
        "task": "smsclick.send",
        "id": call,
        "root_id": call,
        "parent_id": None,
        "group": None,
        "expires": None,
        "retries": 0,
        "ignore_result": True,
    }
    return headers, [[ids], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
