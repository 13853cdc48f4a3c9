"""A streamed report may take longer than other calls, as long as it comes; a provider that stalls is given up."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from smsclick.client import SmsclickClient
from smsclick.errors import InvalidTime, ProviderUnreachable, UnreadableAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)
ROW = {"id_mensaje": 7, "telefono": 5548007276, "mensaje": "x" * 1000, "estatus_mensaje": 3}
BODY = json.dumps({"codigo": 1, "mensajes": [ROW] * 500}).encode()


class _Slow(ThreadingHTTPServer):
    """Sends `BODY` in five parts, each after a pause."""

    daemon_threads = True
    pause = 0.0
    stall = 0.0

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server = self.server
                assert isinstance(server, _Slow)
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", str(len(BODY)))
                self.end_headers()
                size = -(-len(BODY) // 5)
                for start in range(0, len(BODY), size):
                    time.sleep(server.stall if start == 3 * size else server.pause)
                    try:
                        self.wfile.write(BODY[start : start + size])
                    except OSError:
                        return

            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def slow() -> Iterator[_Slow]:
    server = _Slow()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(slow: _Slow) -> Iterator[SmsclickClient]:
    with SmsclickClient("key", f"http://127.0.0.1:{slow.server_address[1]}", read_timeout=0.8) as made:
        yield made


def test_a_report_that_keeps_coming_outlasts_the_read_timeout(slow: _Slow, client: SmsclickClient) -> None:
    slow.pause = slow.stall = 0.35
    began = time.monotonic()
    assert sum(1 for _ in client.report_rows(NOW, NOW)) == 500
    assert time.monotonic() - began > 1.5
    with pytest.raises(ProviderUnreachable, match="no answer in time"):
        client.report(NOW, NOW)


def test_a_report_that_stalls_is_given_up_after_its_first_rows(slow: _Slow, client: SmsclickClient) -> None:
    slow.stall = 30.0
    came: list[object] = []
    began = time.monotonic()
    with pytest.raises(UnreadableAnswer, match="the report is not whole") as raised:
        came.extend(client.report_rows(NOW, NOW))
    assert 100 < len(came) < 400
    assert time.monotonic() - began < 10
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
