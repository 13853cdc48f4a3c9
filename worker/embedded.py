"""`smsclick up`: migrate, worker, beat and doorbell in one process, without any server (and the simulator, if asked).

The broker is kombu's `memory://`, which works within one process with threads. What another process commits is noticed
by asking SQLite's `PRAGMA data_version`, which costs microseconds; on other databases the sweep finds it.
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
from smsclick._threads.supervised import SupervisedThread
from smsclick.errors import SmsclickError
from smsclick.settings import Settings, get_settings
from worker.account import simulated
from worker.broker.beat import Scheduler

log = logging.getLogger(__name__)

SIMULATED_KEY = "simulated"
"""The APIKEY of the simulator that `up --simulate` starts."""

SIMULATED_PORT = 8808
"""Where that simulator listens; a free port is taken where this one is not."""

_LOOK_SECONDS = 0.05


def up(*, simulate: bool, log_level: str, on_ready: Callable[[Settings], None]) -> None:
    """Run everything until SIGINT or SIGTERM.

    Args:
        simulate: also run the simulator, and send to it instead of SMSClick.
        log_level: of the worker's log on stderr: debug, info, warning or error.
        on_ready: called once with the settings in force, when the worker takes work.

    Raises:
        SmsclickError: a setting is wrong, the database does not answer, or the worker stopped by an error.
    """
    with contextlib.ExitStack() as stack:
        if simulate:
            stack.enter_context(_simulator())
        settings = get_settings()
        settings.require_api_key()
        migrate(settings.database_url)
        _keep_apart(settings.database_url, simulate=simulate)
        from worker.app import app  # noqa: PLC0415 - it reads the settings, which the simulator has just changed

        app.simulated = simulate
        stack.enter_context(_everything(settings, on_ready))

        # It advises an option of `celery worker` that `up` does not have; nothing but JSON is ever read here.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        worker = app.Worker(loglevel=log_level, quiet=True)
        asked = stack.enter_context(_asked_to_stop())
        worker.start()
        # Celery ends with 1 after Ctrl-C too.
        if worker.exitcode and not asked:
            raise SmsclickError("the worker stopped by an error; its log says why")


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[str]]:
    """The signals by which the worker was asked to stop."""
    asked: list[str] = []

    def note(sig: str = "", **_: object) -> None:
        asked.append(sig)

    signals.worker_shutting_down.connect(note, weak=False)
    try:
        yield asked
    finally:
        signals.worker_shutting_down.disconnect(note)


def migrate(database_url: str) -> None:
    """`alembic upgrade head`, with the migrations beside this package.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    config = Config(Path(__file__).resolve().parent.parent / "alembic.ini")
    config.attributes["database_url"] = database_url
    command.upgrade(config, "head")


def _keep_apart(database_url: str, *, simulate: bool) -> None:
    """Raises `NotAllowed` where a simulator's messages would meet an account's."""
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
    """Beat and the watch as threads, from the moment the worker is ready to its end."""
    from worker.app import app  # noqa: PLC0415 - as above

    app.embedded = True
    ended = threading.Event()
    beat = _Beat(app, ended)
    threads = [SupervisedThread("smsclick-beat", beat.run, stopping=ended)]
    path = sa.make_url(settings.database_url).database
    if settings.database_url.startswith("sqlite") and path:
        threads.append(SupervisedThread("smsclick-look", lambda: _watch(path, ended), stopping=ended))

    def ready(**_: object) -> None:
        from worker.app import runtime  # noqa: PLC0415 - as above

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
    """Celery's beat in this process, as a new one whenever it is run."""

    def __init__(self, app: Celery, ended: threading.Event) -> None:
        self._app = app
        self._ended = ended
        self._service: Any = None

    def run(self) -> None:
        """Send ticks until `stop`; raises where they end before."""
        service: Any = Service(self._app, max_interval=1, scheduler_cls=Scheduler)
        self._service = service
        self._app.set_current()
        if not self._ended.is_set():
            service.start()
        if not self._ended.is_set():
            raise RuntimeError("beat has ended by itself")

    def stop(self, **_: object) -> None:
        """End it, once it has done what it is doing."""
        self._ended.set()
        if self._service is not None:
            self._service.stop()


def _watch(path: str, ended: threading.Event) -> None:
    """Ring when another connection has committed and something waits."""
    from worker.account import holds  # noqa: PLC0415 - as above
    from worker.app import pump, runtime  # noqa: PLC0415
    from worker.queue import claims  # noqa: PLC0415 - as above

    seen = -1
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        while not ended.wait(_LOOK_SECONDS):
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version == seen:
                continue
            seen = version
            # Our own commits move the version too, so look before taking the one writer's place.
            try:
                with runtime().database.read() as reading:
                    wanted = holds.read(reading).is_open and bool(claims.waiting(reading, 1))
                if wanted:
                    pump().wake()
            except SmsclickError as error:
                log.warning("Could not look for new messages. error=%s", error)
                ended.wait(1.0)
