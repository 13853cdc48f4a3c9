"""CELERY_BROKER_URL as people write it: accepted as it was meant, or refused in one line that names the part."""

from __future__ import annotations

import itertools

import kombu
import pytest

from smsclick.errors import SettingsError
from smsclick.settings import load_settings

MARK = "tezontle8a5c"

ACCEPTED = [
    "redis://127.0.0.1",
    "redis://:{m}@127.0.0.1:6379/0",
    "redis://u:{m}@[::1]:6379/15",
    "REDIS://127.0.0.1/1",
    "rediss://:{m}@h:6380/0?ssl_cert_reqs=required",
    "rediss://:{m}@h:6380/0?ssl_cert_reqs=CERT_NONE&ssl_check_hostname=false",
    "amqp://u:{m}@h",
    "amqp://u:{m}@h:5672/%2Fshop",
    "amqp://u:{m}@h/vh?heartbeat=30&connect_timeout=2.5",
    "pyamqp://u:{m}@h//",
    "amqps://u:{m}@h:5671/vh",
    "redis://:{m}@h1:6379/0;redis://:{m}@h2:6379/0",
    "amqp://u:{m}@h1; amqp://u:{m}@h2;",
    "sentinel://:{m}@h1:26379/0;sentinel://h2:26379/0?master_name=main&sentinel_password={m}",
    "sentinel://:{m}@h1:26379/0?master_name=main&ssl=true&ssl_check_hostname=false",
    "amqps://u:{m}@h:5671/vh?verify=verify_none",
    "memory://localhost",
]


@pytest.mark.parametrize("url", ACCEPTED)
def test_a_url_that_kombu_can_use_is_accepted(url: str) -> None:
    broker = load_settings(CELERY_BROKER_URL=url.format(m=MARK)).broker
    made = kombu.Connection(broker.url, transport_options=dict(broker.options))
    assert MARK not in broker.places
    assert made.transport_cls in {"redis", "rediss", "amqp", "amqps", "pyamqp", "sentinel", "memory"}


SCHEMES = {
    "redis": ["redis://:{m}@h/0", "redis://:{m}@h1/0;redis://:{m}@h2/0"],
    "rediss": ["rediss://:{m}@h/0"],
    "amqp": ["amqp://u:{m}@h/vh", "pyamqp://u:{m}@h/vh"],
    "amqps": ["amqps://u:{m}@h/vh"],
    "sentinel": ["sentinel://:{m}@h:26379/0?master_name=main"],
}
PARAMETERS = [
    *("foo={m}", "{m}=1", "a%20b={m}", "db=3", "ssl=true", "ssl=%7B%22{m}%22%3A1%7D", "password={m}", "userid={m}"),
    *(
        "socket_timeout={m}",
        "health_check_interval=5",
        "visibility_timeout=3600",
        "connection_attempts=3",
        "protocol=3",
    ),
    *("credential_provider=os.{m}", "virtual_host={m}", "transport={m}", "ssl_cert_reqs={m}", "ssl_check_hostname={m}"),
    *("ssl_ca_certs=/nowhere/{m}", "ssl_keyfile=/nowhere/{m}", "heartbeat={m}", "connect_timeout=-{m}"),
]


@pytest.mark.parametrize("kind", SCHEMES)
def test_every_scheme_with_every_bad_parameter(kind: str) -> None:
    for url, parameter in itertools.product(SCHEMES[kind], PARAMETERS):
        if (kind, parameter) == ("sentinel", "ssl=true"):
            continue  # the one scheme without a form of its own for TLS
        text = f"{url}{'&' if '?' in url else '?'}{parameter}".format(m=MARK)
        with pytest.raises(SettingsError) as refused:
            load_settings(CELERY_BROKER_URL=text)
        line = str(refused.value)
        assert line.startswith("CELERY_BROKER_URL: "), text
        assert "\n" not in line
        if parameter != "{m}=1":
            assert MARK not in line, text


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("{m}", "must be a Redis or RabbitMQ URL"),
        ("kafka://:{m}@h/0", "must be a Redis or RabbitMQ URL"),
        ("redis+socket:///run/{m}", "must be a Redis or RabbitMQ URL"),
        ("redis://:{m}@h/{m}", "database of Redis"),
        ("redis://:{m}@h/-1", "database of Redis"),
        ("redis://:{m}@h/0#x", "several ways"),
        ("redis://:{m} x@h/0", "blanks"),
        ("redis://:{m}@h/0\nredis://h", "blanks"),
        ("redis://:${{PASSWORD}}{m}@h/0", "nothing has replaced"),
        ("redis://:{m}@h1,h2/0", "several hosts"),
        ("redis://:{m}@a..b/0", "host"),
        ("redis://:{m}@<host>/0", "host"),
        ("redis://:{m}@h:0x/0", "port"),
        ("amqp://u:{m}@h:99999/vh", "port"),
        ("redis://:{m}@h/0;amqp://u:{m}@h", "several kinds"),
        ("sentinel://:{m}@h:26379/0", "master_name"),
        ("amqp://12?{m}=x@h/vh", "several ways"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_part(url: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(CELERY_BROKER_URL=url.format(m=MARK))
    line = str(refused.value)
    assert says in line
    assert MARK not in line
    assert "\n" not in line
