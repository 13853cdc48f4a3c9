"""What clients do to a server: reuse, pipelining, half requests, nonsense, leaving; and a clean stop."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import requests

from smsclick.errors import SmsclickError
from smsclick.simulator import Fault, FaultKind, Simulator
from smsclick.simulator.server import fastest_loop

KEY = "prueba"


@pytest.fixture(params=[fastest_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def sim(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Simulator]:
    with caplog.at_level(logging.DEBUG), Simulator(api_key=KEY, loop_factory=request.param) as simulator:
        yield simulator
        simulator.stop()
        # asyncio logs its selector at debug level; any other record would be a failure of ours.
        assert [record.message for record in caplog.records if record.levelno > logging.DEBUG] == []


def connect(sim: Simulator) -> socket.socket:
    url = urlsplit(sim.base_url)
    assert url.hostname
    assert url.port
    return socket.create_connection((url.hostname, url.port), timeout=60)


def send_request(text: str, version: str = "1.1", headers: str = "") -> bytes:
    body = f"APIKEY={KEY}&TELEFONO=5551402211&MENSAJE={text}"
    return (
        f"POST /sms-services/sendMsg.json HTTP/{version}\r\nHost: sms\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def read_all(client: socket.socket) -> bytes:
    data = b""
    while part := client.recv(65536):
        data += part
    return data


def eventually(met: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not (is_met := met()) and time.monotonic() < deadline:
        time.sleep(0.005)  # another thread's event loop: there is no clock to inject
    return is_met  # not asked again: some of them receive


def test_a_client_keeps_its_connection(sim: Simulator) -> None:
    fields = {"APIKEY": KEY, "TELEFONO": "5551402211", "MENSAJE": "hola"}
    with requests.Session() as session:
        for _ in range(20):
            session.post(f"{sim.base_url}/sendMsg.json", data=fields, timeout=60)
    assert sim.stats().connections == 1


def test_a_connection_survives_errors_that_are_answered(sim: Simulator) -> None:
    with requests.Session() as session:
        session.get(f"{sim.base_url}/sendMsg.json", timeout=60)
        session.get(f"{sim.base_url}/nada", timeout=60)
        session.post(f"{sim.base_url}/credits.json", timeout=60)
    assert sim.stats().connections == 1


def test_a_client_that_asks_to_close_is_closed(sim: Simulator) -> None:
    with connect(sim) as client:
        client.sendall(send_request("hola", headers="Connection: close\r\n"))
        data = read_all(client)
    assert b"\r\nConnection: close\r\n" in data
    assert data.endswith(b'"creditosUsados":1}')


def test_an_old_client_is_answered_and_closed(sim: Simulator) -> None:
    with connect(sim) as client:
        client.sendall(send_request("hola", version="1.0"))
        assert read_all(client).endswith(b'"creditosUsados":1}')


def test_an_old_client_gets_the_ledger_without_chunks(sim: Simulator) -> None:
    with connect(sim) as client:
        client.sendall(send_request("hola") + b"GET /_simulator/ledger HTTP/1.0\r\n\r\n")
        assert read_all(client).endswith(b'"rule_id":null,"reply":null,"account":0}\n')


def test_pipelined_requests_are_answered_in_order(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.LATENCY, seconds=0.1, text_contains="lento")])
    with connect(sim) as client:
        last = send_request("tres", headers="Connection: close\r\n")
        client.sendall(send_request("lento") + send_request("") + last)
        data = read_all(client)
    codes = [part[:4] for part in data.split(b'"codigo":')[1:]]
    assert codes == [b'1, "', b" -10", b'1, "']
    assert [entry.text for entry in sim.ledger()] == ["lento", "tres"]


def test_more_pipelined_requests_than_the_queue_holds_are_all_answered(sim: Simulator) -> None:
    with connect(sim) as client:
        client.sendall(send_request("hola") * 500 + send_request("fin", headers="Connection: close\r\n"))
        assert read_all(client).count(b"HTTP/1.1 200 OK") == 501


def test_requests_behind_a_hanging_one_are_not_carried_out(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.HANG_AFTER, count=1)])
    with connect(sim) as client:
        client.sendall(send_request("cuelga") + send_request("espera"))
        assert eventually(lambda: len(sim.ledger()) == 1)
    assert eventually(lambda: sim.stats().open_connections == 0)
    assert [entry.text for entry in sim.ledger()] == ["cuelga"]


def test_a_request_may_come_in_small_pieces(sim: Simulator) -> None:
    with connect(sim) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in send_request("hola", headers="Connection: close\r\n"):
            client.send(bytes([byte]))
        assert read_all(client).startswith(b"HTTP/1.1 200 OK")


def test_a_client_that_expects_100_continue_receives_it(sim: Simulator) -> None:
    head, _, body = send_request("hola", headers="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with connect(sim) as client:
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_half_a_request_accepts_nothing(sim: Simulator) -> None:
    with connect(sim) as client:
        client.sendall(send_request("hola")[:-1])
        assert eventually(lambda: sim.stats().open_connections == 1)
    assert eventually(lambda: sim.stats().open_connections == 0)
    assert sim.ledger() == []


@pytest.mark.parametrize(
    ("nonsense", "status"),
    [
        (b"esto no es HTTP\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400 Bad Request"),
        (b"POST /x HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400 Bad Request"),
        (b"GET /x HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", b"400 Bad Request"),
        (
            b"POST /x HTTP/1.1\r\nContent-Length: 3\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nabc",
            b"400 Bad Request",
        ),
        (b"GET /x HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431 Request Header Fields Too Large"),
    ],
)
def test_an_invalid_request_gets_an_error_status_and_is_closed(sim: Simulator, nonsense: bytes, status: bytes) -> None:
    with connect(sim) as client:
        client.sendall(nonsense)
        assert read_all(client).startswith(b"HTTP/1.1 " + status)


def test_nonsense_behind_a_request_does_not_spoil_its_answer(sim: Simulator) -> None:
    with connect(sim) as client:
        client.sendall(send_request("hola") + b"\x00\x00\x00")
        data = read_all(client)
    assert data.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 400 Bad Request" in data


def test_a_body_beyond_reason_is_refused(sim: Simulator) -> None:
    with connect(sim) as client:
        client.sendall(b"POST /sms-services/sendMsg.json HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
        try:
            for _ in range(100):
                client.sendall(b"x" * 100_000)
            assert client.recv(100).startswith(b"HTTP/1.1 413")
        except (ConnectionResetError, BrokenPipeError):
            pass  # it may close before it has read all of it, which resets
    assert eventually(lambda: sim.stats().open_connections == 0)


def test_bytes_that_are_not_utf8_are_accepted(sim: Simulator) -> None:
    body = f"APIKEY={KEY}&TELEFONO=5551402211&MENSAJE=".encode() + b"ma\xf1ana%F1"
    answer = requests.post(f"{sim.base_url}/sendMsg.json", data=body, timeout=60)
    assert answer.json()["codigo"] == 1
    assert sim.ledger()[0].text == "ma\ufffdana\ufffd"


def test_a_client_that_leaves_before_a_late_answer_harms_nothing(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.LATENCY, seconds=60, count=1)])
    with connect(sim) as client:
        client.sendall(send_request("hola"))
        assert eventually(lambda: sim.stats().in_flight == 1)
    assert eventually(lambda: sim.stats().in_flight == 0)
    assert len(sim.ledger()) == 1


def test_a_client_that_leaves_in_the_middle_of_the_ledger_harms_nothing(sim: Simulator) -> None:
    with connect(sim) as client:
        client.sendall(send_request("hola" * 100) * 2000)
        assert eventually(lambda: bool(client.recv(65536)) and len(sim.ledger()) == 2000)
    with connect(sim) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /_simulator/ledger HTTP/1.1\r\n\r\n")
        assert client.recv(10)
    assert eventually(lambda: sim.stats().open_connections == 0)


def test_many_clients_at_once_are_all_served(sim: Simulator) -> None:
    fields = {"APIKEY": KEY, "TELEFONO": "5551402211", "MENSAJE": "hola"}

    def client(_: int) -> None:
        with requests.Session() as session:
            for _ in range(25):
                assert session.post(f"{sim.base_url}/sendMsg.json", data=fields, timeout=60).ok

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(client, range(16)))
    ids = [entry.id_mensaje for entry in sim.ledger()]
    assert len(set(ids)) == 400
    assert sim.stats().connections == 16


def test_stop_ends_connections_that_hang_or_wait(sim: Simulator) -> None:
    sim.faults([Fault(FaultKind.HANG_BEFORE, text_contains="a"), Fault(FaultKind.LATENCY, seconds=600)])
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(sim)) for _ in range(5)]
        for client, text in zip(sockets, ("a", "a", "b", "b", ""), strict=True):
            client.sendall(send_request(text))
        assert eventually(lambda: sim.stats().in_flight == 5)
        started = time.monotonic()
        sim.stop()
        assert time.monotonic() - started < 60
        for client in sockets:
            assert client.recv(10) == b""
    assert (sim.stats().in_flight, sim.stats().open_connections) == (0, 0)


def test_stop_leaves_no_thread(sim: Simulator) -> None:
    sim.stop()
    assert "smsclick-simulator" not in {thread.name for thread in threading.enumerate()}


def test_stopping_twice_is_harmless(sim: Simulator) -> None:
    sim.stop()
    sim.stop()


def test_a_port_in_use_is_one_clear_line(sim: Simulator) -> None:
    port = urlsplit(sim.base_url).port
    assert port
    with pytest.raises(SmsclickError, match=rf"cannot listen on 127\.0\.0\.1:{port} .*choose another port"):
        Simulator(port=port).start()


def test_a_simulator_that_was_not_started_has_no_address() -> None:
    with pytest.raises(SmsclickError, match="not running"):
        _ = Simulator().base_url


def test_it_listens_on_the_loopback_only(sim: Simulator) -> None:
    assert urlsplit(sim.base_url).hostname == "127.0.0.1"
