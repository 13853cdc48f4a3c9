"""Callbacks: stored with the change, delivered at least once and in order, given up with an incident."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import sqlalchemy as sa

from smsclick._values.callback import WebhookTarget, parse_callback
from smsclick._values.causes import Cause
from smsclick.contract import State, callbacks, incidents, messages
from smsclick.settings import load_settings
from tests import one_sender
from tests.factories import LONG_AGO, PHONE, alert_events, clock, insert, row, sent
from tests.processes import wait_until
from tests.webhook_receiver import SECRET, Hook
from worker.alerting.wording import DetailCode
from worker.callbacks.call import Acknowledged, Call, GivenUp, NotAcknowledged
from worker.callbacks.dispatcher import CallbackDispatcher
from worker.callbacks.policy import ended, next_wait, outcome_of_status
from worker.callbacks.store import claim, due, purge, record
from worker.callbacks.webhook import WebhookClient, WebhookFailedError
from worker.callbacks.webhook_addresses import AddressRules, RefusedAddressError
from worker.lifecycle import callback_outbox, message_rows, state_machine
from worker.lifecycle.model import Change, Message, Note
from worker.maintenance import retention
from worker.maintenance.sweep import sweep
from worker.tracking import by_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick._database.engine import Database
    from tests.factories import RecordingWakeups
    from tests.integration.conftest import MakeRuntime
    from tests.webhook_receiver import Delivery

DAY = 86_400.0
IMPATIENCE = 1.0
"""Seconds after which a receiver that does not answer is given up, where that is what a test is about."""

ON_ONE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what has nothing to do with the kind of database."""

INSIDE = {"SMSCLICK_WEBHOOK_SECRET": SECRET, "SMSCLICK_WEBHOOK_ALLOW_PRIVATE": "true"}


class MakeDispatcher(Protocol):
    """`make_courier(SMSCLICK_WEBHOOK_HOSTS="example.com")`."""

    def __call__(self, patience: float = 60, **variables: str) -> CallbackDispatcher:
        """One process's, which may call this machine and is so many seconds patient; closed with the test."""


@pytest.fixture
def make_dispatcher(database: Database) -> Iterator[MakeDispatcher]:
    """Opens what one process delivers with."""
    made: list[CallbackDispatcher] = []

    def make(patience: float = 60, **variables: str) -> CallbackDispatcher:
        given = load_settings(**(INSIDE | variables))
        rules = AddressRules(given.webhook_hosts, given.webhook_allow_private)
        outbound = WebhookClient(rules, connect_seconds=patience, total_seconds=patience)
        made.append(CallbackDispatcher(database, given, None, outbound))
        return made[-1]

    yield make
    for each in made:
        each.close()


def reported_failure(database: Database) -> object:
    """Why the call failed, as the detail of the only incident has it."""
    with database.read() as connection:
        [detail] = connection.scalars(sa.select(incidents.c.detail)).all()
    return json.loads(detail)["why"]


def deliver(of: CallbackDispatcher, slice_seconds: float = 120) -> None:
    of.deliver(threading.Event(), slice_seconds=slice_seconds)


def stored(database: Database) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(sa.select(callbacks).order_by(callbacks.c.id)))


def hurry(database: Database) -> None:
    """Time passes: what waits for another try, or is claimed, is due."""
    with database.begin() as connection:
        connection.execute(sa.update(callbacks).where(callbacks.c.due_at.is_not(None)).values(due_at=LONG_AGO))


def aged(database: Database, days: float) -> None:
    """All that waits is as old as that, and due."""
    created_at = clock(database) - dt.timedelta(days=days)
    with database.begin() as connection:
        connection.execute(sa.update(callbacks).values(created_at=created_at))
    hurry(database)


def changed(database: Database, message_id: int, **values: Any) -> None:  # noqa: ANN401 - any column
    """A step changes a message."""
    with database.begin() as connection:
        was = message_rows.lock(connection, [message_id])[message_id]
        becomes = dataclasses.replace(was, **values)
        state_machine.apply(connection, [Change(was, becomes, Note(Cause.STATUS_CHECKED, 1, "RECIBIDO"))])


