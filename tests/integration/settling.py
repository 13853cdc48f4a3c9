"""A worker process by hand: its runtime, the simulator as its provider, and time that a test moves."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from smsclick.contract import ACCOUNT, State, alerts, events, gates, incidents, messages
from smsclick.settings import load_settings
from smsclick.simulator import Simulator
from tests.factories import LONG_AGO, PHONE, RecordingBell
from worker import balance, claims, gate, poll, reconcile, send
from worker.decisions import Outcome, Policy
from worker.runtime import Runtime
from worker.settle import Ended, settle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from smsclick.database import Database
    from smsclick.simulator import LedgerEntry
    from worker.claims import Claim
    from worker.gate import Gate

KEY = "key-of-the-settling-tests"
SETTLE_SECONDS = 60.0

_numbers = itertools.count(1)


class Bench:
    """A runtime, its database and its provider, and what a test asks of them."""

    def __init__(self, runtime: Runtime, simulator: Simulator, bell: RecordingBell) -> None:
        self.runtime = runtime
        self.database: Database = runtime.database
        self.simulator = simulator
        self.bell = bell

    # --- What a worker does

    def enqueue(self, count: int = 1, /, **values: object) -> list[int]:
        """Messages are committed, each with a text of its own unless told otherwise; returns their ids."""
        ids: list[int] = []
        with self.database.begin() as connection:
            for number in itertools.islice(_numbers, count):
                given = {"key": f"k{number}", "phone": PHONE, "text": f"mensaje {number}", "due_at": LONG_AGO} | values
                result = connection.execute(sa.insert(messages).values(**given))
                ids.append(result.inserted_primary_key[0])  # type: ignore[index]
        return ids

    def send(self, ids: Sequence[int] = ()) -> None:
        """A doorbell for these ids, and then whatever is due."""
        send.send(self.runtime, ids)

    def claim(self, ids: Sequence[int] | None = None) -> list[Claim]:
        """A claim whose worker does nothing more."""
        policy = Policy.of(self.runtime.settings)
        return self.database.transact(lambda connection: claims.claim(connection, ids, 10, policy))

    def call(self, claim: Claim) -> Outcome:
        """The provider's answer to a claim's request; it is not recorded."""
        return self.runtime.client.send(claim.phone, claim.text)

    def record(self, claim: Claim, outcome: Outcome, *, epoch: int = 0, failures: int = 0) -> None:
        """An answer is written down, whenever that is; `failures` is the breaker's count when its request left."""
        group = [Ended(claim, outcome, epoch, failures)]
        self.database.transact(lambda connection: settle(connection, group, self.runtime.settings, self.runtime.rng))

    def reconcile(self) -> int:
        """Every unknown attempt's turn has come."""
        self.change(State.UNKNOWN, due_at=LONG_AGO)
        return reconcile.reconcile(self.runtime)

    # --- Time

    @contextlib.contextmanager
    def impatient(self, seconds: float) -> Iterator[None]:
        """Answers are waited for so long only."""
        client = self.runtime.client
        kept = client._timeouts
        client._timeouts = (kept[0], seconds)
        try:
            yield
        finally:
            client._timeouts = kept

    def lose(self) -> None:
        """The workers are gone and their leases are over."""
        self.change(State.SENDING, due_at=LONG_AGO, lease_until=self.database.clock())
        self.database.transact(lambda connection: claims.strand(connection, 100))

    def age(self, seconds: float = SETTLE_SECONDS + 1) -> None:
        """Unknown attempts become older; the provider's dates do not."""
        by = dt.timedelta(seconds=seconds)
        for row in (row for row in self.rows(State.UNKNOWN) if row.unknown_since is not None):
            values = {"attempted_at": row.attempted_at - by, "unknown_since": row.unknown_since - by}
            self._update(sa.update(messages).where(messages.c.id == row.id).values(**values))

    def live(self, rounds: int = 4) -> None:
        """What the sweep rings for, some times over, each time late enough for everything to be due."""
        for _ in range(rounds):
            self.age()
            with self.database.begin() as connection:
                connection.execute(sa.update(messages).where(messages.c.due_at.is_not(None)).values(due_at=LONG_AGO))
            self.change_gate(probe_at=LONG_AGO)
            self.runtime.gate.forget()
            balance.probe(self.runtime)
            canary = self.gate().allowed_canary
            self.send([] if canary is None else [canary])
            reconcile.reconcile(self.runtime)
            with self.database.read() as connection:
                due = poll.due(connection, 100)
            poll.poll(self.runtime, due)

    # --- What stands in the database

    def rows(self, *states: State) -> list[Any]:
        """Messages, all or those in some states."""
        query = sa.select(messages).order_by(messages.c.id)
        with self.database.read() as connection:
            return list(connection.execute(query.where(messages.c.state.in_(states)) if states else query))

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

    def news(self) -> list[tuple[str, str]]:
        """All alerts as (kind, news), oldest first."""
        query = sa.select(incidents.c.kind, alerts.c.news).join_from(alerts, incidents).order_by(alerts.c.id)
        with self.database.read() as connection:
            return [(row.kind, row.news) for row in connection.execute(query)]

    def gate(self) -> Gate:
        """The account's gate."""
        with self.database.read() as connection:
            return gate.read(connection)

    def ledger(self) -> list[LedgerEntry]:
        """What the provider truly accepted."""
        return self.simulator.ledger()

    def change(self, state: State, /, **values: object) -> None:
        """Write columns of all messages in a state, as only time can."""
        self._update(sa.update(messages).where(messages.c.state == state).values(**values))

    def change_gate(self, **values: object) -> None:
        """Write columns of the gate."""
        self._update(sa.update(gates).where(gates.c.account == ACCOUNT).values(**values))

    def _update(self, query: sa.Update) -> None:
        with self.database.begin() as connection:
            connection.execute(query)


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
        bell = RecordingBell()
        runtime = Runtime.start(load_settings(**(given | variables)), bell, threads=4)
        try:
            yield Bench(runtime, simulator, bell)
        finally:
            runtime.close()
