"""On Redis a wake-up is not recorded as unacknowledged; whatever else is in its queue is."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import kombu
import pytest
import redis
from kombu.transport import redis as transport

from smsclick._wakeups.publisher import call_to_send
from tests.acceptance import Cluster, ready, sent_by_name, texts
from tests.processes import wait_until
from worker.broker import unrecorded_wakeups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import StartProcess

QUEUE = "smsclick.send"


@pytest.fixture
def connection(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[kombu.Connection]:
    monkeypatch.setattr(transport.Channel, "QoS", transport.Channel.QoS)
    unrecorded_wakeups.install()
    with kombu.Connection(redis_url) as connection:
        yield connection


def publish(connection: kombu.Connection, headers: dict[str, str], body: object) -> None:
    with connection.Producer() as producer:
        producer.publish(body, routing_key=QUEUE, headers=headers, declare=[kombu.Queue(QUEUE)])


def publish_either(connection: kombu.Connection, task: str, number: int = 0) -> None:
    publish(connection, {"task": task}, [[[number]], {}, {}])


def number(message: kombu.Message) -> int:
    return int(json.loads(message.body or "")[0][0][0])


def take(connection: kombu.Connection) -> kombu.Message:
    message = kombu.Queue(QUEUE)(connection.default_channel).get(no_ack=False)
    assert message is not None
    return message


def records(url: str) -> tuple[int, int]:
    """How many messages Redis has as unacknowledged: their contents, their times."""
    with closing(redis.Redis.from_url(url)) as connected:
        client: Any = connected
        return client.hlen("unacked"), client.zcard("unacked_index")


def waiting(url: str) -> int:
    """How many are in the queue."""
    with closing(redis.Redis.from_url(url)) as connected:
        client: Any = connected
        return int(client.llen(QUEUE))


def commands(url: str) -> dict[str, int]:
    """How often Redis recorded a message as unacknowledged, its content and its time, and deleted this again."""
    with closing(redis.Redis.from_url(url)) as connected:
        client: Any = connected
        stats = client.info("commandstats")
    return {name: stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("hset", "zadd", "hdel", "zrem")}


def test_a_wake_up_has_no_record(connection: kombu.Connection, redis_url: str) -> None:
    headers, body = call_to_send([1, 2])
    publish(connection, headers, body)
    message = take(connection)
    assert records(redis_url) == (0, 0)
    message.ack()
    assert records(redis_url) == (0, 0)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"task": "smsclick.enqueue"}, [[], {"phone": "55 5140 2211", "text": "Aviso"}, {}]),
        ({"task": "smsclick.send"}, [[], {"phone": "55 5140 2211", "text": "Aviso"}, {}]),
        ({"task": "smsclick.send"}, [[[1]], {"text": "Aviso"}, {}]),
        ({"task": "smsclick.send"}, [["Aviso"], {}, {}]),
        ({"task": "smsclick.send"}, [[["Aviso"]], {}, {}]),
        ({"task": "smsclick.send"}, [[[1], "Aviso"], {}, {}]),
        ({"task": "smsclick.send"}, "Aviso"),
        ({"task": "another.apps"}, [[[1]], {}, {}]),
        ({}, [[[1]], {}, {}]),
    ],
)
def test_whatever_else_is_in_the_queue_has_one(
    connection: kombu.Connection, redis_url: str, headers: dict[str, str], body: object
) -> None:
    publish(connection, headers, body)
    message = take(connection)
    assert records(redis_url) == (1, 1)
    message.ack()
    assert records(redis_url) == (0, 0)


def test_what_cannot_be_read_has_one(connection: kombu.Connection, redis_url: str) -> None:
    with connection.Producer() as producer:
        producer.publish(
            "{Aviso",
            routing_key=QUEUE,
            headers={"task": "smsclick.send"},
            content_type="application/json",
            content_encoding="utf-8",
            declare=[kombu.Queue(QUEUE)],
        )
    take(connection)
    assert records(redis_url) == (1, 1)


@pytest.mark.parametrize("task", ["smsclick.send", "smsclick.enqueue"])
class TestEitherKind:
    """What both do alike."""

    def test_it_counts_until_it_is_acknowledged(self, connection: kombu.Connection, task: str) -> None:
        channel: Any = connection.default_channel
        channel.basic_qos(0, prefetch_count=1)
        publish_either(connection, task)
        message = take(connection)
        assert not channel.qos.can_consume()
        message.ack()
        assert channel.qos.can_consume()

    def test_it_is_forgotten_when_it_is_acknowledged(self, connection: kombu.Connection, task: str) -> None:
        for each in range(5):
            publish_either(connection, task, each)
            take(connection).ack()
        publish_either(connection, task)
        last = take(connection)
        channel: Any = connection.default_channel
        qos = channel.qos
        assert [list(qos._delivered), list(qos._dirty)] == [[last.delivery_tag], []]
        assert qos._unrecorded <= {last.delivery_tag}

    def test_one_that_is_given_back_is_received_again(
        self, connection: kombu.Connection, redis_url: str, task: str
    ) -> None:
        publish_either(connection, task, 7)
        take(connection).reject(requeue=True)
        assert (records(redis_url), waiting(redis_url)) == ((0, 0), 1)
        again = take(connection)
        assert number(again) == 7
        assert again.headers["redelivered"]

    def test_what_a_worker_did_not_begin_goes_back_when_it_stops(
        self, connection: kombu.Connection, redis_url: str, task: str
    ) -> None:
        with connection.clone() as stopping:
            for each in range(3):
                publish_either(stopping, task, each)
            first, *_ = [take(stopping) for _ in range(3)]
            first.ack()
            assert waiting(redis_url) == 0
        assert (records(redis_url), waiting(redis_url)) == ((0, 0), 2)
        assert sorted(number(take(connection)) for _ in range(2)) == [1, 2]

    def test_one_that_is_thrown_away_is_gone(self, connection: kombu.Connection, redis_url: str, task: str) -> None:
        publish_either(connection, task)
        take(connection).reject()
        assert records(redis_url) == (0, 0)
        assert waiting(redis_url) == 0


def test_a_real_worker_records_calls_of_producers_alone(
    new_postgres_url: Callable[[], str], redis_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, new_postgres_url(), redis_url) as cluster:
        ready(cluster.worker())
        before = commands(redis_url)
        headers, body = call_to_send(cluster.enqueue(texts(20)))
        with kombu.Connection(redis_url) as connection:
            publish(connection, headers, body)
        wait_until(lambda: not waiting(redis_url), what="the wake-up to be received")
        cluster.wait_states(sent=20)
        assert commands(redis_url) == before
        sent_by_name(redis_url, [({"phone": "55 5140 2211", "text": "Aviso"}, None)])
        wait_until(lambda: cluster.states().total() == 21, what="the call of a producer")
        one_more = {name: count + 1 for name, count in before.items()}
        wait_until(lambda: commands(redis_url) == one_more, what="its record and the end of it")
        cluster.wait_states(sent=21)
        cluster.assert_ledger_agrees()
