"""DATABASE_URL as other libraries write it: used with our drivers, or refused in one line that says which part."""

from __future__ import annotations

import itertools
import ssl
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick._database.sessions import connect_args, url_for_driver
from smsclick._database.url_tls import Tls
from smsclick._database.urls import parse_url, shown
from smsclick.errors import DatabaseUnavailable, SettingsError
from smsclick.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

MARK = "tezontle8a5c"
PG, MY, MA = "postgresql+psycopg://u:p@h/d", "mysql+pymysql://u:p@h/d", "mariadb+pymysql://u:p@h/d"


def written(url: str) -> str:
    return parse_url(url).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("scheme", "ours"),
    [
        *itertools.product(
            [
                *("postgres", "postgresql", "POSTGRES", "pgsql", "postgis"),
                *("postgresql+psycopg2", "postgresql+asyncpg", "postgresql+psycopg_async", "postgresql+psycopg"),
                *("postgres+asyncpg", "postgresql+pg8000"),
            ],
            [PG],
        ),
        *itertools.product(
            ["mysql", "mysql2", "mysql+mysqldb", "mysql+mysqlconnector", "mysql+pymysql", "mysql+aiomysql"], [MY]
        ),
        *itertools.product(["mariadb", "mariadb+mariadbconnector", "mariadb+pymysql", "mariadb+asyncmy"], [MA]),
    ],
)
def test_every_driver_becomes_the_one_that_is_shipped(scheme: str, ours: str) -> None:
    assert written(f"{scheme}://u:p@h/d") == ours


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        # Of pools and caches, which are not ours
        ("postgres://u:p@h/d?pgbouncer=true&connection_limit=1&pool_timeout=0", PG),
        ("postgresql+asyncpg://u:p@h/d?prepared_statement_cache_size=0&statement_cache_size=0", PG),
        ("postgresql://u:p@h/d?serverVersion=16&charset=utf8", PG),
        ("postgresql://u:p@h/d?encoding=UTF8&pool=5&supa=base-pooler.x", PG),
        ("mysql://u:p@h/d?charset=utf8mb4", MY),
        ("mysql2://u:p@h/d?encoding=utf8&reconnect=true&pool=5", MY),
        ("sqlite+aiosqlite:////x/y.db?check_same_thread=false&connection_limit=1", "sqlite:////x/y.db"),
        # The schema
        ("postgres://u:p@h/d?schema=public", f"{PG}?options=-csearch_path%3Dpublic"),
        ("postgres://u:p@h/d?currentSchema=sms", f"{PG}?options=-csearch_path%3Dsms"),
        ("postgres://u:p@h/d?options=-cgeqo%3Doff&schema=sms", f"{PG}?options=-cgeqo%3Doff+-csearch_path%3Dsms"),
        ("postgres://u:p@h/d?options=endpoint%3Dep-x", f"{PG}?options=endpoint%3Dep-x"),
        # TLS
        ("postgres://u:p@h/d?sslmode=require&channel_binding=require", f"{PG}?channel_binding=require&sslmode=require"),
        ("postgres://u:p@h/d?ssl-mode=REQUIRED", f"{PG}?sslmode=require"),
        ("postgres://u:p@h/d?ssl=true", f"{PG}?sslmode=verify-full&sslrootcert=system"),
        ("postgres://u:p@h/d?sslmode=require&ssl=true", f"{PG}?sslmode=verify-full&sslrootcert=system"),
        ("postgres://u:p@h/d?ssl=true&sslrootcert=/ca", f"{PG}?sslmode=verify-full&sslrootcert=%2Fca"),
        ("postgresql+asyncpg://u:p@h/d?ssl=require", f"{PG}?sslmode=require"),
        ("postgres://u:p@h/d?sslmode=no-verify", f"{PG}?sslmode=require"),
        ("mysql://u:p@h/d?ssl-mode=REQUIRED", f"{MY}?sslmode=require"),
        ("mysql://u:p@h/d?ssl_mode=VERIFY_IDENTITY", f"{MY}?sslmode=verify-full"),
        ("mysql://u:p@h/d?sslmode=verify-ca&ssl-ca=/ca", f"{MY}?ssl_ca=%2Fca&sslmode=verify-ca"),
        ("mysql://u:p@h/d?ssl-mode=REQUIRED&ssl_ca=/ca", f"{MY}?ssl_ca=%2Fca&sslmode=verify-ca"),
        ("mysql://u:p@h/d?ssl_ca=/ca", f"{MY}?ssl_ca=%2Fca&sslmode=verify-full"),
        ("mysql://u:p@h/d?ssl_ca=/ca&ssl_check_hostname=false", f"{MY}?ssl_ca=%2Fca&sslmode=verify-ca"),
        ("mysql://u:p@h/d?ssl=true", f"{MY}?sslmode=verify-full"),
        ("mysql://u:p@h/d?ssl_disabled=true", f"{MY}?sslmode=disable"),
        ("mysql://u:p@h/d?ssl_verify_cert=true", f"{MY}?sslmode=verify-ca"),
        ("mysql://u:p@h/d?ssl_cert=/c&ssl_key=/k", f"{MY}?ssl_cert=%2Fc&ssl_key=%2Fk&sslmode=require"),
        # Where it is
        ("postgresql://%2Fvar%2Frun%2Fpostgresql/d", "postgresql+psycopg:///d?host=%2Fvar%2Frun%2Fpostgresql"),
        ("postgresql://u:p@/d?host=/cloudsql/p:r:i", "postgresql+psycopg://u:p@/d?host=%2Fcloudsql%2Fp%3Ar%3Ai"),
        ("mysql://u:p@localhost/d?socket=/run/m.sock", "mysql+pymysql://u:p@localhost/d?unix_socket=%2Frun%2Fm.sock"),
        ("postgresql://u:p@h1:5432,h2/d", "postgresql+psycopg://u:p@/d?host=h1%3A5432&host=h2"),
        ("postgresql://u@[::1]:5432/d", "postgresql+psycopg://u@[::1]:5432/d"),
        ("postgresql://h/d?user=u&password=p", PG),
        ("postgresql://u:p@h/my%20db", "postgresql+psycopg://u:p@h/my db"),
        ("sqlite3:////x/y.db", "sqlite:////x/y.db"),
        ("sqlite:///y z.db?timeout=2.5", "sqlite:///y z.db?timeout=2.5"),
    ],
)
def test_parameters_are_honoured_or_mean_nothing(given: str, ours: str) -> None:
    assert written(given) == ours
    assert written(ours) == ours, "what it gives can be given to it again"


