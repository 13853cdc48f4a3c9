"""`CELERY_BROKER_URL`, checked before kombu sees it.

For an unknown parameter or database kombu raises a traceback at the first connection, and a worker tries again
forever.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from smsclick._net import urls
from smsclick._net.hosts import check_host

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUTH: Final = "true|false"
_SSL: Final[Mapping[str, str]] = {
    "ssl_cert_reqs": "none|optional|required|CERT_NONE|CERT_OPTIONAL|CERT_REQUIRED",
    "ssl_check_hostname": _TRUTH,
}
_FILES: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_RABBITMQS_VERIFY: Final = {"verify": "verify_none|verify_peer"}
_RABBITMQS_FILES: Final = frozenset({"cacertfile", "certfile", "keyfile"})
_OF_RABBITMQ: Final[Mapping[str, str]] = {
    "heartbeat": r"\d{1,5}",
    "connect_timeout": r"\d{1,5}(\.\d{1,3})?",
    "login_method": "[A-Z-]{1,20}",
}
_OF_SENTINEL: Final = {"master_name": "[^\\s]{1,100}", "sentinel_password": ".*", "sentinel_username": ".*"}
_OF_SENTINEL_TLS: Final = {"ssl": _TRUTH, **_SSL}
_PARAMETERS: Final[Mapping[str, Mapping[str, str]]] = {
    "redis": {},
    "rediss": _SSL,
    "amqp": _OF_RABBITMQ,
    "pyamqp": _OF_RABBITMQ,
    "amqps": {**_OF_RABBITMQ, **_SSL, **_RABBITMQS_VERIFY},
    "sentinel": {**_OF_SENTINEL, **_OF_SENTINEL_TLS},
}
_WITH_TLS: Final = {
    "rediss": _FILES,
    "amqps": _FILES | _RABBITMQS_FILES,
    "sentinel": _FILES,
}
_OURS: Final = frozenset(
    {
        "socket_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "health_check_interval",
        "retry_on_timeout",
        "max_connections",
        "visibility_timeout",
        "connection_attempts",
        "retry_delay",
        "decode_responses",
        "protocol",
    }
)


def normalized(url: str) -> str:
    """Return a broker's address with its scheme in small letters and without empty parts.

    Raises:
        ValueError: the address cannot be used; one line says which part, and shows nothing that may be a secret.
    """
    if re.search(r"[\x00-\x20\x7f]", url.replace("; ", ";")):
        raise ValueError("holds blanks or line breaks: write a blank of a password as %20")
    if "${" in url:
        raise ValueError("holds ${…}, which nothing has replaced by a value")
    parts = [_part(each) for each in url.replace("; ", ";").split(";") if each]
    if len({_kind(part) for part in parts}) > 1:
        raise ValueError("names brokers of several kinds: write the addresses of one, separated by semicolons")
    return ";".join(parts)


def _kind(part: str) -> str:
    return part.partition("://")[0].removeprefix("py").replace("rediss", "redis").replace("amqps", "amqp")


def _part(part: str) -> str:
    scheme, colon, rest = part.partition("://")
    scheme = scheme.lower()
    if not colon or scheme not in {*_PARAMETERS, "memory"}:
        raise ValueError("must be a Redis or RabbitMQ URL")
    part = f"{scheme}://{rest}"
    if scheme == "memory":
        return part
    authority = re.match(r"[^/?#]*", rest)[0]  # type: ignore[index]  # it matches nothing too
    if "#" in rest or ("@" in rest and "@" not in authority and scheme != "sentinel"):
        raise ValueError(urls.AMBIGUOUS)
    urls.check(part)
    place = authority.rpartition("@")[2]
    if "," in place:
        raise ValueError("names several hosts in one address: write whole addresses, separated by semicolons")
    check_host(place)
    split = urlsplit(part)
    if scheme in {"redis", "rediss", "sentinel"} and not re.fullmatch(r"(/(\d{1,5})?)?", split.path):
        raise ValueError("names a database of Redis that cannot be one: write its number, like /0, behind the host")
    _check_parameters(scheme, split.query)
    return part


def _check_parameters(scheme: str, query: str) -> None:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _WITH_TLS.get(scheme, ()):
            if not os.access(value, os.R_OK):
                raise ValueError(f"names a file with {name} that cannot be read")
        elif name in _PARAMETERS[scheme]:
            if not re.fullmatch(_PARAMETERS[scheme][name], value):
                raise ValueError(f"has a value that {name} cannot have")
        else:
            raise ValueError(_unknown(scheme, name))


def _unknown(scheme: str, name: str) -> str:
    shown = name if re.fullmatch(r"[A-Za-z_][\w.-]{0,40}", name) else "one"
    if name == "db":
        return "has the parameter db: write the database's number behind the host, like /0"
    if name == "ssl":
        return "has the parameter ssl: write rediss:// or amqps://, which verify the certificate"
    if name in _SSL or name in _FILES:
        return f"has the parameter {shown}, which only rediss:// and amqps:// take"
    if name in _OURS:
        return f"has the parameter {shown}, which smsclick decides itself: leave it out"
    return f"has a parameter that {scheme}:// does not take: {shown}"
