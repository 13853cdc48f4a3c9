"""Queues of ours that somebody else made in another shape: what can be consumed is, and the rest costs one line."""

from __future__ import annotations

import logging
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import kombu
import pytest
from celery import Celery
from kombu import Exchange, Queue

from smsclick.contract import State
from tests.acceptance import Cluster, phone, ready
from worker.broker import queue_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import StartProcess

SHAPES: dict[str, dict[str, Any]] = {
    "quorum": {"queue_arguments": {"x-queue-type": "quorum"}},
    "priorities": {"queue_arguments": {"x-max-priority": 10}},
    "a length": {"queue_arguments": {"x-max-length": 1000}},
    "not durable": {"durable": False},
}


def declared(url: str, name: str, **shape: Any) -> None:  # noqa: ANN401 - kombu's
    """As a producer's app declares it."""
    with kombu.Connection(url) as connection:
        Queue(name, Exchange(name, type="direct"), routing_key=name, **shape)(connection.default_channel).declare()


@pytest.fixture
def app(rabbitmq_url: str) -> Iterator[Celery]:
    """An app with two queues."""
    queue_shapes._logged.clear()
    made = Celery("shapes", broker=rabbitmq_url, set_as_current=False)
    made.conf.update(
        task_queues=[Queue("a", Exchange("a"), routing_key="a"), Queue("b", Exchange("b"), routing_key="b")]
    )
    yield made
    made.close()


def names(queues: list[Queue]) -> list[str]:
    return sorted(queue.name for queue in queues)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_queue_of_another_shape_is_used_as_it_is(
    app: Celery, rabbitmq_url: str, shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    declared(rabbitmq_url, "a", **SHAPES[shape])
    for _ in range(2):
        assert names(queue_shapes.adopt(app)) == ["a", "b"]
    assert [record.getMessage().partition(" answer=")[0] for record in caplog.records] == [
        "A queue has another shape than ours and is used as it is. queue=a"
    ]
    with kombu.Connection(rabbitmq_url) as connection:  # as the worker does: declare and consume
        app.amqp.TaskConsumer(connection.default_channel).consume()


def test_a_queue_that_cannot_be_consumed_costs_a_line_and_nothing_else(
    app: Celery, rabbitmq_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with kombu.Connection(rabbitmq_url) as owner:
        queue: Any = Queue("a", exclusive=True)(owner.default_channel)
        queue.declare()  # this connection's alone
        for _ in range(2):
            assert names(queue_shapes.adopt(app)) == ["b"]
        assert queue_shapes.left_out(app)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert names(queue_shapes.adopt(app)) == ["a", "b"]
    assert not queue_shapes.left_out(app)
    assert caplog.records[-1].getMessage() == "A queue can be consumed again. queue=a"


def test_a_stream_is_no_queue(app: Celery, rabbitmq_url: str) -> None:
    declared(rabbitmq_url, "a", queue_arguments={"x-queue-type": "stream"})
    assert names(queue_shapes.adopt(app)) == ["b"]


def test_looking_leaves_the_messages_where_they_are(app: Celery, rabbitmq_url: str) -> None:
    queue_shapes.adopt(app)
    with kombu.Connection(rabbitmq_url) as connection, closing(connection.Producer()) as producer:
        for number in range(3):
            producer.publish({"n": number}, routing_key="a")
        queue_shapes.adopt(app)
        queue: Any = Queue("a")(connection.default_channel)
        got = [queue.get(no_ack=True).payload["n"] for _ in range(3)]
    assert sorted(got) == [0, 1, 2]


def test_a_worker_sends_what_comes_over_queues_of_any_shape(
    rabbitmq_url: str, migrated_postgres_url: str, start_process: StartProcess
) -> None:
    for name, shape in zip(("smsclick", "smsclick.send", "smsclick.ticks"), SHAPES.values(), strict=False):
        declared(rabbitmq_url, name, **shape)
    declared(rabbitmq_url, "smsclick.poll", queue_arguments={"x-queue-type": "stream"})
    with Cluster(start_process, migrated_postgres_url, rabbitmq_url) as cluster:
        worker, beat = cluster.worker(), cluster.beat()
        ready(worker)
        calls = [({"phone": phone(n), "text": f"Hola {n}"}, f"call-{n}") for n in range(20)]
        sent_by_name(rabbitmq_url, calls)
        # What reports leave to getMsg is asked for by the worker itself, not over smsclick.poll.
        cluster.wait_final(20)
        assert cluster.states() == {State.DELIVERED: 20}
        assert "queue=smsclick.poll" in worker.output
        assert len(re.findall("cannot be consumed", worker.output)) == 1
        assert not re.search(r"Traceback|Unrecoverable|CRITICAL", worker.output + beat.output)


def sent_by_name(url: str, calls: list[tuple[dict[str, str], str]]) -> None:
    """By an app whose own configuration says what the queue is like."""
    with Celery("shop", broker=url, set_as_current=False) as app:
        shape = SHAPES["quorum"]
        app.conf.task_queues = [Queue("smsclick", Exchange("smsclick"), routing_key="smsclick", **shape)]
        for arguments, call in calls:
            app.send_task("smsclick.enqueue", kwargs=arguments, queue="smsclick", task_id=call)
