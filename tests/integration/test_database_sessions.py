"""Our sessions' settings: they are set, stay in our sessions, and a silent or lost server blocks nobody forever."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database, parse_url
from smsclick._database.sessions import SILENCE_SECONDS, connect_args, is_pooled
from smsclick.errors import DatabaseUnavailable
from tests.chaos.proxy import Proxy
from tests.conftest import migrate
from tests.factories import insert, states
from tests.servers import PgBouncerServer, PostgresServer, StandbyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import OwnServer

_LEAKS = ("idle_in_transaction_session_timeout", "synchronous_commit", "lock_timeout", "tcp_keepalives_idle")


@pytest.fixture
def opened() -> Iterator[Callable[..., Database]]:
    """Databases that are disposed of after the test."""
    all_of_them: list[Database] = []

    def open_(url: str, **options: Any) -> Database:  # noqa: ANN401 - of Database
        all_of_them.append(Database(url, **options))
        return all_of_them[-1]

    yield open_
    for each in all_of_them:
        each.dispose()


def _plain(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Ask as anybody else does."""
    address = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True, prepare_threshold=None) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def _behind_pooler(own_server: OwnServer, postgres: PostgresServer, **settings: str) -> PgBouncerServer:
    def prepare(server: PgBouncerServer) -> None:
        server.behind = postgres
        server.settings = settings

    return own_server(PgBouncerServer, prepare=prepare)