def delivered(database: Database, count: int, callback: str) -> list[int]:
    """Messages that were sent and are delivered now, so that each has a callback."""
    ids = insert(database, count, state=State.SENT, sent_at=clock(database), callback=callback)
    for message_id in ids:
        changed(database, message_id, state=State.DELIVERED, due_at=None)
    return ids


# --- Decisions


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Acknowledged),
        (204, Acknowledged),
        (299, Acknowledged),
        (301, NotAcknowledged),
        (307, NotAcknowledged),
        (404, NotAcknowledged),
        (410, GivenUp),
    ],
)
def test_only_2xx_acknowledges_and_410_gives_up(status: int, kind: type) -> None:
    assert isinstance(outcome_of_status(status), kind)
    assert isinstance(outcome_of_status(500), NotAcknowledged)


def test_tries_come_ever_later_with_jitter_for_three_days() -> None:
    rng = random.Random(1)
    age, tries, waits = 0.0, 1, []
    while (seconds := next_wait(tries, age, rng)) is not None:
        waits.append(seconds)
        age, tries = age + seconds, tries + 1
    assert waits[:3] == [pytest.approx(5, rel=0.1), pytest.approx(300, rel=0.1), pytest.approx(1800, rel=0.1)]
    assert age == pytest.approx(3 * DAY)
    assert len(waits) in {8, 9, 10}
    assert len({next_wait(2, 0, rng) for _ in range(5)}) == 5


# --- What is stored


def test_each_change_that_matters_is_stored_once_and_no_other(database: Database) -> None:
    calls = "celery:shop.sms@shop"
    walks: list[list[State]] = [
        [State.SENDING, State.UNKNOWN, State.QUEUED, State.SENDING, State.SENT, State.UNDETERMINED, State.DELIVERED],
        [State.SENDING, State.SENT, State.REJECTED],
        [State.SENDING, State.FAILED, State.QUEUED, State.SENDING, State.FAILED],
        [State.EXPIRED],
        [State.CANCELLED],
    ]
    for walk, message_id in zip(walks, insert(database, len(walks), callback=calls), strict=True):
        for state in walk:
            changed(database, message_id, state=state)
    changed(database, insert(database)[0], state=State.EXPIRED)
    types = [f"{each.type.removeprefix('message.')}" for each in stored(database)]
    expected = ["sent", "undetermined", "delivered", "sent", "rejected", "failed", "failed", "expired"]
    assert types == expected
    assert len({each.event_id for each in stored(database)}) == len(expected)


@ON_ONE
def test_a_change_that_is_rolled_back_makes_no_callback(database: Database) -> None:
    message_id = insert(database, callback="celery:shop.sms@shop")[0]

    def work() -> None:
        with database.begin() as connection:
            was = message_rows.lock(connection, [message_id])[message_id]
            state_machine.apply(connection, [Change(was, dataclasses.replace(was, state=State.EXPIRED), None)])
            raise LookupError

    with pytest.raises(LookupError):
        work()
    assert stored(database) == []


def test_the_accounts_default_is_for_messages_without_their_own_also_by_plain_sql(
    make_runtime: MakeRuntime, wakeups: RecordingWakeups, database: Database
) -> None:
    runtime = make_runtime(SMSCLICK_CALLBACK="celery:shop.sms@shop")
    quoted = "`key`" if database.engine.dialect.name == "mysql" else "key"
    with database.begin() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO smsclick_messages ({quoted}, phone, text) VALUES ('k', '5551402211', 'Hola')"  # noqa: S608
        )
    insert(database, callback="celery:other.sms@other")
    one_sender.send(runtime, [])
    assert sorted((each.type, each.target) for each in stored(database)) == [
        ("message.sent", "celery:other.sms@other"),
        ("message.sent", "celery:shop.sms@shop"),
    ]
    assert wakeups.called_back.wait(60)
    assert sweep(runtime)
    wakeups.called_back.clear()
    sweep(runtime, urgent=True)
    assert wakeups.called_back.is_set()


