"""Keep the broker's queues short while nobody reads them, without comparing two machines' clocks.

A wake-up or a tick is worth nothing once a later one has come, so an unread pile of them is waste. Celery's `expires`
would compare the sender's clock with the receiver's: with one machine 7 s behind, nothing would ever run. Instead:

- RabbitMQ drops what is older than `TTL_SECONDS`, by its own clock (the `expiration` property of a message);
- on Redis the sender looks at the queue's length, at most once a second, and sends no more while it is full.
"""

import time
from collections.abc import Callable
from typing import Any

TTL_SECONDS = 60
"""How long RabbitMQ keeps a wake-up or a tick that nobody reads; a sweep has sent another one by then."""

LOOK_SECONDS = 1.0
"""A queue's length is asked for at most this often."""


class Backlog:
    """Whether a queue is full of unread messages, so that one more is of no use.

    Args:
        broker_url: RabbitMQ's queues are never asked: it has `TTL_SECONDS`.
        open_channel: gives a kombu channel; called again after an error.
        most: messages of a full queue.
    """

    def __init__(self, broker_url: str, open_channel: Callable[[], Any], *, most: int) -> None:
        self._asks = not broker_url.startswith(("amqp", "pyamqp", "memory"))
        self._open_channel = open_channel
        self._most = most
        self._channel: Any = None
        self._looked_at: dict[str, float] = {}
        self._full: dict[str, bool] = {}

    def is_full(self, queue: str) -> bool:
        """Whether this queue is full; raises whatever the broker's library raises."""
        if not self._asks:
            return False
        now = time.monotonic()
        if now - self._looked_at.get(queue, float("-inf")) >= LOOK_SECONDS:
            self._full[queue] = self._length(queue) >= self._most
            self._looked_at[queue] = now
        return self._full[queue]

    def forget(self) -> None:
        """Open another channel next time: the connection was lost."""
        self._channel = None

    def _length(self, queue: str) -> int:
        if self._channel is None:
            self._channel = self._open_channel()
        try:
            return int(self._channel._size(queue))  # noqa: SLF001 - queue_declare(passive=True) fails on an empty queue
        except Exception:
            self._channel = None
            raise
