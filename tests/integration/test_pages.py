"""The pages for each kind of producer, followed word for word in an environment of their own, on real servers."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import sqlalchemy as sa

from smsclick.contract import messages
from tests.acceptance import Cluster
from tests.pages import Installations, Reader
from tests.processes import wait_until
from tests.servers import free_port

if TYPE_CHECKING:
    from tests.conftest import StartProcess


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> Installations:
    """Shared by the pages: the wheel is built once."""
    return Installations(tmp_path_factory)


def stored(url: str) -> list[Any]:
    """The messages of a database."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(messages.c.key, messages.c.phone, messages.c.text).order_by(messages.c.id))
        found = [tuple(row) for row in rows]
    engine.dispose()
    return found


# --- Django

SETTINGS = {"postgresql": "PostgreSQL", "psycopg2": "PostgreSQL", "mariadb": "MySQL and MariaDB"}

MORE_TESTS = """
import datetime as dt
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from django.utils import timezone
from orders.models import Order
from smsclick.contract import messages
from smsclick.django import connected, enqueue
from smsclick.django.models import Message
from smsclick.errors import SmsclickError
from smsclick.testing import Outbox, create_tables, outbox
import sqlalchemy as sa

class Committed(TransactionTestCase):
    def setUp(self):
        self.outbox = self.enterContext(outbox(connected))

    def test_first(self):
        enqueue(phone="5551402211", text="Hola", key="same")
        self.outbox.one(key="same")

    def test_second(self):
        self.outbox.assert_empty()
        enqueue(phone="5551402211", text="Otro", key="same")
        self.outbox.one(containing="Otro")

    def test_what_others_stored_can_be_removed_and_what_is_rolled_back_is_not_there(self):
        with connection.cursor() as cursor:
            key = "`key`" if connection.vendor == "mysql" else "key"
            cursor.execute(f"INSERT INTO smsclick_messages ({key}, phone, text) VALUES ('sql', '5551402211', 'Hola')")
        self.outbox.one(key="sql")
        self.outbox.clear()
        self.outbox.assert_empty()

        try:
            with transaction.atomic():
                Order.place("5551402211")
                raise KeyError
        except KeyError:
            pass
        self.outbox.assert_empty()

class Elsewhere(TestCase):
    def test_another_database_is_an_error(self):
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        create_tables(engine)
        with outbox(engine) as elsewhere:
            enqueue(phone="5551402211", text="Hola", key="a")
            with self.assertRaisesRegex(SmsclickError, "looks at an SQLite in memory, but the test has enqueued in"):
                elsewhere.assert_empty()
        engine.dispose()

class Admin(TestCase):
    def setUp(self):
        self.message_id = enqueue(phone="5551402211", text="Hola, ¿qué tal?", key="order-7:placed", reference="r-7")
        enqueue(phone="5551402212", text="Otra", key="other")
        with connected() as borrowed:
            other = sa.update(messages).where(messages.c.key == "other")
            borrowed.execute(other.values(state="failed", id_mensaje=990))
        self.client.force_login(User.objects.create_superuser("staff"))

    def listed(self, query):
        return self.client.get(f"/admin/smsclick/message/?{query}").content.decode()

    def test_search_and_filter(self):
        mine, other = "Hola, ¿qué tal?", "Otra"
        everything = self.listed("")
        self.assertIn(mine, everything)
        self.assertIn(other, everything)
        for query in ("q=55+5140+2211", "q=order-7", "q=r-7", f"q={self.message_id}", "state__exact=queued"):
            page = self.listed(query)
            self.assertIn(mine, page, query)
            self.assertNotIn(other, page, query)
        self.assertIn(other, self.listed("q=990"))
        self.assertIn("0 messages", self.listed("q=%C3%B1%F0%9F%99%82" + "9" * 60))
        self.assertIn(mine, self.listed("created_at__gte=2020-01-01+00%3A00%3A00Z"))

    def test_one_message_with_its_history(self):
        page = self.client.get(f"/admin/smsclick/message/{self.message_id}/change/").content.decode()
        self.assertIn("Hola, ¿qué tal?", page)
        self.assertNotIn('name="_save"', page)

    def test_nobody_changes_anything(self):
        self.assertEqual(self.client.get("/admin/smsclick/message/add/").status_code, 403)
        path = f"/admin/smsclick/message/{self.message_id}"
        self.assertEqual(self.client.post(f"{path}/change/", {"text": "x"}).status_code, 403)
        self.assertEqual(self.client.post(f"{path}/delete/", {"post": "yes"}).status_code, 403)
        chosen = {"action": "delete_selected", "_selected_action": self.message_id, "post": "yes"}
        self.client.post("/admin/smsclick/message/", chosen)
        self.assertEqual(Message.objects.count(), 2)

    def test_staff_without_the_permission_sees_nothing(self):
        self.client.force_login(User.objects.create_user("clerk", is_staff=True))
        self.assertEqual(self.client.get("/admin/smsclick/message/").status_code, 403)

    def test_what_writes_raises(self):
        message = Message.objects.get(key="order-7:placed")
        for write in (
            message.save,
            message.delete,
            lambda: Message.objects.create(key="x"),
            lambda: Message.objects.all().update(text="x"),
            lambda: Message.objects.all().delete(),
            lambda: Message.objects.bulk_create([Message(key="x")]),
            lambda: Message.objects.get_or_create(key="x"),
            lambda: message.events.create(),
            lambda: message.events.all().delete(),
        ):
            with self.assertRaisesRegex(SmsclickError, "read-only"):
                write()

    def test_times_are_in_utc_and_shown_in_the_zone_of_the_project(self):
        at = dt.datetime(2031, 5, 6, 7, 8, 9, tzinfo=dt.timezone.utc)
        enqueue(phone="5551402211", text="Luego", key="later", send_at=at)
        later = Message.objects.get(key="later")
        self.assertEqual(later.send_at, at)
        self.assertEqual(list(Message.objects.filter(send_at=at)), [later])
        self.assertEqual(list(Message.objects.filter(send_at__gt=at)), [])
        self.assertLess(abs(timezone.now() - later.created_at), dt.timedelta(minutes=5))
        page = self.client.get(f"/admin/smsclick/message/{later.pk}/change/").content.decode()
        self.assertIn("May 6, 2031, 1:08 a.m.", page)
"""