@ON_ONE
def test_no_phone_text_or_reply_is_stored_with_a_call_back(database: Database) -> None:
    was = sent(callback="celery:shop.sms@shop", reply=None)
    becomes = dataclasses.replace(was, state=State.DELIVERED, reply="zarzamora", replied_at=LONG_AGO)
    [message_id] = insert(database, state=State.SENT)
    with database.begin() as connection:
        given = [Change(_of(was, message_id), _of(becomes, message_id), None)]
        callback_outbox.store(connection, given)
    assert [each.type for each in stored(database)] == ["message.delivered", "message.replied"]
    assert "zarzamora" not in str(stored(database))
    assert PHONE not in str(stored(database))


def webhook(address: str) -> WebhookTarget:
    found = parse_callback(address)
    assert isinstance(found, WebhookTarget)
    return found


def _of(message: Message, message_id: int) -> Message:
    return dataclasses.replace(message, id=message_id)


# --- What arrives


@ON_ONE
def test_a_webhook_gets_a_signed_event_with_the_messages_state(
    make_dispatcher: MakeDispatcher, database: Database
) -> None:
    other = "whsec_" + "b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldA=="
    with Hook() as hook:
        [message_id] = insert(
            database, state=State.SENT, callback=hook.url, reference="factura 1", key="k-1", attempts=1, id_mensaje=7
        )
        changed(database, message_id, state=State.DELIVERED, estatus_mensaje=3, final_at=LONG_AGO)
        deliver(make_dispatcher(SMSCLICK_WEBHOOK_SECRET=f"{SECRET} {other}"))
        [delivery] = hook.deliveries
    assert delivery.path == "/sms?shop=7"
    assert delivery.is_signed(SECRET)
    assert delivery.is_signed(other)
    assert not delivery.is_signed("whsec_" + "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmc=")
    [saved] = stored(database)
    assert delivery.event_id == saved.event_id
    assert delivery.event == {
        "type": "message.delivered",
        "timestamp": saved.created_at.isoformat().replace("+00:00", "Z"),
        "data": {
            "id": message_id,
            "key": "k-1",
            "reference": "factura 1",
            "created_at": row(database, message_id).created_at.isoformat().replace("+00:00", "Z"),
            "state": "delivered",
            "id_mensaje": 7,
            "estatus_mensaje": 3,
            "attempts": 1,
            "credits_used": None,
            "code": 1,
            "description": "RECIBIDO",
            "sent_at": None,
            "final_at": "2020-01-01T00:00:00Z",
            "replied_at": None,
            "reply": None,
        },
    }
    assert (saved.delivered_at is not None, saved.due_at, saved.receiver, saved.tries) == (
        True,
        None,
        None,
        1,
    )


@ON_ONE
def test_all_changes_of_an_interactive_message_are_delivered_in_order_with_its_reply(
    make_runtime: MakeRuntime, database: Database
) -> None:
    runtime = make_runtime(**INSIDE)
    with Hook() as hook:
        [message_id] = insert(database, callback=hook.url, rule_id="1", key="interactive")
        one_sender.send(runtime, [])
        end = time.monotonic() + 60
        while row(database, message_id).reply is None and time.monotonic() < end:
            with database.begin() as connection:
                connection.execute(sa.update(messages).where(messages.c.due_at.is_not(None)).values(due_at=LONG_AGO))
            by_status.poll(runtime, [message_id])
        runtime.callback_dispatcher.deliver(threading.Event())
        assert hook.types == ["message.sent", "message.delivered", "message.replied"]
        reply = row(database, message_id).reply
        assert reply
        assert [each.event["data"]["reply"] for each in hook.deliveries][-1] == reply
        assert hook.deliveries[-1].event["data"]["replied_at"]


@ON_ONE
def test_a_reply_that_was_erased_is_not_delivered(make_dispatcher: MakeDispatcher, database: Database) -> None:
    with Hook() as hook:
        long_ago = clock(database) - dt.timedelta(days=2)
        [message_id] = insert(
            database, callback=hook.url, state=State.DELIVERED, due_at=None, final_at=long_ago, rule_id="1"
        )
        changed(database, message_id, reply="SI", replied_at=LONG_AGO)
        assert retention.erase(database, 1) == 1
        deliver(make_dispatcher())
        [delivery] = hook.deliveries
        assert (delivery.type, delivery.event["data"]["reply"]) == ("message.replied", None)


# --- What does not arrive at once


