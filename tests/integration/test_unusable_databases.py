"""A database that cannot be used, on real servers with real roles: words and what to do, in every program.

No traceback, no "unexpected …", no password; from `alembic` as little as from `smsclick`.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import alembic.config
import pytest
import sqlalchemy as sa

from tests.commandline import call
from tests.conftest import migrate
from tests.processes import ROOT
from tests.servers import MariaDBServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import OwnServer
    from tests.servers import PostgresServer

SECRET = "tezontle8a5c"
NOBODY = 65_534


def alembic_line(url: str, *words: str) -> str:
    """What Alembic's own program says where it fails; empty where it does not."""
    err = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(err), contextlib.redirect_stdout(err):
        patch.setenv("DATABASE_URL", url)
        try:
            alembic.config.main(argv=["-c", str(ROOT / "alembic.ini"), *words])
        except SystemExit as ended:
            return str(ended.code)
    return ""


def checked(line: str) -> str:
    assert line.startswith("smsclick: ")
    assert "\n" not in line
    assert "unexpected" not in line
    assert "Error" not in line
    assert SECRET not in line
    assert "; " in line, "it says what to do"
    return line


def every_line(url: str) -> set[str]:
    """What the programs say that a person tries first; each fails."""
    return {
        *(checked(alembic_line(url, *words)) for words in (("upgrade", "head"), ("current",))),
        *(checked(call(*words, env={"DATABASE_URL": url}).complaint) for words in (("migrate",), ("stats",))),
    }


