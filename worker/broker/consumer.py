"""Celery's consumer, with two differences: no answer of a broker ends the worker, and no message is dropped unrecorded.

Celery retries after the errors that its transport lists as connection errors. After any other error, such as READONLY
of a Redis that became a replica, its worker ends with "Unrecoverable error"; this consumer logs it, waits and retries.
"""

import contextlib
import time
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.utils import threads
from celery.worker.consumer import consumer as celerys
from celery.worker.consumer import tasks
from celery.worker.state import maybe_shutdown

from smsclick._logs.event_log import EventLog
from worker.alerting.details import Detail, made, shown
from worker.alerting.wording import DetailCode
from worker.broker import consumer_progress, queue_shapes, unknown_messages
from worker.broker.trouble import LOG_INTERVAL_SECONDS, Trouble

log = EventLog(__name__)

_RECOVERED_AFTER_SECONDS = 3.0
"""After consuming for this long, the broker counts as working again."""

_LOOK_SECONDS = 30.0
"""Between two checks of queues that cannot be consumed."""

_CLOSE_SECONDS = 5.0
"""The longest time that closing a connection may take."""

_SHUTDOWN_CHECK_SECONDS = 0.2
"""While waiting, between two checks whether the worker is to stop."""

_GIVE_BACK_PAUSE_SECONDS = 1.0
"""The pause before a message goes back to the broker, which delivers it again at once."""

_Tasks: Any = tasks.Tasks  # the stubs lack half of what a subclass needs
_Consumer: Any = celerys.Consumer
_bound_sockets: Any = vars(threads)["bound_open_broker_sockets"]


class Tasks(_Tasks):  # type: ignore[misc]
    """The step that starts consuming, only from the queues that can be consumed."""

    name = _Tasks.name

    def start(self, c: Any) -> None:  # noqa: ANN401 - Celery's
        """Find out which queues can be consumed, then consume."""
        queue_shapes.adopt(c.app)
        super().start(c)
        c.timer.call_after(_RECOVERED_AFTER_SECONDS, c.trouble.over)
        if c.hub:  # `smsclick up` has no hub and no broker
            consumer_progress.process.loop_ran()
            c.hub.on_tick.add(c.note_loop)
        if queue_shapes.left_out(c.app):
            c.timer.call_after(_LOOK_SECONDS, c.look_again)

    def qos_global(self, c: Any) -> bool:  # noqa: ANN401, ARG002 - Celery's
        """False: prefetch counts for each consumer, because quorum queues refuse a global one."""
        return False