REFUSED = [
    ("nonsense", "must be the URL"),
    ("host=h dbname=d password={m}", "must be the URL"),
    ("u:{m}@tcp(h:3306)/d", "must be the URL"),
    ("oracle://u:{m}@h/d", "must be the URL"),
    ("mongodb+srv://u:{m}@h/d", "must be the URL"),
    ("jdbc:postgresql://h/d?password={m}", "JDBC"),
    ("postgresql+odbc://u:{m}@h/d", "driver"),
    ("sqlite+pysqlcipher://:{m}@/x.db", "driver"),
    ("postgresql://u:{m} x@h/d", "blanks"),
    ("postgresql://u:{m}\n@h/d", "blanks"),
    ("postgresql://u:${{PASSWORD}}{m}@h/d", "nothing has replaced"),
    ("postgresql://u:12?{m}=x@h/d", "several ways"),
    ("postgresql://u:{m}@h:99999/d", "port"),
    ("postgresql://u:{m}@h1:1,h2:x/d", "port"),
    ("postgresql://u:{m}@<host>/d", "host"),
    ("postgresql://u:{m}@a..b/d", "host"),
    ("mysql://u:{m}@" + "a" * 64 + "/d", "host"),
    ("mysql://u:{m}@h1,h2/d", "several hosts"),
    ("mysql://u:{m}@h", "no database"),
    ("postgresql://u:{m}@h/a/b", "database that cannot"),
    ("postgresql://u:{m}@h/d?password={m}", "twice"),
    ("sqlite://", "in memory"),
    ("sqlite:///:memory:", "in memory"),
    ("sqlite://x.db", "two slashes"),
    ("sqlite:x.db", "sqlite:///relative"),
    ("file:./dev.db", "sqlite:///relative"),
    ("sqlite:///file:x.db?mode=ro&uri=true", "SQLite URI"),
    ("sqlite:///~/x.db", "~"),
    ("sqlite:///x\t.db", "line breaks"),
]


