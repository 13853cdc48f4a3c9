"""The messages of a run, as producers enqueue them while everything breaks, and the faults of the provider."""

import dataclasses
import datetime as dt
import logging
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from smsclick import enqueue_many
from smsclick._database.engine import Database
from smsclick.errors import SmsclickError
from smsclick.provider.client import SmsclickClient
from smsclick.simulator import Fault, FaultKind, Simulator

log = logging.getLogger(__name__)

PANEL = "Del panel"
"""How the texts begin that another system sends under the same key."""

CONTROL = "control-"
"""How the keys begin of messages that go on after the end: a report proves absence only by what came later."""

LATE_SECONDS = 4.0
"""Up to so much later a call that was given up is accepted; with the report's lag that is less than SETTLE."""

_AFTER = (
    FaultKind.RESET_AFTER,
    FaultKind.HANG_AFTER,
    FaultKind.HTTP_500_AFTER,
    FaultKind.HTTP_502_AFTER,
    FaultKind.HTML_AFTER,
    FaultKind.CUT,
)
_BEFORE = (
    FaultKind.RESET_BEFORE,
    FaultKind.HANG_BEFORE,
    FaultKind.HTTP_500_BEFORE,
    FaultKind.HTTP_503_BEFORE,
    FaultKind.HTML_BEFORE,
    FaultKind.RATE_LIMIT,
    FaultKind.UNLISTED,
)


