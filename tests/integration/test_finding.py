"""Messages are found by their phone, in whatever form it was given or stored, by an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from smsclick.contract import State
from smsclick.errors import InvalidPhone
from tests.commandline import call
from tests.factories import LONG_AGO, PHONE, insert
from worker.operator import finding

if TYPE_CHECKING:
    from smsclick._database.engine import Database


@pytest.mark.parametrize("form", [PHONE, "+52 1 55 5140 2211", "(55) 5140-2211"])
def test_the_messages_to_a_phone_are_found_newest_first_whatever_their_state(database: Database, form: str) -> None:
    final: dict[str, Any] = {"due_at": None, "final_at": LONG_AGO}
    mine = [
        insert(database, phone=PHONE, text="a", state=State.DELIVERED, **final)[0],
        insert(database, phone=f"+52{PHONE}", text="b")[0],
        insert(database, phone=PHONE, text="c", state=State.UNKNOWN, unknown_since=LONG_AGO)[0],
        insert(database, phone=f"044{PHONE}", text="d", state=State.FAILED, **final)[0],
    ]
    insert(database, phone="5551402212", text="e")
    insert(database, phone="", text="", erased_at=LONG_AGO, state=State.DELIVERED, **final)
    assert [each.id for each in finding.by_phone(database, form)] == mine[::-1]
    assert [each.id for each in finding.by_phone(database, form, limit=2)] == mine[:1:-1]
    assert [each.id for each in finding.by_phone(database, form, before=mine[2])] == mine[1::-1]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_command_lists_them_without_their_texts(database: Database) -> None:
    env = {"DATABASE_URL": database.engine.url.render_as_string(hide_password=False)}
    (message_id,) = insert(database, phone=PHONE, text="secret words", key="order-1")
    ended = call("find", "55 5140 2211", env=env)
    assert (ended.code, "order-1" in ended.out, "secret" in ended.out) == (0, True, False)
    (record,) = call("find", PHONE, "--json", env=env).records
    assert (record["id"], record["state"]) == (message_id, "queued")
    assert call("find", "6641234567", env=env).out == "no message to this phone\n"
    assert call("find", "123", env=env).complaint.startswith("smsclick: the phone … is not a Mexican number")
    with pytest.raises(InvalidPhone):
        finding.by_phone(database, "123")
