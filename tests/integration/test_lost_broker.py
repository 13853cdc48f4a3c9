"""A broker that goes away ends no worker."""

from __future__ import annotations

from contextlib import closing

import kombu
import pytest
import redis
from kombu.transport import redis as transport

from worker import lost_broker


def close_twice(redis_url: str) -> None:
    """As Celery does: a first time in vain, with a message in hand, and then once more."""
    queue = kombu.Queue("calls")
    connection = kombu.Connection(redis_url)
    with connection.Producer() as producer:
        producer.publish({}, routing_key="calls", declare=[queue])
    assert queue(connection.default_channel).get(no_ack=False) is not None
    # What `collect` is left with where closing the channel took too long.
    connection._do_close_transport()
    connection.close()


def test_a_message_in_hand_comes_back_later_and_the_worker_goes_on(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport.Channel, "QoS", transport.QoS)
    lost_broker.outlive()
    close_twice(redis_url)
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.hlen("unacked") == 1


def test_kombu_does_not_do_so_by_itself(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this fails, `worker.lost_broker` is no longer needed."""
    monkeypatch.setattr(transport.Channel, "QoS", transport.QoS)
    with pytest.raises(AttributeError, match="hostname"):
        close_twice(redis_url)
