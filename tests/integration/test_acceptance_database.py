"""A database that fails in every way it can while messages flow: nothing is lost, sent twice, or restarted by hand."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick._enqueue.enqueue import enqueue_many
from smsclick.simulator import Fault, FaultKind
from tests import programs
from tests.acceptance import Cluster, ready, texts
from tests.conftest import migrate
from tests.processes import wait_until
from tests.servers import PgBouncerServer, PostgresServer, StandbyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import OwnServer, StartProcess
    from tests.processes import Process

_PART = 100
_SMALL = "40m"


@pytest.fixture
def small_disk(servers_directory: Path) -> Iterator[Path]:
    """A file system of a few megabytes, which only root can make; asked for before a server, so that it outlasts it."""
    place = servers_directory / "small"
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("not run here: a full disk: needs root, and the right to mount")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def _administer(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


class _Load:
    """A producer that goes on committing whatever happens, and knows what was committed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.committed = 0

    def add(self) -> None:
        """One more part, tried until it is committed; its keys make that harmless."""
        new = texts(self.committed + _PART)[self.committed :]

        def stored() -> bool:
            with contextlib.suppress(Exception), self._cluster.database.begin() as connection:
                enqueue_many(connection, new)
                return True
            return False

        wait_until(lambda: stored() or stored(), 120, what="a part to be stored")
        self.committed += _PART

    def flows(self, more: int = 40) -> None:
        """Until so many more have been accepted: what happens now happens under load."""
        begun = len(self._cluster.provider.ledger())
        target = min(begun + more, self.committed)
        wait_until(lambda: len(self._cluster.provider.ledger()) >= target, 120, what="messages to flow")


@dataclasses.dataclass(frozen=True)
class _Run:
    """A worker and a beat under load; `judge` waits for the end, `said` is the worker's log."""

    cluster: Cluster
    load: _Load
    judge: Callable[[], None]
    said: Callable[[], str]
    workers: list[Process]

    def also(self, url: str | None) -> None:
        """One more worker, which reaches the database in another way."""
        if url is not None:
            command = ["celery", "-A", "worker", "worker", "-l", "info", "--concurrency", "16", "-n", "other@%h"]
            self.workers.append(
                self.cluster.start_process(command, self.cluster.env | {"DATABASE_URL": url}, name="other")
            )
            ready(self.workers[-1])


@contextlib.contextmanager
def _one_worker(start_process: StartProcess, url: str, redis_url: str) -> Iterator[_Run]:
    with Cluster(start_process, url, redis_url, env={"SMSCLICK_LEASE_SECONDS": "600"}) as cluster:
        cluster.provider.faults([Fault(FaultKind.LATENCY, seconds=0.05, jitter=0.2)])
        workers, beats = cluster.start(workers=1, beats=1)
        load = _Load(cluster)
        load.add()

        def said() -> str:
            return "\n".join(process.log.read_text() for process in workers)

        def judge() -> None:
            cluster.wait_final(load.committed)
            ledger = cluster.assert_ledger_agrees()
            assert len(ledger) == load.committed
            assert all(process.running for process in [*workers, *beats]), "nobody had to restart anything"
            assert "Traceback" not in said()
            assert "Pedido" not in said()

        yield _Run(cluster, load, judge, said, workers)


def test_commits_that_the_server_would_not_wait_for_survive_its_crashes(
    own_server: OwnServer, start_process: StartProcess, redis_url: str
) -> None:
    server = own_server(PostgresServer)
    url = migrate(server.url())
    _administer(url, "ALTER DATABASE postgres SET synchronous_commit = off")
    # What nobody waits for stays in memory for long, so that each crash takes back something.
    _administer(url, "ALTER SYSTEM SET wal_writer_delay = '10s'", "ALTER SYSTEM SET wal_writer_flush_after = '1GB'")
    _administer(url, "SELECT pg_reload_conf()")
    with _one_worker(start_process, url, redis_url) as run:
        run.also(_pooled(own_server, server))
        for _ in range(3):
            run.load.flows()
            server.kill()
            server.start()
            run.load.add()
        run.judge()
        assert all("Attempt ended" in worker.log.read_text() for worker in run.workers), "both have sent"


def _pooled(own_server: OwnServer, server: PostgresServer) -> str | None:
    """The way to it through PgBouncer, where that is here."""
    if programs.PGBOUNCER in programs.missing() and not programs.in_ci():
        return None

    def prepare(pooler: PgBouncerServer) -> None:
        pooler.behind = server
        pooler.settings = {"server_login_retry": "1", "default_pool_size": "10"}

    return own_server(PgBouncerServer, prepare=prepare).url()


def test_a_worker_follows_a_failover_by_itself(
    own_server: OwnServer, start_process: StartProcess, redis_url: str
) -> None:
    primary = own_server(PostgresServer)
    migrate(primary.url())
    standby = own_server(StandbyServer, prepare=lambda server: server.follow(primary))
    # Then the commit of a claim is on both before its request leaves.
    _administer(primary.url(), "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
    url = f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres"
    with _one_worker(start_process, url, redis_url) as run:
        run.load.flows()
        primary.kill()
        standby.promote()
        _administer(standby.url(), "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")
        run.load.add()
        run.judge()


def test_read_only_silent_and_full_databases_cost_time_only(
    small_disk: Path, own_server: OwnServer, start_process: StartProcess, redis_url: str
) -> None:
    server = own_server(PostgresServer)
    owner = server.directory.stat()
    os.chown(small_disk, owner.st_uid, owner.st_gid)
    _administer(
        server.url(), f"CREATE TABLESPACE small LOCATION '{small_disk}'", "CREATE DATABASE sms TABLESPACE small"
    )
    url = migrate(server.url("sms"))
    with _one_worker(start_process, url, redis_url) as run:
        run.load.flows()
        away = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'sms'"
        _administer(server.url(), "ALTER DATABASE sms SET default_transaction_read_only = on", away)
        wait_until(lambda: "read-only" in run.said(), 120, what="the worker to meet it")
        _administer(server.url(), "ALTER DATABASE sms SET default_transaction_read_only = off")
        run.load.add()
        run.load.flows()
        server.freeze()
        threading.Timer(3, server.thaw).start()
        run.load.add()
        run.load.flows()
        filler = small_disk / "filler"
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 65536)
                file.flush()
        with pytest.raises(Exception, match="disk is full"), run.cluster.database.begin() as connection:
            enqueue_many(connection, texts(5000, "Lleno"))
        wait_until(lambda: "disk is full" in run.said(), 120, what="the worker to meet it")
        filler.unlink()
        run.load.add()
        run.judge()
        lines = [line for line in run.said().splitlines() if "cannot be used" in line]
        assert len(lines) < 40, "once a minute and cause, not once a try"
