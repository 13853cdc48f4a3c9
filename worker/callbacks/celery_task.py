"""Calls of a producer's own Celery task: one message to its queue, as any Celery app takes it (protocol 2)."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from celery import Celery
from kombu.pools import producers

from smsclick._values.callback import TaskTarget

CallTask = Callable[[TaskTarget, str, Mapping[str, Any]], None]
"""Hands an event, by its id, to the broker; raises `TaskNotPublishedError`."""


class TaskNotPublishedError(Exception):
    """The broker did not take a call; the text says why in a few words of ours."""


def caller(app: Celery, seconds: float = 5.0) -> CallTask:
    """Calls tasks through the broker of this app, on connections of its own.

    On RabbitMQ each call is confirmed, and its queue must be there: a message to no queue would be dropped, and making
    one of our own idea would keep the producer from declaring it otherwise. Redis keeps it for whoever comes.

    Args:
        app: whose broker it is.
        seconds: how long a silent RabbitMQ is waited for; for Redis the app's own time-outs hold.
    """
    is_amqp = str(app.conf.broker_url).startswith(("amqp", "pyamqp"))
    silence = {"read_timeout": seconds, "write_timeout": seconds} if is_amqp else {}
    connection: Any = app.connection_for_write(transport_options=silence)  # its stubs lack half of it

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
                        # On a channel of its own, because the broker closes it where there is no such queue.
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
                    # A late answer must not be taken for the next call's; dropped without asking the broker.
                    with contextlib.suppress(Exception):
                        producer.connection.collect()
                    raise
        except Exception as error:  # noqa: BLE001 - kombu raises whatever its transport does; it is tried again
            # Without the traceback: it may show the broker's address, which holds a password.
            if getattr(error, "code", None) == 404:
                raise TaskNotPublishedError("the broker has no such queue; start the app that consumes it") from None
            raise TaskNotPublishedError(f"the broker did not take it ({type(error).__name__})") from None

    return call
