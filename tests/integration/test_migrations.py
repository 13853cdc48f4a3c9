"""Migrations: up, down and up again on each database, without drift from the tables, beside a backend's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from smsclick._database.engine import Database
from smsclick._database.message_tables import NOT_ON
from smsclick.contract import VERSION_TABLE, metadata
from smsclick.errors import DatabaseNotMigrated
from tests.conftest import migrate
from tests.factories import POLICY
from tests.processes import ROOT
from worker.queue import claims

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = set(metadata.tables)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def empty(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database without any table."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    made = Database(url, threads=2)
    yield made
    made.dispose()


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def tables(database: Database) -> set[str]:
    with database.read() as connection:
        return set(sa.inspect(connection).get_table_names())


def downgrade(database: Database) -> None:
    config = alembic.config.Config(str(ROOT / "alembic.ini"))
    config.attributes["database_url"] = url_of(database)
    alembic.command.downgrade(config, "base")


def differences(database: Database) -> list[object]:
    with database.engine.connect() as connection:
        options = {
            "version_table": VERSION_TABLE,
            "compare_type": True,
            "include_object": lambda each, _name, _type, reflected, _other: (
                reflected or connection.dialect.name not in each.info.get(NOT_ON, ())
            ),
            "include_name": lambda name, type_, _: type_ != "table" or (name or "").startswith("smsclick_"),
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def test_the_tables_come_go_and_come_again(empty: Database) -> None:
    migrate(url_of(empty))
    assert tables(empty) == OURS | {VERSION_TABLE}
    downgrade(empty)
    assert tables(empty) == {VERSION_TABLE}
    assert empty.version() is None
    migrate(url_of(empty))
    assert tables(empty) == OURS | {VERSION_TABLE}
    assert differences(empty) == []


def test_the_migrations_make_what_the_tables_declare(database: Database) -> None:
    assert differences(database) == []


def test_the_drift_check_sees_a_missing_column(empty: Database) -> None:
    migrate(url_of(empty))
    with empty.begin() as connection:
        connection.execute(sa.text("ALTER TABLE smsclick_optouts DROP COLUMN reason"))
    assert len(differences(empty)) == 1


def test_a_second_upgrade_changes_nothing(database: Database) -> None:
    before = database.version()
    migrate(url_of(database))
    assert database.version() == before == ScriptDirectory(str(ROOT / "migrations")).get_current_head()


def test_the_tables_live_beside_a_backends_own_migrations(empty: Database) -> None:
    with empty.begin() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('theirs')"))
        connection.execute(sa.text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
    migrate(url_of(empty))
    assert differences(empty) == []
    downgrade(empty)
    assert tables(empty) == {"alembic_version", "orders", VERSION_TABLE}
    with empty.read() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "theirs"


def test_a_database_without_the_tables_is_refused_with_the_command_to_run(empty: Database) -> None:
    with pytest.raises(DatabaseNotMigrated, match="run: alembic upgrade head"):
        empty.require_migrated()


def test_a_plain_sql_insert_of_key_phone_and_text_is_claimed(database: Database) -> None:
    quoted = "`key`" if database.engine.dialect.name == "mysql" else "key"
    with database.begin() as connection:
        insert = f"INSERT INTO smsclick_messages ({quoted}, phone, text) VALUES ('k', '55 5140 2211', 'Hola ñ 📱')"  # noqa: S608
        connection.exec_driver_sql(insert)
    with database.begin() as connection:
        claimed = claims.claim(connection, None, 10, POLICY)
    assert [(claim.phone, claim.text) for claim in claimed] == [("55 5140 2211", "Hola ñ 📱")]


@pytest.mark.parametrize(
    "columns",
    [
        {"priority": 7},
        {"if_absent": "'maybe'"},
        {"phone": "NULL"},
        {"text": "NULL"},
    ],
)
def test_what_a_plain_sql_insert_may_not_say_is_refused_by_the_database(
    database: Database, columns: dict[str, object]
) -> None:
    quoted = "`key`" if database.engine.dialect.name == "mysql" else "key"
    values = {quoted: "'k'", "phone": "'5551402211'", "text": "'x'"} | columns
    insert = f"INSERT INTO smsclick_messages ({', '.join(values)}) VALUES ({', '.join(map(str, values.values()))})"  # noqa: S608
    with pytest.raises(sa.exc.DBAPIError), database.engine.begin() as connection:
        connection.exec_driver_sql(insert)


def test_keys_that_differ_by_case_or_accent_are_different_keys(database: Database) -> None:
    quoted = "`key`" if database.engine.dialect.name == "mysql" else "key"
    with database.begin() as connection:
        for key in ("año", "Año", "ano"):
            connection.exec_driver_sql(
                f"INSERT INTO smsclick_messages ({quoted}, phone, text) VALUES ('{key}', '5551402211', 'x')"  # noqa: S608
            )
