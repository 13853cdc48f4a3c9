"""`smsclick up`: migrate, worker, beat and wake-ups in one process, without any server (and the simulator, if asked).

The broker is kombu's `memory://`, which works within one process with threads. Commits of other processes change
SQLite's `PRAGMA data_version`, which a thread reads every 50 ms at a cost of microseconds; on other databases the sweep
finds the messages.
"""

import contextlib
import logging
import os
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from celery import Celery, signals
from celery.beat import Service
from celery.exceptions import SecurityWarning

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick._threads.supervised import SupervisedThread
from smsclick.errors import SmsclickError
from smsclick.settings import Settings, get_settings
from worker.account import account_state, simulated
from worker.broker.beat import Scheduler
from worker.logs.setup import set_up

log = EventLog(__name__)

SIMULATED_KEY = "simulated"
"""The APIKEY of the simulator that `up --simulate` starts."""

SIMULATED_PORT = 8808
"""The port of that simulator; if it is in use, the simulator listens on a free one."""

_DATA_VERSION_SECONDS = 0.05


def up(*, simulate: bool, log_level: str, on_ready: Callable[[Settings], None]) -> None:
    """Run everything until SIGINT or SIGTERM.

    Args:
        simulate: also run the simulator, and send to it instead of SMSClick.
        log_level: of the worker's log on stderr: debug, info, warning or error.
        on_ready: called once with the settings in force, when the worker is ready.

    Raises:
        SmsclickError: a setting is wrong, the database does not answer, or the worker stopped by an error.
    """
    with contextlib.ExitStack() as stack:
        if simulate:
            stack.enter_context(_simulator())
        settings = get_settings()
        settings.require_api_key()
        set_up(settings.log_format, "up", logging.getLevelNamesMapping()[log_level.upper()])
        migrate(settings.database_url)
        _keep_apart(settings.database_url, simulate=simulate)
        from worker.app import app  # noqa: PLC0415 - it reads the settings, which the simulator has just changed

        app.simulated, app.process = simulate, "up"
        stack.enter_context(_everything(settings, on_ready))

        # The warning advises an option of `celery worker` that `up` does not have; this app reads JSON only.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        worker = app.Worker(loglevel=log_level, quiet=True)
        stop_signals = stack.enter_context(_stop_signals())
        worker.start()
        # Celery's exit code is 1 after Ctrl-C too.
        if worker.exitcode and not stop_signals:
            raise SmsclickError("the worker stopped because of an error; its log says why")


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[str]]:
    """Yield a list that collects the signals that stop the worker."""
    received: list[str] = []

    def add(sig: str = "", **_: object) -> None:
        received.append(sig)

    signals.worker_shutting_down.connect(add, weak=False)
    try:
        yield received
    finally:
        signals.worker_shutting_down.disconnect(add)


def migrate(database_url: str) -> None:
    """Run `alembic upgrade head` with the migrations beside this package.

    Args:
        database_url: whose tables are created or upgraded.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    config = Config(Path(__file__).resolve().parent.parent / "alembic.ini")
    config.attributes["database_url"] = database_url
    # One line for each step is for `alembic upgrade head`.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(config, "head")
    log.info("tables_migrated")


def _keep_apart(database_url: str, *, simulate: bool) -> None:
    """Raise `NotAllowed` if messages of the simulator and of an account would be in the same database."""
    database = Database(database_url, threads=1)
    try:
        if simulate:
            simulated.mark(database)
        else:
            simulated.refuse(database)
    finally:
        database.dispose()


@contextlib.contextmanager
def _simulator() -> Iterator[None]:
    from smsclick.simulator import Simulator  # noqa: PLC0415 - an extra, and only asked for here

    simulator = Simulator(port=SIMULATED_PORT, api_key=SIMULATED_KEY)
    try:
        simulator.start()
    except SmsclickError:
        simulator = Simulator(port=0, api_key=SIMULATED_KEY)
        simulator.start()
    for name in ("SMSCLICK_BASE_URL", "SMSCLICK_API_KEY"):
        os.environ.pop(f"{name}_FILE", None)
    os.environ |= {"SMSCLICK_BASE_URL": simulator.base_url, "SMSCLICK_API_KEY": SIMULATED_KEY}
    get_settings.cache_clear()
    try:
        yield
    finally:
        simulator.stop()


@contextlib.contextmanager
def _everything(settings: Settings, on_ready: Callable[[Settings], None]) -> Iterator[None]:
    """Run beat and the watch on the database as threads, while the worker runs."""
    from worker.app import app  # noqa: PLC0415 - as above

    app.embedded = True
    ended = threading.Event()
    beat = _Beat(app, ended)
    threads = [SupervisedThread("smsclick-beat", beat.run, stopping=ended)]
    path = sa.make_url(settings.database_url).database
    if settings.database_url.startswith("sqlite") and path:
        threads.append(
            SupervisedThread("smsclick-data-version", lambda: _wake_after_commits(path, ended), stopping=ended)
        )

    def ready(**_: object) -> None:
        from worker.app import runtime  # noqa: PLC0415 - as above

        app.own_threads = tuple(threads)
        for thread in threads:
            runtime().threads.add(thread).start()
        on_ready(settings)

    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutting_down.connect(beat.stop, weak=False)
    try:
        yield
    finally:
        beat.stop()
        for signal, receiver in ((signals.worker_ready, ready), (signals.worker_shutting_down, beat.stop)):
            signal.disconnect(receiver)


class _Beat:
    """Celery's beat in this process; each run makes a new service, because a stopped one cannot start again."""

    def __init__(self, app: Celery, ended: threading.Event) -> None:
        self._app = app
        self._ended = ended
        self._service: Any = None

    def run(self) -> None:
        """Send ticks until `stop`; raise if the service ends before."""
        service: Any = Service(self._app, max_interval=1, scheduler_cls=Scheduler)
        self._service = service
        self._app.set_current()
        if not self._ended.is_set():
            service.start()
        if not self._ended.is_set():
            raise RuntimeError("beat ended without being stopped")

    def stop(self, **_: object) -> None:
        """Stop the service after its current tick."""
        self._ended.set()
        if self._service is not None:
            self._service.stop()


def _wake_after_commits(path: str, ended: threading.Event) -> None:
    """Wake the pump after another connection has committed, if a message waits."""
    from worker.app import pump, runtime  # noqa: PLC0415
    from worker.queue import claims  # noqa: PLC0415 - as above

    seen = -1
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        while not ended.wait(_DATA_VERSION_SECONDS):
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version == seen:
                continue
            seen = version
            # Our own commits change the version too: read first, because SQLite has one writer only.
            try:
                with runtime().database.read() as reading:
                    is_waiting = account_state.read(reading).is_open and bool(claims.waiting(reading, 1))
                if is_waiting:
                    pump().wake()
            except SmsclickError as error:
                log.warning("data_version_unread", error=error)
                ended.wait(1.0)
