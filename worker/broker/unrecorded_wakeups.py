"""Redis: wake-ups of senders are not recorded as unacknowledged, because the sweep replaces one that is lost.

Redis has no acknowledgements. kombu imitates them: it writes each message that it takes into the keys `unacked` and
`unacked_index`, and deletes it there when it is acknowledged: two round trips, more than a third of the CPU of a
worker's consumer. Any other message is recorded as before: a producer's call has no second copy.
See docs/decisions/0079-unrecorded-wake-ups.md.
"""

from typing import Any

from kombu.transport import redis, virtual

WAKE_UP = "smsclick.send"
"""The task that is a wake-up of senders."""

_Channel: Any = redis.Channel
_QoS: Any = redis.QoS


class QoS(_QoS):  # type: ignore[misc]
    """kombu's list of the messages that are not acknowledged yet; in Redis too, except for wake-ups."""

    channel: Any
    _delivered: Any

    def __init__(self, *args: Any, **rest: Any) -> None:  # noqa: ANN401 - kombu's
        super().__init__(*args, **rest)
        self._unrecorded: set[Any] = set()

    def append(self, message: Any, delivery_tag: Any) -> None:  # noqa: ANN401 - kombu's
        """Add a message that was taken from its queue.

        Args:
            message: kombu's.
            delivery_tag: its name on this channel.
        """
        if _is_wake_up(message):
            self._unrecorded.add(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: Any) -> None:  # noqa: ANN401 - kombu's
        """Acknowledge a message; from any thread."""
        if delivery_tag in self._unrecorded:
            self._unrecorded.discard(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002
        """Put a message back into its queue: one that was refused, or that a worker did not begin before it stopped.

        Args:
            tag: its name on this channel.
            client: a connection to Redis; without it, one of the pool's.
            leftmost: before all others instead of behind them.
        """
        if tag not in self._unrecorded:
            super().restore_by_tag(tag, client, leftmost)
            return
        message = self._delivered[tag]
        came_from = message.delivery_info["exchange"], message.delivery_info["routing_key"]
        with self.channel.conn_or_acquire(client) as connection, connection.pipeline() as pipe:
            self.channel._do_restore_message(message._raw, *came_from, pipe, leftmost)  # noqa: SLF001 - as kombu does
            pipe.execute()
        self._unrecorded.discard(tag)


def install() -> None:
    """Make this process's Redis channels use it."""
    _Channel.QoS = QoS


def _is_wake_up(message: Any) -> bool:  # noqa: ANN401 - kombu's
    """Whether it carries nothing but ids; what somebody put into the queue by mistake has no other copy."""
    if (message.headers or {}).get("task") != WAKE_UP:
        return False
    try:
        arguments, named, _ = message.payload
        (ids,) = arguments
    except Exception:  # noqa: BLE001 - what cannot be read is no wake-up; the consumer stores it as a dead letter
        return False
    return not named and isinstance(ids, list) and all(isinstance(each, int) for each in ids)
