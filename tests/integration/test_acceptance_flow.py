"""The main job end to end: whatever a producer commits is accepted by the provider once and followed to its end."""

from __future__ import annotations

import datetime as dt
import textwrap
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import redis
import sqlalchemy as sa

from smsclick import NewMessage
from smsclick.contract import State, messages
from tests.acceptance import Cluster, phone, sent_by_name, sent_strangely, texts
from tests.factories import LONG_AGO
from tests.processes import PATIENT_WAKEUPS, wait_until

if TYPE_CHECKING:
    from tests.conftest import StartProcess

COUNT = 2000


@pytest.mark.parametrize(
    ("database", "broker"),
    [("migrated_postgres_url", "redis_url"), ("migrated_mariadb_url", "rabbitmq_url")],
    ids=["postgres-redis", "mariadb-rabbitmq"],
)
def test_two_workers_and_two_beats_bring_2000_messages_to_their_end_once_each(
    database: str, broker: str, request: pytest.FixtureRequest, start_process: StartProcess
) -> None:
    database_url, broker_url = request.getfixturevalue(database), request.getfixturevalue(broker)
    with Cluster(start_process, database_url, broker_url, reject_suffixes=("7",)) as cluster:
        cluster.start(workers=2, beats=2)
        cluster.enqueue(texts(COUNT))
        cluster.wait_final(COUNT)
        assert cluster.states() == {State.DELIVERED: COUNT * 9 // 10, State.REJECTED: COUNT // 10}
        ledger = cluster.assert_ledger_agrees()
        rows = cluster.rows()
        assert {(entry.id_mensaje, entry.phone, entry.text) for entry in ledger} == {
            (row.id_mensaje, row.phone, row.text) for row in rows
        }
        assert {row.attempts for row in rows} == {1}
        assert cluster.requests() == {"1": COUNT}


SHOP = """
import os
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from smsclick import enqueue

with Session(create_engine(os.environ["DATABASE_URL"])) as session:
    for n in range(3):
        enqueue(session, phone=f"+52 55 5140 100{n}", text=f"De la tienda {n}", key=f"shop-{n}")
    session.commit()
    enqueue(session, phone="55 5140 1009", text="De un pedido que no fue", key="shop-9")
    session.rollback()
"""


def test_messages_of_an_app_and_of_calls_by_name_are_sent_at_once_although_no_beat_runs(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, redis_url) as cluster:
        cluster.start(workers=2, beats=0)
        shop = cluster.run("python", "-c", PATIENT_WAKEUPS + textwrap.dedent(SHOP), name="shop")
        assert shop.wait() == 0
        wait_until(lambda: cluster.provider.stats().accepted == 3, what="the shop's messages")

        call = {"phone": "044 55 5140 2000", "text": "Por nombre"}
        named = {"phone": "5551402001", "text": "Por nombre y clave", "key": "order-1"}
        sent_by_name(redis_url, [(call, "task-1"), (call, "task-1"), (named, None), (named, None)])
        wait_until(lambda: cluster.provider.stats().accepted == 5, what="the calls by name")
        cluster.beat()
        cluster.wait_final(5)
        assert {(row.key, row.phone, row.text) for row in cluster.rows()} == {
            *((f"shop-{n}", phone(1000 + n), f"De la tienda {n}") for n in range(3)),
            ("task-1", "5551402000", "Por nombre"),
            ("order-1", "5551402001", "Por nombre y clave"),
        }
        assert len(cluster.assert_ledger_agrees()) == 5


def test_rows_of_plain_sql_are_found_and_those_that_cannot_be_sent_fail_alone(
    migrated_mariadb_url: str, rabbitmq_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_mariadb_url, rabbitmq_url) as cluster:
        insert = sa.text("INSERT INTO smsclick_messages (`key`, phone, text) VALUES (:key, :phone, :text)")
        rows = [
            ("a", "5551403000", "Señal ✓"),
            ("b", "+52 55 5140 3001", "Otra"),
            ("c", "123", "x"),
            ("d", phone(1), " "),
        ]
        with cluster.database.begin() as connection:
            connection.execute(insert, [dict(zip(("key", "phone", "text"), row, strict=True)) for row in rows])
        cluster.start(workers=1, beats=1)
        cluster.wait_final(4)
        assert [row.state for row in cluster.rows()] == [State.DELIVERED] * 2 + [State.FAILED] * 2
        assert [(e.phone, e.text) for e in sorted(cluster.provider.ledger(), key=lambda entry: entry.phone)] == [
            ("5551403000", "Señal ✓"),
            ("5551403001", "Otra"),
        ]
        assert cluster.requests() == {"1": 2}


def test_messages_go_at_their_time_and_not_after_their_validity(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, redis_url) as cluster:
        in_an_hour = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        cluster.enqueue(
            [
                NewMessage.of(phone=phone(2), text="Tarde", key="late", expires_at=in_an_hour),
                NewMessage.of(phone=phone(3), text="Ya", key="now", expires_at=in_an_hour),
            ]
        )
        with cluster.database.begin() as connection:
            connection.execute(sa.update(messages).where(messages.c.key == "late").values(expires_at=LONG_AGO))
        cluster.start(workers=1, beats=1)
        later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)
        cluster.enqueue([NewMessage.of(phone=phone(1), text="A su hora", key="later", send_at=later)])
        cluster.wait_final(3)
        assert {row.key: row.state for row in cluster.rows()} == {
            "later": State.DELIVERED,
            "late": State.EXPIRED,
            "now": State.DELIVERED,
        }
        accepted = {entry.text: entry.accepted_at for entry in cluster.assert_ledger_agrees()}
        assert set(accepted) == {"A su hora", "Ya"}
        assert accepted["A su hora"] >= later.timestamp()


def test_a_call_by_name_that_cannot_be_a_message_opens_one_incident_and_is_not_delivered_again(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, redis_url) as cluster:
        good = {"phone": phone(1), "text": "Bien", "key": "one"}
        bad: list[dict[str, object]] = [
            {"phone": "123", "text": "Hola"},
            {"phone": phone(1)},
            {"phone": phone(1), "text": "Hola", "colour": "red"},
            {"phone": phone(1), "text": ["Hola"]},
            {**good, "text": "Otro texto con la misma clave"},
        ]
        workers, _ = cluster.start(workers=2, beats=1)
        sent_by_name(redis_url, [(good, None)])
        cluster.wait_final(1)
        sent_by_name(redis_url, [(call, None) for call in bad])
        wait_until(lambda: cluster.incidents() == [("bad_call", len(bad), True)], what="the incident")
        time.sleep(2)
        assert cluster.incidents() == [("bad_call", len(bad), True)]

        # Worse than that they cannot be. The workers live, and nothing stays behind to come again.
        sent_strangely(redis_url, phone(2), "Raro")
        sent_by_name(redis_url, [({"phone": phone(3), "text": "Al final"}, None)])
        cluster.wait_final(2)
        with closing(redis.Redis.from_url(redis_url)) as broker:
            wait_until(lambda: not broker.llen("smsclick") and not broker.hlen("unacked"), what="empty queues")
        assert [worker.running for worker in workers] == [True, True]
        assert [row.text for row in cluster.rows()] == ["Bien", "Al final"]
