"""Parse `DATABASE_URL`, also as other libraries write it, for SQLAlchemy and the drivers that we ship.

Prisma, Rails, Django, asyncpg and others have names of their own for the same databases and drivers. `url_parameters`
handles the parameters after the `?`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from smsclick._database.url_parameters import listed, parameters
from smsclick._net import urls
from smsclick._net.hosts import check_host

if TYPE_CHECKING:
    from collections.abc import Mapping

_BACKENDS: Final[Mapping[str, str]] = {
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "pgsql": "postgresql",
    "postgis": "postgresql",
    "mysql": "mysql",
    "mysql2": "mysql",
    "mariadb": "mariadb",
}
_DRIVERS: Final[Mapping[str, frozenset[str]]] = {
    "sqlite": frozenset({"pysqlite", "aiosqlite"}),
    "postgresql": frozenset({"psycopg", "psycopg_async", "psycopg2", "psycopg2cffi", "asyncpg", "pg8000"}),
    "mysql": frozenset({"pymysql", "mysqldb", "mysqlconnector", "mariadbconnector", "asyncmy", "aiomysql", "cymysql"}),
}
_SHIPPED: Final = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}


def parse_url(url: str) -> sa.URL:
    """Return a database's URL with the driver that we ship and parameters that it knows. A result parses to itself.

    Raises:
        ValueError: the URL cannot be used; one line says which part, and shows nothing that may be a secret.
    """
    scheme, colon, rest = url.strip().partition("://")
    if not colon:
        raise ValueError(_without_slashes(scheme))
    backend = _backend(scheme.lower())
    # A path, and the name of a database, may have a blank.
    if re.search(r"[\x00-\x1f\x7f]", rest) or (backend != "sqlite" and re.match(r"[^/?]*\s|[^?]*\?.*\s", rest)):
        raise ValueError("holds blanks or line breaks: write a blank of a password as %20")
    if "${" in rest:
        raise ValueError("holds ${…}, which nothing has replaced by a value")
    return _sqlite(rest) if backend == "sqlite" else _server(backend, rest)


def shown(url: sa.URL) -> str:
    """Return a URL as it may be shown: without password, and without parameters, which may contain one."""
    hosts = ",".join(listed(url.query.get("host", ())))
    if hosts and not url.host:
        # Brackets are for one IPv6 address.
        return url.set(query={}, host=hosts).render_as_string(hide_password=True).replace(f"[{hosts}]", hosts)
    return url.set(query={}).render_as_string(hide_password=True)


def _without_slashes(url: str) -> str:
    if url.lower().startswith(("sqlite:", "sqlite3:", "file:")):
        return "must be written sqlite:///relative/path.db or sqlite:////whole/path.db"
    if url.lower().startswith("jdbc:"):
        return "is a JDBC URL: leave out jdbc: and put user and password before the host"
    return "must be the URL of an SQLite, PostgreSQL, MariaDB or MySQL database"


def _backend(scheme: str) -> str:
    if scheme.startswith("jdbc:"):
        raise ValueError(_without_slashes(scheme))
    name, plus, driver = scheme.partition("+")
    backend = _BACKENDS.get(name)
    if backend is None:
        raise ValueError(_without_slashes(scheme))
    if plus and driver not in _DRIVERS["mysql" if backend == "mariadb" else backend]:
        raise ValueError(f"names a driver that cannot be used: write {name}:// without one")
    return backend


def _sqlite(rest: str) -> sa.URL:
    parsed = _made(f"sqlite://{rest}")
    path = parsed.database or ""
    if not rest.startswith("/") and rest.partition("?")[0]:
        raise ValueError("has two slashes: write sqlite:///relative/path.db or sqlite:////whole/path.db")
    if path in {"", ":memory:"}:
        raise ValueError("names a database in memory, which ends with its process: name a file")
    if path.startswith("file:"):
        raise ValueError("names an SQLite URI (file:…): write sqlite:////whole/path.db")
    if path.startswith("~"):
        raise ValueError("begins with ~, which nothing expands: write the whole path")
    return parsed.set(query=parameters("sqlite", parsed.query))


def _server(backend: str, rest: str) -> sa.URL:
    authority = re.match(r"[^/?#]*", rest)[0]  # type: ignore[index]  # it matches nothing too
    if "@" not in authority and "@" in rest:
        raise ValueError(urls.AMBIGUOUS)
    urls.check(f"{backend}://{rest}")
    user, at, places = authority.rpartition("@")
    hosts = [each for each in unquote(places).split(",") if each] if _is_list(places) else []
    if len(hosts) > 1 and backend != "postgresql":
        raise ValueError("names several hosts, which only PostgreSQL takes: name one")
    text = f"{_SHIPPED[backend]}://{user}{at}{'' if hosts else places}{rest[len(authority) :]}"
    parsed = _made(text)
    query = parameters(backend, parsed.query)
    for name in ("username", "password", "database"):
        given = query.pop(name, None)
        if given is not None and getattr(parsed, name):
            raise ValueError(f"gives {name} twice")
        if isinstance(given, str):
            parsed = parsed.set(**{name: given})  # type: ignore[arg-type]  # none of these is a number
    if hosts and "host" in query:
        raise ValueError("names hosts twice: before the database and as host=")
    if hosts:
        query["host"] = tuple(hosts) if len(hosts) > 1 else hosts[0]
    for place in (*listed(query.get("host", ())), parsed.host or ""):
        check_host(place)
    return parsed.set(query=query, database=_database(backend, parsed.database))


def _is_list(places: str) -> bool:
    """Return whether there are several hosts, or a socket's path: SQLAlchemy has both only in the query."""
    return "," in places or places.lower().startswith("%2f")


def _made(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("must be the URL of an SQLite, PostgreSQL, MariaDB or MySQL database") from None


def _database(backend: str, name: str | None) -> str | None:
    if not name:
        if backend != "postgresql":
            raise ValueError("names no database: write it behind the host, like mysql://user:password@host/database")
        return None
    name = unquote(name)
    if re.search(r"[%?#/\\]", name):
        raise ValueError("names a database that cannot be one: leave one name behind the host")
    return name
