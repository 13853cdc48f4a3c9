"""`smsclick._database.engine` on real databases that are not as they should be."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from smsclick._database.engine import Database, Fault, fault_of
from smsclick.contract import messages
from smsclick.errors import DatabaseUnavailable
from tests.factories import insert

if TYPE_CHECKING:
    from collections.abc import Iterator


def _administer(url: str, statement: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with contextlib.closing(engine.raw_connection()) as connection:
        connection.cursor().execute(statement)
    engine.dispose()


@contextlib.contextmanager
def _read_only(url: str) -> Iterator[None]:
    """Sessions that begin meanwhile cannot write, and never can: as on a standby."""
    name = sa.make_url(url).database
    if url.startswith("postgresql"):
        on, off = (f"ALTER DATABASE {name} SET default_transaction_read_only = {word}" for word in ("on", "off"))
        url = url.replace(f"/{name}", "/postgres")
    else:
        on, off = (f"SET GLOBAL tx_read_only = {word}" for word in ("ON", "OFF"))
    _administer(url, on)
    try:
        yield
    finally:
        _administer(url, off)


@pytest.mark.parametrize("name", ["migrated_postgres_url", "migrated_mariadb_url"])
def test_a_read_only_node_is_unavailable_and_left_for_the_one_that_takes_writes(
    name: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(name)
    database = Database(url, threads=2)
    try:
        with _read_only(url):
            # A session that began here would answer each ping, and refuse each write, for as long as it is kept.
            for _ in range(3):
                with pytest.raises(DatabaseUnavailable, match="read-only") as caught:
                    insert(database)
                assert fault_of(caught.value) is Fault.ENVIRONMENT
        assert insert(database)
    finally:
        database.dispose()


def test_a_missing_permission_waits_and_says_so(migrated_postgres_url: str) -> None:
    _administer(migrated_postgres_url, "DROP ROLE IF EXISTS sms_reader")
    _administer(migrated_postgres_url, "CREATE ROLE sms_reader LOGIN; GRANT SELECT ON smsclick_messages TO sms_reader")
    database = Database(migrated_postgres_url.replace("postgres@", "sms_reader@"), threads=1)
    try:
        with pytest.raises(DatabaseUnavailable, match="lacks a permission that smsclick needs, 42501"):
            insert(database)
    finally:
        database.dispose()
        _administer(migrated_postgres_url, "DROP OWNED BY sms_reader; DROP ROLE sms_reader")


def test_a_row_that_the_database_refuses_is_its_own_fault_and_its_content_stays_out_of_the_error(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(database_url, threads=1)
    secret = "Hola 5551402211"
    try:
        insert(database, key=secret)
        with pytest.raises(DBAPIError) as caught:
            insert(database, key=secret)
        logging.getLogger("test").error("shown", exc_info=caught.value)
    finally:
        database.dispose()
    assert fault_of(caught.value) is Fault.ROW
    assert secret not in caplog.text
    assert "key" in str(caught.value.orig), "which constraint it was is said"


def test_bytes_that_are_no_text_are_the_rows_own_fault_and_not_shown(migrated_sqlite_url: str) -> None:
    database = Database(migrated_sqlite_url)
    try:
        (message_id,) = insert(database)
        with database.begin() as connection:
            odd = sa.text("UPDATE smsclick_messages SET text = CAST(:b AS TEXT) WHERE id = :id")
            connection.execute(odd, {"b": b"Se\xf1or, su clave es 4711", "id": message_id})
        with pytest.raises(DBAPIError) as caught, database.read() as connection:
            connection.scalar(sa.select(messages.c.text))
        assert fault_of(caught.value) is Fault.ROW
        assert "4711" not in str(caught.value)
    finally:
        database.dispose()


def test_a_sqlite_that_has_no_room_waits(migrated_sqlite_url: str) -> None:
    database = Database(migrated_sqlite_url)

    def fill(connection: sa.Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        many = [{"key": f"k{number}", "phone": "5551402211", "text": "x" * 900} for number in range(1000)]
        connection.execute(sa.insert(messages), many)

    try:
        with pytest.raises(DatabaseUnavailable, match="its disk is full"):
            database.transact(fill)
    finally:
        database.dispose()
