"""Set up our own sessions: durable commits, and a bound on the wait for a server that does not answer.

The settings never reach sessions of other programs. On a direct connection to PostgreSQL they are options of the
connection. A pooler (PgBouncer) refuses or drops such options, and gives each transaction any free session. Behind a
pooler they are set with `SET LOCAL`, in each transaction that writes. To find out which of the two it is, we set a
setting of our own to a random word and read it back.
"""

import functools
import re
import secrets
import sqlite3
import ssl
import time
from collections.abc import Generator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from smsclick.errors import DatabaseUnavailable

CONNECT_SECONDS = 10
"""How long each host may take to accept a connection; also how long SQLite waits for another writer."""

SILENCE_SECONDS = 60
"""How long a server may take to answer a statement before we give it up. Our statements take milliseconds."""

READ_ONLY = "smsclick_read_only"
"""The execution option of transactions that only read."""

_POOLED = "smsclick_pooled"
_TLS_REQUIRED = frozenset({"require", "verify-ca", "verify-full"})
_TLS_PARAMETERS = ("sslmode", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher")
_MARK = "smsclick.session"

# Before a request leaves, its commit must survive a crash. So this is set, whatever the database's default is.
_PROMISED = {"synchronous_commit": "on"}
# A machine that vanishes in the middle of a transaction would keep its row locks for hours.
_LOCK_SECONDS = 3
"""How long a statement waits for a locked row on MariaDB and MySQL, whose default is 50 seconds."""

_CAREFUL = {"idle_in_transaction_session_timeout": "10s"}
_KEEPALIVES = {"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "4"}

_LIBPQ: Mapping[str, object] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}


def connect_args(url: sa.URL, silence_seconds: float | None) -> dict[str, Any]:
    """Return the driver's arguments, except those that the URL gives itself.

    Args:
        url: of the database.
        silence_seconds: how long a statement may be without an answer; None means forever, for migrations.
    """
    backend = url.get_backend_name()
    if backend == "sqlite":
        return {"timeout": CONNECT_SECONDS, "check_same_thread": False}
    if backend == "postgresql":
        given: dict[str, Any] = dict(_LIBPQ)
        hosts = url.query.get("host", ())
        if not isinstance(hosts, str) and len(hosts) > 1:
            # Of several hosts, use the one that accepts writes; the others are its standbys.
            given["target_session_attrs"] = "read-write"
    else:
        given = {"connect_timeout": CONNECT_SECONDS, "charset": "utf8mb4", "init_command": "SET time_zone='+00:00'"}
        if silence_seconds is not None:
            given |= {"read_timeout": silence_seconds, "write_timeout": silence_seconds}
            # A locked row is no missing answer: the wait for the lock ends first, and the connection stays open.
            given["init_command"] += f", innodb_lock_wait_timeout={_LOCK_SECONDS}"
        given |= _mysql_tls(url)
    return {name: value for name, value in given.items() if name not in url.query}


def url_for_driver(url: sa.URL) -> sa.URL:
    """Return the URL without the parameters that `connect_args` passes to the driver."""
    return url.difference_update_query(_TLS_PARAMETERS) if url.get_backend_name() in {"mysql", "mariadb"} else url


def _mysql_tls(url: sa.URL) -> dict[str, Any]:
    """Return PyMySQL's arguments for `sslmode`. Without it, PyMySQL uses TLS if the server has it."""
    mode = url.query.get("sslmode")
    if mode == "disable":
        return {"ssl_disabled": True}
    if mode not in _TLS_REQUIRED:
        return {}
    files = {name: str(url.query[name]) for name in _TLS_PARAMETERS if name in url.query}
    try:
        context = ssl.create_default_context(cafile=files.get("ssl_ca"), capath=files.get("ssl_capath"))
        # Certificates that MySQL and MariaDB make themselves lack extensions that Python 3.13 requires.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.check_hostname = mode == "verify-full"
        if mode == "require":
            context.verify_mode = ssl.CERT_NONE
        if "ssl_cert" in files:
            context.load_cert_chain(files["ssl_cert"], files.get("ssl_key"), password=_no_passphrase)
        if "ssl_cipher" in files:
            context.set_ciphers(files["ssl_cipher"])
    except OSError as error:
        # An SSLError is one too.
        raise DatabaseUnavailable(
            f"DATABASE_URL: ssl_ca, ssl_capath, ssl_cert, ssl_key or ssl_cipher cannot be used ({error.strerror})",
            advice="name readable files in PEM's form",
        ) from None
    return {"ssl": context}


def _no_passphrase() -> str:
    """Return no passphrase; otherwise OpenSSL would ask for it on the terminal."""
    return ""


def listen(engine: sa.Engine, silence_seconds: float | None, *, tls: bool = False) -> None:
    """Set up every session of an engine.

    Args:
        engine: one of our own engines.
        silence_seconds: as for `connect_args`.
        tls: whether MariaDB or MySQL must be reached through TLS.
    """
    backend = engine.url.get_backend_name()
    if backend == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
    elif backend == "postgresql":
        event.listen(engine, "do_connect", _PostgreSQL(engine.dialect, silence_seconds).connect)
        event.listen(engine, "begin", _postgresql_begin)
    elif tls:
        event.listen(engine, "connect", _require_tls)


def requires_tls(url: sa.URL) -> bool:
    """Return whether a URL requires TLS."""
    return url.query.get("sslmode") in _TLS_REQUIRED


def _require_tls(connection: Any, _record: object) -> None:  # noqa: ANN401 - PyMySQL's
    """Refuse a connection without TLS: older versions of PyMySQL continue without it if the server has none."""
    if not connection._secure:  # noqa: SLF001 - it says so nowhere else
        connection.close()
        raise DatabaseUnavailable("the database offers no TLS, which sslmode in DATABASE_URL asks for")


def is_pooled(connection: sa.Connection) -> bool:
    """Return whether there is a pooler between us and PostgreSQL."""
    return bool(connection.info.get(_POOLED, False))


def _sqlite_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    # FULL: with NORMAL, SQLite syncs a WAL only at checkpoints, and a power cut reverts all commits since the last one.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: sa.Connection) -> None:
    # IMMEDIATE: a transaction that reads first and writes later would fail instead of waiting.
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _postgresql_begin(connection: sa.Connection) -> None:
    if is_pooled(connection) and not connection.get_execution_options().get(READ_ONLY, False):
        connection.exec_driver_sql(_SET_LOCAL)


_SET_LOCAL = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)" for name, value in (_CAREFUL | _PROMISED).items()
)


