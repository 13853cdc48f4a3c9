"""The POST to a producer's webhook: only to an address that is allowed, and limited in time and bytes.

The address that is checked is the one that is connected to: the name is resolved here, once for each connection, so a
second answer of the name service changes nothing. Redirects are not followed, proxies and `.netrc` are not read, and
the body of the answer is discarded. The decision is docs/decisions/0018.
"""

import contextlib
import functools
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from smsclick._net.deadline import DeadlineResponse, ReadLimits, seconds_left
from smsclick._values.callback import WebhookTarget
from worker.alerting.wording import DetailCode
from worker.callbacks.failures import CallFailedError
from worker.callbacks.webhook_addresses import AddressRules, RefusedAddressError

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
"""Of one call, however slowly the answer comes. The name service has a timeout of its own, on top of it."""

_BODY_BYTES = 64 * 1024
"""Read of an answer's body, so that its connection can be used again; after a longer body it is closed."""
_IDLE_SECONDS = 3.0
_IDLE_CONNECTIONS = 8
_IDLE_HOSTS = 64

Resolve = Callable[..., Sequence[tuple[Any, ...]]]
"""A function with the signature of `socket.getaddrinfo`."""


class WebhookFailedError(CallFailedError):
    """No answer came."""


class WebhookClient:
    """Calls webhooks. Safe to use from many threads; idle connections are kept for three seconds.

    Args:
        rules: Which webhooks may be called.
        connect_seconds: Limit of the connection, without the TLS handshake.
        total_seconds: Limit of a whole call.
        resolve: The name service.
    """

    def __init__(
        self,
        rules: AddressRules,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        self._rules = rules
        self._connect_seconds = connect_seconds
        self._total_seconds = total_seconds
        self._resolve = resolve
        self._idle: dict[tuple[bool, str, int], list[_Connection]] = {}
        self._lock = threading.Lock()

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made for the first call over TLS: to read all certificates takes longer than the rest of a worker's start."""
        made = ssl.create_default_context()
        made.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)  # an image may have no certificates of its own
        return made

    def post(self, target: WebhookTarget, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a POST.

        It is sent again only if an idle connection turns out to be closed.

        Args:
            target: The webhook.
            body: Sent as it is.
            headers: In addition to Host and Content-Length.

        Returns:
            The HTTP status of the answer.

        Raises:
            RefusedAddressError: It may not be called; nothing left this machine.
            WebhookFailedError: No answer came.
        """
        self._rules.check_target(target)
        deadline = time.monotonic() + self._total_seconds
        with _failures_with_codes():
            idle = self._pop_idle(target)
            if idle is not None:
                # The receiver may just have closed it. If it did get the call, it sees the second by the event's id.
                with contextlib.suppress(ConnectionError):
                    return self._call(idle, target, body, headers, deadline)
            fresh = _Connection(target, functools.partial(self._open, target, deadline))
            return self._call(fresh, target, body, headers, deadline)

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            left = [each for connections in self._idle.values() for each in connections]
            self._idle.clear()
        for connection in left:
            connection.close()

    def _call(
        self,
        connection: "_Connection",
        target: WebhookTarget,
        body: bytes,
        headers: Mapping[str, str],
        deadline: float,
    ) -> int:
        keep = False
        try:
            status, keep = connection.exchange(target, body, headers, deadline)
        finally:
            if not keep:
                connection.close()
        self._keep_idle(target, connection, keep=keep)
        return status

    def _open(self, target: WebhookTarget, deadline: float) -> socket.socket:
        """Return a socket to an address of the host that may be called, with its TLS handshake done."""
        try:
            found = self._resolve(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise WebhookFailedError(DetailCode.CALL_NO_HOST) from None
        allowed = [each for each in found if self._rules.allows(str(each[4][0]))]
        if not allowed:
            raise RefusedAddressError(DetailCode.CALL_PRIVATE)
        connect_by = min(deadline, time.monotonic() + self._connect_seconds)
        sock = _connected(allowed, connect_by)
        if not target.secure:
            return sock
        try:
            sock.settimeout(seconds_left(deadline))
            return self._tls.wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise

    def _pop_idle(self, target: WebhookTarget) -> "_Connection | None":
        oldest = time.monotonic() - _IDLE_SECONDS
        with self._lock:
            connections = self._idle.get(_origin(target), [])
            connection = connections.pop() if connections else None
        if connection is not None and connection.idle_since < oldest:
            connection.close()
            return None
        return connection

    def _keep_idle(self, target: WebhookTarget, connection: "_Connection", *, keep: bool) -> None:
        if not keep:
            return
        connection.idle_since = time.monotonic()
        dropped = []
        with self._lock:
            while len(self._idle) >= _IDLE_HOSTS and _origin(target) not in self._idle:
                dropped += self._idle.pop(next(iter(self._idle)))
            connections = self._idle.setdefault(_origin(target), [])
            connections.append(connection)
            if len(connections) > _IDLE_CONNECTIONS:
                dropped.append(connections.pop(0))
        for each in dropped:
            each.close()


class _Connection(http.client.HTTPConnection):
    """One connection, whose socket `WebhookClient` opens."""

    idle_since = 0.0

    def __init__(self, target: WebhookTarget, open_socket: Callable[[], socket.socket]) -> None:
        super().__init__(target.host, target.port)
        self._open_socket = open_socket

    def connect(self) -> None:
        self.sock = self._open_socket()

    def exchange(
        self, target: WebhookTarget, body: bytes, headers: Mapping[str, str], deadline: float
    ) -> tuple[int, bool]:
        """Send a request and return the answer's status, and whether the connection may be used again."""
        self.response_class = functools.partial(DeadlineResponse, limits=ReadLimits(deadline))  # type: ignore[assignment]
        if self.sock is None:
            self.connect()
        self.sock.settimeout(seconds_left(deadline))
        self.request("POST", target.path, body, {"Host": target.authority, **headers})
        response = self.getresponse()
        short = False
        # The status is the answer; a body that breaks off changes nothing.
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            short = len(response.read(_BODY_BYTES + 1)) <= _BODY_BYTES
        return response.status, short and response.isclosed() and self.sock is not None


def _connected(addresses: Sequence[tuple[Any, ...]], connect_by: float) -> socket.socket:
    problem: OSError = TimeoutError()
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(seconds_left(connect_by))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
    raise WebhookFailedError(DetailCode.CALL_LATE if isinstance(problem, TimeoutError) else DetailCode.CALL_NOT_MADE)


def _origin(target: WebhookTarget) -> tuple[bool, str, int]:
    return target.secure, target.host, target.port


_CODES: tuple[tuple[type[Exception], DetailCode], ...] = (
    (TimeoutError, DetailCode.CALL_NO_ANSWER),
    (ssl.SSLCertVerificationError, DetailCode.CALL_CERTIFICATE),
    (ssl.SSLError, DetailCode.CALL_TLS),
    (ConnectionError, DetailCode.CALL_BROKE),
    (OSError, DetailCode.CALL_NOT_MADE),
    (Exception, DetailCode.CALL_NO_HTTP),
)


@contextlib.contextmanager
def _failures_with_codes() -> Iterator[None]:
    """Replace errors of the network, whose texts may name the address, by a `WebhookFailedError` that does not."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise WebhookFailedError(next(code for kind, code in _CODES if isinstance(error, kind))) from None
