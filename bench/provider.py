"""A provider that stands aside: SMSClick's accepted answer for as little CPU as Python can do it, in its own process.

The simulator knows every code and fault of the manual and pays for it with each request; this one only counts. Run as
`python -m bench.provider PORT [TLS_PORT CERTIFICATE KEY]`; steered by `Provider`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import itertools
import re
import ssl
import sys
import time
from typing import TYPE_CHECKING, cast

from smsclick.simulator.server import fastest_loop
from tests.servers import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.certificates import Authority
    from tests.processes import Process

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_NUMBER = re.compile(rb"folio(?:\+|%20)(\d+)")

FIRST_FOLLOWED = 1_000_000_000
"""The id and the number of the first message that was sent before a run."""


def text(number: int) -> str:
    """The text of the n-th message; the provider tells messages apart by the number at its end."""
    return f"Tu pedido ya va en camino, gracias por tu compra, folio {number}"


def phone(number: int) -> str:
    """A Mexican phone, one of a hundred thousand."""
    return f"55514{number % 100_000:05d}"


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """One `sendMsg` request.

    Attributes:
        at: epoch seconds when its last byte was there.
        number: of its message, as in `text`; -1 where the text is another.
    """

    at: float
    number: int


class _State:
    def __init__(self) -> None:
        self.senders: set[object] = set()
        self.most = 0
        self.delay = 0.0
        self.requests: list[tuple[float, bytes]] = []
        self.others = 0
        self.ids = itertools.count(1)
        self.followed: list[bytes] = []
        self.final_from = self.final_seconds = 0.0

    def follow(self, count: int, seconds: float) -> None:
        """Know so many earlier messages from now on, which become final evenly within `seconds`."""
        date = time.strftime("%d-%m-%Y %H:%M:%S", time.gmtime())
        self.followed = [
            f'{{"id_mensaje":{FIRST_FOLLOWED + n},"telefono":"{phone(n)}","mensaje":"{text(FIRST_FOLLOWED + n)}",'
            f'"fecha_envio":"{date}","estatus_mensaje":3}}'.encode()
            for n in range(count)
        ]
        self.final_from, self.final_seconds = time.monotonic(), seconds

    def report(self) -> bytes:
        """A report of the earlier messages that are final by now; of what was sent since, nothing is."""
        share = min(1.0, (time.monotonic() - self.final_from) / self.final_seconds) if self.followed else 0.0
        rows = self.followed[: int(share * len(self.followed))]
        return b'{"codigo":1,"descripcion":"ok","mensajes":[' + b",".join(rows) + b"]}"

    def sender(self, connection: object) -> None:
        """A connection that sends; as many as there are at once, so many calls are in flight at the most."""
        self.senders.add(connection)
        self.most = max(self.most, len(self.senders))

    def lines(self) -> bytes:
        """The arrivals, one a line, for `Provider.arrivals`."""
        found = ((at, _NUMBER.search(body)) for at, body in self.requests)
        return "".join(f"{at!r} {int(match[1]) if match else -1}\n" for at, match in found).encode()


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and without pipelining: enough for every client that is measured."""

    def __init__(self, state: _State, loop: asyncio.AbstractEventLoop) -> None:
        self._state = state
        self._later = loop.call_later
        self._buffer = b""
        self._write: Callable[[bytes], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast("asyncio.Transport", transport).write

    def connection_lost(self, _: Exception | None) -> None:
        self._state.senders.discard(self)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        length = _LENGTH.search(data, 0, end)
        body = data[end + 4 :]
        if length and len(body) < int(length[1]):
            self._buffer = data
            return
        self._buffer = b""
        path = data[: data.find(b" HTTP/")].partition(b" ")[2]
        if not path.endswith(b"/sendMsg.json"):
            self._write(_http(_other(self._state, path)))
            return
        self._state.requests.append((time.time(), body))
        self._state.sender(self)
        answer = _http(
            b'{"codigo":1,"descripcion":"Mensaje enviado","id_mensaje":%d,"creditosUsados":1}' % next(self._state.ids)
        )
        if self._state.delay:
            self._later(self._state.delay, self._write, answer)
        else:
            self._write(answer)


def _http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _other(state: _State, path: bytes) -> bytes:
    """Everything that is no `sendMsg`: the provider's other endpoints, and what `Provider` asks."""
    command, _, value = path.removeprefix(b"/control/").partition(b"/")
    match command:
        case b"reset":
            state.delay = float(value)
            state.requests.clear()
            state.senders.clear()
            state.most = 0
            return b""
        case b"most":
            return b"%d" % state.most
        case b"arrivals":
            return state.lines()
        case b"follow":
            count, _, seconds = value.partition(b"/")
            state.follow(int(count), float(seconds))
            return b""
        case b"count":
            return b"%d" % len(state.requests)
        case _ if path.endswith(b"/report.json"):
            return state.report()
        case _ if path.endswith(b"/credits.json"):
            return b'{"codigo":1,"descripcion":"ok","credito":1000000}'
        case _:
            return b'{"codigo":1,"descripcion":"ok","estatus_mensaje":1}'


async def _serve(port: int, tls_port: int = 0, certificate: str = "", key: str = "") -> None:
    loop = asyncio.get_running_loop()
    state = _State()
    server = await loop.create_server(lambda: _Connection(state, loop), HOST, port, backlog=4096)
    if tls_port:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        await loop.create_server(lambda: _Connection(state, loop), HOST, tls_port, backlog=4096, ssl=context)
    print(f"listening on {port}", flush=True)
    await server.serve_forever()


class Provider:
    """The handle of a provider that runs as a process.

    Args:
        start: runs a command as a process of its own.
        authority: whose certificate it shows on a second port; without one there is no TLS.

    Attributes:
        base_url: for `SMSCLICK_BASE_URL`.
        tls_base_url: the same over TLS; empty without an authority.
        ca_bundle: the file with the authority's certificate; None without one.
    """

    def __init__(self, start: Callable[[list[str]], Process], authority: Authority | None = None) -> None:
        self.port = free_port()
        self.base_url = f"http://{HOST}:{self.port}/sms-services"
        self.tls_base_url, tls = "", list[str]()
        self.ca_bundle: Path | None = None
        if authority is not None:
            port, (certificate, key) = free_port(), authority.issue(f"IP:{HOST}")
            self.tls_base_url = f"https://{HOST}:{port}/sms-services"
            self.ca_bundle = authority.root
            tls = [str(port), str(certificate), str(key)]
        self.process = start([sys.executable, "-m", "bench.provider", str(self.port), *tls])
        self.process.wait_for_line("listening")

    def reset(self, delay: float) -> None:
        """Forget all arrivals, and answer after `delay` seconds from now on."""
        self._ask(f"reset/{delay!r}")

    def follow(self, count: int, seconds: float) -> None:
        """Show so many messages, with ids from `FIRST_FOLLOWED` on, in reports; they become final within `seconds`."""
        self._ask(f"follow/{count}/{seconds!r}")

    def most(self) -> int:
        """How many connections sent `sendMsg` at once, at the most since the last reset."""
        return int(self._ask("most"))

    def count(self) -> int:
        """How many `sendMsg` came since the last reset."""
        return int(self._ask("count"))

    def arrivals(self) -> list[Arrival]:
        """Every `sendMsg` since the last reset, in order."""
        rows = (line.split() for line in self._ask("arrivals").splitlines())
        return [Arrival(float(at), int(number)) for at, number in rows]

    def _ask(self, command: str) -> str:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request("GET", f"/control/{command}")
            return connection.getresponse().read().decode()
        finally:
            connection.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=fastest_loop) as runner:
        plain, tls, *files = *sys.argv[1:], *["0"][: len(sys.argv) == 2]
        runner.run(_serve(int(plain), int(tls), *files))
