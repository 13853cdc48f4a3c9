"""A real worker, in a process of its own, for the tests of a backend."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from smsclick.contract import State, messages
from smsclick.settings import Settings
from smsclick.simulator import Simulator
from smsclick.testing.enqueued import COLUMNS, Enqueued, enqueued

T = TypeVar("T")

_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_ENDED = frozenset({State.DELIVERED, State.REJECTED, State.FAILED, State.EXPIRED, State.CANCELLED, State.UNDETERMINED})


class Worker:
    """`smsclick up` in a process of its own; it sends the messages of its database to a simulator.

    Attributes:
        database_url: its database.
        provider: the simulator: `ledger()`, `set(balance=0)`, `faults([…])`.
    """

    def __init__(self, checkout: Path, database_url: str, provider: Simulator, folder: Path) -> None:
        self.database_url = database_url
        self.provider = provider
        self._log = folder / "smsclick-worker.log"
        self._engine = sa.create_engine(database_url)
        # Its working folder is not the checkout, so that a person's `.env` is not read.
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [_python(checkout), "-c", "from smsclick._cli.main import main; main()", "up"],
                cwd=folder,
                env=_environment(checkout, database_url, provider),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Return when the worker is ready; if it does not start, fail the test with the end of its log."""
        self._wait(lambda: "smsclick is up" in self._output(), _READY_SECONDS, "did not start")

    def wait_ended(self, message_id: int, *, seconds: float = 30) -> Enqueued:
        """Wait until a message has reached a final state, and return it.

        Args:
            message_id: the id that `enqueue` returned.
            seconds: the longest wait; then the test fails.
        """

        def ended() -> Enqueued | None:
            with self._engine.connect() as connection:
                row = connection.execute(sa.select(*COLUMNS).where(messages.c.id == message_id)).one_or_none()
            return enqueued(row) if row is not None and row.state in _ENDED else None

        message = self._wait(ended, seconds, f"did not bring message {message_id} to its end")
        assert message is not None  # noqa: S101 - it was waited for
        return message

    def stop(self) -> None:
        """End the worker."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._engine.dispose()

    def _wait(self, look: Callable[[], T], seconds: float, otherwise: str) -> T:
        __tracebackhide__ = True
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            if answer := look():
                return answer
            time.sleep(_LOOK_SECONDS)
        end = "\n".join(self._output().splitlines()[-20:])
        raise AssertionError(f"the smsclick worker {otherwise}; the end of its log:\n{end}")

    def _output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


def checkout(base: Path) -> Path | None:
    """Return the checkout that `SMSCLICK_CHECKOUT` names, or that smsclick is installed from; None if there is none.

    Args:
        base: the folder of a relative path: where the tests were started, not the present folder of a test.
    """
    named = os.environ.get("SMSCLICK_CHECKOUT")
    folder = (base / Path(named).expanduser() if named else Path(__file__).parent.parent.parent).resolve()
    there = all((folder / each).is_file() for each in ("alembic.ini", "worker/embedded.py", "smsclick/settings.py"))
    return folder if there else None


def _python(checkout: Path) -> str:
    """Return the Python of the checkout, which has the packages of a worker; else that of the test."""
    own = checkout / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _environment(checkout: Path, database_url: str, provider: Simulator) -> dict[str, str]:
    settings = {str(declared.validation_alias) for declared in Settings.model_fields.values()}
    kept = {name: value for name, value in os.environ.items() if name not in settings}
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
