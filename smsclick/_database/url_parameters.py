"""The parameters of `DATABASE_URL`: which ones our drivers accept, which ones are dropped, which ones are refused.

Parameters for the pools of other libraries are dropped. Parameters that we cannot honour are refused by name. `url_tls`
handles those of TLS.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
from smsclick._database.url_tls import TLS_PARAMETERS, Parameters, add_libpq_tls, add_mysql_tls

# For pools and caches of other libraries: we have no use for them, and they do not change what is stored.
_OF_POOLS: Final = frozenset(
    [
        "pgbouncer",
        "connection_limit",
        "pool_timeout",
        "pool_size",
        "max_overflow",
        "pool_recycle",
        "pool_pre_ping",
        "pool",
        "max_connections",
        "statement_cache_size",
        "prepared_statement_cache_size",
        "prepared_statements",
        "statement_limit",
        "reaping_frequency",
        "checkout_timeout",
        "idle_timeout",
        "socket_timeout",
        "conn_max_age",
        "conn_health_checks",
        "serverversion",
        "server_version",
        "supa",
        "workaround",
        "async_fallback",
        "reconnect",
        "adapter",
        "check_same_thread",
        "use_unicode",
        "timezone",
        "time_zone",
        "servertimezone",
        "collation",
    ]
)
_CHARSETS: Final = frozenset({"charset", "encoding", "client_encoding", "characterencoding"})
_LIBPQ: Final = frozenset(
    [
        "host",
        "hostaddr",
        "port",
        "passfile",
        "channel_binding",
        "connect_timeout",
        "options",
        "application_name",
        "fallback_application_name",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "gssencmode",
        "sslmode",
        "sslnegotiation",
        "sslcompression",
        "sslcert",
        "sslkey",
        "sslpassword",
        "sslcertmode",
        "sslrootcert",
        "sslcrl",
        "sslcrldir",
        "sslsni",
        "requirepeer",
        "require_auth",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "krbsrvname",
        "gsslib",
        "gssdelegation",
        "service",
        "target_session_attrs",
        "load_balance_hosts",
    ]
)
_PYMYSQL: Final = frozenset(
    [
        "connect_timeout",
        "read_timeout",
        "write_timeout",
        "unix_socket",
        "bind_address",
        "program_name",
        "sslmode",
        "ssl_ca",
        "ssl_capath",
        "ssl_cert",
        "ssl_key",
        "ssl_cipher",
    ]
)
_KNOWN: Final = {
    "sqlite": frozenset({"timeout"}),
    "postgresql": _LIBPQ,
    "mysql": _PYMYSQL,
    "mariadb": _PYMYSQL,
}
_OTHER_NAMES: Final = {
    "ssl_mode": "sslmode",
    "currentschema": "schema",
    "search_path": "schema",
    "applicationname": "application_name",
    "socket": "unix_socket",
    "sslca": "ssl_ca",
    "sslcapath": "ssl_capath",
    "user": "username",
    "dbname": "database",
}
_OF_MYSQL: Final = frozenset({"sslca", "sslcapath", "socket"})
_MANY: Final = frozenset({"host", "hostaddr", "port"})
_INTEGER: Final = r"\d{1,9}"
_VALUES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout", "tcp_user_timeout"), _INTEGER),
    **dict.fromkeys(("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"), _INTEGER),
    **dict.fromkeys(("sslcompression", "sslsni", "gssdelegation"), "[01]"),
    **dict.fromkeys(("ssl_min_protocol_version", "ssl_max_protocol_version"), r"TLSv1(\.[123])?"),
    "timeout": r"\d{1,6}(\.\d{1,6})?",
    "port": r"\d{1,5}(,\d{1,5})*",
    "channel_binding": "disable|prefer|require",
    "gssencmode": "disable|prefer|require",
    "load_balance_hosts": "disable|random",
    "require_auth": r"!?[a-z0-9-]+(,!?[a-z0-9-]+)*",
    "sslcertmode": "disable|allow|require",
    "sslnegotiation": "postgres|direct",
    "target_session_attrs": "any|read-write|read-only|primary|standby|prefer-standby",
}
"""Values that a driver accepts; it would quote any other value in its error."""
_WE_SET: Final = frozenset(
    [
        "init_command",
        "sql_mode",
        "autocommit",
        "isolation_level",
        "local_infile",
        "client_flag",
        "read_default_file",
        "read_default_group",
        "statement_timeout",
        "lock_timeout",
        "prepare_threshold",
        "row_factory",
        "cursor_factory",
        "detect_types",
        "mode",
        "cache",
        "uri",
    ]
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_PARAMETER: Final = re.compile(r"[A-Za-z_][\w.-]{0,40}")
_LOGIN: Final = frozenset({"username", "password", "database"})


def listed(value: str | Iterable[str]) -> tuple[str, ...]:
    """Return the values of a parameter, which may be given several times."""
    return (value,) if isinstance(value, str) else tuple(value)


def parameters(backend: str, given: Mapping[str, str | tuple[str, ...]]) -> Parameters:
    """Return the parameters for our drivers, with the names of libpq and PyMySQL; TLS is `sslmode` for both.

    `username`, `password` and `database` are among them if the URL gives them as parameters.

    Raises:
        ValueError: a parameter cannot be honoured; its value is not shown.
    """
    found: Parameters = {}
    tls: dict[str, str] = {}
    for written, values in given.items():
        name = _name(backend, written)
        if name in _OF_POOLS or (name in _CHARSETS and _is_utf8(written, values)):
            continue
        _check(backend, name, written, values)
        if name in found.keys() | tls.keys():
            raise ValueError(f"gives {name} twice, by two names")
        if name in TLS_PARAMETERS:
            tls[name] = str(values)
        else:
            found[name] = values
    if backend == "postgresql":
        _add_schema(found)
        add_libpq_tls(found, tls)
    elif backend != "sqlite":
        add_mysql_tls(found, tls)
    return found


def _is_utf8(written: str, values: str | tuple[str, ...]) -> bool:
    if not re.fullmatch(r"utf-?8(mb4)?", str(values).lower()):
        raise ValueError(f"asks with {_named(written)} for another encoding than UTF-8: leave it out")
    return True


def _check(backend: str, name: str, written: str, values: str | tuple[str, ...]) -> None:
    of_server = _LOGIN | TLS_PARAMETERS if backend != "sqlite" else frozenset()
    of_postgresql = {"schema"} if backend == "postgresql" else frozenset()
    if name not in _KNOWN[backend] | of_server | of_postgresql:
        raise ValueError(_unknown(name, written))
    if name not in _MANY and not isinstance(values, str):
        raise ValueError(f"gives {_named(written)} more than once")
    if not all(re.fullmatch(_VALUES.get(name, "(?s).*"), each) for each in listed(values)):
        raise ValueError(f"has a value that {_named(written)} cannot have")


def _name(backend: str, written: str) -> str:
    name = written.lower().replace("-", "_")
    other = _OTHER_NAMES.get(name)
    if other is None or (name in _OF_MYSQL and backend == "postgresql"):
        return name
    return other


def _named(written: str) -> str:
    return written if _PARAMETER.fullmatch(written) else "a parameter"


def _unknown(name: str, written: str) -> str:
    if name == "sslaccept":
        return "has sslaccept, which is Prisma's: write sslmode=verify-full (or require, which verifies nothing)"
    if name in _WE_SET:
        return f"has the parameter {_named(written)}, which smsclick decides itself: leave it out"
    return f"has a parameter that smsclick does not know: {_named(written)}"


def _add_schema(found: Parameters) -> None:
    schema = found.pop("schema", None)
    if schema is None:
        return
    if not isinstance(schema, str) or not _IDENTIFIER.fullmatch(schema):
        raise ValueError("names a schema that cannot be one: use letters, digits and _")
    options = str(found.get("options", ""))
    if "search_path" in options:
        raise ValueError("gives the schema twice, in options too")
    found["options"] = f"{options} -csearch_path={schema}".strip()
