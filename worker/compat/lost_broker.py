"""A broker that goes away, where it would end the worker."""

import logging
from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

_Transport: Any = redis.Transport
_ERRORS = _Transport.connection_errors
_QoS: Any = redis.QoS
_APPEND = _QoS.append
_Channel: Any = redis.Channel
_CONNPARAMS: Any = _Channel._connparams  # noqa: SLF001 - kombu has no other place for it


def outlive() -> None:
    """Have all channels to Redis of this process say that they are closed in a way that Celery expects.

    When Redis dies, a channel is closed once before its connection and once after it, and acknowledged through later
    still, where a call was in hand. kombu 5.7 then raises AttributeError, which ends Celery's worker. What was not
    acknowledged comes back after its visibility timeout, as from a worker that was killed.

    What Redis answers instead of working (READONLY, MISCONF, OOM, …) counts as a lost connection too: kombu's timers
    would log each with its traceback. A message that was taken out of its queue, and cannot be noted as in hand, is
    handled all the same: it stands nowhere else.
    """
    _Transport.connection_errors = (*_ERRORS, RedisError)
    _QoS.append = _append
    _Channel._connparams = _connparams  # noqa: SLF001


def _connparams(self: Any, asynchronous: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - as kombu has it
    transport = self.connection
    if transport is None or transport.client is None:
        raise RedisConnectionError("the channel is closed")
    return _CONNPARAMS(self, asynchronous)


def _append(self: Any, message: Any, delivery_tag: Any) -> None:  # noqa: ANN401 - as kombu has it
    try:
        _APPEND(self, message, delivery_tag)
    except (*_ERRORS, RedisError) as error:
        log.warning("A message is handled without a note of it in Redis. error=%s", type(error).__name__)
        virtual.QoS.append(self, message, delivery_tag)
