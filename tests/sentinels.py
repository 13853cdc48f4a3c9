"""Redis with a replica and Sentinels that watch both: killed, the master is replaced."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self

import redis

from tests.processes import wait_until
from tests.servers import HOST, RedisServer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

NAME = "mine"


class _Replica(RedisServer):
    """A copy of another Redis."""

    master: RedisServer

    def _command(self) -> Sequence[str]:
        return [*super()._command(), "--replicaof", f"{HOST} {self.master.port}", "--repl-diskless-sync-delay", "0"]


class _Sentinel(RedisServer):
    """Watches a Redis and its copies; two of two must agree."""

    master: RedisServer

    def _create(self) -> None:
        file = self.directory / "sentinel.conf"
        file.write_text(
            f"sentinel monitor {NAME} {HOST} {self.master.port} 2\n"
            f"sentinel down-after-milliseconds {NAME} 1000\n"
            f"sentinel failover-timeout {NAME} 5000\n"
        )
        if self._account:
            os.chown(file, self._account.pw_uid, self._account.pw_gid)

    def _command(self) -> Sequence[str]:
        program = str(self._executables["redis-server"])
        file = str(self.directory / "sentinel.conf")
        return [program, file, "--sentinel", "--bind", HOST, "--port", str(self.port), "--dir", str(self.directory)]


class Sentinels:
    """All of them, running while it is entered."""

    def __init__(self, directory: Path) -> None:
        self.master = RedisServer(directory / "master")
        self._replica = _Replica(directory / "replica")
        self._watching = [_Sentinel(directory / f"sentinel-{number}") for number in range(2)]

    def __enter__(self) -> Self:
        self.master.start()
        self._replica.master = self.master
        self._replica.start()
        for each in self._watching:
            each.master = self.master
            each.start()
        wait_until(self._complete, 60, what="the Sentinels to know each other and the copy")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (*self._watching, self._replica, self.master):
            each.kill()

    @property
    def url(self) -> str:
        """As CELERY_BROKER_URL has it; the first of them does not answer."""
        hosts = [1, *(each.port for each in self._watching)]
        return ";".join(f"sentinel://{HOST}:{port}/0" for port in hosts) + f"?master_name={NAME}"

    def masters(self) -> set[int]:
        """The ports that the Sentinels give for the master."""
        found = set()
        for each in self._watching:
            with closing(redis.Redis(host=HOST, port=each.port, decode_responses=True)) as client:
                sentinel: Any = client
                found.add(int(sentinel.sentinel_get_master_addr_by_name(NAME)[1]))
        return found

    def _complete(self) -> bool:
        for each in self._watching:
            with closing(redis.Redis(host=HOST, port=each.port, decode_responses=True)) as client:
                sentinel: Any = client
                state = sentinel.sentinel_master(NAME)
                if (int(state["num-slaves"]), int(state["num-other-sentinels"])) != (1, 1):
                    return False
        return True
