"""A worker process by hand: its runtime, the simulator as its provider, and time that a test moves."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import itertools
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from smsclick.contract import ACCOUNT, State, accounts, alerts, events, incidents, messages
from smsclick.settings import load_settings
from smsclick.simulator import Simulator
from tests import one_sender
from tests.factories import LONG_AGO, PHONE, RecordingWakeups
from worker.account import account_state
from worker.alerting.details import shown
from worker.lifecycle.attempt import Ended
from worker.lifecycle.policy import Outcome, Policy
from worker.maintenance import balance
from worker.queue import claims, expired_leases
from worker.reconciliation import reconcile
from worker.runtime import Runtime
from worker.sending.results import record_results
from worker.tracking import by_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from smsclick._database.engine import Database
    from smsclick.simulator import LedgerEntry
    from smsclick.simulator.account import Account
    from worker.account.account_state import AccountState
    from worker.lifecycle.attempt import Claim

KEY = "key-of-the-workbench"
CONTROL = "control row"
"""Texts of messages that are there only for the report to be tested with; `Bench` shows the others alone."""
SETTLE_SECONDS = 60.0

_numbers = itertools.count(1)


class Bench:
    """A runtime, its database and its provider, and what a test asks of them."""

    def __init__(self, runtime: Runtime, simulator: Simulator, wakeups: RecordingWakeups) -> None:
        self.runtime = runtime
        self.database: Database = runtime.database
        self.simulator = simulator
        self.wakeups = wakeups

    # --- What a worker does

    def enqueue(self, count: int = 1, /, **values: object) -> list[int]:
        """Messages are committed, each with a text of its own unless given; returns their ids."""
        ids: list[int] = []
        with self.database.begin() as connection:
            for number in itertools.islice(_numbers, count):
                given = {"key": f"k{number}", "phone": PHONE, "text": f"mensaje {number}", "due_at": LONG_AGO} | values
                if given["text"] is None:
                    given["text"] = f"{CONTROL} {number}"
                result = connection.execute(sa.insert(messages).values(**given))
                ids.append(result.inserted_primary_key[0])  # type: ignore[index]
        return ids

    def send(self, ids: Sequence[int] = ()) -> None:
        """Send these ids as a wake-up asks, and then all other due messages."""
        one_sender.send(self.runtime, ids)

    def claim(self, ids: Sequence[int] | None = None) -> list[Claim]:
        """A claim whose worker does nothing more."""
        policy = Policy.of(self.runtime.settings, self.runtime.account)
        return self.database.transact(lambda connection: claims.claim(connection, ids, 10, policy))

    def call(self, claim: Claim) -> Outcome:
        """The provider's answer to a claim's request; it is not recorded."""
        return self.runtime.client.send(claim.phone, claim.text)

    def record(self, claim: Claim, outcome: Outcome, *, epoch: int = 0, failures: int = 0) -> None:
        """An answer is written down, whenever that is; `failures` is the breaker's count when its request left."""
        group = [Ended(claim, outcome, epoch, failures)]
        settings, rng = self.runtime.settings, self.runtime.rng
        self.database.transact(lambda connection: record_results(connection, group, settings, rng))

    def reconcile(self) -> int:
        """Every unknown attempt is due."""
        self.change(State.UNKNOWN, due_at=LONG_AGO)
        return reconcile.reconcile(self.runtime)

    # --- Time

    @contextlib.contextmanager
    def impatient(self, seconds: float) -> Iterator[None]:
        """Answers are waited for so long only."""
        client = self.runtime.client
        kept = client._transport.timeouts
        client._transport.timeouts = (kept[0], seconds)
        try:
            yield
        finally:
            client._transport.timeouts = kept

    def lose(self) -> None:
        """The workers are gone and their leases are over."""
        self.change(State.SENDING, due_at=LONG_AGO, lease_until=self.database.clock())
        self.database.transact(lambda connection: expired_leases.expire_leases(connection, 100))

    def age(self, seconds: float = SETTLE_SECONDS + 1) -> None:
        """Time passes: all that has happened so far is so much longer ago, by the provider's dates too."""
        by = dt.timedelta(seconds=seconds)
        for row in self._all():
            names = ("attempted_at", "absent_since", "unknown_since", "sent_at")
            values = {name: getattr(row, name) - by for name in names if getattr(row, name) is not None}
            if values:
                self._update(sa.update(messages).where(messages.c.id == row.id).values(**values))
        self.simulator._call(functools.partial(_age, self.simulator._provider.account, seconds))

    def witness(self, count: int = 1) -> None:
        """Messages are sent and answered, which a report must have from now on: control rows."""
        ids = self.enqueue(count, text=None)
        for message_id in ids:
            [claim] = self.claim([message_id])
            self.record(claim, self.call(claim))
        self._update(sa.update(messages).where(messages.c.id.in_(ids)).values(due_at=None))

    def ripen(self) -> None:
        """So much time passes that absence may count, and a control row comes behind the unknown attempts."""
        self.age()
        self.witness()

    def live(self, rounds: int = 4) -> None:
        """What the sweep wakes up workers for, several times, each time late enough for everything to be due."""
        for _ in range(rounds):
            if self.account_state().is_open:
                self.witness(3)
            self.age()
            with self.database.begin() as connection:
                mine = messages.c.text.not_like(f"{CONTROL}%")
                query = sa.update(messages).where(messages.c.due_at.is_not(None), mine)
                connection.execute(query.values(due_at=LONG_AGO))
            self.change_account(probe_at=LONG_AGO)
            self.runtime.hold_cache.forget()
            balance.check(self.runtime)
            canary = self.account_state().allowed_canary
            self.send([] if canary is None else [canary])
            reconcile.reconcile(self.runtime)
            with self.database.read() as connection:
                due = by_status.due(connection, 100)
            by_status.poll(self.runtime, due)

    # --- What stands in the database

    def rows(self, *states: State) -> list[Any]:
        """Messages, all or those in some states; no control rows."""
        return [row for row in self._all() if row.state in (states or list(State)) and not row.text.startswith(CONTROL)]

    def _all(self) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(sa.select(messages).order_by(messages.c.id)))

    def row(self, message_id: int) -> Any:  # noqa: ANN401 - a Row, whose columns no type can name
        """One message."""
        return next(row for row in self.rows() if row.id == message_id)

    def states(self) -> list[str]:
        """The states of all messages, by id."""
        return [row.state for row in self.rows()]

    def history(self, message_id: int) -> list[Any]:
        """The events of a message, oldest first."""
        query = sa.select(events).where(events.c.message_id == message_id).order_by(events.c.id)
        with self.database.read() as connection:
            return list(connection.execute(query))

    def alert_events(self) -> list[tuple[str, str]]:
        """All alert events as (kind of the incident, event), oldest first."""
        query = sa.select(incidents.c.kind, alerts.c.news).join_from(alerts, incidents).order_by(alerts.c.id)
        with self.database.read() as connection:
            return [(row.kind, row.news) for row in connection.execute(query)]

    def details(self) -> list[str]:
        """The details of open incidents, oldest first."""
        query = sa.select(incidents.c.detail).where(incidents.c.open_key.is_not(None)).order_by(incidents.c.id)
        with self.database.read() as connection:
            return [shown(detail, "en") for detail in connection.scalars(query)]

    def account_state(self) -> AccountState:
        """The account's state."""
        with self.database.read() as connection:
            return account_state.read(connection)

    def ledger(self) -> list[LedgerEntry]:
        """What the provider truly accepted; no control rows."""
        return [entry for entry in self.simulator.ledger() if not entry.text.startswith(CONTROL)]

    def change(self, state: State, /, **values: object) -> None:
        """Write columns of all messages in a state, as only time can."""
        self._update(sa.update(messages).where(messages.c.state == state).values(**values))

    def change_account(self, **values: object) -> None:
        """Write columns of the account's row."""
        self._update(sa.update(accounts).where(accounts.c.account == ACCOUNT).values(**values))

    def _update(self, query: sa.Update) -> None:
        with self.database.begin() as connection:
            connection.execute(query)


def _age(account: Account, seconds: float) -> None:
    for message in account.messages:
        message.accepted_at -= seconds
        message.final_at -= seconds
    account._later = [(at - seconds, *rest) for at, *rest in account._later]  # type: ignore[misc]  # as it was


@contextlib.contextmanager
def bench(database_url: str, **variables: object) -> Iterator[Bench]:
    """A bench on a migrated database; `variables` are settings by their variables' names."""
    with Simulator(api_key=KEY, delivery_seconds=0) as simulator:
        given = {
            "DATABASE_URL": database_url,
            "SMSCLICK_API_KEY": KEY,
            "SMSCLICK_BASE_URL": simulator.base_url,
            "SMSCLICK_SETTLE_SECONDS": SETTLE_SECONDS,
        }
        wakeups = RecordingWakeups()
        runtime = Runtime.start(load_settings(**(given | variables)), wakeups, calls=4)
        try:
            yield Bench(runtime, simulator, wakeups)
        finally:
            runtime.close()
