"""The broker's address: what CELERY_BROKER_URL may look like, and what kombu needs to be told beside it.

`sentinel://[:password@]h1:26379/0;sentinel://h2:26379/0?master_name=NAME[&sentinel_password=…]`: kombu takes several
addresses of Sentinels but nothing behind `?` of theirs, and after a failure only what stands in the next of them.
`&ssl=true` is TLS to the Sentinels and to Redis. What else is said of TLS: `smsclick._broker.tls`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from smsclick._broker.tls import Tls, switch, take

SCHEMES: Final = ("redis://", "rediss://", "amqp://", "amqps://", "pyamqp://", "sentinel://", "memory://")
_SENTINEL_SECONDS: Final = 2
"""For an answer of one Sentinel; then the next is asked."""

_SECURED: Final = frozenset({"rediss", "amqps"})
_OF_SENTINEL: Final = {"master_name", "sentinel_password", "sentinel_username"}


@dataclasses.dataclass(frozen=True, slots=True)
class Broker:
    """A broker's address in kombu's words.

    Attributes:
        url: the address, which holds secrets.
        options: transport options that belong to the address.
        tls: for kombu's argument `ssl`; None: no TLS.
        secured: how that verifies; None: no TLS.
    """

    url: str = dataclasses.field(repr=False)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    tls: Mapping[str, Any] | None = None
    secured: Tls | None = None

    @property
    def is_redis(self) -> bool:
        """Whether Redis' protocol is spoken."""
        return self.url.startswith(("redis", "sentinel"))

    @property
    def is_embedded(self) -> bool:
        """Whether there is none outside this process."""
        return not self.url or self.url.startswith("memory://")

    @property
    def places(self) -> str:
        """The address without anything that could be a secret."""
        return ";".join(_place(urlsplit(part)) for part in self.url.split(";"))

    def transport_options(self, seconds: float) -> dict[str, Any]:
        """What kombu's transport is told so that it waits no longer than so many seconds for anything."""
        if self.is_redis:
            own: dict[str, Any] = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        else:
            own = {"confirm_publish": True, "read_timeout": seconds, "write_timeout": seconds}
        return {**own, **self.options}


def parse_broker(url: str) -> Broker:
    """Take a broker's address apart.

    Raises:
        ValueError: it cannot be used; the text shows nothing of it.
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
    """The first of several addresses says how all are verified."""
    taken = [take(parse_qsl(part.query)) for part in parts]
    tls = next((each for each, _ in taken if each is not None), None)
    if not any(part.scheme in _SECURED for part in parts):
        if tls is not None:
            raise ValueError("says how to verify TLS, but has none: begin it with rediss:// or amqps://")
        return Broker(url)
    if any(part.scheme != parts[0].scheme for part in parts):
        raise ValueError("has hosts with TLS and hosts without")
    if tls is not None:
        url = ";".join(
            part._replace(query=urlencode(rest)).geturl() for part, (_, rest) in zip(parts, taken, strict=True)
        )
    tls = tls or Tls()
    if parts[0].scheme == "rediss":
        return Broker(url, tls=tls.for_redis(), secured=tls)
    if len(parts) > 1 and tls.verify and tls.names:
        raise ValueError(
            "has several hosts, of which kombu verifies only one's name: name one, or add ?ssl_check_hostname=false"
        )
    # Its name as it is written: kombu turns localhost into an address.
    return Broker(url, tls=tls.for_amqp(unquote(parts[0].hostname or "")), secured=tls)


def _sentinels(parts: list[SplitResult]) -> Broker:
    if any(part.scheme != "sentinel" or not part.hostname for part in parts):
        raise ValueError("must name each Sentinel in full, separated by semicolons")
    query = {name: value for part in parts for name, value in parse_qsl(part.query)}
    tls, rest = take(list(query.items()))
    query = dict(rest)
    if switch(query.pop("ssl", "true" if tls else "false")):
        tls = tls or Tls()
    elif tls is not None:
        raise ValueError("says how to verify TLS, but has ssl=false")
    if unknown := set(query) - _OF_SENTINEL:
        raise ValueError(f"takes {', '.join(sorted({*_OF_SENTINEL, 'ssl'}))} behind the ?, not {len(unknown)} other")
    if not query.get("master_name"):
        raise ValueError("must say which group of the Sentinels is meant: ?master_name=NAME")
    # What one of them says of Redis' user, password and database holds for all: kombu reads the one it is at.
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
