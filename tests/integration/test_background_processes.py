"""Real workers and their background processes: what runs where, and what becomes of either when the other one goes."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

from smsclick.contract import State
from smsclick.simulator import Fault, FaultKind
from tests.acceptance import Cluster, ready, texts
from tests.processes import alive, descendants, wait_until

if TYPE_CHECKING:
    from tests.conftest import StartProcess
    from tests.processes import Process

READY = r"The background process runs the ticks\. child_pid=(\d+)"


def child_of(worker: Process, *, since: int = 0) -> int:
    """The pid of its background process, once it runs the ticks."""
    pid = int(worker.wait_for_line(READY, 120, since=since)[1])
    assert pid in descendants(worker.pid)
    return pid


def sent(cluster: Cluster) -> int:
    return cluster.provider.stats().accepted


def test_ticks_run_beside_sending_and_go_on_without_beat_and_after_a_kill(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, redis_url) as cluster:
        worker = cluster.worker()  # and no beat
        ready(worker)
        first = child_of(worker)
        cluster.enqueue(texts(5, "Antes"))
        cluster.wait_final(5)
        worker.wait_for_line("(?:Reports were read|Status asked)", 60)
        followed = re.findall(r"INFO (background: |)(?:Reports were read|Status asked)", worker.output)
        assert set(followed) == {"background: "}
        assert re.search(r"INFO Attempt ended", worker.output)
        assert "background: Attempt ended" not in worker.output

        # One that stands still holds up no message.
        os.kill(first, signal.SIGSTOP)
        cluster.enqueue(texts(5, "Mientras"))
        wait_until(lambda: cluster.states() == {State.DELIVERED: 5, State.SENT: 5}, 120, what="all to be sent")
        os.kill(first, signal.SIGCONT)
        cluster.wait_final(10)

        since = len(worker.output)
        os.kill(first, signal.SIGKILL)
        second = child_of(worker, since=since)
        assert second != first
        assert f"child_pid={first} code=-9" in worker.output
        cluster.enqueue(texts(5, "Después"))
        cluster.wait_final(15)

        worker.sigkill(tree=False)
        wait_until(lambda: not alive(second), what="the end of the background process")


def test_a_worker_and_its_background_process_stop_together(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    """Whoever gets the signal: the worker alone, as from a container engine, or all of its group."""
    quick = {"SMSCLICK_CONNECT_TIMEOUT": "1", "SMSCLICK_READ_TIMEOUT": "5"}
    with Cluster(start_process, migrated_postgres_url, redis_url, env=quick) as cluster:
        cluster.provider.faults([Fault(FaultKind.HANG_BEFORE, endpoints=("report",))])
        workers = [cluster.worker() for _ in range(4)]
        ready(*workers)
        children = [child_of(worker) for worker in workers]
        cluster.enqueue(texts(20))
        wait_until(lambda: cluster.provider.stats().in_flight > 0, 120, what="a report that is not answered")
        workers[0].sigterm()
        workers[1].sigint()
        os.killpg(workers[2].pid, signal.SIGTERM)
        os.kill(children[3], signal.SIGTERM)
        assert [worker.wait(120) for worker in workers[:3]] == [0, 1, 0]  # Celery's after Ctrl-C
        wait_until(lambda: not any(alive(child) for child in children), what="the ends of the background processes")
        assert not [worker for worker in workers if "is killed" in worker.output]
        # One that was asked to end by itself is replaced.
        second = child_of(workers[3], since=workers[3].output.index(f"child_pid={children[3]} code=0"))
        workers[3].sigterm()
        assert workers[3].wait(120) == 0
        assert not alive(second)
        assert not re.search(r"Traceback|CRITICAL", "".join(worker.output for worker in workers))
        assert set(cluster.states()) <= {State.SENT, State.QUEUED, State.DELIVERED}


def test_a_pool_of_processes_and_one_of_a_single_thread_run_their_ticks_too(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, redis_url) as cluster:
        for number, (pool, where) in enumerate((("processes", "INFO "), ("solo", "INFO background: ")), 1):
            options = ("-l", "info", "--pool", pool, "--concurrency", "2")
            worker = cluster.run("celery", "-A", "worker", "worker", *options, name=pool)
            ready(worker)
            cluster.enqueue(texts(5, pool))
            cluster.wait_final(5 * number)
            worker.wait_for_line(rf"{where}(?:Reports were read|Status asked)", 60)
            worker.sigterm()
            assert worker.wait(120) == 0


def test_smsclick_up_has_a_background_process_too(sqlite_url: str, start_process: StartProcess) -> None:
    with Cluster(start_process, sqlite_url, "") as cluster:
        everything = cluster.run("smsclick", "up", name="up")
        child = child_of(everything)
        cluster.enqueue(texts(5))
        cluster.wait_final(5)
        everything.wait_for_line("background: Reports were read", 60)  # it is written after the state
        everything.sigkill(tree=False)
        wait_until(lambda: not alive(child), what="the end of the background process")
