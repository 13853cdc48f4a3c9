"""The examples, run as people run them, beside a real worker and beat: one transaction, one order, one message."""

from __future__ import annotations

import base64
import json
import socket
import textwrap
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
import redis
import requests
import sqlalchemy as sa

from smsclick.contract import State, messages
from tests.acceptance import Cluster, Row, phone
from tests.processes import PATIENT_WAKEUPS, ROOT, Process, wait_until
from tests.servers import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.servers import PostgresServer, RedisServer

WORKERS, APPS = "14", "15"
"""Redis databases. Nobody consumes that of the apps: their wake-ups stay there, and the sweep finds the messages."""

HASTY = {"SMSCLICK_SWEEP_SECONDS": "0.3", "SMSCLICK_POLL_SECONDS": "0.2,0.4"}

# What each server process begins with: the process dies right after the commit, once the file is there. It looks for
# the file before: nothing after the commit lets another thread, such as that of the wake-ups, run first.
DIES = f"""{PATIENT_WAKEUPS}
import os, pathlib, signal, sys
dying = False
def look(*_):
    global dying
    dying = pathlib.Path(os.environ["DIE"]).exists()
    if dying:
        sys.setswitchinterval(60)
def die(*_):
    if dying:
        os.kill(os.getpid(), signal.SIGKILL)
port = int(os.environ["PORT"])
"""
SERVERS = {
    "flask": """
from sqlalchemy import event
from sqlalchemy.orm import Session
from examples.flask_shop import app
event.listen(Session, "before_commit", look)
event.listen(Session, "after_commit", die)
app.run(port=port)
""",
    "fastapi": """
import uvicorn
from sqlalchemy import event
from sqlalchemy.orm import Session
from examples.fastapi_shop import app
event.listen(Session, "before_commit", look)
event.listen(Session, "after_commit", die)
uvicorn.run(app, port=port)
""",
    "django": """
import sys
sys.path.insert(0, "examples/django_shop")
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
import django
django.setup()
from django.core.management import execute_from_command_line
from django.db import transaction
from django.db.models.signals import post_save
from shop.models import Order
execute_from_command_line(["manage.py", "migrate", "--verbosity=0"])
post_save.connect(lambda **_: (look(), transaction.on_commit(die)), sender=Order, weak=False)
execute_from_command_line(["manage.py", "runserver", "--noreload", str(port)])
""",
}


class Shops:
    """The apps of the examples, each started when it is first asked and again when it has died.

    Args:
        start: starts a process of this module.
        env: of their processes.
        folder: for a file.
    """

    def __init__(self, start: StartProcess, env: Mapping[str, str], folder: Path) -> None:
        self._start = start
        self._die = folder / "die"
        self._env = {**env, "DIE": str(self._die)}
        self._running: dict[str, tuple[Process, int]] = {}
        self._http = requests.Session()
        self._http.trust_env = False

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> Process:
        """Any other program of the examples, to its end."""
        program = self._start(command, {**self._env, **(env or {})}, name=f"example-{free_port()}")
        program.wait()
        return program

    def order(self, shop: str, quantity: int, to: str) -> tuple[int, int]:
        """Orders; the status and the order's number, if it has one."""
        port = self._server(shop)[1]
        sent = {"product": 1, "quantity": quantity, "phone": to}
        body: dict[str, Any] = {"json": sent} if shop == "fastapi" else {"data": sent}
        answer = self._http.post(f"http://{HOST}:{port}/orders", timeout=120, **body)
        return answer.status_code, int(answer.json().get("order", 0))

    def order_and_die(self, shop: str, to: str) -> None:
        """Place an order; SIGKILL ends the process right after the commit."""
        process, _ = self._server(shop)
        self._die.touch()
        with suppress(requests.ConnectionError):
            self.order(shop, 1, to)
        assert process.wait() == -9
        self._die.unlink()

    def _server(self, shop: str) -> tuple[Process, int]:
        if shop not in self._running or not self._running[shop][0].running:
            port = free_port()
            command = ["python", "-c", DIES + textwrap.dedent(SERVERS[shop])]
            process = self._start(command, {**self._env, "PORT": str(port)}, name=f"{shop}-{port}")
            self._running[shop] = process, port

            def listens() -> bool:
                assert process.running, process.tail()
                with closing(socket.socket()) as probe:
                    return probe.connect_ex((HOST, port)) == 0

            wait_until(listens, 120, what=shop)
        return self._running[shop]


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Process]]:
    """Those of this module; they end with it."""
    started: list[Process] = []
    yield started
    for process in reversed(started):
        process.end()


