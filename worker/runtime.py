"""What a worker process holds while it lives: the database, the provider's client, the recorder, the doorbell."""

import dataclasses
import random
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from smsclick.account_client import open_client
from smsclick.client import SmsclickClient
from smsclick.database import Database
from smsclick.settings import Settings
from worker import account, alerts, gate, limiter, outbox
from worker.callbacks import Courier
from worker.clock import GAP_SECONDS, DatabaseClock
from worker.gate import Gate
from worker.lifecycle import Change
from worker.limiter import Limiter
from worker.recorder import Recorder
from worker.settle import Settled
from worker.supervision import Supervisor
from worker.task_calls import CallTask

_GATE_SECONDS = 0.02
_END_SECONDS = 1.0
_OTHER_CALLS = 32
"""Connections for what is asked beside the sends: statuses, reports, the balance."""


class Bell(Protocol):
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


class GateWatch:
    """The gate as it was at most 20 ms ago: read before every call, so that a hold stops the others almost at once.

    One thread reads it anew; the others go on with what they have meanwhile, unless that is twice as old.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading = threading.Lock()
        self._read: tuple[float, Gate] | None = None
        self._forgotten_at = float("-inf")

    def current(self) -> Gate:
        """The gate; raises `DatabaseUnavailable`."""
        seen = self._not_older(2 * _GATE_SECONDS if self._reading.locked() else _GATE_SECONDS)
        if seen is not None:
            return seen
        with self._reading:
            seen = self._not_older(_GATE_SECONDS)
            if seen is None:
                began = time.monotonic()
                with self._database.read() as connection:
                    seen = gate.read(connection)
                self._read = (began, seen)
            return seen

    def seen(self, began: float, gate_seen: Gate) -> None:
        """Somebody has read it anyway, in a transaction that began at this time of `time.monotonic`."""
        read = self._read
        if read is None or read[0] < began:
            self._read = (began, gate_seen)

    def forget(self) -> None:
        """Read anew next time."""
        self._forgotten_at = time.monotonic()

    def _not_older(self, seconds: float) -> Gate | None:
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
    gate: GateWatch
    limiter: Limiter
    recorder: Recorder
    bell: Bell
    channels: Sequence[alerts.Channel]
    courier: Courier
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
        bell: Bell,
        *,
        threads: int,
        call_task: CallTask | None = None,
        simulated: bool = False,
    ) -> "Runtime":
        """Open everything.

        Args:
            settings: this process's.
            bell: how it rings for further work.
            threads: how many calls it makes at once at the most.
            call_task: hands call-backs of Celery tasks to the broker, where there is one.
            simulated: whether it sends to the simulator of `smsclick up --simulate`.

        Raises:
            SettingsError: there is no API key.
        """
        database = Database(settings.database_url)
        outbox.use_default(database.engine, settings.callback.get_secret_value())
        courier = Courier(database, settings, call_task)
        watch = GateWatch(database)
        threads_of_ours = Supervisor()

        def after(settled: Settled) -> None:
            if settled.opened or settled.alerts:
                watch.forget()
            if settled.alerts:
                bell.alerts()
            if settled.opened:
                bell.sweep()
            if settled.callbacks and not courier.busy:
                bell.callbacks()
            if settled.released:
                bell.send(settled.released)

        api_key = settings.require_api_key()  # read once: the fingerprint must be the one of the client's key
        return cls(
            settings=settings,
            account=account.fingerprint(api_key),
            database=database,
            client=open_client(settings, key=api_key, pool_size=threads + _OTHER_CALLS),
            gate=watch,
            limiter=limiter.limiter(database, settings.max_per_second),
            recorder=Recorder(database, settings, after=after, supervisor=threads_of_ours),
            bell=bell,
            channels=alerts.channels(settings.alert_urls.get_secret_value()),
            courier=courier,
            stopping=threading.Event(),
            rng=random.Random(),
            threads=threads_of_ours,
            clock=DatabaseClock(max(GAP_SECONDS, 3 * settings.sweep_seconds)),
            simulated=simulated,
        )

    def wake_callbacks(self, changes: Iterable[Change]) -> None:
        """Have producers notified now of committed changes that matter to them, instead of by the next sweep."""
        if outbox.matters(changes, self.settings.callback.get_secret_value()) and not self.courier.busy:
            self.bell.callbacks()

    def close(self) -> None:
        """Record what is left and close everything."""
        self.recorder.close()
        self.threads.stop(_END_SECONDS)
        self.client.close()
        self.courier.close()
        self.database.dispose()
