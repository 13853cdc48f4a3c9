"""The job queue pgqueuer: a job per message, asyncio, aiohttp, asyncpg.

`python -m bench.peers.pgqueuer_ COUNT` makes its tables and so many jobs; `python -m bench.peers.pgqueuer_ work BATCH`
is the worker: `PgQueuer.run`, since its command `pgq run` does not start under the typer of our lock.
"""

import asyncio
import sys
from typing import Any

import aiohttp
import asyncpg
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgPoolDriver

from bench.peers import table


async def work(batch: int) -> None:
    """Send what is queued until stopped, taking so many jobs at a time."""
    async with (
        asyncpg.create_pool(table.DSN, min_size=4, max_size=20) as pool,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):

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

        queue = PgQueuer(AsyncpgPoolDriver(pool))
        queue.entrypoint("send_message")(send_message)
        await queue.run(batch_size=batch, max_concurrent_tasks=4 * batch)


async def fill(count: int) -> None:
    """Its tables and so many jobs."""
    async with asyncpg.create_pool(table.DSN, min_size=1, max_size=2) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        await queries.install()
        for start in range(0, count, 1000):
            payloads = [str(number).encode() for number in range(start, min(start + 1000, count))]
            await queries.enqueue(["send_message"] * len(payloads), payloads, [0] * len(payloads))


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[2])) if sys.argv[1] == "work" else fill(int(sys.argv[1])))
