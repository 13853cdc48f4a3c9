"""A message that the simulator has accepted: its cost, its course and its entry in the ledger."""

import hashlib
from dataclasses import dataclass
from math import exp
from statistics import NormalDist

from smsclick.simulator.settings import SimulatorSettings

MAIN = 0
"""The account of `api_key`; those of `other_keys` are 1, 2, … in their order."""

PENDING, SENDING, SENT, RECEIVED, REJECTED = range(5)
"""The manual's `estatus_mensaje`."""

CHARACTERS_PER_CREDIT = 150
"""The manual: extra credits are charged after 150 characters."""
_STANDARD_NORMAL = NormalDist()


@dataclass(slots=True)
class Message:
    """One accepted message and its course; times are epoch seconds.

    `verdict` is the estatus from `final_at` on, `account` is the account of the message (`MAIN` or another), and
    `chance` is a number from 0 to 1, always the same for the same seed, phone and text.
    """

    id_mensaje: int
    phone: str
    text: str
    accepted_at: float
    credits: int
    rule_id: str | None
    final_at: float
    verdict: int
    settings: SimulatorSettings
    account: int = MAIN
    chance: float = 0.0

    def estatus(self, now: float) -> int:
        """Return the `estatus_mensaje` at the time `now`."""
        if now >= self.final_at:
            return self.verdict
        progress = (now - self.accepted_at) / (self.final_at - self.accepted_at)
        return SENT if progress >= 0.3 else SENDING if progress >= 0.1 else PENDING

    def reply(self, now: float) -> tuple[str, float] | None:
        """Return the recipient's answer and its time, or None if there is none by `now`."""
        if self.rule_id is None or self.verdict != RECEIVED:
            return None
        replied_at = self.final_at + self.settings.reply_seconds
        return (self.settings.reply_text, replied_at) if now >= replied_at else None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One message that the provider really accepted.

    Attributes:
        id_mensaje: The provider's id.
        phone: Ten digits, as received.
        text: Exactly as received.
        accepted_at: Epoch seconds by the simulator's clock.
        credits: What was charged.
        estatus: 0 to 4, at the time when the ledger was read.
        rule_id: The interactive rule asked for, if any.
        reply: The recipient's answer, if there is one.
        account: 0 is the account of `api_key`; the others are those of `other_keys`, in order.
    """

    id_mensaje: int
    phone: str
    text: str
    accepted_at: float
    credits: int
    estatus: int
    rule_id: str | None
    reply: str | None
    account: int = MAIN

    @classmethod
    def of(cls, message: Message, now: float) -> "LedgerEntry":
        """Return the entry of a message in its state at `now`."""
        reply = message.reply(now)
        return cls(
            message.id_mensaje,
            message.phone,
            message.text,
            message.accepted_at,
            message.credits,
            message.estatus(now),
            message.rule_id,
            reply[0] if reply else None,
            message.account,
        )

    def as_dict(self) -> dict[str, object]:
        """Return the entry as a dictionary, for JSON."""
        # dataclasses.asdict copies deeply, at ten times the cost.
        return {name: getattr(self, name) for name in self.__slots__}


def credits_of(text: str, characters: int = CHARACTERS_PER_CREDIT) -> int:
    """Return how many credits a text costs: one for each so many characters begun."""
    return max(1, -(-len(text) // characters))


def chance_of(seed: int, phone: str, text: str) -> float:
    """Return a number from 0 to 1, by which settings apply to a share of the messages; it depends on the arguments."""
    digest = hashlib.blake2b(f"{seed}/{phone}/{text}".encode(), digest_size=4, person=b"shown").digest()
    return int.from_bytes(digest, "big") / 2**32


def course(settings: SimulatorSettings, phone: str, text: str) -> tuple[float, int]:
    """Return the seconds until a message's verdict, and the verdict; they depend on seed, phone and text only."""
    digest = hashlib.blake2b(f"{settings.seed}/{phone}/{text}".encode(), digest_size=8).digest()
    chance = int.from_bytes(digest[:4], "big") / 2**32
    # Half a step keeps the value inside (0, 1), where the normal distribution has an inverse.
    quantile = (int.from_bytes(digest[4:], "big") + 0.5) / 2**32
    delay = settings.delivery_seconds
    if delay and settings.delivery_spread:
        delay *= exp(settings.delivery_spread * _STANDARD_NORMAL.inv_cdf(quantile))
    if (
        phone in settings.reject_phones
        or phone.endswith(settings.reject_suffixes)
        or any(part in text for part in settings.reject_texts)
    ):
        return delay, REJECTED
    if phone in settings.never_phones or chance < settings.never_rate:
        return delay, SENT
    return delay, REJECTED if chance < settings.never_rate + settings.reject_rate else RECEIVED
