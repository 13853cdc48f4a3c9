"""Celery's consumer, except that nothing a broker answers ends the worker, and that no message is dropped unseen.

Celery retries what its transport calls a connection error. Everything else, such as READONLY of a Redis that became a
replica, ends its worker with "Unrecoverable error"; here it waits, tries again, and says so once.
"""

import contextlib
import logging
import time
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.utils import threads
from celery.worker.consumer import consumer as celerys
from celery.worker.consumer import tasks
from celery.worker.state import maybe_shutdown

from worker.broker import consumer_progress, queue_shapes, unknown_messages
from worker.broker.trouble import SAID_SECONDS, Trouble

log = logging.getLogger(__name__)

_STEADY_SECONDS = 3.0
"""A broker that was consumed from for so long works again."""

_LOOK_SECONDS = 30.0
"""How often queues that cannot be consumed are looked at again."""

_COLLECT_SECONDS = 5.0
_STEP_SECONDS = 0.2
_GIVE_BACK_SECONDS = 1.0

_Tasks: Any = tasks.Tasks  # the stubs lack half of what a subclass needs
_Consumer: Any = celerys.Consumer
_bound_sockets: Any = vars(threads)["bound_open_broker_sockets"]


class Tasks(_Tasks):  # type: ignore[misc]
    """Starts consuming, from the queues that can be consumed."""

    name = _Tasks.name

    def start(self, c: Any) -> None:  # noqa: ANN401 - Celery's
        """Take the queues as they are, then consume."""
        queue_shapes.adopt(c.app)
        super().start(c)
        c.timer.call_after(_STEADY_SECONDS, c.trouble.over)
        if c.hub:  # without one, as in `smsclick up`, there is no broker to be deaf to
            consumer_progress.process.turned()
            c.hub.on_tick.add(c.note_turn)
        if queue_shapes.left_out(c.app):
            c.timer.call_after(_LOOK_SECONDS, c.look_again)

    def qos_global(self, c: Any) -> bool:  # noqa: ANN401, ARG002 - Celery's
        """Prefetch for each queue: quorum queues refuse any other, and nobody tells which queues are."""
        return False


class Consumer(_Consumer):  # type: ignore[misc]
    """The consumer of our workers; set in the configuration as `worker_consumer`."""

    connection: Any
    steps: list[Any]

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **rest: Any) -> None:  # noqa: ANN401
        # Neighbours' clocks and states are nothing to us, and asking for them needs queues and rights of its own.
        quiet = dict.fromkeys(("without_mingle", "without_gossip", "without_heartbeat"), True)
        super().__init__(*args, worker_options={**(worker_options or {}), **quiet}, **rest)
        self.trouble = Trouble()
        self._given_back_at = float("-inf")
        # Whatever is raised while consuming is met by waiting; a message that cannot be acknowledged comes back.
        self.connection_errors = (Exception,)
        self.steps = [Tasks(self) if type(step) is tasks.Tasks else step for step in self.steps]

    def ensure_connected(self, conn: Any) -> Any:  # noqa: ANN401 - kombu's
        """Connect, however long that takes."""

        def failed(error: BaseException, _: float) -> None:
            consumer_progress.process.turned()
            self.trouble.met(error)

        connected = conn.ensure_connection(failed, None, interval_max=15, callback=maybe_shutdown)
        self.first_connection_attempt = False
        return connected

    def create_task_handler(self, *args: Any, **rest: Any) -> Any:  # noqa: ANN401 - Celery's
        """Celery's, which also notes that something was received."""
        handle = super().create_task_handler(*args, **rest)

        def on_task_received(message: Any) -> Any:  # noqa: ANN401 - Celery's
            consumer_progress.process.received()
            return handle(message)

        return on_task_received

    def note_turn(self) -> None:
        """The loop turns: note it where it also consumes."""
        if consumer_progress.process.wants_turn and self.task_consumer is not None:
            names = self.app.amqp.queues.consume_from
            if all(self.task_consumer.consuming_from(name) for name in names):
                consumer_progress.process.turned()

    def look_again(self) -> None:
        """Consume from queues that can be consumed by now."""
        try:
            for queue in queue_shapes.adopt(self.app):
                if not self.task_consumer.consuming_from(queue):
                    self.task_consumer.add_queue(queue)
            self.task_consumer.consume()
        except Exception as error:
            # If it is the broker's, the consumer meets it too.
            log.debug("Could not look at the queues.", exc_info=error)
        if queue_shapes.left_out(self.app):
            self.timer.call_after(_LOOK_SECONDS, self.look_again)

    def on_unknown_message(self, body: object, message: Any) -> None:  # noqa: ANN401, ARG002 - Celery's
        """Keep what is no task message."""
        self._put_away(message, "it is no task message")

    def on_unknown_task(self, body: object, message: Any, exc: BaseException) -> None:  # noqa: ANN401, ARG002
        """Keep what calls a task that we do not have."""
        self._put_away(message, "it calls a task that is none of ours")

    def on_invalid_task(self, body: object, message: Any, exc: BaseException) -> None:  # noqa: ANN401, ARG002
        """Keep what Celery cannot take apart."""
        self._put_away(message, f"it cannot be taken apart ({type(exc).__name__})")

    def on_decode_error(self, message: Any, exc: BaseException) -> None:  # noqa: ANN401 - Celery's
        """Keep what cannot be decoded."""
        self._put_away(message, f"it cannot be decoded ({type(exc).__name__})")

    def give_back(self, message: Any, error: BaseException) -> None:  # noqa: ANN401 - kombu's
        """Leave a message in the broker, and wait a moment: it comes back at once."""
        now = time.monotonic()
        if now - self._given_back_at >= SAID_SECONDS:
            self._given_back_at = now
            log.warning("A message is given back to the broker until it can be handled. error=%s", type(error).__name__)
        time.sleep(_GIVE_BACK_SECONDS)
        message.reject_log_error(log, self.connection_errors, requeue=True)

    def _put_away(self, message: Any, why: str) -> None:  # noqa: ANN401 - kombu's
        try:
            letter = unknown_messages.store_as_dead_letter(message, why)
        except Exception as error:  # noqa: BLE001 - its content is nowhere else
            self.give_back(message, error)
            return
        log.warning("A message that is no call of ours was dropped. reason=%r deadletter=%s", why, letter)
        message.reject_log_error(log, self.connection_errors)

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        """Wait, then Celery connects."""
        self._wait(exc)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Leave the connection, wait, then Celery connects again."""
        _bound_sockets(self.connection, _COLLECT_SECONDS)
        connection, self.connection = self.connection, None
        for leave in (lambda: connection.collect(socket_timeout=_COLLECT_SECONDS), connection.close):
            with contextlib.suppress(Exception):
                leave()
        self._wait(exc)

    def _wait(self, error: BaseException) -> None:
        if isinstance(error, WorkerLostError):
            raise error  # the pool's processes cannot start
        consumer_progress.process.turned()
        until = time.monotonic() + self.trouble.met(error)
        while time.monotonic() < until:
            maybe_shutdown()
            time.sleep(_STEP_SECONDS)
