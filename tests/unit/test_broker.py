"""The broker's address, taken apart."""

from __future__ import annotations

import ssl

import kombu
import pytest

from smsclick.broker import parse


def test_sentinels_each_know_what_one_of_them_says() -> None:
    found = parse("sentinel://:pass@h1:26379/3;sentinel://h2:26380/0?master_name=mine&sentinel_password=guard")
    assert found.url == "sentinel://:pass@h1:26379/3;sentinel://:pass@h2:26380/3"
    assert found.options["master_name"] == "mine"
    assert found.options["sentinel_kwargs"]["password"] == "guard"
    assert found.is_redis
    connection = kombu.Connection(found.url, transport_options=found.transport_options(1))
    assert (connection.hostname, connection.port, connection.virtual_host) == ("h1", 26379, "3")


def test_one_sentinel_is_enough() -> None:
    assert parse("sentinel://h1:26379?master_name=mine").url == "sentinel://h1:26379/0"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sentinel://h1:26379/0", "master_name"),
        ("sentinel://h1:26379/0;redis://h2/0?master_name=x", "each Sentinel in full"),
        ("sentinel://h1:26379/0?master_name=x&s3cret=y", "not 1 other"),
        ("redis://:s3cret@h:port/0", "cannot be read"),
        ("redis://:s3cr#et@h/0", "cannot be read"),
        ("kafka://s3cret", "must be a Redis or RabbitMQ URL"),
    ],
)
def test_what_cannot_be_used_is_said_without_the_address(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        parse(url)
    assert "s3cr" not in str(refused.value)


def test_tls_is_verified_unless_the_url_says_otherwise() -> None:
    assert parse("rediss://h/0").tls == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    assert parse("rediss://h/0?ssl_cert_reqs=none").tls is None
    assert parse("redis://h/0").tls is None


def test_an_address_is_shown_without_its_secrets() -> None:
    assert parse("amqp://user:s3cret@h:5672/vhost").places == "amqp://h:5672"
    assert (
        parse("sentinel://:s3cret@h1:1/0;sentinel://h2:2/0?master_name=x").places == "sentinel://h1:1;sentinel://h2:2"
    )
    assert "s3cret" not in repr(parse("redis://:s3cret@h/0"))
