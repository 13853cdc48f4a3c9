"""What a run is made of: private servers, the simulator, and workers and beats as real processes that are replaced."""

import dataclasses
import itertools
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import alembic.command
import alembic.config

from smsclick._database.engine import Database
from smsclick.simulator import Simulator
from tests.chaos.proxy import Proxy
from tests.chaos.victim import READY
from tests.processes import ROOT, Process, reaper
from tests.programs import MissingProgramError
from tests.servers import PostgresServer, RabbitServer, RedisServer
from tests.wall_clocks import SetPostgres, library

STACKS: Final = ("postgres-redis", "postgres-rabbitmq", "sqlite-embedded")

KEY: Final = "chaos-key"
LEASE: Final = 4.0
SETTLE: Final = 10.0
SWEEP: Final = 1.0
REPORT_LAG: Final = 1.0
THREADS: Final = 8

_SPEED: Final = {
    "SMSCLICK_API_KEY": KEY,
    "SMSCLICK_CONNECT_TIMEOUT": "1",
    "SMSCLICK_READ_TIMEOUT": "1.5",
    "SMSCLICK_LEASE_SECONDS": f"{LEASE:g}",
    "SMSCLICK_SETTLE_SECONDS": f"{SETTLE:g}",
    "SMSCLICK_SWEEP_SECONDS": f"{SWEEP:g}",
    "SMSCLICK_BALANCE_SECONDS": "1",
    "SMSCLICK_POLL_SECONDS": "1,1,2,3",
}

_numbers = itertools.count(1)


@dataclasses.dataclass
class Slot:
    """A place for one process; whoever dies here is replaced.

    Attributes:
        role: `worker`, `beat` or `up`.
        generation: how many processes it has had.
        busy_until: a mischief has it until then (monotonic), so others leave it alone.
        condemned: whether its process has an order to die, so that its end is expected.
    """

    name: str
    role: str
    proxied: bool = False
    process: Process | None = None
    generation: int = 0
    busy_until: float = 0.0
    condemned: bool = False

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.running

    @property
    def ready(self) -> bool:
        """Whether it takes work."""
        return self.process is not None and self.process.running and READY in self.process.output

    @property
    def free(self) -> bool:
        """Whether it takes work and nobody is at it."""
        return time.monotonic() >= self.busy_until and (self.running if self.role == "beat" else self.ready)


