"""The way back from an upgrade, and a migration that meets a long transaction: nothing is lost, nobody waits long."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import State, callbacks, events, messages
from tests.conftest import migrate
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import StartProcess
    from tests.servers import MariaDBServer

LAST_RELEASE = "0015"
"""The schema of the release before this one."""
AT = dt.datetime(2026, 5, 4, 18, 0, tzinfo=dt.UTC)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def used(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with the newest tables, and a message in every state with all that its state may have."""
    made = Database(request.getfixturevalue(f"migrated_{request.param}_url"), threads=4)
    with made.begin() as connection:
        for number, state in enumerate(State, 1):
            connection.execute(
                sa.insert(messages).values(
                    id=number,
                    key=f"k{number}",
                    phone=f"55514{number:05d}",
                    text=f"Señal {number} 😀",
                    state=state,
                    due_at=AT if state in {State.QUEUED, State.SENDING, State.UNKNOWN, State.SENT} else None,
                    lease_until=AT if state is State.SENDING else None,
                    attempts=number,
                    attempted_at=AT,
                    unknown_since=AT if state is State.UNKNOWN else None,
                    id_mensaje=9_000_000 + number,
                    credits_used=2,
                    last_code=1,
                    reference="pedido",
                    final_at=AT if state in {State.DELIVERED, State.REJECTED, State.FAILED} else None,
                )
            )
            event = {"message_id": number, "at": AT, "from_state": "queued", "to_state": state, "cause": "answered"}
            connection.execute(sa.insert(events).values(**event, attempt=1, actor="ana@oficina"))
    yield made
    made.dispose()


def config(database: Database) -> alembic.config.Config:
    made = alembic.config.Config(str(ROOT / "alembic.ini"))
    made.attributes["database_url"] = database.engine.url.render_as_string(hide_password=False)
    return made


def stored(database: Database, table: sa.Table, names: set[str] | None = None) -> list[dict[str, Any]]:
    """All rows, with the columns that the database has at this version, or those given."""
    with database.read() as connection:
        there = {str(each["name"]) for each in sa.inspect(connection).get_columns(table.name)}
        columns = [column for column in table.c if column.name in (there if names is None else names)]
        rows = connection.execute(sa.select(*columns).order_by(table.c.id))
        return [dict(row._mapping) for row in rows]


def test_the_way_back_is_one_version_at_a_time_and_loses_no_message_of_any_state(used: Database) -> None:
    before = {table: stored(used, table) for table in (messages, events, callbacks)}
    assert {row["state"] for row in before[messages]} == set(State)
    while used.version() != LAST_RELEASE:
        alembic.command.downgrade(config(used), "-1")
        kept = stored(used, messages)
        assert [{name: row[name] for name in kept[0]} for row in before[messages]] == kept
        assert len(stored(used, events)) == len(before[events])
    in_common = {table: set(rows[0]) for table in before if (rows := stored(used, table))}
    alembic.command.upgrade(config(used), "head")
    for table, names in in_common.items():
        assert stored(used, table, names) == [{name: row[name] for name in names} for row in before[table]]


@pytest.mark.parametrize(("server", "before"), [("postgres", "0010"), ("mariadb", "0018"), ("mariadb", "0010")])
def test_a_migration_that_meets_a_long_transaction_gives_up_with_one_line_and_is_repeated(
    server: str, before: str, request: pytest.FixtureRequest, start_process: StartProcess
) -> None:
    url = migrate(request.getfixturevalue(f"{server}_url"), before)
    database = Database(url, threads=4)
    key = "`key`" if server == "mariadb" else "key"
    insert = f"INSERT INTO smsclick_messages ({key}, phone, text) VALUES ('%s', '5551402211', 'x')"  # noqa: S608
    with database.engine.connect() as long:
        if server == "postgres":  # a backend's session has no limit, as ours have
            long.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        long.exec_driver_sql(insert % "long")
        upgrade = start_process(["smsclick", "migrate"], {"DATABASE_URL": url})
        assert upgrade.wait(120) == 1
        [line] = upgrade.output.strip().splitlines()
        assert line.startswith("smsclick: the migration gave up after waiting 10 s")
        # Nobody waits behind it any more, and no part of a version was left behind.
        with database.begin() as connection:
            connection.exec_driver_sql(insert % "other")
        long.commit()
    assert start_process(["smsclick", "migrate"], {"DATABASE_URL": url}).wait(120) == 0
    with database.read() as connection:
        assert set(connection.scalars(sa.select(messages.c.key))) == {"long", "other"}
    database.dispose()


def test_a_migrator_on_mariadb_without_the_right_to_lock_upgrades_all_the_same(
    mariadb: MariaDBServer, mariadb_url: str
) -> None:
    mariadb.start()
    url = sa.make_url(mariadb_url)
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    rights = "CREATE, ALTER, DROP, INDEX, SELECT, INSERT, UPDATE, DELETE"
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE USER lockless@'%%' IDENTIFIED BY 'of-a-test'")
        connection.exec_driver_sql(f"GRANT {rights} ON {url.database}.* TO lockless@'%%'")
    try:
        own = url.set(username="lockless", password="of-a-test").render_as_string(hide_password=False)
        migrate(own, "0018")
        database = Database(migrate(own), threads=1)
        assert database.version() not in {None, "0018"}
        database.dispose()
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql("DROP USER lockless@'%%'")
