"""Call a producer's own Celery task: publish one message to its queue, in Celery's message protocol 2.

Celery is imported only where tasks are called: a background process without such callbacks saves the memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from smsclick._values.callback import TaskTarget
from worker.alerting.wording import DetailCode
from worker.callbacks.failures import CallFailedError

if TYPE_CHECKING:
    from celery import Celery

CallTask = Callable[[TaskTarget, str, Mapping[str, Any]], None]
"""Publishes an event with its id to a task's queue; raises `TaskNotPublishedError`."""


class TaskNotPublishedError(CallFailedError):
    """The broker did not accept a call."""


def caller(app: Celery, seconds: float = 5.0) -> CallTask:
    """Make a function that calls tasks through the broker of an app, on connections of its own.

    On RabbitMQ each call is confirmed, and its queue must exist: RabbitMQ drops a message to no queue, and a queue that
    we declare could have another shape than the producer's. Redis keeps the message until a worker reads it.

    Args:
        app: the app whose broker is used.
        seconds: the timeout for RabbitMQ; for Redis the app's own timeouts hold.
    """
    from kombu.pools import producers  # noqa: PLC0415 - see above

    is_amqp = str(app.conf.broker_url).startswith(("amqp", "pyamqp"))
    silence = {"read_timeout": seconds, "write_timeout": seconds} if is_amqp else {}
    connection: Any = app.connection_for_write(transport_options=silence)  # the stubs are incomplete

    def call(target: TaskTarget, event_id: str, event: Mapping[str, Any]) -> None:
        message = app.amqp.as_task_v2(
            event_id,
            target.task,
            kwargs={"event": dict(event)},
            ignore_result=True,
            argsrepr="()",
            kwargsrepr="{}",
            origin="smsclick",
        )
        try:
            with producers[connection].acquire(block=True, timeout=seconds) as producer:
                try:
                    if is_amqp:
                        producer.connection.ensure_connection(max_retries=1, timeout=seconds)
                        # On a channel of its own: the broker closes it if the queue does not exist.
                        with producer.connection.channel() as channel:
                            channel.queue_declare(target.queue, passive=True)
                    producer.publish(
                        message.body,
                        exchange="",
                        routing_key=target.queue,
                        serializer="json",
                        headers=message.headers,
                        timeout=seconds,
                        confirm_timeout=seconds,
                        **message.properties,
                    )
                except Exception:
                    # Close the connection, so that a late answer is not read as the next call's.
                    with contextlib.suppress(Exception):
                        producer.connection.collect()
                    raise
        except Exception as error:  # noqa: BLE001 - transports raise anything; the call is tried again
            # Without the traceback, which may show the broker's address and its password.
            if getattr(error, "code", None) == 404:
                raise TaskNotPublishedError(DetailCode.CALL_NO_QUEUE) from None
            raise TaskNotPublishedError(DetailCode.CALL_NOT_PUBLISHED, error=type(error).__name__) from None

    return call
