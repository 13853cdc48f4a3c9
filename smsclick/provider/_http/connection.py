"""Connections to the provider that record in `call_record` what happened, and requests' adapter over them.

Two things are recorded that no exception says reliably: whether opening the connection failed, and whether bytes of
the request were given to a socket. A connection that was idle for too long is not used again.
"""

from __future__ import annotations

import functools
import re
import time
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3.connection
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from smsclick._net.deadline import DeadlineResponse
from smsclick.provider._http.call_record import AnswerLimits, call
from smsclick.provider._http.failure_reasons import TunnelError
from smsclick.provider._http.headers import idle_seconds

if TYPE_CHECKING:
    import socket
    import ssl

MAX_IDLE_SECONDS: Final = 3.0
"""Seconds after which an idle connection is not used again.

A server that closes an idle connection just as the next request leaves makes that message unknown.
urllib3 notices a close that has already arrived; this limit avoids most of the others, because common servers wait 5 s
or more (Apache and Node 5, Tomcat 20, nginx 75). If a server announces less (`Keep-Alive: timeout=…`), that counts.
"""

_TUNNEL_ANSWER_BYTES: Final = 64 * 1024


class _Response(DeadlineResponse):
    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url, limits=call.limits)


class Connection(urllib3.connection.HTTPConnection):
    """A connection that records in `call` what happened, and knows until when it may be used again."""

    response_class = _Response
    _reuse_until = float("inf")
    _held: list[bytes] | None = None
    _tunnelling = False

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (urllib3's)
        """Send head and body at once: one system call and one packet instead of two."""
        self._held = []
        try:
            super().request(*args, **kwargs)
            held = b"".join(self._held)
        finally:
            self._held = None
        self.send(held)

    def connect(self) -> None:
        """Open the connection, with its tunnel and TLS handshake, or record that this failed."""
        call.at_proxy = self.proxy is not None
        try:
            super().connect()
        except BaseException:
            call.connect_failed = True
            self.close()
            raise
        if time.monotonic() > call.connect_by:
            call.connect_failed = True
            self.close()
            raise urllib3.exceptions.ConnectTimeoutError(self, "the connection took too long")

    def _tunnel(self) -> None:
        """Ask the proxy for a tunnel. It learns the provider's name and nothing of the request."""
        kept, call.limits = call.limits, AnswerLimits(call.connect_by, _TUNNEL_ANSWER_BYTES)
        self._tunnelling = True
        try:
            super()._tunnel()
        except OSError as error:
            # http.client puts the proxy's status into its text, and nowhere else.
            if answered := re.match(r"Tunnel connection failed: ([0-9]{3})", str(error)):
                call.at_proxy = False
                raise TunnelError(int(answered[1])) from None
            raise
        finally:
            self._tunnelling = False
            call.limits = kept
        call.at_proxy = False

    def send(self, data: Any) -> None:  # noqa: ANN401  (http.client takes nearly everything)
        """Send bytes now, except those of a request that `request` still collects."""
        if self._tunnelling:
            super().send(data)
            return
        if self._held is not None:
            self._held.append(data)
            return
        if self.sock is None:
            self.connect()
        call.leaves()
        super().send(data)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as in urllib3 itself
        """Read the answer's head, and from it how long the server keeps an idle connection."""
        response = super().getresponse()
        self._reuse_until = time.monotonic() + idle_seconds(response.headers.get("Keep-Alive"), call.max_idle)
        return response

    @property
    def is_connected(self) -> bool:
        """Whether urllib3's pool may use the connection again."""
        return time.monotonic() < self._reuse_until and super().is_connected


class _TlsConnection(Connection, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS: Final = {"http": _Pool, "https": _TlsPool}


class Adapter(HTTPAdapter):
    """requests' adapter with our connections.

    Args:
        trusted: Verifies the provider, and a proxy with TLS. It is made once, so that sends do not fail if its file
            disappears later.
        size: Connections kept open.
    """

    def __init__(self, trusted: ssl.SSLContext | None, size: int) -> None:
        self._trusted = trusted
        super().__init__(pool_connections=1, pool_maxsize=size, max_retries=0)

    def init_poolmanager(
        self,
        connections: int,
        maxsize: int,
        block: bool = False,  # noqa: FBT001, FBT002  (requests' signature)
        **pool_kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:  # noqa: ANN401  (requests' types)
        manager = super().proxy_manager_for(proxy, proxy_ssl_context=self._trusted, **proxy_kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:  # noqa: ANN401
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {} if self._trusted is None else {"ssl_context": self._trusted, "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ANN401
        """Nothing to do: `trusted` verifies."""

    # There is one host, so the pool that requests would look up again for each request is always the same.

    @functools.cached_property
    def _pools(self) -> dict[str, Any]:
        return {}

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ANN401  (requests' types)
        proxies: Any = None,  # noqa: ANN401
        cert: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        url = str(request.url)
        pool = self._pools.get(url)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            self._pools[url] = pool
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:  # noqa: ANN401, ARG002
        return request.path_url

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:  # noqa: ANN401, ARG002
        """Fill in only what `Transport` reads; nothing here needs cookies or encodings."""
        response = requests.Response()
        response.status_code, response.headers, response.raw = resp.status, resp.headers, resp
        return response

    def close(self) -> None:
        """Close the idle connections at once.

        urllib3 leaves this to the garbage collector, which has to wait while the traceback of an error holds them.
        """
        pools = self.poolmanager.pools
        for pool in [pools.get(key) for key in list(pools.keys())]:
            if pool is not None:
                pool.close()
        self._pools.clear()
        super().close()