SHOP = "postgresql+psycopg://shop:secret@127.0.0.1:5432/shop"
BROKER = "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize("database", ["postgresql", "psycopg2", "mariadb", "sqlite"])
def test_the_page_for_django(
    database: str,
    installations: Installations,
    tmp_path: Path,
    start_process: StartProcess,
    request: pytest.FixtureRequest,
) -> None:
    project = tmp_path / "project"
    instead = {SHOP: f"sqlite:///{project / 'db.sqlite3'}"}
    if database in SETTINGS:
        url = request.getfixturevalue("mariadb_url" if database == "mariadb" else "postgres_url")
        address = sa.make_url(url)
        instead = {
            SHOP: url,
            '"NAME": "shop"': f'"NAME": "{address.database}"',
            '"USER": "shop"': f'"USER": "{address.username}"',
            '"PASSWORD": "secret"': f'"PASSWORD": "{address.password or ""}"',
            '"PORT": "3306"' if database == "mariadb" else '"PORT": "5432"': f'"PORT": "{address.port}"',
        }
    url = instead[SHOP]
    # One environment for all but the older driver, which Django only uses where the newer one is not.
    drivers = "'smsclick[celery]' psycopg2-binary" if database == "psycopg2" else "'smsclick[celery,postgresql,mysql]'"
    instead["'smsclick[celery,postgresql]'"] = drivers
    reader = Reader(project, installations, start_process, instead)
    settings = [SETTINGS[database]] if database in SETTINGS else []
    reader.follow("django.md", "Install", "A project", "Settings", *settings, "The tables", "A message with the order")
    if database != "psycopg2":  # it takes the same way there
        reader.follow("django.md", "The model and the admin")
        (project / "orders" / "test_more.py").write_text(MORE_TESTS, encoding="utf-8")
    reader.follow("django.md", "Tests")
    reader.done()
    assert stored(url) == [("order-1:placed", "5551402211", "Recibimos tu pedido 1, ¡gracias!")]
    assert not list(project.rglob("smsclick/migrations"))


def test_the_page_on_tests_with_pytest_unittest_and_a_worker(
    installations: Installations, tmp_path: Path, start_process: StartProcess, postgres_url: str
) -> None:
    reader = Reader(tmp_path / "project", installations, start_process, {f"{SHOP}_test": postgres_url})
    reader.follow("testing.md", "With pytest", "The outbox", "With unittest", "With a worker")
    reader.done()
    assert stored(postgres_url) == []


def test_the_page_on_tests_for_django_with_pytest(
    installations: Installations, tmp_path: Path, start_process: StartProcess
) -> None:
    project = tmp_path / "project"
    instead = {SHOP: f"sqlite:///{project / 'db.sqlite3'}", "'smsclick[celery,postgresql]'": "smsclick"}
    reader = Reader(project, installations, start_process, instead)
    reader.follow("django.md", "Install", "A project", "Settings", "The tables", "A message with the order")
    reader.follow("testing.md", "Django with pytest")
    reader.done()


# --- Flask, FastAPI


@pytest.mark.parametrize(("page", "port"), [("flask.md", "5000"), ("fastapi.md", "8000")])
def test_the_pages_for_flask_and_fastapi(
    page: str,
    port: str,
    installations: Installations,
    tmp_path: Path,
    start_process: StartProcess,
    postgres_url: str,
    redis_url: str,
) -> None:
    instead = {SHOP: postgres_url, BROKER: redis_url, port: str(free_port())}
    reader = Reader(tmp_path / "project", installations, start_process, instead)
    reader.follow(page)
    reader.done()
    assert stored(postgres_url) == [("order-1:placed", "5551402211", "Recibimos tu pedido 1, ¡gracias!")]
    with closing(redis.Redis.from_url(redis_url)) as client:
        woken = wait_until(lambda: client.lrange("smsclick.send", 0, -1), what="the wake-up")
    assert json.loads(base64.b64decode(json.loads(woken[0])["body"]))[0] == [[1]]


