"""The Celery app, and what a process does when it starts and stops."""

import json
import os
import sys
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from celery import Celery, signals
from celery.worker import state

from smsclick._logs.event_log import EventLog
from smsclick._wakeups.background_publisher import BackgroundPublisher
from smsclick._wakeups.backlog import TTL_SECONDS, Backlog
from smsclick.errors import DatabaseUnavailable, SettingsError, SmsclickError
from smsclick.settings import get_settings
from worker.account import holds
from worker.account.key_file import KeyWatch
from worker.background import process, ticks
from worker.background.runner import Runner
from worker.background.tick import URGENT, Tick
from worker.broker import consumer_progress, process_log, strict_task, unknown_messages
from worker.broker.periods import periods
from worker.callbacks import celery_task
from worker.compat import celery_environment
from worker.logs.form import LogForm
from worker.monitoring.beat_watch import BeatWatch
from worker.monitoring.process_health import BeatHealth, WorkerHealth, sending_step
from worker.monitoring.watchdog import Watchdog
from worker.runtime import Runtime, require_start
from worker.sending.pump import Pump
from worker.threads import heap, open_files
from worker.threads.supervision import SupervisedThread

log = EventLog(__name__)

_MOST_UNREAD = 1000
"""With so many unread wake-ups in a queue on Redis, no more are sent."""
_PUBLISH_SECONDS = 5.0
"""Timeout of one publication; under a memory alarm RabbitMQ would block it for as long as the alarm lasts."""
_LAST_WAKEUPS_SECONDS = 1.0
_LAST_TICKS_SECONDS = 10.0
"""Added to the longest call of the provider: how long the background process may take to end."""
_TASKS_AT_ONCE = 32
"""Threads of Celery's pool; a thread starts only when all others are busy."""


class CeleryWakeups:
    """Publishes wake-ups of senders in the background, so that no caller waits for the broker.

    The sweep finds what a wake-up that the broker refused was about. All other work is this process's own: its
    background process does it, and those of other workers look by themselves.
    """

    def __init__(self, app: "_App") -> None:
        self._app = app
        self._publisher: BackgroundPublisher[list[int]] = BackgroundPublisher(self._publish)
        self._backlog = Backlog(app.conf.broker_url, lambda: app.connection_for_write().channel(), most=_MOST_UNREAD)

    def send(self, ids: Sequence[int]) -> None:
        """Wake up the senders."""
        self._publisher.put(list(ids))

    def poll(self, ids: Sequence[int]) -> None:
        """Ask for these statuses."""
        _wake_background(Tick("poll", tuple(ids)))

    def follow(self) -> None:
        """Track by report."""
        _wake_background(Tick("follow"))

    def reconcile(self) -> None:
        """Reconcile unknown attempts."""
        _wake_background(Tick("reconcile"))

    def alerts(self) -> None:
        """Deliver alerts."""
        _wake_background(Tick("alerts"))

    def callbacks(self) -> None:
        """Deliver callbacks."""
        _wake_background(Tick("callbacks"))

    def sweep(self) -> None:
        """Sweep now."""
        _wake_background(Tick("sweep", flags=frozenset((URGENT,))))

    def flush(self, seconds: float) -> None:
        """Wait at most so many seconds until all wake-ups are published."""
        self._publisher.flush(seconds)

    def _publish(self, ids: list[int]) -> None:
        # kombu retries a connection for some seconds.
        # Only the workers declare queues, with the arguments they already have (worker.broker.queue_shapes).
        # No `expires`: the receiver would compare its clock with this machine's.
        if not self._backlog.is_full(self._app.amqp.router.route({}, "smsclick.send")["queue"].name):
            self._app.send_task(
                "smsclick.send",
                args=(ids,),
                expiration=TTL_SECONDS,
                retry=False,
                declare=[],
                timeout=_PUBLISH_SECONDS,
                confirm_timeout=_PUBLISH_SECONDS,
            )


