"""kombu 5.7.0, Redis: an error answer (READONLY, MISCONF, OOM, …) does not count as a lost connection.

Fault: kombu lists only redis-py's connection errors and a few others as `connection_errors`. After a failover a former
master answers READONLY; Celery then stops with "Unrecoverable error" (celery/celery#7946), and kombu's timers log a
traceback at every try. kombu also takes a message out of its queue before it records it as unacknowledged; when this
record fails, the message is in neither place and its only copy is lost.

Workaround: `install` adds all errors of redis-py to `connection_errors`, and lets the worker handle a message whose
record failed.

Remove it when the case `READONLY` of tests/integration/test_broker_answers.py passes without `install`.
"""

from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import RedisError

from smsclick._logs.event_log import EventLog

log = EventLog(__name__)

_Transport: Any = redis.Transport
_ORIGINAL_ERRORS = _Transport.connection_errors
_QoS: Any = redis.QoS
_ORIGINAL_APPEND = _QoS.append


def install() -> None:
    """Patch kombu's Redis transport in this process."""
    _Transport.connection_errors = (*_ORIGINAL_ERRORS, RedisError)
    _QoS.append = _append


def _append(self: Any, message: Any, delivery_tag: Any) -> None:  # noqa: ANN401 - kombu's signature
    try:
        _ORIGINAL_APPEND(self, message, delivery_tag)
    except (*_ORIGINAL_ERRORS, RedisError) as error:
        log.warning("redis_unacknowledged_unrecorded", error=type(error).__name__)
        virtual.QoS.append(self, message, delivery_tag)
