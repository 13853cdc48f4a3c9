"""URLs with secrets in them: whether they can be taken apart without doubt, and what of them may be shown."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
_AUTHORITY: Final = re.compile(r"[^/?#]*")
ENCODE: Final = "write the signs @ : / ? # of a user or password as %40 %3A %2F %3F %23"


def scheme_of(url: str) -> str:
    """Return what may be shown of a URL that cannot be used: its scheme, like `redis://…`."""
    match = _SCHEME.match(url.strip())
    return f"{match[1]}://…" if match else "…"


def check(url: str) -> None:
    """Raise where a URL can be taken apart in several ways, so that a part of a password would count as a host.

    Raises:
        ValueError: One line without any part of the URL.
    """
    match = _SCHEME.match(url)
    if match is None:
        raise ValueError("must be a URL")
    rest = url[match.end() :]
    authority = _AUTHORITY.match(rest)[0]  # type: ignore[index]  # it matches nothing too
    path = rest[len(authority) :].partition("?")[0]
    if authority.count("@") > 1 or "@" in path:
        raise ValueError(f"cannot be taken apart: {ENCODE}")
    host = authority.rpartition("@")[2]
    if "," in host:
        return  # several hosts, which the driver takes apart
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
    """Return of an address only what holds no secret: scheme, host and port."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"
