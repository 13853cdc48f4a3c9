"""Group commit: results of many threads are written in one transaction, some tens of milliseconds after they came.

A result that comes alone is written at once, and so is whatever may close the gate. Under load what comes within forty
milliseconds shares a transaction, so that at most that much can be lost in a crash; those rows become `unknown` when
their lease ends.

A result is never thrown away for the database's sake: it waits for as long as the process lives. What waits is bounded:
beyond `MOST` the recorder has no room, and the pump begins no further calls until it has. A message row that somebody
else has locked waits by itself; the others are recorded.
"""

import dataclasses
import logging
import random
import threading
import time
from collections import deque
from concurrent.futures import Future

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from smsclick._database.engine import Database, Fault, fault_of
from smsclick.errors import DatabaseUnavailable
from smsclick.provider.results import Accepted
from smsclick.settings import Settings
from worker.alerting import incidents
from worker.lifecycle.attempt import Ended
from worker.lifecycle.policy import Released
from worker.sending.results import Recorded, record_results
from worker.threads.supervision import SupervisedThread, Supervisor

log = logging.getLogger(__name__)

MOST = 400
"""Results that may wait before the pump stops: two groups. A crash makes no more than these unknown."""

_GROUP = 200
_GATHER_SECONDS = 0.04
_IDLE_SECONDS = 5.0
_BEATS_WITHIN_SECONDS = 60.0
_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 2.0
_LOCK_TIMEOUT = "2s"
_FAULTS = 5
"""How often the database refuses a result by itself before it counts as the result's own fault."""

_FAILED_IN_A_ROW = 8
_WARN_SECONDS = 60.0