class _App(Celery):
    """Celery, and whether `smsclick up` runs it, without a broker."""

    embedded = False
    own_threads: tuple[SupervisedThread, ...] = ()
    """Threads of `smsclick up` that a runtime supervises, and that go on when it is opened again."""
    simulated = False
    """Whether it sends to the simulator of `smsclick up --simulate`."""
    process = "worker"
    """What this process is, for its log lines: `worker`, `up` or `beat`."""

    @cached_property
    def Beat(self) -> Any:  # noqa: ANN401, N802 - Celery's name
        from worker.broker.beat_program import Beat  # noqa: PLC0415 - only beat needs it

        return self.subclass_with_self(Beat)


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
        from worker.broker import unrecorded_wakeups  # noqa: PLC0415
        from worker.compat import kombu_redis_closed_channel, kombu_redis_error_answers  # noqa: PLC0415

        kombu_redis_closed_channel.install()
        kombu_redis_error_answers.install()
        unrecorded_wakeups.install()
    return made


app = _make_app()
process_log.install(lambda: app.process)
app.steps["worker"].add(sending_step(lambda: begin()))  # noqa: PLW0108 - `begin` is defined below
_runtime_lock = threading.Lock()
_runtime: Runtime | None = None
_publisher: CeleryWakeups | None = None
_pump: Pump | None = None
_life: WorkerHealth | None = None
_beat_life: BeatHealth | None = None
_beat_watch: BeatWatch | None = None
_calls_at_once = int(app.conf.worker_concurrency)
_watch: Watchdog | None = None
_background: process.BackgroundProcess | None = None
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
                calls=_calls_at_once,
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
    global _life, _watch, _background  # noqa: PLW0603
    sending = pump()
    held = runtime()
    with _runtime_lock:
        if _runtime is held and _publisher is not None and _life is None and not held.stopping.is_set():
            _background = _background_process(held, sending, _publisher)
            _life, _watch = WorkerHealth(held, _look, _background.report), Watchdog(held)
            sending.start()
            _watch.start()
            background = _background
            held.reporter.merged_elsewhere = lambda: background.pid is not None
            held.reporter.start()
            held.threads.add(_background.thread).start()
            _key_watch.watch(held.settings)


def _background_process(held: Runtime, sending: Pump, publisher: CeleryWakeups) -> process.BackgroundProcess:
    """This process's background process. A forked child has none: it runs its ticks itself."""
    has_broker = not app.conf.broker_url.startswith("memory://")

    def send(ids: Sequence[int]) -> None:
        publisher.send(ids)
        sending.wake()  # also while the broker is away

    def arguments() -> Sequence[str]:
        return [
            json.dumps({"simulated": app.simulated, "broker": has_broker}),
            *LogForm.of_this_process(held.settings.log_format).as_arguments(),
        ]

    def in_process(stopping: threading.Event) -> Runner:
        runner = Runner(publisher.send, periods(held.settings), stopping)
        runner.start(lambda tick: ticks.run(held, tick))
        return runner

    command = process.program() if os.getpid() == _main_process else None
    return process.BackgroundProcess(arguments, send, in_process, held.stopping, command)


def run_tick(tick: Tick) -> None:
    """Have the background process run a tick; run it here where this process has not begun to send."""
    background = _background
    if background is None:
        ticks.run(runtime(), tick)
    else:
        background.put(tick)


def _wake_background(tick: Tick) -> None:
    background = _background
    if background is not None:  # else its first look finds the work
        background.put(tick)


def _open_again() -> None:
    """Go on with another key: all that holds the old one is closed, and opened as when the process starts.

    So calls in flight end with the old key, and client and fingerprint always belong to the same one.
    """
    get_settings.cache_clear()
    if _runtime is not None:
        _runtime.threads.remove(*app.own_threads)
    _close_runtime()
    if _key_watch.is_ending:
        return
    try:
        opened = runtime()
        for thread in app.own_threads:
            opened.threads.add(thread)
        opened.database.transact(holds.probe_soon)
    except SmsclickError as error:
        log.warning("hold_probe_delayed", error=type(error).__name__)
    finally:
        begin()


