"""Group commit: results of many threads are written in one transaction, some tens of milliseconds after they came.

A result that comes alone is written at once, and so is whatever may close the gate. Under load what comes within forty
milliseconds shares a transaction, so that at most that much can be lost in a crash; those rows become `unknown` when
their lease ends.
"""

import contextlib
import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from smsclick.database import Database
from smsclick.errors import DatabaseUnavailable
from smsclick.replies import Accepted
from smsclick.settings import Settings
from worker.decisions import Released
from worker.settle import Ended, Settled, settle

log = logging.getLogger(__name__)

_GROUP = 200
_GATHER_SECONDS = 0.04
_RETRY_SECONDS = 0.5


class Recorder:
    """A thread that writes results in groups.

    Args:
        database: where the rows are.
        settings: for the policy.
        after: is called after each commit with what it brought.
        rng: for the jitter of due times.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        after: Callable[[Settled], None],
        rng: random.Random | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._after = after
        self._rng = rng or random.Random()
        self._results: queue.SimpleQueue[tuple[Ended, Future[None]] | None] = queue.SimpleQueue()
        self._urgent = threading.Event()
        self._thread = threading.Thread(target=self._run, name="smsclick-recorder", daemon=True)
        self._thread.start()
        self.recorded = 0

    def record(self, ended: Ended) -> None:
        """Write one result; returns when it is committed.

        An answer of the provider must not be lost to a database that restarts: this waits for as long as that takes.
        Should the process be killed meanwhile, the row's lease ends and it becomes `unknown`; so does a row whose
        result the database refuses, which the log tells.
        """
        self.submit(ended).result()

    def submit(self, ended: Ended) -> "Future[None]":
        """Write one result soon; the future is done when it is committed, or refused as `record` says."""
        done: Future[None] = Future()
        self._results.put((ended, done))
        if not isinstance(ended.outcome, Accepted | Released):
            self._urgent.set()
        return done

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._results.put(None)
        self._urgent.set()
        self._thread.join()

    def _run(self) -> None:
        written_at = float("-inf")
        while True:
            group, more = self._take(written_at + _GATHER_SECONDS)
            if group:
                self._write(group)
                written_at = time.monotonic()
            if not more:
                return

    def _take(self, not_before: float) -> tuple[list[tuple[Ended, Future[None]]], bool]:
        group: list[tuple[Ended, Future[None]]] = []
        item = self._results.get()
        if item is not None:
            self._urgent.wait(max(0.0, not_before - time.monotonic()))
            self._urgent.clear()
        with contextlib.suppress(queue.Empty):
            while item is not None:
                group.append(item)
                if len(group) >= _GROUP:
                    return group, True
                item = self._results.get_nowait()
            return group, False
        return group, True

    def _write(self, group: list[tuple[Ended, Future[None]]]) -> None:
        def work(connection: sa.Connection) -> Settled:
            return settle(connection, [ended for ended, _ in group], self._settings, self._rng)

        looked_again = False
        while True:
            try:
                settled = self._database.transact(work)
                break
            except DatabaseUnavailable as error:
                log.warning("Results wait for the database. results=%s error=%s", len(group), error)
                time.sleep(_RETRY_SECONDS)
            except Exception as error:
                if len(group) > 1:
                    # One odd row must not take the others with it.
                    log.exception("A group of results was refused; writing one by one. results=%s", len(group))
                    for single in group:
                        self._write([single])
                    return
                if isinstance(error, IntegrityError) and not looked_again:
                    # Another process has just recorded the same id_mensaje; the second look sees it.
                    looked_again = True
                    continue
                # Not raised: the sender has further claims in hand, which would be lost with it.
                log.exception("A result could not be written. message=%s", group[0][0].claim.id)
                group[0][1].set_result(None)
                return
        self.recorded += len(group)
        for _, done in group:
            done.set_result(None)
        try:
            self._after(settled)
        except Exception:
            # Whatever a broker's library raises: without this thread no result would ever be written again.
            log.exception("The news of a group of results could not be told; the sweep will find it")
