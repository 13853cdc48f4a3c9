"""The job queue procrastinate: a job per message, asyncio, aiohttp, psycopg's pool.

`procrastinate --app=bench.peers.procrastinate_.app worker -c 100`; `python -m bench.peers.procrastinate_ COUNT` makes
its tables and so many jobs.
"""

import asyncio
import functools
import sys

import aiohttp
import procrastinate
import psycopg_pool

from bench.peers import table

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=table.DSN, min_size=4, max_size=20))


@functools.cache
def _http() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


@functools.cache
def _rows() -> psycopg_pool.AsyncConnectionPool:
    return psycopg_pool.AsyncConnectionPool(table.DSN, kwargs={"autocommit": True}, min_size=4, max_size=20, open=False)


async def send_message(message_id: int) -> None:
    """Send one message."""
    rows = _rows()
    await rows.open()
    async with rows.connection() as connection:
        found = await connection.execute("SELECT phone, text FROM outbox WHERE id = %s", (message_id,))
        row = await found.fetchone()
    if row is None:
        return
    async with _http().post(table.SEND_URL, data=table.form(*row)) as response:
        answer = await response.json()
    if answer["codigo"] == 1:
        async with rows.connection() as connection:
            await connection.execute(
                "UPDATE outbox SET state = 'sent', id_mensaje = %s, sent_at = now() WHERE id = %s",
                (answer["id_mensaje"], message_id),
            )


task = app.task(name="send_message")(send_message)


async def _fill(count: int) -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for start in range(0, count, 1000):
            jobs = ({"message_id": number} for number in range(start, min(start + 1000, count)))
            await task.batch_defer_async(*jobs)


if __name__ == "__main__":
    asyncio.run(_fill(int(sys.argv[1])))
