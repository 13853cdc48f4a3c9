"""What `smsclick doctor` says about a database's durability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from tests.processes import wait_until
from tests.servers import MariaDBServer, PostgresServer, StandbyServer
from worker.operator.doctor.check import Check, Verdict
from worker.operator.doctor.durability import checks
from worker.operator.doctor.storage import disk

if TYPE_CHECKING:
    from tests.conftest import OwnServer


def _checks(url: str) -> dict[str, Check]:
    database = Database(url, threads=1)
    try:
        return {name: look() for name, look in checks(database)}
    finally:
        database.dispose()


def _administer(url: str, statement: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def test_postgresql_as_it_comes_is_durable_and_what_is_weaker_is_named(own_server: OwnServer) -> None:
    server = own_server(PostgresServer, durable=True)
    found = _checks(server.url())
    assert {name: check.verdict for name, check in found.items()} == {"durability": "ok", "standbys": "ok"}
    _administer(server.url(), "ALTER DATABASE postgres SET synchronous_commit = off")
    _administer(server.url(), "ALTER SYSTEM SET full_page_writes = off")
    _administer(server.url(), "SELECT pg_reload_conf()")
    wait_until(lambda: "full_page_writes is off" in _checks(server.url())["durability"].found, 60)
    weak = _checks(server.url())["durability"]
    assert weak.verdict is Verdict.WARNING
    assert "synchronous_commit is off: a crash takes back commits of producers" in weak.found
    assert weak.todo == "set full_page_writes = on, synchronous_commit = on for the database, its roles and producers"


def test_a_test_server_that_does_not_wait_for_its_disk_is_named(migrated_postgres_url: str) -> None:
    assert "fsync is off" in _checks(migrated_postgres_url)["durability"].found


def test_a_standby_is_no_place_to_send_from_and_an_asynchronous_one_loses_commits(own_server: OwnServer) -> None:
    primary = own_server(PostgresServer)
    standby = own_server(StandbyServer, prepare=lambda server: server.follow(primary))
    assert "this is a standby" in _checks(standby.url())["durability"].found
    assert _checks(standby.url())["durability"].verdict is Verdict.FAILED
    wait_until(lambda: _checks(primary.url())["standbys"].verdict is Verdict.WARNING, 60)
    assert "smsclick restored --since" in _checks(primary.url())["standbys"].todo
    _administer(primary.url(), "ALTER SYSTEM SET synchronous_standby_names = '*'")
    _administer(primary.url(), "SELECT pg_reload_conf()")
    wait_until(lambda: _checks(primary.url())["standbys"].verdict is Verdict.OK, 60)


def test_mariadb_is_asked_how_it_writes_its_log(mariadb: MariaDBServer, migrated_mariadb_url: str) -> None:
    weak = _checks(migrated_mariadb_url)["durability"]
    assert (weak.verdict, weak.todo) == (Verdict.WARNING, "set innodb_flush_log_at_trx_commit = 1")
    root = mariadb.url()
    _administer(root, "SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    try:
        assert {check.verdict for check in _checks(migrated_mariadb_url).values()} == {Verdict.OK}
        _administer(root, "SET GLOBAL read_only = ON")
        assert _checks(migrated_mariadb_url)["durability"].verdict is Verdict.FAILED
    finally:
        _administer(root, "SET GLOBAL read_only = OFF")
        _administer(root, "SET GLOBAL innodb_flush_log_at_trx_commit = 2")


def test_sqlite_as_we_open_it_is_durable(migrated_sqlite_url: str) -> None:
    assert _checks(migrated_sqlite_url)["durability"].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(None, Verdict.OK), (5 << 30, Verdict.OK), (1 << 29, Verdict.WARNING), (1 << 20, Verdict.FAILED)],
)
def test_a_full_disk_is_seen_before_it_is_full(free: int | None, verdict: Verdict) -> None:
    assert disk(free).verdict is verdict
