"""Real worker processes: they send without a broker, survive the deaths of their threads, and say how they are."""

from __future__ import annotations

import functools
import sys
import threading
import time
from typing import TYPE_CHECKING

import kombu

from tests.acceptance import Cluster, ready, texts
from tests.commandline import call
from tests.processes import together, wait_until
from tests.servers import PostgresServer, RedisServer, free_port
from worker.operator import health
from worker.threads import liveness
from worker.threads.liveness import SILENT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import OwnServer, StartProcess
    from tests.processes import Process

BROKERS = {"redis": "redis://127.0.0.1:{port}/0", "rabbitmq": "amqp://guest:guest@127.0.0.1:{port}//"}

_calling = threading.Lock()
"""A command called in this process has the process's environment for itself."""


def sent(cluster: Cluster) -> int:
    return cluster.provider.stats().accepted


def lives(cluster: Cluster) -> bool:
    """What a container's probe asks."""
    with _calling:
        return call("health", "--worker", env=cluster.env).code == 0


def test_a_worker_sends_although_its_broker_was_never_there(
    new_sqlite_url: Callable[[], str], start_process: StartProcess
) -> None:
    def live(broker: str) -> None:
        nobody = broker.format(port=free_port())
        with Cluster(start_process, new_sqlite_url(), nobody) as cluster:
            cluster.enqueue(texts(3, "Antes"))
            worker = cluster.worker()
            wait_until(lambda: sent(cluster) == 3, 120, what="what was there before the worker")
            cluster.enqueue(texts(3, "Después"))
            wait_until(lambda: sent(cluster) == 6, 120, what="what came later")
            cluster.wait_final(6)  # ticks go on, too: each worker looks by itself
            wait_until(lambda: lives(cluster), what="a heartbeat")
            worker.sigterm()
            assert worker.wait(120) == 0
            assert not lives(cluster)

    together(*(functools.partial(live, broker) for broker in BROKERS.values()))


def test_a_worker_sends_on_while_its_broker_is_away(
    migrated_sqlite_url: str, start_process: StartProcess, own_server: OwnServer
) -> None:
    redis = own_server(RedisServer)
    with Cluster(start_process, migrated_sqlite_url, redis.url()) as cluster:
        ready(cluster.worker())
        redis.kill()
        cluster.enqueue(texts(5))
        wait_until(lambda: sent(cluster) == 5, 120, what="all to be sent")
        assert lives(cluster)


