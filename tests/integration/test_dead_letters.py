"""What comes over the broker and cannot become a message is kept, until somebody stores it after all or drops it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import kombu
import pytest
import sqlalchemy as sa
from celery import Celery
from celery.exceptions import InvalidTaskError

from smsclick.contract import dead_letters, messages
from smsclick.errors import InvalidMessage, KeyConflict
from tests.acceptance import Cluster, ready, sent_by_name
from tests.processes import wait_until
from tests.servers import HOST
from worker.broker import strict_task
from worker.compat import celery_strategy_errors
from worker.intake import by_name
from worker.intake import dead_letters as deadletters

if TYPE_CHECKING:
    from smsclick._database.engine import Database
    from tests.conftest import StartProcess
    from worker.runtime import Runtime

SECRET = "5536009147"
CALL = {"phone": SECRET, "text": "Tu pedido va en camino"}


def kept(database: Database) -> list[deadletters.DeadLetter]:
    return list(deadletters.listed(database))


# --- Calls that are refused


@pytest.mark.parametrize("bad", [{"phone": "123"}, {"text": 5}, {"celular": "x"}, {"send_at": object()}])
def test_a_refused_call_is_kept_with_its_content(runtime: Runtime, bad: dict[str, Any]) -> None:
    assert by_name.accept(runtime, "task-1", CALL | bad) is None
    (letter,) = kept(runtime.database)
    assert (letter.task, letter.task_id, letter.queue) == ("smsclick.enqueue", "task-1", "smsclick")
    assert SECRET not in letter.reason
    assert json.loads(json.loads(letter.content)["body"])[1].keys() == (CALL | bad).keys()


def test_a_defect_keeps_the_call(runtime: Runtime) -> None:
    content = deadletters.call_content("task-1", CALL)
    by_name.give_up(runtime, "task-1", ZeroDivisionError(), content)
    ((_, result),) = deadletters.retry(runtime.database, [kept(runtime.database)[0].id], actor="ana")
    assert kept(runtime.database) == []
    with runtime.database.read() as connection:
        row = connection.execute(sa.select(messages).where(messages.c.id == result)).one()
    assert (row.phone, row.text, row.key) == (SECRET, CALL["text"], "task-1")


def test_a_call_stays_until_nothing_stands_against_it(runtime: Runtime) -> None:
    assert by_name.accept(runtime, "task-1", CALL | {"key": "order-1"}) is not None
    assert by_name.accept(runtime, "task-2", CALL | {"key": "order-1", "text": "otro"}) is None
    letter = kept(runtime.database)[0].id
    assert [type(result) for _, result in deadletters.retry(runtime.database, [letter], actor="ana")] == [KeyConflict]
    with runtime.database.begin() as connection:
        connection.execute(sa.update(messages).values(key="another"))
    ((_, stored),) = deadletters.retry(runtime.database, [letter], actor="ana")
    assert isinstance(stored, int)
    assert kept(runtime.database) == []


def test_what_is_no_call_cannot_be_stored_and_can_be_dropped(runtime: Runtime) -> None:
    with runtime.database.begin() as connection:
        for content in ({"headers": {"task": "shop.pay", "id": "1"}, "body": "[[], {}, {}]"}, {"length": 999_999}, {}):
            deadletters.keep(connection, queue="q", task="t", task_id="i", reason="r", content=content)
    ids = [each.id for each in kept(runtime.database)]
    for _, result in deadletters.retry(runtime.database, [*ids, 12345], actor="ana"):
        assert isinstance(result, InvalidMessage)
    assert deadletters.drop(runtime.database, ids, actor="ana") == 3
    assert kept(runtime.database) == []


def test_the_table_has_a_bound(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletters, "ROWS_KEPT", 3)
    with runtime.database.begin() as connection:
        for number in range(10):
            content = {"body": "x" * (deadletters.CONTENT_CHARACTERS if number == 9 else 1)}
            deadletters.keep(
                connection, queue="q" * 999, task="t", task_id=str(number), reason="r" * 999, content=content
            )
    found = kept(runtime.database)
    assert [each.task_id for each in found] == ["9", "8", "7"]
    assert len(found[0].content) < 100
    with runtime.database.begin() as connection:
        old = runtime.database.clock().replace(year=2020)
        connection.execute(sa.update(dead_letters).where(dead_letters.c.task_id == "8").values(created_at=old))
    assert deadletters.purge(runtime.database, 30) == 1


# --- Errors that say nothing against a call


def passed_on(app: Celery, error: Exception) -> list[str]:
    """What becomes of a good message while Celery's way to the pool fails."""
    given_back: list[str] = []
    consumer: Any = SimpleNamespace(
        hostname="h",
        connection_errors=(Exception,),
        event_dispatcher=None,
        timer=SimpleNamespace(call_at=None),
        apply_eta_task=None,
        disable_rate_limits=True,
        task_buckets={},
        on_task_request=None,
        _limit_task=None,
        _limit_post_eta=None,
        pool=SimpleNamespace(apply_async=None),
        controller=SimpleNamespace(state=SimpleNamespace(revoked=set())),
        give_back=lambda _, error: given_back.append(type(error).__name__),
    )

    @app.task(name="some.task", base=strict_task.StrictTask, shared=False)
    def some() -> None:
        """Never runs."""

    def fails(_: object) -> None:
        raise error

    headers = {"task": "some.task", "id": "1", "lang": "py"}
    message = SimpleNamespace(
        headers=headers,
        body="[[], {}, {}]",
        payload=[[], {}, {}],
        properties={},
        delivery_info={},
        content_type="",
        content_encoding="",
        acknowledged=False,
    )
    celery_strategy_errors.strategy(app.tasks["some.task"], app, consumer)(message, None, None, None, [fails])
    return given_back


