"""The commands that ask the provider, against the simulator in this process."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from smsclick._cli.provider_commands import parse_statuses
from smsclick._values.times import parse_time_or_day
from smsclick.errors import InvalidField, InvalidTime
from smsclick.provider.client import SmsclickClient
from smsclick.provider.results import Accepted
from smsclick.simulator import Fault, FaultKind, Simulator
from tests.commandline import call
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ZONE = ZoneInfo("America/Mexico_City")
KEY = "a-key-that-nobody-may-see"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(api_key=KEY, balance=42, delivery_seconds=0, delivery_spread=0) as running:
        yield running


@pytest.fixture
def env(simulator: Simulator) -> dict[str, str]:
    return {"SMSCLICK_BASE_URL": simulator.base_url, "SMSCLICK_API_KEY": KEY}


def send(simulator: Simulator, phone: str, text: str) -> int:
    with SmsclickClient(KEY, simulator.base_url) as client:
        result = client.send(phone, text)
    assert isinstance(result, Accepted)
    return result.id_mensaje


def test_balance_is_json_in_a_pipe_as_other_answers_are(env: dict[str, str]) -> None:
    assert call("balance", env=env).records == [{"credits": 42}]
    assert call("balance", "--json", env=env).records == [{"credits": 42}]


def test_status_is_a_record_for_programs(simulator: Simulator, env: dict[str, str]) -> None:
    id_mensaje = send(simulator, "5551402211", "Mañana")
    (record,) = call("status", str(id_mensaje), env=env).records
    assert (record["id_mensaje"], record["estatus_mensaje"]) == (id_mensaje, 3)
    assert (record["phone"], record["text"], record["reply"]) == ("5551402211", "Mañana", None)
    assert record["fecha_envio"].endswith("Z")


def test_report_gives_one_record_a_message_and_filters_by_status(simulator: Simulator, env: dict[str, str]) -> None:
    ids = [send(simulator, "5551402211", f"Hola {n}") for n in range(3)]
    simulator.force_status(ids[1], 4)
    whole = call("report", "2020-01-01", "2999-12-31", env=env)
    assert {record["id_mensaje"] for record in whole.records} == set(ids)
    rejected = call("report", "01-01-2020 00:00:00", "31-12-2999 23:59:59", "--status", "2,4", env=env)
    assert [record["id_mensaje"] for record in rejected.records] == [ids[1]]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("status", "12345"), "-201 (ID_MENSAJE does not exist)"),
        (("report", "mañana", "2026-01-01"), "'mañana' is no time"),
        (("report", "2026-01-02", "2026-01-01"), "ends before it begins"),
        (("report", "2026-01-01", "2026-01-02", "--status", "2;3"), "--status: write numbers"),
        (("report", "2026-01-01", "2026-01-02", "--status", "9"), "some of 0, 1, 2, 3 and 4"),
        (("report", "2026-01-01", "2026-01-02", "--campaign", "x"), "-303"),
    ],
)
def test_a_question_that_is_wrong_is_one_line(env: dict[str, str], words: tuple[str, ...], reason: str) -> None:
    assert reason in call(*words, env=env).complaint


@pytest.mark.parametrize("words", [("balance",), ("status", "1"), ("report", "2026-01-01", "2026-01-02")])
def test_a_refused_key_says_which_variable_to_check(env: dict[str, str], words: tuple[str, ...]) -> None:
    complaint = call(*words, env=env | {"SMSCLICK_API_KEY": "another-key"}).complaint
    assert "-101" in complaint
    assert "SMSCLICK_API_KEY" in complaint
    assert "another-key" not in complaint


def test_no_key_at_all_is_one_line(env: dict[str, str]) -> None:
    complaint = call("balance", env={"SMSCLICK_BASE_URL": env["SMSCLICK_BASE_URL"]}).complaint
    assert complaint.startswith("smsclick: SMSCLICK_API_KEY: not set")


def test_a_simulator_that_is_not_there_is_one_line_that_names_the_setting() -> None:
    env = {"SMSCLICK_BASE_URL": f"http://127.0.0.1:{free_port()}/sms-services", "SMSCLICK_API_KEY": KEY}
    complaint = call("balance", env=env).complaint
    assert "the connection was refused" in complaint
    assert "SMSCLICK_BASE_URL (http://127.0.0.1:" in complaint


def test_an_answer_that_cannot_be_read_is_one_line(simulator: Simulator, env: dict[str, str]) -> None:
    simulator.faults([Fault(FaultKind.HTML_BEFORE, endpoints=("credits",))])
    assert "could not be read" in call("balance", env=env).complaint


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("2026-11-22", "2026-11-22T00:00:00-06:00"),
        ("2026-11-22T09:30", "2026-11-22T09:30:00-06:00"),
        ("2026-11-22 09:30:15", "2026-11-22T09:30:15-06:00"),
        ("2026-11-22T09:30:00Z", "2026-11-22T09:30:00+00:00"),
        ("22-11-2026 09:30:15", "2026-11-22T09:30:15-06:00"),
        ("22-11-2026", "2026-11-22T00:00:00-06:00"),
    ],
)
def test_a_time_may_be_written_in_either_form(word: str, expected: str) -> None:
    assert parse_time_or_day(word, ZONE) == dt.datetime.fromisoformat(expected)


@pytest.mark.parametrize("word", ["2026-11-22", "22-11-2026"])
def test_a_day_alone_can_mean_its_end(word: str) -> None:
    assert parse_time_or_day(word, ZONE, end_of_day=True) == dt.datetime(2026, 11, 22, 23, 59, 59, tzinfo=ZONE)


@pytest.mark.parametrize("word", ["", "22-13-2026", "hoy", "2026-11-22T25:00"])
def test_what_is_no_time_is_refused(word: str) -> None:
    with pytest.raises(InvalidTime):
        parse_time_or_day(word, ZONE)


def test_statuses_are_numbers_between_commas() -> None:
    assert parse_statuses("2, 3,4") == [2, 3, 4]
    for wrong in ("", "2,,3", "a", "-1"):
        with pytest.raises(InvalidField):
            parse_statuses(wrong)
