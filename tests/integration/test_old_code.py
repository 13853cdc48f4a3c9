"""Code of an earlier release beside the newest schema: a database is upgraded before backends and workers are."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import State, events
from tests.acceptance import IMPATIENT, Cluster, ready, texts
from tests.integration.conftest import without_tls
from tests.processes import ROOT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartProcess

RELEASES = sorted((ROOT / "tests/releases").glob("*.tar.xz"))


@pytest.fixture(scope="session", params=RELEASES, ids=lambda path: path.name.partition(".")[0])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the packages of an earlier release."""
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def newest_url(request: pytest.FixtureRequest) -> str:
    """A database with the newest tables."""
    url: str = request.getfixturevalue(f"migrated_{request.param}_url")
    return url


def produce(release: Path, url: str) -> dict[str, object]:
    command = [sys.executable, str(ROOT / "tests/old_producer.py"), str(release)]
    ended = subprocess.run(
        command, env={"DATABASE_URL": url}, cwd=release, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def test_there_is_an_earlier_release() -> None:
    assert RELEASES


def test_an_old_backend_enqueues_cancels_and_asks_for_the_status(release: Path, newest_url: str) -> None:
    assert produce(release, without_tls(newest_url)) == {
        "count": 21,
        "status": "queued",
        "cancelled": [True, False],
        "status of the cancelled": "cancelled",
        "other content": "KeyConflict",
    }
    database = Database(newest_url, threads=2)
    with database.read() as connection:
        stored = connection.execute(sa.text("SELECT state, priority, phone FROM smsclick_messages")).all()
        withdrawn = connection.execute(sa.select(events.c.from_state, events.c.to_state)).all()
    database.dispose()
    assert Counter(row.state for row in stored) == {"queued": 20, "cancelled": 1}
    assert {row.phone for row in stored} >= {"5551402211", "5551400000"}
    assert [tuple(row) for row in withdrawn] == [("queued", "cancelled")]


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_an_old_worker_and_a_new_one_send_what_both_producers_store_and_none_twice(
    release: Path, server: str, request: pytest.FixtureRequest, redis_url: str, start_process: StartProcess
) -> None:
    url: str = request.getfixturevalue(f"migrated_{server}_url")
    with Cluster(start_process, url, redis_url, env=IMPATIENT) as cluster:
        produce(release, url)
        program = [sys.executable, "-P", "-m", "celery", "--workdir", str(release), "-A", "worker", "worker"]
        old = cluster.run(
            *program, "-l", "info", "--concurrency", "4", name="old-worker", env={"PYTHONPATH": str(release)}
        )
        ready(old)
        # Its ticks come from beat; the new one makes its own.
        wait_until(lambda: cluster.states()[State.SENT] == 20, 120, what="the old worker alone")
        new = cluster.worker(concurrency=4)
        ready(new)
        cluster.enqueue(texts(40, "Nuevo"))
        produced = 20 + 40
        wait_until(lambda: cluster.states()[State.DELIVERED] == produced, 120, what="both workers together")
        assert len(cluster.assert_ledger_agrees()) == produced
        assert cluster.states() == {State.DELIVERED: produced, State.CANCELLED: 1}
        old.sigterm()
        assert old.wait(120) == 0
        assert "Traceback" not in old.output
