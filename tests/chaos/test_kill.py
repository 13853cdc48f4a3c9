"""Processes and brokers are killed, stopped and restarted under load: nothing is lost and nothing is sent twice."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick._values.causes import Cause
from smsclick.contract import State, messages
from smsclick.simulator import Fault, FaultKind
from tests.acceptance import IMPATIENT, Cluster, phone, sent_by_name, texts
from tests.processes import wait_until

if TYPE_CHECKING:
    from smsclick import NewMessage
    from tests.conftest import StartProcess
    from tests.processes import Process
    from tests.servers import PostgresServer, Server

# Short enough for the leases, but a slow process of the provider must not look like a lost answer.
SHORT_LEASES = {**IMPATIENT, "SMSCLICK_READ_TIMEOUT": "6", "SMSCLICK_LEASE_SECONDS": "10"}

SLOW = Fault(FaultKind.LATENCY, seconds=0.2, jitter=0.1)


HANGS = [
    Fault(FaultKind.HANG_BEFORE, text_contains="cuelga antes"),
    Fault(FaultKind.HANG_AFTER, text_contains="cuelga después"),
]


NO_REPORT = Fault(FaultKind.HTTP_500_BEFORE, endpoints=("report",))
"""The report ends no unknown attempt: it stays unknown until a late answer is recorded."""


def mixed(count: int) -> list[NewMessage]:
    """Messages of which every tenth is never answered, as `HANGS` says; half of those are accepted all the same."""
    new = texts(count)
    for n in range(0, count, 10):
        end = ("antes", "después")[n // 10 % 2]
        new[n] = dataclasses.replace(new[n], text=f"Aviso {n} que cuelga {end}")
    return new


def hanging(cluster: Cluster) -> int:
    """How many requests came that are never answered."""
    requests = cluster.requests()
    return requests.get("hang_before", 0) + requests.get("hang_after", 0)


def accepted(cluster: Cluster, count: int) -> None:
    """Returns when the provider has accepted so many."""
    wait_until(lambda: cluster.provider.stats().accepted >= count, 120, what=f"{count} accepted messages")


def end_idle_transactions(cluster: Cluster) -> None:
    """As a database should be set up: what a process has locked that stands still is free again after two seconds."""
    with cluster.database.begin() as connection:
        name = connection.scalar(sa.text("SELECT current_database()"))
        connection.execute(sa.text(f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '2s'"))


def test_messages_of_a_killed_worker_become_unknown_and_are_not_resent_while_all_others_are_delivered(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    count, threads = 100, 4
    # No status is asked for before the kill: another worker could claim that row only after 90 seconds.
    env = {**SHORT_LEASES, "SMSCLICK_POLL_SECONDS": "8,1"}
    with Cluster(start_process, migrated_postgres_url, redis_url, env=env) as cluster:
        cluster.provider.faults([*HANGS, NO_REPORT, Fault(FaultKind.LATENCY, seconds=0.05)])
        (victim,), _ = cluster.start(workers=1, concurrency=threads)
        cluster.enqueue(mixed(count))
        # There is nobody else yet: it is the victim that waits for an answer.
        wait_until(lambda: hanging(cluster) > 0, 120, what="hanging requests", every=0.01)
        victim.sigkill()
        cluster.worker(concurrency=threads)
        wait_until(lambda: cluster.causes(State.UNKNOWN)[Cause.LEASE_ENDED] > 0, 120, what="a lost claim")
        wait_until(lambda: set(cluster.states()) == {State.DELIVERED, State.UNKNOWN}, 240, every=0.2)

        unknown = cluster.rows(messages.c.state == State.UNKNOWN)
        lost = cluster.causes(State.UNKNOWN)[Cause.LEASE_ENDED]
        # Its batches of ten, one for each thread. Of the other worker only what hung.
        assert lost <= threads * 10
        assert len(unknown) <= lost + count // 10
        assert {row.text for row in unknown} >= {new.text for new in mixed(count) if "cuelga" in new.text}
        # Nothing was asked for twice, whether the provider took it or not.
        time.sleep(2)
        cluster.assert_ledger_agrees()
        asked = cluster.requests()
        assert asked["1"] >= cluster.states()[State.DELIVERED]
        assert asked["hang_before"] + asked["hang_after"] <= count // 10
        assert sum(asked.values()) <= count


def test_everything_in_one_process_is_killed_mid_batch_and_goes_on_when_started_again(
    sqlite_url: str, start_process: StartProcess
) -> None:
    env = {**SHORT_LEASES, "SMSCLICK_POLL_SECONDS": "8,1"}
    with Cluster(start_process, sqlite_url, "", env=env) as cluster:
        cluster.provider.faults([SLOW, NO_REPORT])
        everything = cluster.run("smsclick", "up", name="up")
        wait_until(cluster.migrated, 120, what="the tables")
        cluster.enqueue(texts(300))
        accepted(cluster, 60)
        everything.sigkill()
        assert cluster.provider.stats().accepted < 300
        cluster.run("smsclick", "up", name="up")
        wait_until(lambda: set(cluster.states()) <= {State.DELIVERED, State.UNKNOWN}, 240, every=0.2)
        assert cluster.states().total() == 300
        # What was claimed at the kill, by at most sixteen threads with ten messages each, and nothing else.
        assert cluster.causes(State.UNKNOWN) == {Cause.LEASE_ENDED: cluster.states()[State.UNKNOWN]}
        assert cluster.states()[State.UNKNOWN] <= 160
        cluster.assert_ledger_agrees()
        asked = sum(cluster.requests().values())
        assert asked <= 300


def test_workers_that_are_stopped_under_load_leave_nothing_unknown_and_the_next_ones_go_on(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, redis_url) as cluster:
        cluster.provider.faults([SLOW])
        # Few threads: the rest takes them longer than the signal to stop needs to arrive.
        workers, _ = cluster.start(workers=2, concurrency=4)
        cluster.enqueue(texts(400))
        accepted(cluster, 60)
        for worker in workers:
            worker.sigterm()
        assert [worker.wait(120) for worker in workers] == [0, 0]
        states = cluster.states()
        assert set(states) <= {State.QUEUED, State.SENT, State.DELIVERED}
        assert states[State.QUEUED] > 0
        left = states[State.QUEUED]
        assert cluster.provider.stats().accepted == 400 - left
        cluster.worker()
        cluster.worker()
        cluster.wait_final(400)
        assert cluster.states() == {State.DELIVERED: 400}
        assert len(cluster.assert_ledger_agrees()) == 400
        assert cluster.requests() == {"1": 400}


def test_thousands_of_calls_in_flight_are_ended_by_a_signal_without_unknowns_and_by_a_kill_without_loss(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    count, in_flight, enough, seconds = 8000, 2000, 1000, 4.0
    env = {"SMSCLICK_READ_TIMEOUT": "20", "SMSCLICK_LEASE_SECONDS": "30", "SMSCLICK_SETTLE_SECONDS": "1"}
    with Cluster(start_process, migrated_postgres_url, redis_url, env=env) as cluster:
        cluster.provider.faults([Fault(FaultKind.LATENCY, seconds=seconds)])
        cluster.enqueue(texts(count))
        full = [Fault(FaultKind.LATENCY, seconds=seconds)]
        cluster.beat()

        def start() -> Process:
            cluster.provider.faults(full)
            worker = cluster.worker(concurrency=in_flight, level="warning")
            # A busy machine may not reach all of them: as many as it reaches must do.
            wait_until(lambda: cluster.provider.stats().in_flight >= enough, 240, what="calls in flight", every=0.02)
            return worker

        stopped = start()
        stopped.sigterm()
        assert stopped.wait(120) == 0
        states = cluster.states()
        assert set(states) <= {State.QUEUED, State.SENT, State.DELIVERED}
        assert cluster.provider.stats().accepted == count - states[State.QUEUED]

        start().sigkill()
        cluster.provider.faults([])
        cluster.worker()
        wait_until(lambda: cluster.states()[State.UNKNOWN] > 0, 120, what="the ended leases", every=0.2)

        def all_accepted_are_delivered() -> bool:
            # What was claimed and not called for remains unknown until messages of later prove its absence.
            states = cluster.states()
            return (
                set(states) <= {State.DELIVERED, State.UNKNOWN}
                and states[State.DELIVERED] == cluster.provider.stats().accepted
            )

        wait_until(all_accepted_are_delivered, 180, what="all that was accepted to be delivered", every=0.5)
        assert cluster.states().total() == count
        cluster.assert_ledger_agrees()
        lost = cluster.causes(State.UNKNOWN)
        assert set(lost) == {Cause.LEASE_ENDED}
        # Of what was in flight, and of what was claimed ahead of it.
        assert enough * 0.9 <= lost[Cause.LEASE_ENDED] <= in_flight + 1000


@pytest.mark.parametrize(("server", "broker"), [("redis_server", "redis_url"), ("rabbitmq", "rabbitmq_url")])
def test_workers_consume_again_by_themselves_after_their_broker_was_killed_under_load(
    server: str, broker: str, migrated_postgres_url: str, request: pytest.FixtureRequest, start_process: StartProcess
) -> None:
    process: Server = request.getfixturevalue(server)
    with Cluster(start_process, migrated_postgres_url, request.getfixturevalue(broker)) as cluster:
        cluster.provider.faults([SLOW])
        workers, _ = cluster.start(workers=2)
        cluster.enqueue(texts(300))
        accepted(cluster, 60)
        process.kill()
        time.sleep(1)
        process.start()
        cluster.wait_final(300)
        seen = [len(worker.output) for worker in workers]
        total = 300

        def both_send() -> bool:
            # Enough for both, until both have been woken.
            nonlocal total
            if not cluster.states()[State.QUEUED]:
                cluster.enqueue(texts(120, f"Después {total}"))
                total += 120
            return all(
                worker.output.count("Attempt ended.", since) > 0 for worker, since in zip(workers, seen, strict=True)
            )

        wait_until(both_send, 120, what="attempts of both")
        cluster.wait_final(total)
        assert cluster.states() == {State.DELIVERED: total}
        assert len(cluster.assert_ledger_agrees()) == total
        assert cluster.requests() == {"1": total}


def test_when_a_beat_is_killed_the_other_goes_on(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, redis_url) as cluster:
        _, (beat, _) = cluster.start(workers=1, beats=2)
        cluster.enqueue(texts(5, "Antes"))
        cluster.wait_final(5)
        beat.sigkill()
        cluster.enqueue(texts(5, "Después"))
        cluster.wait_final(10)
        assert len(cluster.assert_ledger_agrees()) == 10


def test_a_worker_that_slept_past_its_leases_records_its_results_and_nothing_is_sent_twice(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, redis_url, env=SHORT_LEASES) as cluster:
        end_idle_transactions(cluster)
        cluster.provider.faults([NO_REPORT, Fault(FaultKind.LATENCY, seconds=0.3)])
        (sleeper,), _ = cluster.start(workers=1)
        cluster.enqueue(texts(150))
        accepted(cluster, 20)
        # There is nobody else yet: it has claims, and calls under way.
        sleeper.sigstop()
        cluster.worker()
        wait_until(lambda: cluster.states()[State.UNKNOWN] > 0, 120, what="lost claims")
        cluster.wait_final(150, states={State.UNKNOWN, State.SENT, State.DELIVERED})
        lost = cluster.states()[State.UNKNOWN]
        sleeper.sigcont()

        # What it had only claimed goes back. A call may also wake up to find its time for reading over: unknown.
        def everything_ended() -> bool:
            states = cluster.states()
            return set(states) <= {State.DELIVERED, State.UNKNOWN} and states[State.UNKNOWN] < min(lost, 16)

        wait_until(everything_ended, 180, every=0.2, what="an end of everything")
        assert cluster.causes(State.SENT)[Cause.LATE_ANSWER] > 0
        assert len(cluster.assert_ledger_agrees()) == 150
        assert cluster.requests() == {"1": 150}


def test_calls_by_name_whose_worker_is_killed_are_delivered_again_and_are_one_message_each(
    postgres: PostgresServer, migrated_postgres_url: str, rabbitmq_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, rabbitmq_url) as cluster:
        (worker,), _ = cluster.start(workers=1)
        sent_by_name(rabbitmq_url, [({"phone": phone(7000), "text": "La primera", "key": "first"}, None)])
        cluster.wait_final(1)
        postgres.freeze()
        try:
            sent_by_name(rabbitmq_url, [({"phone": phone(n), "text": f"Llamada {n}"}, f"call-{n}") for n in range(30)])
            time.sleep(1)
            worker.sigkill()
        finally:
            postgres.thaw()
        cluster.worker()
        cluster.wait_final(31)
        assert cluster.states() == {State.DELIVERED: 31}
        assert len(cluster.assert_ledger_agrees()) == 31
