"""Whose fault an error is: over all codes that there are, not only those that somebody thought of."""

from __future__ import annotations

import sqlite3

import psycopg
import psycopg.errors
import pymysql
import pymysql.constants.ER
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from smsclick._database.faults import MYSQL, POSTGRESQL, SQLITE, DatabaseBusy, Fault, diagnose, fault_of, safe_words
from smsclick.errors import DatabaseNotMigrated, DatabaseUnavailable, InvalidText

_ROW_CLASSES = {"20", "21", "22", "23", "27", "44", "P0"}
"""The classes of PostgreSQL's appendix that speak of values, constraints and triggers."""

_SQLITE_CODES = {
    name: number for name, number in vars(sqlite3).items() if name.startswith("SQLITE_") and name == name.upper()
}


def _psycopg_errors() -> list[type[psycopg.Error]]:
    """Every error that psycopg knows a SQLSTATE of: the whole appendix of PostgreSQL."""
    known = [
        each for each in vars(psycopg.errors).values() if isinstance(each, type) and issubclass(each, psycopg.Error)
    ]
    return sorted((each for each in known if each.sqlstate), key=_sqlstate)


def _sqlstate(kind: type[psycopg.Error]) -> str:
    return kind.sqlstate or ""


def _wrapped(error: Exception) -> DBAPIError:
    return OperationalError("UPDATE smsclick_messages", {}, error)


@pytest.mark.parametrize("kind", _psycopg_errors())
def test_each_sqlstate_blames_a_row_only_where_its_class_speaks_of_rows(kind: type[psycopg.Error]) -> None:
    code = kind.sqlstate or ""
    expected = code[:2] in _ROW_CLASSES or code in {"40002", "54000"}
    assert (fault_of(_wrapped(kind("secret words"))) is Fault.ROW) == expected
    assert fault_of(kind("secret words")) is fault_of(_wrapped(kind("secret words"))), "as it came, and as wrapped"


