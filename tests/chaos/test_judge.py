"""The judge says no to each kind of wrong; a judge who is always content would make the whole suite worthless."""

import dataclasses
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import events, messages
from smsclick.simulator import LedgerEntry
from tests.chaos.judge import Verdict, judge
from tests.chaos.traffic import Wanted

_WANTED = Wanted("k", "5510000001", "Hola", "normal", "resend", None, expires=False, repeated=False)
_ENTRY = LedgerEntry(7, "5510000001", "Hola", 0.0, 1, 3, None, None)


@pytest.fixture
def database(migrated_sqlite_url: str) -> Iterator[Database]:
    opened = Database(migrated_sqlite_url)
    yield opened
    opened.dispose()


def _row(database: Database, **values: object) -> None:
    row = {"key": "k", "phone": "5510000001", "text": "Hola", "state": "delivered", "id_mensaje": 7}
    with database.begin() as connection:
        connection.execute(sa.insert(messages).values(row | {"estatus_mensaje": 3} | values))


def _wrong(verdict: Verdict) -> set[str]:
    return {name for name in ("lost", "sent_twice", "reported_wrong", "stuck") if getattr(verdict, name)}


def test_a_message_that_both_sides_know_alike_is_good(database: Database) -> None:
    _row(database)
    assert judge(database, [_ENTRY], [_WANTED]).good


def test_a_message_that_is_not_in_the_database_is_lost(database: Database) -> None:
    assert _wrong(judge(database, [], [_WANTED])) == {"lost"}


def test_a_message_that_failed_without_reason_is_lost(database: Database) -> None:
    _row(database, state="failed", id_mensaje=None, estatus_mensaje=None)
    assert _wrong(judge(database, [], [_WANTED])) == {"lost"}


def test_a_message_that_was_surely_absent_may_fail_if_its_producer_said_so(database: Database) -> None:
    _row(database, state="failed", id_mensaje=None, estatus_mensaje=None)
    absent = {"from_state": "unknown", "to_state": "failed", "cause": "absent_from_report", "attempt": 1}
    with database.begin() as connection:
        connection.execute(sa.insert(events).values(absent | {"message_id": 1}))
    assert judge(database, [], [dataclasses.replace(_WANTED, if_absent="fail")]).good
    assert _wrong(judge(database, [], [_WANTED])) == {"lost"}


def test_a_message_that_was_accepted_twice_is_sent_twice(database: Database) -> None:
    _row(database)
    again = dataclasses.replace(_ENTRY, id_mensaje=8)
    assert _wrong(judge(database, [_ENTRY, again], [_WANTED])) == {"sent_twice"}


def test_messages_of_equal_content_may_be_accepted_once_each(database: Database) -> None:
    _row(database)
    _row(database, key="equal", id_mensaje=8)
    equals = [_WANTED, dataclasses.replace(_WANTED, key="equal", repeated=True)]
    entries = [dataclasses.replace(_ENTRY, id_mensaje=number) for number in (7, 8, 9)]
    assert judge(database, entries[:2], equals).good
    assert _wrong(judge(database, entries, equals)) == {"sent_twice"}


def test_a_message_sent_twice_is_found_although_an_equal_one_failed(database: Database) -> None:
    _row(database)
    _row(database, key="equal", state="failed", id_mensaje=None, estatus_mensaje=None)
    equals = [_WANTED, dataclasses.replace(_WANTED, key="equal", repeated=True)]
    entries = [_ENTRY, dataclasses.replace(_ENTRY, id_mensaje=8)]
    assert "reported_wrong" in _wrong(judge(database, entries, equals))


@pytest.mark.parametrize(
    "columns",
    [
        {"state": "rejected", "estatus_mensaje": 4},
        {"estatus_mensaje": 2},
        {"state": "failed", "id_mensaje": None},
        {"id_mensaje": 8},
        {"reply": "NO"},
    ],
    ids=str,
)
def test_a_row_that_differs_from_the_ledger_is_reported_wrong(database: Database, columns: dict[str, object]) -> None:
    _row(database, **columns)
    others = LedgerEntry(8, "5510000002", "Del panel", 0.0, 1, 3, None, None)
    assert "reported_wrong" in _wrong(judge(database, [_ENTRY, others], [_WANTED]))


def test_an_accepted_message_that_nobody_wanted_is_reported_wrong(database: Database) -> None:
    _row(database)
    unknown_entry = LedgerEntry(8, "5510000002", "Otra", 0.0, 1, 3, None, None)
    assert _wrong(judge(database, [_ENTRY, unknown_entry], [_WANTED])) == {"reported_wrong"}


@pytest.mark.parametrize("state", ["queued", "sending", "unknown", "sent"])
def test_a_message_that_is_not_final_is_stuck(database: Database, state: str) -> None:
    _row(database, state=state)
    assert _wrong(judge(database, [_ENTRY], [_WANTED])) == {"stuck"}
