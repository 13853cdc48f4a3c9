"""A streamed report may take longer than other calls, as long as it comes; a provider that stalls is given up."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from smsclick.errors import InvalidTime, ProviderUnreachable, UnreadableAnswer
from smsclick.provider.client import SmsclickClient
from tests.manual_clock import MovedTime, move_the_clients_time

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)
ROW = {"id_mensaje": 7, "telefono": 5548007276, "mensaje": "x" * 1000, "estatus_mensaje": 3}
READ_TIMEOUT = 10.0


class _Slow(ThreadingHTTPServer):
    """Sends a report in five parts.

    Attributes:
        rows: how many it has, of a kilobyte each.
        passes: the seconds that pass before each part.
        stalls: whether nothing comes after the third one.
    """

    daemon_threads = True
    rows = 500
    passes = (0.0, 0.0, 0.0, 0.0, 0.0)
    stalls = False

    def __init__(self, time: MovedTime) -> None:
        self.time = time
        self.ended = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server = self.server
                assert isinstance(server, _Slow)
                self.rfile.read(int(self.headers["Content-Length"]))
                body = json.dumps({"codigo": 1, "mensajes": [ROW] * server.rows}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                size = -(-len(body) // 5)
                for part, seconds in enumerate(server.passes):
                    if server.stalls and part == 3:
                        server.ended.wait()
                        return
                    server.time.ahead += seconds
                    try:
                        self.wfile.write(body[part * size : (part + 1) * size])
                    except OSError:
                        return

            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Slow]:
    server = _Slow(move_the_clients_time(monkeypatch))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(slow: _Slow) -> Iterator[SmsclickClient]:
    with SmsclickClient("key", f"http://127.0.0.1:{slow.server_address[1]}", read_timeout=READ_TIMEOUT) as made:
        yield made


def test_a_report_that_keeps_coming_outlasts_the_read_timeout(slow: _Slow, client: SmsclickClient) -> None:
    slow.rows = 2500
    came = 0
    for _ in client.report_rows(NOW, NOW):
        came += 1
        slow.time.ahead += 0.012  # a row buys 0.016 seconds
    assert came == 2500
    assert slow.time.ahead > 2 * READ_TIMEOUT
    slow.passes = (0.0, READ_TIMEOUT, 0.0, 0.0, 0.0)
    with pytest.raises(ProviderUnreachable, match="no answer in time"):
        client.report(NOW, NOW)


def test_a_report_that_stalls_is_given_up_after_its_first_rows(slow: _Slow, client: SmsclickClient) -> None:
    slow.stalls = True
    came: list[object] = []

    def take() -> None:
        for row in client.report_rows(NOW, NOW):
            came.append(row)
            if len(came) == 200:
                slow.time.ahead = READ_TIMEOUT  # what is left is what the three parts have bought: five seconds

    with pytest.raises(UnreadableAnswer, match="the report is not whole") as raised:
        take()
    assert 100 < len(came) < 400
    assert raised.value.__context__ is None


def test_another_call_of_the_same_thread_leaves_the_report_its_own_limits(slow: _Slow, client: SmsclickClient) -> None:
    rows = client.report_rows(NOW, NOW)
    next(rows)
    with SmsclickClient("key", "http://127.0.0.1:9", connect_timeout=0.2, read_timeout=0.001) as other:
        with pytest.raises(ProviderUnreachable):
            other.credits()
        time.sleep(0.3)
    assert 1 + sum(1 for _ in rows) == 500


def test_a_span_without_a_zone_is_refused_before_the_first_row_is_asked_for(client: SmsclickClient) -> None:
    with pytest.raises(InvalidTime):
        client.report_rows(NOW.replace(tzinfo=None), NOW)
