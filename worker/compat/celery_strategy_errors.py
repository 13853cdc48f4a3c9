"""Celery 5.7.0: an error while a worker prepares a task stops the worker, or loses the task.

Fault: Celery's strategy turns a broker message into a request and passes it to the pool. A body of an unexpected shape
raises there, for example AttributeError, and ends the worker; the broker delivers the message again and it ends the
next worker (celery/celery#7975, celery/celery#4308). An error of the environment, such as "can't start new thread",
does the same. Celery also counts the task as reserved before it passes it on, and never takes it off that count after
an error; on Redis a worker stops consuming when the count is too high.

Workaround: `strategy` wraps Celery's. An error that the message can have caused becomes InvalidTaskError, which the
consumer answers by keeping the content as a dead letter. Any other error leaves the message in the broker.

Remove it when tests/integration/test_dead_letters.py passes with Celery's own strategy.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from celery import Celery, Task
from celery.exceptions import InvalidTaskError
from celery.worker import state
from celery.worker.strategy import default
from kombu.exceptions import ContentDisallowed, DecodeError


def strategy(task: Task[..., Any], app: Celery, consumer: Any, **options: Any) -> Callable[..., Any]:  # noqa: ANN401
    """Celery's strategy, with its errors handled; named by `worker.broker.strict_task.StrictTask`.

    Args:
        task: the task to prepare for.
        app: the Celery app.
        consumer: our consumer; its `give_back` leaves a message in the broker.
        **options: Celery's.

    Returns:
        Celery's handler of one message.
    """
    handle: Callable[..., Any] = default(task, app, consumer, **options)

    def checked(message: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        try:
            return handle(message, *rest, **more)
        except (InvalidTaskError, DecodeError, ContentDisallowed):
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # The message's shape, or a defect of ours: delivered again, it would fail again.
            _uncount(message)
            raise InvalidTaskError(f"{task.name}: {type(error).__name__}") from None
        except Exception as error:  # noqa: BLE001 - give_back logs it, and the message is not lost
            # The environment: no thread, no memory. The message may be fine.
            _uncount(message)
            consumer.give_back(message, error)

    return checked


def _uncount(message: Any) -> None:  # noqa: ANN401
    """Remove a message from Celery's reserved requests."""
    with contextlib.suppress(Exception):
        state.requests.pop(message.headers["id"], None)
