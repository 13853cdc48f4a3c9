"""A test kit for backends: what a test enqueued, without sending it; and, where wanted, a real worker and a simulator.

```python
pytest_plugins = ["smsclick.testing"]  # in conftest.py

@pytest.fixture
def smsclick_bind(session):  # where your test's transaction is: a session, a connection or an engine
    return session

def test_the_customer_hears_of_it(session, smsclick_outbox):
    ship(session, order)
    assert "va en camino" in smsclick_outbox.one(to="55 5140 2211").text
```

No doorbell rings while a test has one of these fixtures. (PYTEST_DONT_REWRITE: a conftest may import this first.)
"""

import contextlib
import dataclasses
import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session

from smsclick import doorbell
from smsclick.contract import IfAbsent, Priority, State, messages, metadata
from smsclick.phones import normalize_phone
from smsclick.settings import variables
from smsclick.simulator import Simulator
from smsclick.simulator.pytest_plugin import smsclick_simulator

__all__ = [
    "Bind",
    "Enqueued",
    "Outbox",
    "Worker",
    "create_tables",
    "smsclick_bind",
    "smsclick_database_url",
    "smsclick_outbox",
    "smsclick_silence",
    "smsclick_simulator",
    "smsclick_worker",
]

T = TypeVar("T")

Bind = (
    Session
    | scoped_session[Any]
    | sa.Connection
    | sa.Engine
    | Callable[[], contextlib.AbstractContextManager[sa.Connection]]
)
"""Where an outbox looks; the last is for frameworks with connections of their own: `smsclick.django.connected`."""

_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_ENDED = frozenset({State.DELIVERED, State.REJECTED, State.FAILED, State.EXPIRED, State.CANCELLED, State.UNDETERMINED})


def create_tables(bind: sa.Engine | sa.Connection) -> None:
    """Create smsclick's tables in a test database, where they are not there yet.

    For tests only: in production `alembic upgrade head` does it, and a worker wants it done so. With an async engine:
    `await connection.run_sync(create_tables)`.
    """
    metadata.create_all(bind)


@dataclasses.dataclass(frozen=True, slots=True)
class Enqueued:
    """A message as it was stored: the phone as ten digits, times in UTC."""

    id: int
    key: str
    phone: str
    text: str
    send_at: dt.datetime | None
    expires_at: dt.datetime | None
    priority: Priority
    rule_id: str | None
    if_absent: IfAbsent
    callback: str | None
    reference: str | None
    state: State


_COLUMNS = [messages.c[field.name] for field in dataclasses.fields(Enqueued)]


class Outbox:
    """The messages of a test, read anew at each question.

    Args:
        bind: through a session or connection it sees what its transaction has enqueued, committed or not; through an
            engine what is committed.
    """

    def __init__(self, bind: Bind) -> None:
        self._bind = bind

    def __len__(self) -> int:
        return len(self.messages)

    def __repr__(self) -> str:
        return f"<Outbox: {_listed(self.messages)}>"

    @property
    def messages(self) -> list[Enqueued]:
        """All of them, in the order in which they were enqueued."""
        with self._connection() as connection:
            rows = connection.execute(sa.select(*_COLUMNS).order_by(messages.c.id)).all()
        return [_enqueued(row) for row in rows]

    def to(self, phone: str | int) -> list[Enqueued]:
        """Those to a phone, which may be given in any usual form."""
        digits = normalize_phone(phone)
        return [message for message in self.messages if message.phone == digits]

    def one(self, *, to: str | int | None = None, key: str | None = None, containing: str | None = None) -> Enqueued:
        """The only message that fits; fails the test where there is none, or more than one.

        Args:
            to: its phone.
            key: its key.
            containing: a part of its text.
        """
        digits = None if to is None else normalize_phone(to)
        there = self.messages
        found = [
            message
            for message in there
            if digits in {None, message.phone}
            and key in {None, message.key}
            and (containing is None or containing in message.text)
        ]
        if len(found) != 1:
            wanted = ", ".join(f"{n}={v!r}" for n, v in (("to", to), ("key", key), ("containing", containing)) if v)
            pytest.fail(f"{len(found)} messages instead of one ({wanted}); enqueued: {_listed(there)}", pytrace=False)
        return found[0]

    def assert_empty(self) -> None:
        """Fails the test where anything was enqueued."""
        if there := self.messages:
            pytest.fail(f"nothing was to be enqueued; there is: {_listed(there)}", pytrace=False)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        if isinstance(self._bind, sa.Connection):
            yield self._bind
        elif isinstance(self._bind, Session | scoped_session):
            yield self._bind.connection()
        else:
            with self._bind.connect() if isinstance(self._bind, sa.Engine) else self._bind() as connection:
                yield connection


