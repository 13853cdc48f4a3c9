"""The job queue pgqueuer: a job per message, asyncio, aiohttp, asyncpg.

`pgq run bench.peers.pgqueuer_:make --batch-size 50`; `python -m bench.peers.pgqueuer_ COUNT` makes its tables and so
many jobs.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgPoolDriver

from bench.peers import table


@contextlib.asynccontextmanager
async def make() -> AsyncIterator[Any]:
    """The worker."""
    async with (
        asyncpg.create_pool(table.DSN, min_size=4, max_size=20) as pool,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        queue = PgQueuer(AsyncpgPoolDriver(pool))

        async def send_message(job: Any) -> None:  # noqa: ANN401 - pgqueuer's Job
            message_id = int(job.payload)
            row = await pool.fetchrow("SELECT phone, text FROM outbox WHERE id = $1", message_id)
            if row is None:
                return
            async with http.post(table.SEND_URL, data=table.form(row["phone"], row["text"])) as response:
                answer = await response.json()
            if answer["codigo"] == 1:
                await pool.execute(
                    "UPDATE outbox SET state = 'sent', id_mensaje = $1, sent_at = now() WHERE id = $2",
                    answer["id_mensaje"],
                    message_id,
                )

        queue.entrypoint("send_message")(send_message)
        yield queue


async def _fill(count: int) -> None:
    async with asyncpg.create_pool(table.DSN, min_size=1, max_size=2) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        await queries.install()
        for start in range(0, count, 1000):
            payloads = [str(number).encode() for number in range(start, min(start + 1000, count))]
            await queries.enqueue(["send_message"] * len(payloads), payloads, [0] * len(payloads))


if __name__ == "__main__":
    asyncio.run(_fill(int(sys.argv[1])))
