"""A broker that goes away, where it would end the worker."""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError

_Channel: Any = redis.Channel
_CONNPARAMS: Any = _Channel._connparams  # noqa: SLF001 - kombu has no other place for it


def outlive() -> None:
    """Have all channels to Redis of this process say that they are closed in a way that Celery expects.

    When Redis dies, a channel is closed once before its connection and once after it, and acknowledged through later
    still, where a call was in hand. kombu 5.7 then raises AttributeError, which ends Celery's worker. What was not
    acknowledged comes back after its visibility timeout, as from a worker that was killed.
    """
    _Channel._connparams = _connparams  # noqa: SLF001


def _connparams(self: Any, asynchronous: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - as kombu has it
    transport = self.connection
    if transport is None or transport.client is None:
        raise RedisConnectionError("the channel is closed")
    return _CONNPARAMS(self, asynchronous)