def administer(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


# --- PostgreSQL


@pytest.fixture
def roles(postgres: PostgresServer, postgres_url: str) -> Iterator[str]:
    """The URL of an empty database with the user left open; `careful` has a password, `rejected` may not come in."""
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        rules = Path(str(connection.scalar(sa.text("SHOW hba_file"))))
    before = rules.read_text()
    rules.write_text("host all careful 127.0.0.1/32 scram-sha-256\nhost all rejected 127.0.0.1/32 reject\n" + before)
    administer(
        postgres.url(),
        "DROP ROLE IF EXISTS careful",
        f"CREATE ROLE careful LOGIN PASSWORD '{SECRET}'",
        "DROP ROLE IF EXISTS rejected",
        "CREATE ROLE rejected LOGIN",
        "SELECT pg_reload_conf()",
    )
    yield postgres_url.replace("postgres@", "{}@")
    rules.write_text(before)
    administer(postgres.url(), "SELECT pg_reload_conf()")


def test_postgresql_says_why_it_lets_nobody_in(postgres: PostgresServer, roles: str) -> None:
    for url, says in (
        (roles.format(f"careful:{SECRET}x"), "refused the user or password"),
        (roles.format("careful"), "refused the user or password"),
        (roles.format(f"unknown:{SECRET}"), "refused the user or password"),
        (roles.format("rejected"), "takes no connections of this user"),
        (postgres.url("nowhere"), "there is no such database"),
        (roles.format("postgres") + "?sslmode=verify-full", "offers no TLS"),
        (roles.format("postgres") + "?schema=nowhere", "not in the schema nowhere"),
        (f"postgresql://u:{SECRET}@localhost.invalid/d", "the name of its host is not known"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/d", "does not answer"),
    ):
        assert {says in line for line in every_line(url)} == {True}, every_line(url)


def test_postgresql_says_which_right_is_missing(postgres: PostgresServer, postgres_url: str, roles: str) -> None:
    url = roles.format(f"careful:{SECRET}")
    administer(postgres_url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    for line in (alembic_line(url, "upgrade", "head"), call("migrate", env={"DATABASE_URL": url}).complaint):
        assert "(its user lacks a permission that smsclick needs, 42501: permission denied for schema public)" in line
        checked(line)
    migrate(postgres_url)
    for line in every_line(url):
        assert "permission denied for table smsclick_" in line
    administer(postgres_url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO careful")
    assert alembic_line(url, "current") == ""
    written = call("enqueue", "5551402211", "Hola", env={"DATABASE_URL": url})
    assert "permission denied for table smsclick_messages" in checked(written.complaint)
    checks = {each["name"]: each for each in call("doctor", "--json", env={"DATABASE_URL": url}).records}
    assert checks["migrations"]["verdict"] == "ok"
    name = postgres_url.rpartition("/")[2]
    administer(postgres_url, "DROP OWNED BY careful", f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    assert {"may not use this database" in line for line in every_line(url)} == {True}


def test_a_schema_of_another_library_is_where_the_tables_are(postgres_url: str) -> None:
    administer(postgres_url, "CREATE SCHEMA sms")
    env = {"DATABASE_URL": postgres_url.replace("postgresql+psycopg", "postgres") + "?schema=sms&pgbouncer=true"}
    assert call("migrate", env=env).code == 0
    assert call("enqueue", "5551402211", "Hola", env=env).code == 0
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM sms.smsclick_messages")) == 1
        assert connection.scalar(sa.text("SELECT to_regclass('public.smsclick_messages')")) is None


# --- MariaDB


def test_mariadb_says_why(mariadb: MariaDBServer, mariadb_url: str, own_server: OwnServer) -> None:
    plain = own_server(MariaDBServer)  # the shared one offers TLS
    name = mariadb_url.partition("?")[0].rpartition("/")[2]
    administer(mariadb.url(), f"CREATE OR REPLACE USER careful@'127.0.0.1' IDENTIFIED BY '{SECRET}'")
    url = mariadb_url.replace("smsclick@", f"careful:{SECRET}@")
    for wrong, says in (
        (url.replace(SECRET, f"{SECRET}x"), "refused the user or password"),
        (url, "its user may not use this database"),
        (mariadb.url("nowhere"), "there is no such database"),
        (plain.url() + "&ssl-mode=REQUIRED", "offers no TLS"),
        (f"mysql://u:{SECRET}@localhost.invalid/d", "the name of its host is not known"),
    ):
        assert {says in line for line in every_line(wrong)} == {True}, every_line(wrong)
    administer(mariadb.url(), f"GRANT SELECT ON {name}.* TO careful@'127.0.0.1'")
    assert "1142: CREATE" in checked(alembic_line(url, "upgrade", "head"))
    migrate(mariadb_url)
    written = call("enqueue", "5551402211", "Hola", env={"DATABASE_URL": url})
    assert "lacks a permission that smsclick needs, 1142: " in checked(written.complaint)
    administer(
        mariadb.url(),
        f"REVOKE ALL ON {name}.* FROM careful@'127.0.0.1'",
        f"GRANT INSERT ON {name}.* TO careful@'127.0.0.1'",
    )
    assert "1142: SELECT" in checked(alembic_line(url, "current"))


# --- SQLite


@contextlib.contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Root may do everything, whatever the permissions say."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an ordinary user may look into; pytest's is for its owner alone."""
    made = Path(tempfile.mkdtemp(prefix="smsclick-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def test_sqlite_says_what_is_wrong_with_its_file(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("no database\n" * 100)
    for path, says in (
        (letter, {"it is no SQLite database"}),
        (tmp_path, {"it is a folder"}),
        (letter / "x.db", {"its folder is a file", "there is no database at"}),
        (Path("/proc/nowhere/x.db"), {"cannot be made (No such file or directory)", "there is no database at"}),
    ):
        for line in every_line(f"sqlite:///{path}"):
            assert any(word in line for word in says), line
            assert str(path) in line


def test_sqlite_says_what_this_user_may_not_do(migrated_sqlite_url: str, folder: Path) -> None:
    call("stats", env={"DATABASE_URL": migrated_sqlite_url})  # imports what an ordinary user might not read
    file = Path(shutil.copy(migrated_sqlite_url.removeprefix("sqlite:///"), folder / "x.db"))
    for mode, of_folder, says in (
        (0o600, 0o755, "this user may not read it"),
        (0o644, 0o755, "this user may not write to it"),
        (0o666, 0o755, "this user may not write to its folder"),
    ):
        file.chmod(mode)
        folder.chmod(of_folder)
        with an_ordinary_user():
            lines = every_line(f"sqlite:///{file}")
        assert {says in line for line in lines} == {True}, lines
    with an_ordinary_user():
        assert "cannot be made (Permission denied)" in alembic_line(f"sqlite:///{folder}/new.db", "upgrade", "head")


def test_a_full_disk_is_called_so(migrated_sqlite_url: str, tmp_path: Path) -> None:
    file = migrated_sqlite_url.removeprefix("sqlite:///")
    programs = Path(sys.executable).parent
    script = f"""
        mount -t tmpfs -o size=800k tmpfs {tmp_path}/disk && cp {file} {tmp_path}/disk/x.db || exit 77
        head -c 10000000 /dev/zero > {tmp_path}/disk/other 2> /dev/null
        export DATABASE_URL=sqlite:///{tmp_path}/disk/x.db
        {programs}/smsclick enqueue 5551402211 Hola
        {programs}/alembic -c {ROOT}/alembic.ini upgrade head
    """
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    if "unshare" in done.stderr or done.returncode == 77:
        pytest.skip("not run here: a full disk: this user may not mount a file system of its own")
    lines = done.stderr.splitlines()
    assert {"(its disk is full)" in line for line in lines} == {True}, done.stderr
    assert len(lines) == 2


def test_only_an_upgrade_makes_a_database(sqlite_url: str) -> None:
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    for words in (("current",), ("check",), ("downgrade", "-1")):
        assert "there is no database at" in checked(alembic_line(sqlite_url, *words))
    assert not file.exists()
    assert alembic_line(sqlite_url, "upgrade", "head") == ""
    assert file.exists()


# --- All


def test_tables_of_a_newer_release_are_called_so(migrated_sqlite_url: str) -> None:
    administer(migrated_sqlite_url, "UPDATE smsclick_alembic_version SET version_num = '9999'")
    for line in (
        alembic_line(migrated_sqlite_url, "upgrade", "head"),
        call("migrate", env={"DATABASE_URL": migrated_sqlite_url}).complaint,
    ):
        assert "at a version that this program does not know; run its newer release" in checked(line)
