"""A broker that goes away, where it would end the worker."""

from typing import Any

from kombu.transport import redis


class _QoS(redis.QoS):
    """Gives back what is not acknowledged, unless the connection is gone."""

    def restore_unacked(self, client: Any = None) -> None:  # noqa: ANN401 - kombu has no types
        """Nothing over a closed connection: kombu 5.7 would raise AttributeError, which ends Celery's worker.

        When Redis dies, the channel is closed once before the connection and once after it. What was not acknowledged
        comes back after its visibility timeout, as from a worker that was killed.
        """
        transport: Any = self.channel.connection
        delivered: Any = self._delivered
        if transport is None or transport.client is None:
            delivered.clear()
        else:
            super().restore_unacked(client)


def outlive() -> None:
    """Have all channels to Redis of this process use it."""
    redis.Channel.QoS = _QoS
