"""The core's tests run on all three databases, each emptied before the test, with the real simulator as provider."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import pytest
import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick.contract import accounts, metadata
from smsclick.simulator import Simulator
from tests.conftest import migrate
from tests.factories import KEY, RecordingWakeups, settings
from worker.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api_server import Api
    from tests.servers import MariaDBServer, PostgresServer


@pytest.fixture(scope="session")
def _kept_postgres_url(postgres: PostgresServer) -> str:
    postgres.start()
    return migrate(postgres.create_database("kept"))


@pytest.fixture(scope="session")
def _kept_mariadb_url(mariadb: MariaDBServer) -> str:
    mariadb.start()
    return migrate(mariadb.create_database("kept"))


@pytest.fixture
def site(database: Database) -> Iterator[Api]:
    """The HTTP API and the page, on each database, with a token and without a user."""
    from tests.api_server import serving  # noqa: PLC0415 - the framework takes half a second, and few tests need it

    with serving(database) as running:
        yield running


def _emptied(database: Database) -> Database:
    with database.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not accounts:
                connection.execute(sa.delete(table))
        blank = {column.name: None for column in accounts.c if column.nullable}
        connection.execute(
            sa.update(accounts).values(
                **blank, epoch=0, needed_credits=1, failures=0, probe_at=db_now(), relapses=0, canaries=0
            )
        )
    return database


def without_tls(url: str) -> str:
    """PyMySQL would read all certificates for each connection. `test_database_tls.py` has what there is to test."""
    return f"{url}{'&' if '?' in url else '?'}sslmode=disable" if url.startswith("mysql") else url


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """The test runs three times, each time with our tables and not a row in them."""
    if request.param == "sqlite":
        url: str = request.getfixturevalue("migrated_sqlite_url")
    else:
        server = request.getfixturevalue(request.param)
        server.thaw()
        server.start()
        url = without_tls(request.getfixturevalue(f"_kept_{request.param}_url"))
    made = Database(url, threads=24)
    yield _emptied(made)
    made.dispose()


@pytest.fixture
def wakeups() -> RecordingWakeups:
    """Records what a wake-up was sent for."""
    return RecordingWakeups()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """SMSClick, which delivers at once."""
    with Simulator(api_key=KEY, delivery_seconds=0, reply_seconds=0) as running:
        yield running


class MakeRuntime(Protocol):
    """Opens what a worker process holds, with any settings by their variables' names."""

    def __call__(self, **variables: object) -> Runtime:
        """The runtime; closed with the test."""


@pytest.fixture
def make_runtime(database: Database, simulator: Simulator, wakeups: RecordingWakeups) -> Iterator[MakeRuntime]:
    """`make_runtime(SMSCLICK_BALANCE_SECONDS=60)`."""
    made: list[Runtime] = []

    def make(**variables: object) -> Runtime:
        url = without_tls(database.engine.url.render_as_string(hide_password=False))
        made.append(Runtime.start(settings(url, simulator.base_url, **variables), wakeups, calls=64))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def runtime(make_runtime: MakeRuntime) -> Runtime:
    """One worker process without a broker."""
    return make_runtime()


@pytest.fixture
def threads_die_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that kill threads: a second kill may hit pytest's own hook, which then fails the test."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
