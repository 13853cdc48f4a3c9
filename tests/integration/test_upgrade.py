"""Upgrades of a database that is in use: what is in it stays, and producers go on meanwhile."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from smsclick._database import constraints
from smsclick._database.engine import Database
from smsclick._values.causes import PHRASES, SENTENCES, Cause, cause_of
from smsclick.contract import State, events, messages
from smsclick.errors import SmsclickError
from tests import odd_rows
from tests.commandline import call
from tests.conftest import migrate
from tests.factories import KEY
from tests.processes import ROOT, wait_until
from worker.operator import message_history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import StartProcess

FIRST = "0002"
"""The revision of the first databases in use."""
UNCHECKED = "0010"
"""The last revision whose rows nothing checks."""


def config(url: str, out: io.StringIO | None = None) -> alembic.config.Config:
    made = alembic.config.Config(str(ROOT / "alembic.ini"), output_buffer=out)
    made.attributes["database_url"] = url
    return made


def add(database: Database, first: int, count: int = 1, *, wait: str = "") -> None:
    quoted = "`key`" if database.engine.dialect.name == "mysql" else "key"
    with database.begin() as connection:
        if wait:
            connection.exec_driver_sql(wait)
        for number in range(first, first + count):
            connection.exec_driver_sql(
                f"INSERT INTO smsclick_messages ({quoted}, phone, text) VALUES ('k{number}', '5551402211', 'x')"  # noqa: S608
            )


def counted(database: Database) -> int:
    with database.read() as connection:
        count: int = connection.scalar(sa.text("SELECT count(*) FROM smsclick_messages"))
        return count


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def old(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of the first revision in use, with messages in it."""
    made = Database(migrate(request.getfixturevalue(f"{request.param}_url"), FIRST), threads=4)
    add(made, 0, 50)
    yield made
    made.dispose()


def test_an_upgrade_and_the_way_back_keep_every_message(old: Database) -> None:
    url = old.engine.url.render_as_string(hide_password=False)
    migrate(url)
    assert counted(old) == 50
    alembic.command.downgrade(config(url), FIRST)
    assert counted(old) == 50
    migrate(url)
    add(old, 50)
    assert counted(old) == 51


def test_producers_go_on_while_an_index_waits_for_a_long_transaction(
    postgres_url: str, start_process: StartProcess
) -> None:
    before = ScriptDirectory.from_config(config(postgres_url)).get_revision("0006").down_revision
    database = Database(migrate(postgres_url, str(before)), threads=4)
    # The upgrade that makes it and its lock, the one that waits for that lock, the long transaction and this look.
    clients = "datname = current_database() AND backend_type = 'client backend'"  # and no autovacuum
    connected = f"SELECT count(*) FROM pg_stat_activity WHERE {clients}"  # noqa: S608
    active = f"{connected} AND state = 'active' AND query LIKE 'CREATE INDEX CONCURRENTLY%%'"

    def waits() -> bool:
        with database.read() as connection:
            counts = [connection.exec_driver_sql(query).scalar_one() for query in (active, connected)]
        return counts == [1, 5]

    with database.engine.connect() as long:
        long.exec_driver_sql("INSERT INTO smsclick_messages (key, phone, text) VALUES ('long', '5551402211', 'x')")
        # Two at once, as a deploy of two machines would do.
        upgrades = [start_process(["alembic", "upgrade", "0006"], {"DATABASE_URL": postgres_url}) for _ in range(2)]
        wait_until(waits, 120, what="the index")
        add(database, 0, wait="SET LOCAL lock_timeout = '20s'")
        assert waits()
        long.commit()
    assert [upgrade.wait(120) for upgrade in upgrades] == [0, 0]
    assert database.version() == "0006"
    with database.read() as connection:
        assert not connection.scalar(sa.text("SELECT count(*) FROM pg_index WHERE NOT indisvalid"))
    assert counted(database) == 2
    database.dispose()


