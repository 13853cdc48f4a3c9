"""The HTTP API against its own description, and against requests that mean harm."""

from __future__ import annotations

import http.client
import json
import logging
import random
import re
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, urlsplit

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._enqueue.message import NewMessage
from smsclick.contract import IfAbsent, Priority, State, messages, tokens
from tests.api_server import Api, serving
from tests.conftest import migrate
from tests.factories import insert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE_REQUESTS = 10_000

CONFIG = """
[checks.positive_data_acceptance]
# A description cannot say which numbers are Mexican phones, nor which texts a phone can show: 422 says so.
expected-statuses = [200, 202, 401, 403, 404, 409, 422, 429]
"""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    database = Database(migrate(f"sqlite:///{tmp_path}/api.db"))
    # schemathesis also expects 401, and not 429, of each of its many requests without a token.
    with serving(database, guesses_at_once=100_000) as running:
        insert(database, 3)
        insert(database, 2, state=State.FAILED, due_at=None)
        yield running
    database.dispose()


def test_the_description_is_true_by_every_check_of_schemathesis(api: Api, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    words = ["run", f"{api.url}/openapi.json", "--header", f"Authorization: Bearer {api.secret}", "--checks", "all"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(tmp_path / "schemathesis.toml"),
            *words,
            *("--max-examples", "40", "--seed", "1", "--no-color"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"Tested: (\d+)", done.stdout), done.stdout[-2000:]


SCRAPS = (
    "",
    "\0",
    "'; DROP TABLE smsclick_messages; --",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "\x1b[2J\x1b]0;x\x07",
    "\u202e\u2066",
    "{{7*7}}${7*7}%s%n",
    "../../../../etc/passwd",
    "9" * 400,
    "5551402211",
    "+52 55 5140 2211",
    "Hola",
    "é" * 300,
    "\U0001f600" * 80,
    "2030-01-01T00:00:00-06:00",
    "9999-12-31T23:59:59+00:00",
    "0001-01-01T00:00:00Z",
    "celery:a.b@c",
    "https://169.254.169.254/",
    "high",
    "fail",
)
ODD: tuple[object, ...] = (None, True, False, -1, 0, 1, 2**63, 10**30, 1e308, 0.1, [], {}, [[]], {"a": 1})
FIELDS = ("phone", "telefono", "text", "mensaje", "key", "clave", "send_at", "expires_at", "ttl", "priority",
          "rule_id", "if_absent", "callback", "reference", "messages", "id", "__proto__")  # fmt: skip
PATHS = ("/v1/messages", "/v1/messages/1", "/v1/messages/1/cancel", "/v1/messages/1/retry", "/v1/account",
         "/v1/account/hold", "/v1/account/resume", "/healthz", "/readyz",
         "/openapi.json", "/", "//",
         "/v1/../v1/account", "/v1/messages/-1", "/v1/messages/99999999999999999999", "/%00",
         "/v1/messages/%2e%2e")  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND")


class Hostile:
    """Makes requests at random, half of them close to good ones."""

    def __init__(self, seed: int, secret: str) -> None:
        self.rng = random.Random(seed)
        self.secret = secret

    def value(self) -> object:
        return self.rng.choice(SCRAPS if self.rng.random() < 0.7 else ODD)

    def message(self) -> dict[str, object]:
        good: dict[str, object] = {"phone": "5551402211", "text": f"Hola {self.rng.random()}"}
        if self.rng.random() < 0.3:
            return good
        wrong = {self.rng.choice(FIELDS): self.value() for _ in range(self.rng.randrange(4))}
        return (good if self.rng.random() < 0.6 else {}) | wrong

    def body(self) -> bytes:
        rng = self.rng
        kind = rng.random()
        if kind < 0.1:
            return rng.randbytes(rng.randrange(200))
        content: object = (
            self.message() if kind < 0.7 else {"messages": [self.message() for _ in range(rng.randrange(5))]}
        )
        encoded = bytearray(json.dumps(content, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass"))
        if kind > 0.9 and encoded:
            encoded[rng.randrange(len(encoded))] = rng.randrange(256)
        return bytes(encoded)

    def path(self) -> str:
        path = PATHS[0] if self.rng.random() < 0.5 else self.rng.choice(PATHS)
        if self.rng.random() < 0.5:
            return path
        names = ("key", "phone", "state", "reference", "since", "until", "limit", "cursor", "x")
        pairs = [
            f"{self.rng.choice(names)}={quote_from_bytes(str(self.value()).encode('utf-8', 'surrogatepass'))}"
            for _ in range(self.rng.randrange(1, 4))
        ]
        return f"{path}?{'&'.join(pairs)}"

    def headers(self) -> dict[str, str]:
        found = {"Content-Type": "application/json", "Authorization": f"Bearer {self.secret}"}
        odd = self.rng.random()
        if odd < 0.05:
            found["Content-Type"] = self.rng.choice(
                ("text/html", "application/xml", "", "multipart/form-data; boundary=x")
            )
        elif odd < 0.1:
            found["Idempotency-Key"] = self.rng.choice(("a", '"b"', "x" * 500, "'; --", "á".encode().decode("latin-1")))
        elif odd < 0.12:
            found["Content-Encoding"] = "gzip"
        elif odd < 0.14:
            found["X-Forwarded-For"] = "1.2.3.4"
        return found


def test_ten_thousand_hostile_requests_make_no_defect_and_store_nothing_wrong(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hostile = Hostile(20261127, api.secret)
    place = urlsplit(api.url).netloc
    connection = http.client.HTTPConnection(place, timeout=60)
    statuses: dict[int, int] = {}
    for _ in range(HOSTILE_REQUESTS):
        method = hostile.rng.choice(METHODS[:2] if hostile.rng.random() < 0.8 else METHODS)
        path, body, headers = hostile.path(), hostile.body(), hostile.headers()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (http.client.HTTPException, ConnectionError):
            # The server closed the connection after a request that is no HTTP.
            connection.close()
            continue
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        assert answer.status < 500, (method, path, body, content)
        assert b"Traceback" not in content
        assert b"sqlalchemy" not in content
        if answer.status >= 400 and method != "HEAD":
            assert json.loads(content)["type"].startswith("urn:smsclick:problem:") or answer.status == 400
    connection.close()
    assert {200, 202, 400, 404, 405, 409, 415, 422} <= set(statuses), statuses
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []
    # pytest listens to uvicorn's log of requests too, which is switched off.
    logged = [each.getMessage() for each in caplog.records if each.name != "uvicorn.access"]
    assert "5551402211" not in " ".join(logged)
    with api.database.read() as reading:
        stored = reading.execute(sa.select(messages)).mappings().all()
        assert reading.scalar(sa.select(sa.func.count()).select_from(tokens)) == 1
    assert len(stored) > 500
    for row in stored:
        names = ("phone", "text", "key", "rule_id", "if_absent", "callback", "reference")
        again = NewMessage.of(**{name: row[name] for name in names})
        assert {name: getattr(again, name) for name in names} == {name: row[name] for name in names}
        assert row["state"] in set(State)
        assert row["if_absent"] in set(IfAbsent)
        assert row["priority"] in set(Priority)
    assert api.post({"phone": "5551402211", "text": "Al final"}).status_code == 202
