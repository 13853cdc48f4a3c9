"""Whose fault a database error is, as data: the row's own, a contention that passes, or the environment's.

Code that claims, records or stores rows needs one answer about an error: is it the fault of this row (`ROW`), should
the same transaction run again at once (`CONTENTION`), or does only waiting help (`ENVIRONMENT`)? An error that is not
known to be a row's fault counts as one of the environment: waiting costs time, but blaming a row costs a message or a
result.

The codes are those of PostgreSQL's appendix "Error Codes", MariaDB's "Error Code Reference" with MySQL's "Server Error
Message Reference", and SQLite's "Result and Error Codes". The text of a driver's
error is read only if there is no code, because it may contain a row.
"""

import dataclasses
import enum
import re
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError, StatementError

from smsclick.errors import DatabaseNotMigrated, DatabaseUnavailable, SmsclickError


class Fault(enum.Enum):
    """Whose fault an error is."""

    ROW = "row"
    """The content of the row, or our use of it: another try would fail too, other rows are not affected."""

    CONTENTION = "contention"
    """Another transaction was in the way; nothing was written and the same work may run again at once."""

    ENVIRONMENT = "environment"
    """The server, its disk, the network, the rights: no row is to blame, so the work waits and nothing is lost."""


class DatabaseBusy(DatabaseUnavailable):
    """This transaction lost to another one; nothing was written and it may run again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known of an error.

    Attributes:
        fault: whose fault it is.
        cause: a few constant words for logs and people, without any text of a driver.
        code: SQLSTATE, or the number of MariaDB, MySQL or SQLite; empty if the driver gave none.
        reconnect: this session is useless, although it still answers. The pool must connect again, which after a
            failover leads to the node that accepts writes.
        not_migrated: a table or column of ours is missing.
    """

    fault: Fault
    cause: str
    code: str = ""
    reconnect: bool = False
    not_migrated: bool = False

    @property
    def is_denied(self) -> bool:
        """Return whether a permission is missing."""
        return self.cause == _DENIED.cause

    @property
    def words(self) -> str:
        """Return the cause with its code."""
        return f"{self.cause}, {self.code}" if self.code else self.cause


_ROW, _AGAIN, _WAIT = Fault.ROW, Fault.CONTENTION, Fault.ENVIRONMENT
_READ_ONLY = Diagnosis(_WAIT, "it is read-only: a standby, or a node that is recovering", reconnect=True)
_ENDING = Diagnosis(_WAIT, "it ended the connection", reconnect=True)
_STARTING = Diagnosis(_WAIT, "it is starting, stopping or recovering", reconnect=True)
_DISK = Diagnosis(_WAIT, "its disk is full")
_CROWDED = Diagnosis(_WAIT, "it has too many connections")
_MEMORY = Diagnosis(_WAIT, "it is out of memory")
_DENIED = Diagnosis(_WAIT, "its user lacks a permission that smsclick needs")
_REFUSED = Diagnosis(_WAIT, "it refused the user or password")
_NO_DATABASE = Diagnosis(_WAIT, "there is no such database")
_INPUT = Diagnosis(_WAIT, "its disk fails")
_DAMAGED = Diagnosis(_WAIT, "its files are damaged")
_LOST_WAIT = Diagnosis(_AGAIN, "another transaction held what was needed")
_DEADLOCK = Diagnosis(_AGAIN, "a deadlock or conflict with another transaction")
_TIMEOUT = Diagnosis(_AGAIN, "a statement took too long or was cancelled")
_DUPLICATE = Diagnosis(_AGAIN, "an equal message was claimed at the same time")
_POOLED = Diagnosis(_WAIT, "prepared statements were lost or collided: there is a pooler in between", reconnect=True)
_MISSING = Diagnosis(_WAIT, "a table or column is missing", not_migrated=True)
_VALUE = Diagnosis(_ROW, "a value that cannot be stored or read")
_CONSTRAINT = Diagnosis(_ROW, "a constraint of the table")
_TRIGGER = Diagnosis(_ROW, "a trigger of the table")
_LARGE = Diagnosis(_ROW, "a row that is too large")
_OTHER = Diagnosis(_WAIT, "an error of the database")
_GONE = Diagnosis(_WAIT, "the connection was lost or cannot be made")
_OURS = Diagnosis(_ROW, "an unexpected error while working on it")

