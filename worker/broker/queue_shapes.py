"""Our queues on RabbitMQ, which may exist in another shape: as a quorum queue, with priorities, as a stream.

A queue cannot be declared in another shape afterwards: RabbitMQ closes the channel with error 406. So only workers
declare our queues. A queue that exists in another shape is used as it is; a queue that cannot be consumed is logged,
and the worker consumes the others.
"""

from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery
from kombu import Queue

from smsclick._logs.event_log import EventLog

log = EventLog(__name__)

_wanted: WeakKeyDictionary[Celery, dict[str, Queue]] = WeakKeyDictionary()
"""For each app, all queues that it should consume, including those that it cannot."""

_logged: dict[str, str] = {}
"""The broker's answer that was logged for each queue, so that it is logged once."""


def adopt(app: Celery) -> list[Queue]:
    """Check the queues of this worker over a connection of its own, and leave out those that it cannot consume.

    Args:
        app: the Celery app, whose list of queues is changed. The next call checks the queues that were left out again.

    Returns:
        The queues that can be consumed.

    Raises:
        Exception: of kombu or its transport, where the broker cannot be used at all.
    """
    queues: Any = app.amqp.queues
    if not app.conf.broker_read_url.startswith(("amqp", "pyamqp")):
        return list(queues.consume_from.values())
    wanted: dict[str, Queue] = _wanted.setdefault(app, dict(queues.consume_from))
    usable: dict[str, Queue] = {}
    with app.connection_for_read() as connection:
        for name, queue in wanted.items():
            can_be_consumed, answer = _look(connection, queue)
            _log(name, answer, can_be_consumed=can_be_consumed)
            if can_be_consumed:
                usable[name] = queue
    queues._consume_from = usable  # noqa: SLF001 - `select` would forget the others
    return list(usable.values())


def left_out(app: Celery) -> bool:
    """Whether this worker should consume queues that it cannot consume."""
    return len(_wanted.get(app, ())) > len(app.amqp.queues.consume_from)


def _look(connection: Any, queue: Any) -> tuple[bool, str]:  # noqa: ANN401 - kombu's
    """Declare a queue and consume from it for a test; returns whether that works, and the error of the declaration."""
    answer = ""
    queue.no_declare = False
    try:
        with connection.channel() as channel:
            queue(channel).declare()
    except connection.channel_errors as error:
        answer = _text(error)
        # It exists in another shape: use it as it is.
        queue.no_declare = True
        if "is the value 'stream'" in answer:
            return False, answer
    try:
        with connection.channel() as channel:
            queue(channel).queue_declare(passive=True)
            # At most one message, which goes back to the queue when the channel closes.
            channel.basic_qos(0, 1, False)  # noqa: FBT003 - kombu's
            channel.basic_consume(queue.name, no_ack=False, callback=_ignore, consumer_tag="smsclick-look")
            channel.basic_cancel("smsclick-look")
    except connection.channel_errors as error:
        return False, _text(error)
    return True, answer


def _ignore(_: object) -> None:
    """Do not acknowledge the message: it goes back to the queue."""


def _text(error: Exception) -> str:
    return str(getattr(error, "reply_text", "") or type(error).__name__)


def _log(name: str, answer: str, *, can_be_consumed: bool) -> None:
    if _logged.get(name, "") == answer:
        return
    _logged[name] = answer
    if not can_be_consumed:
        log.error("queue_refused", queue=name, answer=answer)
    elif answer:
        log.warning("queue_differs", queue=name, answer=answer)
    else:
        log.warning("queue_consumed_again", queue=name)
