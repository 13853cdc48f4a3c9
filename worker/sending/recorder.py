"""Group commit: the results of many threads are written in one transaction, tens of milliseconds after the answers.

A single result is written at once, and so is a result that may put a hold on the account. Under load, results of forty
milliseconds share a transaction. A crash loses at most those results; their rows become `unknown` when the lease ends.

A result is never dropped because the database is away: it waits as long as the process lives. Their number is bounded:
with `MOST_WAITING` of them the recorder has no room, and the pump begins no call until it has. A row that somebody
else has locked waits alone; the others are recorded.
"""

import dataclasses
import functools
import random
import threading
import time
from collections import deque
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from smsclick._database.engine import Database, Fault, fault_of
from smsclick._logs.event_log import EventLog
from smsclick.errors import DatabaseUnavailable
from smsclick.provider.results import Accepted
from smsclick.settings import Settings
from worker.alerting import incidents
from worker.alerting.details import made
from worker.alerting.wording import DetailCode
from worker.lifecycle.attempt import Ended
from worker.lifecycle.policy import Released
from worker.sending.results import Recorded, record_results
from worker.threads.supervision import SupervisedThread, Supervisor

log = EventLog(__name__)

MOST_WAITING = 1000
"""With so many waiting results the pump stops; answers to a thousand calls come in bursts. A crash makes no more than
these unknown."""

_GROUP = 200
_GATHER_SECONDS = 0.04
_IDLE_SECONDS = 5.0
_BEATS_WITHIN_SECONDS = 60.0
_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 2.0
_LOCK_TIMEOUT = "2s"
"""Locked message rows are skipped; this bounds the wait for any other lock, on PostgreSQL."""

_FAULTS = 5
"""After so many refusals of a single result, its content counts as the cause."""

_FAILED_IN_A_ROW = 8
_WARN_SECONDS = 60.0


@dataclasses.dataclass(slots=True, eq=False)
class _Result:
    ended: Ended
    done: Callable[[], None] | None = None
    written: bool = False
    faults: int = 0
    locked: bool = False

    def finish(self) -> None:
        if self.done is not None:
            self.done()
            self.done = None


