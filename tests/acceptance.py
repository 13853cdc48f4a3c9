"""A whole system for tests: real workers and beats on a real database and broker, the simulator as the provider."""

from __future__ import annotations

import base64
import datetime as dt
import json
import socket
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import kombu
import sqlalchemy as sa

from smsclick import NewMessage, enqueue_many
from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick.contract import State, accounts, alerts, events, incidents, messages
from smsclick.errors import SmsclickError
from smsclick.simulator import Simulator
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from types import TracebackType

    from smsclick.simulator import LedgerEntry
    from tests.conftest import StartProcess
    from tests.processes import Process

KEY = "acceptance-key"
FINAL = {State.DELIVERED, State.REJECTED, State.FAILED, State.EXPIRED, State.CANCELLED}

IMPATIENT = {"SMSCLICK_CONNECT_TIMEOUT": "1", "SMSCLICK_READ_TIMEOUT": "2", "SMSCLICK_LEASE_SECONDS": "4"}
"""Settings under which a lost claim is noticed after seconds instead of minutes."""


def phone(number: int) -> str:
    """The n-th of ten thousand Mexican phones."""
    return f"555140{number:04d}"


def texts(count: int, word: str = "Pedido") -> list[NewMessage]:
    """Messages that differ in phone and text, so that the ledger shows which one was sent twice."""
    return [
        NewMessage.of(phone=phone(n), text=f"{word} {n}: ya va en camino, ¡gracias!", key=f"{word}-{n}")
        for n in range(count)
    ]


@dataclass(frozen=True, slots=True)
class Row:
    """A message as the database has it."""

    id: int
    key: str
    phone: str
    text: str
    state: str
    attempts: int
    id_mensaje: int | None
    estatus_mensaje: int | None
    last_code: int | None
    last_error: str | None
    due_at: dt.datetime | None


_ROW = [messages.c[name] for name in Row.__slots__]