@dataclasses.dataclass(slots=True, eq=False)
class _Result:
    ended: Ended
    done: "Future[None]" = dataclasses.field(default_factory=Future)
    written: bool = False
    faults: int = 0
    locked: bool = False

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Recorder:
    """A supervised thread that writes results in groups.

    Args:
        database: where the rows are.
        settings: for the policy.
        rng: for the jitter of due times.
        supervisor: knows the thread, for health checks; one of its own by default.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        rng: random.Random | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._rng = rng or random.Random()
        self._new: deque[_Result] = deque()
        self._waiting: list[_Result] = []
        self._retry_at = 0.0
        self._retry_seconds = 0.0
        self._arrived = threading.Event()
        self._urgent = threading.Event()
        self._drained = threading.Condition()
        self._closing = False
        self._warned: dict[type[Exception], float] = {}
        self.recorded = 0
        """Results that were committed."""
        thread = SupervisedThread("smsclick-recorder", self._run, beats_within=_BEATS_WITHIN_SECONDS)
        self._thread = (supervisor or Supervisor()).add(thread)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many results are not written yet."""
        return len(self._new) + len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether further calls may begin."""
        return self.waiting < MOST

    def await_room(self, seconds: float) -> bool:
        """Wait until there is room, so many seconds at the most; whether there is."""
        if self.has_room:
            return True
        with self._drained:
            return self._drained.wait_for(lambda: self.has_room, seconds)

    def record(self, ended: Ended) -> None:
        """Write one result; returns when it is committed.

        An answer of the provider must not be lost to a database that restarts: this waits for as long as that takes.
        Should the process be killed meanwhile, the row's lease ends and it becomes `unknown`. Where somebody else has
        locked the message's row, this returns once the gate knows of the outcome; the row follows when it is free. What
        the database refuses for the result's own sake is dropped with a line of the log and an incident.
        """
        self.submit(ended).result()

    def submit(self, ended: Ended) -> "Future[None]":
        """Write one result soon; the future is done when `record` would return."""
        result = _Result(ended)
        self._new.append(result)
        self._arrived.set()
        if not isinstance(ended.outcome, Accepted | Released):
            self._urgent.set()
        self._thread.start()  # where it could not be started before
        return result.done

    def close(self) -> None:
        """Write what is left, for as long as that takes, and end the thread."""
        self._closing = True
        self._arrived.set()
        self._urgent.set()
        if self._thread.start():
            self._thread.join()
        elif self.waiting:
            self._run()  # no thread to be had: then by this one

    # --- The thread

    def _run(self) -> None:
        self._forget_written()
        written_at = float("-inf")
        while True:
            self._thread.beat()
            group = self._take(written_at + _GATHER_SECONDS)
            if group:
                self._write(group)
                written_at = time.monotonic()
            elif self._closing and not self.waiting:
                return

    def _forget_written(self) -> None:
        """After an exception somewhere in between: nothing is lost, and what is listed twice is written once."""
        self._waiting = [result for result in dict.fromkeys(self._waiting) if not result.written]
        listed = set(self._waiting)
        for _ in range(len(self._new)):
            result = self._new.popleft()
            if not result.written and result not in listed:
                self._new.append(result)

    def _take(self, not_before: float) -> list[_Result]:
        """What is to be written now: what waits and is due, and what is new. All of it stays listed until written."""
        self._arrived.clear()
        now = time.monotonic()
        if not self._new and not (self._waiting and now >= self._retry_at):
            if self._closing and not self._waiting:
                return []
            self._arrived.wait(max(0.0, self._retry_at - now) if self._waiting else _IDLE_SECONDS)
        if self._new:
            self._urgent.wait(max(0.0, not_before - time.monotonic()))
            self._urgent.clear()
        group = list(self._waiting) if self._waiting and time.monotonic() >= self._retry_at else []
        return group + [self._new[index] for index in range(min(_GROUP, len(self._new)))]

    def _write(self, group: list[_Result]) -> None:
        left = self._try(group)
        # In this order: what is listed twice is found out, what is in no list would be lost.
        self._waiting += [result for result in left if result not in self._waiting]
        while self._new and (self._new[0].written or self._new[0] in self._waiting):
            self._new.popleft()
        self._waiting = [result for result in self._waiting if not result.written]
        if left:
            self._retry_seconds = min(2 * self._retry_seconds or _FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
            self._retry_at = time.monotonic() + self._retry_seconds
        elif not self._waiting:
            self._retry_seconds = 0.0
        with self._drained:
            self._drained.notify_all()

    def _try(self, group: list[_Result]) -> list[_Result]:
        """Write a group, one by one where it cannot be written as a whole; returns those that have to wait."""
        try:
            return self._commit(group)
        except Exception as error:  # noqa: BLE001 - whatever a database refuses: no result may be lost by it
            if len(group) == 1:
                return self._judge(group[0], error)
            self._warn(error, len(group))
            if not self._answers():
                self._thread.stopping.wait(_FIRST_RETRY_SECONDS)
                return group
        # In random order, so that some that always fail cannot keep the others from their turn.
        order = self._rng.sample(group, len(group))
        waiting: list[_Result] = []
        failed = 0
        for index, single in enumerate(order):
            if failed >= _FAILED_IN_A_ROW:
                return waiting + order[index:]
            left = self._try([single])
            failed = failed + 1 if left else 0
            waiting += left
        return waiting

    def _commit(self, group: list[_Result]) -> list[_Result]:
        """Write a group in one transaction; returns those whose rows are locked by somebody else."""

        def work(connection: sa.Connection) -> Recorded:
            if connection.dialect.name == "postgresql":
                # Message rows are skipped where they are locked; this bounds the wait for whatever else is.
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            return record_results(
                connection, [result.ended for result in group], self._settings, self._rng, skip_locked=True
            )

        with self._thread.waiting_for("database"):
            settled = self._database.transact(work)
        locked = []
        for result in group:
            if result.ended.claim.id in settled.locked:
                locked.append(result)
                result.ended = dataclasses.replace(result.ended, counted=True)
                self._note_lock(result)
            else:
                result.written = True
                self.recorded += 1
            result.finish()
        return locked

    def _answers(self) -> bool:
        """Whether the database can be reached at all."""
        try:
            with self._thread.waiting_for("database"):
                self._database.clock()
        except Exception:  # noqa: BLE001 - the caller has said what is wrong
            return False
        return True

    def _judge(self, result: _Result, error: Exception) -> list[_Result]:
        """A result that could not be written although it was alone: it waits, unless that is proven its own fault."""
        # A defect of ours proves nothing about the row either.
        if not isinstance(error, DBAPIError) or fault_of(error) is not Fault.ROW:
            self._warn(error, 1)
            return [result]
        # Another process may have recorded the same id_mensaje just now, which the next look sees.
        result.faults += 1
        if result.faults < _FAULTS:
            return self._try([result])
        return [] if self._give_up(result, error) else [result]

    def _give_up(self, result: _Result, error: Exception) -> bool:
        """Drop a result for its own fault, with an incident that keeps its id; False where even that must wait."""
        claim, outcome = result.ended.claim, result.ended.outcome
        id_mensaje = outcome.id_mensaje if isinstance(outcome, Accepted) else None
        detail = f"message {claim.id}" if id_mensaje is None else f"message {claim.id}, id_mensaje {id_mensaje}"

        def report(connection: sa.Connection) -> bool:
            return incidents.report(connection, "lost_id", detail=detail)

        if id_mensaje is not None:
            try:
                self._database.transact(report)
            except Exception as failure:  # noqa: BLE001 - then nobody would hear of it
                self._warn(failure, 1)
                return False
        log.error(
            "A result could not be written. message=%s outcome=%s id_mensaje=%s error=%s",
            claim.id,
            type(outcome).__name__,
            id_mensaje,
            type(error).__name__,
        )
        result.written = True
        result.finish()
        return True

    def _warn(self, error: Exception, count: int) -> None:
        """Say why results wait, once a minute for each kind of error."""
        now = time.monotonic()
        if now - self._warned.get(type(error), float("-inf")) < _WARN_SECONDS:
            return
        self._warned[type(error)] = now
        # No words of a driver: they may hold a row, and rows have phones and texts.
        said = error if isinstance(error, DatabaseUnavailable) else type(error).__name__
        log.warning("Results wait for the database. results=%s error=%s", count, said)

    def _note_lock(self, result: _Result) -> None:
        """Say once that a row is locked, with the id that would be lost with this process."""
        if not result.locked:
            result.locked = True
            outcome = result.ended.outcome
            log.warning(
                "A result waits for its row, which somebody else has locked. message=%s outcome=%s id_mensaje=%s",
                result.ended.claim.id,
                type(outcome).__name__,
                outcome.id_mensaje if isinstance(outcome, Accepted) else None,
            )
