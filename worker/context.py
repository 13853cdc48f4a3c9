"""What a step may use of its process. `worker.runtime` builds it; no step imports the runtime or another step."""

import dataclasses
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from smsclick._database.engine import Database
from smsclick.provider.client import SmsclickClient
from smsclick.provider.results import SendResult
from smsclick.settings import Settings
from worker.account.account_state import HoldCache
from worker.account.rate_limit import Limiter
from worker.alerting.delivery import Channel
from worker.database_clock.clock import DatabaseClock
from worker.lifecycle.attempt import Ended
from worker.metrics.process_metrics import ProcessMetrics
from worker.threads.supervision import Supervisor
from worker.wakeups import Wakeups


class Sender(Protocol):
    """What calls `sendMsg`; `smsclick.provider.async_sender.AsyncSender` is the one of production."""

    async def send(
        self, phone: str, text: str, rule_id: str | None = None, *, not_after: float | None = None
    ) -> SendResult:
        """Make one `sendMsg` call, of which no byte leaves after `not_after`."""


class ResultRecorder(Protocol):
    """Where the results of attempts go; `worker.sending.recorder.Recorder` is the one of production."""

    @property
    def recorded(self) -> int:
        """How many results were committed."""

    @property
    def has_room(self) -> bool:
        """Whether further calls may begin."""

    def record(self, ended: Ended) -> None:
        """Write one result; returns when it is committed."""

    def submit(self, ended: Ended, done: Callable[[], None] | None = None) -> None:
        """Write one result soon; `done` is called, in another thread, when `record` would return."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """One process, as its steps see it.

    Attributes:
        client: asks the provider with this process's key.
        senders: opens what sends with the same key, on the event loop that runs.
        account: the fingerprint of that key.
        metrics: what this process counts for Prometheus.
        stopping: is set when the process was asked to end; claims that were not called for are released then.
        simulated: whether the provider is the simulator of `smsclick up --simulate`.
    """

    settings: Settings
    database: Database
    client: SmsclickClient
    senders: Callable[[], AbstractAsyncContextManager[Sender]]
    account: str
    hold_cache: HoldCache
    limiter: Limiter
    recorder: ResultRecorder
    wakeups: Wakeups
    channels: Sequence[Channel]
    stopping: threading.Event
    rng: random.Random
    threads: Supervisor
    clock: DatabaseClock = dataclasses.field(default_factory=DatabaseClock)
    metrics: ProcessMetrics = dataclasses.field(default_factory=ProcessMetrics)
    simulated: bool = False