def faults(rate: float, seed: int) -> list[Fault]:
    """Each kind at a small rate: accepted without a readable answer, refused, slow; and a report that fails."""
    kinds = [Fault(kind, rate=rate, seed=seed + n) for n, kind in enumerate((*_AFTER, *_BEFORE))]
    return [
        *kinds,
        Fault(FaultKind.TRICKLE, rate=rate, seed=seed + 50, seconds=3),
        Fault(FaultKind.LATE_ACCEPTANCE, rate=rate, seed=seed + 53, seconds=0.5, jitter=LATE_SECONDS - 0.5),
        Fault(FaultKind.LATENCY, seconds=0.02, jitter=0.08, seed=seed + 51),
        Fault(FaultKind.LATENCY, rate=rate, seconds=1.0, jitter=0.6, seed=seed + 52),
        Fault(FaultKind.HTTP_500_BEFORE, ("report",), rate=10 * rate, seed=seed + 60),
        Fault(FaultKind.HTML_BEFORE, ("report",), rate=5 * rate, seed=seed + 61),
        Fault(FaultKind.CUT, ("report",), rate=5 * rate, seed=seed + 62),
        Fault(FaultKind.HANG_BEFORE, ("report",), rate=2 * rate, seed=seed + 63),
        Fault(FaultKind.HTTP_503_BEFORE, ("getMsg", "credits"), rate=5 * rate, seed=seed + 64),
        Fault(FaultKind.RESET_BEFORE, ("getMsg", "credits"), rate=2 * rate, seed=seed + 65),
        Fault(FaultKind.CUT, ("getMsg",), rate=2 * rate, seed=seed + 66),
    ]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A message as its producer wants it."""

    key: str
    phone: str
    text: str
    priority: str
    if_absent: str
    rule_id: str | None
    expires: bool
    repeated: bool
    control: bool = False

    def row(self) -> dict[str, Any]:
        """As `enqueue_many` takes it."""
        row: dict[str, Any] = {
            "key": self.key,
            "phone": self.phone,
            "text": self.text,
            "priority": self.priority,
            "if_absent": self.if_absent,
            "rule_id": self.rule_id,
        }
        if self.expires:
            row["expires_at"] = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20)
        return row


def messages(seed: int) -> Iterator[Wanted]:
    """An endless stream: short and long texts, accents, emoji, equal contents, priorities, rules, both `if_absent`."""
    rng = random.Random(seed)
    recent: list[Wanted] = []
    number = 0
    while True:
        number += 1
        if recent and rng.random() < 0.06:
            other = rng.choice(recent)
            new = dataclasses.replace(other, key=f"equal-{number}", repeated=True, expires=False)
        else:
            text = rng.choice(
                (
                    f"Tu pedido {number} va en camino",
                    f"Código {number}: ñandú, pingüino y ¡acentos!",
                    f"  Dos  espacios {number} y un\nrenglón",
                    f"Fiesta {number} 🎉 a las 8",
                    f"{number} largo " + "texto con acentós y más " * 9,
                )
            ).strip()
            new = Wanted(
                key=f"message-{number}",
                phone=f"55{10_000_000 + rng.randrange(9_000) if rng.random() < 0.9 else 12_345_678}",
                text=text,
                priority=rng.choice(("high", "normal", "normal", "low")),
                if_absent="fail" if rng.random() < 0.1 else "resend",
                rule_id="1" if rng.random() < 0.1 else None,
                expires=rng.random() < 0.02,
                repeated=False,
            )
        recent = [*recent[-40:], new]
        yield new


class Traffic:
    """A thread that enqueues in small transactions, never further ahead than its limit.

    Args:
        database: where to.
        simulator: what another system sends to as well, under the same key.
        seed: of the messages.
    """

    def __init__(self, database: Database, simulator: Simulator, seed: int) -> None:
        self._database = database
        self._client = SmsclickClient(simulator.api_key, simulator.base_url, "America/Mexico_City", 1, 2)
        self._messages = messages(seed)
        self._rng = random.Random(seed + 1)
        self._lock = threading.Lock()
        self._allowed = 0
        self._more_until = 0.0
        self._controls_every: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-traffic")
        self.committed: list[Wanted] = []
        self.controls: list[Wanted] = []
        self._thread.start()

    def allow(self, total: int) -> None:
        """Enqueue up to so many since the start."""
        with self._lock:
            self._allowed = max(self._allowed, total)

    def more(self, seconds: float) -> None:
        """A steady trickle for that long, whatever is allowed: a process waits for a message at which it dies."""
        self._more_until = time.monotonic() + seconds

    def go_on(self, every: float | None) -> None:
        """When everything allowed is committed, one message more every so many seconds until the end; None: no more."""
        self._controls_every = every

    def end(self) -> None:
        """No more; returns when the last transaction is committed."""
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while True:
            ended = self._ended.is_set()  # asked first: what was allowed before the end is still due
            with self._lock:
                missing = self._allowed - len(self.committed)
            if missing <= 0:
                if ended:
                    return
                every = self._controls_every
                if every is not None:
                    self._control(every)
                    continue
                time.sleep(0.05)
                if time.monotonic() >= self._more_until:
                    continue
            size = min(max(missing, 2), self._rng.choice((1, 1, 2, 5, 20)))
            self._commit([next(self._messages) for _ in range(size)])
            if self._rng.random() < 0.02:
                self._panel()
            time.sleep(0.01)

    def _control(self, every: float) -> None:
        number = len(self.controls) + 1
        key, text = f"{CONTROL}{number}", f"Mensaje {number} de todos los días"
        wanted = Wanted(key, "5587654321", text, "normal", "resend", None, expires=False, repeated=False, control=True)
        self._commit([wanted], self.controls)
        self._ended.wait(every)

    def _commit(self, batch: list[Wanted], into: list[Wanted] | None = None) -> None:
        """A producer without its answer enqueues again with the same keys."""
        rows = [wanted.row() for wanted in batch]
        while True:
            try:
                with self._database.begin() as connection:
                    enqueue_many(connection, rows)
            except (SmsclickError, SQLAlchemyError) as error:
                log.info("Enqueue failed and is tried again. error=%s", type(error).__name__)
                time.sleep(0.2)
            else:
                (self.committed if into is None else into).extend(batch)
                return

    def _panel(self) -> None:
        wanted = self._rng.choice(self.committed)
        self._client.send(wanted.phone, f"{PANEL} {len(self.committed)}: {wanted.text}"[:140])
