"""The composition root: builds what a worker process holds while it lives, and closes it."""

import dataclasses
import random
import threading

from smsclick._database.engine import Database
from smsclick.provider.account_client import open_client
from smsclick.settings import Settings
from worker.account import account_key, rate_limit
from worker.account.hold_cache import HoldCache
from worker.alerting import delivery
from worker.callbacks.celery_task import CallTask
from worker.callbacks.dispatcher import CallbackDispatcher
from worker.context import Context
from worker.database_clock.clock import GAP_SECONDS, DatabaseClock
from worker.lifecycle import callback_outbox
from worker.post_commit_notifier import Notifier
from worker.sending.recorder import Recorder
from worker.threads.supervision import Supervisor
from worker.wakeups import Wakeups

_END_SECONDS = 1.0
_OTHER_CALLS = 32
"""Connections for all other requests: statuses, reports, the balance."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runtime(Context):
    """One worker process: the context of its steps, and what only the process itself uses.

    Attributes:
        recorder: writes the results of attempts.
        callback_dispatcher: delivers callbacks.
    """

    recorder: Recorder
    callback_dispatcher: CallbackDispatcher

    @classmethod
    def start(
        cls,
        settings: Settings,
        wakeups: Wakeups,
        *,
        threads: int,
        call_task: CallTask | None = None,
        simulated: bool = False,
    ) -> "Runtime":
        """Open everything.

        Args:
            settings: of this process.
            wakeups: how it asks for further work.
            threads: at most so many calls in flight.
            call_task: publishes callbacks that are Celery tasks; None without a broker.
            simulated: whether it sends to the simulator of `smsclick up --simulate`.

        Raises:
            SettingsError: there is no API key.
        """
        database = Database(settings.database_url)
        callback_outbox.use_default(database.engine, settings.callback.get_secret_value())
        callback_dispatcher = CallbackDispatcher(database, settings, call_task)
        hold_cache = HoldCache(database)
        threads_of_ours = Supervisor()
        database.after_commit = Notifier(wakeups, hold_cache, lambda: callback_dispatcher.busy)
        api_key = settings.require_api_key()  # read once: fingerprint and client must have the same key
        return cls(
            settings=settings,
            account=account_key.fingerprint(api_key),
            database=database,
            client=open_client(settings, key=api_key, pool_size=threads + _OTHER_CALLS),
            hold_cache=hold_cache,
            limiter=rate_limit.limiter(database, settings.max_per_second),
            recorder=Recorder(database, settings, supervisor=threads_of_ours),
            wakeups=wakeups,
            channels=delivery.channels(settings.alert_urls.get_secret_value()),
            callback_dispatcher=callback_dispatcher,
            stopping=threading.Event(),
            rng=random.Random(),
            threads=threads_of_ours,
            clock=DatabaseClock(max(GAP_SECONDS, 3 * settings.sweep_seconds)),
            simulated=simulated,
        )

    def close(self) -> None:
        """Record the results that wait and close everything."""
        self.recorder.close()
        self.threads.stop(_END_SECONDS)
        self.client.close()
        self.callback_dispatcher.close()
        self.database.dispose()
