"""Whatever Redis answers, workers and beat wait for it and say so once; then they go on without a restart."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from tests.acceptance import Cluster, phone, ready, sent_by_name
from tests.processes import wait_until
from tests.servers import HOST, RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.conftest import OwnServer, StartProcess

SAID = r"The broker (?:cannot be used|does not accept ticks).* reason=.*\((?:{})\)"
AGAIN = r"The broker (?:can be used|accepts ticks) again"
NEVER = r"Traceback|Unrecoverable|CRITICAL"

Admin = Any  # a client of Redis, whose types lack half of it


def client(server: RedisServer) -> Admin:
    return redis.Redis(host=HOST, port=server.port, decode_responses=True)


def replicaof(admin: Admin) -> Callable[[], object]:
    admin.execute_command("REPLICAOF", HOST, "1")
    return lambda: admin.execute_command("REPLICAOF", "NO", "ONE")


def without_master(admin: Admin) -> Callable[[], object]:
    admin.config_set("replica-serve-stale-data", "no")
    return replicaof(admin)


def misconf(admin: Admin) -> Callable[[], object]:
    """A disk that takes no snapshot."""
    occupied = Path(admin.config_get("dir")["dir"], admin.config_get("dbfilename")["dbfilename"], "occupied")
    occupied.mkdir(parents=True)
    admin.config_set("save", "3600 1")
    admin.bgsave()
    wait_until(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", what="the snapshot to fail")

    def back() -> None:
        admin.config_set("save", "")

    return back


def noperm(admin: Admin) -> Callable[[], object]:
    admin.execute_command("ACL", "SETUSER", "default", "-brpop", "-lpush")
    return lambda: admin.execute_command("ACL", "SETUSER", "default", "+brpop", "+lpush")


def oom(admin: Admin) -> Callable[[], object]:
    admin.config_set("maxmemory", "1")
    return lambda: admin.config_set("maxmemory", "0")


def noauth(admin: Admin) -> Callable[[], object]:
    admin.config_set("requirepass", "secret")
    for client in admin.client_list():
        if client["id"] != str(admin.client_id()):
            admin.client_kill_filter(_id=client["id"])
    return lambda: admin.config_set("requirepass", "")


ANSWERS = (
    (replicaof, "READONLY|ReadOnlyError"),
    (without_master, "MASTERDOWN|MasterDownError"),
    (misconf, "MISCONF"),
    (noperm, "NOPERM|NoPermissionError"),
    (noauth, "NOAUTH|AuthenticationError"),
)


def test_workers_and_beat_wait_for_whatever_redis_answers_and_then_go_on(
    own_server: OwnServer, migrated_postgres_url: str, start_process: StartProcess
) -> None:
    server = own_server(RedisServer)
    with (
        closing(client(server)) as admin,
        Cluster(start_process, migrated_postgres_url, server.url()) as cluster,
    ):
        admin.ping()
        processes = [cluster.worker(), cluster.beat()]
        ready(processes[0])
        for number, (provoke, words) in enumerate(ANSWERS):
            seen = [len(each.output) for each in processes]
            back = provoke(admin)
            for process, since in zip(processes, seen, strict=True):
                process.wait_for_line(SAID.format(words), since=since)
            if number == 0:  # at its start as well
                processes.append(cluster.worker())
                seen.append(0)
                processes[-1].wait_for_line(SAID.format(words))
            back()
            for process, since in zip(processes, seen, strict=True):
                process.wait_for_line(AGAIN, since=since)
            sent_by_name(server.url(), [({"phone": phone(number), "text": f"Hola {number}"}, f"call-{number}")])
            cluster.wait_states(delivered=number + 1)
        for each in processes:
            assert each.running
            assert not re.search(NEVER, each.output), each.output
            # One line for each reason of each trouble, not one for each try.
            assert len(re.findall("cannot be used|does not accept ticks", each.output)) <= 4 * len(ANSWERS)


def test_a_redis_that_is_full_takes_no_call_from_a_worker_that_has_it_in_hand(
    own_server: OwnServer, migrated_postgres_url: str, start_process: StartProcess
) -> None:
    """A call leaves its queue by BRPOP, which a full Redis allows; noting it as in hand (HSET) is what it refuses."""
    server = own_server(RedisServer)
    with (
        closing(client(server)) as admin,
        Cluster(start_process, migrated_postgres_url, server.url()) as cluster,
    ):
        worker = cluster.worker()
        ready(worker)
        sent_by_name(server.url(), [({"phone": phone(1), "text": "Hola"}, "call-1")])
        wait_until(lambda: len(cluster.provider.ledger()) == 1, 120, what="the first message")
        # The next call, as it stands in the queue, arrives exactly when Redis is full.
        sent_by_name(server.url("1"), [({"phone": phone(2), "text": "Hola"}, "call-2")])
        with closing(redis.Redis(host=HOST, port=server.port, db=1)) as other:
            entry: Any = other.rpop("smsclick")
        pipe: Any = admin.pipeline()
        pipe.execute_command("CONFIG", "SET", "maxmemory", "0")
        pipe.lpush("smsclick", entry)
        pipe.execute_command("CONFIG", "SET", "maxmemory", "1")
        pipe.execute()
        wait_until(lambda: len(cluster.rows()) == 2, 120, what="the second message to be stored")
        oom(admin)()
        assert worker.running
        assert not re.search(NEVER, worker.output), worker.output


class SlowToLoad(RedisServer):
    """Redis that reads its data for some seconds at its start, and says so to whoever asks for anything meanwhile."""

    def _command(self) -> Sequence[str]:
        return [*super()._command(), "--key-load-delay", "1000"]  # microseconds for each key


def test_a_worker_that_starts_without_its_broker_sends_and_finds_it_once_it_has_loaded_its_data(
    own_server: OwnServer, migrated_postgres_url: str, start_process: StartProcess
) -> None:
    server = own_server(SlowToLoad, durable=True)
    with closing(client(server)) as admin:
        # Each a command of its own: while it loads, Redis answers others after each thousand commands.
        pipe: Any = admin.pipeline(transaction=False)
        for number in range(10_000):
            pipe.set(f"other:{number}", "")
        pipe.execute()
    server.stop()
    with Cluster(start_process, migrated_postgres_url, server.url()) as cluster:
        worker, beat = cluster.worker(), cluster.beat()
        worker.wait_for_line(r"The broker cannot be used")
        beat.wait_for_line("does not accept ticks")
        server.start()
        for process in (worker, beat):
            process.wait_for_line(SAID.format("LOADING|BusyLoadingError"))
        worker.wait_for_line(AGAIN)
        sent_by_name(server.url(), [({"phone": phone(1), "text": "Hola"}, "call-1")])
        cluster.wait_states(delivered=1)
        assert not re.search(NEVER, worker.output + beat.output)
