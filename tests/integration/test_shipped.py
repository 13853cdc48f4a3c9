"""What is shipped runs where it is installed: the production lock and each extra, without the test tools.

The lock is installed by pip as the Dockerfile does it, beside the files that the image gets. The extras are linked from
the packages that the tests run with, each into an environment that holds what it requires and nothing else.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import kombu
import pytest
import sqlalchemy as sa
from packaging.requirements import Requirement

from smsclick.contract import heartbeats, messages
from tests.acceptance import Cluster, phone, ready
from tests.environments import built, environment, fetch, pip, required
from tests.processes import PATIENT_WAKEUPS, ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.processes import Process

LOCK = ROOT / "requirements-worker.lock"
SEND_QUEUE = kombu.Queue("smsclick.send", kombu.Exchange("smsclick.send", type="direct"), routing_key="smsclick.send")

# --- The image: the production lock, and the files that the Dockerfile copies


@dataclass(frozen=True)
class Image:
    """What a container of ours holds."""

    tree: Path
    programs: Path

    def program(self, name: str) -> str:
        """A program's path."""
        return str(self.programs / name)

    def run(self, env: dict[str, str], name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        command = [self.program(name), *arguments]
        return subprocess.run(command, cwd=self.tree, env=env, capture_output=True, text=True, check=False, timeout=300)


def installed_lock(python: Path) -> None:
    """Installs the production lock by its hashes, over the registry that pip is set up for."""
    fetch(python, ["--no-compile", "--require-hashes", "-r", str(LOCK)])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The Dockerfile's steps in a folder of this machine."""
    tree, place = tmp_path_factory.mktemp("app"), tmp_path_factory.mktemp("image")
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    installed_lock(python)
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    for line in re.findall(r"^COPY +(.+)$", dockerfile, re.MULTILINE):
        for source in shlex.split(line)[:-1]:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tree / source, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, tree)
    pip("install", "--no-build-isolation", "--editable", str(tree), python=("--python", str(python)))
    return Image(tree, place / "bin")


def pins() -> set[str]:
    """The distributions of the production lock that belong on this machine."""
    lines = re.findall(r"^([a-z0-9.-]+==[^\s\\]+(?: ; [^\\]+?)?) *\\?$", LOCK.read_text(), re.MULTILINE)
    found = [Requirement(line) for line in lines]
    return {each.name for each in found if each.marker is None or each.marker.evaluate()}


def test_the_production_lock_is_what_the_extra_worker_requires() -> None:
    assert pins() == set(required("smsclick", frozenset({"worker"}))) - {"smsclick"} | {"setuptools"}


def test_the_image_lacks_nothing_that_its_packages_require(image: Image) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "--python", image.program("python"), "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def started(cluster: Cluster, image: Image, start: StartProcess, name: str, *arguments: str) -> Process:
    """A program of the image with the cluster's settings."""
    return start([image.program(name), *arguments], cluster.env, name=arguments[2], cwd=image.tree)


def test_commands_worker_beat_and_wake_ups_run_in_the_image(
    image: Image, postgres_url: str, broker_url: str, start_process: StartProcess
) -> None:
    # The sweep of the worker's own settings is an hour away: what is sent was woken up for.
    with Cluster(start_process, postgres_url, broker_url, env={"SMSCLICK_SWEEP_SECONDS": "3600"}) as cluster:
        migrated = image.run(cluster.env, "alembic", "upgrade", "head")
        assert migrated.returncode == 0, migrated.stderr
        worker = started(cluster, image, start_process, "celery", "-A", "worker", "worker", "-l", "info")
        ready(worker)
        queued = image.run(cluster.env, "python", "-c", PATIENT_WAKEUPS + ENQUEUE)
        assert (queued.returncode, queued.stdout, queued.stderr) == (0, "1\n", "")
        worker_sends(cluster, 1)
        cluster.env["SMSCLICK_SWEEP_SECONDS"] = "1"
        beat = started(cluster, image, start_process, "celery", "-A", "worker", "beat", "-l", "info")
        with cluster.database.begin() as connection:
            # The worker itself may have swept when it started, and by its settings that was enough for an hour.
            connection.execute(sa.delete(heartbeats).where(heartbeats.c.name == "sweep"))
            connection.execute(sa.insert(messages).values(key="by-sql", phone=phone(2), text="Otra"))
        worker_sends(cluster, 2)
        cluster.env["SMSCLICK_SWEEP_SECONDS"] = "3600"
        examined = image.run(cluster.env, "smsclick", "doctor")
        assert "not be checked" not in examined.stdout + examined.stderr
        assert examined.returncode == 0, examined.stdout + examined.stderr
        for process in (worker, beat):
            assert "Error" not in process.output
            process.sigterm()
            process.wait()


