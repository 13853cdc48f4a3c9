"""A broker that goes away ends no worker."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Any

import kombu
import pytest
import redis
from kombu.transport import redis as transport

from worker.compat import kombu_redis_closed_channel

log = logging.getLogger(__name__)


@pytest.fixture(params=["ours", "kombu's"])
def ours(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Where the tests of kombu's own way fail, `worker.compat.kombu_redis_closed_channel` is no longer needed."""
    monkeypatch.setattr(transport.Channel, "_connparams", kombu_redis_closed_channel.ORIGINAL_CONNPARAMS)
    if request.param == "ours":
        kombu_redis_closed_channel.install()
    return bool(request.param == "ours")


def message_in_hand(connection: kombu.Connection) -> kombu.Message:
    queue = kombu.Queue("calls")
    with connection.Producer() as producer:
        producer.publish({}, routing_key="calls", declare=[queue])
    message = queue(connection.default_channel).get(no_ack=False)
    assert message is not None
    return message


def test_a_channel_that_is_closed_after_its_connection(redis_url: str, *, ours: bool) -> None:
    connection = kombu.Connection(redis_url)
    message_in_hand(connection)
    # What `collect` is left with where closing the channel took too long.
    connection._do_close_transport()
    if not ours:
        with pytest.raises(AttributeError):
            connection.close()
        return
    connection.close()
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.hlen("unacked") == 1  # it comes back later


def test_a_message_that_is_acknowledged_after_its_connection(
    redis_url: str, caplog: pytest.LogCaptureFixture, *, ours: bool
) -> None:
    connection = kombu.Connection(redis_url)
    message = message_in_hand(connection)
    connection.close()
    channel: Any = message.channel
    channel._disconnect_pools()  # as where nothing could be given back
    if not ours:
        with pytest.raises(AttributeError):
            message.ack_log_error(log, connection.connection_errors)
        return
    message.ack_log_error(log, connection.connection_errors)
    assert "Couldn't ack" in caplog.text
