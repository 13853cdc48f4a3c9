"""Phones that are never written to: nothing leaves for them, however they are written and however they came."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from smsclick._values.causes import PHRASES, Cause
from smsclick.contract import optouts as table
from tests import one_sender
from tests.commandline import call
from tests.factories import PHONE, POLICY, change_account, history, insert, row, states
from worker.account import account_state
from worker.operator import message_changes
from worker.queue import claims, optouts

if TYPE_CHECKING:
    from pathlib import Path

    from smsclick._database.engine import Database
    from smsclick.simulator import Simulator
    from tests.integration.conftest import MakeRuntime
    from worker.runtime import Runtime


WORDS = PHRASES[Cause.OPTED_OUT]


def env_of(database: Database) -> dict[str, str]:
    return {"DATABASE_URL": database.engine.url.render_as_string(hide_password=False)}


@pytest.mark.parametrize("phone", [PHONE, "+52 1 55 5140 2211", "044 (55) 5140-2211"])
def test_nothing_is_sent_to_a_phone_that_opted_out_and_the_message_says_why(
    runtime: Runtime, simulator: Simulator, phone: str
) -> None:
    database = runtime.database
    optouts.add(database, ["55 5140 2211"], actor="ana")
    refused, other = insert(database, phone=phone, text="a")[0], insert(database, phone="6641234567", text="b")[0]
    one_sender.send(runtime, [refused, other])
    found = row(database, refused)
    assert (found.state, found.attempts, found.last_error, found.credits_used) == ("failed", 0, WORDS, None)
    assert [(e.to_state, e.cause, e.description) for e in history(database, refused)] == [
        ("sending", Cause.CLAIMED, None),
        ("failed", Cause.OPTED_OUT, None),
    ]
    shown = call("show", str(refused), env=env_of(database)).out
    assert re.search(rf"failed +│ {WORDS} │", shown), shown
    assert row(database, other).state == "sent"
    assert simulator.stats().requests["sendMsg"] == {"1": 1}


def test_an_opt_out_that_is_committed_before_the_claim_is_honoured_and_one_that_is_lifted_too(
    runtime: Runtime, simulator: Simulator
) -> None:
    database = runtime.database
    first, second = insert(database, phone=PHONE, text="a")[0], insert(database, phone=PHONE, text="b")[0]
    [claimed] = database.transact(lambda connection: claims.claim(connection, [first], 1, POLICY))
    assert not claimed.opted_out
    optouts.add(database, [PHONE], actor="ana")
    [claimed] = database.transact(lambda connection: claims.claim(connection, [second], 1, POLICY))
    assert claimed.opted_out
    third = insert(database, phone=PHONE, text="c")
    one_sender.send(runtime, third)
    optouts.remove(database, [PHONE], actor="ana")
    list(message_changes.retry(database, [str(each) for each in third], actor="ana"))
    one_sender.send(runtime, third)
    assert states(database) == ["sending", "sending", "sent"]
    assert len(simulator.ledger()) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_canary_that_opted_out_gives_way_to_another_at_once(runtime: Runtime, simulator: Simulator) -> None:
    database = runtime.database
    optouts.add(database, [PHONE], actor="ana")
    [message_id] = insert(database)
    change_account(database, hold_reason="no_balance", canary_id=message_id)
    one_sender.send(runtime, [message_id])
    assert states(database) == ["failed"]
    with database.read() as connection:
        now = account_state.read(connection)
    assert (now.canary_id, now.is_open, now.probe_at <= now.now) == (None, False, True)
    assert simulator.ledger() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_stopping_worker_still_records_the_opt_out(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime()
    optouts.add(runtime.database, [PHONE], actor="ana")
    runtime.stopping.set()
    one_sender.send(runtime, insert(runtime.database))
    assert states(runtime.database) == ["failed"]


def test_what_is_no_phone_is_not_read_as_one_that_opted_out(database: Database) -> None:
    optouts.add(database, [PHONE], actor="ana")
    insert(database, phone=f"{PHONE}9", text="a")
    [claimed] = database.transact(lambda connection: claims.claim(connection, None, 1, POLICY))
    assert not claimed.opted_out


# --- The commands


def test_phones_are_added_listed_and_removed(database: Database) -> None:
    env = env_of(database)
    added = call("optout", "add", "55 5140 2211", "+526641234567", "--reason", "Pidió baja", env=env)
    assert (added.code, added.out) == (0, "2 added, 0 already known\n")
    assert call("optout", "add", PHONE, env=env).out == "0 added, 1 already known\n"
    assert call("optout", "add", "6641234567", "123", env=env).complaint.startswith("smsclick: the phone … is not a")
    assert [(each["phone"], each["reason"]) for each in call("optout", "list", "--json", env=env).records] == [
        (PHONE, "Pidió baja"),
        ("6641234567", "Pidió baja"),
    ]
    assert call("optout", "remove", PHONE, "5551402299", env=env).out == "1 removed, 1 not on the list\n"
    assert len(call("optout", "list", env=env).out.splitlines()) == 2


def test_an_import_adds_the_good_lines_and_reports_the_bad_ones(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "bajas.csv"
    many = "".join(f"555140{n:04d},\n" for n in range(1200))
    file.write_text(f"\ufefftelefono,motivo\n{PHONE},queja\n123,x\n\n55 5140 2211,otra vez\n{many}", encoding="utf-8")
    ended = call("optout", "import", str(file), env=env_of(database))
    assert ended.code == 1
    assert ended.err.splitlines() == [
        "line 3: the phone … is not a Mexican number: give ten digits, for example 5551402211 or +52 55 5140 2211",
        "1201 added, 1 already known, 1 refused",
    ]
    again = call("optout", "list", env=env_of(database))
    assert len(again.out.splitlines()) == 1202
    assert call("optout", "import", "-", env=env_of(database), stdin=again.out.encode()).err == (
        "0 added, 1201 already known, 0 refused\n"
    )


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "content",
    [
        b"telefono;motivo\r\n5551402211;no m\xe1s\r\n6641234567;\r\n",
        "\ufeffTeléfono\tMotivo\t\n5551402211\tno más\t\n\t\t\n6641234567\t\t\n".encode("utf-16-le"),
        'sep=;\nnombre;TELÉFONO;Motivo\nAna;\'5551402211;no más\nLuis;="6641234567";\n'.encode(),
        '{"telefono": 5551402211, "motivo": "no más"}\n{"phone": "6641234567"}\n'.encode(),
        b"5551402211\r6641234567\r",
    ],
    ids=["Windows-1252", "UTF-16 with tabs", "Excel's", "JSON lines", "an old Mac's"],
)
def test_opt_outs_are_read_as_other_files_are(database: Database, content: bytes) -> None:
    ended = call("optout", "import", "-", env=env_of(database), stdin=content)
    assert (ended.code, ended.err) == (0, "2 added, 0 already known, 0 refused\n")
    assert [each.phone for each in optouts.listed(database)] == ["5551402211", "6641234567"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_quote_that_is_never_closed_costs_only_its_line(database: Database) -> None:
    """Each phone that would be swallowed with it would still be written to."""
    many = "".join(f"555140{n:04d},\n" for n in range(300))
    content = f'phone,reason\n5551402211,"queja\n{many}'
    ended = call("optout", "import", "-", env=env_of(database), stdin=content.encode())
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == "300 added, 0 already known, 1 refused"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_import_without_a_header_is_a_list_of_phones_and_binary_data_is_refused(database: Database) -> None:
    env = env_of(database)
    assert call("optout", "import", "-", env=env, stdin=f"{PHONE}\n6641234567\n".encode()).code == 0
    refused = call("optout", "import", "-", env=env, stdin=b"5551402212\nNo m\xa4s\n").complaint
    assert "the file's encoding cannot be recognised" in refused
    assert call("optout", "import", "/none/such.csv", env=env).complaint.startswith("smsclick: /none/such.csv cannot")
    with database.read() as connection:
        assert len(connection.execute(table.select()).all()) == 2
