"""kombu 5.7.0, Redis: using a channel after its connection was closed raises AttributeError and stops the worker.

Fault: when Redis dies, Celery closes a channel before its connection and again after it, and acknowledges a task that
was running later still. `Channel._connparams` then reads an attribute of a connection that is None. Celery does not
expect AttributeError: it logs "Unrecoverable error" and its worker ends. Reported as celery/kombu#582.

Workaround: `install` makes the channel raise redis-py's ConnectionError, which Celery handles. A message that was not
acknowledged is delivered again after its visibility timeout, as after a killed worker.

Remove it when the cases `kombu's` in tests/integration/test_lost_broker.py fail: they pass while kombu has the fault.
"""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError

_Channel: Any = redis.Channel
ORIGINAL_CONNPARAMS = _Channel._connparams  # noqa: SLF001 - kombu has no public hook for it


def install() -> None:
    """Patch kombu's Redis channel in this process."""
    _Channel._connparams = _connparams  # noqa: SLF001 - as above


def _connparams(self: Any, asynchronous: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - kombu's signature
    transport = self.connection
    if transport is None or transport.client is None:
        raise RedisConnectionError("the channel is closed")
    return ORIGINAL_CONNPARAMS(self, asynchronous)
