"""What only a sender on an event loop can get wrong: bytes the loop has not read, cancellation, thousands at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
import uvloop

from smsclick.provider._async_http import names
from smsclick.provider._async_http.connection import Channel, Connection
from smsclick.provider._async_http.names import Resolver
from smsclick.provider._async_http.pool import FIRST_OPENINGS, MOST_OPENINGS, Pool
from smsclick.provider._http.call_record import Departure
from smsclick.provider.async_sender import AsyncSender
from smsclick.provider.clock import clock
from smsclick.provider.results import Accepted, HttpAnswer, Refused, Unknown
from tests.processes import ROOT, wait_until
from tests.socket_server import KEY, PHONE, SENT, TEXT, Server, answering, forever, hang, reply, reset, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Protocol

    from smsclick.provider.results import SendResult
    from tests.certificates import Authority

    class Run(Protocol):
        def __call__(self, coroutine: Coroutine[Any, Any, T], /) -> T: ...


T = TypeVar("T")
ACCEPTED = Accepted(123, 1, "Mensaje enviado")
ENORMOUS = "x" * 12_000_000
"""A text that no buffer of a socket takes at once. No message is so long, but a request may be cut anywhere."""


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on each kind of event loop."""

    def run(coroutine: Coroutine[Any, Any, T], /) -> T:
        with asyncio.Runner(loop_factory=request.param, debug=True) as runner:
            return runner.run(coroutine)

    return run


@contextlib.asynccontextmanager
async def opened(port: int, scheme: str = "http", **options: Any) -> AsyncIterator[AsyncSender]:  # noqa: ANN401
    """A sender that must have closed all its connections in the end."""
    given = {"connect_timeout": 60.0, "read_timeout": 60.0, "connections": 4, "max_idle": 60.0} | options
    sender = AsyncSender(KEY, f"{scheme}://localhost:{port}/sms-services", **given)
    try:
        yield sender
    finally:
        await sender.close()
    pool = sender._transport._pool
    assert (pool._open, pool._opening, [each for each in pool._waiting if not each.done()]) == (0, 0, [])


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop go on until something has happened elsewhere."""
    while not condition():  # noqa: ASYNC110 - it happens on another thread
        await asyncio.sleep(0.001)


def hold_up_until(condition: Callable[[], object]) -> None:
    """Let the event loop do nothing until something has happened elsewhere."""
    wait_until(condition, every=0.001)


# What has arrived, but was not read by the loop.


def ended(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)


def timed_out(connection: socket.socket) -> None:
    connection.sendall(reply(b"", "408 Request Timeout", "Connection: close"))


def another_answer(connection: socket.socket) -> None:
    connection.sendall(reply(SENT.replace(b"123", b"666")))


@pytest.mark.parametrize("end", [ended, reset, timed_out, another_answer])
def test_an_idle_connection_on_which_something_arrived_carries_no_request(
    end: Callable[[socket.socket], None], run: Run
) -> None:
    received = threading.Semaphore(0)

    def handle(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(reply(SENT))
        received.acquire(timeout=60)
        end(connection)

    async def calls(server: Server) -> None:
        async with opened(server.port) as sender:
            for _ in range(3):
                assert await sender.send(PHONE, TEXT) == ACCEPTED
                received.release()
                # The loop cannot read it before the next call begins.
                hold_up_until(lambda: server.closed == len(server.requests))

    with serving(handle) as server:
        run(calls(server))
    assert (server.connections, len(server.requests)) == (3, 3)


@pytest.mark.parametrize("notify", [True, False])
def test_an_idle_connection_whose_tls_ended_carries_no_request(
    notify: bool,  # noqa: FBT001
    authority: Authority,
    run: Run,
) -> None:
    context = authority.server("DNS:localhost")

    def handle(server: Server, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            server.read(secured)
            secured.sendall(reply(SENT))
            if notify:
                secured.settimeout(0)
                with contextlib.suppress(OSError):
                    secured.unwrap()

    async def calls(server: Server) -> None:
        async with opened(server.port, "https", ca_bundle=str(authority.root)) as sender:
            for _ in range(3):
                assert await sender.send(PHONE, TEXT) == ACCEPTED
                hold_up_until(lambda: server.closed == len(server.requests))

    with serving(handle) as server:
        run(calls(server))
    assert (server.connections, len(server.requests)) == (3, 3)


def test_a_server_that_speaks_first_gets_no_request(run: Run) -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        connection.sendall(reply(SENT))
        assert connection.recv(1) == b""

    async def lend(server: Server) -> None:
        async def connect(_: Departure) -> Connection:
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.settimeout(0)
            select.select([sock], [], [], 60)
            return Connection(Channel(sock))

        departure = Departure()
        with pytest.raises(ConnectionError):
            await Pool(connect, 1, 60).lend(departure)
        assert departure.never_left

    with serving(handle) as server:
        run(lend(server))


@pytest.mark.parametrize("end", ["_on_deadline", "_on_writable"])
def test_an_answer_that_the_loop_has_not_read_counts_although_the_call_is_given_up(end: str, run: Run) -> None:
    # Its time is over, or the rest of the request cannot leave, because the server closed after a refusal.
    async def call() -> object:
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        connection = Connection(Channel(ours))
        waiter = connection.begin(ENORMOUS.encode(), Departure(), 1000, 60)
        with theirs:
            theirs.sendall(reply(SENT))
        getattr(connection, end)()
        await waiter
        return connection.finish(60)

    assert run(call()) == HttpAnswer(200, SENT)


# A claim that ends while the loop or the process stands still.


def test_nothing_leaves_when_the_claim_ends_while_the_loop_is_held_up(run: Run) -> None:
    async def calls(server: Server) -> SendResult:
        async with opened(server.port) as sender:
            assert await sender.send(PHONE, TEXT) == ACCEPTED
            not_after = clock() + 0.05
            late = asyncio.create_task(sender.send(PHONE, TEXT, not_after=not_after))
            hold_up_until(lambda: clock() > not_after)
            return await late

    with serving(forever(reply(SENT))) as server:
        result = run(calls(server))
    assert isinstance(result, Refused)
    assert result.withheld
    assert len(server.requests) == 1


_PAUSED = f"""
import asyncio, sys
from smsclick.provider.async_sender import AsyncSender
from smsclick.provider.clock import clock

