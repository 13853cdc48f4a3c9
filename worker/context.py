"""What a step may use of its process. `worker.runtime` builds it; no step imports the runtime or another step."""

import dataclasses
import random
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from smsclick._database.engine import Database
from smsclick.provider.client import SmsclickClient
from smsclick.settings import Settings
from worker.account.hold_cache import HoldCache
from worker.account.rate_limit import Limiter
from worker.alerting.delivery import Channel
from worker.database_clock.clock import DatabaseClock
from worker.lifecycle.attempt import Ended
from worker.threads.supervision import Supervisor
from worker.wakeups import Wakeups

if TYPE_CHECKING:
    from concurrent.futures import Future


class ResultRecorder(Protocol):
    """Where the results of attempts go; `worker.sending.recorder.Recorder` is the one of production."""

    @property
    def recorded(self) -> int:
        """How many results were committed."""

    @property
    def has_room(self) -> bool:
        """Whether further calls may begin."""

    def await_room(self, seconds: float) -> bool:
        """Wait until there is room, at most so many seconds; returns whether there is."""

    def record(self, ended: Ended) -> None:
        """Write one result; returns when it is committed."""

    def submit(self, ended: Ended) -> "Future[None]":
        """Write one result soon; the future is done when `record` would return."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """One process, as its steps see it.

    Attributes:
        client: calls the provider with this process's key.
        account: the fingerprint of that key.
        stopping: is set when the process was asked to end; claims that were not called for are released then.
        simulated: whether the provider is the simulator of `smsclick up --simulate`.
    """

    settings: Settings
    database: Database
    client: SmsclickClient
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
    simulated: bool = False
