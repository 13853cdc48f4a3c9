"""A small world with a clock of its own: the worker's real functions on a real database, and a provider beside it.

Workers are lists of attempts in memory that a crash forgets. Every step that happens at once in production (a
transaction, a byte sent, an answer) is one method here, so that a test may put anything between two of them.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import datetime as dt
import itertools
import random
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from sqlalchemy import event

from smsclick._database.engine import Database
from smsclick.contract import ACCOUNT, State, accounts, events, incidents, messages, metadata
from smsclick.errors import DatabaseUnavailable, UnreadableAnswer
from smsclick.provider._answers.report import parse_report
from smsclick.provider.codes import Action, Estatus
from smsclick.provider.results import Accepted, HttpAnswer, MessageStatus, Refused, ReportRow, Unknown, UnreadableRow
from smsclick.settings import load_settings
from smsclick.simulator.messages import RECEIVED, Message
from smsclick.simulator.rows import report_parts
from smsclick.simulator.settings import SimulatorSettings
from worker.database_clock import clock
from worker.database_clock.clock import DatabaseClock
from worker.lifecycle import message_rows, model, on_operator, state_machine
from worker.lifecycle.attempt import Ended
from worker.lifecycle.doubt import Doubt
from worker.lifecycle.fingerprint import digits, tolerant, wire_key
from worker.lifecycle.policy import Outcome, Policy, Released
from worker.queue import claims, expired_leases
from worker.reconciliation import claims as unknown_claims
from worker.reconciliation import lookup, reconcile
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS
from worker.reports.matching import CLOCK_TOLERANCE
from worker.sending.results import record_results

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from worker.lifecycle.attempt import Claim
    from worker.reconciliation.verdict import Lookup
    from worker.runtime import Runtime

BEGIN = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
SETTINGS = load_settings(DATABASE_URL="sqlite:///never-opened.db", SMSCLICK_API_KEY="of-the-model")
ACCOUNT_OF_MODEL = "of-the-model"
NEW_KEY, OTHER_ACCOUNT = "of-a-new-key", "of-another-account"
_ACCOUNTS = {ACCOUNT_OF_MODEL: 1, NEW_KEY: 1, OTHER_ACCOUNT: 2}
"""Whose messages a key's report shows."""
CONTROL_PHONE = "5500000000"
LEASE = dt.timedelta(seconds=SETTINGS.lease_seconds)
READ = dt.timedelta(seconds=SETTINGS.read_timeout)
SETTLE = dt.timedelta(seconds=SETTINGS.settle_seconds)
MANUAL = SimulatorSettings()
"""A report as the manual has it."""

MAY_BE_ACCEPTED = frozenset({State.SENDING, State.UNKNOWN, State.SENT})


@dataclasses.dataclass(slots=True)
class Request:
    """One `sendMsg` that left; it goes on without the worker that made it."""

    message_id: int
    key: str
    phone: str
    text: str
    left_at: dt.datetime
    account: str = ACCOUNT_OF_MODEL
    verdict: Accepted | Refused | None = None
    lost: bool = False

    def given_up(self, now: dt.datetime) -> bool:
        """Whether the provider may take it although nobody waits for the answer any more."""
        return self.verdict is None and not self.lost and self.left_at + READ < now < self.left_at + SETTLE

    def open(self, now: dt.datetime) -> bool:
        """Whether the provider may still take it."""
        return self.verdict is None and not self.lost and now <= self.left_at + READ


@dataclasses.dataclass(slots=True)
class Job:
    """What a worker holds in memory about one attempt."""

    claim: Claim
    not_after: dt.datetime
    account: str = ACCOUNT_OF_MODEL
    request: Request | None = None
    outcome: Outcome | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Acceptance:
    """What the provider took; `message_id` is None for what others sent under the same key."""

    id_mensaje: int
    message_id: int | None
    phone: str
    text: str
    at: dt.datetime
    shown_from: dt.datetime
    account: str = ACCOUNT_OF_MODEL


