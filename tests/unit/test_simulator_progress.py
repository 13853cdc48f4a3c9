"""How messages come along with time: status, reply, report; all on a clock that the test holds."""

from collections.abc import Iterator

import pytest
import requests

from smsclick.errors import SmsclickError
from smsclick.simulator import Simulator
from tests.manual_clock import START, Clock

KEY = "prueba"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sim(clock: Clock) -> Iterator[Simulator]:
    with Simulator(api_key=KEY, delivery_seconds=100, delivery_spread=0, clock=clock) as simulator:
        yield simulator


def send(sim: Simulator, phone: str = "5551402211", text: str = "hola", **more: str) -> int:
    fields = {"APIKEY": KEY, "TELEFONO": phone, "MENSAJE": text} | more
    answer = requests.post(f"{sim.base_url}/sendMsg.json", data=fields, timeout=60).json()
    assert answer["codigo"] == 1
    return int(answer["id_mensaje"])


def status(sim: Simulator, id_mensaje: int) -> int:
    fields = {"APIKEY": KEY, "ID_MENSAJE": str(id_mensaje)}
    answer = requests.post(f"{sim.base_url}/getMsg.json", data=fields, timeout=60).json()
    return int(answer["estatus_mensaje"])


def reported(
    sim: Simulator, start: str = "01-01-2025 00:00:00", end: str = "31-12-2026 23:59:59", **more: str
) -> list[int]:
    fields = {"APIKEY": KEY, "FECHA_INICIO": start, "FECHA_FIN": end} | more
    answer = requests.post(f"{sim.base_url}/report.json", data=fields, timeout=60).json()
    return [row["id_mensaje"] for row in answer["mensajes"]]


def test_a_message_goes_from_pending_to_received(sim: Simulator, clock: Clock) -> None:
    id_mensaje = send(sim)
    seen = []
    for second in (0, 9, 10, 29, 30, 99, 100, 5000):
        clock.now = START + second
        seen.append(status(sim, id_mensaje))
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3]


def test_without_delay_a_message_is_received_at_once(sim: Simulator) -> None:
    sim.set(delivery_seconds=0)
    assert status(sim, send(sim)) == 3


@pytest.mark.parametrize(
    "setting",
    [
        {"reject_phones": ["5551402211"]},
        {"reject_suffixes": ["11"]},
        {"reject_texts": ["ol"]},
        {"reject_rate": 1},
    ],
)
def test_a_message_can_be_rejected(sim: Simulator, clock: Clock, setting: dict[str, object]) -> None:
    sim.set(**setting)
    id_mensaje = send(sim)
    clock.now += 100
    assert status(sim, id_mensaje) == 4


@pytest.mark.parametrize("setting", [{"never_phones": ["5551402211"]}, {"never_rate": 1}])
def test_a_message_can_stay_at_sent_for_good(sim: Simulator, clock: Clock, setting: dict[str, object]) -> None:
    sim.set(**setting)
    id_mensaje = send(sim)
    clock.now += 1e9
    assert status(sim, id_mensaje) == 2


def test_a_changed_delay_counts_for_later_messages_only(sim: Simulator) -> None:
    first = send(sim)
    sim.set(delivery_seconds=0)
    assert [status(sim, first), status(sim, send(sim))] == [0, 3]


def test_rates_are_kept_on_average_and_repeat_with_the_seed() -> None:
    def verdicts() -> list[int]:
        with Simulator(api_key=KEY, delivery_seconds=0, reject_rate=0.3, never_rate=0.2, seed=5, clock=Clock()) as sim:
            for number in range(300):
                send(sim, f"55{number:08d}")
            return [entry.estatus for entry in sim.ledger()]

    first = verdicts()
    assert 60 < first.count(4) < 120
    assert 35 < first.count(2) < 85
    assert first == verdicts()


def test_delays_spread_around_their_median(sim: Simulator, clock: Clock) -> None:
    sim.set(delivery_spread=0.5)
    for number in range(200):
        send(sim, f"55{number:08d}")
    clock.now += 100
    received = sum(entry.estatus == 3 for entry in sim.ledger())
    assert 70 < received < 130


def test_an_interactive_message_is_replied_to_after_its_delivery(sim: Simulator, clock: Clock) -> None:
    sim.set(reply_seconds=20, reply_text="NO")
    send(sim, ID_REGLA_INTERACTIVA="1")
    clock.now += 119
    assert sim.ledger()[0].reply is None
    clock.now += 1
    assert sim.ledger()[0].reply == "NO"


def test_a_message_without_a_rule_gets_no_reply(sim: Simulator, clock: Clock) -> None:
    send(sim)
    clock.now += 1e6
    assert sim.ledger()[0].reply is None


def test_a_rejected_interactive_message_gets_no_reply(sim: Simulator, clock: Clock) -> None:
    sim.set(reject_rate=1)
    send(sim, ID_REGLA_INTERACTIVA="1")
    clock.now += 1e6
    assert sim.ledger()[0].reply is None