@pytest.fixture
def smsclick_bind() -> Iterator[Bind]:
    """Where `smsclick_outbox` looks. Override it; this one is an SQLite of its own, in memory, with the tables."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    create_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def smsclick_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No doorbell rings, whatever the environment says of a broker. The other fixtures have it already."""
    monkeypatch.setattr(doorbell, "configured", lambda: False)


@pytest.fixture
def smsclick_outbox(smsclick_bind: Bind, smsclick_silence: None) -> Outbox:  # noqa: ARG001
    """What the test enqueues."""
    return Outbox(smsclick_bind)


# --- A real worker


class Worker:
    """`smsclick up` in a process of its own, which sends to a simulator whatever is committed to its database.

    Attributes:
        database_url: its database.
        provider: the simulator: `ledger()`, `set(balance=0)`, `faults([…])`.
    """

    def __init__(self, checkout: Path, database_url: str, provider: Simulator, folder: Path) -> None:
        self.database_url = database_url
        self.provider = provider
        self._log = folder / "smsclick-worker.log"
        self._engine = sa.create_engine(database_url)
        # Its working folder is not the checkout, so that a person's `.env` takes no part.
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [_python(checkout), "-c", "from smsclick.cli import main; main()", "up"],
                cwd=folder,
                env=_environment(checkout, database_url, provider),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Returns when it takes work; fails the test with the end of its log where it does not."""
        self._wait(lambda: "smsclick is up" in self._output(), _READY_SECONDS, "did not start")

    def wait_ended(self, message_id: int, *, seconds: float = 30) -> Enqueued:
        """Waits until a message has come to its end, and returns it.

        Args:
            message_id: what `enqueue` returned.
            seconds: how long at most; then the test fails.
        """

        def ended() -> Enqueued | None:
            with self._engine.connect() as connection:
                row = connection.execute(sa.select(*_COLUMNS).where(messages.c.id == message_id)).one_or_none()
            return _enqueued(row) if row is not None and row.state in _ENDED else None

        message = self._wait(ended, seconds, f"did not bring message {message_id} to its end")
        assert message is not None  # noqa: S101 - it was waited for
        return message

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._engine.dispose()

    def _wait(self, look: Callable[[], T], seconds: float, otherwise: str) -> T:
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            if answer := look():
                return answer
            time.sleep(_LOOK_SECONDS)
        end = "\n".join(self._output().splitlines()[-20:])
        pytest.fail(f"the smsclick worker {otherwise}; the end of its log:\n{end}", pytrace=False)

    def _output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


@pytest.fixture
def smsclick_database_url(tmp_path: Path) -> str:
    """The database of `smsclick_worker`, which makes the tables there. Override it; this one is an SQLite file."""
    return f"sqlite:///{tmp_path / 'smsclick-worker.db'}"


@pytest.fixture
def smsclick_worker(
    smsclick_database_url: str,
    smsclick_simulator: Simulator,
    smsclick_silence: None,  # noqa: ARG001
    tmp_path: Path,
) -> Iterator[Worker]:
    """A running worker; it needs a checkout of smsclick, which `SMSCLICK_CHECKOUT` names (or it is installed from)."""
    checkout = _checkout()
    if checkout is None:
        pytest.fail(
            "smsclick_worker: a pip install has no worker; set SMSCLICK_CHECKOUT to a checkout of smsclick",
            pytrace=False,
        )
    worker = Worker(checkout, smsclick_database_url, smsclick_simulator, tmp_path)
    try:
        worker.wait_ready()
        yield worker
    finally:
        worker.stop()


def _checkout() -> Path | None:
    named = os.environ.get("SMSCLICK_CHECKOUT")
    folder = Path(named) if named else Path(__file__).resolve().parent.parent
    there = all((folder / each).is_file() for each in ("alembic.ini", "worker/embedded.py", "smsclick/testing.py"))
    return folder if there else None


def _python(checkout: Path) -> str:
    """The checkout's own, which has what a worker needs; else that of the test."""
    own = checkout / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _environment(checkout: Path, database_url: str, provider: Simulator) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in variables()}
    return kept | {
        "PYTHONPATH": str(checkout),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": database_url,
        "CELERY_BROKER_URL": "memory://localhost",
        "SMSCLICK_BASE_URL": provider.base_url,
        "SMSCLICK_API_KEY": provider.api_key,
        "SMSCLICK_POLL_SECONDS": "0.2,0.5,1",
        "SMSCLICK_SWEEP_SECONDS": "0.5",
    }


# --- Words


def _enqueued(row: sa.Row[Any]) -> Enqueued:
    values = row._asdict()
    return Enqueued(
        **values
        | {
            "priority": Priority(values["priority"]),
            "if_absent": IfAbsent(values["if_absent"]),
            "state": State(values["state"]),
        }
    )


def _listed(there: list[Enqueued]) -> str:
    """For a person who looks at a failed test; these are a test's own phones and texts."""
    return "; ".join(f"{message.key} to {message.phone}: {message.text!r}" for message in there) or "nothing"
