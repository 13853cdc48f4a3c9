"""The balance as a second witness in an account that sends a message every 52 hours, on a clock that the tests hold.

No control row is young enough to stand before an attempt there, so the report alone never proves that one was
not accepted. Here it hides the attempt for good, accepted or not: only the balance stands between it and a second SMS.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from smsclick.contract import State, balances
from smsclick.simulator import Fault, FaultKind
from tests.timelapse import Timelapse, timelapse
from worker.account import balance_history as store
from worker.account.books import MOVES, Books, Flaw
from worker.lifecycle.doubt import Doubt
from worker.reports.matching import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

HOURS = 52
READ_HOURS = 26
HIDDEN = "5599999999"
ACCEPTED, REFUSED = FaultKind.RESET_AFTER, FaultKind.RESET_BEFORE


@contextlib.contextmanager
def quiet_account(url: str, **settings: Any) -> Iterator[Timelapse]:  # noqa: ANN401 - of the simulator
    """Enough messages have gone for its books to be known."""
    variables: dict[str, Any] = {"SMSCLICK_BALANCE_SECONDS": READ_HOURS * 3600, "omit_suffixes": [HIDDEN]}
    with timelapse(url, **(variables | settings)) as running:
        for number in range(MOVES + 2):
            one(running, number)
        yield running


def one(running: Timelapse, number: int, phone: str = "5512345678", hours: int = HOURS) -> int:
    """A message goes, and the time until the next one passes."""
    [message_id] = running.enqueue([{"key": f"k{number}", "phone": phone, "text": f"Aviso {number}"}], every=1)
    if phone == HIDDEN:
        running.live(1400, send_every=700, tick_every=700)
    running.live(hours * 3600, send_every=READ_HOURS * 3600, tick_every=READ_HOURS * 3600)
    return message_id


def lost(running: Timelapse, kind: FaultKind, hours: int = HOURS) -> Any:  # noqa: ANN401 - a Row
    """A message whose answer is lost."""
    running.simulator.faults([Fault(kind, count=1)])
    return row(running, one(running, 100, HIDDEN, hours))


def row(running: Timelapse, message_id: int) -> Any:  # noqa: ANN401 - a Row
    return next(each for each in running.rows() if each.id == message_id)


def flaws(running: Timelapse, of: Any) -> frozenset[Flaw]:  # noqa: ANN401 - a Row
    settle_window = dt.timedelta(seconds=running.runtime.settings.settle_seconds)
    with running.database.read() as connection:
        books = store.books(connection, running.runtime.account)
    return books.flaws(Attempt(of.id, of.phone, of.text, of.attempted_at, of.unknown_since), settle_window)


def test_what_was_not_charged_is_sent_again_once_a_later_message_was(migrated_sqlite_url: str) -> None:
    with quiet_account(migrated_sqlite_url) as running:
        attempt = lost(running, REFUSED)
        assert (attempt.state, attempt.unknown_reason) == (State.UNKNOWN, Doubt.NO_CONTROLS)
        assert flaws(running, attempt) == {Flaw.STILL}
        for number in range(2):
            one(running, 101 + number)
        assert row(running, attempt.id).state == State.DELIVERED
        assert running.outcome().sent_twice == []


def test_without_the_balance_it_stays_unknown(migrated_sqlite_url: str) -> None:
    with quiet_account(migrated_sqlite_url) as running:
        attempt = lost(running, REFUSED)
        running.database.transact(store.forget)
        for number in range(3):
            one(running, 101 + number)
        kept = row(running, attempt.id)
        assert (kept.state, kept.unknown_reason) == (State.UNKNOWN, Doubt.NO_CONTROLS)


HABITS: dict[str, dict[str, Any]] = {
    "charged as the answers say": {},
    "nothing is charged": {"charge_rate": 0},
    "charged hours later": {"charge_seconds": 30 * 3600},
    "charged just before the next message": {"charge_seconds": HOURS * 3600 - 600},
    "charged when the next message is": {"charge_seconds": HOURS * 3600},
    "nine tenths are charged": {"charge_share": 0.9},
    "the balance is rounded": {"credits_step": 10},
    "others use the account": {"others_per_hour": 0.3},
    "rejected messages are refunded": {"refund_rejected": True, "reject_rate": 1},
    "nobody can read the balance": {"credits_form": "words"},
}


@pytest.mark.parametrize("habit", HABITS)
def test_however_a_provider_charges_what_it_accepted_is_not_sent_again(habit: str, migrated_sqlite_url: str) -> None:
    with quiet_account(migrated_sqlite_url, **HABITS[habit]) as running:
        attempt = lost(running, ACCEPTED)
        for number in range(2):
            one(running, 101 + number)
            assert flaws(running, attempt)
        kept = row(running, attempt.id)
        assert (kept.state, kept.unknown_reason) == (State.UNKNOWN, Doubt.NO_CONTROLS)
        assert running.outcome().sent_twice == []


@pytest.mark.parametrize("habit", ["charged as the answers say", "nothing is charged", "charged hours later"])
def test_trusting_the_books_without_reading_them_sends_twice(
    habit: str, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reverse: each of the tests above can fail."""
    monkeypatch.setattr(Books, "flaws", lambda *_: frozenset())
    monkeypatch.setattr(Books, "balanced", True)
    with quiet_account(migrated_sqlite_url, **HABITS[habit]) as running:
        lost(running, ACCEPTED)
        for number in range(2):
            one(running, 101 + number)
        assert running.outcome().sent_twice != []


