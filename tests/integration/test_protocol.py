"""Calls by name as bytes: a worker accepts what docs/protocol.md shows, and no call is redelivered forever."""

from __future__ import annotations

import base64
import json
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import amqp
import pytest
import redis
import sqlalchemy as sa

from smsclick.contract import dead_letters, incidents, messages
from tests.acceptance import Cluster, ready
from tests.processes import ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import StartProcess

JSON = re.findall(r"^```json\n(.*?)\n```$", (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"), re.MULTILINE)
PLAIN_ENTRY, BASE64_ENTRY, BODY, PROTOCOL_1, CANCEL_BODY, CANCEL_ENTRY = JSON
SECRET = "5536009147"

# By the ids of docs/protocol.md: the first has a key of its own, and the one in Base64 is another message.
IDS = [f"0a86cb6e-3a5e-4a3c-9d5a-5b1f2c7e000{n}" for n in (1, 2, 3)]

GOOD = {"phone": SECRET, "text": "x", "ttl": 600, "priority": "high"}
BAD: list[list[Any]] = [
    [[SECRET, "x"], {}, {}],
    [["x"], GOOD, {}],
    [[], GOOD | {"phone": SECRET + "1"}, {}],
    [[], {"phone": SECRET}, {}],
    [[], GOOD | {SECRET: "x"}, {}],
    [[], GOOD | {"telefono": SECRET}, {}],
    [[], GOOD | {"ttl": "soon"}, {}],
    [[], GOOD | {"ttl": -1}, {}],
    [[], GOOD | {"ttl": 1e300}, {}],
    [[], GOOD | {"expires_at": "2099-01-01T00:00:00Z"}, {}],
    [[], {"phone": "55 5140 2211", "text": "otra", "key": "order-1234:shipped"}, {}],
]


def by_redis(url: str) -> Callable[..., None]:
    """A plain client: no Celery, no kombu. Gives a function of a body and an id (None: protocol 1)."""

    def push(body: str, task_id: str | None, task: str = "smsclick.enqueue") -> None:
        entry = json.loads(PLAIN_ENTRY)
        entry["headers"]["task"] = task
        entry["body"] = body
        if task_id is None:
            entry["headers"] = {}
        else:
            entry["headers"]["id"] = entry["properties"]["correlation_id"] = task_id
        entry["properties"]["delivery_tag"] = f"{task_id} {body}"
        with closing(redis.Redis.from_url(url)) as client:
            client.lpush("smsclick", json.dumps(entry))

    return push


def by_amqp(url: str) -> Callable[..., None]:
    """The same with the properties of the page's table."""
    at = urlsplit(url)

    def push(body: str, task_id: str | None, task: str = "smsclick.enqueue") -> None:
        headers = {"task": task, "id": task_id, "lang": "any"} if task_id else {}
        message = amqp.Message(
            body.encode(),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
            correlation_id=task_id or "",
            application_headers=headers,
        )
        with amqp.Connection(f"{at.hostname}:{at.port}", "guest", "guest", virtual_host=at.path[1:]) as connection:
            connection.channel().basic_publish(message, exchange="", routing_key="smsclick", mandatory=True)

    return push


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_hand_made_calls_are_accepted_once_and_bad_ones_are_reported_once(
    broker: str, migrated_postgres_url: str, start_process: StartProcess, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{broker}_url")
    push = by_redis(url) if broker == "redis" else by_amqp(url)
    with Cluster(start_process, migrated_postgres_url, url) as cluster:
        worker = cluster.worker()
        ready(worker)

        # As they stand on the page, and once more, as a broker that redelivers would.
        if broker == "redis":
            with closing(redis.Redis.from_url(url)) as client:
                for entry in (PLAIN_ENTRY, BASE64_ENTRY) * 2:
                    client.lpush("smsclick", entry)
        else:
            for body, task_id in [(BODY, IDS[0]), (decoded(BASE64_ENTRY), IDS[1])] * 2:
                push(body, task_id)
        for _ in range(2):
            push(PROTOCOL_1, None)
        keys = {"order-1234:shipped", IDS[1], IDS[2]}
        wait_until(lambda: {row.key for row in cluster.rows()} == keys, 90, what="the messages of the page")

        for number, bad in enumerate(BAD):
            push(json.dumps(bad), f"bad-{number}")
            if number == 0:
                # The first opens the incident; the others come after it in any order, each in a thread.
                wait_until(lambda: cluster.incidents() == [("bad_call", 1, True)], 90, what="the first of them")
        wait_until(lambda: cluster.incidents() == [("bad_call", len(BAD), True)], 90, what="the incident")

        # Without the tables nothing can be stored or reported: the call, the only copy there is, waits and is not lost.
        rename(cluster, "smsclick_messages", "away")
        push(json.dumps([[], GOOD, {}]), "patient")
        worker.wait_for_line("waits for the database. task_name=\\S+ task=patient error=DatabaseNotMigrated", 90)
        rename(cluster, "away", "smsclick_messages")
        wait_until(lambda: len(cluster.rows(messages.c.key == "patient")) == 1, 90, what="the call that waited")
        expires = sa.select(messages.c.expires_at - messages.c.created_at, messages.c.priority)
        with cluster.database.read() as connection:
            seconds, priority = connection.execute(expires.where(messages.c.key == "patient")).one()
            detail = connection.scalar(sa.select(incidents.c.detail))
            reasons = connection.scalars(sa.select(dead_letters.c.reason)).all()
        assert 540 < seconds.total_seconds() <= 601
        assert priority == 0

        push(json.dumps([[], GOOD | {"key": "order-1234:reminder", "send_at": "2099-01-01T00:00:00Z"}, {}]), "later")
        wait_until(lambda: cluster.states()["queued"] == 1, 90, what="the message for later")
        for _ in range(2):
            if broker == "redis":
                with closing(redis.Redis.from_url(url)) as client:
                    client.lpush("smsclick", CANCEL_ENTRY)
            else:
                push(CANCEL_BODY, "0a86cb6e-3a5e-4a3c-9d5a-5b1f2c7e0004", "smsclick.cancel")
        wait_until(lambda: cluster.states()["cancelled"] == 1, 90, what="the withdrawal")

        wait_until(lambda: cluster.states().total() - 1 == len(cluster.provider.ledger()) == 4, 90, what="the sending")
        assert cluster.incidents() == [("bad_call", len(BAD), True)]
        assert json.loads(str(detail))["is"] == "bad_call"
        assert any("positional" in reason for reason in reasons)
        assert SECRET not in f"{detail}{reasons}{worker.output}"


def decoded(entry: str) -> str:
    return base64.b64decode(json.loads(entry)["body"]).decode()


def rename(cluster: Cluster, table: str, name: str) -> None:
    with cluster.database.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO {name}"))
