"""A signed-for POST to an address that somebody else chose: only to hosts that are allowed, bounded in time and bytes.

The address that is checked is the one that is connected to: the name is resolved here, once for each connection, and
the socket goes to what was checked, so that a second answer of the name service changes nothing. Redirects are not
followed, proxies and `.netrc` not read, the answer's body is thrown away.
"""

import contextlib
import dataclasses
import functools
import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from smsclick._values.callback import WebHookTarget

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
"""Of one call, however slowly the answer comes; the name service has its own time-out."""

_BODY = 64 * 1024
"""Bytes read of an answer's body, so that its connection can be used again; a longer one costs the connection."""
_IDLE_SECONDS = 3.0
_IDLE_CONNECTIONS = 8
_IDLE_HOSTS = 64

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(each)
    for each in (
        "192.0.0.0/24",  # of the protocol's own; clouds have services there, and older Pythons call it global
        "::/96",  # IPv4-compatible, and with it :: and ::1
        "64:ff9b:1::/48",  # NAT64 of a local network
        "2001::/23",  # of the protocol's own; Teredo, which carries an IPv4 address, which may be anything
        "2002::/16",  # 6to4, likewise
        "3fff::/20",  # for documents
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local, of old
    )
)

Resolve = Callable[..., Sequence[tuple[Any, ...]]]
"""In the form of `socket.getaddrinfo`."""


class RefusedAddressError(Exception):
    """The web hook may not be called; the text says why and names no address."""


