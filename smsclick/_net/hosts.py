"""Checks the host of an address, because libraries fail on an impossible one with errors that nobody understands."""

from __future__ import annotations

import re
from typing import Final

from smsclick._net import urls

_LABEL: Final = r"[\w-]{1,63}"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?|(?=.*:)[0-9A-Fa-f:.]+(?:%\w+)?|[/@].+")


def check_host(place: str) -> None:
    """Check a host with its port, or the path of a socket.

    Args:
        place: Like `db.example.com:5432`, `[::1]:6379` or `/var/run/x`. An empty one is allowed: it means the library's
            default.

    Raises:
        ValueError: It cannot be used; the text shows nothing of it.
    """
    host, colon, port = place.rpartition(":")
    if place.startswith(("/", "@")) or not colon or not (host.endswith("]") or ":" not in host):
        host, port = place, ""
    host = host.strip("[]")
    if host and not _HOST.fullmatch(host):
        raise ValueError("names a host that cannot be one")
    if port and not (port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError(f"has no readable port: {urls.ENCODE}")