def test_no_migration_since_makes_an_index_on_a_table_in_use_that_blocks_producers() -> None:
    """On PostgreSQL; MariaDB's InnoDB makes its indexes beside what goes on, and SQLite has one writer anyway."""
    out = io.StringIO()
    alembic.command.upgrade(config("postgresql+psycopg://nobody@127.0.0.1:1/none", out), f"{FIRST}:head", sql=True)
    sql = out.getvalue()
    new = set(re.findall(r"CREATE TABLE (\w+)", sql))
    indexes = re.findall(r"CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+) ON (\w+)", sql)
    assert indexes
    assert [name for concurrently, name, table in indexes if table not in new and not concurrently] == []


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def unchecked(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database in use whose rows nothing has checked so far."""
    made = Database(migrate(request.getfixturevalue(f"{request.param}_url"), UNCHECKED), threads=4)
    add(made, 0, 20)
    yield made
    made.dispose()


def test_odd_rows_that_are_there_already_are_made_readable_and_stop_no_upgrade(unchecked: Database) -> None:
    kinds = [odd for odd in odd_rows.KINDS[unchecked.engine.dialect.name] if odd.refused]
    for number, odd in enumerate(kinds):
        odd_rows.insert(unchecked, odd, number)
    migrate(unchecked.engine.url.render_as_string(hide_password=False))
    with unchecked.read() as connection:
        rows = connection.execute(sa.select(messages).order_by(messages.c.id)).all()
        changes = connection.execute(sa.select(events).order_by(events.c.id)).all()
    assert len(rows) == 20 + len(kinds)
    for each in rows:
        assert each.state in set(State)
        assert (each.due_at is None) == (each.state != State.QUEUED)
        assert odd_rows.SECRET not in (each.last_error or "")
    assert [each.state for each in rows[:20]] == ["queued"] * 20
    failed = {each.id: each for each in rows if each.state == State.FAILED}
    for odd, each in zip(kinds, rows[20:], strict=True):
        # What concerns no content, or lacks its time alone, goes; what cannot be sent as it was meant fails.
        content = {"send_at", "expires_at", "phone", "text", "state"} & odd.columns.keys()
        # SQLite cuts none: what is too long fails when it is claimed.
        long = unchecked.is_sqlite and odd.name in {"a phone of a thousand characters", "a text of a megabyte"}
        assert (each.id in failed) == (bool(content) and not long), odd.name
    assert all(each.last_error and each.final_at for each in failed.values())
    assert {each.message_id for each in changes} == failed.keys()
    assert {(each.to_state, each.cause) for each in changes} == {("failed", Cause.INVALID)}


def test_the_migrations_make_the_constraints_that_the_table_declares(unchecked: Database) -> None:
    before = odd_rows.keys(unchecked)
    url = unchecked.engine.url.render_as_string(hide_password=False)
    migrate(url)
    made = odd_rows.keys(unchecked) - before
    if unchecked.is_sqlite:
        assert made == set(constraints.sqlite_triggers())
    else:
        postgresql = unchecked.engine.dialect.name == "postgresql"
        declared = constraints.POSTGRESQL if postgresql else constraints.MARIADB | constraints.MARIADB_LENGTHS
        assert made == {f"ck_smsclick_messages_{name}" for name in declared}
        if postgresql:
            with unchecked.read() as connection:
                assert connection.scalar(sa.text("SELECT count(*) FROM pg_constraint WHERE NOT convalidated")) == 0
    alembic.command.downgrade(config(url), UNCHECKED)
    assert odd_rows.keys(unchecked) == before


@pytest.mark.parametrize("state", list(State))
def test_the_states_that_the_database_knows_are_those_of_the_contract(state: State) -> None:
    assert state in constraints.STATES
    assert len(constraints.STATES) == len(State)


SENTENCED = "0014"
"""The last revision whose events have sentences for causes."""
BATCH_IDS = 5000
"""Ids of one batch of revision 0015."""


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def sentenced(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database whose events have sentences for causes: a message in every state, each with events of every cause."""
    made = Database(migrate(request.getfixturevalue(f"{request.param}_url"), SENTENCED), threads=4)
    for number, state in enumerate(State):
        add(made, number)
        insert_events(made, number + 1, [SENTENCES.get(cause, str(cause)) for cause in Cause], state)
    with made.begin() as connection:
        for number, state in enumerate(State):
            connection.execute(sa.update(messages).where(messages.c.id == number + 1).values(state=state))
    yield made
    made.dispose()


def insert_events(database: Database, message_id: int, causes: list[str], state: str = "sent") -> None:
    rows = [
        {
            "message_id": message_id,
            "from_state": "queued",
            "to_state": state,
            "cause": cause,
            "attempt": 1,
            "code": -102,
            "description": "Rechazado",
            "id_mensaje": 7,
        }
        for cause in causes
    ]
    with database.begin() as connection:
        connection.execute(sa.insert(events), rows)


def all_events(database: Database) -> list[dict[str, Any]]:
    """Events with the columns that there were at `SENTENCED`."""
    columns = [column for column in events.c if column.name != "actor"]
    with database.read() as connection:
        return [dict(each) for each in connection.execute(sa.select(*columns).order_by(events.c.id)).mappings()]


def test_causes_become_codes_and_on_the_way_back_sentences_and_nothing_else_changes(sentenced: Database) -> None:
    url = sentenced.engine.url.render_as_string(hide_password=False)
    before = all_events(sentenced)
    migrate(url)
    after = all_events(sentenced)
    assert [each["cause"] for each in after] == [str(cause) for cause in Cause] * len(State)
    assert [each | {"cause": ""} for each in after] == [each | {"cause": ""} for each in before]
    alembic.command.downgrade(config(url), SENTENCED)
    assert all_events(sentenced) == before
    migrate(url)
    assert all_events(sentenced) == after
    with sentenced.read() as connection:
        assert list(connection.scalars(sa.select(messages.c.state).order_by(messages.c.id))) == list(State)


def test_what_an_old_worker_stores_after_the_upgrade_is_read_and_shown_like_a_code(sentenced: Database) -> None:
    url = sentenced.engine.url.render_as_string(hide_password=False)
    migrate(url)
    insert_events(sentenced, 1, list(SENTENCES.values()))
    story = message_history.read(sentenced, "1").events[-len(SENTENCES) :]
    assert [cause_of(each["cause"]) for each in story] == list(SENTENCES)
    shown = call("show", "1", env={"DATABASE_URL": url, "SMSCLICK_API_KEY": KEY}).out
    # Once from the upgraded row and once from the old worker's.
    assert [shown.count(PHRASES[cause]) for cause in (Cause.FOUND_IN_REPORT, Cause.INVALID)] == [2, 2]
    assert "_in_report" not in shown


def stop_at(database: Database, event_id: int) -> list[str]:
    """Let no statement update this event; returns what undoes that."""
    if database.engine.dialect.name == "postgresql":
        function = "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''stop''; END'"
        on = f"BEFORE UPDATE ON smsclick_events FOR EACH ROW WHEN (OLD.id = {event_id})"
        made = [function, f"CREATE TRIGGER stop {on} EXECUTE FUNCTION stop()"]
        undone = ["DROP TRIGGER stop ON smsclick_events", "DROP FUNCTION stop"]
    else:
        begin = "CREATE TRIGGER stop BEFORE UPDATE ON smsclick_events FOR EACH ROW "
        if database.is_sqlite:
            made = [f"{begin} WHEN OLD.id = {event_id} BEGIN SELECT RAISE(ABORT, 'stop'); END"]
        else:
            made = [f"{begin} IF OLD.id = {event_id} THEN SIGNAL SQLSTATE '45000'; END IF"]
        undone = ["DROP TRIGGER stop"]
    run_sql(database, made)
    return undone


def run_sql(database: Database, statements: list[str]) -> None:
    with database.begin() as connection:
        for each in statements:
            connection.exec_driver_sql(each)


def test_causes_are_rewritten_in_batches_and_an_interrupted_upgrade_goes_on(sentenced: Database) -> None:
    url = sentenced.engine.url.render_as_string(hide_password=False)
    insert_events(sentenced, 1, ["status asked"] * (2 * BATCH_IDS))
    undo = stop_at(sentenced, 2 * BATCH_IDS)
    with pytest.raises((SmsclickError, sa.exc.DBAPIError)):
        migrate(url)
    causes = [each["cause"] for each in all_events(sentenced)]
    assert set(causes[BATCH_IDS:]) == {"status asked"}, "the batch that failed is as it was"
    assert "status asked" not in causes[:BATCH_IDS], "the batches before it are committed"
    assert sentenced.version() == SENTENCED
    run_sql(sentenced, undo)
    migrate(url)
    assert {each["cause"] for each in all_events(sentenced)} == {str(cause) for cause in Cause}
