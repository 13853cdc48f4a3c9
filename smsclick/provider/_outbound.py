"""Ask for one address outside, the way the provider is reached: through the company's proxy, within one deadline."""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from typing import Final

import requests

from smsclick.errors import SettingsError
from smsclick.provider._http import request
from smsclick.provider._http.transport import Transport
from smsclick.provider.results import TransportFailure

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
_BODY_BYTES: Final = 64 * 1024


def fetch(url: str, *, proxy: str | None = None, ca_bundle: str | None = None) -> str | None:
    """Ask for an address (GET) once; takes `CONNECT_SECONDS + ANSWER_SECONDS` at most. No redirect is followed.

    Args:
        url: Its path and query may hold a secret: neither the result nor a log line has any part of it.
        proxy: As `SMSCLICK_PROXY`.
        ca_bundle: As `SMSCLICK_CA_BUNDLE`.

    Returns:
        None where it was answered with 2xx; else why not, in a few words.
    """
    asked = None
    with contextlib.suppress(ValueError, requests.RequestException):
        headers = {"Accept": "*/*", "User-Agent": f"smsclick/{version('smsclick')}"}
        asked = requests.Request("GET", url, headers=headers).prepare()
    if asked is None:
        return "the address cannot be used"
    try:
        trusted, proxies = request.trusted(url, ca_bundle), request.proxies(url, proxy)
    except SettingsError:
        return "SMSCLICK_CA_BUNDLE cannot be used, or the address has no TLS for the tunnel of SMSCLICK_PROXY"
    transport = Transport((CONNECT_SECONDS, ANSWER_SECONDS), 0.0, 1, trusted, proxies)
    try:
        answer = transport.post(asked, _BODY_BYTES)
    finally:
        transport.close()
    if isinstance(answer, TransportFailure):
        return str(answer.kind)
    return None if 200 <= answer.status < 300 else f"HTTP {answer.status}"
