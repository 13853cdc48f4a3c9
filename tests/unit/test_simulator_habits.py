"""What providers do that the manual does not say, set through the control API; on a clock that the test holds."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import requests

from smsclick.errors import SmsclickError
from smsclick.simulator import Fault, FaultKind, Simulator, SimulatorClient
from tests.manual_clock import START, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "prueba"
OTHER = "otra"
NOON = "31-12-2025 12:00:00"
EVER = ("01-01-2025 00:00:00", "31-12-2026 23:59:59")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sim(clock: Clock) -> Iterator[Simulator]:
    with Simulator(api_key=KEY, balance=1_234_567, delivery_seconds=0, clock=clock) as simulator:
        yield simulator


@pytest.fixture
def control(sim: Simulator) -> SimulatorClient:
    return SimulatorClient(sim.base_url)


def call(sim: Simulator, endpoint: str, **fields: str) -> requests.Response:
    return requests.post(f"{sim.base_url}/{endpoint}.json", data={"APIKEY": KEY} | fields, timeout=60)


def send(sim: Simulator, phone: str = "5551402211", text: str = "hola", **more: str) -> int:
    answer = call(sim, "sendMsg", TELEFONO=phone, MENSAJE=text, **more).json()
    assert answer["codigo"] == 1
    return int(answer["id_mensaje"])


def rows(sim: Simulator, span: tuple[str, str] = EVER, **more: str) -> list[dict[str, Any]]:
    answer = call(sim, "report", FECHA_INICIO=span[0], FECHA_FIN=span[1], **more).json()
    found: list[dict[str, Any]] = answer["mensajes"]
    return found


def one(sim: Simulator, id_mensaje: int, **more: str) -> dict[str, Any]:
    answer: dict[str, Any] = call(sim, "getMsg", ID_MENSAJE=str(id_mensaje), **more).json()
    return answer


def test_texts_come_back_with_words_around_them(sim: Simulator, control: SimulatorClient) -> None:
    control.set(text_prefix="ACME: ", text_suffix=" Responda BAJA")
    shown = "ACME: hola Responda BAJA"
    assert (one(sim, send(sim))["mensaje"], rows(sim)[0]["mensaje"]) == (shown, shown)
    assert control.ledger()[0].text == "hola"


def test_phones_are_masked_from_the_left(sim: Simulator, control: SimulatorClient) -> None:
    control.set(phone_mask=6)
    assert (one(sim, send(sim))["telefono"], rows(sim)[0]["telefono"]) == ("XXXXXX2211", "XXXXXX2211")
    control.set(phone_mask=0)
    assert rows(sim)[0]["telefono"] == 5551402211


@pytest.mark.parametrize(("first", "kept"), [("newest", [4, 3]), ("oldest", [0, 1])])
def test_a_report_has_only_so_many_rows_and_says_nothing_of_the_rest(
    sim: Simulator, clock: Clock, control: SimulatorClient, first: str, kept: list[int]
) -> None:
    ids = []
    for _ in range(5):
        ids.append(send(sim))
        clock.now += 1
    control.set(report_cap=2, report_cap_first=first)
    assert [ids.index(row["id_mensaje"]) for row in rows(sim)] == kept


def test_a_capped_report_counts_only_the_rows_that_were_asked_for(sim: Simulator, control: SimulatorClient) -> None:
    first = send(sim)
    control.set(reject_rate=1)
    send(sim)
    control.set(report_cap=1)
    assert [row["id_mensaje"] for row in rows(sim, ESTATUS_MENSAJE="3")] == [first]


def test_a_call_that_was_given_up_is_accepted_later_with_its_own_date(
    sim: Simulator, clock: Clock, control: SimulatorClient
) -> None:
    control.faults([Fault(FaultKind.LATE_ACCEPTANCE, seconds=100, count=1)])
    answer = call(sim, "sendMsg", TELEFONO="5551402211", MENSAJE="hola")
    assert (answer.status_code, control.ledger(), control.stats().accepting_later) == (504, [], 1)
    clock.now += 99
    other = send(sim, text="otro")
    assert [row["id_mensaje"] for row in rows(sim)] == [other]
    clock.now += 1
    assert [(row["mensaje"], row["fecha_envio"]) for row in rows(sim)] == [
        ("otro", "31-12-2025 12:01:39"),
        ("hola", "31-12-2025 12:01:40"),
    ]
    assert [entry.accepted_at for entry in control.ledger()] == [START + 99, START + 100]
    assert (control.stats().balance, control.stats().accepting_later) == (1_234_565, 0)


def test_late_acceptances_come_in_the_order_of_their_times(
    sim: Simulator, clock: Clock, control: SimulatorClient
) -> None:
    control.faults([Fault(FaultKind.LATE_ACCEPTANCE, seconds=10, jitter=100, seed=3)])
    for number in range(20):
        call(sim, "sendMsg", TELEFONO="5551402211", MENSAJE=f"hola {number}")
    clock.now += 200
    times = [entry.accepted_at - START for entry in control.ledger()]
    assert len(times) == 20
    assert times == sorted(times)
    assert 10 <= times[0] < times[-1] <= 110


@pytest.mark.parametrize("fields", [{"APIKEY": "mala"}, {"MENSAJE": ""}])
def test_what_is_not_valid_is_not_accepted_later_either(
    sim: Simulator, clock: Clock, control: SimulatorClient, fields: dict[str, str]
) -> None:
    control.faults([Fault(FaultKind.LATE_ACCEPTANCE, seconds=1)])
    call(sim, "sendMsg", **{"TELEFONO": "5551402211", "MENSAJE": "hola"} | fields)
    clock.now += 10
    assert control.ledger() == []


def test_a_reset_forgets_late_acceptances(sim: Simulator, clock: Clock, control: SimulatorClient) -> None:
    control.faults([Fault(FaultKind.LATE_ACCEPTANCE, seconds=1)])
    call(sim, "sendMsg", TELEFONO="5551402211", MENSAJE="hola")
    control.reset()
    clock.now += 10
    assert control.ledger() == []


def test_dates_may_be_of_another_zone_and_the_span_is_read_by_it(sim: Simulator, control: SimulatorClient) -> None:
    control.set(date_shift=3600)
    id_mensaje = send(sim)
    shifted = "31-12-2025 13:00:00"
    assert (one(sim, id_mensaje)["fecha_envio"], rows(sim)[0]["fecha_envio"]) == (shifted, shifted)
    assert rows(sim, (NOON, NOON)) == []
    assert len(rows(sim, (shifted, shifted))) == 1


ODD = [
    ("estatus", "estatus_mensaje", 7),
    ("null_text", "mensaje", None),
    ("null_phone", "telefono", None),
    ("bad_date", "fecha_envio", "ayer por la tarde"),
    ("null_date", "fecha_envio", None),
]


@pytest.mark.parametrize(("kind", "field", "value"), ODD)
def test_a_report_has_an_odd_row_of_another_system(
    sim: Simulator, control: SimulatorClient, kind: str, field: str, value: object
) -> None:
    own = send(sim)
    control.set(odd_rows=[kind])
    good, odd = rows(sim)
    assert (good["id_mensaje"], good["estatus_mensaje"]) == (own, 3)
    assert odd[field] == value
    assert odd["nombre_campania"] == "Panel"
    assert control.stats().accepted == 1


@pytest.mark.parametrize(("kind", "field", "value"), ODD)
def test_a_row_of_ours_is_odd(sim: Simulator, control: SimulatorClient, kind: str, field: str, value: object) -> None:
    own = send(sim)
    control.set(odd_form=kind)
    [row] = rows(sim)
    assert (row["id_mensaje"], row[field]) == (own, value)


def test_odd_ids_have_decimals_and_a_panels_row_is_a_good_one(sim: Simulator, control: SimulatorClient) -> None:
    own = send(sim)
    control.set(odd_form="decimal_id", odd_rows=["panel", "decimal_id"])
    body = call(sim, "report", FECHA_INICIO=NOON, FECHA_FIN=NOON).text
    assert f'"id_mensaje":{own}.0,' in body
    mine, panel, odd = rows(sim, (NOON, NOON))
    assert mine["id_mensaje"] == own
    assert (panel["estatus_mensaje"], panel["fecha_envio"]) == (3, NOON)
    assert isinstance(odd["id_mensaje"], float)
    assert odd["id_mensaje"] != panel["id_mensaje"]


def test_a_share_of_our_rows_is_odd_and_always_the_same(sim: Simulator, control: SimulatorClient) -> None:
    for number in range(200):
        send(sim, text=f"hola {number}")
    control.set(odd_form="null_text", odd_rate=0.2)
    odd = [row["id_mensaje"] for row in rows(sim) if row["mensaje"] is None]
    assert 15 < len(odd) < 70
    assert odd == [row["id_mensaje"] for row in rows(sim) if row["mensaje"] is None]


def test_each_message_shows_in_the_report_with_a_lag_of_its_own(
    sim: Simulator, clock: Clock, control: SimulatorClient
) -> None:
    control.set(report_lag=10, report_lag_spread=100)
    for number in range(100):
        send(sim, text=f"hola {number}")
    seen = []
    for second in (9, 60, 110):
        clock.now = START + second
        seen.append(len(rows(sim)))
    assert (seen[0], seen[2]) == (0, 100)
    assert 20 < seen[1] < 80


def test_a_report_may_never_have_some_messages(sim: Simulator, control: SimulatorClient) -> None:
    ids = [send(sim, phone) for phone in ("5551402211", "5551402212")]
    control.set(omit_suffixes=["2212"])
    assert [row["id_mensaje"] for row in rows(sim)] == [ids[0]]
    assert one(sim, ids[1])["codigo"] == 1
    control.set(omit_suffixes=[], omit_rate=1)
    assert rows(sim) == []


def test_another_key_is_another_account(sim: Simulator, control: SimulatorClient) -> None:
    assert call(sim, "credits", APIKEY=OTHER).json()["codigo"] == -101
    control.set(other_keys=[OTHER], other_balance=2)
    mine, others = send(sim), send(sim, APIKEY=OTHER)
    assert [row["id_mensaje"] for row in rows(sim)] == [mine]
    assert [row["id_mensaje"] for row in rows(sim, APIKEY=OTHER)] == [others]
    assert (one(sim, others)["codigo"], one(sim, others, APIKEY=OTHER)["codigo"]) == (-201, 1)
    balances = [call(sim, "credits", APIKEY=key).json()["creditos"] for key in (KEY, OTHER)]
    assert balances == [1_234_566, 1]
    assert [(entry.id_mensaje, entry.account) for entry in control.ledger()] == [(mine, 0), (others, 1)]
    send(sim, APIKEY=OTHER)
    assert call(sim, "sendMsg", APIKEY=OTHER, TELEFONO="5551402211", MENSAJE="x").json()["codigo"] == -104
    send(sim)


def test_a_new_key_of_the_same_account_keeps_its_messages(sim: Simulator, control: SimulatorClient) -> None:
    send(sim)
    control.set(api_key="nueva")
    assert len(rows(sim, APIKEY="nueva")) == 1


@pytest.mark.parametrize(
    "fault", [None, Fault(FaultKind.UNLISTED), Fault(FaultKind.HTTP_500_AFTER), Fault(FaultKind.LATE_ACCEPTANCE)]
)
def test_errors_repeat_the_form(sim: Simulator, control: SimulatorClient, fault: Fault | None) -> None:
    control.set(echo_form=True)
    control.faults([] if fault is None else [fault])
    phone = "5551402211" if fault else "555140221"
    answer = call(sim, "sendMsg", TELEFONO=phone, MENSAJE='di "hola"')
    plain = answer.json()["descripcion"] if answer.text.startswith("{") else answer.text.replace("&quot;", '"')
    assert phone in plain
    assert 'MENSAJE=di "hola"' in plain


def test_an_acceptance_repeats_no_form(sim: Simulator, control: SimulatorClient) -> None:
    control.set(echo_form=True)
    assert "TELEFONO" not in call(sim, "sendMsg", TELEFONO="5551402211", MENSAJE="hola").text


@pytest.mark.parametrize(
    ("form", "shown"),
    [("whole", "1234567"), ("decimal", "1234567.00"), ("commas", '"1,234,567.00"'), ("text", '"1234567"')],
)
def test_the_balance_comes_in_several_forms(sim: Simulator, control: SimulatorClient, form: str, shown: str) -> None:
    control.set(credits_form=form)
    assert call(sim, "credits").text.endswith(f'"creditos":{shown}}}')


def test_an_hour_that_the_clocks_show_twice_has_equal_dates_and_one_span(
    sim: Simulator, clock: Clock, control: SimulatorClient
) -> None:
    control.set(timezone="America/Tijuana")
    clock.now = dt.datetime(2026, 11, 1, 8, 30, tzinfo=dt.UTC).timestamp()  # 01:30, before the clocks go back
    first = send(sim)
    clock.now += 3600
    second = send(sim)
    assert [row["fecha_envio"] for row in rows(sim)] == ["01-11-2026 01:30:00"] * 2
    inside = ("01-11-2026 01:29:00", "01-11-2026 01:31:00")
    assert [row["id_mensaje"] for row in rows(sim, inside)] == [first, second]
    assert rows(sim, ("01-11-2026 01:31:00", "01-11-2026 01:40:00")) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phone_mask", 11),
        ("report_cap", -1),
        ("odd_rows", ["nada"]),
        ("odd_form", "nada"),
        ("credits_form", "nada"),
        ("report_cap_first", "nada"),
        ("omit_rate", 2),
    ],
)
def test_a_value_that_is_none_is_refused_by_name(control: SimulatorClient, name: str, value: object) -> None:
    with pytest.raises(SmsclickError, match=f"setting refused: {name}"):
        control.set(**{name: value})


def test_the_keys_of_other_accounts_are_not_in_the_settings_text() -> None:
    assert "secreta" not in repr(Simulator(other_keys=["secreta"])._provider.account.settings)