class _PostgreSQL:
    """Connects, and finds out whether the connection leads to PostgreSQL itself or to a pooler."""

    def __init__(self, dialect: sa.Dialect, silence_seconds: float | None) -> None:
        self._kind = functools.cache(lambda: _connection_class(dialect, silence_seconds))
        self._refuses_options = False

    def connect(self, _dialect: object, record: Any, cargs: tuple[Any, ...], cparams: dict[str, Any]) -> Any:  # noqa: ANN401 - psycopg's, which is an extra
        """Open one connection, and note in its record whether there is a pooler in between."""
        mark = secrets.token_hex(8)
        connection = self._open(cargs, cparams, mark)
        try:
            record.info[_POOLED], schema = self._look(connection, mark)
            self._require_schema(_schema(cparams.get("options", "")), schema)
        except BaseException:
            connection.close()
            raise
        return connection

    @staticmethod
    def _require_schema(wanted: str | None, found: str | None) -> None:
        if wanted not in {None, found}:
            raise DatabaseUnavailable(
                f"the database's sessions are not in the schema {wanted}, which DATABASE_URL asks for",
                advice="CREATE SCHEMA, or ALTER ROLE … SET search_path",
            )

    @staticmethod
    def _look(connection: Any, mark: str) -> tuple[bool, str | None]:  # noqa: ANN401
        """Return whether there is a pooler in between, and the schema in which tables are made."""
        # Prepared statements belong to a session, and behind a pooler a connection has no session of its own.
        threshold, connection.prepare_threshold = connection.prepare_threshold, None
        connection.autocommit = True
        query = "SELECT current_setting(%s, true), current_schema()"
        seen, schema = connection.execute(query, (_MARK,)).fetchone() or (None, None)
        connection.autocommit = False
        if seen != mark:
            return True, schema
        connection.prepare_threshold = threshold
        return False, schema

    def _open(self, cargs: tuple[Any, ...], cparams: dict[str, Any], mark: str) -> Any:  # noqa: ANN401
        kind = self._kind()
        if not self._refuses_options:
            try:
                return kind.connect(*cargs, **cparams | {"options": _options(cparams.get("options", ""), mark)})
            except kind.Error as error:
                # PgBouncer refuses options that it cannot pass on; its error has no code.
                if "unsupported startup parameter" not in str(error):
                    raise
                self._refuses_options = True
        if _SEARCH_PATH.sub("", cparams.get("options", "")).strip():
            raise DatabaseUnavailable(
                "the database is behind a pooler that takes no options, which DATABASE_URL has",
                advice="leave them out, and use ALTER ROLE … SET",
            )
        return kind.connect(*cargs, **{name: value for name, value in cparams.items() if name != "options"})


_SEARCH_PATH = re.compile(r"-c\s*search_path=(\S+)")


def _schema(options: str) -> str | None:
    """Return the schema that the URL asks for, if it asks for one."""
    found = _SEARCH_PATH.search(options)
    return found[1] if found and re.fullmatch(r"\w+", found[1]) else None


def _options(given: str, mark: str) -> str:
    """Return our options around those of the URL, which may replace all but the ones for durable commits."""
    before, after = _CAREFUL | _KEEPALIVES, _PROMISED | {_MARK: mark}
    ours = [" ".join(f"-c {name}={value}" for name, value in some.items()) for some in (before, after)]
    return f"{ours[0]} {given} {ours[1]}"


def _connection_class(dialect: sa.Dialect, silence_seconds: float | None) -> Any:  # noqa: ANN401
    """Return a class of psycopg connections that give up a silent server; libpq has no such timeout."""
    psycopg: Any = dialect.loaded_dbapi
    if silence_seconds is None:
        return psycopg.Connection
    patience = silence_seconds

    class Connection(psycopg.Connection):  # type: ignore[misc]
        def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            deadline = time.monotonic() + patience
            try:
                return super().wait(_until(gen, deadline), *args, **kwargs)
            except TimeoutError:
                self.close()
                raise psycopg.OperationalError(f"no answer within {patience:g} s") from None

    return Connection


def _until(gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
    """Run the same steps with a deadline; psycopg sends an empty value after a tenth of a second without data."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise TimeoutError
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value
