"""`alembic upgrade head` where something is wrong: one line that says what, no traceback, no password."""

from __future__ import annotations

from typing import TYPE_CHECKING

import alembic.config
import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from tests.conftest import migrate
from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.servers import PostgresServer

PASSWORD = "tezontle8a5c"


def upgrade(monkeypatch: pytest.MonkeyPatch, database_url: str, **variables: str) -> str:
    """What the program says where it fails."""
    for name, value in {"DATABASE_URL": database_url, **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        alembic.config.main(argv=["-c", str(ROOT / "alembic.ini"), "upgrade", "head"])
    line = ended.value.code
    assert isinstance(line, str), line
    assert line.startswith("smsclick: ")
    assert "\n" not in line
    assert "unexpected" not in line
    assert PASSWORD not in line
    return line


def test_a_setting_that_is_wrong(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> None:
    assert "SMSCLICK_SWEEP_SECONDS" in upgrade(monkeypatch, sqlite_url, SMSCLICK_SWEEP_SECONDS="soon")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "DATABASE_URL"),
        (f"oracle://u:{PASSWORD}@h/d", "DATABASE_URL"),
        (f"postgresql://nobody:{PASSWORD}@127.0.0.1:1/x", "does not answer"),
        (f"mysql://nobody:{PASSWORD}@127.0.0.1:1/x", "does not answer"),
        ("sqlite:////proc/nowhere/smsclick.db", "/proc/nowhere"),
    ],
)
def test_a_database_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, url: str, words: str) -> None:
    assert words in upgrade(monkeypatch, url)


def test_a_file_that_is_no_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("this is a letter and no database\n" * 100)
    assert str(file) in upgrade(monkeypatch, f"sqlite:///{file}")
    assert str(tmp_path) in upgrade(monkeypatch, f"sqlite:///{tmp_path}")


def test_a_user_without_the_right_to_make_tables(
    monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer, postgres_url: str
) -> None:
    admin = Database(postgres_url, threads=1)
    with admin.begin() as connection:
        connection.execute(sa.text("DROP ROLE IF EXISTS reader"))
        connection.execute(sa.text("CREATE ROLE reader LOGIN"))
        connection.execute(sa.text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    admin.dispose()
    assert postgres.port
    assert "permission" in upgrade(monkeypatch, postgres_url.replace("postgres@", "reader@"))


def test_tables_that_do_not_fit_their_version(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> None:
    migrate(sqlite_url, "0001")
    database = Database(sqlite_url, threads=1)
    with database.begin() as connection:
        connection.execute(sa.text("DROP TABLE smsclick_messages"))
    database.dispose()
    assert "do not fit the version" in upgrade(monkeypatch, sqlite_url)


def test_the_program_itself_ends_with_one_line_and_1(start_process: StartProcess) -> None:
    process = start_process(
        ["alembic", "upgrade", "head"], {"DATABASE_URL": f"postgresql://u:{PASSWORD}@127.0.0.1:1/x"}
    )
    assert process.wait() == 1
    assert len(process.output.splitlines()) == 1
    assert "Traceback" not in process.output
