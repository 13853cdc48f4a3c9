"""The fixtures of pytest; `smsclick.testing` has them where pytest is installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsclick._wakeups import publisher
from smsclick.simulator import Simulator
from smsclick.testing.outbox import Bind, Outbox
from smsclick.testing.recorder import Recorder, recording
from smsclick.testing.tables import create_tables
from smsclick.testing.worker import Worker, checkout


@pytest.fixture
def smsclick_bind() -> Iterator[Bind]:
    """Where `smsclick_outbox` looks. Override it; this one is an SQLite of its own, in memory, with the tables."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    create_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def smsclick_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wake-up goes out, whatever the environment says of a broker. The other fixtures have it already."""
    monkeypatch.setattr(publisher, "configured", lambda: False)


@pytest.fixture(autouse=True)
def smsclick_recorder(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """Notes what is enqueued and where, from before the other fixtures of a test: some of them may enqueue."""
    if "smsclick_silence" in request.fixturenames:
        request.getfixturevalue("smsclick_silence")
    with recording() as recorder:
        yield recorder


@pytest.fixture
def smsclick_outbox(
    smsclick_bind: Bind,
    smsclick_silence: None,  # noqa: ARG001
    smsclick_recorder: Recorder,
) -> Iterator[Outbox]:
    """What the test enqueues; what of it was committed is removed at the end."""
    outbox = Outbox(smsclick_bind, recorder=smsclick_recorder)
    yield outbox
    outbox.remove_committed()


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
    pytestconfig: pytest.Config,
) -> Iterator[Worker]:
    """A running worker; it needs a checkout of smsclick, which `SMSCLICK_CHECKOUT` names (or it is installed from)."""
    folder = checkout(pytestconfig.invocation_params.dir)
    if folder is None:
        pytest.fail(
            "smsclick_worker: a pip install has no worker; set SMSCLICK_CHECKOUT to a checkout of smsclick",
            pytrace=False,
        )
    worker = Worker(folder, smsclick_database_url, smsclick_simulator, tmp_path)
    try:
        worker.wait_ready()
        yield worker
    finally:
        worker.stop()
