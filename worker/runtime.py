"""What a worker process holds while it lives: the database, the provider's client, the recorder, the doorbell."""

import dataclasses
import random
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from smsclick._database.engine import Database
from smsclick.provider.account_client import open_client
from smsclick.provider.client import SmsclickClient
from smsclick.settings import Settings
from worker.account import account_key as account
from worker.account import holds
from worker.account import rate_limit as limiter
from worker.account.holds import AccountState
from worker.account.rate_limit import Limiter
from worker.alerting import delivery
from worker.callbacks.celery_task import CallTask
from worker.callbacks.dispatcher import CallbackDispatcher
from worker.database_clock.clock import GAP_SECONDS, DatabaseClock
from worker.lifecycle import outbox
from worker.lifecycle.model import Change
from worker.sending.recorder import Recorder
from worker.sending.results import Recorded
from worker.threads.supervision import Supervisor

_CACHE_SECONDS = 0.02
_END_SECONDS = 1.0
_OTHER_CALLS = 32
"""Connections for what is asked beside the sends: statuses, reports, the balance."""


class Wakeups(Protocol):
    """Rings for work by ids; a lost ring costs time, never a message."""

    def send(self, ids: Sequence[int]) -> None:
        """Messages that may be sent."""

    def poll(self, ids: Sequence[int]) -> None:
        """Messages whose status check is due."""

    def follow(self) -> None:
        """Reports about sent messages that are due."""

    def reconcile(self) -> None:
        """Attempts of unknown outcome whose turn it is."""

    def alerts(self) -> None:
        """News that waits to be delivered."""

    def callbacks(self) -> None:
        """Producers that wait to be told."""

    def sweep(self) -> None:
        """Look for everything."""


class HoldCache:
    """The gate as it was at most 20 ms ago: read before every call, so that a hold stops the others almost at once.

    One thread reads it anew; the others go on with what they have meanwhile, unless that is twice as old.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading = threading.Lock()
        self._read: tuple[float, AccountState] | None = None
        self._forgotten_at = float("-inf")

    def current(self) -> AccountState:
        """The gate; raises `DatabaseUnavailable`."""
        seen = self._not_older(2 * _CACHE_SECONDS if self._reading.locked() else _CACHE_SECONDS)
        if seen is not None:
            return seen
        with self._reading:
            seen = self._not_older(_CACHE_SECONDS)
            if seen is None:
                began = time.monotonic()
                with self._database.read() as connection:
                    seen = holds.read(connection)
                self._read = (began, seen)
            return seen

    def seen(self, began: float, state_seen: AccountState) -> None:
        """Somebody has read it anyway, in a transaction that began at this time of `time.monotonic`."""
        read = self._read
        if read is None or read[0] < began:
            self._read = (began, state_seen)

    def forget(self) -> None:
        """Read anew next time."""
        self._forgotten_at = time.monotonic()

    def _not_older(self, seconds: float) -> AccountState | None:
        read = self._read
        if read is None or read[0] <= self._forgotten_at or time.monotonic() - read[0] > seconds:
            return None
        return read[1]


@dataclasses.dataclass(frozen=True)
class Runtime:
    """One worker process. `stopping` is set when it was asked to end: what has not been called for is released."""

    settings: Settings
    database: Database
    client: SmsclickClient
    hold_cache: HoldCache
    limiter: Limiter
    recorder: Recorder
    wakeups: Wakeups
    channels: Sequence[delivery.Channel]
    callback_dispatcher: CallbackDispatcher
    stopping: threading.Event
    rng: random.Random
    threads: Supervisor
    account: str
    """The fingerprint of the key that `client` calls with."""
    simulated: bool = False
    clock: DatabaseClock = dataclasses.field(default_factory=DatabaseClock)

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
            settings: this process's.
            wakeups: how it asks for further work.
            threads: how many calls it makes at once at the most.
            call_task: hands call-backs of Celery tasks to the broker, where there is one.
            simulated: whether it sends to the simulator of `smsclick up --simulate`.

        Raises:
            SettingsError: there is no API key.
        """
        database = Database(settings.database_url)
        outbox.use_default(database.engine, settings.callback.get_secret_value())
        callback_dispatcher = CallbackDispatcher(database, settings, call_task)
        watch = HoldCache(database)
        threads_of_ours = Supervisor()

        def after(settled: Recorded) -> None:
            if settled.opened or settled.alerts:
                watch.forget()
            if settled.alerts:
                wakeups.alerts()
            if settled.opened:
                wakeups.sweep()
            if settled.callbacks and not callback_dispatcher.busy:
                wakeups.callbacks()
            if settled.released:
                wakeups.send(settled.released)

        api_key = settings.require_api_key()  # read once: the fingerprint must be the one of the client's key
        return cls(
            settings=settings,
            account=account.fingerprint(api_key),
            database=database,
            client=open_client(settings, key=api_key, pool_size=threads + _OTHER_CALLS),
            hold_cache=watch,
            limiter=limiter.limiter(database, settings.max_per_second),
            recorder=Recorder(database, settings, after=after, supervisor=threads_of_ours),
            wakeups=wakeups,
            channels=delivery.channels(settings.alert_urls.get_secret_value()),
            callback_dispatcher=callback_dispatcher,
            stopping=threading.Event(),
            rng=random.Random(),
            threads=threads_of_ours,
            clock=DatabaseClock(max(GAP_SECONDS, 3 * settings.sweep_seconds)),
            simulated=simulated,
        )

    def wake_callbacks(self, changes: Iterable[Change]) -> None:
        """Have producers notified now of committed changes that matter to them, instead of by the next sweep."""
        if outbox.matters(changes, self.settings.callback.get_secret_value()) and not self.callback_dispatcher.busy:
            self.wakeups.callbacks()

    def close(self) -> None:
        """Record what is left and close everything."""
        self.recorder.close()
        self.threads.stop(_END_SECONDS)
        self.client.close()
        self.callback_dispatcher.close()
        self.database.dispose()