def test_an_event_waits_for_the_earlier_one_of_its_message_and_not_for_other_messages(
    make_dispatcher: MakeDispatcher, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.callbacks.policy.WAITS_SECONDS", (3600,))  # it does not end before `hurry`

    def answer(delivery: Delivery) -> int:
        first_try = delivery.message_id == ids[0] and sum(each.message_id == ids[0] for each in hook.deliveries) == 1
        return 500 if first_try else 200

    with Hook(answer) as hook:
        ids = insert(database, 2, state=State.SENDING, callback=hook.url)
        for message_id in ids:
            changed(database, message_id, state=State.SENT)
            changed(database, message_id, state=State.DELIVERED)
        one = make_dispatcher()
        deliver(one)
        assert [each.type for each in hook.deliveries if each.message_id == ids[0]] == ["message.sent"]
        assert [each.type for each in hook.deliveries if each.message_id == ids[1]] == [
            "message.sent",
            "message.delivered",
        ]
        waiting = [each.due_at for each in stored(database) if each.message_id == ids[0]]
        assert waiting[0] == waiting[1] > clock(database)
        hurry(database)
        deliver(one)
        mine = [each for each in hook.deliveries if each.message_id == ids[0]]
    assert [each.type for each in mine] == ["message.sent", "message.sent", "message.delivered"]
    assert mine[0].event_id == mine[1].event_id != mine[2].event_id


@ON_ONE
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (500, "HTTP 500"),
        (307, "HTTP 307: redirects are not followed"),
        (None, "no answer in time"),
    ],
)
def test_a_call_that_is_not_acknowledged_is_tried_again_and_alerts_after_the_fourth(
    make_dispatcher: MakeDispatcher,
    database: Database,
    status: int | None,
    reason: str,
) -> None:
    over = threading.Event()

    def answer(_: Delivery) -> int:
        if status is None:
            over.wait(120)
        return status or 200

    with Hook(answer, {"Location": "http://127.0.0.1:9/"}) as hook:
        one = make_dispatcher(IMPATIENCE) if status is None else make_dispatcher()
        delivered(database, 1, hook.url)
        for tries, wait in enumerate((5, 300, 1800, 7200), 1):
            assert alert_events(database) == []
            before = clock(database)
            deliver(one)
            after = clock(database)
            [saved] = stored(database)
            assert (saved.tries, saved.last_error, saved.delivered_at) == (tries, reason, None)
            soonest, latest = (dt.timedelta(seconds=wait * share) for share in (0.9, 1.1))
            assert before + soonest <= saved.due_at <= after + latest
            hurry(database)
        assert alert_events(database) == [("callback_failed", "opened")]
        hook.answer = lambda _: 200
        deliver(make_dispatcher())
        over.set()
    assert alert_events(database) == [("callback_failed", "opened"), ("callback_failed", "closed")]
    [saved] = stored(database)
    assert (saved.last_error, saved.failed_at, saved.receiver) == (None, None, None)
    with database.read() as connection:
        assert connection.scalar(sa.select(incidents.c.subject)) == f"127.0.0.1:{hook.port}"


@ON_ONE
def test_what_is_no_address_is_given_up_at_once_with_an_incident_and_holds_up_nothing(
    make_dispatcher: MakeDispatcher, database: Database
) -> None:
    [message_id] = insert(database, state=State.SENDING, callback="sms_changed")
    changed(database, message_id, state=State.SENT)
    changed(database, message_id, state=State.DELIVERED)
    deliver(make_dispatcher(10))
    for saved in stored(database):
        assert saved.last_error.startswith("callback: names neither")
        assert saved.failed_at is not None
        assert (saved.due_at, saved.receiver) == (None, None)
    assert alert_events(database) == [("callback_failed", "opened")]
    assert reported_failure(database) == {"is": DetailCode.CALL_NO_TARGET, "refusal": "callback_scheme"}
    assert row(database, message_id).state == State.DELIVERED