def test_before_anything_is_charged_after_it_neither_report_nor_balance_proves_that_it_still_speaks(
    migrated_sqlite_url: str,
) -> None:
    """Why `Flaw.STILL` is there: the provider's database falls behind, and the answer is lost for that very reason.

    The report has each message of before, the balance stands still across the attempt and SETTLE later, every charge
    so far was shown exactly: all that speaks for absence, and yet it was accepted.
    """
    with quiet_account(migrated_sqlite_url) as running:
        running.simulator.set(report_lag=99 * 3600, charge_seconds=99 * 3600, omit_suffixes=[])
        attempt = lost(running, ACCEPTED)
        assert flaws(running, attempt) == {Flaw.STILL}
        assert (attempt.state, attempt.unknown_reason) == (State.UNKNOWN, Doubt.NO_CONTROLS)
        running.simulator.set(report_lag=0, charge_seconds=0)
        running.live(2 * 3600, send_every=3600, tick_every=3600)
        assert row(running, attempt.id).state in {State.SENT, State.DELIVERED}
        assert running.outcome().sent_twice == []


def test_readings_are_kept_as_levels_and_not_without_bound(migrated_sqlite_url: str) -> None:
    with timelapse(migrated_sqlite_url) as running:
        every = dt.timedelta(minutes=1)

        def read(amount: int | None, account: str = "a", seconds: float = 60) -> None:
            running.clock.wait(seconds)
            asked, answered = running.clock.read(), running.clock.read()
            given = None if amount is None else Decimal(amount)
            running.database.transact(
                lambda connection: store.record(connection, account, asked, answered, given, every)
            )

        def kept() -> list[tuple[str, int | None]]:
            with running.database.read() as connection:
                rows = connection.execute(sa.select(balances).order_by(balances.c.id))
                return [(each.account_fingerprint, each.amount) for each in rows]

        for amount in (5, 5, 5, 4, None, None, 4, 4):
            read(amount)
        assert kept() == [("a", 5), ("a", 4), ("a", None), ("a", 4)]
        read(4, "b")
        assert kept()[4:] == [("b", 4)]
        read(4, "b", seconds=3600)  # nobody looked meanwhile
        assert kept()[4:] == [("b", 4), ("b", 4)]
        for amount in range(store.KEPT + 20):
            read(1000 - amount, "b")
        assert len(kept()) == store.KEPT
        running.database.transact(store.forget)
        assert kept() == []