_key_watch = KeyWatch(_open_again)


def _look() -> None:
    consumer_progress.look(app, busy=lambda: len(state.reserved_requests) >= _TASKS_AT_ONCE)


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
            "by itself, up to --concurrency (2000)"
        )


@signals.celeryd_init.connect(weak=False)
def _few_heaps(**_: Any) -> None:  # noqa: ANN401
    heap.keep_small()


@signals.celeryd_init.connect(weak=False)
def _check_worker(conf: Any = None, **_: Any) -> None:  # noqa: ANN401, ARG001
    try:
        require_start(get_settings(), simulated=app.simulated)
    except DatabaseUnavailable as error:
        # The database may start later than the worker: tasks retry, and the log has the reason.
        log.error("database_awaited", error=error)  # noqa: TRY400 - the line is meant for a person
    except SmsclickError as error:
        raise SystemExit(f"smsclick: {error}") from None


@signals.worker_shutting_down.connect(weak=False)
def _stop(**_: Any) -> None:  # noqa: ANN401
    _key_watch.stop()
    if _runtime is not None:
        _runtime.stopping.set()


@signals.worker_shutdown.connect(weak=False)
@signals.worker_process_shutdown.connect(weak=False)
def _close(**_: Any) -> None:  # noqa: ANN401
    _key_watch.close()
    _close_runtime()
    if _beat_watch is not None:
        _beat_watch.close()
    log.info("worker_stopped")


def _close_runtime() -> None:
    global _runtime, _publisher, _pump, _watch, _life, _background  # noqa: PLW0603
    with _runtime_lock:
        if _pump is not None:
            _pump.close()
        if _runtime is not None:
            _runtime.stopping.set()
            if _background is not None:
                settings = _runtime.settings
                _background.close(settings.connect_timeout + settings.read_timeout + _LAST_TICKS_SECONDS)
            if _watch is not None:
                _watch.close()
            _runtime.close()
        if _publisher is not None:
            _publisher.flush(_LAST_WAKEUPS_SECONDS)
        if _life is not None:
            _life.close()
        _runtime = _publisher = _pump = _watch = _life = _background = None


@signals.worker_process_init.connect(weak=False)
def _forked(**_: Any) -> None:  # noqa: ANN401
    # A child must not use its parent's sockets, and has none of its threads.
    global _runtime, _publisher, _pump, _watch, _life, _background, _runtime_lock  # noqa: PLW0603
    _runtime_lock = threading.Lock()
    if _runtime is not None:
        _runtime.database.dispose(close=False)
    _runtime = _publisher = _pump = _watch = _life = _background = None
    if os.getpid() != _main_process:
        begin()


@signals.beat_init.connect(weak=False)
def _show_beat(sender: Any = None, **_: Any) -> None:  # noqa: ANN401
    global _beat_life, _beat_watch  # noqa: PLW0603
    if _beat_life is None:
        _beat_life = BeatHealth(get_settings().database_url, sender.scheduler.report)
        try:
            _beat_watch = BeatWatch(get_settings())
        except SettingsError as error:
            raise SystemExit(f"smsclick: {error}") from None
        _beat_watch.start()
    _beat_life.report = sender.scheduler.report


@signals.celeryd_after_setup.connect(weak=False)
def _take_concurrency(instance: Any = None, **_: Any) -> None:  # noqa: ANN401
    # `--concurrency` reaches the worker and not the configuration. It is the number of calls in flight; tasks are few
    # and short, so Celery's own pool, which is made next, is small whatever that number is.
    global _calls_at_once  # noqa: PLW0603
    _calls_at_once = open_files.allow(int(instance.concurrency))
    instance.concurrency = _TASKS_AT_ONCE