@pytest.mark.parametrize(("url", "says"), REFUSED)
def test_what_cannot_be_used_is_refused_with_the_part(url: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(DATABASE_URL=url.format(m=MARK))
    line = str(refused.value)
    assert says in line
    assert MARK not in line
    assert line.count("\n") == 0
    assert line.startswith("DATABASE_URL: ")


# --- Every scheme with every bad parameter

SCHEMES = {
    "postgres": ("postgres://u:{m}@h/d", "postgresql+asyncpg://u:{m}@h/d", "postgresql://u:{m}@h1,h2:5433/d"),
    "mysql": ("mysql://u:{m}@h/d", "mysql+mysqldb://u:{m}@h/d", "mariadb+mariadbconnector://u:{m}@h/d"),
    "sqlite": ("sqlite:////x/y.db", "sqlite+aiosqlite:///y.db"),
}
BAD = [
    *("sslmode={m}", "ssl-mode={m}", "ssl={m}", "ssl=%7B%22rejectUnauthorized%22%3Atrue%7D", "sslaccept=strict"),
    *("charset=latin1", "client_encoding=sql_ascii", "init_command=SET+x", "sql_mode={m}", "autocommit=true"),
    *("unknown={m}", "{m}=1", "a%20b={m}", "connect_timeout={m}", "connect_timeout=1&connect_timeout=2"),
    *(
        "isolation_level={m}",
        "mode=ro",
        "cache=shared",
        "options=a&options={m}",
        "read_timeout=0x{m}",
        "sslidentity={m}",
    ),
]
OF_POSTGRESQL = [
    *("schema=a;b{m}", "schema=a&currentSchema=b", "schema=a&options=-csearch_path%3Db", "target_session_attrs={m}"),
    *("channel_binding={m}", "gssencmode={m}", "keepalives={m}", "ssl_min_protocol_version={m}", "ssl_verify_cert=1"),
    *(
        "sslnegotiation={m}",
        "require_auth={m}!",
        "port={m}",
        "host=h:{m}",
        "statement_timeout=5",
        "prepare_threshold=0",
    ),
]
OF_MYSQL = [
    *("ssl_disabled=true&ssl-mode=REQUIRED", "ssl_verify_cert={m}", "ssl-mode=VERIFY_CA&ssl_verify_cert=false"),
    *("ssl_disabled=true&ssl_ca=/ca", "ssl-mode=VERIFY_IDENTITY&ssl_check_hostname=0", "read_default_file=/{m}"),
]


@pytest.mark.parametrize("kind", SCHEMES)
def test_every_scheme_with_every_bad_parameter(kind: str) -> None:
    parameters = BAD + {"postgres": OF_POSTGRESQL, "mysql": OF_MYSQL, "sqlite": []}[kind]
    for url, parameter in itertools.product(SCHEMES[kind], parameters):
        text = f"{url}?{parameter}".format(m=MARK)
        with pytest.raises(SettingsError) as refused:
            load_settings(DATABASE_URL=text)
        line = str(refused.value)
        assert line.startswith("DATABASE_URL: "), text
        assert "\n" not in line
        if parameter != "{m}=1":
            assert MARK not in line, text


# --- TLS is never weaker than what was asked for


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb"])
@pytest.mark.parametrize(
    ("word", "least"),
    [
        ("disable", Tls.DISABLE),
        ("prefer", Tls.PREFER),
        ("require", Tls.REQUIRE),
        ("REQUIRED", Tls.REQUIRE),
        ("verify-ca", Tls.VERIFY_CA),
        ("VERIFY_CA", Tls.VERIFY_CA),
        ("verify-full", Tls.VERIFY_FULL),
        ("VERIFY_IDENTITY", Tls.VERIFY_FULL),
    ],
)
@pytest.mark.parametrize("more", ["", "&ssl=true", "&ssl=false", "&ssl=require"])
@pytest.mark.parametrize("name", ["sslmode", "ssl-mode", "ssl_mode", "sslMode"])
def test_the_strictest_of_what_is_asked_for_counts(scheme: str, word: str, least: Tls, more: str, name: str) -> None:
    url = parse_url(f"{scheme}://u@h/d?{name}={word}{more}")
    also = {"": Tls.DISABLE, "&ssl=true": Tls.VERIFY_FULL, "&ssl=false": Tls.DISABLE, "&ssl=require": Tls.REQUIRE}[more]
    assert url.query["sslmode"] == max(least, also).word


@pytest.mark.parametrize(
    ("mode", "verify", "hostname"),
    [
        ("require", ssl.CERT_NONE, False),
        ("verify-ca", ssl.CERT_REQUIRED, False),
        ("verify-full", ssl.CERT_REQUIRED, True),
    ],
)
def test_pymysql_gets_what_the_mode_means(mode: str, verify: ssl.VerifyMode, hostname: bool) -> None:  # noqa: FBT001
    url = parse_url(f"mysql://u@h/d?ssl-mode={mode}")
    context = connect_args(url, 1)["ssl"]
    assert (context.verify_mode, context.check_hostname) == (verify, hostname)
    engine = sa.create_engine(url_for_driver(url))
    assert "sslmode" not in engine.dialect.create_connect_args(engine.url)[1]
    assert connect_args(parse_url("mysql://u@h/d?ssl-mode=disabled"), 1)["ssl_disabled"] is True
    assert "ssl" not in connect_args(parse_url("mysql://u@h/d"), 1)


def test_a_certificate_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for file in (tmp_path / "none.pem", tmp_path):
        with pytest.raises(DatabaseUnavailable, match=r"^DATABASE_URL: ssl_ca, .* cannot be used"):
            connect_args(parse_url(f"mysql://u@h/d?ssl_ca={file}"), 1)


# --- What is shown


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"postgresql://u:{MARK}@h:5432/d?sslpassword={MARK}", "postgresql+psycopg://u:***@h:5432/d"),
        (f"postgresql://u:{MARK}@h1,h2:99/d", "postgresql+psycopg://u:***@h1,h2:99/d"),
        (f"postgresql://u@h/d?password={MARK}", "postgresql+psycopg://u:***@h/d"),
        ("sqlite:////x/y.db?timeout=2", "sqlite:////x/y.db"),
    ],
)
def test_no_password_is_shown_wherever_it_stands(url: str, says: str) -> None:
    assert shown(parse_url(url)) == says