def worker_sends(cluster: Cluster, count: int) -> None:
    """Waits until the provider has accepted so many."""
    wait_until(lambda: len(cluster.provider.ledger()) == count, 120, what="the provider to accept it")


def test_up_runs_in_the_image_without_any_server(image: Image, sqlite_url: str, start_process: StartProcess) -> None:
    env = {"DATABASE_URL": sqlite_url, "SMSCLICK_POLL_SECONDS": "0.5", "SMSCLICK_SWEEP_SECONDS": "1"}
    running = start_process([image.program("smsclick"), "up", "--simulate"], env, cwd=image.tree)
    running.wait_for_line(r"^smsclick is up")
    queued = image.run(env, "smsclick", "enqueue", phone(1), "Tu pedido va en camino")
    assert queued.returncode == 0, queued.stderr
    shown = image.run(env, "smsclick", "show", queued.stdout.strip())
    assert "Tu pedido va en camino" in shown.stdout
    running.sigterm()
    assert running.wait() == 0


# --- The extras, as a producer installs them

ENQUEUE = """
import sqlalchemy as sa
from smsclick import enqueue
from smsclick.settings import get_settings

engine = sa.create_engine(get_settings().database_url)
with engine.begin() as connection:
    print(enqueue(connection, phone="55 5140 2211", text="Hola", key="a"))
"""

ENQUEUE_ASYNC = """
import asyncio
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from smsclick import enqueue
from smsclick.settings import get_settings

async def main():
    engine = create_async_engine(get_settings().database_url)
    async with AsyncSession(engine) as session, session.begin():
        print(await enqueue(session, phone="55 5140 2211", text="Hola", key="a"))
    await engine.dispose()

asyncio.run(main())
"""

SIMULATE = """
import httptools, uvloop
from smsclick.provider.client import SmsclickClient
from smsclick.simulator import Simulator

with Simulator(api_key="key") as simulator, SmsclickClient("key", simulator.base_url) as client:
    print(client.credits())
"""


@pytest.fixture(scope="module")
def producer(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a program in an environment with our wheel, these extras and nothing else; returns what it printed."""
    wheel = built(tmp_path_factory.mktemp("wheel"))
    made: dict[frozenset[str], Path] = {}

    def run(program: str, *extras: str, env: dict[str, str]) -> str:
        asked = frozenset(extras)
        if asked not in made:
            made[asked] = environment(
                tmp_path_factory.mktemp("producer"), set(required("smsclick", asked)) - {"smsclick"}
            )
            pip("install", str(wheel), python=("--python", str(made[asked])))
        done = subprocess.run(
            [str(made[asked]), "-c", program],
            cwd=made[asked].parent,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    return run


def test_without_any_extra_a_producer_enqueues_into_sqlite(
    producer: Callable[..., str], migrated_sqlite_url: str
) -> None:
    assert producer(ENQUEUE, env={"DATABASE_URL": migrated_sqlite_url}) == "1"


def test_the_extra_postgresql_has_the_driver(producer: Callable[..., str], migrated_postgres_url: str) -> None:
    # Not the machine's own libpq, which another machine may lack.
    binary = "import psycopg\nassert psycopg.pq.__impl__ == 'binary'\n"
    assert producer(binary + ENQUEUE, "postgresql", env={"DATABASE_URL": migrated_postgres_url}) == "1"


def test_the_extra_mysql_has_the_driver(producer: Callable[..., str], migrated_mariadb_url: str) -> None:
    assert producer(ENQUEUE, "mysql", env={"DATABASE_URL": migrated_mariadb_url}) == "1"


def test_the_extra_asyncio_has_what_an_async_session_needs(
    producer: Callable[..., str], migrated_postgres_url: str
) -> None:
    assert producer(ENQUEUE_ASYNC, "asyncio", "postgresql", env={"DATABASE_URL": migrated_postgres_url}) == "1"


def test_the_extra_celery_publishes_the_wake_up(
    producer: Callable[..., str], migrated_sqlite_url: str, broker_url: str
) -> None:
    with kombu.Connection(broker_url) as connection:
        queue: Any = SEND_QUEUE(connection.default_channel)
        queue.declare()
        env = {"DATABASE_URL": migrated_sqlite_url, "CELERY_BROKER_URL": broker_url}
        assert producer(PATIENT_WAKEUPS + ENQUEUE, "celery", env=env) == "1"
        woken = queue.get(no_ack=True)
        assert woken is not None
        assert woken.payload[0] == [[1]]


def test_the_extra_simulator_has_the_faster_parser_and_loop(producer: Callable[..., str]) -> None:
    assert int(producer(SIMULATE, "simulator", env={})) > 0