@pytest.fixture(scope="module")
def cluster(
    postgres: PostgresServer,
    _postgres_template: str,
    redis_server: RedisServer,
    processes: list[Process],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    """One worker and one beat for all tests of this module."""
    folder = tmp_path_factory.mktemp("examples")

    def start(
        command: Sequence[str], env: Mapping[str, str] | None = None, *, name: str = "", cwd: Path = ROOT
    ) -> Process:
        processes.append(Process(command, env, log=folder / f"{name}.log", cwd=cwd))
        return processes[-1]

    for server in (postgres, redis_server):
        server.thaw()
        server.start()
    for database in (WORKERS, APPS):
        redis_server.flush(database)
    url = postgres.create_database("examples", template=_postgres_template)
    with Cluster(start, url, redis_server.url(WORKERS), env=HASTY, delivery_seconds=0.1) as made:
        made.start(workers=1, beats=1)
        yield made
        for process in processes:
            process.end()
    postgres.drop_database("examples")


@pytest.fixture(scope="module")
def shops(cluster: Cluster, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Shops:
    """The apps beside them."""
    env = {**cluster.env, "CELERY_BROKER_URL": redis_server.url(APPS)}
    return Shops(cluster.start_process, env, tmp_path_factory.mktemp("shops"))


def by_phone(cluster: Cluster, to: str) -> list[Row]:
    """The messages of one phone: each test has its own."""
    return cluster.rows(messages.c.phone == to)


def delivered(cluster: Cluster, to: str) -> Row:
    """Waits until the one message of this phone is delivered, and sees that the provider has it once."""

    def ended() -> Row | None:
        found = by_phone(cluster, to)
        return found[0] if found and found[0].state == State.DELIVERED else None

    row = wait_until(ended, 120, what=f"the message, of {cluster.states()}")
    assert row is not None
    assert [entry.text for entry in cluster.provider.ledger() if entry.phone == to] == [row.text]
    return row


def woken_for(server: RedisServer) -> set[int]:
    """The ids that the apps sent wake-ups for so far."""
    with closing(redis.Redis.from_url(server.url(APPS))) as client:
        sent = [json.loads(entry) for entry in client.lrange("smsclick.send", 0, -1)]
    return {each for wakeups in sent for each in json.loads(base64.b64decode(wakeups["body"]))[0][0]}


@pytest.mark.parametrize("shop", SERVERS)
def test_a_committed_order_is_delivered_and_one_that_fails_after_enqueue_is_not(
    shop: str, cluster: Cluster, shops: Shops, redis_server: RedisServer
) -> None:
    good, bad = phone(10 + [*SERVERS].index(shop)), phone(20 + [*SERVERS].index(shop))
    assert shops.order(shop, 11, bad) == (409, 0)
    assert shops.order(shop, 1, "123") == (422, 0)
    status, number = shops.order(shop, 2, good)
    assert status == 201
    row = delivered(cluster, good)
    assert (row.key, row.text) == (f"{shop}-order-{number}:placed", f"Recibimos tu pedido {number}, ¡gracias!")
    assert by_phone(cluster, bad) == []
    wait_until(lambda: row.id in woken_for(redis_server), what="the wake-up")
    assert woken_for(redis_server) <= {each.id for each in cluster.rows()}


@pytest.mark.parametrize("shop", SERVERS)
def test_an_order_whose_process_is_killed_right_after_its_commit_is_delivered(
    shop: str, cluster: Cluster, shops: Shops, redis_server: RedisServer
) -> None:
    to = phone(30 + [*SERVERS].index(shop))
    shops.order_and_die(shop, to)
    row = delivered(cluster, to)
    assert row.id not in woken_for(redis_server)


def test_an_async_session_does_the_same_on_sqlite(migrated_sqlite_url: str, cluster: Cluster, tmp_path: Path) -> None:
    env = {"DATABASE_URL": migrated_sqlite_url.replace("sqlite:", "sqlite+aiosqlite:")}
    shop = Shops(cluster.start_process, env, tmp_path)
    assert shop.order("fastapi", 11, phone(1)) == (409, 0)
    assert shop.order("fastapi", 1, "123") == (422, 0)
    assert shop.order("fastapi", 1, phone(2))[0] == 201
    engine = sa.create_engine(migrated_sqlite_url)
    with engine.connect() as connection:
        assert list(connection.scalars(sa.select(messages.c.phone))) == [phone(2)]
    engine.dispose()


def test_a_script_that_is_run_twice_enqueues_its_file_once(cluster: Cluster, shops: Shops, tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text(f"order,phone,name\n71,{phone(40)},Íñigo\n72,{phone(41)},Ana\n", encoding="utf-8")
    for _ in range(2):
        assert shops.run("python", "examples/plain_script.py", str(orders)).output == "2 messages enqueued\n"
    assert delivered(cluster, phone(40)).text == "Íñigo, tu pedido 71 va en camino"
    assert delivered(cluster, phone(41)).key == "order-72:shipped"


def test_php_puts_its_order_and_a_message_into_one_transaction(php: str, cluster: Cluster, shops: Shops) -> None:
    url = sa.make_url(cluster.env["DATABASE_URL"])
    env = {"PDO_DSN": f"pgsql:host={url.host};port={url.port};dbname={url.database};user={url.username}"}
    failed = shops.run(php, "examples/php/shop.php", "order", "1", "11", phone(51), env=env)
    assert "php_products_stock_check" in failed.output
    number = shops.run(php, "examples/php/shop.php", "order", "1", "2", phone(50), env=env).output.strip()
    row = delivered(cluster, phone(50))
    assert (row.key, row.text) == (f"php-order-{number}:placed", f"Recibimos tu pedido {number}, ¡gracias!")
    assert by_phone(cluster, phone(51)) == []


def test_php_calls_enqueue_by_its_name_over_redis(php: str, cluster: Cluster, shops: Shops) -> None:
    env = {"CELERY_BROKER_URL": cluster.env["CELERY_BROKER_URL"]}
    call = shops.run(php, "examples/php/shop.php", "notify", "+52 (55) 5140-0060", "¡Señal de PHP!", env=env)
    row = delivered(cluster, phone(60))
    assert (row.key, row.text) == (call.output.strip(), "¡Señal de PHP!")


def test_node_enqueues_and_withdraws_by_name_over_redis(node: str, cluster: Cluster, shops: Shops) -> None:
    env = {"CELERY_BROKER_URL": cluster.env["CELERY_BROKER_URL"]}
    shop = (node, "examples/node/shop.mjs")
    call = shops.run(*shop, "notify", phone(61), "¡Señal de Node!", env=env).output.strip()
    assert (delivered(cluster, phone(61)).key, by_phone(cluster, phone(61))[0].text) == (call, "¡Señal de Node!")
    shops.run(*shop, "remind", phone(62), "Tu cita es mañana", "cita-7:reminder", "2099-01-01T09:30:00-06:00", env=env)
    wait_until(lambda: by_phone(cluster, phone(62)), 90, what="the message for later")
    shops.run(*shop, "cancel", "cita-7:reminder", env=env)
    wait_until(lambda: by_phone(cluster, phone(62))[0].state == State.CANCELLED, 90, what="the withdrawal")
