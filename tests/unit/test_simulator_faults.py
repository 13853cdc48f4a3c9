"""Each fault as a bare socket sees it, and what the ledger says was accepted."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlencode, urlsplit

import pydantic
import pytest
import requests

from smsclick.simulator import ENDPOINTS, Fault, FaultKind, Simulator
from tests.processes import wait_until

KEY = "prueba"


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(api_key=KEY) as simulator:
        yield simulator


def request_bytes(sim: Simulator, endpoint: str = "sendMsg", **fields: str) -> bytes:
    body = urlencode({"APIKEY": KEY, "TELEFONO": "5551402211", "MENSAJE": "hola"} | fields).encode()
    head = f"POST /sms-services/{endpoint}.json HTTP/1.1\r\nHost: {urlsplit(sim.base_url).netloc}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def connect(sim: Simulator) -> socket.socket:
    url = urlsplit(sim.base_url)
    assert url.hostname
    assert url.port
    return socket.create_connection((url.hostname, url.port), timeout=60)


def seen(sim: Simulator, request: bytes, patience: float = 60) -> tuple[bytes, str]:
    """The bytes that come back, and how it ends: "answered", "closed", "reset" or "silence"."""
    data = b""
    with connect(sim) as client:
        client.settimeout(patience)
        client.sendall(request)
        while True:
            try:
                part = client.recv(65536)
            except ConnectionResetError:
                return data, "reset"
            except TimeoutError:
                return data, "silence"
            if not part:
                return data, "closed"
            data += part
            head, _, body = data.partition(b"\r\n\r\n")
            lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            if lengths and len(body) >= int(lengths[0].split(b":")[1]):
                return data, "answered"


def first_line(data: bytes) -> str:
    return data.partition(b"\r\n")[0].decode()


SEEN = [
    (FaultKind.RESET_BEFORE, "", "reset", 0),
    (FaultKind.RESET_AFTER, "", "reset", 1),
    (FaultKind.HTTP_500_BEFORE, "HTTP/1.1 500 Internal Server Error", "answered", 0),
    (FaultKind.HTTP_500_AFTER, "HTTP/1.1 500 Internal Server Error", "answered", 1),
    (FaultKind.HTTP_502_BEFORE, "HTTP/1.1 502 Bad Gateway", "answered", 0),
    (FaultKind.HTTP_502_AFTER, "HTTP/1.1 502 Bad Gateway", "answered", 1),
    (FaultKind.HTTP_503_BEFORE, "HTTP/1.1 503 Service Unavailable", "answered", 0),
    (FaultKind.HTTP_503_AFTER, "HTTP/1.1 503 Service Unavailable", "answered", 1),
    (FaultKind.HTML_BEFORE, "HTTP/1.1 200 OK", "answered", 0),
    (FaultKind.HTML_AFTER, "HTTP/1.1 200 OK", "answered", 1),
    (FaultKind.CUT, "HTTP/1.1 200 OK", "closed", 1),
    (FaultKind.TRICKLE, "HTTP/1.1 200 OK", "answered", 1),
    (FaultKind.LATENCY, "HTTP/1.1 200 OK", "answered", 1),
    (FaultKind.RATE_LIMIT, "HTTP/1.1 429 Too Many Requests", "answered", 0),
    (FaultKind.UNLISTED, "HTTP/1.1 200 OK", "answered", 0),
    (FaultKind.WRONG_KEY, "HTTP/1.1 200 OK", "answered", 0),
    (FaultKind.NO_BALANCE, "HTTP/1.1 200 OK", "answered", 0),
    (FaultKind.REDIRECT, "HTTP/1.1 302 Found", "answered", 0),
    (FaultKind.LATE_ACCEPTANCE, "HTTP/1.1 504 Gateway Timeout", "answered", 0),
]


@pytest.mark.parametrize(("kind", "status_line", "ending", "accepted"), SEEN)
def test_the_client_sees_the_fault_and_the_ledger_knows_the_truth(
    sim: Simulator, kind: FaultKind, status_line: str, ending: str, accepted: int
) -> None:
    sim.faults([Fault(kind, seconds=60 if kind is FaultKind.LATE_ACCEPTANCE else 0)])
    data, how = seen(sim, request_bytes(sim))
    assert (first_line(data), how) == (status_line, ending)
    assert len(sim.ledger()) == accepted
    assert kind.accepts is bool(accepted)


@pytest.mark.parametrize(("kind", "accepted"), [(FaultKind.HANG_BEFORE, 0), (FaultKind.HANG_AFTER, 1)])
def test_a_hanging_request_is_never_answered(sim: Simulator, kind: FaultKind, accepted: int) -> None:
    sim.faults([Fault(kind)])
    assert seen(sim, request_bytes(sim), patience=0.2) == (b"", "silence")
    wait_until(lambda: sim.stats().requests.get("sendMsg") == {kind: 1}, what="the request")
    assert len(sim.ledger()) == accepted


def test_the_matrix_above_leaves_no_kind_out() -> None:
    assert {row[0] for row in SEEN} == set(FaultKind) - {FaultKind.HANG_BEFORE, FaultKind.HANG_AFTER}


def test_a_fault_on_the_standard_loop_resets_as_well() -> None:
    with Simulator(api_key=KEY, loop_factory=asyncio.new_event_loop) as sim:
        sim.faults([Fault(FaultKind.RESET_AFTER)])
        assert seen(sim, request_bytes(sim)) == (b"", "reset")
        assert len(sim.ledger()) == 1


def test_html_instead_of_json_is_declared_as_html(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.HTML_AFTER)])
    data, _ = seen(sim, request_bytes(sim))
    assert b"Content-Type: text/html" in data
    assert data.endswith(b"</html>\n")


def test_a_cut_body_announces_its_true_length_and_ends_halfway(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.CUT)])
    data, _ = seen(sim, request_bytes(sim))
    head, _, body = data.partition(b"\r\n\r\n")
    announced = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
    assert len(body) == announced // 2
    assert body.startswith(b'{"codigo":1, ')


def test_a_trickled_body_takes_its_time_and_is_whole(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.TRICKLE, seconds=0.2)])
    started = time.monotonic()
    data, _ = seen(sim, request_bytes(sim))
    assert time.monotonic() - started >= 0.19
    assert data.endswith(b'"creditosUsados":1}')


def test_a_rate_limit_says_when_to_come_back(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.RATE_LIMIT, retry_after=17)])
    assert b"\r\nRetry-After: 17\r\n" in seen(sim, request_bytes(sim))[0]


def test_a_redirect_leads_to_the_login_page(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.REDIRECT)])
    assert b"\r\nLocation: /login/\r\n" in seen(sim, request_bytes(sim))[0]


@pytest.mark.parametrize(
    ("fault", "endpoint", "body"),
    [
        (Fault(FaultKind.UNLISTED), "sendMsg", b'{"codigo":-999, "descripcion":"Error no documentado"}'),
        (
            Fault(FaultKind.UNLISTED, endpoints=ENDPOINTS, code=-7),
            "credits",
            b'{"codigo":-7, "descripcion":"Error no documentado", "mensajes":null}',
        ),
        (Fault(FaultKind.WRONG_KEY), "sendMsg", b'{"codigo": -101, "descripcion":"APIKEY incorrecta"}'),
        (Fault(FaultKind.NO_BALANCE), "sendMsg", b'{"codigo": -104, "descripcion":"Saldo insuficiente"}'),
    ],
)
def test_a_refusal_on_demand_has_the_endpoints_own_form(
    sim: Simulator, fault: Fault, endpoint: str, body: bytes
) -> None:
    sim.faults([fault])
    assert seen(sim, request_bytes(sim, endpoint))[0].endswith(b"\r\n\r\n" + body)


def test_a_fault_after_acceptance_accepts_no_message_that_is_wrong(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.RESET_AFTER)])
    assert seen(sim, request_bytes(sim, TELEFONO="1"))[1] == "reset"
    assert sim.ledger() == []


def test_a_fault_strikes_the_next_requests_and_is_spent(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.HTTP_503_BEFORE, count=2)])
    lines = [first_line(seen(sim, request_bytes(sim))[0]) for _ in range(4)]
    assert [line.split()[1] for line in lines] == ["503", "503", "200", "200"]


def test_the_first_matching_rule_wins(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.HTTP_500_BEFORE, count=1), Fault(FaultKind.HTTP_502_BEFORE, count=1)])
    lines = [first_line(seen(sim, request_bytes(sim))[0]) for _ in range(3)]
    assert [line.split()[1] for line in lines] == ["500", "502", "200"]


def test_a_fault_strikes_only_its_endpoints(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.HTTP_500_BEFORE, endpoints=("report", "getMsg"))])
    lines = [first_line(seen(sim, request_bytes(sim, endpoint))[0]) for endpoint in ENDPOINTS]
    assert [line.split()[1] for line in lines] == ["200", "500", "500", "200"]


def test_a_fault_may_be_meant_for_certain_phones(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.RESET_BEFORE, phone_suffix="99")])
    endings = [seen(sim, request_bytes(sim, TELEFONO=phone))[1] for phone in ("5500000099", "5500000098")]
    assert endings == ["reset", "answered"]


def test_a_fault_may_be_meant_for_certain_texts(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.RESET_BEFORE, text_contains="ñ")])
    endings = [seen(sim, request_bytes(sim, MENSAJE=text))[1] for text in ("mañana", "hoy")]
    assert endings == ["reset", "answered"]


def test_a_rate_is_kept_on_average_and_repeats_with_the_seed(sim: Simulator) -> None:
    def statuses() -> list[int]:
        sim.faults([Fault(FaultKind.HTTP_500_BEFORE, rate=0.4, seed=9)])
        fields = {"APIKEY": KEY}
        with requests.Session() as session:
            return [
                session.post(f"{sim.base_url}/sendMsg.json", data=fields, timeout=60).status_code for _ in range(200)
            ]

    first = statuses()
    assert 50 < first.count(500) < 110
    assert first == statuses()


def test_latency_adds_to_another_fault(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.HTTP_503_BEFORE), Fault(FaultKind.LATENCY, seconds=0.1, jitter=0.05)])
    started = time.monotonic()
    data, _ = seen(sim, request_bytes(sim))
    assert first_line(data) == "HTTP/1.1 503 Service Unavailable"
    assert time.monotonic() - started >= 0.09


def test_a_late_answer_belongs_to_a_message_accepted_on_arrival(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.LATENCY, seconds=600)])
    assert seen(sim, request_bytes(sim), patience=0.1)[1] == "silence"
    wait_until(lambda: len(sim.ledger()) == 1, what="the message")


def test_latency_delays_nobody_else(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.LATENCY, seconds=600)])
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connect(sim)).sendall(request_bytes(sim))
        wait_until(lambda: sim.stats().in_flight == 20, what="all of them")
        sim.faults()
        assert seen(sim, request_bytes(sim))[1] == "answered"
        assert sim.stats().in_flight == 20


def test_without_rules_it_behaves_again(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.RESET_BEFORE, endpoints=ENDPOINTS)])
    sim.faults()
    assert seen(sim, request_bytes(sim))[1] == "answered"


def test_a_rate_above_one_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="rate"):
        Fault(FaultKind.CUT, rate=1.5)