def test_which_rules_exist_can_be_set(sim: Simulator) -> None:
    sim.set(rules=["promo-7"])
    send(sim, ID_REGLA_INTERACTIVA="promo-7")
    assert sim.ledger()[0].rule_id == "promo-7"


def test_a_forced_status_may_go_backwards(sim: Simulator, clock: Clock) -> None:
    id_mensaje = send(sim)
    clock.now += 100
    sim.force_status(id_mensaje, 1)
    assert status(sim, id_mensaje) == 1


def test_an_unknown_message_cannot_be_forced(sim: Simulator) -> None:
    with pytest.raises(SmsclickError, match="no message 7"):
        sim.force_status(7, 3)


def test_the_report_shows_a_message_only_after_the_lag(sim: Simulator, clock: Clock) -> None:
    sim.set(report_lag=60)
    id_mensaje = send(sim)
    clock.now += 59
    assert reported(sim) == []
    assert status(sim, id_mensaje) == 2
    clock.now += 1
    assert reported(sim) == [id_mensaje]


def test_the_report_includes_both_seconds_of_its_window(sim: Simulator, clock: Clock) -> None:
    ids = []
    for second in (0, 1.9, 2.0, 2.99, 3):
        clock.now = START + second
        ids.append(send(sim))
    assert reported(sim, "31-12-2025 12:00:01", "31-12-2025 12:00:02") == ids[1:4]


def test_a_window_that_ends_before_it_begins_is_empty(sim: Simulator) -> None:
    send(sim)
    assert reported(sim, "31-12-2026 00:00:00", "01-01-2025 00:00:00") == []


def test_the_report_filters_by_several_statuses(sim: Simulator, clock: Clock) -> None:
    sim.set(reject_phones=["5500000004"], never_phones=["5500000002"])
    received, rejected, sent = send(sim), send(sim, "5500000004"), send(sim, "5500000002")
    clock.now += 100
    assert reported(sim, ESTATUS_MENSAJE="3,4") == [received, rejected]
    assert reported(sim, ESTATUS_MENSAJE="2") == [sent]
    assert reported(sim, ESTATUS_MENSAJE=" 2 , 3 ") == [received, sent]


def test_the_report_filters_by_campaign(sim: Simulator) -> None:
    send(sim)
    sim.set(campaign_id=12)
    id_mensaje = send(sim)
    assert reported(sim, ID_CAMPANIA="12") == [id_mensaje]
    assert reported(sim, ID_CAMPANIA="13") == []


def test_a_long_report_is_complete_and_in_order(sim: Simulator) -> None:
    with requests.Session() as session:
        for number in range(600):
            fields = {"APIKEY": KEY, "TELEFONO": f"55{number:08d}", "MENSAJE": f"número {number}"}
            session.post(f"{sim.base_url}/sendMsg.json", data=fields, timeout=60)
    ids = [entry.id_mensaje for entry in sim.ledger()]
    assert reported(sim) == ids
    assert len(ids) == 600


@pytest.mark.parametrize(
    ("form", "given_back"),
    [("exact", "  señor  Ñu "), ("ascii", "  senor  Nu "), ("collapsed", "señor Ñu")],
)
def test_the_provider_may_give_a_text_back_in_another_form(sim: Simulator, form: str, given_back: str) -> None:
    sim.set(text_form=form)
    id_mensaje = send(sim, text="  señor  Ñu ")
    fields = {"APIKEY": KEY, "ID_MENSAJE": str(id_mensaje)}
    answer = requests.post(f"{sim.base_url}/getMsg.json", data=fields, timeout=60).json()
    assert answer["mensaje"] == given_back
    assert sim.ledger()[0].text == "  señor  Ñu "


def test_dates_are_in_the_zone_that_was_set(sim: Simulator) -> None:
    sim.set(timezone="UTC")
    id_mensaje = send(sim)
    fields = {"APIKEY": KEY, "ID_MENSAJE": str(id_mensaje)}
    answer = requests.post(f"{sim.base_url}/getMsg.json", data=fields, timeout=60).json()
    assert answer["fecha_envio"] == "31-12-2025 18:00:00"


def test_a_clock_that_goes_back_does_not_disorder_the_messages(sim: Simulator, clock: Clock) -> None:
    first = send(sim)
    clock.now -= 3600
    second = send(sim)
    assert reported(sim) == [first, second]
    assert [entry.accepted_at for entry in sim.ledger()] == [START, START]


def test_ids_ascend_one_by_one(sim: Simulator) -> None:
    ids = [send(sim) for _ in range(5)]
    assert ids == list(range(ids[0], ids[0] + 5))


def test_ids_are_new_after_a_restart_even_on_the_same_clock(clock: Clock) -> None:
    seen: list[int] = []
    for _ in range(3):
        with Simulator(api_key=KEY, clock=clock) as sim:
            seen += [send(sim) for _ in range(3)]
    assert len(set(seen)) == 9
    assert seen == sorted(seen)


def test_ids_are_new_after_a_reset(sim: Simulator) -> None:
    before = [send(sim) for _ in range(3)]
    sim.reset()
    assert send(sim) > max(before)
