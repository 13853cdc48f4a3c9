"""Callbacks of real workers: to another Celery app over both brokers, and to a webhook when a worker is killed."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import kombu
import pytest
import sqlalchemy as sa
from celery import Celery

from smsclick import NewMessage
from smsclick._values.callback import TaskTarget
from smsclick.contract import State, callbacks
from tests.acceptance import Cluster, Tap, ready, shows
from tests.factories import LONG_AGO
from tests.processes import wait_until
from tests.webhook_receiver import SECRET, Hook
from worker.callbacks.celery_task import TaskNotPublishedError, caller

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.servers import RabbitServer, RedisServer
    from tests.webhook_receiver import Delivery
    from worker.callbacks.celery_task import CallTask

TARGET = "celery:shop.sms_changed@shop"
WORD = "zarzamora6d1f"
WEBHOOKS = {"SMSCLICK_WEBHOOK_SECRET": SECRET, "SMSCLICK_WEBHOOK_ALLOW_PRIVATE": "true"}


def message(number: int, callback: str | None = None) -> NewMessage:
    return NewMessage.of(
        phone=f"555140{number:04d}", text=f"Su clave es {WORD} {number}", key=f"order-{number}", callback=callback
    )


def hurry(cluster: Cluster) -> None:
    """Time passes: leases and waits are over."""
    due = sa.update(callbacks).where(callbacks.c.due_at.is_not(None)).values(due_at=LONG_AGO)
    # Workers lock the same rows, in another order: a deadlock is tried again, as theirs are.
    cluster.database.transact(lambda connection: connection.execute(due))


def test_a_celery_app_of_somebody_else_hears_of_each_message_in_order(
    migrated_postgres_url: str, broker_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    file = tmp_path / "received.jsonl"
    file.touch()

    def received() -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    settings = {"SMSCLICK_CALLBACK": TARGET}
    with Cluster(start_process, migrated_postgres_url, broker_url, env=settings) as cluster:
        cluster.start(workers=2, beats=1)
        ids = cluster.enqueue([message(n) for n in range(4)])
        cluster.wait_final(4)
        # Its app was never there: on RabbitMQ its queue is not there either, and nothing is dropped for that.
        shop = ["celery", "-A", "tests.shop_app", "worker", "-P", "solo", "-Q", "shop", "-l", "info"]
        started = start_process(shop, {"SHOP_BROKER": broker_url, "SHOP_FILE": str(file)}, name="shop")
        started.wait_for_line(r" ready\.", 120)

        def all_delivered() -> bool:
            hurry(cluster)  # which also repeats what is under way just now
            return len({each["task_id"] for each in received()}) == 8

        wait_until(all_delivered, every=0.5, what="eight calls")
        for message_id in ids:
            mine = list(
                {
                    each["task_id"]: each["event"] for each in received() if each["event"]["data"]["id"] == message_id
                }.values()
            )
            assert [each["type"] for each in mine] == ["message.sent", "message.delivered"]
            assert mine[1]["data"]["state"] == "delivered"
            assert mine[1]["data"]["key"].startswith("order-")
            assert "reply" not in mine[1]["data"]
        assert all(each["task_id"] == each["event"]["id"] for each in received())


def test_a_killed_workers_callbacks_are_delivered_by_another(
    redis_server: RedisServer, migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    def answer(_: Delivery) -> int:
        while hook.types.count("message.sent") <= 8 and len(doomed) == 1 and doomed[0].running:
            time.sleep(0.02)
        return 200

    with (
        Tap(redis_server.port) as tap,
        Hook(answer) as hook,
        Cluster(start_process, migrated_postgres_url, "", env=WEBHOOKS) as cluster,
    ):
        cluster.env["CELERY_BROKER_URL"] = redis_url.replace(str(redis_server.port), str(tap.port))
        doomed = [cluster.worker()]
        beat = cluster.beat()
        ready(*doomed)
        ids = cluster.enqueue([message(n, hook.url) for n in range(12)])
        wait_until(lambda: len(hook.deliveries) >= 8, what="calls under way")
        wait_until(lambda: set(cluster.states()) <= {State.SENT, State.DELIVERED}, what="nothing in flight")
        doomed[0].sigkill()
        survivor = cluster.worker()
        ready(survivor)
        cluster.wait_final(12)

        def all_delivered() -> bool:
            hurry(cluster)
            return len({each.event_id for each in hook.deliveries}) == 24

        wait_until(all_delivered, every=1, what="all of them")
        wait_until(lambda: not pending(cluster), what="a record of each")
        # Its calls in flight were made once more, because nobody knows whether they arrived.
        assert len(hook.deliveries) > 24
        for message_id in ids:
            mine = {each.event_id: each.type for each in hook.deliveries if each.message_id == message_id}
            assert list(mine.values()) == ["message.sent", "message.delivered"]
        assert all(each.is_signed() for each in hook.deliveries)
        # Ids only cross the broker, and no log knows a text, the secret, or the path of a webhook.
        secrets = (WORD, SECRET.removeprefix("whsec_"), "shop=7")
        seen = {"broker": tap.traffic} | {each.name: each.output.encode() for each in (doomed[0], survivor, beat)}
        assert [(word, place) for place, content in seen.items() for word in secrets if shows(content, word)] == []
        assert b"smsclick.callbacks" in tap.traffic


def pending(cluster: Cluster) -> int:
    with cluster.database.read() as connection:
        query = sa.select(sa.func.count()).select_from(callbacks).where(callbacks.c.receiver.is_not(None))
        return int(connection.execute(query).scalar_one())


def test_a_silent_broker_ends_a_call_in_time_and_takes_the_next_one_when_it_is_back(
    rabbitmq: RabbitServer, rabbitmq_url: str
) -> None:
    app = Celery("smsclick-test", broker=rabbitmq_url, set_as_current=False)
    app.conf.update(broker_transport_options={"confirm_publish": True, "connect_timeout": 1})
    call, target = caller(app, seconds=1), TaskTarget("shop.sms_changed", "shop")

    def fails() -> str:
        with pytest.raises(TaskNotPublishedError) as failed:
            call(target, "e-1", {"id": "e-1"})
        return str(failed.value)

    # More than once, where the broker takes more than a second.
    missing = "the broker has no such queue; start the app that consumes it"
    wait_until(lambda: fails() == missing, what=missing)
    with kombu.Connection(rabbitmq_url) as connection:
        channel: Any = connection.channel()
        channel.queue_declare("shop", durable=True, auto_delete=False)
        wait_until(lambda: acknowledged(call, target), what="the broker")
        rabbitmq.freeze()
        try:
            began = time.monotonic()
            assert fails().startswith("the broker did not accept it (")
            assert time.monotonic() - began < 60  # a second for each of a few steps, and not forever
        finally:
            rabbitmq.thaw()
        wait_until(lambda: acknowledged(call, target), what="the broker")
        assert channel.queue_declare("shop", passive=True).message_count >= 2
    app.close()


def acknowledged(call: CallTask, target: TaskTarget) -> bool:
    with contextlib.suppress(TaskNotPublishedError):
        call(target, "e-2", {"id": "e-2"})
        return True
    return False