class Consumer(_Consumer):  # type: ignore[misc]
    """The consumer of our workers; set in the configuration as `worker_consumer`."""

    connection: Any
    steps: list[Any]

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **rest: Any) -> None:  # noqa: ANN401
        # We do not use other workers' clocks and states, and asking for them needs queues and rights.
        quiet = dict.fromkeys(("without_mingle", "without_gossip", "without_heartbeat"), True)
        super().__init__(*args, worker_options={**(worker_options or {}), **quiet}, **rest)
        self.trouble = Trouble()
        self._given_back_at = float("-inf")
        # Wait after any error; the broker delivers a message again that was not acknowledged.
        self.connection_errors = (Exception,)
        self.steps = [Tasks(self) if type(step) is tasks.Tasks else step for step in self.steps]

    def ensure_connected(self, conn: Any) -> Any:  # noqa: ANN401 - kombu's
        """Connect; try until it succeeds."""

        def failed(error: BaseException, _: float) -> None:
            consumer_progress.process.loop_ran()
            self.trouble.met(error)

        connected = conn.ensure_connection(failed, None, interval_max=15, callback=maybe_shutdown)
        self.first_connection_attempt = False
        return connected

    def create_task_handler(self, *args: Any, **rest: Any) -> Any:  # noqa: ANN401 - Celery's
        """Celery's handler, which also notes that a message was received."""
        handle = super().create_task_handler(*args, **rest)

        def on_task_received(message: Any) -> Any:  # noqa: ANN401 - Celery's
            consumer_progress.process.received()
            return handle(message)

        return on_task_received

    def note_loop(self) -> None:
        """Note that the loop runs, if it also consumes from all its queues."""
        if consumer_progress.process.loop_check_due and self.task_consumer is not None:
            names = self.app.amqp.queues.consume_from
            if all(self.task_consumer.consuming_from(name) for name in names):
                consumer_progress.process.loop_ran()

    def look_again(self) -> None:
        """Consume also from the queues that can be consumed by now."""
        try:
            for queue in queue_shapes.adopt(self.app):
                if not self.task_consumer.consuming_from(queue):
                    self.task_consumer.add_queue(queue)
            self.task_consumer.consume()
        except Exception as error:
            # An error of the broker reaches the consumer itself too.
            log.debug("queues_unchecked", exc_info=error)
        if queue_shapes.left_out(self.app):
            self.timer.call_after(_LOOK_SECONDS, self.look_again)

    def on_unknown_message(self, body: object, message: Any) -> None:  # noqa: ANN401, ARG002 - Celery's
        """Store as a dead letter: it is no task message."""
        self._store_as_dead_letter(message, made(DetailCode.NO_TASK_MESSAGE))

    def on_unknown_task(self, body: object, message: Any, exc: BaseException) -> None:  # noqa: ANN401, ARG002
        """Store as a dead letter: it calls a task that we do not have."""
        self._store_as_dead_letter(message, made(DetailCode.UNKNOWN_TASK))

    def on_invalid_task(self, body: object, message: Any, exc: BaseException) -> None:  # noqa: ANN401, ARG002
        """Store as a dead letter: Celery cannot parse it."""
        self._store_as_dead_letter(message, made(DetailCode.NOT_PARSED, error=type(exc).__name__))

    def on_decode_error(self, message: Any, exc: BaseException) -> None:  # noqa: ANN401 - Celery's
        """Store as a dead letter: it cannot be decoded."""
        self._store_as_dead_letter(message, made(DetailCode.NOT_DECODED, error=type(exc).__name__))

    def give_back(self, message: Any, error: BaseException) -> None:  # noqa: ANN401 - kombu's
        """Pause, then leave a message in the broker, which delivers it again.

        Args:
            message: kombu's.
            error: why it cannot be handled now.
        """
        now = time.monotonic()
        if now - self._given_back_at >= LOG_INTERVAL_SECONDS:
            self._given_back_at = now
            log.warning("task_message_left", error=type(error).__name__)
        time.sleep(_GIVE_BACK_PAUSE_SECONDS)
        message.reject_log_error(log.foreign(), self.connection_errors, requeue=True)

    def _store_as_dead_letter(self, message: Any, why: Detail) -> None:  # noqa: ANN401 - kombu's
        try:
            letter = unknown_messages.store_as_dead_letter(message, why)
        except Exception as error:  # noqa: BLE001 - the broker has the only copy of its content
            self.give_back(message, error)
            return
        log.warning("task_message_dropped", reason=shown(why, "en"), deadletter=letter)
        message.reject_log_error(log.foreign(), self.connection_errors)

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        """Wait; then Celery connects."""
        self._wait(exc)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Close the connection and wait; then Celery connects again."""
        _bound_sockets(self.connection, _CLOSE_SECONDS)
        connection, self.connection = self.connection, None
        for leave in (lambda: connection.collect(socket_timeout=_CLOSE_SECONDS), connection.close):
            with contextlib.suppress(Exception):
                leave()
        self._wait(exc)

    def _wait(self, error: BaseException) -> None:
        if isinstance(error, WorkerLostError):
            raise error  # the pool's processes cannot start
        consumer_progress.process.loop_ran()
        until = time.monotonic() + self.trouble.met(error)
        while time.monotonic() < until:
            maybe_shutdown()
            time.sleep(_SHUTDOWN_CHECK_SECONDS)