class CallFailedError(Exception):
    """No answer came; the text says why in a few words of ours."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """Which web hooks may be called.

    Attributes:
        hosts: names, or `*.example.com` for every name below it, perhaps with a port; empty: any.
        allow_private: also addresses inside, and without TLS.
    """

    hosts: tuple[str, ...] = ()
    allow_private: bool = False

    def check_target(self, target: WebHookTarget) -> None:
        """Raises `RefusedAddressError` where this host or scheme is not allowed."""
        if not target.secure and not self.allow_private:
            raise RefusedAddressError(
                "the address is not https; SMSCLICK_WEBHOOK_ALLOW_PRIVATE=true allows http "
                "(name the hosts in SMSCLICK_WEBHOOK_HOSTS)"
            )
        if self.hosts and not any(_is_named(target, each) for each in self.hosts):
            raise RefusedAddressError("the host is not among SMSCLICK_WEBHOOK_HOSTS; add it there")

    def allows(self, address: str) -> bool:
        """Whether an IP address may be connected to."""
        return self.allow_private or is_public(address)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the open Internet, also where one form of it is wrapped into another."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    if any(ip in network for network in _REFUSED_NETWORKS):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


class Outbound:
    """Calls web hooks. Safe to use from many threads; idle connections are kept for a moment.

    Args:
        rules: which may be called.
        connect_seconds: for the connection, without TLS.
        total_seconds: for all of a call.
        resolve: the name service.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        self._rules = rules
        self._connect_seconds = connect_seconds
        self._total_seconds = total_seconds
        self._resolve = resolve
        self._tls = ssl.create_default_context()
        self._tls.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)  # an image may have no certificates of its own
        self._idle: dict[tuple[bool, str, int], list[_Connection]] = {}
        self._lock = threading.Lock()

    def post(self, target: WebHookTarget, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a POST once and return the answer's status; a connection that died idle is replaced.

        Raises:
            RefusedAddressError: it may not be called; nothing left this machine.
            CallFailedError: no answer came.
        """
        self._rules.check_target(target)
        deadline = time.monotonic() + self._total_seconds
        with _in_words():
            idle = self._take(target)
            if idle is not None:
                # It may have been closed by the other side just now. Receivers tell doubles by the event's id.
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
        target: WebHookTarget,
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
        self._give_back(target, connection, keep=keep)
        return status

    def _open(self, target: WebHookTarget, deadline: float) -> socket.socket:
        """A connection to an address of the host that may be called, with its handshake done."""
        try:
            found = self._resolve(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise CallFailedError("the host's name was not resolved") from None
        allowed = [each for each in found if self._rules.allows(str(each[4][0]))]
        if not allowed:
            raise RefusedAddressError(
                "the host's address is private or reserved; SMSCLICK_WEBHOOK_ALLOW_PRIVATE=true allows it "
                "(name the hosts in SMSCLICK_WEBHOOK_HOSTS)"
            )
        connect_by = min(deadline, time.monotonic() + self._connect_seconds)
        sock = _connected(allowed, connect_by)
        if not target.secure:
            return sock
        try:
            sock.settimeout(_left(deadline))
            return self._tls.wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise

    def _take(self, target: WebHookTarget) -> "_Connection | None":
        oldest = time.monotonic() - _IDLE_SECONDS
        with self._lock:
            connections = self._idle.get(_place(target), [])
            connection = connections.pop() if connections else None
        if connection is not None and connection.idle_since < oldest:
            connection.close()
            return None
        return connection

    def _give_back(self, target: WebHookTarget, connection: "_Connection", *, keep: bool) -> None:
        if not keep:
            return
        connection.idle_since = time.monotonic()
        dropped = []
        with self._lock:
            while len(self._idle) >= _IDLE_HOSTS and _place(target) not in self._idle:
                dropped += self._idle.pop(next(iter(self._idle)))
            connections = self._idle.setdefault(_place(target), [])
            connections.append(connection)
            if len(connections) > _IDLE_CONNECTIONS:
                dropped.append(connections.pop(0))
        for each in dropped:
            each.close()


class _Connection(http.client.HTTPConnection):
    """One connection, whose socket our own code opens."""

    idle_since = 0.0

    def __init__(self, target: WebHookTarget, open_socket: Callable[[], socket.socket]) -> None:
        super().__init__(target.host, target.port)
        self._open_socket = open_socket

    def connect(self) -> None:
        self.sock = self._open_socket()

    def exchange(
        self, target: WebHookTarget, body: bytes, headers: Mapping[str, str], deadline: float
    ) -> tuple[int, bool]:
        """The answer's status, and whether the connection may be used again."""
        self.response_class = functools.partial(_Response, deadline=deadline)  # type: ignore[assignment]  # called only
        if self.sock is None:
            self.connect()
        self.sock.settimeout(_left(deadline))
        self.request("POST", target.path, body, {"Host": target.authority, **headers})
        response = self.getresponse()
        short = False
        # The status is the answer, whatever becomes of the body.
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            short = len(response.read(_BODY + 1)) <= _BODY
        return response.status, short and response.isclosed() and self.sock is not None


class _Response(http.client.HTTPResponse):
    """Reads until the call's deadline; a socket's own time-out would start anew with every byte."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **options: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, deadline))


class _DeadlineReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._raw, self._sock, self._deadline = raw, sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - typeshed's WriteableBuffer is not importable
        self._sock.settimeout(_left(self._deadline))
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _connected(addresses: Sequence[tuple[Any, ...]], connect_by: float) -> socket.socket:
    problem: OSError = TimeoutError()
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(connect_by))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
    raise CallFailedError(
        "no connection in time" if isinstance(problem, TimeoutError) else "no connection could be made"
    )


def _left(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def _place(target: WebHookTarget) -> tuple[bool, str, int]:
    return target.secure, target.host, target.port


def _is_named(target: WebHookTarget, name: str) -> bool:
    """Whether a name of SMSCLICK_WEBHOOK_HOSTS is this host's; one with a port allows only that."""
    host, colon, port = name.rpartition(":")
    if not colon or ":" in host:
        host = name  # none, or an IPv6 address
    elif port != str(target.port):
        return False
    return target.host.endswith(host[1:]) if host.startswith("*.") else target.host == host


_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "no answer in time"),
    (ssl.SSLCertVerificationError, "the certificate was not accepted"),
    (ssl.SSLError, "TLS failed"),
    (ConnectionError, "the connection broke"),
    (OSError, "no connection could be made"),
    (Exception, "the answer is not HTTP"),
)


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CallFailedError(next(words for kind, words in _KINDS if isinstance(error, kind))) from None
