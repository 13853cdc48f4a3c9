"""Run the simulated provider: in a thread of this process, or in the foreground of its own process."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from smsclick.errors import SmsclickError
from smsclick.simulator.account import Account
from smsclick.simulator.faults import Fault
from smsclick.simulator.messages import LedgerEntry
from smsclick.simulator.provider import Provider
from smsclick.simulator.settings import SimulatorSettings
from smsclick.simulator.traffic import SimulatorStats

T = TypeVar("T")
_BACKLOG = 1024


def fastest_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop of uvloop if it is installed; else the standard one, which is a little slower."""
    try:
        import uvloop  # noqa: PLC0415  (part of the extra, and not needed)
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Simulator:
    """SMSClick in a background thread of this process, on 127.0.0.1.

    ```python
    with Simulator(balance=1000) as sim:
        ...  # a client of sim.base_url with the key sim.api_key
        assert [entry.text for entry in sim.ledger()] == ["hola"]
    ```

    Every method may be called from any thread; methods that read may be called after `stop` too.

    Args:
        port: The port on which it listens; 0 is any free port.
        host: The address that it binds. Any address except the loopback lets others in.
        clock: Epoch seconds. With a clock of its own, a test decides how messages progress.
        loop_factory: Makes the event loop; the default is uvloop's if it is installed.
        **settings: Any field of `SimulatorSettings`, by name.

    Raises:
        SmsclickError: A setting is unknown or refused.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        clock: Callable[[], float] = time.time,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = fastest_loop,
        **settings: object,
    ) -> None:
        self._provider = Provider(Account(SimulatorSettings().replace(settings), clock))
        self._host = host
        self._port = port
        self._loop_factory = loop_factory
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._base_url: str | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def base_url(self) -> str:
        """The value for `SMSCLICK_BASE_URL`, without a slash at its end.

        Raises:
            SmsclickError: The simulator was never started.
        """
        if self._base_url is None:
            raise SmsclickError("the simulator is not running: start it, or use it in a with statement")
        return self._base_url

    @property
    def api_key(self) -> str:
        """The APIKEY that it accepts now."""
        return self._provider.account.settings.api_key

    def start(self) -> None:
        """Start the simulator; return when it listens.

        Raises:
            SmsclickError: The port is in use, or the simulator was started before.
        """
        if self._thread is not None:
            raise SmsclickError("this simulator was started before: make a new one")
        ready: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="smsclick-simulator", daemon=True)
        self._thread.start()
        self._base_url = ready.result()

    def stop(self) -> None:
        """Stop listening and end every connection, also hanging ones. Harmless if it is not running."""
        loop, stopping, thread = self._loop, self._stopping, self._thread
        if thread is None:
            return
        if loop is not None and stopping is not None and thread.is_alive():
            with suppress(RuntimeError):  # closed between the check and the call
                loop.call_soon_threadsafe(stopping.set)
        thread.join()

    def ledger(self) -> list[LedgerEntry]:
        """Return the accepted messages in order, each in its present state."""
        # Only the snapshot is made on the loop. The entries are made here, where they delay no request.
        return list(self._call(self._provider.account.ledger))

    def stats(self) -> SimulatorStats:
        """Return the requests by endpoint and outcome, the concurrency, and the arrivals by second."""
        return self._call(lambda: self._provider.traffic.snapshot(self._provider.account))

    def set(self, **settings: object) -> None:
        """Change any fields of `SimulatorSettings` by name; `add_balance=n` adds to the balance.

        Raises:
            SmsclickError: A name is unknown or a value is refused; nothing was changed.
        """
        self._call(lambda: self._provider.account.change(settings))

    def faults(self, faults: Iterable[Fault] = ()) -> None:
        """Replace all rules by these; without rules, nothing goes wrong."""
        rules = list(faults)
        self._call(lambda: self._provider.faults.replace(rules))

    def force_status(self, id_mensaje: int, estatus: int) -> None:
        """Give a message this estatus from now on, instead of its own course.

        Raises:
            SmsclickError: There is no such message, or no such estatus.
        """
        self._call(lambda: self._provider.account.force(id_mensaje, estatus))

    def reset(self) -> None:
        """Return to the start: an empty ledger, no faults, no counts, the first settings."""
        self._call(self._provider.control.reset)

    def _run(self, ready: "Future[str]") -> None:
        async def listen() -> None:
            self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
            await _listen(self._provider, self._host, self._port, ready.set_result, self._stopping)

        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                runner.run(listen())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    def _call(self, act: Callable[[], T]) -> T:
        """Run `act` on the loop that owns the state; return or raise what it does."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None or not thread.is_alive():
            return act()
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(act())
            except BaseException as error:  # noqa: BLE001  (it is raised again in the thread that asked)
                result.set_exception(error)

        try:
            loop.call_soon_threadsafe(run)
        except RuntimeError:  # just closed
            thread.join()
            return act()
        while True:
            wait([result], timeout=1)
            if result.done():
                return result.result()
            if not thread.is_alive():  # the loop ended before it ran the call
                return act()


def serve(
    port: int,
    settings: SimulatorSettings | None = None,
    *,
    host: str = "127.0.0.1",
    faults: Iterable[Fault] = (),
    on_ready: Callable[[str], None] = lambda _base_url: None,
) -> None:
    """Run the simulator in the foreground of the main thread until SIGINT or SIGTERM. It prints nothing.

    Args:
        port: The port on which it listens; 0 is any free port.
        settings: The account; None is the default settings.
        host: The address that it binds. Any address except the loopback lets others in.
        faults: The rules in force at the start.
        on_ready: Called once, with the base URL, when requests are accepted.

    Raises:
        SmsclickError: The port is in use.
    """
    provider = Provider(Account(settings or SimulatorSettings()))
    provider.faults.replace(faults)

    async def listen() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        await _listen(provider, host, port, on_ready, stopping)

    with asyncio.Runner(loop_factory=fastest_loop) as runner:
        runner.run(listen())


async def _listen(
    provider: Provider,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    stopping: asyncio.Event,
) -> None:
    try:
        from smsclick.simulator.http_connection import Connection  # noqa: PLC0415  (a client needs no parser)
    except ImportError:
        raise SmsclickError("the simulator needs its extra: pip install 'smsclick[simulator]'") from None
    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()

    def connect() -> Connection:
        return Connection(provider.answer, provider.traffic, connections, provider.account.now)

    try:
        server = await loop.create_server(connect, host, port, backlog=_BACKLOG)
    except OSError as error:
        raise SmsclickError(
            f"the simulator cannot listen on {host}:{port} ({error.strerror or error}): choose another port"
        ) from None
    try:
        on_ready(f"http://{host}:{server.sockets[0].getsockname()[1]}/sms-services")
        await stopping.wait()
    finally:
        server.close()
        # A connection that was accepted last appears in a later round of the loop, so repeat until there is none.
        while True:
            await asyncio.sleep(0)
            if not connections:
                break
            for connection in list(connections):
                connection.abort()
