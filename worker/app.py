"""The Celery app, and what a process does when it starts and stops."""

import logging
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

from celery import Celery, signals
from celery.worker import state

from smsclick._database.engine import Database, parse_url
from smsclick._database.sqlite_files import require_there
from smsclick._wakeups.background_publisher import BackgroundPublisher
from smsclick._wakeups.backlog import TTL_SECONDS, Backlog
from smsclick.errors import DatabaseUnavailable, SettingsError, SmsclickError
from smsclick.provider.account_client import open_client
from smsclick.settings import Settings, get_settings
from worker.account import simulated
from worker.alerting import delivery
from worker.broker import consumer_progress, log_filter, strict_task, unknown_messages
from worker.callbacks import celery_task
from worker.compat import celery_environment
from worker.monitoring.process_health import BeatHealth, WorkerHealth, sending_step
from worker.monitoring.watchdog import Watchdog
from worker.restore import detection
from worker.runtime import Runtime
from worker.sending.pump import Pump
from worker.threads import heap
from worker.threads.supervision import SupervisedThread

log = logging.getLogger(__name__)

_MOST_UNREAD = 1000
"""With so many unread wake-ups in a queue on Redis, no more are sent."""
_PUBLISH_SECONDS = 5.0
"""Timeout of one publication; under a memory alarm RabbitMQ would block it for as long as the alarm lasts."""
_LAST_WAKEUPS_SECONDS = 1.0
# At debug level these log whole task messages, which may hold a phone, a text or an address.
_TALKATIVE = ("celery.pool", "celery.worker", "kombu", "amqp", "urllib3", "requests", "apprise", "sqlalchemy")
# These log one or two lines for each task, and our own lines say the same.
_PER_TASK = ("celery.app.trace", "celery.worker.strategy", "celery.beat")


class CeleryWakeups:
    """Publishes wake-ups in the background, so that no caller waits for the broker.

    The sweep finds what a wake-up that the broker refused was about.
    """

    def __init__(self, app: "_App") -> None:
        self._app = app
        self._publisher: BackgroundPublisher[tuple[str, tuple[object, ...]]] = BackgroundPublisher(self._publish)
        self._backlog = Backlog(app.conf.broker_url, lambda: app.connection_for_write().channel(), most=_MOST_UNREAD)

    def send(self, ids: Sequence[int]) -> None:
        """Wake up the senders."""
        self._publish_later("smsclick.send", list(ids))

    def poll(self, ids: Sequence[int]) -> None:
        """Wake up a worker to ask for these statuses."""
        self._publish_later("smsclick.poll", list(ids))

    def follow(self) -> None:
        """Wake up a worker to track by report."""
        self._publish_later("smsclick.follow")

    def reconcile(self) -> None:
        """Wake up a worker to reconcile unknown attempts."""
        self._publish_later("smsclick.reconcile")

    def alerts(self) -> None:
        """Wake up a worker to deliver alerts."""
        self._publish_later("smsclick.alerts")

    def callbacks(self) -> None:
        """Wake up a worker to deliver callbacks."""
        self._publish_later("smsclick.callbacks")

    def sweep(self) -> None:
        """Ask for a sweep now."""
        self._publish_later("smsclick.sweep", True)  # noqa: FBT003 - a task's argument

    def flush(self, seconds: float) -> None:
        """Wait at most so many seconds until all wake-ups are published."""
        self._publisher.flush(seconds)

    def _publish_later(self, task: str, *args: object) -> None:
        self._publisher.put((task, args))

    def _publish(self, call: tuple[str, tuple[object, ...]]) -> None:
        # kombu retries a connection for some seconds.
        task, args = call
        # Only the workers declare queues, with the arguments they already have (worker.broker.queue_shapes).
        # No `expires`: the receiver would compare its clock with this machine's.
        if not self._backlog.is_full(self._app.amqp.router.route({}, task)["queue"].name):
            self._app.send_task(
                task,
                args=args,
                expiration=TTL_SECONDS,
                retry=False,
                declare=[],
                timeout=_PUBLISH_SECONDS,
                confirm_timeout=_PUBLISH_SECONDS,
            )


