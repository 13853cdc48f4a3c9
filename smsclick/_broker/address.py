"""The broker's address: the forms that CELERY_BROKER_URL may have, and the options that kombu needs beside it.

`sentinel://[:password@]h1:26379/0;sentinel://h2:26379/0?master_name=NAME[&sentinel_password=…]`: kombu accepts
several addresses of Sentinels but no parameters, and after a failure it reads only the next address. `&ssl=true` is TLS
to the Sentinels and to Redis. `smsclick._broker.tls` has the other parameters of TLS.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from smsclick._broker.tls import Tls, split_tls, switch

SCHEMES: Final = ("redis://", "rediss://", "amqp://", "amqps://", "pyamqp://", "sentinel://", "memory://")
_SENTINEL_SECONDS: Final = 2
"""How long one Sentinel may take to answer; then the next one is asked."""

_SECURED: Final = frozenset({"rediss", "amqps"})
_OF_SENTINEL: Final = {"master_name", "sentinel_password", "sentinel_username"}


@dataclasses.dataclass(frozen=True, slots=True)
class Broker:
    """A broker's address as kombu needs it.

    Attributes:
        url: the address, which may contain secrets.
        options: transport options that belong to the address.
        tls: the value of kombu's argument `ssl`; None is no TLS.
        secured: how TLS verifies the broker; None is no TLS.
    """

    url: str = dataclasses.field(repr=False)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    tls: Mapping[str, Any] | None = None
    secured: Tls | None = None

    @property
    def is_redis(self) -> bool:
        """Return whether the broker is Redis, also behind Sentinels."""
        return self.url.startswith(("redis", "sentinel"))

    @property
    def is_embedded(self) -> bool:
        """Return whether there is no broker outside this process."""
        return not self.url or self.url.startswith("memory://")

    @property
    def places(self) -> str:
        """Return the address without the parts that may be a secret."""
        return ";".join(_place(urlsplit(part)) for part in self.url.split(";"))

    def transport_options(self, seconds: float) -> dict[str, Any]:
        """Return the options with which kombu's transport waits at most so many seconds for each answer."""
        if self.is_redis:
            own: dict[str, Any] = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        else:
            own = {"confirm_publish": True, "read_timeout": seconds, "write_timeout": seconds}
        return {**own, **self.options}


def parse_broker(url: str) -> Broker:
    """Take a broker's address apart.

    Raises:
        ValueError: the address cannot be used; the text shows nothing of it.
    """
    if url and not url.startswith(SCHEMES):
        raise ValueError("must be a Redis or RabbitMQ URL")
    try:
        parts = [urlsplit(part.strip()) for part in url.split(";")]
        for part in parts:
            part.port  # noqa: B018 - raises where it is no number
    except ValueError:
        raise ValueError(
            "cannot be read; write what is special in user or password as %40 (@), %2F (/), %23 (#)"
        ) from None
    if url.startswith("sentinel://"):
        return _sentinels(parts)
    return _with_tls(url, parts)


def _with_tls(url: str, parts: list[SplitResult]) -> Broker:
    """Verify all addresses as the first one that says something of TLS."""
    read = [split_tls(parse_qsl(part.query)) for part in parts]
    tls = next((each for each, _ in read if each is not None), None)
    if not any(part.scheme in _SECURED for part in parts):
        if tls is not None:
            raise ValueError("says how to verify TLS, but has none: begin it with rediss:// or amqps://")
        return Broker(url)
    if any(part.scheme != parts[0].scheme for part in parts):
        raise ValueError("has hosts with TLS and hosts without")
    if tls is not None:
        url = ";".join(
            part._replace(query=urlencode(rest)).geturl() for part, (_, rest) in zip(parts, read, strict=True)
        )
    tls = tls or Tls()
    if parts[0].scheme == "rediss":
        return Broker(url, tls=tls.for_redis(), secured=tls)
    if len(parts) > 1 and tls.verify and tls.names:
        raise ValueError(
            "has several hosts, of which kombu verifies only one's name: name one, or add ?ssl_check_hostname=false"
        )
    # The name as it is written, because kombu changes localhost to an address.
    return Broker(url, tls=tls.for_amqp(unquote(parts[0].hostname or "")), secured=tls)


def _sentinels(parts: list[SplitResult]) -> Broker:
    if any(part.scheme != "sentinel" or not part.hostname for part in parts):
        raise ValueError("must name each Sentinel in full, separated by semicolons")
    query = {name: value for part in parts for name, value in parse_qsl(part.query)}
    tls, rest = split_tls(list(query.items()))
    query = dict(rest)
    if switch(query.pop("ssl", "true" if tls else "false")):
        tls = tls or Tls()
    elif tls is not None:
        raise ValueError("says how to verify TLS, but has ssl=false")
    if unknown := set(query) - _OF_SENTINEL:
        raise ValueError(f"takes {', '.join(sorted({*_OF_SENTINEL, 'ssl'}))} behind the ?, not {len(unknown)} other")
    if not query.get("master_name"):
        raise ValueError("must say which group of the Sentinels is meant: ?master_name=NAME")
    # User, password and database of one address hold for all: kombu reads only the address that it uses now.
    user = next((part.netloc.rpartition("@")[0] for part in parts if "@" in part.netloc), "")
    path = next((part.path for part in parts if part.path.strip("/")), "/0")
    hosts = (part.netloc.rpartition("@")[2] for part in parts)
    url = ";".join(f"sentinel://{user}{'@' * bool(user)}{host}{path}" for host in hosts)
    login = {name.removeprefix("sentinel_"): value for name, value in query.items() if name != "master_name"}
    # Without `retry`, redis-py asks a dead Sentinel for some four seconds before it asks the next one.
    patience = {"socket_timeout": _SENTINEL_SECONDS, "socket_connect_timeout": _SENTINEL_SECONDS, "retry": None}
    asked: dict[str, Any] = {**patience, **login}
    if tls is not None:
        asked |= {"ssl": True, **tls.for_redis()}
    options = {"master_name": query["master_name"], "sentinel_kwargs": asked}
    return Broker(url, options, tls=None if tls is None else tls.for_redis(), secured=tls)


def _place(part: SplitResult) -> str:
    port = f":{part.port}" if part.port else ""
    return f"{part.scheme}://{part.hostname or ''}{port}"
