"""The broker's address: what CELERY_BROKER_URL may look like, and what kombu needs to be told beside it.

`sentinel://[:password@]h1:26379/0;sentinel://h2:26379/0?master_name=NAME[&sentinel_password=…]`: kombu takes several
addresses of Sentinels but nothing behind `?` of theirs, and after a failure only what stands in the next of them.
`rediss://` is verified unless the URL says otherwise, where kombu would take any certificate.
"""

import dataclasses
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

SCHEMES: Final = ("redis://", "rediss://", "amqp://", "amqps://", "pyamqp://", "sentinel://", "memory://")
_SENTINEL_SECONDS: Final = 2
"""For an answer of one Sentinel; then the next is asked."""

_OF_SENTINEL: Final = {"master_name", "sentinel_password", "sentinel_username"}


@dataclasses.dataclass(frozen=True, slots=True)
class Broker:
    """A broker's address in kombu's words.

    Attributes:
        url: the address, which holds secrets.
        options: transport options that belong to the address.
        tls: for kombu's argument `ssl`; None leaves it to the URL.
    """

    url: str = dataclasses.field(repr=False)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    tls: Mapping[str, Any] | None = None

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


def parse(url: str) -> Broker:
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
    if url.startswith("rediss://") and "ssl_cert_reqs" not in dict(parse_qsl(parts[0].query)):
        return Broker(url, tls={"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True})
    return Broker(url)


def _sentinels(parts: list[SplitResult]) -> Broker:
    if any(part.scheme != "sentinel" or not part.hostname for part in parts):
        raise ValueError("must name each Sentinel in full, separated by semicolons")
    query = {name: value for part in parts for name, value in parse_qsl(part.query)}
    if unknown := set(query) - _OF_SENTINEL:
        raise ValueError(f"takes {', '.join(sorted(_OF_SENTINEL))} behind the ?, not {len(unknown)} other")
    if not query.get("master_name"):
        raise ValueError("must say which group of the Sentinels is meant: ?master_name=NAME")
    # What one of them says of Redis' user, password and database holds for all: kombu reads the one it is at.
    user = next((part.netloc.rpartition("@")[0] for part in parts if "@" in part.netloc), "")
    path = next((part.path for part in parts if part.path.strip("/")), "/0")
    hosts = (part.netloc.rpartition("@")[2] for part in parts)
    url = ";".join(f"sentinel://{user}{'@' * bool(user)}{host}{path}" for host in hosts)
    login = {name.removeprefix("sentinel_"): value for name, value in query.items() if name != "master_name"}
    patience = {"socket_timeout": _SENTINEL_SECONDS, "socket_connect_timeout": _SENTINEL_SECONDS}
    return Broker(url, {"master_name": query["master_name"], "sentinel_kwargs": {**patience, **login}})


def _place(part: SplitResult) -> str:
    port = f":{part.port}" if part.port else ""
    return f"{part.scheme}://{part.hostname or ''}{port}"