# --- A Celery of its own


def test_the_page_for_a_celery_of_its_own(
    installations: Installations,
    tmp_path: Path,
    start_process: StartProcess,
    migrated_postgres_url: str,
    redis_url: str,
) -> None:
    # The sweep is an hour away, so what is sent was called or woken up for.
    env = {"SMSCLICK_SWEEP_SECONDS": "3600"}
    with Cluster(start_process, migrated_postgres_url, redis_url, env=env, delivery_seconds=0.1) as cluster:
        cluster.start(workers=1, beats=0)
        reader = Reader(tmp_path / "project", installations, start_process, {BROKER: redis_url})
        reader.follow("celery.md", "By name")
        assert reader.server is not None
        reader.server.wait_for_line(r"message\.sent order-1:shipped", 90)
        assert reader.run("celery --version").startswith("5.3.")
        reader.instead = {SHOP: migrated_postgres_url}
        reader.follow("celery.md", "In your transaction")
        wait_until(lambda: len(cluster.provider.ledger()) == 2, 120, what="the wake-up")
    assert {entry.phone for entry in cluster.provider.ledger()} == {"5551402211", "5551402212"}


# --- PHP, Node


def test_the_pages_for_php_and_node(
    php: str,
    node: str,
    installations: Installations,
    tmp_path: Path,
    start_process: StartProcess,
    migrated_postgres_url: str,
    redis_url: str,
) -> None:
    address = sa.make_url(migrated_postgres_url)
    of_php = f"'pgsql:host=127.0.0.1;port={address.port};dbname={address.database}', '{address.username}', ''"
    instead = {
        SHOP: migrated_postgres_url,
        "'pgsql:host=127.0.0.1;port=5432;dbname=shop', 'shop', 'secret'": of_php,
        BROKER: redis_url,
    }
    with Cluster(start_process, migrated_postgres_url, redis_url, delivery_seconds=0.1) as cluster:
        cluster.start(workers=1, beats=0)
        reader = Reader(tmp_path / "project", installations, start_process, instead)
        reader.env["PATH"] = os.pathsep.join([str(Path(php).parent), str(Path(node).parent), reader.env["PATH"]])
        reader.follow("php.md")
        call = reader.printed.strip()
        reader.follow("node.md")
        reader.done()
        wait_until(lambda: len(stored(migrated_postgres_url)) == 3, 120, what="both calls")
    assert sorted(stored(migrated_postgres_url), key=lambda row: str(row[1])) == [
        ("order-1:placed", "5551402211", "Recibimos tu pedido 1, ¡gracias!"),
        (call, "5551402212", "Tu pedido va en camino"),
        ("order-3:shipped", "5551402213", "Tu pedido va en camino, ¡gracias!"),
    ]


# --- Excel


def as_excel_saves_it(sheet: str, delimiter: str, encoding: str) -> bytes:
    """With empty columns and rows at the end, as a sheet leaves them in which somebody once wrote there."""
    output = io.StringIO()
    writer = csv.writer(output, delimiter=delimiter, lineterminator="\r\n")
    rows = list(csv.reader(io.StringIO(sheet)))
    writer.writerows([*([*row, "", ""] for row in rows), [""] * (len(rows[0]) + 2)])
    return output.getvalue().encode(encoding)


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "cp1252"), (";", "utf-8-sig")])
def test_the_page_for_excel(
    delimiter: str, encoding: str, installations: Installations, tmp_path: Path, start_process: StartProcess
) -> None:
    project = tmp_path / "project"
    instead = {"sqlite:////home/ana/smsclick.db": f"sqlite:///{tmp_path / 'smsclick.db'}"}
    reader = Reader(project, installations, start_process, instead)
    reader.follow("excel.md", "The sheet")
    sheet = project / "mensajes.csv"
    sheet.write_bytes(as_excel_saves_it(sheet.read_text(encoding="utf-8"), delimiter, encoding))
    reader.follow("excel.md", "Look first, then import", "Send", "What became of them")
    reader.done()
    url = next(iter(instead.values()))
    first, second = ("cita-1", "5551402211"), ("cita-2", "5551402212")
    texts = ("Señor Íñigo, su cita es mañana a las 10", "¡Feliz cumpleaños!")
    assert stored(url) == [(*first, texts[0]), (*second, texts[1])]
    exported = (project / "registros.csv").read_bytes()
    assert exported.startswith(b"\xef\xbb\xbf")
    records = list(csv.DictReader(io.StringIO(exported.decode("utf-8-sig"))))
    assert [(each["key"], each["phone"], each["text"], each["state"]) for each in records] == [
        (*first, texts[0], "queued"),
        (*second, texts[1], "queued"),
    ]
    bad = (project / "corregir.csv").read_text(encoding="utf-8-sig")
    assert "551402213" in bad
    assert "A este teléfono le falta una cifra" in bad