@ON_ONE
@pytest.mark.parametrize(
    ("url", "variables", "reason", "code"),
    [
        (
            "http://{}/x",
            {"SMSCLICK_WEBHOOK_ALLOW_PRIVATE": "false"},
            "refused: the address is not https; SMSCLICK_WEBHOOK_ALLOW_PRIVATE=true allows http",
            DetailCode.CALL_NOT_HTTPS,
        ),
        (
            "https://{}/x",
            {"SMSCLICK_WEBHOOK_ALLOW_PRIVATE": "false"},
            "refused: the host's address is private or reserved; SMSCLICK_WEBHOOK_ALLOW_PRIVATE=true allows it",
            DetailCode.CALL_PRIVATE,
        ),
        (
            "http://{}/x",
            {"SMSCLICK_WEBHOOK_HOSTS": "example.com"},
            "refused: the host is not among SMSCLICK_WEBHOOK_HOSTS; add it there",
            DetailCode.CALL_NOT_NAMED,
        ),
        (
            "http://{}/x",
            {"SMSCLICK_WEBHOOK_SECRET": ""},
            "SMSCLICK_WEBHOOK_SECRET is not set",
            DetailCode.CALL_UNSIGNED,
        ),
        (
            "celery:shop.sms@shop",
            {},
            "a Celery task can only be called through a broker: set CELERY_BROKER_URL",
            DetailCode.CALL_NO_BROKER,
        ),
    ],
)
def test_what_the_settings_refuse_waits_for_weeks_and_goes_out_once_they_are_changed(
    make_dispatcher: MakeDispatcher,
    database: Database,
    url: str,
    variables: dict[str, str],
    reason: str,
    code: DetailCode,
) -> None:
    with Hook() as hook:
        [message_id] = insert(database, state=State.SENDING, callback=url.format(f"127.0.0.1:{hook.port}"))
        changed(database, message_id, state=State.SENT)
        changed(database, message_id, state=State.DELIVERED)
        for days in (0, 4, 29):
            aged(database, days)
            deliver(make_dispatcher(10, **variables))
        assert hook.connections == 0
        first, second = stored(database)
        assert first.last_error.startswith(reason)
        assert all(each.failed_at is None and each.due_at is not None for each in (first, second))
        assert alert_events(database) == [("callback_failed", "opened")]
        assert reported_failure(database) == {"is": code}
        assert row(database, message_id).state == State.DELIVERED

        if url.startswith("http://"):
            hurry(database)
            deliver(make_dispatcher(10))
            assert [each.type for each in hook.deliveries] == ["message.sent", "message.delivered"]
        else:
            aged(database, 31)
            deliver(make_dispatcher(10, **variables))
            assert [each.failed_at is not None for each in stored(database)] == [True, True]


@ON_ONE
def test_gone_and_three_days_are_the_end_of_a_call_back(make_dispatcher: MakeDispatcher, database: Database) -> None:
    with Hook(lambda _: 410) as gone, Hook(lambda _: 500) as failing:
        delivered(database, 1, gone.url)
        delivered(database, 1, failing.url)
        with database.begin() as connection:
            age = clock(database) - dt.timedelta(days=3, minutes=1)
            old = sa.update(callbacks).where(callbacks.c.target == failing.url).values(created_at=age)
            connection.execute(old)
        deliver(make_dispatcher())
        hurry(database)
        deliver(make_dispatcher())
        assert [len(each.deliveries) for each in (gone, failing)] == [1, 1]
    assert [each.failed_at is not None for each in stored(database)] == [True, True]


@ON_ONE
def test_without_a_secret_nothing_is_called_and_an_operator_hears_of_it_at_once(
    make_dispatcher: MakeDispatcher, database: Database
) -> None:
    with Hook() as hook:
        delivered(database, 1, hook.url)
        deliver(make_dispatcher(SMSCLICK_WEBHOOK_SECRET=""))
        assert hook.connections == 0
    assert alert_events(database) == [("callback_failed", "opened")]
    assert stored(database)[0].due_at is not None


# --- Many at once


