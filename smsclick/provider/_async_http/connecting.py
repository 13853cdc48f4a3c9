"""Opens a connection to the provider: its name, TCP, a proxy's tunnel and TLS, all before one deadline."""

from __future__ import annotations

import asyncio
import contextlib
import http
import http.client
import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import urllib3.exceptions

from smsclick._net.deadline import AnswerTooLargeError
from smsclick.provider._async_http.connection import Channel, Connection
from smsclick.provider._async_http.names import Resolver
from smsclick.provider._async_http.tls import Tls
from smsclick.provider._http.failure_reasons import TRANSPORT_ERRORS, TunnelError

if TYPE_CHECKING:
    from smsclick.provider._async_http.names import Address
    from smsclick.provider._http.call_record import Departure

_TUNNEL_ANSWER_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect to.

    Attributes:
        host: A name or an address, without brackets.
        port: Of the service.
        tls: Whether it speaks TLS.
    """

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """Host and port as CONNECT takes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that makes tunnels.

    Attributes:
        place: Where it is.
        headers: That it needs, its credentials among them.
    """

    place: Place
    headers: dict[str, str] = field(repr=False)


class Connector:
    """Opens connections to one provider.

    Args:
        provider: Where it is.
        proxy: The proxy before it, if there is one.
        trusted: Verifies both of them where they speak TLS.
        connect_timeout: Seconds for everything until the request can leave.
    """

    def __init__(
        self, provider: Place, proxy: Proxy | None, trusted: ssl.SSLContext | None, connect_timeout: float
    ) -> None:
        self._provider, self._proxy, self._trusted = provider, proxy, trusted
        self._connect_timeout = connect_timeout
        first = provider if proxy is None else proxy.place
        self._resolver = Resolver(first.host, first.port)

    async def connect(self, departure: Departure) -> Connection:
        """Open a connection, or record that this failed.

        Args:
            departure: Of the call that needs it.

        Raises:
            OSError: And the others of `TRANSPORT_ERRORS`: none was opened.
        """
        deadline = asyncio.get_running_loop().time() + self._connect_timeout
        departure.at_proxy = self._proxy is not None
        try:
            return await self._connect(departure, deadline)
        except TRANSPORT_ERRORS:
            departure.connect_failed = True
            raise

    async def _connect(self, departure: Departure, deadline: float) -> Connection:
        channel = Channel(await self._reach(deadline))
        try:
            async with asyncio.timeout_at(deadline):
                if self._proxy is not None:
                    await self._tunnel(channel, self._proxy, departure)
                if self._provider.tls:
                    await self._secure(channel, self._provider)
            return Connection(channel)
        except BaseException:
            channel.close()
            raise

    async def _reach(self, deadline: float) -> socket.socket:
        """Open a TCP connection to the first address that takes one."""
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self._resolver.addresses()
        except TimeoutError:
            raise urllib3.exceptions.ConnectTimeoutError from None
        last: Exception = OSError("no address")
        loop = asyncio.get_running_loop()
        for index, address in enumerate(addresses):
            # An address that does not answer leaves the others their share of the time.
            share = (deadline - loop.time()) / (len(addresses) - index)
            try:
                async with asyncio.timeout(share):
                    sock = await _open(address)
            except TimeoutError:
                last = urllib3.exceptions.ConnectTimeoutError()
            except ConnectionRefusedError as error:
                last = error
            except OSError as error:
                last = OSError(type(error).__name__)  # whatever else it is: no connection
            else:
                self._resolver.prefer(address)
                return sock
        self._resolver.forget()
        raise last

    async def _tunnel(self, channel: Channel, proxy: Proxy, departure: Departure) -> None:
        """Ask the proxy for a tunnel. It learns the provider's name and nothing of the request."""
        if proxy.place.tls:
            await self._secure(channel, proxy.place)
        where = self._provider.authority
        headers = {"Host": where, **proxy.headers}
        lines = [f"CONNECT {where} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        await channel.send_all("\r\n".join(lines).encode("latin-1"))
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = await channel.receive()
            if not part:
                raise http.client.RemoteDisconnected("nothing came")
            answer += part
            if len(answer) > _TUNNEL_ANSWER_BYTES:
                raise AnswerTooLargeError
        head, _, rest = answer.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.[0-9] ([0-9]{3})(?![0-9])", head)
        if status is None:
            raise http.client.HTTPException
        departure.at_proxy = False
        if int(status[1]) != http.HTTPStatus.OK:
            raise TunnelError(int(status[1]))
        if rest:
            raise ssl.SSLError("the other side speaks first")  # in TLS it never does

    async def _secure(self, channel: Channel, place: Place) -> None:
        """Make the TLS handshake with a place, which its certificate must name."""
        if self._trusted is None:  # it is given wherever one of the two speaks TLS
            raise OSError("no certificates to verify with")
        tls = Tls(self._trusted, place.host.rstrip("."), channel.tls)
        received: bytes | None = None
        try:
            while not tls.handshake(received):
                await channel.send_raw(tls.pending())
                received = await channel.receive_raw()
            await channel.send_raw(tls.pending())
        except TRANSPORT_ERRORS:
            with contextlib.suppress(*TRANSPORT_ERRORS):  # an alert says why
                channel.sock.send(tls.pending())
            raise
        channel.tls = tls


async def _open(address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BlockingIOError):
            sock.connect(where)
        await Channel(sock).writable()
        _check(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _check(sock: socket.socket) -> None:
    if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(number, "connect")
