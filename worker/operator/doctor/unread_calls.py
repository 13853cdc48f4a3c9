"""Check whether calls by name wait in Redis where no worker of ours reads: under other keys or in another database.

A producer's app may put a prefix before all its keys (`global_keyprefix`), use other separators for priorities, or
use another database number. Redis then stores its calls, nobody reads them, and nobody gets an error.
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, Final

from worker.operator.doctor.check import Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "elsewhere"

_SCAN_SECONDS: Final = 2.0
_KEYS_PER_SCAN: Final = 1000
_MOST_SHOWN: Final = 5
_QUEUE: Final = r"smsclick(?:\.ticks|\.send|\.poll|\.callbacks)?"
_READ_KEYS: Final = re.compile(rf"{_QUEUE}(?:\x06\x16[369])?")
"""The keys that workers read, with kombu's separator and steps of priorities."""

_SIMILAR_KEYS: Final = re.compile(rf".{{0,200}}?{_QUEUE}(?:[^\w.]{{1,3}}\d{{1,3}})?", re.DOTALL)


def check(connection: Any) -> Check:  # noqa: ANN401 - kombu's
    """Look at this database's keys for at most two seconds, and at our queue in the other databases.

    Args:
        connection: kombu's, to Redis.
    """
    with connection.channel() as channel:
        client = channel.client
        own = int(client.connection_pool.connection_kwargs.get("db") or 0)
        keys, whole = _keys(client)
        found = [f"{_shown(key)} ({size})" for key in keys if (size := int(client.llen(key)))]
        databases = list(_databases(client, own))
    if found:
        shown = ", ".join(found[:_MOST_SHOWN]) + (" …" if found[_MOST_SHOWN:] else "")
        todo = (
            "take global_keyprefix, sep and priority_steps out of broker_transport_options in the app that calls by "
            "name; what waits there can be moved: docs/protocol.md"
        )
        return Check(NAME, Verdict.WARNING, f"calls wait under keys that no worker reads: {shown}", todo)
    if databases:
        todo = f"give that app and these workers the same database number; these workers read {own}"
        return Check(NAME, Verdict.WARNING, f"calls wait unread in {', '.join(databases)} of this Redis", todo)
    return Check(
        NAME, Verdict.OK, f"no call waits where nobody reads{'' if whole else ' (not all keys were looked at)'}"
    )


def _keys(client: Any) -> tuple[list[bytes], bool]:  # noqa: ANN401 - redis'
    """Return the lists with names similar to those of our queues, and whether all keys were looked at."""
    found: set[bytes] = set()
    cursor, end = 0, time.monotonic() + _SCAN_SECONDS
    while True:
        cursor, keys = client.scan(cursor, match="*smsclick*", count=_KEYS_PER_SCAN, _type="list")
        for key in keys:
            name = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
            if _SIMILAR_KEYS.fullmatch(name) and not _READ_KEYS.fullmatch(name):
                found.add(key)
        if not cursor or time.monotonic() > end:
            return sorted(found), not cursor


def _databases(client: Any, own: int) -> Iterator[str]:  # noqa: ANN401 - redis'
    """Yield the other databases in which our queue for calls is not empty and has no reader."""
    with contextlib.suppress(Exception):  # a hosted Redis may forbid these commands, or have one database only
        numbers = [int(name.removeprefix("db")) for name in client.info("keyspace")]
        readers = {int(each["db"]) for each in client.client_list() if each.get("cmd") == "brpop"}
        for number in numbers:
            if number != own and number not in readers and (size := _size_in(client, number, own)):
                yield f"database {number} ({size})"


def _size_in(client: Any, number: int, own: int) -> int:  # noqa: ANN401 - redis'
    """Return the length of our queue there.

    The transaction also selects our own database again, because the connection has other users.
    """
    with client.pipeline(transaction=True) as pipeline:
        pipeline.execute_command("SELECT", number)
        pipeline.llen("smsclick")
        pipeline.execute_command("SELECT", own)
        return int(pipeline.execute()[1])


def _shown(key: bytes | str) -> str:
    name = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
    return "".join(sign if sign.isprintable() else "?" for sign in name)[:80]
