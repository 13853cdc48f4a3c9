"""smsclick.django on a borrowed connection: what Django rolls back is gone, and what it keeps is kept."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import TYPE_CHECKING

import django
import pymysql
import pytest
import sqlalchemy as sa
from django.conf import settings
from django.db import connections, transaction

from smsclick.contract import messages
from smsclick.errors import InvalidMessage, KeyConflict, SmsclickError
from smsclick.testing import Outbox

if TYPE_CHECKING:
    from collections.abc import Iterator

# Whoever imports MySQLdb.err then makes a second pymysql.err: tests name pymysql.OperationalError and the like.
pymysql.install_as_MySQLdb()
settings.configure(
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "sqlite": {"ENGINE": "django.db.backends.sqlite3"},
        "postgresql": {"ENGINE": "django.db.backends.postgresql"},
        "mysql": {"ENGINE": "django.db.backends.mysql"},
        "other": {"ENGINE": "django.db.backends.dummy"},
    },
    USE_TZ=True,
    SMSCLICK_DATABASE="default",
)
django.setup()

from smsclick.django import cancel, connected, enqueue, enqueue_many, status  # noqa: E402 - Django wants to be set up first


class Undone(Exception):  # noqa: N818 - what it says
    """Something went wrong in the caller's block."""


@pytest.fixture(params=["migrated_sqlite_url", "migrated_postgres_url", "migrated_mariadb_url"])
def alias(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The test runs on all three, each with our tables."""
    url = sa.make_url(request.getfixturevalue(request.param))
    name = url.get_backend_name()
    connection = connections[name]
    for key, value in {"NAME": url.database, "USER": url.username, "HOST": url.host, "PORT": url.port}.items():
        monkeypatch.setitem(connection.settings_dict, key, value or "")
    monkeypatch.setattr(settings, "SMSCLICK_DATABASE", name)
    yield name
    connection.close()


def keys() -> list[str]:
    """Of the messages that are there, as this transaction sees it."""
    return [message.key for message in Outbox(connected).messages]


def put(key: str, text: str = "Hola") -> int:
    """One message."""
    return enqueue(phone="55 5140 2211", text=text, key=key)


def test_what_a_block_or_savepoint_rolls_back_is_gone_and_the_rest_is_kept(alias: str) -> None:
    with transaction.atomic(using=alias):
        put("a")
        with suppress(Undone), transaction.atomic(using=alias):
            put("b")
            raise Undone
        enqueue_many([{"phone": "5551402211", "text": str(n), "key": f"c{n}"} for n in range(2)])
    with suppress(Undone), transaction.atomic(using=alias):
        put("d")
        assert keys() == ["a", "c0", "c1", "d"]
        raise Undone
    connections[alias].close()
    assert keys() == ["a", "c0", "c1"]


def test_a_message_that_is_refused_leaves_the_rest_of_the_block_as_it_was(alias: str) -> None:
    with transaction.atomic(using=alias):
        first = put("a")
        with pytest.raises(KeyConflict):
            put("a", text="Otro")
        with pytest.raises(InvalidMessage):
            enqueue(phone="123", text="Hola")
        assert put("a") == first
        put("b")
    connections[alias].close()
    assert keys() == ["a", "b"]


def test_a_withdrawal_goes_with_its_block_and_a_status_sees_it(alias: str) -> None:
    put("a")
    with suppress(Undone), transaction.atomic(using=alias):
        assert cancel("a")
        seen = status("a")
        assert seen is not None
        assert seen.state == "cancelled"
        raise Undone
    seen = status("a")
    assert seen is not None
    assert seen.state == "queued"
    assert cancel("a")
    assert not cancel("a")
    assert status("b") is None


def test_without_a_block_a_message_is_committed_at_once(alias: str) -> None:
    put("a")
    connections[alias].close()
    assert keys() == ["a"]


def test_times_are_those_of_the_database_although_django_converts_them_itself(alias: str) -> None:
    at = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(hours=1)
    enqueue(phone="5551402211", text="Luego", key="later", send_at=at)
    with connected() as connection:
        stored = connection.execute(sa.select(messages.c.send_at, messages.c.due_at)).one()
    assert stored == (at, at)


def test_the_borrowed_connection_stays_as_django_has_set_it_up(alias: str) -> None:
    put("a")
    lent = connections[alias].connection
    with transaction.atomic(using=alias):
        put("b")
        with connected() as connection:
            assert connection.connection.driver_connection is lent
        assert connections[alias].in_atomic_block
    assert connections[alias].connection is lent
    if alias == "sqlite":
        with connections[alias].cursor() as cursor:  # SQLAlchemy's own function of this name raises here
            assert cursor.execute("SELECT 'x' REGEXP NULL").fetchone() == (None,)


def test_a_database_that_it_does_not_know_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SMSCLICK_DATABASE", "other")
    with pytest.raises(SmsclickError, match="enqueue by SQL instead"), connected():
        pass
