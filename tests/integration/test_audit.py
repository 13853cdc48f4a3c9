"""Every act of a person leaves a record with who and when, and no phone, text or key."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from smsclick._cli.main import OPERATORS
from smsclick._importing.rows import Defaults
from smsclick.contract import State, callbacks
from tests.commandline import call
from tests.factories import LONG_AGO, PHONE, USER_PASSWORD, history, insert
from worker.callbacks import replay
from worker.callbacks.replay import Wanted
from worker.intake import dead_letters
from worker.operator import account, forgetting, message_changes, unknowns
from worker.operator.access import tokens, users
from worker.operator.access.users import Role
from worker.operator.imports import uploaded
from worker.operator.imports.uploaded import Upload
from worker.queue import optouts
from worker.restore import hold, recovery
from worker.sql import audit
from worker.sql.audit import Act

if TYPE_CHECKING:
    from collections.abc import Callable

    from smsclick._database.engine import Database

WHO = "Ana López <ana@example.com>"
TEXT = "Tu clave es 123456"


def _letter(database: Database) -> int:
    content = dead_letters.call_content("task-1", {"phone": PHONE, "text": TEXT, "key": "from a letter"})
    return database.transact(
        lambda connection: dead_letters.keep(
            connection, queue="q", task=dead_letters.CALL, task_id="task-1", reason="r", content=content
        )
    )


def _given_up(database: Database) -> Wanted:
    values = {"type": "t", "target": f"https://example.com/{PHONE}", "data": "{}", "event_id": "e", "due_at": None}
    row = {"message_id": insert(database)[0], "failed_at": LONG_AGO, **values}
    with database.begin() as connection:
        connection.execute(sa.insert(callbacks).values(**row))
    return Wanted()


def _unknown(database: Database) -> str:
    values: dict[str, Any] = {"token": "t", "unknown_since": LONG_AGO, "attempted_at": LONG_AGO, "attempts": 1}
    return f"id:{insert(database, state=State.UNKNOWN, **values)[0]}"


def _message(database: Database, **values: Any) -> list[str]:  # noqa: ANN401 - any column
    return [f"id:{each}" for each in insert(database, phone=PHONE, text=TEXT, key=f"k-{PHONE}", **values)]


def _user(database: Database) -> str:
    """A user of the page whom another person has added."""
    users.add(database, "eva", Role.OPERATOR, USER_PASSWORD, actor="another")
    return "eva"


def _token(database: Database) -> str:
    """A token that another person has created."""
    tokens.create(database, "desk", ["read"], actor="another")
    return "desk"


ACTS: dict[Act, Callable[[Database], Any]] = {
    Act.CANCEL: lambda db: list(message_changes.cancel(db, _message(db), actor=WHO)),
    Act.RETRY: lambda db: list(message_changes.retry(db, _message(db, state=State.FAILED), actor=WHO)),
    Act.SETTLE: lambda db: unknowns.decide(db, _unknown(db), 77, WHO),
    Act.IMPORT: lambda db: uploaded.store(
        db, Upload(b"phone,text\n5551402211,Hola", "a.csv", Defaults(), "k"), actor=WHO
    ),
    Act.HOLD: lambda db: account.hold(db, actor=WHO),
    Act.RESUME: lambda db: (account.hold(db, actor="bo"), account.resume(db, actor=WHO)),
    Act.RESTORED: lambda db: (_message(db), recovery.recover(db, LONG_AGO, None, actor=WHO)),
    Act.RESTORED_END: lambda db: (
        recovery.recover(db, LONG_AGO, None, actor="bo"),
        db.transact(lambda connection: hold.end_by_operator(connection, WHO)),
    ),
    Act.OPTOUT_ADD: lambda db: optouts.add(db, [PHONE], actor=WHO),
    Act.OPTOUT_REMOVE: lambda db: (optouts.add(db, [PHONE], actor="bo"), optouts.remove(db, [PHONE], actor=WHO)),
    Act.OPTOUT_IMPORT: lambda db: optouts.import_file(
        db,
        io.BytesIO(PHONE.encode()),
        name=f"{PHONE}.csv",
        report=lambda *_: None,
        summary=optouts.Summary(),
        actor=WHO,
    ),
    Act.DEAD_LETTER_RETRY: lambda db: list(dead_letters.retry(db, [_letter(db)], actor=WHO)),
    Act.CALLBACK_REPLAY: lambda db: replay.replay(db, _given_up(db), actor=WHO),
    Act.FORGET: lambda db: (_message(db), forgetting.forget(db, PHONE, actor=WHO)),
    Act.DEAD_LETTER_DROP: lambda db: dead_letters.drop(db, [_letter(db)], actor=WHO),
    Act.TOKEN_CREATE: lambda db: tokens.create(db, "shop", ["send"], actor=WHO),
    Act.TOKEN_REVOKE: lambda db: tokens.revoke(db, _token(db), actor=WHO),
    Act.USER_ADD: lambda db: users.add(db, "eva", Role.VIEWER, USER_PASSWORD, actor=WHO),
    Act.USER_PASSWORD: lambda db: users.set_password(db, _user(db), USER_PASSWORD, actor=WHO),
    Act.USER_REMOVE: lambda db: users.remove(db, _user(db), actor=WHO),
}


@pytest.mark.parametrize("act", list(Act))
def test_an_act_is_recorded_with_who_and_how_much_and_without_a_phone_a_text_or_a_key(
    database: Database, act: Act
) -> None:
    before = database.clock()
    ACTS[act](database)
    found = audit.listed(database)[0]
    assert (found.act, found.actor, found.count) == (act, WHO, 1)
    assert before <= found.at <= database.clock()
    assert not any(word in f"{each}" for each in audit.listed(database) for word in (PHONE, TEXT, "clave", "k-"))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_event_of_a_message_that_a_person_changed_names_the_person_and_no_other_event_does(
    database: Database,
) -> None:
    cancelled, failed = insert(database)[0], insert(database, state=State.FAILED)[0]
    list(message_changes.cancel(database, [f"id:{cancelled}"], actor=WHO))
    list(message_changes.retry(database, [f"id:{failed}"], actor=WHO))
    unknown = _unknown(database)
    unknowns.decide(database, unknown, 77, WHO)
    for message_id in (cancelled, failed, int(unknown.removeprefix("id:"))):
        assert [each.actor for each in history(database, message_id)] == [WHO]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_an_act_was_refused_is_counted_as_nothing(database: Database) -> None:
    names = [f"id:{each}" for each in insert(database, 2, state=State.SENT, id_mensaje=None)]
    done = list(message_changes.cancel(database, [*names, "none"], actor="ana"))
    assert all(each.problem for each in done)
    (found,) = audit.listed(database)
    assert (found.act, found.count, found.detail) == ("cancel", 0, "3 named")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_command_line_names_the_user_and_the_machine(database: Database) -> None:
    env = {"DATABASE_URL": database.engine.url.render_as_string(hide_password=False)}
    assert call("audit", env=env).out == "nothing was done by hand yet\n"
    assert call("hold", env=env).code == 0
    (found,) = call("audit", "--json", env=env).records
    assert found["act"] == "hold"
    assert all(found["actor"].split("@"))
    assert found["actor"] in call("audit", env=env).out
    assert "audit" in OPERATORS


@pytest.mark.parametrize(
    ("given", "stored"),
    [("ana", "ana"), ("a\nb\x1b[31m", "ab[31m"), ("", "unknown"), (" \u202e ", "unknown"), ("x" * 300, "x" * 100)],
)
def test_an_actors_name_can_always_be_stored_and_shown(given: str, stored: str) -> None:
    assert audit.name_of(given) == stored