def test_a_worker_whose_threads_are_killed_goes_on_and_one_that_cannot_is_reported(
    migrated_sqlite_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    nobody = BROKERS["redis"].format(port=free_port())
    orders = tmp_path / "orders"
    with Cluster(start_process, migrated_sqlite_url, nobody) as cluster:
        command = ("-m", "tests.fault_injection", str(orders), "worker", "-l", "info", "--concurrency", "4")
        worker = cluster.run(sys.executable, *command, name="worker")

        def order(*what: str) -> None:
            with orders.open("a") as file:
                file.writelines(f"{each}\n" for each in what)
            for each in what:
                worker.wait_for_line(f"injected: {each}$", 60)

        names = ("smsclick-feeder", "smsclick-recorder", "smsclick-liveness")
        for round_, what in enumerate(("kill", "end"), 1):
            order(*(f"{what} {name}" for name in names))
            cluster.enqueue(texts(5, f"Ronda {round_}"))
            wait_until(lambda: sent(cluster) == 5 * round_, 120, what="all to be sent")  # noqa: B023
        assert sent(cluster) == 10
        ended_at = time.monotonic()
        wait_until(
            lambda: (
                [sign.written_at > ended_at for sign in liveness.read("worker", cluster.env["DATABASE_URL"])] == [True]
            ),
            what="a new heartbeat",
        )
        assert lives(cluster)
        for name in names:
            worker.wait_for_line(f"thread={name} error=SystemExit", 60)

        order(*(f"break {name}" for name in names[:2]))

        def judged(seconds_later: float) -> set[str]:
            """By its last heartbeat, as the probe would see it so much later."""
            [sign] = liveness.read("worker", cluster.env["DATABASE_URL"])
            now = sign.written_at + seconds_later
            [found] = health.examine(("worker",), cluster.env["DATABASE_URL"], now=now)
            return {words.partition(" ")[0] for words in found.problems}

        # Not by the whole of two minutes: what has failed for so long now has failed for a minute then.
        wait_until(
            lambda: judged(SILENT_SECONDS - 1) == {"smsclick-feeder", "smsclick-recorder"}, 120, what="both to be named"
        )


def test_a_worker_is_not_ill_for_its_databases_sake(start_process: StartProcess, own_server: OwnServer) -> None:
    postgres = own_server(PostgresServer)
    nobody = BROKERS["redis"].format(port=free_port())
    from tests.conftest import migrate  # noqa: PLC0415 - it is pytest's own

    url = migrate(postgres.create_database("own"))
    with Cluster(start_process, url, nobody) as cluster:
        cluster.enqueue(texts(1))
        worker = cluster.worker()
        wait_until(lambda: sent(cluster) == 1, 120, what="it to work")
        postgres.freeze()

        def waits() -> bool:
            [sign] = liveness.read("worker", url)
            [found] = health.examine(("worker",), url, now=sign.written_at + SILENT_SECONDS - 1)
            assert found.is_healthy
            return "database" in found.waits_for

        wait_until(waits, what="it to wait for the database")
        assert lives(cluster)
        postgres.thaw()
        cluster.enqueue(texts(1, "Luego"))
        wait_until(lambda: sent(cluster) == 2, 120, what="it to go on")
        assert worker.running


def test_a_consumer_that_stalls_is_reported_and_one_whose_broker_is_away_is_not(
    migrated_sqlite_url: str, start_process: StartProcess, own_server: OwnServer, tmp_path: Path
) -> None:
    lasting, dying = own_server(RedisServer), own_server(RedisServer)
    brokers = {
        "hang": lasting.url("1"),
        "cancel": lasting.url("2"),
        "stalled": lasting.url("3"),
        "nothing": lasting.url("4"),
        "its broker dies": dying.url(),
    }
    with Cluster(start_process, migrated_sqlite_url, "") as cluster:

        def start(what: str) -> Process:
            options = ("worker", "-l", "info", "--concurrency", "4")
            command = ("-m", "tests.fault_injection", str(tmp_path / what), *options)
            return cluster.run(sys.executable, *command, name="worker", env={"CELERY_BROKER_URL": brokers[what]})

        workers = {what: start(what) for what in brokers}
        ready(*workers.values())
        dying.kill()  # before the others, so that it would be reported before them
        for what in ("hang", "cancel", "stalled"):
            (tmp_path / what).write_text(f"consumer {what}\n")
            workers[what].wait_for_line(f"injected: consumer {what}", 60)
        pids = {worker.pid: what for what, worker in workers.items()}

        def stalled() -> set[str]:
            """Whose consumer a probe would report a little later, by its last heartbeat."""
            for what in ("stalled", "nothing"):
                with kombu.Connection(brokers[what]) as connection:
                    connection.SimpleQueue("smsclick.ticks").put({}, headers={"task": "smsclick.none", "id": "x"})
            url = cluster.env["DATABASE_URL"]
            signs = {sign.pid: sign for sign in liveness.read("worker", url)}
            found: set[str] = set()
            for pid, sign in signs.items():
                problems = liveness.problems(sign, sign.written_at + SILENT_SECONDS - 1)
                assert all(each.startswith("smsclick-consumer ") for each in problems)
                found |= {pids[pid]} if problems else set()
            return found

        wait_until(lambda: stalled() == {"hang", "cancel", "stalled"}, 120, what="exactly the three to be reported")
        assert all(worker.running for worker in workers.values())
