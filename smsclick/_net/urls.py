"""URLs that contain secrets: whether they can be split into parts in one way only, and what of them may be shown."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
_AUTHORITY: Final = re.compile(r"[^/?#]*")
ENCODE: Final = "write the signs @ : / ? # of a user or password as %40 %3A %2F %3F %23"
AMBIGUOUS: Final = f"can be split into its parts in several ways: {ENCODE}"


def scheme_of(url: str) -> str:
    """Return what may be shown of a URL that cannot be used: its scheme, like `redis://…`.

    Args:
        url: Anything.
    """
    match = _SCHEME.match(url.strip())
    return f"{match[1]}://…" if match else "…"


def check(url: str) -> None:
    """Refuse a URL that can be split in several ways: a part of its password could be shown as its host.

    Args:
        url: With a scheme.

    Raises:
        ValueError: It can; one line without any part of the URL.
    """
    match = _SCHEME.match(url)
    if match is None:
        raise ValueError("must be a URL")
    rest = url[match.end() :]
    authority = _AUTHORITY.match(rest)[0]  # type: ignore[index]  # it matches nothing too
    path = rest[len(authority) :].partition("?")[0]
    if authority.count("@") > 1 or "@" in path:
        raise ValueError(AMBIGUOUS)
    host = authority.rpartition("@")[2]
    if "," in host:
        return  # several hosts, which the driver separates
    try:
        urlsplit(f"x://{host}").port  # noqa: B018 - raises
    except ValueError:
        raise ValueError(f"has no readable port: {ENCODE}") from None


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def place(url: str) -> str:
    """Return the parts of an address that contain no secret: scheme, host and port."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"
