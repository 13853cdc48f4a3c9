"""A forgotten person leaves no trace of phone and text in any table, counts stay right, and nothing is sent to them."""

from __future__ import annotations

import collections
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from smsclick.contract import State, callbacks, events, messages, metadata
from smsclick.errors import InvalidPhone
from tests.commandline import call
from tests.factories import LONG_AGO, PHONE, POLICY, insert, row, states
from worker.intake import dead_letters
from worker.operator import forgetting, message_changes, person_export
from worker.operator.forgetting import OptOut
from worker.queue import claims, optouts
from worker.sql import audit

if TYPE_CHECKING:
    from smsclick._database.engine import Database

OTHER = "6641234567"
TEXT = "Ana, tu cita con el doctor es a las 9"
REPLY = "soy Ana, no puedo"
WORDS = "rechazado: Ana, tu cita"
TRACES = (PHONE, "55 5140 2211", TEXT, "doctor", "Ana", REPLY, WORDS)
IN_FLIGHT = (State.SENDING, State.UNKNOWN)


def env_of(database: Database) -> dict[str, str]:
    return {"DATABASE_URL": database.engine.url.render_as_string(hide_password=False)}


def dump(database: Database) -> str:
    """Every value of every table, as text."""
    with database.read() as connection:
        return "\n".join(
            repr([str(value) for value in found])
            for table in metadata.sorted_tables
            for found in connection.execute(sa.select(table))
        )


def a_person(database: Database, forms: tuple[str, ...] = (PHONE, "55 5140 2211", f"+521{PHONE}")) -> dict[State, int]:
    """A message in every state, with all that it may say of a person, and one to somebody else beside each."""
    ids: dict[State, int] = {}
    for number, state in enumerate(State):
        values: dict[str, Any] = {
            "key": f"cita-{PHONE}-{state}",
            "phone": forms[number % len(forms)],
            "text": f"{TEXT} {state}",
            "reference": f"persona {PHONE}",
            "callback": f"https://shop.example.com/?tel={PHONE}",
            "reply": REPLY,
            "last_error": WORDS,
            "state": state,
            "unknown_since": LONG_AGO,
            "attempted_at": LONG_AGO,
        }
        (ids[state],) = insert(database, **values)
        insert(database, phone=OTHER, text=f"otro {state}", state=state, unknown_since=LONG_AGO, attempted_at=LONG_AGO)
        change = {"message_id": ids[state], "from_state": "sending", "to_state": "failed", "attempt": 1}
        notified = {"message_id": ids[state], "event_id": f"e-{state}", "type": "message.failed", "due_at": None}
        data = json.dumps({"state": "failed", "description": WORDS})
        with database.begin() as connection:
            for cause in ("answered", "status_checked", "invalid"):
                connection.execute(sa.insert(events).values(**change, cause=cause, description=WORDS))
            target = f"https://shop.example.com/?tel={PHONE}"
            connection.execute(sa.insert(callbacks).values(**notified, target=target, data=data, last_error=WORDS))
    optouts.add(database, [PHONE], f"Ana, {PHONE}", actor="bo")
    _letter(database, {"phone": "55 5140 2211", "text": TEXT, "key": "a"})
    _letter(database, {"phone": OTHER, "text": "otro", "key": "b"})
    return ids


def _letter(database: Database, arguments: dict[str, object]) -> None:
    content = dead_letters.call_content("task-1", arguments)
    database.transact(
        lambda connection: dead_letters.keep(
            connection, queue="q", task=dead_letters.CALL, task_id="task-1", reason="r", content=content
        )
    )


def test_no_table_has_a_trace_of_phone_or_text_and_counts_stay_right(database: Database) -> None:
    ids = a_person(database)
    before = collections.Counter(states(database))
    assert all(trace in dump(database) for trace in (PHONE, TEXT, REPLY, WORDS))
    first = forgetting.forget(database, f"+52 {PHONE}", actor="ana")
    assert (first.erased, first.cancelled, len(first.deferred)) == (len(State) - 2, 1, 2)
    assert set(first.deferred) == {ids[state] for state in IN_FLIGHT}
    assert (first.keys, first.references, first.callbacks) == (len(State) - 2,) * 3
    assert (first.dead_letters, first.optout, first.mentions) == (1, OptOut.HASHED, 0)
    for state, message_id in ids.items():
        kept = row(database, message_id)
        assert (kept.erased_at is None) == (state in IN_FLIGHT)
        assert kept.state == (State.CANCELLED if state is State.QUEUED else state)
        assert (kept.text == f"{TEXT} {state}") == (state in IN_FLIGHT)
    with database.begin() as connection:  # their outcome is known by now
        in_flight = sa.update(messages).where(messages.c.id.in_([ids[state] for state in IN_FLIGHT]))
        connection.execute(in_flight.values(state=State.SENT))
    second = forgetting.forget(database, PHONE, actor="ana")
    assert (second.erased, second.deferred, second.keys, second.optout) == (2, (), 2, OptOut.HASHED)
    assert [trace for trace in TRACES if trace in dump(database)] == []
    after = collections.Counter(states(database))
    moved = {State.QUEUED: -1, State.CANCELLED: 1, State.SENDING: -1, State.UNKNOWN: -1, State.SENT: 2}
    assert after == collections.Counter({state: before[state] + moved.get(state, 0) for state in State})
    with database.read() as connection:
        others = connection.scalar(sa.select(sa.func.count()).where(messages.c.phone == OTHER))
    assert others == len(State)
    assert [each.reason for each in dead_letters.listed(database)] == ["r"]
    assert [(each.act, each.actor, each.count) for each in audit.listed(database) if each.act == "forget"] == [
        ("forget", "ana", 2),
        ("forget", "ana", len(State) - 2),
    ]
    third = forgetting.forget(database, PHONE, actor="ana")
    assert dataclasses.replace(third, at=first.at) == dataclasses.replace(
        first, erased=0, cancelled=0, deferred=(), keys=0, references=0, callbacks=0, dead_letters=0
    )


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_file_of_sqlite_has_no_trace_either(database: Database) -> None:
    a_person(database)
    with database.begin() as connection:
        for state in IN_FLIGHT:
            connection.execute(sa.update(messages).where(messages.c.state == state).values(state=State.SENT))
    file = Path(str(database.engine.url.database))
    forgetting.forget(database, PHONE, actor="ana")
    content = b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))
    assert [trace for trace in (PHONE, "doctor", "soy Ana") if trace.encode() in content] == []


