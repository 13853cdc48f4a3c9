"""Callbacks that wait or were given up: listed, shown with their message, and delivered once more."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from smsclick.contract import callbacks
from tests.commandline import call
from tests.factories import LONG_AGO, insert, noted
from worker.callbacks import replay, store
from worker.callbacks.replay import CallbackState, Wanted
from worker.lifecycle.effects import Effects

if TYPE_CHECKING:
    from smsclick._database.engine import Database

DAY = dt.timedelta(days=1)
SECRET = "token-in-the-address"
SHOP = f"https://shop.example.com/hook?t={SECRET}"


def env_of(database: Database) -> dict[str, str]:
    return {"DATABASE_URL": database.engine.url.render_as_string(hide_password=False)}


def stored(database: Database, state: str, message_id: int, **values: Any) -> int:  # noqa: ANN401 - any column
    now = database.clock()
    fields: dict[str, Any] = {
        "given-up": {"receiver": None, "due_at": None, "failed_at": now, "tries": 9, "last_error": "HTTP 500"},
        "delivered": {"receiver": None, "due_at": None, "delivered_at": now, "tries": 1},
        "waiting": {"receiver": "shop.example.com", "due_at": now + DAY, "tries": 3, "last_error": "HTTP 503"},
        "claimed": {"receiver": "shop.example.com", "due_at": now + dt.timedelta(seconds=30), "tries": 1},
    }[state]
    row = {"event_id": f"e-{state}", "type": "message.sent", "target": SHOP, "data": "{}", "message_id": message_id}
    with database.begin() as connection:
        made = connection.execute(sa.insert(callbacks).values(**(row | fields | values))).inserted_primary_key
    assert made is not None
    return int(made[0])


def rows(database: Database) -> dict[int, Any]:
    with database.read() as connection:
        return {row.id: row for row in connection.execute(sa.select(callbacks))}


def test_what_was_given_up_is_due_again_and_a_worker_claims_it(database: Database) -> None:
    (message_id,) = insert(database)
    gone = stored(database, "given-up", message_id)
    with noted(database) as effects:
        assert replay.replay(database, Wanted(ids=[gone]), actor="ana") == 1
    assert Effects(callbacks=True) in effects
    row = rows(database)[gone]
    assert (row.receiver, row.failed_at, row.tries, row.event_id) == ("shop.example.com", None, 0, "e-given-up")
    [called], _ = database.transact(lambda connection: store.claim(connection, "shop.example.com", 10))
    assert called.id == gone


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((CallbackState.GIVEN_UP,), {"given-up"}),
        ((CallbackState.WAITING,), {"waiting"}),
        ((CallbackState.WAITING, CallbackState.GIVEN_UP), {"given-up", "waiting"}),
        ((), set()),
    ],
)
def test_a_replay_changes_what_is_meant_and_neither_a_delivered_one_nor_one_under_way(
    database: Database, states: tuple[CallbackState, ...], expected: set[str]
) -> None:
    ids = {
        state: stored(database, state, insert(database)[0]) for state in ("given-up", "waiting", "claimed", "delivered")
    }
    before = rows(database)
    assert replay.replay(database, Wanted(states=states), actor="ana") == len(expected)
    after = rows(database)
    assert {state for state, each in ids.items() if before[each] != after[each]} == expected


@pytest.mark.parametrize(
    ("field", "mine", "other", "wanted"),
    [
        ("created_at", LONG_AGO, LONG_AGO - DAY, {"since": LONG_AGO}),
        ("created_at", LONG_AGO, LONG_AGO + DAY, {"until": LONG_AGO}),
        ("target", SHOP, "celery:app.changed@other", {"receivers": ["shop.example.com"]}),
        ("target", "celery:app.changed@jobs", SHOP, {"receivers": ["celery:jobs"]}),
    ],
)
def test_each_field_of_a_filter_means_these_callbacks_and_no_others(
    database: Database,
    field: str,
    mine: object,
    other: object,
    wanted: dict[str, Any],
) -> None:
    first = stored(database, "given-up", insert(database)[0], **{field: mine})
    stored(database, "given-up", insert(database)[0], **{field: other})
    assert [each.id for each in replay.listed(database, Wanted(**wanted))] == [first]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_many_are_replayed_in_bounded_transactions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "ROWS_PER_TRANSACTION", 3)
    (message_id,) = insert(database)
    for _ in range(8):
        stored(database, "given-up", message_id)
    seen: list[int] = []
    assert replay.replay(database, Wanted(), actor="ana", progress=seen.append) == 8
    assert seen == [3, 6, 8]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_one_without_a_usable_address_is_listed_and_left_alone(database: Database) -> None:
    stored(database, "given-up", insert(database)[0], target="nowhere")
    assert [each.receiver for each in replay.listed(database, Wanted())] == ["(no address)"]
    assert replay.replay(database, Wanted(), actor="ana") == 0


# --- The command line


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_callbacks_are_listed_and_shown_without_their_address(database: Database) -> None:
    (message_id,) = insert(database)
    for state in ("given-up", "waiting", "delivered"):
        stored(database, state, message_id)
    env = env_of(database)
    listed = call("callbacks", "list", env=env)
    assert ("given-up" in listed.out, "waiting" in listed.out, "delivered" in listed.out) == (True, True, False)
    records = call("callbacks", "list", "--message", str(message_id), "--json", env=env).records
    assert [(each["state"], each["receiver"]) for each in records] == [
        ("given-up", "shop.example.com"),
        ("waiting", "shop.example.com"),
    ]
    shown = call("show", str(message_id), env=env)
    assert all(word in shown.out for word in ("Callbacks", "500", "503", "delivered", "shop.example.com"))
    as_json = call("show", str(message_id), "--json", env=env).records[0]["callbacks"]
    assert [each["state"] for each in as_json] == ["given-up", "waiting", "delivered"]
    assert SECRET not in listed.out + shown.out + json.dumps(records) + json.dumps(as_json)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_replay_asks_for_a_filter_and_not_for_ids(database: Database) -> None:
    gone, again = (stored(database, "given-up", insert(database)[0]) for _ in range(2))
    env = env_of(database)
    assert call("callbacks", "replay", env=env).code == 2
    assert call("callbacks", "replay", str(gone), "--state", "given-up", env=env).code == 2
    assert call("callbacks", "replay", "--state", "given-up", env=env).code == 2
    assert rows(database)[gone].failed_at is not None
    dry = call("callbacks", "replay", "--receiver", "shop.example.com", "--dry-run", env=env)
    assert dry.out == "2 callbacks would be replayed\n"
    assert call("callbacks", "replay", str(gone), env=env).out == "1 replayed\n"
    assert (rows(database)[gone].failed_at, rows(database)[again].failed_at is None) == (None, False)
    assert call("callbacks", "replay", "--state", "given-up", "--yes", env=env).out == "1 replayed\n"
    assert call("callbacks", "replay", "99", env=env).code == 1
