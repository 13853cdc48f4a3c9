"""Keep the broker's queues short while nobody reads them, without comparing the clocks of two machines.

A wake-up or a tick is useless once a later one has come, so many unread ones are waste. Celery's `expires` compares
the sender's clock with the receiver's: if one machine were 7 s behind, nothing would ever run. Instead:

- RabbitMQ drops messages older than `TTL_SECONDS` by its own clock (the `expiration` property of a message);
- on Redis the sender asks for the length of the queue, at most once a second, and sends nothing while it is full.
"""

import time
from collections.abc import Callable
from typing import Any

TTL_SECONDS = 60
"""How long RabbitMQ keeps an unread wake-up or tick; by then a sweep has sent another one."""

LOOK_SECONDS = 1.0
"""The shortest time between two questions for the length of one queue."""


class Backlog:
    """Whether a queue is full of unread messages, so that one more is of no use.

    Args:
        broker_url: the broker. The queues of RabbitMQ are never asked for, because of `TTL_SECONDS`.
        open_channel: returns a channel of kombu; called again after an error.
        most: the number of messages at which a queue counts as full.
    """

    def __init__(self, broker_url: str, open_channel: Callable[[], Any], *, most: int) -> None:
        self._asks = not broker_url.startswith(("amqp", "pyamqp", "memory"))
        self._open_channel = open_channel
        self._most = most
        self._channel: Any = None
        self._looked_at: dict[str, float] = {}
        self._full: dict[str, bool] = {}

    def is_full(self, queue: str) -> bool:
        """Return whether this queue is full; raises the errors of the broker's library."""
        if not self._asks:
            return False
        now = time.monotonic()
        if now - self._looked_at.get(queue, float("-inf")) >= LOOK_SECONDS:
            self._full[queue] = self._length(queue) >= self._most
            self._looked_at[queue] = now
        return self._full[queue]

    def forget(self) -> None:
        """Forget the channel, because the connection was lost; the next question opens another one."""
        self._channel = None

    def _length(self, queue: str) -> int:
        if self._channel is None:
            self._channel = self._open_channel()
        try:
            return int(self._channel._size(queue))  # noqa: SLF001 - queue_declare(passive=True) fails on an empty queue
        except Exception:
            self._channel = None
            raise
