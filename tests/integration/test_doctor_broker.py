"""Doctor asks the broker: who consumes our queues, and whether those use this database."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import redis
from celery import Celery

from smsclick.settings import load_settings
from tests.acceptance import Cluster, ready
from tests.commandline import call
from tests.servers import HOST, RedisServer
from worker.operator.doctor import broker
from worker.operator.doctor.check import Check, Verdict, guarded

if TYPE_CHECKING:
    from tests.conftest import OwnServer, StartProcess

# Of another app on the same machine: none of it is ours.
FOREIGN = {
    "BROKER_URL": f"redis://{HOST}:1/0",
    "CELERY_BROKER_READ_URL": f"redis://{HOST}:1/0",
    "CELERY_BROKER_WRITE_URL": f"redis://{HOST}:1/0",
    "CELERY_RESULT_BACKEND": f"redis://{HOST}:1/0",
    "CELERY_LOADER": "theirs.loader:Loader",
    "CELERY_CONFIG_MODULE": "theirs.celeryconfig",
    "CELERY_WORKER_QUEUES": "theirs",
    "DJANGO_SETTINGS_MODULE": "theirs.settings",
}


def verdicts(cluster: Cluster) -> dict[str, str]:
    """Doctor's, by the check's name."""
    return {check["name"]: check["verdict"] for check in call("doctor", "--json", env=cluster.env).records}


def test_doctor_sees_who_consumes_and_a_worker_of_another_database(
    broker_url: str, migrated_postgres_url: str, migrated_sqlite_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, broker_url) as cluster:
        found = verdicts(cluster)
        assert (found["broker"], found["queues"], found["workers"]) == ("ok", "warning", "skipped")

        ours = start_process(
            ["celery", "-A", "worker", "worker", "-l", "info", "-n", "ours@%h"], cluster.env | FOREIGN, name="ours"
        )
        ready(ours)
        found = verdicts(cluster)
        assert (found["broker"], found["queues"], found["workers"]) == ("ok", "ok", "ok")

        stray = {"DATABASE_URL": migrated_sqlite_url}
        theirs = start_process(
            ["celery", "-A", "worker", "worker", "-l", "info", "-n", "theirs@%h"], cluster.env | stray, name="theirs"
        )
        ready(theirs)
        assert verdicts(cluster)["workers"] == "failed"


def test_doctor_sees_calls_that_wait_where_nobody_reads(own_server: OwnServer) -> None:
    server = own_server(RedisServer)
    ours = load_settings(CELERY_BROKER_URL=server.url("3"))

    def seen() -> Check:
        return broker.unread(ours)

    with closing(redis.Redis(host=HOST, port=server.port, db=3)) as client:
        client.lpush("smsclick", "read")
        client.lpush("smsclick.send\x06\x163", "read")  # of a priority, as kombu writes it
        client.lpush("smsclick_history", "of somebody else")
        client.set("cache:smsclick", "no list")
        client.rpush("_kombu.binding.smsclick", "of kombu's")
        client.delete("_kombu.binding.smsclick")
        assert seen().verdict is Verdict.OK

        with Celery("shop", broker=server.url("5"), set_as_current=False) as other:
            other.send_task("smsclick.enqueue", kwargs={"phone": "1", "text": "2"}, queue="smsclick")
        found = seen()
        assert (found.verdict, "database 5 (1)" in found.found) == (Verdict.WARNING, True), found
        assert "read 3" in found.todo

        with Celery("shop", broker=server.url("3"), set_as_current=False) as app:
            app.conf.broker_transport_options = {"global_keyprefix": "shop:"}
            app.send_task("smsclick.enqueue", kwargs={"phone": "1", "text": "2"}, queue="smsclick")
        found = seen()
        assert found.verdict is Verdict.WARNING
        assert "shop:smsclick (1)" in found.found
        assert "global_keyprefix" in found.todo
        # As docs/protocol.md moves it.
        assert client.lmove("shop:smsclick", "smsclick", "RIGHT", "LEFT")
        assert "database 5" in seen().found


def test_doctor_says_that_a_broker_is_silent(own_server: OwnServer) -> None:
    server = own_server(RedisServer)
    server.freeze()
    found = guarded("broker", lambda: broker.reached(load_settings(CELERY_BROKER_URL=server.url())))
    assert found.verdict is Verdict.FAILED
    assert "silent" in found.found or "does not answer" in found.found, found
