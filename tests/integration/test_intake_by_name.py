"""Intake: calls by name are stored once, and a call that cannot be a message is refused for good."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from smsclick.contract import incidents, messages
from tests.factories import RecordingWakeups, alert_events, row
from worker.alerting.details import shown
from worker.intake import by_name, dead_letters

if TYPE_CHECKING:
    from worker.runtime import Runtime

PHONE = "5540001234"  # none of the examples that the refusals give
CALL = {"phone": "+52 55 4000 1234", "text": "Tu pedido va en camino"}


def count(runtime: Runtime) -> int:
    with runtime.database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(messages)).scalar_one())


def test_a_call_is_stored_and_wakes_senders(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    stored = by_name.accept(runtime, "task-1", CALL | {"key": "order-1", "priority": "high"})
    assert stored is not None
    found = row(runtime.database, stored)
    assert (found.key, found.phone, found.text, found.priority) == ("order-1", PHONE, CALL["text"], 0)
    assert wakeups.sends == [[stored]]


@pytest.mark.parametrize("given", [{}, {"key": None}, {"key": ""}, {"key": "  "}, {"clave": ""}])
def test_without_a_key_a_redelivered_call_is_one_message(
    runtime: Runtime, wakeups: RecordingWakeups, given: dict[str, Any]
) -> None:
    ids = {by_name.accept(runtime, "task-1", CALL | given) for _ in range(3)}
    assert len(ids) == count(runtime) == 1
    assert row(runtime.database, ids.pop() or 0).key == "task-1"
    assert len(wakeups.sends) == 1


def test_a_redelivered_call_with_a_key_is_one_message(runtime: Runtime) -> None:
    ids = {by_name.accept(runtime, task, CALL | {"key": "order-1"}) for task in ("task-1", "task-1", "task-2")}
    assert len(ids) == count(runtime) == 1


def test_a_call_for_later_wakes_no_sender(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    assert by_name.accept(runtime, "task-1", CALL | {"send_at": "2099-01-01T00:00:00Z"}) is not None
    assert wakeups.sends == []


def test_a_key_with_other_content_is_refused_and_the_first_message_stays(
    runtime: Runtime, wakeups: RecordingWakeups
) -> None:
    first = by_name.accept(runtime, "task-1", CALL | {"key": "order-1"})
    assert by_name.accept(runtime, "task-2", CALL | {"key": "order-1", "text": "otro"}) is None
    assert count(runtime) == 1
    assert first is not None
    assert row(runtime.database, first).text == CALL["text"]
    assert alert_events(runtime.database) == [("bad_call", "opened")]


@pytest.mark.parametrize(
    "bad",
    [
        {"phone": "123"},
        {"phone": None},
        {"phone": ["5540001234"]},
        {"phone": {"number": 1}},
        {"phone": True},
        {"text": ""},
        {"text": {"a": 1}},
        {"text": 5},
        {"text": "a\x00b"},
        {"celular": "x"},
        {"send_at": "2026-01-01T00:00:00"},
        {"send_at": 5},
        {"send_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "0001-01-01T00:00:00+14:00"},
        {"priority": "urgent"},
        {"priority": []},
        {"if_absent": "maybe"},
        {"key": 5},
        {"key": "k" * 201},
        {"callback": {"url": "x"}},
        {"reference": ["x"]},
    ],
)
def test_a_call_that_cannot_be_a_message_is_refused_with_an_incident(
    runtime: Runtime, wakeups: RecordingWakeups, bad: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert by_name.accept(runtime, "task-1", CALL | bad) is None
    assert count(runtime) == 0
    assert wakeups.sends == []
    assert wakeups.alerted.is_set()
    assert alert_events(runtime.database) == [("bad_call", "opened")]
    with runtime.database.read() as connection:
        detail = connection.execute(sa.select(incidents.c.detail)).scalar_one()
    assert "task-1" in detail
    assert "1234" not in detail + caplog.text
    assert "pedido" not in detail + caplog.text


def test_many_bad_calls_are_one_incident_with_a_count(runtime: Runtime) -> None:
    for number in range(3):
        by_name.accept(runtime, f"task-{number}", {"phone": "123", "text": "x"})
    assert alert_events(runtime.database) == [("bad_call", "opened")]
    with runtime.database.read() as connection:
        assert connection.execute(sa.select(incidents.c.occurrences)).scalar_one() == 3


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_call_that_the_database_refuses_is_refused_and_does_not_come_back(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    trigger = "CREATE TRIGGER no BEFORE INSERT ON smsclick_messages BEGIN SELECT RAISE(ABORT, 'not 5540001234'); END"
    with runtime.database.begin() as connection:
        connection.execute(sa.text(trigger))
    assert by_name.accept(runtime, "task-1", CALL) is None
    assert details(runtime) == ["the database cannot hold it (IntegrityError) (task task-1)"]
    assert "1234" not in caplog.text


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_defect_is_logged_by_its_type_and_traceback_without_its_text(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        int(CALL["phone"])
    except ValueError as error:
        by_name.give_up(runtime, "task-1\n" + "9" * 99, error, {"body": "x"})
    (detail,) = details(runtime)
    assert detail.startswith("a defect of this program (ValueError)")
    assert "test_intake_by_name.py" in caplog.text
    assert "4000" not in detail + caplog.text
    assert "9" * 60 not in detail


def details(runtime: Runtime) -> list[str]:
    with runtime.database.read() as connection:
        return [shown(detail, "en") for detail in connection.scalars(sa.select(incidents.c.detail))]


@pytest.mark.parametrize("zone", ["+00:00", ""])
def test_celerys_option_expires_is_the_messages_validity(runtime: Runtime, zone: str) -> None:
    """Celery itself would drop the call unseen, by the worker's clock."""
    stored = by_name.accept(runtime, "task-1", CALL, expires=f"2099-01-01T00:00:00{zone}")
    other = by_name.accept(
        runtime, "task-2", CALL | {"expires_at": "2098-01-01T00:00:00Z"}, expires="2099-01-01T00:00:00"
    )
    assert stored is not None
    assert other is not None
    assert row(runtime.database, stored).expires_at.year == 2099
    assert row(runtime.database, other).expires_at.year == 2098


