"""The composition root: builds what a worker process holds while it lives, and closes it."""

import contextlib
import dataclasses
import random
import threading
from collections.abc import AsyncIterator

from smsclick._database.engine import Database, parse_url
from smsclick._database.sqlite_files import require_there
from smsclick.provider.account_client import open_async_sender, open_client
from smsclick.settings import Settings
from worker.account import account_key, rate_limit
from worker.account import simulated as simulated_databases
from worker.account.account_state import HoldCache
from worker.alerting import delivery
from worker.callbacks.celery_task import CallTask
from worker.callbacks.dispatcher import CallbackDispatcher
from worker.context import Context, Sender
from worker.database_clock.clock import GAP_SECONDS, DatabaseClock
from worker.lifecycle import callback_outbox
from worker.metrics.process_metrics import ProcessMetrics
from worker.metrics.reporter import Reporter
from worker.post_commit_notifier import Notifier
from worker.restore import detection
from worker.sending.recorder import Recorder
from worker.threads.supervision import Supervisor
from worker.traces import tracer
from worker.wakeups import Wakeups

_END_SECONDS = 1.0
_OTHER_CALLS = 32
"""Connections for all other requests: statuses, reports, the balance."""


def require_start(settings: Settings, *, simulated: bool = False) -> None:
    """Check what a worker needs before it starts; each failure is one clear line.

    Args:
        settings: of the worker.
        simulated: whether it sends to the simulator of `smsclick up --simulate`.

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
        if not simulated:
            simulated_databases.refuse(database)
            with open_client(settings, key=key) as client:
                detection.hold_if_restored(database, client)
    finally:
        database.dispose()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runtime(Context):
    """One worker process: the context of its steps, and what only the process itself uses.

    Attributes:
        recorder: writes the results of attempts.
        callback_dispatcher: delivers callbacks.
        reporter: writes what this process counts; not started here.
    """

    recorder: Recorder
    callback_dispatcher: CallbackDispatcher
    reporter: Reporter

    @classmethod
    def start(
        cls,
        settings: Settings,
        wakeups: Wakeups,
        *,
        calls: int,
        call_task: CallTask | None = None,
        simulated: bool = False,
    ) -> "Runtime":
        """Open everything.

        Args:
            settings: of this process.
            wakeups: how it asks for further work.
            calls: at most so many `sendMsg` calls in flight.
            call_task: publishes callbacks that are Celery tasks; None without a broker.
            simulated: whether it sends to the simulator of `smsclick up --simulate`.

        Raises:
            SettingsError: there is no API key.
        """
        database = Database(settings.database_url)
        tracer.start(database, settings.base_url)
        callback_outbox.use_default(database.engine, settings.callback.get_secret_value())
        callback_dispatcher = CallbackDispatcher(database, settings, call_task)
        hold_cache = HoldCache(database)
        threads_of_ours = Supervisor()
        database.after_commit = Notifier(wakeups, hold_cache)
        api_key = settings.require_api_key()  # read once: fingerprint and client must have the same key
        recorder = Recorder(database, settings, supervisor=threads_of_ours)
        metrics = ProcessMetrics()
        metrics.gauge("results_waiting", lambda: recorder.waiting)

        @contextlib.asynccontextmanager
        async def senders() -> AsyncIterator[Sender]:
            sender = open_async_sender(settings, key=api_key, connections=calls)
            try:
                yield sender
            finally:
                await sender.close()

        return cls(
            settings=settings,
            account=account_key.fingerprint(api_key),
            database=database,
            client=open_client(settings, key=api_key, pool_size=_OTHER_CALLS),
            senders=senders,
            hold_cache=hold_cache,
            limiter=rate_limit.limiter(database, settings.max_per_second),
            recorder=recorder,
            wakeups=wakeups,
            channels=delivery.channels(settings.alert_urls.get_secret_value()),
            callback_dispatcher=callback_dispatcher,
            metrics=metrics,
            reporter=Reporter(database, metrics, threads_of_ours),
            stopping=threading.Event(),
            rng=random.Random(),
            threads=threads_of_ours,
            clock=DatabaseClock(max(GAP_SECONDS, 3 * settings.sweep_seconds)),
            simulated=simulated,
        )

    def close(self) -> None:
        """Record the results that wait and close everything."""
        self.recorder.close()
        self.reporter.close()
        self.threads.stop(_END_SECONDS)
        self.client.close()
        self.callback_dispatcher.close()
        tracer.stop()
        self.database.dispose()
