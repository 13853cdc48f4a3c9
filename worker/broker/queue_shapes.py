"""Our queues on RabbitMQ, which somebody else may have made in another shape: quorum, with priorities, a stream.

A queue is declared once and cannot be declared otherwise afterwards: RabbitMQ closes the channel with 406. Only workers
declare ours; one that is there in another shape is used as it is, and one that cannot be consumed costs a line and
nothing else.
"""

import logging
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery
from kombu import Queue

log = logging.getLogger(__name__)

_wanted: WeakKeyDictionary[Celery, dict[str, Queue]] = WeakKeyDictionary()
"""What each app is to consume, also what it cannot."""

_said: dict[str, str] = {}
"""What was said of each queue, so that it is said once."""


def adopt(app: Celery) -> list[Queue]:
    """Look at the queues that this worker consumes, over a connection of its own, and leave out those that it cannot.

    Args:
        app: its queues are marked; those that are left out are looked at again at the next call.

    Returns:
        Those that can be consumed.

    Raises:
        Exception: kombu's or its transport's, where the broker itself cannot be used.
    """
    queues: Any = app.amqp.queues
    if not app.conf.broker_read_url.startswith(("amqp", "pyamqp")):
        return list(queues.consume_from.values())
    wanted: dict[str, Queue] = _wanted.setdefault(app, dict(queues.consume_from))
    usable: dict[str, Queue] = {}
    with app.connection_for_read() as connection:
        for name, queue in wanted.items():
            can_be_consumed, answer = _look(connection, queue)
            _say(name, answer, can_be_consumed=can_be_consumed)
            if can_be_consumed:
                usable[name] = queue
    queues._consume_from = usable  # noqa: SLF001 - `select` would forget the others
    return list(usable.values())


def left_out(app: Celery) -> bool:
    """Whether there are queues that this worker should consume and cannot."""
    return len(_wanted.get(app, ())) > len(app.amqp.queues.consume_from)


def _look(connection: Any, queue: Any) -> tuple[bool, str]:  # noqa: ANN401 - kombu's
    """Whether a queue can be consumed, and what the broker answered to our way of declaring it."""
    answer = ""
    queue.no_declare = False
    try:
        with connection.channel() as channel:
            queue(channel).declare()
    except connection.channel_errors as error:
        answer = _text(error)
        # As our producers do: whoever made it says what it is like.
        queue.no_declare = True
        if "is the value 'stream'" in answer:
            return False, answer
    try:
        with connection.channel() as channel:
            queue(channel).queue_declare(passive=True)
            # One message at the most, which goes back when the channel closes.
            channel.basic_qos(0, 1, False)  # noqa: FBT003 - kombu's
            channel.basic_consume(queue.name, no_ack=False, callback=_leave, consumer_tag="smsclick-look")
            channel.basic_cancel("smsclick-look")
    except connection.channel_errors as error:
        return False, _text(error)
    return True, answer


def _leave(_: object) -> None:
    """It goes back to the queue."""


def _text(error: Exception) -> str:
    return str(getattr(error, "reply_text", "") or type(error).__name__)


def _say(name: str, answer: str, *, can_be_consumed: bool) -> None:
    if _said.get(name, "") == answer:
        return
    _said[name] = answer
    if not can_be_consumed:
        log.error("A queue cannot be consumed; the others are. queue=%s answer=%r", name, answer)
    elif answer:
        log.warning("A queue has another shape than ours and is used as it is. queue=%s answer=%r", name, answer)
    else:
        log.warning("A queue can be consumed again. queue=%s", name)