async def main():
    sender = AsyncSender({KEY!r}, f"https://localhost:{{sys.argv[1]}}", 60, 60, connections=1, ca_bundle=sys.argv[2])
    not_after = clock() + 3
    print(not_after, flush=True)
    print(await sender.send({PHONE!r}, "hola", not_after=not_after), flush=True)
    await sender.close()

asyncio.run(main())
"""


def test_nothing_leaves_when_the_claim_ends_while_the_process_is_paused(authority: Authority) -> None:
    context = authority.server("DNS:localhost")
    paused = threading.Event()

    def handle(server: Server, connection: socket.socket) -> None:
        paused.wait(60)  # the handshake goes on when the claim is over
        with context.wrap_socket(connection, server_side=True) as secured:
            server.read(secured)

    with (
        serving(handle) as server,
        subprocess.Popen(
            [sys.executable, "-c", _PAUSED, str(server.port), str(authority.root)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        not_after = float(process.stdout.readline())
        wait_until(lambda: server.connections == 1, what="the process to connect")
        os.kill(process.pid, signal.SIGSTOP)
        paused.set()
        wait_until(lambda: clock() > not_after, what="the claim to end")
        os.kill(process.pid, signal.SIGCONT)
        result = process.stdout.read()
    assert "withheld=True" in result
    assert server.requests == []


# Requests that do not fit into the socket's buffer.


def test_the_rest_of_a_request_does_not_leave_after_the_claim(run: Run) -> None:
    received = 0
    not_after = clock() + 1

    def handle(server: Server, connection: socket.socket) -> None:
        nonlocal received
        wait_until(lambda: clock() > not_after, what="the claim to end")
        while part := connection.recv(1 << 20):
            received += len(part)

    async def call(server: Server) -> SendResult:
        async with opened(server.port) as sender:
            return await sender.send(PHONE, ENORMOUS, not_after=not_after)

    with serving(handle) as server:
        result = run(call(server))
    assert received < len(ENORMOUS)
    assert isinstance(result, Unknown if received else Refused)


def test_a_refusal_that_comes_before_the_whole_request_has_left_is_read_and_ends_the_connection(run: Run) -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        if server.connections == 1:
            connection.recv(1024)
            connection.sendall(reply(b'{"codigo":-102}'))
            server.stopping.wait()
        elif server.read(connection):
            connection.sendall(reply(SENT))

    async def calls(server: Server) -> list[SendResult]:
        async with opened(server.port, read_timeout=20) as sender:
            return [await sender.send(PHONE, text) for text in (ENORMOUS, TEXT)]

    with serving(handle) as server:
        refused, accepted = run(calls(server))
    assert isinstance(refused, Refused)
    assert refused.code == -102
    assert accepted == ACCEPTED


# Many at once.


class _Answers(asyncio.Protocol):
    """Answers when so many requests have arrived that none of them can have waited for another's connection."""

    waiting: list[asyncio.Transport] = []  # noqa: RUF012 - each test makes its own
    together = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert data.endswith(b"&MENSAJE=hola")
        self.waiting.append(self._transport)
        if len(self.waiting) == self.together:
            for transport in self.waiting:
                transport.write(reply(SENT))
            self.waiting.clear()


