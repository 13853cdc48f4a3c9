"""The account stops and goes on by itself: one alert at each end, no message lost, none twice, no requests wasted."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from smsclick.contract import HoldReason, State, messages
from smsclick.simulator import Fault, FaultKind
from tests.acceptance import KEY, Cluster, Receiver, texts
from tests.processes import wait_until
from tests.servers import free_port

if TYPE_CHECKING:
    from tests.conftest import StartProcess

COUNT, BALANCE = 1000, 500
WORKERS, CONCURRENCY = 2, 16
AT_ONCE = WORKERS * CONCURRENCY
# Each thread may meet the refusal with the request that it has under way. A few may begin another one within the 20 ms
# for which a worker trusts the account state that it has read.
AT_MOST = AT_ONCE + 8
NO_BALANCE = [f"SMSClick shop: {over}No balance (-104): sending is held" for over in ("", "over: ")]
KEY_REFUSED = [
    "SMSClick shop: The APIKEY is refused: sending is held",
    "SMSClick shop: over: The APIKEY is refused: sending is held",
]
COMES_BACK = "SMSClick shop: again: The APIKEY is refused: sending is held"

# So that all 32 threads have a request under way when the first is refused.
SLOW = [Fault(FaultKind.LATENCY, seconds=0.1)]


def held(cluster: Cluster, reason: HoldReason) -> None:
    """Return when sending is held for this reason and every request in flight has its answer."""
    wait_until(lambda: cluster.hold() == reason, what=f"the hold {reason}")

    def quiet() -> bool:
        """One look is not enough: a claim that saw no hold just before may be committed just after."""
        for _ in range(5):
            if cluster.states()[State.SENDING]:
                return False
            time.sleep(0.1)
        return True

    wait_until(quiet, what="the last answers")


def watch(cluster: Cluster, probes: int = 3) -> None:
    """Returns when the balance was asked for so many times more, about once a second: time enough to do wrong."""
    asked = sum(cluster.requests("credits").values())
    wait_until(lambda: sum(cluster.requests("credits").values()) >= asked + probes, what="probes of the balance")


def test_an_account_that_runs_dry_is_held_with_one_alert_and_goes_on_with_another_after_the_refill(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with (
        Receiver() as receiver,
        Cluster(
            start_process,
            migrated_postgres_url,
            redis_url,
            env={"ALERT_URLS": receiver.url},
            balance=BALANCE,
        ) as cluster,
    ):
        cluster.provider.faults(SLOW)
        cluster.enqueue(texts(COUNT))
        cluster.start(workers=WORKERS, concurrency=CONCURRENCY)
        held(cluster, HoldReason.NO_BALANCE)
        refused = cluster.requests()["-104"]
        assert refused <= AT_MOST
        watch(cluster)
        assert cluster.requests()["-104"] == refused
        assert set(cluster.requests("credits")) == {"1"}
        waiting = cluster.rows(messages.c.state == State.QUEUED)
        assert len(waiting) == COUNT - BALANCE
        assert Counter(row.last_code for row in waiting)[-104] == refused
        assert {row.attempts for row in waiting} == {0}
        wait_until(lambda: receiver.titles == NO_BALANCE[:1], what="the alert")

        cluster.provider.set(add_balance=COUNT)
        cluster.wait_final(COUNT)
        assert cluster.states() == {State.DELIVERED: COUNT}
        assert len(cluster.assert_ledger_agrees()) == COUNT
        assert {row.attempts for row in cluster.rows()} == {1}
        assert cluster.requests() == {"1": COUNT, "-104": refused}
        wait_until(lambda: len(receiver.titles) >= 2, what="the alert of the end")
        wait_until(lambda: cluster.undelivered_alerts() == 0)
        assert receiver.titles == NO_BALANCE
        assert [(kind, still_open) for kind, _, still_open in cluster.incidents()] == [(HoldReason.NO_BALANCE, False)]


def test_a_refused_key_is_held_with_one_alert_and_goes_on_with_another_when_it_works(
    migrated_mariadb_url: str, rabbitmq_url: str, start_process: StartProcess
) -> None:
    with (
        Receiver() as receiver,
        Cluster(
            start_process, migrated_mariadb_url, rabbitmq_url, env={"ALERT_URLS": receiver.url}, api_key="another-key"
        ) as cluster,
    ):
        cluster.provider.faults(SLOW)
        cluster.enqueue(texts(COUNT))
        cluster.start(workers=WORKERS, concurrency=CONCURRENCY)
        held(cluster, HoldReason.KEY_REFUSED)
        # The probe of the balance may have met it before any message did.
        assert cluster.requests().get("-101", 0) <= AT_ONCE
        assert cluster.states() == {State.QUEUED: COUNT}
        wait_until(lambda: receiver.titles == KEY_REFUSED[:1], what="the alert")
        # Slower still, so that messages are left when the alert has come, however long that takes.
        cluster.provider.faults([Fault(FaultKind.LATENCY, seconds=1)])
        cluster.provider.set(api_key=KEY)
        wait_until(lambda: cluster.provider.stats().accepted >= 50, what="messages under way")
        wait_until(lambda: receiver.titles == KEY_REFUSED, what="the alert of the end")

        # Again, while all threads are at work.
        before = cluster.requests().get("-101", 0)
        cluster.provider.set(api_key="another-key")
        held(cluster, HoldReason.KEY_REFUSED)
        assert cluster.states()[State.QUEUED] > AT_ONCE
        refused = cluster.requests().get("-101", 0)
        assert refused - before <= AT_MOST
        watch(cluster)
        assert cluster.requests().get("-101", 0) == refused
        cluster.provider.faults(SLOW)
        cluster.provider.set(api_key=KEY)
        cluster.wait_final(COUNT)
        assert cluster.states() == {State.DELIVERED: COUNT}
        assert len(cluster.assert_ledger_agrees()) == COUNT
        assert Counter(cluster.requests()) == Counter({"1": COUNT, "-101": refused})
        wait_until(lambda: len(receiver.titles) >= 3, what="the alert that it came back")
        wait_until(lambda: cluster.undelivered_alerts() == 0)
        # Its end is reported only after it has been over for a while.
        assert receiver.titles == [*KEY_REFUSED, COMES_BACK]


def test_a_dead_alert_channel_delays_neither_the_hold_nor_the_other_channel_and_gets_its_alerts_later(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    port = free_port()
    with (
        Receiver() as alive,
        Cluster(
            start_process,
            migrated_postgres_url,
            redis_url,
            env={"ALERT_URLS": f"json://127.0.0.1:{port}/sms,{alive.url}"},
            balance=20,
        ) as cluster,
    ):
        cluster.enqueue(texts(50))
        cluster.start(workers=1, beats=1)
        held(cluster, HoldReason.NO_BALANCE)
        wait_until(lambda: alive.titles == NO_BALANCE[:1], what="the alert on the channel that lives")
        cluster.provider.set(add_balance=100)
        cluster.wait_final(50)
        wait_until(lambda: alive.titles == NO_BALANCE, what="the end on the channel that lives")
        wait_until(lambda: max(cluster.tries_of_alerts()) >= 2, what="another try")
        assert cluster.undelivered_alerts() >= 1
        with Receiver(port) as dead:
            # The waits between tries grow by now; the test need not sit them out.
            wait_until(lambda: cluster.hurry_alerts() == 0, every=1, what="the alerts on the channel that was dead")
            assert dead.titles == NO_BALANCE[1:]  # the beginning is of no use any more
        assert alive.titles == NO_BALANCE