class Cluster:
    """Workers and beats of one database and broker, and what became of the messages.

    Args:
        start: the fixture `start_process`, which ends them.
        database_url: migrated.
        broker_url: Redis or RabbitMQ.
        env: further settings of all processes.
        simulator: further settings of the provider.
    """

    def __init__(
        self,
        start: StartProcess,
        database_url: str,
        broker_url: str,
        *,
        env: Mapping[str, str] | None = None,
        **simulator: Any,  # noqa: ANN401 - any field of SimulatorSettings
    ) -> None:
        settings = {"api_key": KEY, "balance": 1_000_000, "delivery_seconds": 0.3, **simulator}
        self.provider = Simulator(**settings)
        self.database = Database(database_url)
        self.env = {
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": broker_url,
            "SMSCLICK_API_KEY": KEY,
            "SMSCLICK_POLL_SECONDS": "0.5,1",
            "SMSCLICK_SWEEP_SECONDS": "1",
            "SMSCLICK_BALANCE_SECONDS": "1",
            "SMSCLICK_LANGUAGE": "en",
            "SMSCLICK_INSTALLATION": "shop",
            **(env or {}),
        }
        self.start_process = start
        self._started = 0

    def __enter__(self) -> Self:
        self.provider.start()
        self.env["SMSCLICK_BASE_URL"] = self.provider.base_url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.provider.stop()
        self.database.dispose()

    # --- Processes

    def run(self, *command: str, name: str, env: Mapping[str, str] | None = None) -> Process:
        """Any program of the project with the settings of all, and `env`."""
        self._started += 1
        return self.start_process(list(command), {**self.env, **(env or {})}, name=f"{name}-{self._started}")

    def worker(self, *, concurrency: int = 16, level: str = "info", env: Mapping[str, str] | None = None) -> Process:
        """One more worker; it may not be ready yet."""
        node = f"w{self._started + 1}@%h"
        options = ("-l", level, "--concurrency", str(concurrency), "-n", node)
        return self.run("celery", "-A", "worker", "worker", *options, name="worker", env=env)

    def beat(self, *, level: str = "info", env: Mapping[str, str] | None = None) -> Process:
        """One more beat."""
        return self.run("celery", "-A", "worker", "beat", "-l", level, name="beat", env=env)

    def start(self, *, workers: int = 2, beats: int = 2, concurrency: int = 16) -> tuple[list[Process], list[Process]]:
        """Workers and beats, all of them ready."""
        made = [self.worker(concurrency=concurrency) for _ in range(workers)], [self.beat() for _ in range(beats)]
        ready(*made[0])
        return made

    # --- Messages

    def enqueue(self, new: Sequence[NewMessage]) -> list[int]:
        """Enqueue in one transaction, as a backend does, but publish no wake-up: the sweep finds the messages."""
        with self.database.begin() as connection:
            return enqueue_many(connection, new)

    def migrated(self) -> bool:
        """Whether the tables are there yet."""
        try:
            return self.database.version() is not None
        except SmsclickError:
            return False

    def rows(self, *conditions: sa.ColumnElement[bool]) -> list[Row]:
        """Messages by id."""
        query = sa.select(*_ROW).where(*conditions).order_by(messages.c.id)
        with self.database.read() as connection:
            return [Row(**row._asdict()) for row in connection.execute(query)]

    def states(self) -> Counter[str]:
        """How many messages are in each state."""
        query = sa.select(messages.c.state, sa.func.count()).group_by(messages.c.state)
        with self.database.read() as connection:
            return Counter({row[0]: row[1] for row in connection.execute(query)})

    def causes(self, to_state: State) -> Counter[str]:
        """Why messages came to a state."""
        query = sa.select(events.c.cause, sa.func.count()).where(events.c.to_state == to_state).group_by(events.c.cause)
        with self.database.read() as connection:
            return Counter({row[0]: row[1] for row in connection.execute(query)})

    def wait_final(self, count: int, timeout: float = 180, states: AbstractSet[str] = frozenset(FINAL)) -> None:
        """Until as many messages are in these states and none in another."""

        def all_final() -> bool:
            counts = self.states()
            return counts.total() == count and set(counts) <= states

        try:
            wait_until(all_final, timeout, every=0.2)
        except AssertionError:
            raise AssertionError(f"not all {count} are final after {timeout:g} s: {self._unfinished(states)}") from None

    def _unfinished(self, states: AbstractSet[str]) -> str:
        """Which messages are in other states than these, and what is known of the reason."""
        c = messages.c
        names = c.id, c.state, c.attempts, c.absences, c.last_code, c.last_error, c.unknown_reason, c.due_at
        query = sa.select(*names, db_now().label("now")).where(c.state.not_in(states)).order_by(c.id).limit(5)
        with self.database.read() as connection:
            rows = [str(row._asdict()) for row in connection.execute(query)]
        return "\n".join([str(dict(self.states())), f"incidents: {self.incidents()}", *rows])

    def wait_states(self, timeout: float = 120, **states: int) -> None:
        """Until exactly these counts are reached: `wait_states(delivered=10, unknown=2)`."""
        try:
            wait_until(lambda: self.states() == states, timeout, every=0.1)
        except AssertionError:
            raise AssertionError(f"waited {timeout:g} s for {states}, there are {self.states()}") from None

    # --- The account

    def hold(self) -> str | None:
        """The reason of the account's hold; None without a hold."""
        with self.database.read() as connection:
            reason: str | None = connection.execute(sa.select(accounts.c.hold_reason)).scalar_one()
            return reason

    def incidents(self) -> list[tuple[str, int, bool]]:
        """Kind, occurrences and whether it is still open, in order."""
        query = sa.select(incidents.c.kind, incidents.c.occurrences, incidents.c.closed_at).order_by(incidents.c.id)
        with self.database.read() as connection:
            return [(row.kind, row.occurrences, row.closed_at is None) for row in connection.execute(query)]

    def undelivered_alerts(self) -> int:
        """How many alerts are still to be delivered to a channel."""
        query = sa.select(sa.func.count()).select_from(alerts).where(alerts.c.due_at.is_not(None))
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def tries_of_alerts(self) -> list[int]:
        """How often the delivery of each was tried."""
        with self.database.read() as connection:
            return list(connection.scalars(sa.select(alerts.c.tries)))

    def hurry_alerts(self) -> int:
        """Makes what waits for another try due now, but not what is being tried; returns how many there are."""
        soon = self.database.clock() + dt.timedelta(seconds=60)
        with self.database.begin() as connection:
            connection.execute(sa.update(alerts).where(alerts.c.due_at < soon).values(due_at=db_now()))
        return self.undelivered_alerts()

    # --- The provider

    def requests(self, endpoint: str = "sendMsg") -> dict[str, int]:
        """What came to an endpoint, by outcome."""
        return self.provider.stats().requests.get(endpoint, {})

    def assert_ledger_agrees(self) -> list[LedgerEntry]:
        """Nothing was accepted twice, and whatever has an id is what the provider has under it; returns the ledger."""
        ledger = self.provider.ledger()
        twice = [text for text, times in Counter(entry.text for entry in ledger).items() if times > 1]
        assert twice == []
        by_id = {entry.id_mensaje: entry for entry in ledger}
        for row in self.rows(messages.c.id_mensaje.is_not(None)):
            assert row.id_mensaje is not None
            entry = by_id[row.id_mensaje]
            assert (row.phone, row.text) == (entry.phone, entry.text)
            if row.state in {State.DELIVERED, State.REJECTED}:
                assert (entry.estatus, row.estatus_mensaje) == ((3, 3) if row.state == State.DELIVERED else (4, 4))
        return ledger