def test_a_commit_is_durable_though_the_database_would_not_wait_for_it(
    migrated_postgres_url: str, opened: Callable[..., Database]
) -> None:
    name = sa.make_url(migrated_postgres_url).database
    _plain(migrated_postgres_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert _plain(migrated_postgres_url, "SHOW synchronous_commit") == [("off",)]
    for suffix in ("", "?options=-c%20synchronous_commit%3Doff"):
        database = opened(migrated_postgres_url + suffix, threads=1)
        with database.begin() as connection:
            assert connection.scalar(sa.text("SHOW synchronous_commit")) == "on"
            assert connection.scalar(sa.text("SHOW idle_in_transaction_session_timeout")) == "10s"
            assert not is_pooled(connection)


def test_sqlite_syncs_each_commit(migrated_sqlite_url: str, opened: Callable[..., Database]) -> None:
    with opened(migrated_sqlite_url).begin() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2, "FULL"
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


@pytest.mark.parametrize("swallows", [False, True], ids=["refuses options", "swallows options"])
def test_behind_a_pooler_nothing_of_ours_reaches_other_clients(
    swallows: bool,  # noqa: FBT001
    migrated_postgres_url: str,
    postgres: PostgresServer,
    own_server: OwnServer,
    opened: Callable[..., Database],
) -> None:
    name = str(sa.make_url(migrated_postgres_url).database)
    _plain(migrated_postgres_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    pooler = _behind_pooler(own_server, postgres, **({"ignore_startup_parameters": "options"} if swallows else {}))
    url = pooler.url(name)
    database = opened(url, threads=8)
    before = {setting: _plain(migrated_postgres_url, f"SHOW {setting}") for setting in _LEAKS}

    def work() -> None:
        for _ in range(15):
            with database.begin() as connection:
                assert is_pooled(connection)
                assert connection.scalar(sa.text("SHOW synchronous_commit")) == "on"
                assert connection.scalar(sa.text("SHOW idle_in_transaction_session_timeout")) == "10s"
            insert(database)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(database) == ["queued"] * 90, "no prepared statement collided, no thread ended early"
    for _ in range(8):
        # Eight transactions at once would be needed to see all three sessions for sure; in a row they are enough.
        assert {setting: _plain(url, f"SHOW {setting}") for setting in _LEAKS} == before


def test_upgrades_through_a_pooler_leave_no_lock_behind(
    postgres_url: str, postgres: PostgresServer, own_server: OwnServer
) -> None:
    name = str(sa.make_url(postgres_url).database)
    url = _behind_pooler(own_server, postgres).url(name)
    failures: list[Exception] = []

    def upgrade() -> None:
        try:
            migrate(url)
        except Exception as error:  # noqa: BLE001 - asserted below
            failures.append(error)

    migrate(url, "0005")
    upgrade()
    assert not failures
    held = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory'"
    locks = f"{held} AND d.datname = '{name}'"
    assert _plain(postgres_url, locks) == [(0,)]
    upgrade()  # would wait forever
    assert not failures
    assert _plain(url, "SHOW lock_timeout") == [("0",)]


@pytest.mark.parametrize("name", ["migrated_postgres_url", "migrated_mariadb_url"])
def test_a_server_that_falls_silent_is_given_up_and_found_again(
    name: str, request: pytest.FixtureRequest, opened: Callable[..., Database]
) -> None:
    url = sa.make_url(request.getfixturevalue(name))
    assert url.port is not None
    proxy = Proxy(url.port)
    try:
        database = opened(url.set(port=proxy.port).render_as_string(hide_password=False), threads=1, silence_seconds=2)
        insert(database)
        proxy.cut()
        with pytest.raises(DatabaseUnavailable):
            insert(database)
        proxy.restore(reset=True)
        insert(database)
        assert len(states(database)) >= 2
    finally:
        proxy.close()


def test_a_statement_that_is_slow_but_answers_in_time_is_left_alone(
    migrated_postgres_url: str, opened: Callable[..., Database]
) -> None:
    database = opened(migrated_postgres_url, threads=1, silence_seconds=None)
    with database.begin() as connection:
        assert connection.scalar(sa.text("SELECT 1 FROM pg_sleep(0.3)")) == 1


def test_mariadb_waits_for_a_locked_row_for_less_time_than_for_a_silent_server(
    migrated_mariadb_url: str, opened: Callable[..., Database]
) -> None:
    """Its own bound is 50 s: the results of a group would wait so long for the account's row."""
    worker, migration = opened(migrated_mariadb_url), opened(migrated_mariadb_url, silence_seconds=None)
    asked = sa.text("SELECT @@innodb_lock_wait_timeout, @@time_zone")
    with worker.read() as connection:
        assert connection.execute(asked).one() == (3, "+00:00")
    with migration.read() as connection:
        assert connection.execute(asked).one() == (50, "+00:00")


def test_the_operating_system_gives_up_a_host_that_is_gone(
    migrated_postgres_url: str, opened: Callable[..., Database]
) -> None:
    with opened(migrated_postgres_url).read() as connection:
        driver: Any = connection.connection.dbapi_connection
        with socket.socket(fileno=socket.dup(driver.pgconn.socket)) as ours:
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 4


def test_what_the_url_says_itself_is_not_overridden() -> None:
    url = parse_url("postgresql://u@h/db?connect_timeout=3&keepalives_idle=7")
    given = connect_args(url, SILENCE_SECONDS)
    assert "connect_timeout" not in given
    assert "keepalives_idle" not in given
    assert given["tcp_user_timeout"] == 30_000
    url = parse_url("mysql://u@h/db?read_timeout=5")
    assert "read_timeout" not in connect_args(url, SILENCE_SECONDS)
    assert connect_args(url, SILENCE_SECONDS)["write_timeout"] == SILENCE_SECONDS
    assert "read_timeout" not in connect_args(parse_url("mysql://u@h/db"), None), "migrations take their time"


@pytest.mark.parametrize(
    "written",
    [
        "postgresql://u:p@one:5432,two:5433/db?connect_timeout=3",
        "postgresql://u:p@/db?connect_timeout=3&host=one:5432&host=two:5433",
    ],
)
def test_several_hosts_are_read_in_either_form_and_the_one_that_takes_writes_is_meant(written: str) -> None:
    url = parse_url(written)
    _, arguments = sa.create_engine(url).dialect.create_connect_args(url)
    assert (arguments["host"], arguments["port"]) == ("one,two", "5432,5433")
    assert (arguments["user"], arguments["dbname"], arguments["connect_timeout"]) == ("u", "db", "3")
    assert connect_args(url, None)["target_session_attrs"] == "read-write"
    assert parse_url(url.render_as_string(hide_password=False)) == url


def test_after_a_failover_the_same_process_goes_on_with_the_new_primary(
    own_server: OwnServer, opened: Callable[..., Database]
) -> None:
    primary = own_server(PostgresServer)
    migrate(primary.url())
    standby = own_server(StandbyServer, prepare=lambda server: server.follow(primary))
    url = f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/postgres"
    database = opened(url, threads=2)
    insert(database)
    lost = _plain(primary.url(), "SELECT pg_current_wal_flush_lsn()::text")[0][0]
    replayed = f"SELECT pg_last_wal_replay_lsn() >= '{lost}'::pg_lsn"
    while _plain(standby.url(), replayed) != [(True,)]:
        pass
    primary.kill()
    with pytest.raises(DatabaseUnavailable):
        insert(database)
    standby.promote()
    insert(database)
    assert states(database) == ["queued"] * 2