class _App(Celery):
    """Celery, and whether `smsclick up` runs it, without a broker."""

    embedded = False
    simulated = False
    """Whether it sends to the simulator of `smsclick up --simulate`."""


def _make_app() -> _App:
    try:
        celery_environment.ignore(os.environ, sys.argv)
        broker = get_settings().broker
        if celery_environment.OURS in os.environ:
            # Celery prefers it to its configuration, and does not take off quotes and line ends.
            os.environ[celery_environment.OURS] = get_settings().broker_url
    except SettingsError as error:
        raise SystemExit(f"smsclick: {error}") from None
    made = _App(
        "smsclick",
        set_as_current=False,
        include=["worker.tasks"],
        task_cls=strict_task.StrictTask,
        loader="celery.loaders.app:AppLoader",
        fixups=[],  # DJANGO_SETTINGS_MODULE is another app's
    )
    made.config_from_object("celeryconfig")
    if broker.is_redis:
        # Imported only here: redis-py takes memory, and RabbitMQ does not need it.
        from worker.compat import kombu_redis_closed_channel, kombu_redis_error_answers  # noqa: PLC0415

        kombu_redis_closed_channel.install()
        kombu_redis_error_answers.install()
    return made


app = _make_app()
app.steps["worker"].add(sending_step(lambda: begin()))  # noqa: PLW0108 - `begin` is defined below
_runtime_lock = threading.Lock()
_runtime: Runtime | None = None
_publisher: CeleryWakeups | None = None
_pump: Pump | None = None
_life: WorkerHealth | None = None
_beat_life: BeatHealth | None = None
_calls_at_once = int(app.conf.worker_concurrency)
_watch: Watchdog | None = None
_main_process = os.getpid()


def runtime() -> Runtime:
    """This process's runtime, opened at the first call."""
    global _runtime, _publisher  # noqa: PLW0603 - one per process, and a fork must get its own
    with _runtime_lock:
        if _runtime is None:
            _publisher = _publisher or CeleryWakeups(app)
            _runtime = Runtime.start(
                get_settings(),
                _publisher,
                threads=_calls_at_once,
                simulated=app.simulated,
                call_task=None if app.conf.broker_url.startswith("memory://") else celery_task.caller(app),
            )
        return _runtime


unknown_messages.use(runtime)


def pump() -> Pump:
    """This process's pump, made at the first call."""
    global _pump  # noqa: PLW0603 - as above
    held = runtime()
    with _runtime_lock:
        if _pump is None:
            _pump = Pump(held, _calls_at_once)
        return _pump


def begin() -> None:
    """Start to send and to report this process's health; a failure is retried until it works."""
    thread = SupervisedThread("smsclick-begin", _begin)
    if not thread.start():
        _begin()


def _begin() -> None:
    global _life, _watch
    sending = pump()
    held = runtime()
    with _runtime_lock:
        if _runtime is held and _life is None and not held.stopping.is_set():
            _life, _watch = WorkerHealth(held, sending, _look), Watchdog(held)
            sending.start()
            _watch.start()


def _look() -> None:
    consumer_progress.look(app, busy=lambda: len(state.reserved_requests) >= _calls_at_once)


def require_start(settings: Settings) -> None:
    """Check what a worker needs before it starts; each failure is one clear line.

    Raises:
        SettingsError: no API key, or an address for alerts that no channel accepts.
        DatabaseUnavailable: the database does not answer.
        DatabaseNotMigrated: it has not our tables.
        NotAllowed: its messages are a simulator's.
    """
    key = settings.require_api_key()
    delivery.channels(settings.alert_urls.get_secret_value())
    require_there(parse_url(settings.database_url))
    database = Database(settings.database_url, threads=1)
    try:
        database.require_migrated()
        if not app.simulated:
            simulated.refuse(database)
            with open_client(settings, key=key) as client:
                detection.hold_if_restored(database, client)
    finally:
        database.dispose()


