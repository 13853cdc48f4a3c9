"""A request is made once and ends as a value, as in `_http.transport`, but without a thread for each call."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter

from smsclick.provider._async_http.connecting import Connector, Place, Proxy
from smsclick.provider._async_http.pool import Pool
from smsclick.provider._http.call_record import Departure
from smsclick.provider._http.failure_reasons import TRANSPORT_ERRORS, failure_of

if TYPE_CHECKING:
    import ssl

    import requests

    from smsclick.provider.results import HttpAnswer, TransportFailure

_PORTS: Final = {"http": 80, "https": 443}


def head_of(blank: requests.PreparedRequest) -> bytes:
    """Return the head of a request, up to the value of its last header, `Content-Length`.

    Args:
        blank: As `_http.request.template` makes it.
    """
    place = _place(str(blank.url))
    host = f"[{place.host}]" if ":" in place.host else place.host
    if place.port != _PORTS["https" if place.tls else "http"]:
        host = f"{host}:{place.port}"
    headers = {"Host": host} | {name: value for name, value in blank.headers.items() if name != "Content-Length"}
    lines = [f"POST {blank.path_url} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\nContent-Length: ").encode("latin-1")


class AsyncTransport:
    """The provider's connections, for the calls of one event loop.

    Args:
        url: Of the provider.
        timeouts: Seconds for the connection, and for the request with its whole answer.
        max_idle: Seconds after which an idle connection is not used again.
        connections: At most so many are open.
        trusted: Verifies the provider, and a proxy with TLS; None where neither has TLS.
        proxy: Of whom a tunnel is asked; None: none.
    """

    def __init__(
        self,
        url: str,
        timeouts: tuple[float, float],
        max_idle: float,
        connections: int,
        trusted: ssl.SSLContext | None,
        proxy: str | None,
    ) -> None:
        connect_timeout, self._read_timeout = timeouts
        self._max_idle = max_idle
        before = None if proxy is None else Proxy(_place(proxy), HTTPAdapter().proxy_headers(proxy))
        self._connector = Connector(_place(url), before, trusted, connect_timeout)
        self._pool = Pool(self._connector.connect, connections, connect_timeout)

    def close(self) -> None:
        """Close the idle connections. Calls in progress finish."""
        self._pool.close()

    async def post(
        self, request: bytes, limit: int, *, not_after: float | None = None
    ) -> HttpAnswer | TransportFailure:
        """Make a call and read its whole answer.

        Args:
            request: Head and body.
            limit: Bytes that the answer's body may have.
            not_after: Time of `clock()` after which no byte of the request may leave.

        Raises:
            asyncio.CancelledError: The call was cancelled. Its connection is closed; the request may have left.
        """
        departure = Departure()
        departure.not_after = not_after
        try:
            return await self._exchange(request, departure, limit)
        except TRANSPORT_ERRORS as error:
            return failure_of(error, departure)

    async def _exchange(self, request: bytes, departure: Departure, limit: int) -> HttpAnswer:
        connection = await self._pool.lend(departure)
        try:
            await connection.begin(request, departure, limit, self._read_timeout)
        except BaseException:
            connection.finish(self._max_idle)
            raise
        else:
            answer = connection.finish(self._max_idle)
        finally:
            self._pool.take_back(connection)
        if answer is None:
            raise ConnectionResetError  # it cannot be: what is done without an error is whole
        return answer


@functools.cache
def _place(url: str) -> Place:
    parts = urlsplit(url)
    return Place(parts.hostname or "", parts.port or _PORTS[parts.scheme], parts.scheme == "https")
