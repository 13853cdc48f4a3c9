"""The broker's address, parsed into its parts."""

from __future__ import annotations

import ssl

import kombu
import pytest

from smsclick._broker.address import parse_broker


def test_sentinels_each_know_what_one_of_them_says() -> None:
    found = parse_broker("sentinel://:pass@h1:26379/3;sentinel://h2:26380/0?master_name=mine&sentinel_password=guard")
    assert found.url == "sentinel://:pass@h1:26379/3;sentinel://:pass@h2:26380/3"
    assert found.options["master_name"] == "mine"
    assert found.options["sentinel_kwargs"]["password"] == "guard"
    assert found.options["sentinel_kwargs"]["retry"] is None  # a dead Sentinel costs no repeats: the next one is asked
    assert found.is_redis
    connection = kombu.Connection(found.url, transport_options=found.transport_options(1))
    assert (connection.hostname, connection.port, connection.virtual_host) == ("h1", 26379, "3")


def test_one_sentinel_is_enough() -> None:
    assert parse_broker("sentinel://h1:26379?master_name=mine").url == "sentinel://h1:26379/0"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sentinel://h1:26379/0", "master_name"),
        ("sentinel://h1:26379/0;redis://h2/0?master_name=x", "each Sentinel in full"),
        ("sentinel://h1:26379/0?master_name=x&s3cret=y", "not 1 other"),
        ("redis://:s3cret@h:port/0", "cannot be read"),
        ("redis://:s3cr#et@h/0", "cannot be read"),
        ("redis://:s3cret@h/0?ssl_ca_certs=/ca.pem", "begin it with rediss"),
        ("amqp://u:s3cret@h?verify=verify_peer", "begin it with rediss"),
        ("amqps://u:s3cret@h;amqps://h2", "several hosts"),
        ("amqps://u:s3cret@h;amqp://h2", "hosts without"),
        ("rediss://:s3cret@h/0?ssl_cert_reqs=perhaps", "ssl_cert_reqs"),
        ("rediss://:s3cret@h/0?ssl_check_hostname=perhaps", "ssl_check_hostname"),
        ("rediss://:s3cret@h/0?ssl_version=3", "does not know ssl_version"),
        ("sentinel://:s3cret@h/0?master_name=x&ssl=perhaps", "ssl="),
        ("sentinel://:s3cret@h/0?master_name=x&ssl=false&ssl_ca_certs=/ca.pem", "ssl=false"),
        ("kafka://s3cret", "must be a Redis or RabbitMQ URL"),
    ],
)
def test_what_cannot_be_used_is_said_without_the_address(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        parse_broker(url)
    assert "s3cr" not in str(refused.value)


def test_tls_is_verified_unless_the_url_says_otherwise() -> None:
    assert parse_broker("rediss://h/0").tls == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    assert parse_broker("redis://h/0").tls is None
    assert parse_broker("amqp://h").tls is None
    assert parse_broker("amqps://Broker.example.com/v").tls == {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": "broker.example.com",
    }
    assert parse_broker("sentinel://h/0?master_name=m").tls is None
    sentinels = parse_broker("sentinel://h/0?master_name=m&ssl=true")
    assert sentinels.tls == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    assert sentinels.options["sentinel_kwargs"]["ssl"] is True
    assert sentinels.options["sentinel_kwargs"]["ssl_cert_reqs"] is ssl.CERT_REQUIRED


@pytest.mark.parametrize("word", ["none", "CERT_NONE", "None"])
def test_tls_is_not_verified_where_the_url_says_so(word: str) -> None:
    unverified = {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False}
    for url in ("rediss://h/0?ssl_cert_reqs=", "sentinel://h/0?master_name=m&ssl_cert_reqs="):
        found = parse_broker(url + word)
        assert found.tls == unverified
        assert "?" not in found.url
        assert found.secured is not None
        assert found.secured.unverified
    assert parse_broker("amqps://h?verify=verify_none").tls == {"cert_reqs": ssl.CERT_NONE}


def test_several_hosts_are_verified_as_the_first_says() -> None:
    assert parse_broker("rediss://h/0;rediss://h2/0").tls == {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
    }
    found = parse_broker("amqps://h?ssl_check_hostname=false;amqps://h2")
    assert (found.url, found.tls) == ("amqps://h;amqps://h2", {"cert_reqs": ssl.CERT_REQUIRED})


def test_files_of_the_url_reach_kombu_in_its_words_and_other_parameters_stay() -> None:
    files = "ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&ssl_check_hostname=false"
    assert parse_broker(f"rediss://:p%40ss@h/0?{files}&client_name=x").url == "rediss://:p%40ss@h/0?client_name=x"
    assert parse_broker(f"rediss://h/0?{files}").tls == {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": False,
        "ssl_ca_certs": "/ca.pem",
        "ssl_certfile": "/c.pem",
        "ssl_keyfile": "/k.pem",
    }
    assert parse_broker("amqps://h?cacertfile=/ca.pem&certfile=/c.pem&keyfile=/k.pem").tls == {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": "h",
        "ca_certs": "/ca.pem",
        "certfile": "/c.pem",
        "keyfile": "/k.pem",
    }


def test_an_address_is_shown_without_its_secrets() -> None:
    assert parse_broker("amqp://user:s3cret@h:5672/vhost").places == "amqp://h:5672"
    assert (
        parse_broker("sentinel://:s3cret@h1:1/0;sentinel://h2:2/0?master_name=x").places
        == "sentinel://h1:1;sentinel://h2:2"
    )
    assert "s3cret" not in repr(parse_broker("redis://:s3cret@h/0"))
