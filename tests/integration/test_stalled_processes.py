"""What stands still is reported by `smsclick health`, and ended so that a restart policy starts it again."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from smsclick.contract import messages
from tests.acceptance import Cluster, ready, sent_by_name, texts
from tests.chaos.proxy import Proxy
from tests.compose import SERVICES
from tests.processes import wait_until
from worker.operator import health
from worker.threads.liveness import SILENT_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.processes import Process
    from tests.servers import RedisServer


def test_a_stalled_worker_one_with_a_dead_feeder_and_a_stopped_beat_are_reported_and_ended_and_no_other(
    migrated_sqlite_url: str, redis_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    with Cluster(start_process, migrated_sqlite_url, redis_url) as cluster:

        def start(what: str) -> Process:
            options = ("worker", "-l", "info", "--concurrency", "4", "-n", f"{what}@%h")
            return cluster.run(sys.executable, "-m", "tests.fault_injection", str(tmp_path / what), *options, name=what)

        workers = {what: start(what) for what in ("unreceptive", "feeder", "well")}
        beats = {"stopped": cluster.beat(), "goes on": cluster.beat()}
        ready(*workers.values())
        processes = {each.pid: (what, each) for what, each in [*workers.items(), *beats.items()]}

        def found() -> list[health.Health]:
            """As a probe would find it that much later, without the wait."""
            return health.examine(
                ("worker", "beat"), cluster.env["DATABASE_URL"], now=time.monotonic() + SILENT_SECONDS - 10
            )

        wait_until(lambda: len(found()) == len(processes) and all(each.is_healthy for each in found()), 120, what="all")
        (tmp_path / "unreceptive").write_text("consumer hang\n")
        (tmp_path / "feeder").write_text("break smsclick-feeder\n")
        os.kill(beats["stopped"].pid, signal.SIGSTOP)
        judged: list[health.Health] = []

        def ill() -> set[str]:
            judged[:] = found()
            return {processes[each.pid][0] for each in judged if each.pid is not None and not each.is_healthy}

        wait_until(lambda: ill() == {"unreceptive", "feeder", "stopped"}, 120, what="exactly the three to be reported")
        words = " ".join(each.words for each in judged if not each.is_healthy)
        assert "smsclick-consumer" in words
        assert "smsclick-feeder has failed" in words
        assert "has written no heartbeat" in words
        health.end_stalled(judged, stop_seconds=5)
        for what, process in processes.values():
            if what in {"unreceptive", "feeder", "stopped"}:
                process.wait(60)
            else:
                assert process.running, what


@pytest.mark.parametrize("what", ["claims", "calls"])
def test_a_worker_whose_pump_loops_but_sends_nothing_is_reported_and_ended(
    migrated_sqlite_url: str, redis_url: str, start_process: StartProcess, tmp_path: Path, what: str
) -> None:
    """All its threads run and beat; only the due messages for which no call is made show that it has stalled."""
    env = {"SMSCLICK_CONNECT_TIMEOUT": "1", "SMSCLICK_READ_TIMEOUT": "2", "SMSCLICK_LEASE_SECONDS": "30"}
    with Cluster(start_process, migrated_sqlite_url, redis_url, env=env) as cluster:
        orders = tmp_path / "orders"
        options = ("worker", "-l", "info", "--concurrency", "4")
        worker = cluster.run(sys.executable, "-m", "tests.fault_injection", str(orders), *options, name="worker")
        ready(worker)
        cluster.enqueue(texts(1, "before"))
        cluster.wait_final(1)

        def found() -> list[health.Health]:
            return health.examine(("worker",), cluster.env["DATABASE_URL"])

        assert [each.problems for each in found()] == [()]
        orders.write_text(f"pump {what}\n")
        worker.wait_for_line("injected: pump", 60)
        cluster.enqueue(texts(3, "after"))
        wait_until(lambda: not all(each.is_healthy for each in found()), 120, what="a report")
        [judged] = found()
        assert [each.partition(" has made")[0] for each in judged.problems] == ["smsclick-pump"]
        assert "messages are due that it may send, and it makes no call" in judged.words
        assert len(cluster.provider.ledger()) == 1
        health.end_stalled([judged], stop_seconds=20)
        worker.wait(60)


def test_compose_starts_again_what_the_check_ends() -> None:
    for role in ("worker", "beat"):
        service = SERVICES[role]
        assert service["healthcheck"]["test"] == ["CMD", "smsclick", "health", f"--{role}", "--end-stalled"]
        # Restarted after any end that nobody asked Compose for; process 1 is another, which SIGKILL cannot miss.
        assert (service["restart"], service["init"]) == ("unless-stopped", True)


def test_a_worker_whose_broker_connections_freeze_takes_messages_again_by_itself(
    migrated_postgres_url: str, redis_server: RedisServer, redis_url: str, start_process: StartProcess
) -> None:
    """As behind a firewall that forgets a connection: nothing closes it, and nothing comes through."""
    proxy = Proxy(redis_server.port)
    try:
        through = redis_url.replace(f":{redis_server.port}/", f":{proxy.port}/")
        with Cluster(start_process, migrated_postgres_url, through) as cluster:
            worker = cluster.worker(concurrency=4)
            ready(worker)
            numbers = itertools.count()

            def takes(word: str) -> bool:
                """Whether it takes a call by name; each look makes one more, as producers do all the time."""
                key = f"{word}-{next(numbers)}"
                sent_by_name(redis_url, [({"phone": "55 5140 2211", "text": key, "key": key}, None)])
                return bool(cluster.rows(messages.c.key.startswith(f"{word}-")))

            wait_until(lambda: takes("before"), 120, what="a call by name", every=1)
            proxy.freeze()
            # Redis gives one call to each connection that it does not know to be dead; that one is lost with Redis.
            wait_until(lambda: takes("after"), 120, what="a call by name, over a new connection", every=1)
            assert worker.running
    finally:
        proxy.close()