@pytest.mark.parametrize("expires", ["2001-01-01T00:00:00+00:00", "soon"])
def test_a_call_that_is_over_is_refused_and_not_sent(runtime: Runtime, expires: str) -> None:
    assert by_name.accept(runtime, "task-1", CALL, expires=expires) is None
    assert alert_events(runtime.database) == [("bad_call", "opened")]


# --- smsclick.cancel


def test_a_cancel_withdraws_a_message_and_once_more_does_nothing(runtime: Runtime) -> None:
    stored = by_name.accept(runtime, "task-1", CALL | {"key": "order-1"})
    assert stored is not None
    assert by_name.cancel(runtime, "task-2", {"key": " order-1 "})
    assert not by_name.cancel(runtime, "task-2", {"clave": "order-1"})
    assert row(runtime.database, stored).state == "cancelled"
    assert alert_events(runtime.database) == []


def test_a_cancel_that_overtakes_its_message_withdraws_it(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_name, "_MESSAGE_WAIT_SECONDS", 60)
    with ThreadPoolExecutor(1) as pool:
        cancelled = pool.submit(by_name.cancel, runtime, "task-2", {"key": "order-1"})
        stored = by_name.accept(runtime, "task-1", CALL | {"key": "order-1"})
        assert cancelled.result(60)
    assert row(runtime.database, stored or 0).state == "cancelled"


def test_a_cancel_of_no_message_is_passed_over(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_name, "_MESSAGE_WAIT_SECONDS", 0)
    assert not by_name.cancel(runtime, "task-1", {"key": "nobody's"})
    assert alert_events(runtime.database) == []


def test_a_cancel_without_a_key_is_reported_once_and_kept(runtime: Runtime) -> None:
    bad: list[tuple[dict[str, Any], tuple[object, ...]]] = [
        ({}, ()),
        ({"key": None}, ()),
        ({"key": " "}, ()),
        ({"key": ["a"]}, ()),
        ({"key": "a", "clave": "a"}, ()),
        ({"key": "a", "phone": PHONE}, ()),
        ({"key": "a"}, ("a",)),
    ]
    for number, (arguments, positional) in enumerate(bad):
        assert not by_name.cancel(runtime, f"task-{number}", arguments, positional=positional)
    assert alert_events(runtime.database) == [("bad_call", "opened")]
    letters = list(dead_letters.listed(runtime.database))
    assert len(letters) == len(bad)
    assert {letter.task for letter in letters} == {"smsclick.cancel"}
    ((_, refused),) = dead_letters.retry(runtime.database, [letters[0].id], actor="ana")
    assert "it is not a call of smsclick.enqueue" in str(refused)
