"""What an asyncio client could do: nothing but aiohttp with kept connections, no database and no queue.

`python -m bench.peers.bare_aiohttp FIRST COUNT CALLS`, as `bench.peers.bare`.
"""

import asyncio
import itertools
import signal
import sys

import aiohttp

from bench.peers import table
from bench.provider import phone, text


async def send(first: int, count: int, calls: int) -> None:
    """Send them all, so many at once."""
    numbers = itertools.count(first)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def work() -> None:
            while (number := next(numbers)) < first + count:
                async with http.post(table.SEND_URL, data=table.form(phone(number), text(number))) as response:
                    answer = await response.json()
                if answer["codigo"] != 1:
                    raise SystemExit("refused")

        await asyncio.gather(*(work() for _ in range(calls)))


if __name__ == "__main__":
    asyncio.run(send(*(int(argument) for argument in sys.argv[1:4])))
    signal.pause()