def test_nothing_is_sent_to_a_forgotten_person_who_opted_out(database: Database) -> None:
    optouts.add(database, [PHONE, OTHER], actor="bo")
    assert forgetting.forget(database, PHONE, actor="ana").optout is OptOut.HASHED
    insert(database, phone=PHONE)
    insert(database, phone="5551402299")
    claimed = database.transact(lambda connection: claims.claim(connection, None, 10, POLICY))
    assert [(each.phone, each.opted_out) for each in claimed] == [(PHONE, True), ("5551402299", False)]
    assert optouts.add(database, [PHONE], actor="bo") == 0
    assert PHONE not in {each.phone for each in optouts.listed(database)}
    assert optouts.remove(database, [PHONE], actor="bo") == 1
    assert forgetting.forget(database, OTHER, actor="ana", optout_too=True).optout is OptOut.REMOVED
    assert list(optouts.listed(database)) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_list_with_hashes_can_be_stored_and_imported_again(database: Database) -> None:
    optouts.add(database, [PHONE, OTHER], actor="bo")
    forgetting.forget(database, PHONE, actor="ana")
    listed = call("optout", "list", env=env_of(database)).out
    assert PHONE not in listed
    optouts.remove(database, [PHONE, OTHER], actor="bo")
    assert call("optout", "import", "-", env=env_of(database), stdin=listed.encode()).err == (
        "2 added, 0 already known, 0 refused\n"
    )
    with database.read() as connection:
        assert optouts.among(connection, [PHONE, OTHER, "5551402299"]) == {PHONE, OTHER}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_message_to_another_that_mentions_the_phone_is_named_and_left_alone(database: Database) -> None:
    (other,) = insert(database, phone=OTHER, text=f"Llame a {PHONE}", key="other")
    done = forgetting.forget(database, PHONE, actor="ana")
    assert (done.mentions, done.mention_ids, done.erased) == (1, (other,), 0)
    assert row(database, other).text == f"Llame a {PHONE}"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_erased_message_is_not_retried(database: Database) -> None:
    (message_id,) = insert(database, phone=PHONE, state=State.FAILED)
    forgetting.forget(database, PHONE, actor="ana")
    (refused,) = message_changes.retry(database, [f"id:{message_id}"], actor="bo")
    assert "erased" in str(refused.problem)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_is_no_phone_is_refused_and_nothing_is_recorded(database: Database) -> None:
    with pytest.raises(InvalidPhone):
        forgetting.forget(database, "123", actor="ana")
    assert audit.listed(database) == []


# --- The data of a person


def test_a_person_gets_all_that_is_stored_and_nobody_elses(database: Database) -> None:
    ids = a_person(database)
    found = list(person_export.records(database, PHONE))
    kinds = collections.Counter(each["kind"] for each in found)
    assert kinds == {"message": len(State), "optout": 1, "dead_letter": 1}
    assert {each["id"] for each in found if each["kind"] == "message"} == set(ids.values())
    assert all(len(each["events"]) == 3 and len(each["callbacks"]) == 1 for each in found if each["kind"] == "message")
    written = json.dumps(found, default=str)
    assert all(word in written for word in (TEXT, REPLY, WORDS))
    assert OTHER not in written
    assert "otro" not in written


# --- The command line


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_commands_export_and_forget_with_a_receipt_without_the_phone(database: Database) -> None:
    env = env_of(database)
    a_person(database)
    records = call("export", "--phone", "55 5140 2211", env=env).records
    assert len(records) == len(State) + 2
    assert call("export", "--phone", PHONE, "--state", "failed", env=env).complaint.startswith("smsclick: --phone:")
    assert call("forget", PHONE, env=env).code == 2
    ended = call("forget", PHONE, "--yes", env=env)
    assert ended.code == 1
    assert "2 messages are in flight or of unknown outcome" in ended.err
    assert f"{len(State) - 2}" in ended.out
    with database.begin() as connection:
        connection.execute(sa.update(messages).where(messages.c.state.in_(IN_FLIGHT)).values(state=State.SENT))
    ended = call("forget", PHONE, "--yes", "--json", env=env)
    assert ended.code == 0
    assert ended.records[0]["erased"] == 2
    assert not any(trace in ended.out for trace in TRACES)
    assert call("find", PHONE, env=env).out == "no message to this phone\n"
    assert call("export", "--phone", PHONE, env=env).records[0]["kind"] == "optout"