@pytest.fixture
def app() -> Celery:
    return Celery("some", broker="memory://", set_as_current=False)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError(), OSError()])
def test_an_error_of_the_environment_leaves_the_message_in_the_broker(app: Celery, error: Exception) -> None:
    assert passed_on(app, error) == [type(error).__name__]


def test_an_error_that_a_message_could_have_caused_keeps_its_content(app: Celery) -> None:
    with pytest.raises(InvalidTaskError):  # which the consumer puts away
        passed_on(app, AttributeError("grow"))


# --- Real processes


def published(url: str, body: bytes, **headers: str) -> None:
    with kombu.Connection(url) as connection, connection.Producer() as producer:
        producer.publish(
            body, routing_key="smsclick", headers=headers, content_type="application/json", content_encoding="utf-8"
        )


def test_a_worker_stores_unknown_task_messages_as_dead_letters(
    broker_url: str, migrated_postgres_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, broker_url) as cluster:
        worker = cluster.worker()
        ready(worker)
        good = json.dumps([[], CALL, {}]).encode()
        published(broker_url, good, task="shop.sms", id="unknown")
        published(broker_url, good)
        published(broker_url, b"{" + SECRET.encode(), task="smsclick.enqueue", id="undecodable")
        published(broker_url, json.dumps({"phone": SECRET}).encode(), task="smsclick.enqueue", id="another-shape")
        sent_by_name(broker_url, [(CALL | {"phone": SECRET + "1"}, "refused")])
        wait_until(lambda: len(kept(cluster.database)) == 5, 90, what="the dead letters")
        found = {each.task_id: each for each in kept(cluster.database)}
        assert found.keys() == {"unknown", "", "undecodable", "another-shape", "refused"}
        assert all(SECRET in each.content for each in found.values())
        assert SECRET not in worker.output + "".join(each.reason for each in found.values())
        assert "Traceback" not in worker.output

        listed = cluster.run("smsclick", "deadletters", "list", name="list")
        assert listed.wait() == 0
        assert SECRET not in listed.output
        retried = cluster.run("smsclick", "deadletters", "retry", str(found["unknown"].id), name="retry")
        assert retried.wait() == 1
        assert "not a call of smsclick.enqueue" in retried.output
        assert "Traceback" not in retried.output


def test_autoscale_is_refused_with_one_line(migrated_sqlite_url: str, start_process: StartProcess) -> None:
    env = {
        "DATABASE_URL": migrated_sqlite_url,
        "CELERY_BROKER_URL": f"redis://{HOST}:1/0",
        "SMSCLICK_API_KEY": "key",
    }
    worker = start_process(["celery", "-A", "worker", "worker", "--autoscale", "10,3"], env)
    assert worker.wait() == 1
    assert worker.output.strip().splitlines()[-1].startswith("smsclick: --autoscale: ")
    assert "Traceback" not in worker.output
