"""Rows of a plain INSERT: the database refuses what no row may be, and what cannot be sent fails alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from smsclick._database.constraints import GUARDED_LENGTHS
from smsclick._values.texts import MAX_TEXT_LENGTH
from smsclick.contract import State, messages
from tests import one_sender
from tests.factories import row, states
from tests.processes import ROOT

if TYPE_CHECKING:
    from smsclick._database.engine import Database
    from smsclick.simulator import Simulator
    from worker.runtime import Runtime

GOOD: dict[str, object] = {"key": "order-1", "phone": "5551402211", "text": "Tu pedido va en camino"}
BAD: list[dict[str, object]] = [
    {"phone": "123"},
    {"phone": ""},
    {"phone": "+1 212 555 1234"},
    {"text": ""},
    {"text": " \n"},
    {"text": "x" * (MAX_TEXT_LENGTH + 1)},
    {"text": "a\x07b"},
]


def insert(connection: sa.Connection, values: dict[str, object]) -> None:
    """As a program in any language does."""
    names = ", ".join(map(connection.dialect.identifier_preparer.quote, values))
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(sa.text(f"INSERT INTO smsclick_messages ({names}) VALUES ({marks})"), values)  # noqa: S608


def test_rows_that_cannot_be_sent_fail_with_a_reason_and_harm_no_other(
    database: Database, runtime: Runtime, simulator: Simulator
) -> None:
    with database.begin() as connection:
        for number, bad in enumerate(BAD):
            # Each with a phone of its own: equal messages would wait for each other.
            insert(connection, GOOD | {"key": f"bad-{number}", "phone": f"555140990{number}"} | bad)
        insert(connection, GOOD)
        first = connection.execute(sa.select(sa.func.min(messages.c.id))).scalar_one()
    one_sender.send(runtime, list(range(first, first + len(BAD) + 1)))
    runtime.recorder.close()
    assert states(database) == [State.FAILED] * len(BAD) + [State.SENT]
    for message_id in range(first, first + len(BAD)):
        error = row(database, message_id).last_error
        assert error
        assert "\n" not in error
        assert "990" not in error
    assert [entry.phone for entry in simulator.ledger()] == [GOOD["phone"]]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"priority": 7}, "ck_smsclick_messages_priority"),
        ({"if_absent": "maybe"}, "ck_smsclick_messages_if_absent"),
        ({"phone": None}, "phone"),
        ({"key": None}, "key"),
    ],
)
def test_the_database_refuses_a_row_by_the_name_of_what_it_breaks(
    database: Database, values: dict[str, object], says: str
) -> None:
    with pytest.raises(DatabaseError, match=says), database.engine.begin() as connection:
        insert(connection, GOOD | values)
    assert states(database) == []


LONG: dict[str, str] = {name: "5" * (length + 1) for name, length in GUARDED_LENGTHS.items()}


@pytest.mark.parametrize("ignore", ["", "IGNORE "])
@pytest.mark.parametrize("mode", ["", "STRICT_TRANS_TABLES"])
def test_on_mariadb_no_word_is_cut_also_by_insert_ignore(migrated_mariadb_url: str, ignore: str, mode: str) -> None:
    engine = sa.create_engine(migrated_mariadb_url)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET SESSION sql_mode = '{mode}'")
        for name, word in LONG.items():
            for longer in (word, word * 3):
                values = {f"`{each}`": value for each, value in (GOOD | {name: longer}).items()}
                names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
                with pytest.raises(DatabaseError, match=r"ck_smsclick_messages_lengths|Data too long"):
                    connection.exec_driver_sql(
                        f"INSERT {ignore}INTO smsclick_messages ({names}) VALUES ({marks})",  # noqa: S608
                        tuple(values.values()),
                    )
        # Several at once: what is too long is left out, not cut.
        if ignore:
            keys = ("a", LONG["key"], "b")
            rows = ", ".join(f"('{key}', '5551402211', 'x')" for key in keys)
            connection.exec_driver_sql(f"INSERT IGNORE INTO smsclick_messages (`key`, phone, text) VALUES {rows}")  # noqa: S608
            stored = connection.scalars(sa.select(messages.c.key).order_by(messages.c.key))
            assert set(stored) <= {"a", "b"}
        longest = {
            f"`{each}`": value for each, value in (GOOD | {name: word[1:] for name, word in LONG.items()}).items()
        }
        names, marks = ", ".join(longest), ", ".join(["%s"] * len(longest))
        connection.exec_driver_sql(
            f"INSERT INTO smsclick_messages ({names}) VALUES ({marks})",  # noqa: S608
            tuple(longest.values()),
        )
    engine.dispose()


LARAVEL = (
    (
        "insert into `smsclick_messages` (`key`, `phone`, `text`) values (?, ?, ?) "
        "on duplicate key update `key` = values(`key`)"
    ),
    "select `phone`, `text` from `smsclick_messages` where `key` = ? limit 1 lock in share mode",
)
"""What docs/frameworks.md becomes on MariaDB: `upsert($sms, ['key'], ['key'])`, and `sharedLock()->first([…])`."""

PHP = (ROOT / "examples" / "php" / "shop.php").read_text(encoding="utf-8")


@pytest.mark.parametrize("way", ["laravel", "php"])
def test_the_ways_shown_for_mariadb_store_a_key_once_and_see_whose_it_is(migrated_mariadb_url: str, way: str) -> None:
    shown = re.findall(r"^const (?:INSERT|THERE)_MYSQL = '(.*)';$", PHP, re.MULTILINE)
    insert_sql, there_sql = (each.replace("?", "%s") for each in (LARAVEL if way == "laravel" else shown))
    engine = sa.create_engine(migrated_mariadb_url)

    def put(connection: sa.Connection, key: str, text: str) -> bool:
        connection.exec_driver_sql(insert_sql, (key, GOOD["phone"], text))
        there = connection.exec_driver_sql(there_sql, (key,)).one_or_none()
        return there is not None and tuple(there) == (GOOD["phone"], text)

    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("SELECT COUNT(*) FROM smsclick_messages")  # its snapshot is older than the other's
        with engine.begin() as other:
            assert put(other, "theirs", "x")
        assert [put(connection, *each) for each in (("a", "x"), ("a", "x"), ("a", "y"), ("theirs", "y"))] == [
            *(True, True, False, False),
        ]
        with pytest.raises(DatabaseError, match="Data too long"):
            put(connection, "k" * 202, "x")
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(messages)) == 2
    engine.dispose()
