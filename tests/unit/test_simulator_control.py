"""The simulator's own pages, from the same process and over HTTP."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from smsclick.errors import SmsclickError
from smsclick.simulator import Fault, FaultKind, LedgerEntry, Simulator, SimulatorClient, SimulatorSettings

pytest_plugins = ["smsclick.simulator.pytest_plugin"]

KEY = "prueba"
START = 1_767_204_000.0


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(api_key=KEY, balance=100, clock=lambda: START) as simulator:
        yield simulator


@pytest.fixture
def client(sim: Simulator) -> SimulatorClient:
    return SimulatorClient(sim.base_url)


def send(sim: Simulator, **more: str) -> int:
    fields = {"APIKEY": KEY, "TELEFONO": "5551402211", "MENSAJE": "mañana"} | more
    return requests.post(f"{sim.base_url}/sendMsg.json", data=fields, timeout=60).status_code


def control(sim: Simulator, name: str) -> str:
    return sim.base_url.replace("/sms-services", f"/_simulator/{name}")


def test_the_ledger_is_the_same_over_http(sim: Simulator, client: SimulatorClient) -> None:
    send(sim, ID_REGLA_INTERACTIVA="2")
    send(sim)
    assert client.ledger() == sim.ledger()
    assert [entry.rule_id for entry in client.ledger()] == ["2", None]


def test_a_ledger_entry_says_all_about_a_message(sim: Simulator) -> None:
    send(sim)
    (entry,) = sim.ledger()
    assert entry == LedgerEntry(entry.id_mensaje, "5551402211", "mañana", START, 1, 0, None, None)


def test_the_ledger_is_json_lines(sim: Simulator) -> None:
    send(sim)
    answer = requests.get(control(sim, "ledger"), timeout=60)
    assert answer.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert [json.loads(line)["text"] for line in answer.content.splitlines()] == ["mañana"]


def test_an_empty_ledger_is_empty_over_http(client: SimulatorClient) -> None:
    assert client.ledger() == []


def test_a_long_ledger_comes_whole(sim: Simulator, client: SimulatorClient) -> None:
    sim.set(balance=5000)
    with requests.Session() as session:
        for number in range(600):
            fields = {"APIKEY": KEY, "TELEFONO": "5551402211", "MENSAJE": f"número {number}"}
            session.post(f"{sim.base_url}/sendMsg.json", data=fields, timeout=60)
    assert [entry.text for entry in client.ledger()] == [f"número {number}" for number in range(600)]


def test_the_ledger_can_be_read_after_the_stop(sim: Simulator) -> None:
    send(sim)
    sim.stop()
    assert len(sim.ledger()) == 1


def test_stats_count_requests_by_endpoint_and_outcome(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.HTTP_500_AFTER, count=1)])
    send(sim)
    send(sim)
    send(sim, TELEFONO="1")
    requests.post(f"{sim.base_url}/credits.json", data={}, timeout=60)
    requests.get(f"{sim.base_url}/report.json", timeout=60)
    requests.get(f"{sim.base_url}/nada", timeout=60)
    stats = sim.stats()
    assert stats.requests == {
        "sendMsg": {"http_500_after": 1, "1": 1, "-102": 1},
        "credits": {"-100": 1},
        "report": {"405": 1},
        "other": {"404": 1},
    }
    assert (stats.accepted, stats.balance) == (2, 98)
    assert (stats.in_flight, stats.max_in_flight) == (0, 1)


def test_stats_count_arrivals_by_second(sim: Simulator) -> None:
    send(sim)
    send(sim, TELEFONO="1")
    assert sim.stats().sends_per_second == {int(START): 2}


def test_the_simulators_own_pages_are_not_counted(sim: Simulator, client: SimulatorClient) -> None:
    client.ledger()
    client.set(balance=5)
    stats = client.stats()
    assert (stats.requests, stats.max_in_flight) == ({}, 0)


def test_stats_are_the_same_over_http(sim: Simulator, client: SimulatorClient) -> None:
    send(sim)
    assert client.stats().requests == sim.stats().requests
    assert client.stats().sends_per_second == sim.stats().sends_per_second


def test_faults_can_be_set_and_cleared_over_http(sim: Simulator, client: SimulatorClient) -> None:
    client.faults([Fault(FaultKind.HTTP_503_BEFORE)])
    assert send(sim) == 503
    client.faults()
    assert send(sim) == 200


def test_faults_can_be_deleted(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.HTTP_503_BEFORE)])
    assert requests.delete(control(sim, "faults"), timeout=60).status_code == 200
    assert send(sim) == 200


def test_faults_need_no_more_than_a_kind(sim: Simulator) -> None:
    assert requests.post(control(sim, "faults"), json=[{"kind": "http_502_before"}], timeout=60).ok
    assert send(sim) == 502


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("[{}]", "faults refused: 0.kind: Field required"),
        ('[{"kind": "cut", "speed": 3}]', "faults refused: 0.speed: Unexpected keyword argument"),
        ('{"kind": "cut"}', "faults refused: Input should be a valid array"),
        ("nada", "faults refused: Invalid JSON"),
    ],
)
def test_wrong_faults_are_refused_in_one_line(sim: Simulator, body: str, line: str) -> None:
    answer = requests.post(control(sim, "faults"), data=body, timeout=60)
    assert answer.status_code == 400
    assert answer.text.startswith(line)
    assert answer.text.count("\n") == 1


def test_settings_can_be_changed_over_http(sim: Simulator, client: SimulatorClient) -> None:
    client.set(balance=7, api_key="nueva", reject_phones=frozenset({"5551402211"}), delivery_seconds=0)
    send(sim, APIKEY="nueva")
    assert (sim.api_key, sim.stats().balance, sim.ledger()[0].estatus) == ("nueva", 6, 4)


def test_balance_can_be_added(sim: Simulator) -> None:
    send(sim)
    sim.set(add_balance=50)
    assert sim.stats().balance == 149


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"balnce": 5}, "unknown setting 'balnce'; known are api_key, balance, "),
        ({"balance": "mucho"}, "setting refused: balance: Input should be a valid integer"),
        ({"reject_rate": 2}, "setting refused: reject_rate: Input should be less than or equal to 1"),
        ({"timezone": "Marte/Base"}, "setting refused: timezone: "),
        ({"add_balance": 1.5}, "setting refused: add_balance: must be a whole number"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(
    sim: Simulator, client: SimulatorClient, settings: dict[str, object], line: str
) -> None:
    with pytest.raises(SmsclickError) as here:
        sim.set(**settings)
    with pytest.raises(SmsclickError) as there:
        client.set(**settings)
    assert str(here.value).startswith(line)
    assert str(there.value) == f"the simulator answered 400: {here.value}"


def test_refused_settings_change_nothing(sim: Simulator) -> None:
    with pytest.raises(SmsclickError):
        sim.set(balance=1, add_balance=5, reject_rate=2)
    assert sim.stats().balance == 100


def test_an_unknown_setting_is_refused_before_the_start() -> None:
    with pytest.raises(SmsclickError, match="unknown setting 'balnce'"):
        Simulator(balnce=5)


def test_settings_that_are_no_object_are_refused(sim: Simulator) -> None:
    answer = requests.post(control(sim, "settings"), data="[1]", timeout=60)
    assert (answer.status_code, answer.text) == (
        400,
        'the body must be one JSON object, such as {"balance": 500}\n',
    )


def test_a_status_can_be_forced_over_http(sim: Simulator, client: SimulatorClient) -> None:
    send(sim)
    client.force_status(sim.ledger()[0].id_mensaje, 4)
    assert sim.ledger()[0].estatus == 4


def test_a_reset_brings_everything_back_to_the_start(sim: Simulator, client: SimulatorClient) -> None:
    send(sim)
    client.set(balance=5, reject_rate=1)
    client.faults([Fault(FaultKind.RESET_BEFORE)])
    client.reset()
    assert sim.ledger() == []
    assert (sim.stats().balance, sim.stats().requests) == (100, {})
    assert send(sim) == 200


def test_the_address_may_come_without_the_base_path(sim: Simulator) -> None:
    assert SimulatorClient(sim.base_url.removesuffix("/sms-services") + "/").ledger() == []


def test_an_unknown_page_of_its_own_is_not_found(sim: Simulator) -> None:
    assert requests.get(control(sim, "nada"), timeout=60).status_code == 404
    assert requests.post(control(sim, "ledger"), timeout=60).status_code == 405


def test_a_client_says_so_when_nobody_is_there(sim: Simulator, client: SimulatorClient) -> None:
    sim.stop()
    with pytest.raises(SmsclickError, match=r"no simulator answers at http://127\.0\.0\.1:\d+/_simulator/"):
        client.stats()


def test_the_key_is_not_in_the_settings_text() -> None:
    assert "secreta" not in repr(SimulatorSettings(api_key="secreta"))


def test_the_fixture_for_other_projects_is_a_running_simulator(smsclick_simulator: Simulator) -> None:
    fields = {"APIKEY": smsclick_simulator.api_key, "TELEFONO": "5551402211", "MENSAJE": "hola"}
    requests.post(f"{smsclick_simulator.base_url}/sendMsg.json", data=fields, timeout=60)
    assert [entry.text for entry in smsclick_simulator.ledger()] == ["hola"]


def test_serve_runs_until_it_is_stopped() -> None:
    script = (
        "from smsclick.simulator import SimulatorSettings, serve\n"
        "serve(0, SimulatorSettings(balance=42), on_ready=lambda url: print(url, flush=True))\n"
        "print('fin')"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        client = SimulatorClient(process.stdout.readline().strip())
        assert client.stats().balance == 42
        process.terminate()
        assert process.stdout.read() == "fin\n"
    assert process.returncode == 0
