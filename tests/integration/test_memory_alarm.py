"""RabbitMQ under a memory alarm reads from no connection that publishes: a worker sends all the same, and ends."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import kombu
import yaml

from tests.acceptance import Cluster, texts
from tests.processes import ROOT, wait_until
from tests.servers import RabbitServer

if TYPE_CHECKING:
    from tests.conftest import OwnServer, StartProcess

GRACE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["worker"]["stop_grace_period"]


def test_a_worker_under_a_memory_alarm_sends_and_ends_within_its_grace(
    own_server: OwnServer, migrated_sqlite_url: str, start_process: StartProcess
) -> None:
    rabbit = own_server(RabbitServer)
    with Cluster(start_process, migrated_sqlite_url, rabbit.url()) as cluster:
        [worker], _ = cluster.start(workers=1, beats=1)
        cluster.enqueue(texts(3))
        wait_until(lambda: cluster.provider.stats().accepted == 3, 120, what="it to work")
        with kombu.Connection(rabbit.url()) as connection:
            kombu.Queue("shop", channel=connection.default_channel).declare()
        rabbit.raise_memory_alarm()
        wait_until(lambda: "alarm set" in rabbit.log.read_text(errors="replace"), what="the alarm")
        # With callbacks, so that it has something to publish beside its wake-ups.
        with_callbacks = [dataclasses.replace(new, callback="celery:shop.changed@shop") for new in texts(300, "Luego")]
        cluster.enqueue(with_callbacks)
        wait_until(lambda: cluster.provider.stats().accepted == 303, 120, what="all to be sent")
        worker.sigterm()
        assert worker.wait(float(GRACE.removesuffix("s"))) == 0
    assert cluster.states().total() == 303
