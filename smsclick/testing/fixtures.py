"""Fixtures of pytest; `smsclick.testing` has them if pytest is installed."""

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
    """What `smsclick_outbox` reads through. Override it; this one is an SQLite in memory with the tables."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    create_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def smsclick_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish no wake-up, even if the environment names a broker. The other fixtures include this one."""
    monkeypatch.setattr(publisher, "configured", lambda: False)


@pytest.fixture(autouse=True)
def smsclick_recorder(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """Record what is enqueued and where. It starts before the other fixtures of a test, because they may enqueue."""
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
    """The messages that the test enqueues; those that were committed are removed at the end."""
    outbox = Outbox(smsclick_bind, recorder=smsclick_recorder)
    yield outbox
    outbox.remove_committed()


@pytest.fixture
def smsclick_database_url(tmp_path: Path) -> str:
    """The database of `smsclick_worker`, which creates the tables. Override it; this one is an SQLite file."""
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