POSTGRESQL: Mapping[str, Diagnosis] = {
    # A class has two characters and a code five; the code is looked up first.
    "08": _GONE,
    "0A": _OTHER,
    "20": _VALUE,
    "21": _VALUE,
    "22": _VALUE,
    "23": _CONSTRAINT,
    "25": _OTHER,
    "25006": _READ_ONLY,
    "25P03": _ENDING,
    "25P04": _ENDING,
    "26": _POOLED,
    "27": _TRIGGER,
    "28": _REFUSED,
    "3D": _NO_DATABASE,
    "40": _DEADLOCK,
    "40002": _CONSTRAINT,
    "40003": _GONE,
    "42": _OTHER,
    "42501": _DENIED,
    "42703": _MISSING,
    "42P01": _MISSING,
    "42P05": _POOLED,
    "44": _CONSTRAINT,
    "53": Diagnosis(_WAIT, "it lacks resources"),
    "53100": _DISK,
    "53200": _MEMORY,
    "53300": _CROWDED,
    "54": _OTHER,
    "54000": _LARGE,
    "55": _OTHER,
    "55006": _LOST_WAIT,
    "55P03": _LOST_WAIT,
    "57": _ENDING,
    "57014": _TIMEOUT,
    "57P03": _STARTING,
    "58": _INPUT,
    "P0": _TRIGGER,
    "XX": _OTHER,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
"""By SQLSTATE; other codes are the environment's fault."""


def _all(codes: Iterable[int], diagnosis: Diagnosis) -> dict[int, Diagnosis]:
    return dict.fromkeys(codes, diagnosis)


MYSQL: Mapping[int, Diagnosis] = {
    **_all((1290, 1792, 1836, 3100), _READ_ONLY),
    **_all((1053, 1077, 1079, 1152, 1159, 1161, 1184, 1927, 4031), _ENDING),
    **_all((2002, 2003, 2005, 2006, 2013, 2014, 2055, 1042, 1043, 1047, 1156, 1157, 1158, 1160, 1189, 1190), _GONE),
    **_all((1021, 1114, 3, 1026, 1631), _DISK),
    **_all((1040, 1203, 1226, 1135), _CROWDED),
    **_all((1037, 1038, 1041), _MEMORY),
    **_all((1044, 1142, 1143, 1227, 1370), _DENIED),
    **_all((1045, 1129, 1130, 1698, 1820, 1862), _REFUSED),
    1049: _NO_DATABASE,
    **_all((1054, 1146), _MISSING),
    **_all((1205, 1689, 3572), _LOST_WAIT),
    **_all((1213, 1020, 1614, 1637), _DEADLOCK),
    **_all((1317, 1969, 3024, 1028, 1094), _TIMEOUT),
    # The row's fault: content that a type, a constraint or a trigger refuses.
    **_all((1264, 1265, 1292, 1300, 1365, 1366, 1367, 1406, 1411, 1441, 1690, 1242, 3140, 3854, 3988), _VALUE),
    **_all(
        (1022, 1048, 1062, 1169, 1216, 1217, 1364, 1369, 1451, 1452, 1557, 1586, 1761, 1762, 3819, 4025), _CONSTRAINT
    ),
    **_all((1644, 1645, 1646), _TRIGGER),
    **_all((1118, 1301, 1162), _LARGE),
}
"""By number; other numbers are the environment's fault."""

SQLITE: Mapping[int, Diagnosis] = {
    sqlite3.SQLITE_ABORT: _TIMEOUT,
    sqlite3.SQLITE_AUTH: _DENIED,
    sqlite3.SQLITE_BUSY: _LOST_WAIT,
    sqlite3.SQLITE_CANTOPEN: Diagnosis(_WAIT, "its file cannot be opened"),
    sqlite3.SQLITE_CONSTRAINT: _CONSTRAINT,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_FULL: _DISK,
    sqlite3.SQLITE_INTERRUPT: _TIMEOUT,
    sqlite3.SQLITE_IOERR: _INPUT,
    sqlite3.SQLITE_LOCKED: _LOST_WAIT,
    sqlite3.SQLITE_MISMATCH: _VALUE,
    sqlite3.SQLITE_NOMEM: _MEMORY,
    sqlite3.SQLITE_NOTADB: Diagnosis(_WAIT, "it is no SQLite database, or encrypted"),
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_PROTOCOL: _LOST_WAIT,
    sqlite3.SQLITE_READONLY: Diagnosis(_WAIT, "its file cannot be written to", reconnect=True),
    sqlite3.SQLITE_SCHEMA: _LOST_WAIT,
    sqlite3.SQLITE_TOOBIG: _LARGE,
}
"""By primary result code; other codes are the environment's fault."""

_KEPT = "smsclick_diagnosis"
_CONTENT_KEY = "wire_key"
"""A part of the name of the index that keeps two equal messages from being in flight together."""


def fault_of(error: BaseException) -> Fault:
    """Return whose fault `error` is.

    Args:
        error: an error of SQLAlchemy or of a driver, original or translated by `Database`. Any other exception that
            was raised while working on a row is the fault of that row, unless the machine is out of memory or threads.
    """
    return diagnose(error).fault


def diagnose(error: BaseException) -> Diagnosis:
    """Return the diagnosis of `error`."""
    if isinstance(error, SmsclickError):
        return _of_our_tree(error)
    origin = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    kept = getattr(origin, _KEPT, None)
    if isinstance(kept, Diagnosis):
        return kept
    # Before the SQLSTATE: MariaDB's drivers have one too, but most errors share HY000 or 23000.
    if _is_of(origin, "pymysql", "MySQLdb", "mariadb") and origin.args and isinstance(origin.args[0], int):
        known = MYSQL.get(origin.args[0], _OTHER)
        words = str(origin.args[1]) if known is _CONSTRAINT and len(origin.args) > 1 else ""
        return _with_code(known, str(origin.args[0]), duplicate=words.rpartition(" for key ")[2])
    if (code := _sqlstate(origin)) is not None:
        known = POSTGRESQL.get(code) or POSTGRESQL.get(code[:2]) or _OTHER
        return _with_code(known, code, duplicate=_constraint(origin) if known is _CONSTRAINT else "")
    if (number := getattr(origin, "sqlite_errorcode", None)) is not None:
        return _of_sqlite(origin, int(number))
    return _without_code(error, origin)


def keep(error: BaseException, found: Diagnosis) -> None:
    """Keep a diagnosis with the driver's error, because the text that it was made from is replaced next."""
    setattr(error, _KEPT, found)


def safe_words(error: BaseException) -> str | None:
    """Return the text that replaces a driver's text if that may contain a row; None if it may stay."""
    found = diagnose(error)
    if found.fault is not Fault.ROW:
        return None
    origin = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    where = _constraint(origin) or _place(str(origin.args[-1]) if origin.args else "")
    return f"{found.words} ({where})" if where else found.words


def _of_our_tree(error: SmsclickError) -> Diagnosis:
    if isinstance(error, DatabaseBusy):
        return _LOST_WAIT
    if isinstance(error, DatabaseNotMigrated):
        return _MISSING
    return _GONE if isinstance(error, DatabaseUnavailable) else _OURS


def _of_sqlite(origin: BaseException, number: int) -> Diagnosis:
    words = str(origin)
    known = SQLITE.get(number & 0xFF, _OTHER)
    if known is _OTHER and words.startswith(("no such table", "no such column", "table ")):
        known = _MISSING
    return _with_code(known, str(number), duplicate=words if known is _CONSTRAINT else "")


def _without_code(error: BaseException, origin: BaseException) -> Diagnosis:
    """Diagnose errors without a code: those of drivers themselves, and all that no database raised."""
    if _is_of(origin, "sqlite3"):
        # This error has no code although it comes from SQLite; its text ends with the message's text.
        return _VALUE if str(origin).startswith("Could not decode") else _OTHER
    if _is_of(origin, "psycopg", "psycopg2", "pymysql", "MySQLdb", "mariadb"):
        # The driver's own DataError: NUL in a text, or a date beyond Python's calendar.
        return _VALUE if type(origin).__name__ == "DataError" else _GONE
    if isinstance(origin, SQLAlchemyError):
        return _GONE if isinstance(error, SQLAlchemyError) and not isinstance(error, StatementError) else _OTHER
    if isinstance(origin, MemoryError | OSError) or type(origin) is RuntimeError:
        # Python raises RuntimeError if it cannot start a thread.
        return Diagnosis(_WAIT, "this machine is out of memory, threads or files")
    if isinstance(origin, ValueError | ArithmeticError | TypeError | LookupError):
        return _VALUE
    return _OURS


def _with_code(known: Diagnosis, code: str, *, duplicate: str = "") -> Diagnosis:
    return dataclasses.replace(_DUPLICATE if _CONTENT_KEY in duplicate else known, code=code)


def _sqlstate(origin: BaseException) -> str | None:
    code = getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None)
    return code if isinstance(code, str) and re.fullmatch(r"[0-9A-Z]{5}", code) else None


def _constraint(origin: BaseException) -> str:
    diagnostics: Any = getattr(origin, "diag", None)
    return str(getattr(diagnostics, "constraint_name", None) or "")


def _place(words: str) -> str:
    """Return the column or constraint that a driver's text names: these are the only parts without a value."""
    found = re.match(r"CONSTRAINT `(\w+)` failed for ", words)
    found = found or re.search(r"for (?:key|column) [`'\"]?([\w.`]+)[`'\"]?(?: at row \d+)?$", words)
    found = found or re.match(r"(?:[A-Z ]+ constraint failed: |Could not decode to UTF-8 column ')([\w., ]+)", words)
    return found.group(1).replace("`", "") if found else ""


def _is_of(error: BaseException, *packages: str) -> bool:
    return type(error).__module__.split(".")[0] in packages