class Recorder:
    """A supervised thread that writes results in groups.

    Args:
        database: where the rows are.
        settings: for the policy.
        rng: for the jitter of due times.
        supervisor: health checks read it; by default a new one.
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
        return self.waiting < MOST_WAITING

    def record(self, ended: Ended) -> None:
        """Write one result; returns when it is committed.

        This waits while the database restarts, because an answer of the provider must not be lost. If the process is
        killed meanwhile, the lease ends and the row becomes `unknown`. If somebody else has locked the row, this
        returns when the outcome's effect on the account is recorded, and the row follows when it is free. A result
        that the database refuses for its own content is dropped with a log line and an incident.
        """
        recorded = threading.Event()
        self.submit(ended, recorded.set)
        recorded.wait()

    def submit(self, ended: Ended, done: Callable[[], None] | None = None) -> None:
        """Write one result soon. From any thread, and without a wait.

        Args:
            ended: the attempt with its outcome.
            done: called by the recorder's thread when `record` would return, seldom more than once. It raises nothing.
        """
        self._new.append(_Result(ended, done))
        if not self._arrived.is_set():
            self._arrived.set()
        if not isinstance(ended.outcome, Accepted | Released) and not self._urgent.is_set():
            self._urgent.set()
        self._thread.start()  # in case it could not be started before

    def close(self) -> None:
        """Write all waiting results, however long that takes, and end the thread."""
        self._closing = True
        self._arrived.set()
        self._urgent.set()
        if self._thread.start():
            self._thread.join()
        elif self.waiting:
            self._run()  # the system allows no thread, so this one writes

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
        """Tidy up after an exception: no result is lost, and one that is listed twice is written once."""
        for result in self._waiting:
            if result.written:
                result.finish()  # the exception may have come before
        self._waiting = [result for result in dict.fromkeys(self._waiting) if not result.written]
        listed = set(self._waiting)
        for _ in range(len(self._new)):
            result = self._new.popleft()
            if result.written:
                result.finish()
            elif result not in listed:
                self._new.append(result)

    def _take(self, not_before: float) -> list[_Result]:
        """The results to write now: waiting ones that are due, and new ones. Each stays listed until it is written."""
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
        # In this order: a result in two lists is noticed, a result in no list would be lost.
        self._waiting += [result for result in left if result not in self._waiting]
        while self._new and (self._new[0].written or self._new[0] in self._waiting):
            self._new.popleft()
        self._waiting = [result for result in self._waiting if not result.written]
        if left:
            self._retry_seconds = min(2 * self._retry_seconds or _FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
            self._retry_at = time.monotonic() + self._retry_seconds
        elif not self._waiting:
            self._retry_seconds = 0.0

    def _try(self, group: list[_Result]) -> list[_Result]:
        """Write a group, one by one if it fails as a whole; returns the results that have to wait."""
        try:
            return self._commit(group)
        except Exception as error:  # noqa: BLE001 - no error of a database may lose a result
            if len(group) == 1:
                return self._judge(group[0], error)
            self._warn(error, len(group))
            if not self._answers():
                self._thread.stopping.wait(_FIRST_RETRY_SECONDS)
                return group
        # In random order, so that results that always fail cannot block the others.
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
        """Write a group in one transaction; returns the results whose rows somebody else has locked."""

        def work(connection: sa.Connection, *, new_ids: bool) -> Recorded:
            ended = [result.ended for result in group]
            return record_results(
                connection,
                ended,
                self._settings,
                self._rng,
                skip_locked=True,
                lock_timeout=_LOCK_TIMEOUT,
                new_ids=new_ids,
            )

        with self._thread.waiting_for("database"):
            try:
                recorded = self._database.transact(functools.partial(work, new_ids=True))
            except IntegrityError:
                # Perhaps another message has the same id_mensaje: nearly never, so it is looked for only now.
                recorded = self._database.transact(functools.partial(work, new_ids=False))
        locked = []
        for result in group:
            if result.ended.claim.id in recorded.locked:
                locked.append(result)
                result.ended = dataclasses.replace(result.ended, counted=True)
                self._note_lock(result)
            else:
                result.written = True
                self.recorded += 1
            result.finish()
        return locked

    def _answers(self) -> bool:
        """Whether the database answers."""
        try:
            with self._thread.waiting_for("database"):
                self._database.clock()
        except Exception:  # noqa: BLE001 - the caller has logged the reason
            return False
        return True

    def _judge(self, result: _Result, error: Exception) -> list[_Result]:
        """Decide about a result that failed alone: it waits, unless its own content is proven to be the cause."""
        # A defect of this program proves nothing about the row.
        if not isinstance(error, DBAPIError) or fault_of(error) is not Fault.ROW:
            self._warn(error, 1)
            return [result]
        # Another process may have just recorded the same id_mensaje; the next try sees it.
        result.faults += 1
        if result.faults < _FAULTS:
            return self._try([result])
        return [] if self._give_up(result, error) else [result]

    def _give_up(self, result: _Result, error: Exception) -> bool:
        """Drop a result that cannot be stored, with an incident that keeps its id; False if even that must wait."""
        claim, outcome = result.ended.claim, result.ended.outcome
        id_mensaje = outcome.id_mensaje if isinstance(outcome, Accepted) else None
        if id_mensaje is not None:
            detail = made(DetailCode.ACCEPTED, id=claim.id, id_mensaje=id_mensaje)

            def report(connection: sa.Connection) -> bool:
                return incidents.report(connection, "lost_id", detail=detail)

            try:
                self._database.transact(report)
            except Exception as failure:  # noqa: BLE001 - without the incident the id would be lost
                self._warn(failure, 1)
                return False
        log.error(
            "result_not_written",
            message_id=claim.id,
            attempt=claim.attempt,
            outcome=type(outcome).__name__,
            id_mensaje=id_mensaje,
            error=type(error).__name__,
        )
        result.written = True
        result.finish()
        return True

    def _warn(self, error: Exception, count: int) -> None:
        """Log why results wait, once a minute for each kind of error."""
        now = time.monotonic()
        if now - self._warned.get(type(error), float("-inf")) < _WARN_SECONDS:
            return
        self._warned[type(error)] = now
        # Not the driver's words: they may hold a row, with its phone and text.
        said = error if isinstance(error, DatabaseUnavailable) else type(error).__name__
        log.warning("results_wait", results=count, error=said)

    def _note_lock(self, result: _Result) -> None:
        """Log once that a row is locked, with the id that would be lost with this process."""
        if not result.locked:
            result.locked = True
            outcome = result.ended.outcome
            log.warning(
                "result_waits",
                message_id=result.ended.claim.id,
                attempt=result.ended.claim.attempt,
                outcome=type(outcome).__name__,
                id_mensaje=outcome.id_mensaje if isinstance(outcome, Accepted) else None,
            )