class Stack:
    """One kind of installation, all of it private.

    Args:
        kind: one of `STACKS`.
        logs: where processes write.
        text_form: of the simulator.
        seed: of the simulator.
        extra: what its processes find in their environment besides; see `victim`.
    """

    def __init__(
        self, kind: str, logs: Path, *, text_form: str = "exact", seed: int = 0, extra: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self.logs = logs
        self.extra = dict(extra or {})
        self.surprises: list[str] = []
        self.simulator = Simulator(
            api_key=KEY,
            balance=10**7,
            delivery_seconds=1.5,
            delivery_spread=0.2,
            reject_rate=0.05,
            report_lag=REPORT_LAG,
            reply_seconds=0.5,
            text_form=text_form,
            seed=seed,
        )
        directory = reaper().directory / f"chaos-{next(_numbers)}"
        directory.mkdir()
        self.directory = directory
        self.postgres = _postgres(directory / "postgres") if kind != "sqlite-embedded" else None
        self.redis = RedisServer(directory / "redis") if kind == "postgres-redis" else None
        self.rabbit = RabbitServer(directory / "rabbit") if kind == "postgres-rabbitmq" else None
        self.proxy: Proxy | None = None
        self.slots: list[Slot] = []
        self.database_url = f"sqlite:///{directory / 'smsclick.db'}"
        self.broker_url = ""
        self.database: Database | None = None

    def start(self, workers: int = 3, beats: int = 2) -> None:
        """Servers, tables, simulator, processes; returns when a worker takes work."""
        self.simulator.start()
        for server in (self.postgres, self.redis, self.rabbit):
            if server is not None:
                server.start()
        if self.postgres is not None:
            self.database_url = self.postgres.create_database("chaos")
            self.proxy = Proxy(self.postgres.port)
        if self.redis is not None:
            self.broker_url = self.redis.url()
        if self.rabbit is not None:
            self.broker_url = self.rabbit.url()
        config = alembic.config.Config(str(ROOT / "alembic.ini"))
        config.attributes["database_url"] = self.database_url
        alembic.command.upgrade(config, "head")
        self.database = Database(self.database_url)
        if self.kind == "sqlite-embedded":
            self.slots = [Slot("up-0", "up")]
        else:
            self.slots = [Slot(f"worker-{n}", "worker", proxied=n == 0) for n in range(workers)]
            self.slots += [Slot(f"beat-{n}", "beat") for n in range(beats)]
        self.supervise()

    @property
    def workers(self) -> list[Slot]:
        """The places of those that send."""
        return [slot for slot in self.slots if slot.role != "beat"]

    @property
    def beats(self) -> list[Slot]:
        """The places of beats."""
        return [slot for slot in self.slots if slot.role == "beat"]

    def environment(self, slot: Slot) -> dict[str, str]:
        """The environment variables of a process in this place."""
        url = self.database_url
        if slot.proxied and self.proxy is not None and self.postgres is not None:
            url = url.replace(f":{self.postgres.port}/", f":{self.proxy.port}/")
        broker = {"CELERY_BROKER_URL": self.broker_url} if self.broker_url else {}
        return {
            **_SPEED,
            **broker,
            "DATABASE_URL": url,
            "SMSCLICK_BASE_URL": self.simulator.base_url,
            "CHAOS_ORDERS": str(self.orders(slot)),
            **self.extra,
        }

    def orders(self, slot: Slot) -> Path:
        """The file that orders a process in this place where to die."""
        return self.directory / f"{slot.name}.orders"

    def spawn(self, slot: Slot, *, clock_off: float = 0.0) -> Process:
        """A new process in this place; what was there before must be gone or belongs to the caller."""
        self.orders(slot).unlink(missing_ok=True)
        slot.generation += 1
        slot.condemned = False
        arguments: Sequence[str] = ()
        if slot.role == "worker":
            arguments = ("-c", str(THREADS), "-l", "info", "-n", f"{slot.name}@chaos")
        slot.process = Process(
            [sys.executable, "-m", "tests.chaos.victim", slot.role, *arguments],
            {**self.environment(slot), "CHAOS_CLOCK_OFF": f"{clock_off:g}"},
            log=self.logs / f"{slot.name}.{slot.generation:03}.log",
        )
        return slot.process

    def supervise(self) -> None:
        """Replace whoever is gone, as systemd or a container engine would."""
        for slot in self.slots:
            if slot.running:
                continue
            if slot.process is not None:
                code = slot.process.wait()
                if not slot.condemned:
                    self.surprises.append(f"{slot.name}.{slot.generation:03} ended with {code}")
            self.spawn(slot)

    def lose_broker(self) -> None:
        """The broker dies and comes back with nothing in it."""
        if self.redis is not None:
            self.redis.kill()
            self.redis.start()
        if self.rabbit is not None:
            self.rabbit.kill()
            shutil.rmtree(self.rabbit.directory / "mnesia", ignore_errors=True)
            self.rabbit.start()

    def crash_database(self) -> None:
        """PostgreSQL ends without a checkpoint and recovers."""
        if self.postgres is not None:
            self.postgres.restart()

    def refuse_writes(self) -> None:
        """PostgreSQL refuses writes, as a standby does."""
        if self.postgres is not None:
            self.postgres.refuse_writes()

    def take_writes(self) -> None:
        """It takes them again."""
        if self.postgres is not None:
            self.postgres.take_writes()

    @property
    def clock_can_be_set(self) -> bool:
        """Whether the database has a clock of its own."""
        return isinstance(self.postgres, SetPostgres)

    def set_clock(self, offset: str) -> None:
        """The database's clock is off by so much from now on."""
        if isinstance(self.postgres, SetPostgres):
            self.postgres.set_clock(offset)

    def stop(self) -> None:
        """All of it, at once."""
        for slot in self.slots:
            if slot.process is not None:
                slot.process.sigcont()
                slot.process.end()
        if self.database is not None:
            self.database.dispose()
        if self.proxy is not None:
            self.proxy.close()
        for server in (self.postgres, self.redis, self.rabbit):
            if server is not None:
                server.kill()
        self.simulator.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def _postgres(directory: Path) -> PostgresServer:
    try:
        library()
    except MissingProgramError:
        return PostgresServer(directory)
    return SetPostgres(directory)


def set_environment(stack: Stack) -> None:
    """For `enqueue` in this process: it wakes workers through the broker that the environment names."""
    os.environ["DATABASE_URL"] = stack.database_url
    if stack.broker_url:
        os.environ["CELERY_BROKER_URL"] = stack.broker_url
