"""Every command that prints data, over rows whose every text was written by somebody hostile."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from smsclick._cli.main import OPERATORS
from smsclick.contract import (
    State,
    audit,
    callbacks,
    dead_letters,
    events,
    heartbeats,
    incidents,
    messages,
    optouts,
    tokens,
    users,
)
from smsclick.simulator import Simulator
from tests.commandline import call
from tests.factories import KEY, LONG_AGO, PHONE, insert
from tests.unit.test_harmless import acts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick._database.engine import Database

ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\x00\x7f\r"
HOSTILE = f"=1+1[bold red]M[/][link=http://x]{ESCAPES}\u202ecod.exe\u2066\u2028forged: delivered\u200f"
"""A formula, the markup of rich, escape sequences of seven and eight bits, marks of direction, a line of its own."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "show": ("show", "1"),
    "show --json": ("show", "1", "--json"),
    "find": ("find", PHONE),
    "find --json": ("find", PHONE, "--json"),
    "stats": ("stats",),
    "stats --json": ("stats", "--json"),
    "watch": ("watch",),
    "unknown": ("unknown",),
    "unknown --json": ("unknown", "--json"),
    "callbacks list": ("callbacks", "list"),
    "callbacks list --json": ("callbacks", "list", "--json"),
    "deadletters list": ("deadletters", "list"),
    "deadletters list --json": ("deadletters", "list", "--json"),
    "optout list": ("optout", "list"),
    "optout list --json": ("optout", "list", "--json"),
    "token list": ("token", "list"),
    "token list --json": ("token", "list", "--json"),
    "user list": ("user", "list"),
    "user list --json": ("user", "list", "--json"),
    "audit": ("audit",),
    "audit --json": ("audit", "--json"),
    "export": ("export",),
    "export csv": ("export", "--format", "csv"),
    "export csv with formulas": ("export", "--format", "csv", "--keep-formulas"),
    "export --phone": ("export", "--phone", PHONE),
    "cancel": ("cancel", HOSTILE, "id:1"),
    "retry": ("retry", HOSTILE, "id:2"),
    "deadletters retry": ("deadletters", "retry", "1"),
}
SILENT = {"doctor", "forget", "health", "hold", "metrics", "migrate", "restored", "resume", "settle", "up"}
"""Commands that print figures and words of ours only."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a database in which everything that somebody else can write is hostile."""
    from smsclick._database.engine import Database as Opened  # noqa: PLC0415 - typing only above
    from tests.conftest import migrate  # noqa: PLC0415

    url = migrate(f"sqlite:///{tmp_path_factory.mktemp('hostile') / 'sms.db'}")
    database = Opened(url)
    _fill(database)
    database.dispose()
    return {"DATABASE_URL": url}


def _fill(database: Database) -> None:
    text: dict[str, Any] = {
        "text": HOSTILE,
        "reference": HOSTILE,
        "last_error": HOSTILE,
        "reply": HOSTILE,
        "phone": PHONE,
    }
    for number, state in enumerate((State.UNKNOWN, State.FAILED, State.DELIVERED)):
        insert(
            database, **text, key=f"{HOSTILE}{number}", state=state, rule_id=HOSTILE[:30], unknown_since=LONG_AGO,
            attempted_at=LONG_AGO, unknown_reason=HOSTILE[:24],
        )  # fmt: skip
    rows: list[tuple[sa.Table, dict[str, Any]]] = [
        (users, {"name": HOSTILE[:100], "role": HOSTILE[:20], "password_hash": "h", "created_by": HOSTILE[:100]}),
        (tokens, {"name": HOSTILE[:100], "hash": "h", "scopes": HOSTILE[:40], "created_by": HOSTILE[:100]}),
        (
            events,
            {"message_id": 1, "from_state": HOSTILE[:12], "to_state": "failed", "cause": HOSTILE[:40], "attempt": 1},
        ),
        (events, {"message_id": 1, "from_state": "a", "to_state": "b", "cause": "answered", "attempt": 1}),
        (callbacks, {"message_id": 1, "event_id": HOSTILE[:36], "type": HOSTILE[:40], "target": HOSTILE, "data": "{}"}),
        (dead_letters, {"queue": HOSTILE, "task": HOSTILE, "task_id": HOSTILE, "reason": HOSTILE}),
        (optouts, {"phone": "6641234567", "reason": HOSTILE}),
        (audit, {"actor": HOSTILE[:100], "act": HOSTILE[:40], "detail": HOSTILE}),
        (incidents, {"kind": HOSTILE[:40], "subject": HOSTILE[:40], "open_key": "x", "detail": HOSTILE}),
        (heartbeats, {"name": f"worker:{HOSTILE}"}),
    ]
    with database.begin() as connection:
        for table, values in rows:
            more: dict[str, Any] = {}
            if table is events:
                more = {"description": HOSTILE, "actor": HOSTILE[:100]}
            if table is callbacks:
                more = {"receiver": HOSTILE, "last_error": HOSTILE}
            if table is dead_letters:
                more = {"content": json.dumps({"headers": {"task": HOSTILE}, "body": f"{HOSTILE}{PHONE}"})}
            connection.execute(sa.insert(table).values(**values, **more))
        connection.execute(sa.update(messages).values(callback=HOSTILE))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("columns", ["60", "400"])
def test_no_command_prints_what_acts_and_markup_stays_text(
    hostile: dict[str, str], command: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    ended = call(*COMMANDS[command], env=hostile)
    assert "unexpected" not in ended.err
    for stream in (ended.out, ended.err):
        assert [f"{each!r}" for each in stream if acts(each)] == []
    if command not in {"find", "find --json", "cancel", "retry", "deadletters retry"}:
        assert "[bold" in "".join(ended.out.split())


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if "json" in each or each in {"export", "export --phone"}]
)
def test_json_lines_keep_what_was_written(hostile: dict[str, str], command: str) -> None:
    records = call(*COMMANDS[command], env=hostile).records
    assert any(HOSTILE[:24] in str(each) for record in records for each in _values(record))


def _values(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _values(each)
    elif isinstance(value, list):
        for each in value:
            yield from _values(each)
    else:
        yield value


@pytest.mark.parametrize("command", ["export csv", "optout list"])
def test_no_cell_of_a_csv_begins_as_a_formula(hostile: dict[str, str], command: str) -> None:
    cells = [cell for line in csv.reader(io.StringIO(call(*COMMANDS[command], env=hostile).out)) for cell in line]
    assert any(cell.startswith("'=1+1") for cell in cells)
    assert [cell for cell in cells if cell.startswith(("=", "@", "+"))] == []


def test_what_the_provider_says_does_not_act_either() -> None:
    with Simulator(api_key=KEY, delivery_seconds=0) as provider:
        env = {"SMSCLICK_API_KEY": KEY, "SMSCLICK_BASE_URL": provider.base_url}
        for words in (("balance",), ("status", "1"), ("report", "2026-01-01", "2026-01-02")):
            ended = call(*words, env=env)
            assert [each for each in ended.out + ended.err if acts(each)] == []


def test_every_command_is_tried_here_or_prints_nothing_of_others() -> None:
    assert {words[0] for words in COMMANDS.values()} | SILENT >= OPERATORS