@ON_ONE
def test_where_no_further_thread_can_be_started_what_was_called_is_recorded_and_the_rest_waits(
    make_dispatcher: MakeDispatcher, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Few(ThreadPoolExecutor):
        """Starts three calls."""

        begun = 0

        def submit(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as its base
            self.begun += 1
            if self.begun > 3:
                raise RuntimeError("can't start new thread")
            return super().submit(*args, **kwargs)

    with Hook() as hook:
        delivered(database, 10, hook.url)
        with monkeypatch.context() as patch:
            patch.setattr("worker.callbacks.dispatcher.ThreadPoolExecutor", Few)
            deliver(make_dispatcher())
        assert len(hook.deliveries) == 3
        rows = stored(database)
        assert sum(each.delivered_at is not None for each in rows) == 3
        assert sum(each.due_at is not None and each.due_at <= clock(database) for each in rows) == 6
        hurry(database)  # the one that could not begin is claimed for a while
        deliver(make_dispatcher())
        assert len(hook.deliveries) == 10


@ON_ONE
def test_whatever_a_call_raises_takes_no_other_with_it(database: Database) -> None:
    called: list[str] = []

    def call_task(_target: object, event_id: str, _body: object) -> None:
        called.append(event_id)
        if len(called) == 2:
            raise SystemExit

    delivered(database, 5, "celery:app.changed@there")
    deliver(CallbackDispatcher(database, load_settings(), call_task))
    rows = stored(database)
    assert sum(each.delivered_at is not None for each in rows) == 4
    [other] = [each for each in rows if each.delivered_at is None]
    assert "defect of the worker" in other.last_error


@ON_ONE
def test_a_callback_stored_during_a_delivery_is_announced(
    make_runtime: MakeRuntime, database: Database, wakeups: RecordingWakeups
) -> None:
    """The delivery may have looked for the last time; nobody else would look before the next sweep."""
    runtime = make_runtime(**INSIDE)
    called, answer = threading.Event(), threading.Event()

    def slow(_: Delivery) -> int:
        called.set()
        answer.wait(60)
        return 200

    with Hook(slow) as receiver, ThreadPoolExecutor(1) as pool:
        delivered(database, 1, receiver.url)
        delivering = pool.submit(deliver, runtime.callback_dispatcher)
        assert called.wait(60)
        wakeups.called_back.clear()
        delivered(runtime.database, 1, receiver.url)
        assert wakeups.called_back.is_set()
        answer.set()
        delivering.result()


@ON_ONE
def test_a_dead_receiver_holds_up_no_other_and_gets_one_call_at_a_time(
    make_dispatcher: MakeDispatcher, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.callbacks.policy.WAITS_SECONDS", (3600,))  # nothing is tried again meanwhile
    over = threading.Event()

    def silent(_: Delivery) -> int:
        over.wait(60)
        return 500

    with Hook(silent) as dead, Hook(silent) as second, Hook() as living:
        for each in (dead, second):
            delivered(database, 12, each.url)
        delivered(database, 40, living.url)
        one = make_dispatcher(120)
        with ThreadPoolExecutor(1) as pool:
            delivering = pool.submit(deliver, one)
            wait_until(lambda: len(living.deliveries) == 40, what="all of the receiver that lives")
            wait_until(lambda: len(dead.deliveries) == len(second.deliveries) == 8, what="as many as begin at once")
            for each in (dead, second):
                each.at_once = 0
            # Each of the eight fails now, and none after that is begun beside another.
            over.set()
            delivering.result()
        assert [len(each.deliveries) for each in (dead, second)] == [12, 12]
        assert [each.at_once for each in (dead, second)] == [1, 1]


def test_receivers_behind_hundreds_that_wait_for_their_next_try_are_called(
    make_dispatcher: MakeDispatcher, database: Database
) -> None:
    """Each look is bounded, and the next one goes on behind it: none is out of reach."""
    [waits] = delivered(database, 1, "https://a.example/hook")
    later = clock(database) + dt.timedelta(hours=1)
    with database.begin() as connection:
        first = dict(connection.execute(sa.select(callbacks)).mappings().one())
        others = [
            first | {"id": None, "event_id": f"e{n}", "receiver": f"receiver-{n:04}", "due_at": later}
            for n in range(600)
        ]
        connection.execute(sa.update(callbacks).values(due_at=later))
        for each in others:
            del each["id"]
        connection.execute(sa.insert(callbacks), others)
    with Hook() as hook:
        delivered(database, 1, hook.url)
        with database.begin() as connection:
            connection.execute(
                sa.update(callbacks).where(callbacks.c.target == hook.url).values(receiver="zzz:1", target=hook.url)
            )
        with database.read() as connection:
            assert due(connection)
        deliver(make_dispatcher())
        assert len(hook.deliveries) == 1
    assert waits


def test_several_workers_at_once_deliver_each_event_once_and_in_order(
    make_dispatcher: MakeDispatcher, database: Database
) -> None:
    with Hook() as hook:
        ids = insert(database, 30, state=State.SENDING, callback=hook.url)
        for message_id in ids:
            changed(database, message_id, state=State.SENT)
            changed(database, message_id, state=State.DELIVERED)
        dispatchers = [make_dispatcher() for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(deliver, dispatchers))
        with database.read() as connection:
            assert not due(connection)
        assert len(hook.deliveries) == 60
        for message_id in ids:
            saved = [each.type for each in hook.deliveries if each.message_id == message_id]
            assert saved == ["message.sent", "message.delivered"]
        assert hook.at_once <= 24


def test_an_event_claimed_by_a_lost_worker_is_delivered_again_with_the_same_id(
    make_dispatcher: MakeDispatcher, database: Database
) -> None:
    """The other half, a worker that is killed, is in `test_callbacks_processes`."""
    entered, leave = threading.Event(), threading.Event()

    def answer(_: Delivery) -> int:
        if len(hook.deliveries) == 1:
            entered.set()
            leave.wait(60)
            return 500
        return 200

    with Hook(answer) as hook, ThreadPoolExecutor(1) as pool:
        delivered(database, 1, hook.url)
        lost = pool.submit(deliver, make_dispatcher())
        assert entered.wait(60)
        deliver(make_dispatcher())
        assert len(hook.deliveries) == 1
        hurry(database)
        deliver(make_dispatcher())
        leave.set()
        lost.result()
    assert len({each.event_id for each in hook.deliveries}) == 1
    # The late failure of the lost claim changes nothing.
    [saved] = stored(database)
    assert (saved.delivered_at is not None, saved.due_at, saved.tries) == (True, None, 2)


def test_the_late_failure_of_a_lost_claim_does_not_move_the_next_one(database: Database) -> None:
    """Else two processes could call at once, and a message's later events would wait without a reason."""
    delivered(database, 1, "https://hooks.example.com/")

    def claimed() -> Call:
        hurry(database)
        [saved] = stored(database)
        [call], _ = database.transact(lambda connection: claim(connection, saved.receiver, 10))
        return call

    lost = claimed()
    held = claimed()
    [before] = stored(database)
    failed = outcome_of_status(500)
    database.transact(lambda connection: record(connection, [ended(lost, failed, random.Random(0))]))
    assert stored(database) == [before]
    database.transact(lambda connection: record(connection, [ended(held, failed, random.Random(0))]))
    [after] = stored(database)
    assert (after.due_at != before.due_at, after.last_error) == (True, "HTTP 500")


def test_old_final_rows_are_purged_by_batches_and_the_others_stay(database: Database) -> None:
    [message_id] = insert(database)
    old = clock(database) - dt.timedelta(days=31)
    final = {"message_id": message_id, "type": "t", "target": "x", "data": "{}", "event_id": "e", "due_at": None}
    waiting = final | {"created_at": old, "due_at": old, "receiver": "x"}
    with database.begin() as connection:
        # More than one batch of what waits for an operator must not keep the others.
        connection.execute(sa.insert(callbacks), [waiting for _ in range(1001)])
        connection.execute(sa.insert(callbacks), [final | {"created_at": old} for _ in range(1500)])
        connection.execute(sa.insert(callbacks), [final | {"created_at": clock(database)}])
    assert purge(database, batches=2) == 999
    assert purge(database) == 501
    assert purge(database) == 0
    assert len(stored(database)) == 1002


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "0"),
        *("[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0xa9fea9fe", "[64:ff9b::7f00:1]"),
    ],
)
def test_no_form_of_an_inside_address_is_connected_to(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        port = listener.getsockname()[1]
        # A name service knows no such name as 0x7f.1, where it does not read it as a number: that is as good.
        with pytest.raises((RefusedAddressError, WebhookFailedError)) as failed:
            WebhookClient(AddressRules()).post(webhook(f"https://{host}:{port}/"), b"{}", {})
        assert failed.value.failure.code in {DetailCode.CALL_PRIVATE, DetailCode.CALL_NO_HOST}
        with pytest.raises(TimeoutError):
            listener.accept()
