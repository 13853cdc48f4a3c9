"""Whole processes and their logs: each line in the chosen form, and nothing in it that is a secret or somebody's."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from smsclick import NewMessage
from smsclick._logs.catalogue import EVENTS, FIELDS, WITHOUT_ATTEMPT
from smsclick.simulator import Fault, FaultKind
from tests.acceptance import Cluster, phone, texts
from tests.processes import Process, descendants, wait_until
from tests.servers import RedisServer
from worker.logs.formats import LIBRARY, REQUIRED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.conftest import StartProcess

JSON = {"SMSCLICK_LOG_FORMAT": "json"}
SECRET_TEXT = "Tezontle 4821"
SECRET_KEY = "pedido-nopal-7"


def objects(process: Process) -> list[dict[str, Any]]:
    """Its lines, each of which must be an object with the required fields, a known event, and known fields."""
    read: list[dict[str, Any]] = []
    for line in process.output.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            raise AssertionError(f"{process.name} wrote: {line}") from None
        assert tuple(found)[: len(REQUIRED)] == REQUIRED, line
        if found["event"] == LIBRARY:
            assert found["text"], line
        else:
            assert found["event"] in EVENTS, line
            assert set(found) <= {*REQUIRED, *FIELDS, "exception"}, line
        assert ("message_id" not in found) or found["event"] in WITHOUT_ATTEMPT or "attempt" in found, line
        read.append(found)
    return read


def names(read: Iterable[dict[str, Any]]) -> set[str]:
    return {each["event"] for each in read}


def wait_for(process: Process, event: str) -> None:
    """Until it has logged the event, in either form."""
    sentence = EVENTS[event]
    wait_until(
        lambda: f'"event": "{event}"' in process.output or sentence in process.output,
        120,
        what=f"{event}: {process.name}",
    )


def is_json(log_format: str) -> bool:
    return log_format == "json"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_worker_and_beat_that_meet_faults_write_one_form_and_no_content(
    migrated_postgres_url: str,
    own_server: Callable[..., RedisServer],
    start_process: StartProcess,
    log_format: str,
) -> None:
    redis = own_server(RedisServer)
    env = {"SMSCLICK_LOG_FORMAT": log_format}
    with Cluster(start_process, migrated_postgres_url, redis.url(), env=env) as cluster:
        worker, beat = cluster.worker(level="debug"), cluster.beat(level="debug")
        for event in ("worker_started", "background_started"):
            wait_for(worker, event)
        wait_for(beat, "beat_started")
        cluster.provider.faults([Fault(FaultKind.RESET_AFTER, count=1)])
        content = [NewMessage.of(phone=phone(n), text=f"{SECRET_TEXT} {n}", key=f"{SECRET_KEY}-{n}") for n in range(3)]
        cluster.enqueue(content)
        wait_for(worker, "attempt_ended")
        wait_until(lambda: cluster.states()["unknown"] == 1, 120, what="the reset")
        # The error that the provider means, and its end.
        cluster.provider.faults([Fault(FaultKind.NO_BALANCE)])
        cluster.enqueue(texts(1, "Retenido"))
        wait_until(lambda: cluster.states()["unknown"] == 0, 120, what="the reconciliation")
        wait_for(worker, "account_held")
        wait_for(worker, "alert")
        cluster.provider.faults([])
        wait_for(worker, "account_released")
        redis.restart()
        wait_for(worker, "broker_unusable")
        wait_until(lambda: cluster.states()["queued"] == 0, 120, what="the message that was held")
        for process in (worker, beat):
            process.sigterm()
            assert process.wait(120) == 0

        output = worker.output + beat.output
        for secret in ("5551400", SECRET_TEXT, SECRET_KEY, "acceptance-key", "va en camino", "Retenido"):
            assert secret not in output
        if is_json(log_format):
            written = objects(worker)
            assert {"worker_stopping", "worker_stopped", "attempt_ended", LIBRARY, "attempt_reconciled"} <= names(
                written
            )
            assert {each["process"] for each in written} == {"worker", "background"}
            ended = [each for each in written if each["event"] == "attempt_ended"]
            assert {(each["attempt"], type(each["message_id"])) for each in ended if each["state"] == "sent"} >= {
                (1, int)
            }
            assert {"unknown", "sent"} <= {each["state"] for each in ended}
            assert -104 in {each["code"] for each in ended}
            held = next(each for each in written if each["event"] == "account_held")
            assert held["reason"] == "no_balance"
            assert {"beat_started", "beat_stopped"} <= names(objects(beat))
        else:
            for event in ("worker_stopped", "account_held", "account_released"):
                assert EVENTS[event] in worker.output
            assert EVENTS["beat_stopped"] in beat.output


def test_smsclick_up_writes_objects_only(sqlite_url: str, start_process: StartProcess) -> None:
    env = {"DATABASE_URL": sqlite_url, "SMSCLICK_POLL_SECONDS": "0.5,1", **JSON}
    everything = start_process(["smsclick", "up", "--simulate"], env, name="up")
    for event in ("tables_migrated", "worker_started", "up_started", "beat_started", "background_started"):
        wait_for(everything, event)
    added = start_process(["smsclick", "enqueue", phone(1), SECRET_TEXT], env, name="enqueue")
    assert added.wait() == 0
    wait_for(everything, "attempt_ended")
    wait_until(lambda: '"process": "background"' in everything.output, 120, what="what follows the message")
    everything.sigint()
    assert everything.wait(120) == 0
    written = objects(everything)
    assert {"worker_stopping", "worker_stopped"} <= names(written)
    assert {each["process"] for each in written} == {"up", "background"}
    assert SECRET_TEXT not in everything.output


def test_the_http_api_the_exporter_and_the_migration_write_objects_only(
    sqlite_url: str, start_process: StartProcess
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        bind = f"127.0.0.1:{free.getsockname()[1]}"
    env = {"DATABASE_URL": sqlite_url, "SMSCLICK_WEB_BIND": bind, **JSON}
    migration = start_process(["alembic", "upgrade", "head"], env, name="migrate")
    assert migration.wait(120) == 0
    assert any(each["logger"].startswith("alembic") for each in objects(migration))

    web = start_process(["smsclick", "web", "--processes", "2"], env, name="web")
    metrics = start_process(["smsclick", "metrics", "--port", "0"], env, name="metrics")
    wait_for(web, "web_started")
    wait_for(metrics, "metrics_started")

    def serves() -> bool:
        return start_process(["smsclick", "web", "--check"], env, name="check").wait() == 0

    wait_until(serves, 120, every=1, what="the API")
    # A process of it dies, and uvicorn says so.
    os.kill(next(iter(descendants(web.pid))), signal.SIGKILL)
    for process in (web, metrics):
        process.sigterm()
        assert process.wait(120) == 0
    assert {"web_started", "web_stopped"} <= names(objects(web))
    assert {"metrics_started", "metrics_stopped"} <= names(objects(metrics))


def test_another_form_is_refused_at_the_door(sqlite_url: str, start_process: StartProcess) -> None:
    env = {"DATABASE_URL": sqlite_url, "SMSCLICK_API_KEY": "k", "SMSCLICK_LOG_FORMAT": "xml"}
    refused = start_process(["celery", "-A", "worker", "worker"], env, name="worker")
    assert refused.wait(60) == 1
    assert refused.output.startswith("smsclick: SMSCLICK_LOG_FORMAT: ")
    assert "SMSCLICK_LOG_FORMAT=json" in refused.output
    assert refused.output.count("\n") == 1