def ready(*workers: Process) -> None:
    """Returns when these workers take work."""
    for worker in workers:
        worker.wait_for_line(r" ready\.", 120)


def sent_by_name(broker_url: str, calls: Iterable[tuple[Mapping[str, object], str | None]]) -> None:
    """Calls `smsclick.enqueue` as an app of somebody else does that knows only the name of task and queue.

    Args:
        broker_url: theirs and ours.
        calls: keyword arguments and the task's id, if it is to be a given one.
    """
    from celery import Celery  # noqa: PLC0415 - only here

    app = Celery("shop", broker=broker_url, set_as_current=False)
    for kwargs, task_id in calls:
        app.send_task("smsclick.enqueue", kwargs=dict(kwargs), queue="smsclick", task_id=task_id)
    app.close()


def sent_strangely(broker_url: str, phone: str, word: str) -> None:
    """Puts messages into our queues that are no calls of ours: misspelt, misshapen, in other formats, cut."""
    from celery import Celery  # noqa: PLC0415 - only here

    content = {"phone": phone, "text": word}
    with Celery("careless", broker=broker_url, set_as_current=False) as app:
        app.send_task("smsclick.enqueue", args=[phone, word], queue="smsclick")
        app.send_task("smsclick.enqueu", kwargs=content, queue="smsclick")
        app.send_task("smsclick.send", kwargs=content, queue="smsclick.send")
        app.send_task("smsclick.enqueue", kwargs=content, queue="smsclick", serializer="yaml")
    with kombu.Connection(broker_url) as connection:
        producer = connection.Producer()
        headers = {"task": "smsclick.enqueue", "id": "odd", "lang": "py"}
        for body in (f'{{"{phone}": "{word}"}}', f'[[], "{word}", {{}}]', f'{{"{word}', f'"{word}"', "7"):
            for options in ({"headers": headers}, {}, {"headers": headers, "content_type": "text/plain"}):
                given: dict[str, Any] = {"content_type": "application/json", "content_encoding": "utf-8", **options}
                producer.publish(body, routing_key="smsclick", exchange="", serializer=None, **given)


class Tap:
    """Stands between the processes and a server on this machine and keeps a copy of all that passes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._parts: list[bytes] = []
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in [self._listener, *self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    @property
    def traffic(self) -> bytes:
        """Everything so far, both directions."""
        return b"".join(self._parts)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while part := one.recv(65536):
                self._parts.append(part)
                other.sendall(part)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)


def shows(haystack: bytes, secret: str) -> bool:
    """Whether a secret of plain characters stands there, in the clear or within anything in Base64."""
    plain = secret.encode()
    if plain in haystack:
        return True
    for shift in range(3):
        # The first and last characters also depend on the neighbours, so they are left out.
        encoded = base64.b64encode(b"\0" * shift + plain)
        if encoded[(0, 2, 3)[shift] : len(encoded) - 4] in haystack:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert as it arrived."""

    title: str
    body: str
    raw: bytes


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


class Receiver:
    """A webhook for alerts: `ALERT_URLS=receiver.url`."""

    def __init__(self, port: int = 0) -> None:
        self.notices: list[Notice] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.took(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

        self._server = _Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """For `ALERT_URLS`."""
        # An alert that is acknowledged late is delivered again; a slow machine must not cause that.
        return f"json://127.0.0.1:{self._server.server_address[1]}/sms?cto=60&rto=60"

    @property
    def titles(self) -> list[str]:
        """What arrived, in order."""
        return [notice.title for notice in self.notices]

    def took(self, body: bytes) -> None:
        """Keeps one that arrived."""
        alert = json.loads(body)
        self.notices.append(Notice(alert["title"], alert["message"], body))