@pytest.fixture
def many() -> int:
    """How many calls this system's limit of open files allows, in one process with their server."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    many = 2000
    if 0 <= hard < 2 * many + 500:
        pytest.skip(f"not run here: a process may have {hard} open files")
    if 0 <= soft < 2 * many + 500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * many + 500, hard))
    return many


def test_two_thousand_calls_are_in_flight_at_once_and_keep_their_connections(many: int) -> None:
    async def calls() -> None:
        class Answers(_Answers):
            waiting: list[asyncio.Transport] = []  # noqa: RUF012
            together = many

        loop = asyncio.get_running_loop()
        server = await loop.create_server(Answers, "127.0.0.1", 0, backlog=2 * MOST_OPENINGS)
        async with opened(server.sockets[0].getsockname()[1], connections=many) as sender:
            for _ in range(2):
                results = await asyncio.gather(*(sender.send(f"55{number:08d}", "hola") for number in range(many)))
                assert set(results) == {ACCEPTED}
                assert sender._transport._pool._open == many
        server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(calls())


_LIMITED = """
import resource
from smsclick.provider.account_client import open_async_sender
from smsclick.settings import load_settings

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
settings = load_settings(SMSCLICK_API_KEY="k")
for soft, hard in ((300, hard), (300, 1000)):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    sender = open_async_sender(settings, connections=2000)
    print(sender._transport._pool._most, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_the_limit_of_open_files_is_raised_or_bounds_the_connections(many: int) -> None:
    done = subprocess.run([sys.executable, "-c", _LIMITED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(many), str(many + 256), "744", "1000"]


def test_more_calls_than_connections_wait_for_one(run: Run) -> None:
    async def calls(server: Server) -> list[SendResult]:
        async with opened(server.port, connections=3) as sender:
            return await asyncio.gather(*(sender.send(PHONE, TEXT) for _ in range(60)))

    with serving(forever(reply(SENT))) as server:
        assert run(calls(server)) == [ACCEPTED] * 60
    assert (server.connections, len(server.requests)) == (3, 60)


def test_a_call_that_waits_for_a_connection_until_its_claim_ends_is_withheld(run: Run) -> None:
    async def calls(server: Server) -> SendResult:
        async with opened(server.port, connections=1) as sender:
            first = asyncio.create_task(sender.send(PHONE, TEXT))
            await until(lambda: server.requests)
            result = await sender.send(PHONE, TEXT, not_after=clock() + 0.1)
            server.stopping.set()
            await first
            return result

    with serving(hang) as server:
        result = run(calls(server))
    assert isinstance(result, Refused)
    assert result.withheld
    assert len(server.requests) == 1


def test_few_connections_are_opened_at_once_and_a_dead_provider_fails_all_calls_together(run: Run) -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        server.stopping.wait()  # the handshake hangs

    async def calls(server: Server) -> list[SendResult]:
        async with opened(server.port, "https", connections=500, connect_timeout=0.5) as sender:
            return await asyncio.gather(*(sender.send(PHONE, TEXT) for _ in range(500)))

    with serving(handle) as server:
        results = run(calls(server))
    assert server.connections <= 2 * FIRST_OPENINGS
    assert {result.reason for result in results if isinstance(result, Refused)} <= {
        "no answer in time; the request never left",
        "no connection in time; the request never left",
    }
    assert {type(result) for result in results} == {Refused}


# TLS.


def test_what_tls_adds_is_sent_behind_what_is_still_unsent(run: Run) -> None:
    # An answer to a change of keys in the midst of a record would make all that follows unreadable.
    async def added() -> bytes:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.settimeout(0)
            connection = Connection(Channel(ours))
            connection.begin(ENORMOUS.encode(), Departure(), 1000, 60)
            connection._send_also(b"last")
            received = b""
            theirs.settimeout(60)
            loop = asyncio.get_running_loop()
            while len(received) < len(ENORMOUS) + 4:
                received += await loop.run_in_executor(None, theirs.recv, 1 << 20)
            connection.finish(60)
            return received[-6:]

    assert run(added()) == b"xxlast"


# Cancellation.


def test_a_cancelled_call_closes_its_connection_and_takes_nothing_from_the_others(run: Run) -> None:
    async def calls(server: Server) -> None:
        async with opened(server.port, connections=2) as sender:
            tasks = [asyncio.create_task(sender.send(PHONE, TEXT)) for _ in range(6)]  # four of them wait
            await until(lambda: len(server.requests) >= 2)
            for task in (tasks[0], tasks[2], tasks[3], tasks[5]):
                task.cancel()
            gone = asyncio.CancelledError
            may_end.set()  # the others' connections end without an answer
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(result) for result in results] == [gone, Unknown, gone, gone, Unknown, gone]

    may_end = threading.Event()

    def handle(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        may_end.wait(60)

    with serving(handle) as server:
        run(calls(server))


def test_calls_that_are_cancelled_while_they_connect_leave_nothing_behind(run: Run) -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        connection.recv(65536)
        assert connection.recv(65536) == b""  # the client went away

    async def calls(server: Server) -> None:
        async with opened(server.port, "https", connections=2) as sender:
            tasks = [asyncio.create_task(sender.send(PHONE, TEXT)) for _ in range(6)]
            await until(lambda: server.connections >= 2)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(result) for result in results} == {asyncio.CancelledError}

    with serving(handle) as server:
        run(calls(server))
    assert server.closed == server.connections


def test_a_loop_that_ends_with_calls_in_flight_closes_their_sockets(run: Run) -> None:
    async def leave(server: Server) -> None:
        sender = AsyncSender(KEY, f"http://localhost:{server.port}", 60, 60, connections=8)
        for _ in range(8):
            asyncio.get_running_loop().create_task(sender.send(PHONE, TEXT))
        await until(lambda: len(server.requests) >= 8)

    def handle(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        assert connection.recv(1) == b""

    with serving(handle) as server:
        run(leave(server))
        wait_until(lambda: server.closed == 8, what="the sockets to be closed")


def test_no_exception_of_a_cancelled_call_holds_the_request(run: Run) -> None:
    async def call(server: Server) -> BaseException:
        async with opened(server.port) as sender:
            task = asyncio.create_task(sender.send(PHONE, TEXT))
            await until(lambda: server.requests)
            task.cancel()
            return (await asyncio.gather(task, return_exceptions=True))[0]  # type: ignore[return-value]

    with serving(hang) as server:
        error = run(call(server))
    assert isinstance(error, asyncio.CancelledError)
    assert (str(error), error.__cause__) == ("", None)


# Names.


def test_a_name_is_resolved_once_for_many_calls_and_the_loop_goes_on_meanwhile(run: Run) -> None:
    may_answer = threading.Event()
    asked = []

    def ask(host: str, port: int, **_: object) -> list[Any]:
        asked.append((host, port))
        may_answer.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 2

    async def resolve() -> None:
        resolver = Resolver("provider.invalid", 443, ask)
        tasks = [asyncio.create_task(resolver.addresses()) for _ in range(50)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        may_answer.set()  # it would never come if the loop stood still
        found = await asyncio.gather(*tasks[1:])
        assert found == [[(socket.AF_INET, ("127.0.0.1", 443))]] * 49
        assert await resolver.addresses() == found[0]
        assert len(asked) == 1
        resolver.forget()
        await resolver.addresses()
        assert len(asked) == 2

    run(resolve())


def test_a_name_that_is_not_resolved_is_asked_for_again(run: Run) -> None:
    asked = []

    def ask(*_: object, **__: object) -> list[Any]:
        asked.append(1)
        raise socket.gaierror(-2, "no such name")

    async def resolve() -> None:
        resolver = Resolver("provider.invalid", 443, ask)
        for _ in range(2):
            for error in await asyncio.gather(*(resolver.addresses() for _ in range(5)), return_exceptions=True):
                assert isinstance(error, socket.gaierror)
        assert len(asked) == 2

    run(resolve())


@pytest.mark.parametrize("end", [MemoryError, SystemExit, ZeroDivisionError])
def test_whatever_ends_the_thread_that_resolves_ends_the_wait_for_it(run: Run, end: type[BaseException]) -> None:
    ends = [end]

    def ask(_host: str, port: int, **_: object) -> list[Any]:
        if ends:
            raise ends.pop()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def resolve() -> None:
        resolver = Resolver("provider.invalid", 443, ask)
        with pytest.raises(OSError, match=end.__name__):
            await resolver.addresses()
        assert await resolver.addresses() == [(socket.AF_INET, ("127.0.0.1", 443))]

    run(resolve())


def test_a_thread_that_never_answers_is_replaced(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    may_answer = threading.Event()
    asking = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    asked = []

    def ask(_host: str, port: int, **_: object) -> list[Any]:
        asked.append(1)
        if len(asked) == 1:
            loops[0].call_soon_threadsafe(asking.set)
            may_answer.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def resolve() -> None:
        resolver = Resolver("provider.invalid", 443, ask)
        loops.append(asyncio.get_running_loop())
        first = asyncio.create_task(resolver.addresses())
        await asking.wait()
        monkeypatch.setattr(names, "LOST_SECONDS", -1.0)
        assert await resolver.addresses() == [(socket.AF_INET, ("127.0.0.1", 443))]
        assert not first.done()
        assert len(asked) == 2
        may_answer.set()
        assert await first == await resolver.addresses()

    run(resolve())


def test_the_next_address_is_tried_and_the_one_that_answered_is_tried_first_then(run: Run) -> None:
    # `localhost` has ::1 first on most machines, where the server does not listen; elsewhere it proves less.
    async def calls(server: Server) -> None:
        async with opened(server.port, connections=2) as sender:
            await asyncio.gather(sender.send(PHONE, TEXT), sender.send(PHONE, TEXT))
            first = sender._transport._connector._resolver._known[0]
            assert first == (socket.AF_INET, ("127.0.0.1", server.port))

    with serving(forever(reply(SENT))) as server:
        run(calls(server))


def test_the_sender_shows_no_key(run: Run) -> None:
    async def show(server: Server) -> str:
        async with opened(server.port) as sender:
            return repr(sender) + repr(vars(sender._transport))

    with serving(answering()) as server:
        assert KEY not in run(show(server))
