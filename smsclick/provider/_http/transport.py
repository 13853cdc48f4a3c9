"""A request is made once and ends as a value: a whole answer, or a failure. Nothing is retried."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from smsclick.provider._http.call_record import call
from smsclick.provider._http.connection import Adapter
from smsclick.provider._http.failure_reasons import TOO_LARGE, TRANSPORT_ERRORS, failure_of
from smsclick.provider._http.headers import retry_after
from smsclick.provider.failures import FailureKind
from smsclick.provider.results import HttpAnswer, TransportFailure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    import requests

SLOWEST_REPORT_BYTES_PER_SECOND: Final = 64 * 1024
"""What a streamed report must bring once its first `read_timeout` is over."""
LONGEST_REPORT_SECONDS: Final = 300.0
"""After this a streamed report is given up, however fast it comes (or after `read_timeout`, if that is longer)."""

_PIECE_BYTES: Final = 64 * 1024


class Transport:
    """The provider's connections, shared by any number of threads.

    Uses requests' adapter without a `Session`, so it follows no redirect, keeps no cookie, and reads neither proxies
    nor `.netrc` from the environment.

    Args:
        timeouts: Seconds for the connection, and for the request with its whole answer.
        max_idle: Seconds after which an idle connection is not used again.
        pool_size: Connections kept open.
        trusted: Verifies the provider, and a proxy with TLS; None where neither has TLS.
        proxies: As `request.proxies` returns them.
    """

    def __init__(
        self,
        timeouts: tuple[float, float],
        max_idle: float,
        pool_size: int,
        trusted: ssl.SSLContext | None,
        proxies: dict[str, str] | None,
    ) -> None:
        self.timeouts = timeouts
        self._max_idle = max_idle
        self._proxies = proxies
        self._adapter = Adapter(trusted, pool_size)

    def close(self) -> None:
        """Close the idle connections. Calls in progress finish."""
        self._adapter.close()

    def post(
        self, request: requests.PreparedRequest, limit: int, *, not_after: float | None = None
    ) -> HttpAnswer | TransportFailure:
        """Make a call and read its whole answer.

        Exceptions of requests never leave: they carry the request, and with it the key.

        Args:
            request: Complete.
            limit: Bytes that the answer's body may have.
            not_after: Time of `clock()` after which no byte of the request may leave.
        """
        call.begin(*self.timeouts, limit, self._max_idle, not_after)
        response = self._open(request)
        if isinstance(response, TransportFailure):
            return response
        with contextlib.closing(response):
            body = bytearray()
            while piece := _read_piece(response):
                if isinstance(piece, TransportFailure):
                    return piece
                body += piece
                if len(body) > limit:
                    return TransportFailure(TOO_LARGE, never_left=False, kind=FailureKind.TOO_LARGE)
        return HttpAnswer(response.status_code, bytes(body), retry_after(response.headers.get("Retry-After")))

    def stream(self, request: requests.PreparedRequest) -> StreamedAnswer | TransportFailure:
        """Make a call and return its answer, whose body is yet to be read. Close it."""
        call.begin(
            *self.timeouts,
            0,
            self._max_idle,
            slowest=SLOWEST_REPORT_BYTES_PER_SECOND,
            longest=LONGEST_REPORT_SECONDS,
        )
        response = self._open(request)
        return response if isinstance(response, TransportFailure) else StreamedAnswer(response)

    def _open(self, request: requests.PreparedRequest) -> requests.Response | TransportFailure:
        try:
            return self._adapter.send(request, stream=True, timeout=self.timeouts, proxies=self._proxies)
        except TRANSPORT_ERRORS as error:
            return failure_of(error, call)


class StreamedAnswer:
    """An answer whose body is read piece by piece.

    Attributes:
        head: The answer without its body.
    """

    def __init__(self, response: requests.Response) -> None:
        self.head = HttpAnswer(response.status_code, b"", retry_after(response.headers.get("Retry-After")))
        self._response = response

    def pieces(self) -> Iterator[bytes | TransportFailure]:
        """Yield the body's parts. A failure is the last of them: the body is then not whole."""
        while piece := _read_piece(self._response):
            yield piece
            if isinstance(piece, TransportFailure):
                return

    def close(self) -> None:
        """Close it; its connection is used again only if the body was read to its end."""
        self._response.close()


def _read_piece(response: requests.Response) -> bytes | TransportFailure:
    """Return the next part of the body, empty at its end."""
    try:
        part: bytes = response.raw.read(_PIECE_BYTES, decode_content=True)
    except TRANSPORT_ERRORS as error:
        return failure_of(error)
    return part