@given(st.text(alphabet="0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=5, max_size=5))
def test_a_sqlstate_that_nobody_knows_is_the_environments_unless_its_class_is_known(code: str) -> None:
    error = psycopg.Error("secret words")
    error.sqlstate = code
    known = POSTGRESQL.get(code) or POSTGRESQL.get(code[:2])
    assert fault_of(error) is (known.fault if known else Fault.ENVIRONMENT)
    assert "secret" not in diagnose(error).words


@pytest.mark.parametrize(
    ("code", "fault", "reconnect"),
    [
        ("25006", Fault.ENVIRONMENT, True),  # read-only: a standby
        ("57P01", Fault.ENVIRONMENT, True),  # an administrator ended it
        ("57P02", Fault.ENVIRONMENT, True),
        ("57P03", Fault.ENVIRONMENT, True),
        ("08006", Fault.ENVIRONMENT, False),
        ("53100", Fault.ENVIRONMENT, False),  # its disk is full
        ("53200", Fault.ENVIRONMENT, False),
        ("53300", Fault.ENVIRONMENT, False),
        ("42501", Fault.ENVIRONMENT, False),
        ("58030", Fault.ENVIRONMENT, False),
        ("XX001", Fault.ENVIRONMENT, False),
        ("40001", Fault.CONTENTION, False),
        ("40P01", Fault.CONTENTION, False),
        ("55P03", Fault.CONTENTION, False),
        ("57014", Fault.CONTENTION, False),
        ("22021", Fault.ROW, False),
        ("22008", Fault.ROW, False),
        ("23514", Fault.ROW, False),
        ("P0001", Fault.ROW, False),
    ],
)
def test_the_codes_of_postgresql_that_matter_most(code: str, fault: Fault, reconnect: bool) -> None:  # noqa: FBT001
    error = psycopg.Error("words")
    error.sqlstate = code
    assert (diagnose(error).fault, diagnose(error).reconnect) == (fault, reconnect)


@pytest.mark.parametrize(
    ("number", "fault", "reconnect"),
    [
        (1290, Fault.ENVIRONMENT, True),
        (1792, Fault.ENVIRONMENT, True),
        (1836, Fault.ENVIRONMENT, True),
        (1021, Fault.ENVIRONMENT, False),
        (1114, Fault.ENVIRONMENT, False),
        (1040, Fault.ENVIRONMENT, False),
        (1142, Fault.ENVIRONMENT, False),
        (1053, Fault.ENVIRONMENT, True),
        (1927, Fault.ENVIRONMENT, True),
        (2013, Fault.ENVIRONMENT, False),
        (1205, Fault.CONTENTION, False),
        (1213, Fault.CONTENTION, False),
        (1969, Fault.CONTENTION, False),
        (1366, Fault.ROW, False),
        (1406, Fault.ROW, False),
        (4025, Fault.ROW, False),
    ],
)
def test_the_numbers_of_mariadb_that_matter_most(number: int, fault: Fault, reconnect: bool) -> None:  # noqa: FBT001
    for sqlstate in (None, "HY000", "23000"):
        error = pymysql.OperationalError(number, "words")
        # The driver sets it on what the server answered; it says less than the number.
        error.sqlstate = sqlstate
        assert (diagnose(error).fault, diagnose(error).reconnect) == (fault, reconnect)


@pytest.mark.parametrize("error", [pymysql.OperationalError(number, "words") for number in (1021, 1114)])
def test_a_full_disk_of_mariadb_is_named(error: Exception) -> None:
    assert diagnose(error).words == f"its disk is full, {error.args[0]}"


def test_a_full_disk_of_postgresql_is_named() -> None:
    error = psycopg.Error("words")
    error.sqlstate = "53100"
    assert diagnose(error).words == "its disk is full, 53100"


def test_every_number_of_mysql_that_is_not_in_the_table_waits() -> None:
    numbers = {value for value in vars(pymysql.constants.ER).values() if isinstance(value, int)} | set(
        range(1000, 5000)
    )
    for number in numbers:
        expected = MYSQL[number].fault if number in MYSQL else Fault.ENVIRONMENT
        assert fault_of(_wrapped(pymysql.InternalError(number, "words"))) is expected, number


@pytest.mark.parametrize("name", sorted(_SQLITE_CODES))
def test_each_code_of_sqlite_extended_or_not_goes_by_its_primary_one(name: str) -> None:
    number = _SQLITE_CODES[name]
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = number
    known = SQLITE.get(number & 0xFF)
    assert fault_of(_wrapped(error)) is (known.fault if known else Fault.ENVIRONMENT)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("SQLITE_FULL", Fault.ENVIRONMENT),
        ("SQLITE_READONLY_DBMOVED", Fault.ENVIRONMENT),
        ("SQLITE_IOERR_FSYNC", Fault.ENVIRONMENT),
        ("SQLITE_BUSY_SNAPSHOT", Fault.CONTENTION),
        ("SQLITE_CONSTRAINT_CHECK", Fault.ROW),
        ("SQLITE_TOOBIG", Fault.ROW),
    ],
)
def test_the_codes_of_sqlite_that_matter_most(name: str, fault: Fault) -> None:
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = _SQLITE_CODES[name]
    assert fault_of(error) is fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (DatabaseUnavailable("x"), Fault.ENVIRONMENT),
        (DatabaseNotMigrated("x"), Fault.ENVIRONMENT),
        (DatabaseBusy("x"), Fault.CONTENTION),
        (InvalidText("x"), Fault.ROW),
        (PoolTimeoutError("x"), Fault.ENVIRONMENT),
        (sa.exc.InterfaceError("SELECT 1", {}, psycopg.InterfaceError("the connection is closed")), Fault.ENVIRONMENT),
        (_wrapped(psycopg.OperationalError("server closed the connection unexpectedly")), Fault.ENVIRONMENT),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), Fault.ROW),
        (sqlite3.OperationalError("Could not decode to UTF-8 column 'text' with text 'x'"), Fault.ROW),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), Fault.ENVIRONMENT),
        (StatementError("wrapped", "SELECT 1", {}, ValueError("a naive datetime")), Fault.ROW),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), Fault.ROW),
        (KeyError("bogus"), Fault.ROW),
        (MemoryError(), Fault.ENVIRONMENT),
        (RuntimeError("can't start new thread"), Fault.ENVIRONMENT),
        (OSError(24, "Too many open files"), Fault.ENVIRONMENT),
        (AssertionError("a defect of ours"), Fault.ROW),
    ],
)
def test_an_error_without_a_code_is_classified_by_its_type(error: Exception, fault: Fault) -> None:
    assert fault_of(error) is fault


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            pymysql.IntegrityError(1062, "Duplicate entry 'a' for key 'b' for key 'uq_smsclick_messages_key'"),
            "a constraint of the table, 1062 (uq_smsclick_messages_key)",
        ),
        (
            pymysql.DataError(1366, "Incorrect string value: '\\xF1o 555' for column `t`.`m`.`text` at row 1"),
            "a value that cannot be stored or read, 1366 (t.m.text)",
        ),
        (
            sqlite3.OperationalError("Could not decode to UTF-8 column 'text' with text 'Hola 5551402211'"),
            "a value that cannot be stored or read (text)",
        ),
        (
            psycopg.errors.InvalidTextRepresentation('invalid input: "5551402211"'),
            "a value that cannot be stored or read, 22P02",
        ),
    ],
)
def test_a_rows_content_is_taken_out_of_the_drivers_words(error: Exception, words: str) -> None:
    assert safe_words(_wrapped(error)) == words


def test_an_equal_message_in_flight_is_contention_and_not_a_broken_constraint() -> None:
    lost = sqlite3.IntegrityError("UNIQUE constraint failed: smsclick_messages.wire_key")
    lost.sqlite_errorcode = sqlite3.SQLITE_CONSTRAINT_UNIQUE
    assert fault_of(lost) is Fault.CONTENTION
    also = pymysql.IntegrityError(1062, "Duplicate entry 'x' for key 'ix_smsclick_messages_wire_key'")
    assert fault_of(also) is Fault.CONTENTION
    # An error whose text only names the column is another fault.
    other = pymysql.IntegrityError(1062, "Duplicate entry 'wire_key' for key 'uq_smsclick_messages_key'")
    assert fault_of(other) is Fault.ROW