class World:
    """One database, three workers, one provider, and what must never happen.

    Args:
        skew: how far the provider's clock is ahead of the database's.
        form: how its report gives a text back.
        settle_seconds: replaces SMSCLICK_SETTLE_SECONDS, for a product that is broken on purpose.
    """

    WORKERS = 3

    def __init__(
        self,
        *,
        skew: float = 0.0,
        form: Callable[[str], str] = lambda text: text,
        settle_seconds: float = SETTINGS.settle_seconds,
    ) -> None:
        self.now = BEGIN
        self.ahead = dt.timedelta(0)
        """How far the database's clock is ahead of the true time."""
        self.was_set = 0.0
        """By how many seconds it was set, all steps together."""
        self.read_only = False
        self.account = ACCOUNT_OF_MODEL
        self.accounts = {ACCOUNT_OF_MODEL}
        self.habit = MANUAL
        self._left: set[int] = set()
        _worlds[0] = self
        self.database = _database()
        self.settings = load_settings(
            DATABASE_URL="sqlite:///never-opened.db",
            SMSCLICK_API_KEY="of-the-model",
            SMSCLICK_SETTLE_SECONDS=settle_seconds,
        )
        self.workers: list[list[Job]] = [[] for _ in range(self.WORKERS)]
        self.requests: list[Request] = []
        self.accepted: list[Acceptance] = []
        self.reports: list[Lookup] = []
        self._clock = DatabaseClock(measure=self._measured)
        self.fails = False
        self._skew = dt.timedelta(seconds=skew)
        self.form = self.usual_form = form
        self._rng = random.Random(0)
        self._ids = itertools.count(1001)
        self._states: dict[int, str] = {}
        self._last_event = 0
        self._until: dict[int, dt.datetime] = {}
        self._seen: tuple[int, int, int, int] | None = None
        self.controls: list[Acceptance] = []
        self.witness(LEAST_CONTROL_ROWS)

    # --- Time and the producer

    def wait(self, seconds: float) -> None:
        """Time passes for everybody."""
        self.now += dt.timedelta(seconds=seconds)

    @property
    def database_now(self) -> dt.datetime:
        """The time by the database's clock."""
        return self.now + self.ahead

    def set_clock(self, seconds: float) -> None:
        """Set the database's clock, without notice to any process."""
        self.ahead += dt.timedelta(seconds=seconds)
        self.was_set += abs(seconds)

    def restart_watch(self) -> None:
        """The process that watches the database's clock is another one now."""
        self._clock = DatabaseClock(measure=self._measured)

    def change_key(self, account: str) -> None:
        """Workers start with another key; requests in flight use the old one."""
        self.account = account
        if account not in self.accounts:
            self.accounts.add(account)
            self.witness(LEAST_CONTROL_ROWS)

    def try_to_enqueue(self, phone: str, text: str, **values: object) -> None:
        """A producer commits a message, or hears that it could not."""
        with contextlib.suppress(DatabaseUnavailable):
            self.enqueue(phone, text, **values)

    def enqueue(self, phone: str = "5551402211", text: str = "hola", **values: object) -> int:
        """A producer commits a message."""
        message_id = len(self._states) + 1
        with self.database.begin() as connection:
            given = {"id": message_id, "key": f"key-{message_id - 1}", "phone": phone, "text": text}
            connection.execute(sa.insert(messages).values(**given | values))
        self._states[message_id] = State.QUEUED
        return message_id

    def try_to_witness(self, count: int) -> None:
        """Other messages are sent and answered, where the database takes them."""
        with contextlib.suppress(DatabaseUnavailable):
            self.witness(count)

    def witness(self, count: int = 1) -> None:
        """Other messages are sent and answered meanwhile: control rows, which no test looks at."""
        for _ in range(count):
            number = 1_000_000 + len(self.controls)
            text = f"control {number}"
            acceptance = Acceptance(number, number, CONTROL_PHONE, text, self.now, self.now, self.account)
            values = {"state": State.SENT, "due_at": None, "id_mensaje": number, "attempts": 1}
            at = self.database_now
            times = {"attempted_at": at, "sent_at": at, "account_fingerprint": self.account}
            with self.database.begin() as connection:
                given = {"id": number, "key": f"control-{number}", "phone": acceptance.phone, "text": acceptance.text}
                connection.execute(sa.insert(messages).values(**given, **values, **times))
            self.controls.append(acceptance)

    # --- A worker

    def claim(self, worker: int, limit: int = 1, *, paused: float = 0.0) -> list[Claim]:
        """Claim what is due; the worker looked at its clock `paused` seconds ago, before it asked the database."""
        not_after = self.now - dt.timedelta(seconds=paused) + LEASE - READ
        policy = Policy.of(SETTINGS, self.account)
        claimed: list[Claim] = []
        with contextlib.suppress(DatabaseUnavailable):
            claimed = self.database.transact(lambda connection: claims.claim(connection, None, limit, policy))
        self.workers[worker] += [Job(claim, not_after, self.account) for claim in claimed]
        return claimed

    def leave(self, job: Job) -> None:
        """The request is handed to the socket, unless the claim is over by then."""
        if self.now > job.not_after:
            job.outcome = Refused(
                None, "", Action.RETRY, "the claim was over before the request could leave", withheld=True
            )
            return
        key = wire_key(job.claim.phone, job.claim.text)
        job.request = Request(job.claim.id, key, digits(job.claim.phone), job.claim.text, self.now, job.account)
        self.requests.append(job.request)

    def release(self, job: Job) -> None:
        """The worker gives back what has not left."""
        job.outcome = Released()

    def hear(self, job: Job, *, readable: bool = True) -> None:
        """The call ends: with the provider's answer, or without one that can be read."""
        verdict = None if job.request is None else job.request.verdict
        job.outcome = verdict if readable and verdict is not None else Unknown("no answer that can be read")

    def record(self, worker: int, *, acknowledged: bool = True) -> None:
        """Write what the worker knows; `acknowledged=False`: committed, but it did not hear so and will do it again."""
        jobs = [job for job in self.workers[worker] if job.outcome is not None]
        group = [Ended(job.claim, job.outcome, 0) for job in jobs if job.outcome is not None]
        if group:
            try:
                self.database.transact(lambda connection: record_results(connection, group, self.settings, self._rng))
            except DatabaseUnavailable:
                return
        if acknowledged:
            self.workers[worker] = [job for job in self.workers[worker] if job.outcome is None]

    def crash(self, worker: int) -> None:
        """Its memory is gone; its requests are still in flight."""
        self.workers[worker] = []

    # --- The provider

    def accept(self, request: Request, *, lag: float | None = 0.0) -> None:
        """It takes a message.

        Args:
            request: an open one.
            lag: seconds until the report shows it; None: as late as the assumption allows.
        """
        shown = self.now + dt.timedelta(seconds=lag) if lag is not None else request.left_at + SETTLE
        acceptance = Acceptance(
            next(self._ids), request.message_id, request.phone, request.text, self.now, shown, request.account
        )
        self.accepted.append(acceptance)
        request.verdict = Accepted(acceptance.id_mensaje, 1, "Mensaje enviado")

    def accept_late(self, request: Request) -> None:
        """It takes a message after the call was given up; nobody hears of it."""
        self.accept(request)
        request.verdict, request.lost = None, True

    def refuse(self, request: Request, code: int, action: Action) -> None:
        """It does not take it, and says so."""
        request.verdict = Refused(code, "no", action, "refused")

    def accept_of_others(self, phone: str, text: str) -> None:
        """A panel or another system sends under the same key."""
        self.accepted.append(Acceptance(next(self._ids), None, phone, text, self.now, self.now))

    def report_rows(
        self, start: dt.datetime, end: dt.datetime, _statuses: None = None
    ) -> Generator[ReportRow | UnreadableRow]:
        """What its report shows of this window, by its own clock: the simulator's rows, as the client reads them."""
        if self.fails:
            raise UnreadableAnswer("a report that fails")
        shown = [
            self._shown(acceptance)
            for acceptance in [*self.controls, *self.accepted]
            if _ACCOUNTS[acceptance.account] == _ACCOUNTS[self.account] and acceptance.shown_from <= self.now
        ]
        first = start.timestamp() // 1 - self.habit.date_shift
        last = end.timestamp() - self.habit.date_shift
        within = sorted((row for row in shown if first <= row.accepted_at <= last), key=lambda row: row.accepted_at)
        body = b"".join(report_parts(within, (first + last) / 2, None, self.now.timestamp(), self.habit))
        yield from parse_report(HttpAnswer(200, body), self.habit.timezone)

    def _shown(self, acceptance: Acceptance) -> Message:
        at = float((acceptance.at + self._skew).timestamp() // 1)
        return Message(
            id_mensaje=acceptance.id_mensaje,
            phone=acceptance.phone,
            text=self.form(acceptance.text),
            accepted_at=at,
            credits=1,
            rule_id=None,
            final_at=0.0,
            verdict=RECEIVED,
            settings=self.habit,
            chance=(acceptance.id_mensaje + 1) % 2,
        )

    def status(self, id_mensaje: int) -> MessageStatus:
        """What it says of one message, in the form of its reports."""
        acceptance = next((each for each in (*self.controls, *self.accepted) if each.id_mensaje == id_mensaje), None)
        if acceptance is None or _ACCOUNTS[acceptance.account] != _ACCOUNTS[self.account]:
            raise UnreadableAnswer(f"no answer about {id_mensaje}")
        at = (acceptance.at + self._skew).replace(microsecond=0) + dt.timedelta(seconds=self.habit.date_shift)
        return MessageStatus(Estatus.RECIBIDO, None, None, at, None, None, "")

    def _measured(self) -> float:
        """A worker's own clock, which measures what goes by here."""
        return self.now.timestamp()

    # --- The sweep and the reconciler

    def sweep(self) -> None:
        """Look at the database's clock, expire leases, end what expired."""
        with contextlib.suppress(DatabaseUnavailable):
            self._clock.read(self.database)
            clock.shift(self.database, threading.Event())
            self.database.transact(lambda connection: expired_leases.expire_leases(connection, 100))
            self.database.transact(lambda connection: claims.expire(connection, 100))

    def look(self, *, fails: bool = False) -> None:
        """Claim unknown attempts and read their report; it is judged later, by `judge`."""
        lease = self.settings.lease_seconds
        self.fails = fails
        with contextlib.suppress(DatabaseUnavailable):
            claimed = self.database.transact(lambda connection: unknown_claims.claim(connection, lease))
            if claimed:
                self.reports += lookup.look(self._runtime(), claimed)
        self.fails = False

    def judge(self, which: int = 0) -> None:
        """Record the verdict of a report that was read."""
        with contextlib.suppress(DatabaseUnavailable):
            reconcile.record(self._runtime(), self.reports.pop(which))

    def _runtime(self) -> Runtime:
        """What the reconciler asks of a worker's process; this world is its provider too."""
        return cast(
            "Runtime",
            SimpleNamespace(
                settings=self.settings,
                database=self.database,
                client=self,
                account=self.account,
                rng=self._rng,
                stopping=threading.Event(),
                clock=self._clock,
            ),
        )

    # --- An operator

    def cancel(self, message_id: int) -> None:
        """Withdraw a queued message."""
        self._by_hand(message_id, State.QUEUED, on_operator.cancelled)

    def retry(self, message_id: int, *, even_if_unknown: bool = False) -> None:
        """Send a failed message once more."""
        self._by_hand(message_id, State.UNKNOWN if even_if_unknown else State.FAILED, on_operator.retried)

    def _by_hand(
        self,
        message_id: int,
        state: State,
        decide: Callable[[model.Message, dt.datetime, str], model.Change],
    ) -> None:
        with contextlib.suppress(DatabaseUnavailable), self.database.begin() as connection:
            row = message_rows.lock(connection, [message_id])[message_id]
            if row.state is state:
                state_machine.apply(connection, [decide(row, self.database_now, "ana")])

    # --- What must never happen

    def rows(self) -> list[Any]:
        """All messages as they stand."""
        with self.database.read() as connection:
            return _rows(connection)

    def open_incidents(self) -> list[str]:
        """The kinds of problems that are open."""
        with self.database.read() as connection:
            return _open_incidents(connection)

    def violations(self) -> list[str]:
        """What went wrong so far, each in a line; none in a product that keeps its promise."""
        raw = self.database.engine.raw_connection()
        seen = (id(raw.driver_connection), raw.total_changes, len(self.accepted), len(self.requests))
        raw.close()
        if seen == self._seen:
            return []
        self._seen = seen
        with self.database.read() as connection:
            rows = _rows(connection)
            self._until |= {row.id: row.unknown_since for row in rows if row.unknown_since is not None}
            history = self._wrong_history(connection, rows)
            alarmed = "lost_id" in _open_incidents(connection)
        deceived = any(row.id_mensaje is not None and self._of_others(row.id_mensaje) for row in rows)
        alarms = ["an operator got an incident for a lost id"] if alarmed and not deceived else []
        return [*self._wrong_rows(rows), *self._equal_contents_in_flight(rows), *history, *alarms]

    def _wrong_rows(self, rows: Sequence[Any]) -> list[str]:
        found = []
        by_id = {acceptance.id_mensaje: acceptance for acceptance in self.accepted}
        for row in rows:
            own = [acceptance.id_mensaje for acceptance in self.accepted if acceptance.message_id == row.id]
            if len(own) > 1:
                found.append(f"message {row.id} was accepted twice: {own}")
            if own and State(row.state) not in MAY_BE_ACCEPTED:
                found.append(f"message {row.id} is {row.state} although it was accepted")
            if row.state == State.SENT and row.id_mensaje is None:
                found.append(f"message {row.id} is sent without an id")
            if row.id_mensaje is not None and not self._may_own(row, by_id[row.id_mensaje], rows):
                found.append(f"message {row.id} has the id {row.id_mensaje} of something else")
        ids = [row.id_mensaje for row in rows if row.id_mensaje is not None]
        if len(ids) != len(set(ids)):
            found.append(f"an id belongs to two messages: {ids}")
        return found

    def _may_own(self, row: Any, acceptance: Acceptance, rows: Sequence[Any]) -> bool:  # noqa: ANN401 - a Row
        if acceptance.message_id == row.id:
            return True
        alike = acceptance.phone == row.phone and tolerant(acceptance.text) == tolerant(row.text)
        at = acceptance.at + self._skew + dt.timedelta(seconds=1)
        near = (row.absent_since or row.attempted_at) - CLOCK_TOLERANCE <= at <= self.now + CLOCK_TOLERANCE + READ
        if acceptance.message_id is not None:
            # Its own message found one of others in its place; nothing is left that could tell these two apart.
            owner = next(each for each in rows if each.id == acceptance.message_id)
            alike = alike and owner.id_mensaje is not None and self._of_others(owner.id_mensaje)
        return alike and near

    def _of_others(self, id_mensaje: int) -> bool:
        return any(acceptance.message_id is None for acceptance in self.accepted if acceptance.id_mensaje == id_mensaje)

    def _equal_contents_in_flight(self, rows: Sequence[Any]) -> list[str]:
        keys = [wire_key(row.phone, row.text) for row in rows if row.state in {State.SENDING, State.UNKNOWN}]
        found = ["equal contents are claimed or unknown at the same time"] if len(keys) != len(set(keys)) else []
        flying: dict[str, int] = {}
        found += [
            f"equal contents are in flight at the same time: {flying[request.key]} and {request.message_id}"
            for request in self.requests
            if request.open(self.now) and flying.setdefault(request.key, request.message_id) != request.message_id
        ]
        return found

    def _wrong_history(self, connection: sa.Connection, rows: Sequence[Any]) -> list[str]:
        found = []
        query = sa.select(events).where(events.c.id > self._last_event).order_by(events.c.id)
        for each in connection.execute(query):
            self._last_event = each.id
            if each.from_state != self._states[each.message_id]:
                found.append(f"message {each.message_id}: an event begins at {each.from_state}")
            allowed = model.TRANSITIONS[State(each.from_state)]
            if each.to_state != each.from_state and State(each.to_state) not in allowed:
                found.append(f"message {each.message_id}: {each.from_state} became {each.to_state}")
            if each.from_state == State.FAILED and each.to_state != State.FAILED and each.cause != "operator":
                found.append(f"message {each.message_id} left its final state by itself")
            self._states[each.message_id] = each.to_state
        silent = [row for row in rows if self._states[row.id] != row.state]
        return found + [f"message {row.id} became {row.state} without an event" for row in silent]

    # --- The end

    def heal(self) -> None:
        """From now on nothing fails: workers write what they know or are gone, reports are whole, all is accepted."""
        self.read_only = False
        self.habit = MANUAL
        self.form = self.usual_form
        self.ahead = dt.timedelta(0)
        for worker in range(self.WORKERS):
            self.record(worker)
            self.crash(worker)
        for request in self.requests:
            request.lost = request.lost or request.verdict is None
        while self.reports:
            self.judge()
        # Under each key in turn: nothing is concluded about an attempt under another one.
        for account in (self.account, *(self.accounts - {self.account})):
            self.account = account
            self._go_on()
            if not self.stuck():
                return

    def _go_on(self) -> None:
        # A row of which nobody knows by which clock it was stamped waits for as long as that was set.
        for _ in range(60 + int(self.was_set / 65)):
            self.sweep()
            self.look()
            while self.reports:
                self.judge()
            for claim in self.claim(0, 10):
                job = next(job for job in self.workers[0] if job.claim is claim)
                self.leave(job)
                if job.request is not None:
                    self.accept(job.request)
                    self.hear(job)
            self.record(0)
            if not self.stuck():
                return
            self.wait(65)
            self.witness()

    def stuck(self) -> list[str]:
        """Messages that neither ended nor are followed, nor are left to a person for good, nor wait for one that is."""
        open_ = [row for row in self.rows() if row.state not in _ENDS]
        reasons = _A_PERSONS if not self.was_set else _A_PERSONS | _OF_CLOCKS
        unknown = [row for row in open_ if row.state == State.UNKNOWN]
        # Under another key its reason is the key; what it is under its own was seen then.
        self._left |= {row.id for row in unknown if row.unknown_reason in reasons}
        left = {row.wire_key for row in unknown if row.id in self._left}
        return [
            f"message {row.id} is still {row.state} ({row.unknown_reason})"
            for row in open_
            if (row.waits_for if row.state == State.QUEUED else row.wire_key) not in left
        ]

    def unsent(self) -> list[str]:
        """Messages whose state is sent, but that the provider never accepted."""
        owners = {acceptance.message_id for acceptance in self.accepted}
        return [
            f"message {row.id} is sent, but the provider never accepted it"
            for row in self.rows()
            if row.state == State.SENT and row.id not in owners and not self._of_others(row.id_mensaje)
        ]


def _rows(connection: sa.Connection) -> list[Any]:
    return list(connection.execute(_ROWS))


def _open_incidents(connection: sa.Connection) -> list[str]:
    return list(connection.scalars(_OPEN))


_ROWS = sa.select(messages).where(messages.c.phone != CONTROL_PHONE).order_by(messages.c.id)
_OPEN = (
    sa.select(incidents.c.kind)
    .where(incidents.c.open_key.is_not(None), incidents.c.ends_at.is_(None))
    .order_by(incidents.c.kind)
)
_ENDS = frozenset({State.SENT, State.FAILED, State.EXPIRED, State.CANCELLED})
_A_PERSONS = frozenset({Doubt.TWICE})
_OF_CLOCKS = frozenset({Doubt.DATES, Doubt.SIMILAR, Doubt.NO_CONTROLS})
"""What may stay open where messages were stamped by a clock that was wrong by more than a date may be off."""

_worlds: list[World] = [cast("World", SimpleNamespace(database_now=BEGIN, read_only=False))]
_databases: list[Database] = []


def _sqlite_now(_form: str, _modifier: str) -> str:
    return f"{_worlds[0].database_now.replace(tzinfo=None).isoformat(' ', 'milliseconds')}000"


def _connected(raw: Any, _record: object) -> None:  # noqa: ANN401 - a driver's
    raw.create_function("strftime", 2, _sqlite_now)
    raw.execute("PRAGMA synchronous=OFF")


def _checked_out(raw: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401 - a driver's
    raw.execute(f"PRAGMA query_only={int(_worlds[0].read_only)}")


def _database() -> Database:
    """One database for all worlds, emptied for each. SQLite's own clock is replaced in it.

    A file, since the product leaves a session that refuses writes: in memory the tables would go with it.
    """
    if not _databases:
        directory = tempfile.TemporaryDirectory(prefix="smsclick-model-")
        database = Database(f"sqlite:///{Path(directory.name) / 'model.db'}")
        atexit.register(directory.cleanup)
        atexit.register(database.dispose)
        event.listen(database.engine, "connect", _connected)
        event.listen(database.engine, "checkout", _checked_out)
        with database.begin() as connection:
            metadata.create_all(connection)
        _databases.append(database)
    with _databases[0].begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(sa.delete(table))
        connection.execute(sa.insert(accounts).values(account=ACCOUNT))
    return _databases[0]
