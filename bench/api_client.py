"""A client that posts messages to the HTTP API one by one, each with a key of its own, over kept connections.

`python -m bench.api_client HOST PORT --seconds S [--rate R | --at-once N]`, with the token in `BENCH_TOKEN`. With a
rate it keeps to a schedule whatever comes of it, and a request's time begins when it was due; else so many are always
under way. Prints one JSON object: requests, errors by kind, seconds, and the milliseconds of each.
It writes HTTP/1.1 by hand: a client library would use more of the machine than the server that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import itertools
import json
import os
import time

from bench.provider import phone

_LONGEST_SECONDS = 60.0


class Load:
    """One load and what came of it.

    Args:
        host: of the API.
        port: of the API.
        token: with the scope `send`.
    """

    def __init__(self, host: str, port: int, token: str) -> None:
        self._address = (host, port)
        self._head = f"POST /v1/messages HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n".encode()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._numbers = itertools.count()
        self._run = f"{os.getpid()}-{time.time_ns()}"
        self.milliseconds: list[float] = []
        self.errors: collections.Counter[str] = collections.Counter()

    async def one(self, due: float) -> None:
        """Post one message; its time is counted from `due`."""
        n = next(self._numbers)
        body = {"phone": phone(n), "text": f"Tu pedido {n} va en camino", "key": f"{self._run}-{n}"}
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                status = await self._post(json.dumps(body).encode())
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self.errors[type(error).__name__] += 1
            return
        if status == "202":
            self.milliseconds.append((time.perf_counter() - due) * 1000)
        else:
            self.errors[status] += 1

    async def _post(self, body: bytes) -> str:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(self._head + length + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length:")[2].partition("\r\n")[0]))
        self._idle.append((reader, writer))
        return head.split(" ", 2)[1]

    async def at_rate(self, rate: float, seconds: float) -> None:
        """Begin so many a second, whether earlier ones are answered or not."""
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for n in range(int(rate * seconds)):
                due = begin + n / rate
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                group.create_task(self.one(due))

    async def at_once(self, many: int, seconds: float) -> None:
        """Keep so many under way."""
        end = time.perf_counter() + seconds

        async def client() -> None:
            while (now := time.perf_counter()) < end:
                await self.one(now)

        async with asyncio.TaskGroup() as group:
            for _ in range(many):
                group.create_task(client())

    def close(self) -> None:
        """Close the kept connections."""
        for _, writer in self._idle:
            writer.close()


async def run(given: argparse.Namespace) -> dict[str, object]:
    """Warm up for a second, then measure."""
    load = Load(given.host, given.port, os.environ["BENCH_TOKEN"])
    await load.at_once(8, 1.0)
    load.milliseconds.clear()
    began = time.perf_counter()
    await (load.at_rate(given.rate, given.seconds) if given.rate else load.at_once(given.at_once, given.seconds))
    took = time.perf_counter() - began
    load.close()
    return {
        "requests": len(load.milliseconds) + load.errors.total(),
        "errors": dict(load.errors),
        "seconds": took,
        "milliseconds": load.milliseconds,
    }


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="python -m bench.api_client")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--at-once", type=int, default=32)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
