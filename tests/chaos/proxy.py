"""A network between one worker and its database that can fall silent, as real ones do."""

import asyncio
import contextlib
import threading
from concurrent.futures import Future

HOST = "127.0.0.1"
_PART = 64 * 1024


class Proxy:
    """Forwards connections to a port of this machine, until `cut` is called.

    Args:
        target: the port of the database.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._closing = asyncio.Event()
        ready: Future[tuple[asyncio.AbstractEventLoop, int]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="chaos-proxy", daemon=True)
        self._thread.start()
        self._loop, self.port = ready.result(60)

    def cut(self) -> None:
        """From now on nothing gets through; connections stay open, new ones are accepted and receive nothing."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def freeze(self) -> None:
        """Nothing gets through the connections that are open, ever again; new ones are forwarded."""

        def act() -> None:
            self._flows.clear()
            self._flows = asyncio.Event()
            self._flows.set()

        self._loop.call_soon_threadsafe(act)

    def restore(self, *, reset: bool) -> None:
        """Forward again, what was held back first; or, with `reset`, end every connection there is."""

        def act() -> None:
            if reset:
                self._reset()
            self._flows.set()

        self._loop.call_soon_threadsafe(act)

    def close(self) -> None:
        """End."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(60)

    async def _serve(self, ready: "Future[tuple[asyncio.AbstractEventLoop, int]]") -> None:
        self._flows.set()
        server = await asyncio.start_server(self._connect, HOST, 0)
        ready.set_result((asyncio.get_running_loop(), server.sockets[0].getsockname()[1]))
        await self._closing.wait()
        server.close()
        self._reset()
        self._flows.set()
        await asyncio.sleep(0.1)  # the connections notice

    def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        flows = self._flows
        try:
            await flows.wait()
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            self._drop(writer)
            return
        self._writers.add(far_writer)
        await asyncio.gather(self._pump(reader, far_writer, flows), self._pump(far_reader, writer, flows))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PART):
                await flows.wait()
                writer.write(data)
                await writer.drain()
            await flows.wait()  # the end of the stream does not get through either
        self._drop(writer)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()
