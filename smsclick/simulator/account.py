"""The simulated accounts: balances, messages, and what the report shows of them at a given time.

Nothing runs in the background. A message's whole course is fixed when it is accepted, and its status is computed from
the clock when it is asked for. The state belongs to one event loop; other threads use `Simulator`.
"""

import heapq
import itertools
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import floor
from operator import attrgetter

from smsclick.errors import SmsclickError
from smsclick.simulator.messages import MAIN, PENDING, REJECTED, LedgerEntry, Message, chance_of, course, credits_of
from smsclick.simulator.settings import SimulatorSettings

_IDS_PER_SECOND = 100_000
_ID_EPOCH = 1_704_067_200  # 2024-01-01 UTC: keeps ids short
_ACCEPTED_AT = attrgetter("accepted_at")


class Account:
    """The state of the provider, for all of its accounts. Times come from `clock`, in epoch seconds."""

    def __init__(self, settings: SimulatorSettings, clock: Callable[[], float] = time.time) -> None:
        self._initial = settings
        self._clock = clock
        self._first_id = 0
        self._last_now = float("-inf")
        self._since = clock()
        self.settings = settings
        self.balance = settings.balance
        self.other_balances: dict[int, int] = {}
        self.messages: list[Message] = []
        self._later: list[tuple[float, int, str, str, str | None, int]] = []
        self._numbers = itertools.count()
        self.reset()

    def now(self) -> float:
        """Return the clock's time, which never goes back, so that messages stay in the order of their times.

        Messages whose late acceptance is due by then are accepted first, each at its own time.
        """
        now = max(self._last_now, self._clock())
        while self._later and self._later[0][0] <= now:
            at, _number, phone, text, rule_id, account = heapq.heappop(self._later)
            self._last_now = max(self._last_now, at)
            self._accept(phone, text, rule_id, account, self._last_now)
        self._last_now = now
        return now

    @property
    def accepting_later(self) -> int:
        """The number of messages that wait for their late acceptance."""
        return len(self._later)

    def of_key(self, key: str) -> int | None:
        """Return the account of an APIKEY, or None if there is none."""
        if key == self.settings.api_key:
            return MAIN
        others = self.settings.other_keys
        return 1 + others.index(key) if key in others else None

    def balance_of(self, account: int) -> int:
        """Return the credits of an account."""
        return self.balance if account == MAIN else self.other_balances.get(account, self.settings.other_balance)

    def shown_balance(self, account: int) -> int:
        """Return the credits of an account as `credits` shows them under the settings."""
        now, settings = self.now(), self.settings
        usual = (settings.charge_rate, settings.charge_share, settings.others_per_hour, settings.credits_step)
        late = any(message.settings.charge_seconds for message in self.messages)
        if not late and not settings.refund_rejected and usual == (1.0, 1.0, 0.0, 1):
            return self.balance_of(account)
        own = [message for message in self.messages if message.account == account]
        charged = [message for message in own if message.chance < settings.charge_rate]
        back = (
            sum(message.credits for message in own)
            - sum(
                message.credits
                for message in charged
                if message.accepted_at <= now - message.settings.charge_seconds
                and not (settings.refund_rejected and message.estatus(now) == REJECTED)
            )
            * settings.charge_share
        )
        shown = self.balance_of(account) + back - int((now - self._since) / 3600 * settings.others_per_hour)
        return floor(round(shown, 6)) // settings.credits_step * settings.credits_step

    def reset(self) -> None:
        """Forget every message and every change of settings. Ids still only increase."""
        # The real clock, whatever `clock` says: ids must differ from those of an earlier process as well.
        by_time = int((time.time() - _ID_EPOCH) * _IDS_PER_SECOND)
        self._first_id = max(self._first_id + len(self.messages), by_time)
        self.messages = []
        self._later = []
        self._since = self._clock()
        self.settings = self._initial
        self.balance = self._initial.balance
        self.other_balances = {}

    def change(self, changes: Mapping[str, object]) -> None:
        """Apply settings by name, and `add_balance`, which adds to the balance: all or nothing.

        Raises:
            SmsclickError: A name is unknown or a value refused; one line says which and why.
        """
        plain = {name: value for name, value in changes.items() if name != "add_balance"}
        more = changes.get("add_balance", 0)
        if not isinstance(more, int) or isinstance(more, bool):
            raise SmsclickError("setting refused: add_balance: must be a whole number of credits")
        self.settings = self.settings.replace(plain)
        if "balance" in plain:
            self.balance = self.settings.balance
        if "other_balance" in plain:
            self.other_balances = {}
        self.balance += more

    def accept(self, phone: str, text: str, rule_id: str | None, account: int = MAIN) -> Message | None:
        """Accept a message and charge its credits.

        Returns:
            The message, or None if the balance is lower than its credits.
        """
        return self._accept(phone, text, rule_id, account, self.now())

    def accept_later(self, seconds: float, phone: str, text: str, rule_id: str | None, account: int = MAIN) -> None:
        """Accept a message so many seconds from now, with the date of that time, if the balance allows it then."""
        heapq.heappush(self._later, (self.now() + seconds, next(self._numbers), phone, text, rule_id, account))

    def _accept(self, phone: str, text: str, rule_id: str | None, account: int, now: float) -> Message | None:
        cost, balance = credits_of(text, self.settings.characters_per_credit), self.balance_of(account)
        if balance < cost:
            return None
        if account == MAIN:
            self.balance = balance - cost
        else:
            self.other_balances[account] = balance - cost
        delay, verdict = course(self.settings, phone, text)
        message = Message(
            self._first_id + len(self.messages),
            phone,
            text,
            now,
            cost,
            rule_id,
            now + delay,
            verdict,
            self.settings,
            account,
            chance_of(self.settings.seed, phone, text),
        )
        self.messages.append(message)
        return message

    def find(self, id_mensaje: int, account: int | None = None) -> Message | None:
        """Return the message with this id, or None; also None if it is not of the given account."""
        self.now()
        index = id_mensaje - self._first_id
        message = self.messages[index] if 0 <= index < len(self.messages) else None
        return message if message is None or account in {None, message.account} else None

    def window(self, start: float, end: float, account: int = MAIN) -> Sequence[Message]:
        """Return the messages of an account from `start` to before `end` that the report already shows, by time."""
        now, settings = self.now(), self.settings
        low = bisect_left(self.messages, start, key=_ACCEPTED_AT)
        visible = bisect_right(self.messages, now - settings.report_lag, key=_ACCEPTED_AT)
        shown = self.messages[low : min(visible, bisect_left(self.messages, end, key=_ACCEPTED_AT))]
        if settings.other_keys or account != MAIN:
            shown = [message for message in shown if message.account == account]
        if settings.report_lag_spread:
            since = now - settings.report_lag
            spread = settings.report_lag_spread
            shown = [message for message in shown if message.accepted_at + spread * message.chance <= since]
        if settings.omit_rate:
            shown = [message for message in shown if message.chance >= settings.omit_rate]
        if settings.omit_suffixes:
            shown = [message for message in shown if not message.phone.endswith(settings.omit_suffixes)]
        return shown

    def ledger(self) -> Iterator[LedgerEntry]:
        """Return an iterator over all messages that were accepted before this call, each in its present state."""
        now, messages = self.now(), self.messages[:]
        return (LedgerEntry.of(message, now) for message in messages)

    def force(self, id_mensaje: int, estatus: int) -> None:
        """Give a message this estatus from now on, backwards too, instead of its own course.

        Raises:
            SmsclickError: There is no such message, or no such estatus.
        """
        message = self.find(id_mensaje)
        if message is None or not PENDING <= estatus <= REJECTED:
            raise SmsclickError(f"no message {id_mensaje}, or estatus {estatus} is not one of 0 to 4")
        message.final_at, message.verdict = self.now(), estatus