@signals.celeryd_init.connect(weak=False)
@signals.beat_init.connect(weak=False)
def _refuse_without_broker(**_: Any) -> None:  # noqa: ANN401
    if app.conf.broker_url.startswith("memory://") and not app.embedded:
        raise SystemExit(
            "smsclick: CELERY_BROKER_URL: not set; a worker needs Redis or RabbitMQ, for example "
            "CELERY_BROKER_URL=redis://127.0.0.1:6379/0 (or run `smsclick up`, which needs no broker)"
        )


@signals.celeryd_init.connect(weak=False)
def _refuse_autoscale(options: Any = None, **_: Any) -> None:  # noqa: ANN401
    # Celery cannot scale a pool of threads: each message would fail after its acknowledgement.
    if (options or {}).get("autoscale"):
        raise SystemExit(
            "smsclick: --autoscale: cannot be used; the number of calls in flight adapts "
            "by itself, up to --concurrency (256)"
        )


@signals.celeryd_init.connect(weak=False)
def _few_heaps(**_: Any) -> None:  # noqa: ANN401
    heap.keep_small()


@signals.celeryd_init.connect(weak=False)
def _check_worker(conf: Any = None, **_: Any) -> None:  # noqa: ANN401, ARG001
    try:
        require_start(get_settings())
    except DatabaseUnavailable as error:
        # The database may start later than the worker: tasks retry, and the log has the reason.
        log.error("%s", error)  # noqa: TRY400 - the line is meant for a person
    except SmsclickError as error:
        raise SystemExit(f"smsclick: {error}") from None


@signals.worker_shutting_down.connect(weak=False)
def _stop(**_: Any) -> None:  # noqa: ANN401
    if _runtime is not None:
        _runtime.stopping.set()


@signals.worker_shutdown.connect(weak=False)
@signals.worker_process_shutdown.connect(weak=False)
def _close(**_: Any) -> None:  # noqa: ANN401
    global _runtime, _publisher, _pump, _watch, _life  # noqa: PLW0603
    with _runtime_lock:
        if _pump is not None:
            _pump.close()
        if _runtime is not None:
            _runtime.stopping.set()
            if _watch is not None:
                _watch.close()
            _runtime.close()
        if _publisher is not None:
            _publisher.flush(_LAST_WAKEUPS_SECONDS)
        if _life is not None:
            _life.close()
        _runtime = _publisher = _pump = _watch = _life = None


@signals.worker_process_init.connect(weak=False)
def _forked(**_: Any) -> None:  # noqa: ANN401
    # A child must not use its parent's sockets, and has none of its threads.
    global _runtime, _publisher, _pump, _watch, _life, _runtime_lock  # noqa: PLW0603
    _runtime_lock = threading.Lock()
    if _runtime is not None:
        _runtime.database.dispose(close=False)
    _runtime = _publisher = _pump = _watch = _life = None
    if os.getpid() != _main_process:
        begin()


@signals.beat_init.connect(weak=False)
def _show_beat(sender: Any = None, **_: Any) -> None:  # noqa: ANN401
    global _beat_life  # noqa: PLW0603
    if _beat_life is None:
        _beat_life = BeatHealth(get_settings().database_url, sender.scheduler.report)
    _beat_life.report = sender.scheduler.report


@signals.celeryd_after_setup.connect(weak=False)
def _take_concurrency(instance: Any = None, **_: Any) -> None:  # noqa: ANN401
    # `--concurrency` reaches the worker and not the configuration.
    global _calls_at_once  # noqa: PLW0603
    _calls_at_once = int(instance.concurrency)


@signals.after_setup_logger.connect(weak=False)
@signals.after_setup_task_logger.connect(weak=False)
def _quiet(**_: Any) -> None:  # noqa: ANN401
    log_filter.install()
    for name in _PER_TASK:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger(name).getEffectiveLevel()))
