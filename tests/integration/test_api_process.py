"""`smsclick web` as it is run: killed, stopped, without its broker; and the page's examples."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Self

import psutil
import pytest
import requests
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import messages
from tests.processes import ROOT, wait_until
from tests.servers import free_port
from worker.operator.access import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import StartProcess
    from tests.processes import Process

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


class Site:
    """A database and the API on it."""

    def __init__(self, url: str, start_process: StartProcess) -> None:
        self.database = Database(url, threads=2)
        self.secret = tokens.create(self.database, "test", ["send", "read"], actor="a test")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._start_process = start_process
        self.env = {
            "DATABASE_URL": url,
            "SMSCLICK_WEB_BIND": f"127.0.0.1:{self.port}",
            # Nobody listens there: a broker that is down.
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0",
        }

    def start(self, processes: int = 1) -> Process:
        process = self._start_process(["smsclick", "web", "--processes", str(processes)], self.env, name="web")
        wait_until(self.serves, what="the API")
        return process

    def serves(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def post(self, body: dict[str, Any]) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.secret}"}
        return requests.post(f"{self.url}/v1/messages", json=body, headers=headers, timeout=30)

    def keys(self) -> set[str]:
        with self.database.read() as connection:
            return set(connection.scalars(sa.select(messages.c.key)))


@pytest.fixture
def site(migrated_postgres_url: str, start_process: StartProcess) -> Iterator[Site]:
    made = Site(migrated_postgres_url, start_process)
    yield made
    made.database.dispose()


class Producers:
    """Four threads that send messages, each again with its key until it is accepted."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.tried: set[str] = set()
        self.accepted: set[str] = set()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.produce, args=(n,)) for n in range(4)]

    def __enter__(self) -> Self:
        for each in self.threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for each in self.threads:
            each.join()

    def produce(self, producer: int) -> None:
        for number in itertools.count(1):
            key = f"{producer}-{number}"
            self.tried.add(key)
            while not self.sent(key):
                if self.ended.is_set():
                    return
            self.accepted.add(key)
            if self.ended.is_set():
                return

    def sent(self, key: str) -> bool:
        # Without an answer, because the process was killed, the same key goes again.
        with contextlib.suppress(requests.RequestException):
            body = {"phone": "5551402211", "text": f"Hola {key}", "key": key}
            return self.site.post(body).status_code == 202
        return False


def serving_processes(parent: int) -> list[psutil.Process]:
    found = []
    for each in psutil.Process(parent).children():
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(each.cmdline()):
                found.append(each)
    return found


def test_no_accepted_message_is_lost_when_processes_are_killed_and_a_repeated_one_is_the_same(site: Site) -> None:
    web = site.start(processes=2)
    with Producers(site) as producers:
        for how_many in (1, 1, 2, 1, 2):
            before = len(producers.accepted)
            wait_until(lambda before=before: len(producers.accepted) > before + 20, what="messages")  # type: ignore[misc]
            wait_until(lambda: len(serving_processes(web.pid)) == 2, what="both processes")
            for each in serving_processes(web.pid)[:how_many]:
                each.kill()
    assert producers.accepted <= site.keys() <= producers.tried
    web.sigterm()
    assert web.wait(40) == 0


def test_it_answers_without_its_broker_and_says_in_one_line_what_is_wrong_with_its_address(
    site: Site, start_process: StartProcess
) -> None:
    web = site.start()
    assert site.post({"phone": "5551402211", "text": "Hola"}).status_code == 202
    check = start_process(["smsclick", "web", "--check"], site.env, name="check")
    assert check.wait() == 0
    second = start_process(["smsclick", "web"], site.env, name="second")
    assert second.wait() == 1
    assert f"cannot listen on 127.0.0.1:{site.port}" in second.tail(5)
    web.sigterm()
    assert web.wait(40) == 0
    check = start_process(["smsclick", "web", "--check"], site.env, name="check-2")
    assert check.wait() == 1
    assert "nothing serves" in check.tail(5)
    for value in ("8080", "127.0.0.1", "127.0.0.1:99999", "http://x:1"):
        wrong = start_process(["smsclick", "web"], site.env | {"SMSCLICK_WEB_BIND": value}, name=f"wrong-{len(value)}")
        assert wrong.wait() == 1
        assert "SMSCLICK_WEB_BIND" in wrong.tail(5)


LARAVEL = """
error_reporting(E_ALL & ~E_DEPRECATED);  // Debian's Laravel is older than its PHP
function env($name) { return getenv($name); }  // before Laravel's own, which needs more of it
require 'Illuminate/Http/autoload.php';
require 'GuzzleHttp/autoload.php';
final class Http {
    public static function __callStatic($name, $given) {
        return (new Illuminate\\Http\\Client\\Factory())->$name(...$given);
    }
}
$order = (object) ['id' => 1235, 'phone' => '55 5140 2211'];
"""
"""What an application of Laravel has around the example; its class Http calls this factory as well."""


def example(language: str) -> str:
    """The page's first example in a language."""
    examples = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.partition("## Send")[2], re.MULTILINE | re.DOTALL)
    return str(examples[0])


def test_the_pages_example_for_laravel_enqueues(site: Site, laravel: str) -> None:
    web = site.start()
    script = LARAVEL + example("php").replace("http://127.0.0.1:8080", site.url)
    env = {**os.environ, "SMSCLICK_TOKEN": site.secret}
    done = subprocess.run([laravel, "-r", script], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert site.keys() == {"order-1235:shipped"}
    refused = script.replace("Tu pedido va en camino", "")
    done = subprocess.run([laravel, "-r", refused], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert "RequestException" in done.stdout + done.stderr
    web.sigterm()
    assert web.wait(40) == 0


def test_the_pages_examples_enqueue(site: Site, node: str) -> None:
    web = site.start()
    env = {**os.environ, "TOKEN": site.secret, "SMSCLICK_TOKEN": site.secret}
    curl = example("sh").replace("http://127.0.0.1:8080", site.url)
    assert shutil.which("curl")
    done = subprocess.run(["sh", "-ec", curl], env=env, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == {"id": 1, "key": "order-1234:shipped", "state": "queued", "new": True}
    script = f"(async () => {{ {example('js').replace('http://127.0.0.1:8080', site.url)} }})()"
    subprocess.run([node, "-e", script], env=env, check=True, timeout=60)
    assert site.keys() == {"order-1234:shipped"}
    web.sigterm()
    assert web.wait(40) == 0
