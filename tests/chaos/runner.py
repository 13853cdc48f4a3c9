"""One run: messages flow, everything breaks, and in the end the judge compares the ledger with the database."""

import contextlib
import dataclasses
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import events, incidents, messages
from smsclick.errors import DatabaseUnavailable, NotAllowed
from smsclick.simulator import LedgerEntry
from tests.chaos.judge import Verdict, judge, unfinished
from tests.chaos.mischief import Mischief, kinds_of, plan
from tests.chaos.stack import Stack, set_environment
from tests.chaos.traffic import LATE_SECONDS, Traffic, faults
from tests.processes import wait_until
from worker.lifecycle.doubt import Doubt
from worker.operator import unknowns

log = logging.getLogger(__name__)

_AHEAD = 2
"""The messages of how many kills may be enqueued before those happen."""

_CONTROL_SECONDS = 0.5
_FIRST_CONTROLS_SECONDS = 0.2
_FIRST_CONTROLS = 5
"""Between two messages after the end."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run is asked to be; see `__main__`."""

    stack: str
    messages: int
    kills: int
    seed: int
    seconds: float
    patience: float
    rate: float
    kinds: Sequence[str]
    text_form: str
    defect: str
    logs: Path | None


def run(options: Options) -> int:
    """Run it, print one JSON line, return the exit code."""
    logs = options.logs or Path(tempfile.mkdtemp(prefix=f"smsclick-chaos-{options.stack}-"))
    logs.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=logs / "runner.log", level=logging.INFO, format="[%(asctime)s: %(levelname)s] %(message)s", force=True
    )
    began = time.monotonic()
    extra = {"CHAOS_DEFECT": options.defect}
    stack = Stack(options.stack, logs, text_form=options.text_form, seed=options.seed, extra=extra)
    try:
        stack.start()
        verdict, result = _run(stack, options, began)
    finally:
        stack.stop()
    sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    sys.stdout.flush()
    if verdict.good:
        if options.logs is None:
            shutil.rmtree(logs, ignore_errors=True)
        return 0
    sys.stderr.write(
        f"chaos: what is wrong stands in {logs}/verdict.txt; follow a message in messages.jsonl and events.jsonl, "
        f"and by: grep -h 'message=ID ' {logs}/*.log | sort\n"
    )
    return 1


def _run(stack: Stack, options: Options, began: float) -> tuple[Verdict, dict[str, Any]]:
    database = stack.database
    assert database is not None
    set_environment(stack)
    rng = random.Random(options.seed)
    traffic = Traffic(database, stack.simulator, options.seed)
    _begin_with_controls(database, traffic)
    stack.simulator.faults(faults(options.rate, options.seed))
    for_each = options.messages / max(1, options.kills)

    def allow(done: int) -> None:
        traffic.allow(min(options.messages, int((done + _AHEAD) * for_each)))

    mischief = Mischief(stack, rng, traffic.more)
    by_hand = 0
    allow(0)
    try:
        kinds = plan(options.kinds or kinds_of(stack), options.kills, rng)
        mischief.run(kinds, began + options.seconds - options.patience, allow)
        traffic.allow(options.messages)
        traffic.go_on(_CONTROL_SECONDS)
        deadline = min(time.monotonic() + options.patience, began + options.seconds)
        while time.monotonic() < deadline:
            with contextlib.suppress(DatabaseUnavailable):
                if len(traffic.committed) >= options.messages and not unfinished(database):
                    break
                by_hand += _decide(database, stack)
            mischief.wait(0.5)
    finally:
        traffic.end()
    # What was given up is accepted late, whoever has sent it again by then: the judge must see that too.
    mischief.wait(2 * LATE_SECONDS, lambda: not stack.simulator.stats().accepting_later)
    ledger = stack.simulator.ledger()
    verdict = judge(database, ledger, [*traffic.committed, *traffic.controls])
    result = {
        "stack": options.stack,
        "seed": options.seed,
        "messages": len(traffic.committed),
        "controls": len(traffic.controls),
        "kills": {"total": mischief.done.total(), **dict(sorted(mischief.done.items()))},
        "lost": len(verdict.lost),
        "sent_twice": len(verdict.sent_twice),
        "reported_wrong": len(verdict.reported_wrong),
        "stuck": len(verdict.stuck),
        "by_hand": by_hand,
        **verdict.figures,
        "faults": _met(stack),
        "surprises": len(stack.surprises),
        "seconds": round(time.monotonic() - began, 1),
    }
    log.info("chaos: %s", json.dumps(result))
    for line in (*stack.surprises, f"not reached: {dict(mischief.failed)}"):
        log.info("chaos: %s", line)
    if not verdict.good or options.logs:
        _keep(stack.logs, database, ledger, verdict)
    return verdict, result


def _begin_with_controls(database: Database, traffic: Traffic) -> None:
    """Before the first attempt of all there is nothing known in the report, so nothing could prove it absent."""
    traffic.go_on(_FIRST_CONTROLS_SECONDS)
    accepted = sa.select(sa.func.count()).where(messages.c.id_mensaje.is_not(None))

    def enough() -> bool:
        with database.read() as connection:
            return bool(connection.execute(accepted).scalar_one() >= _FIRST_CONTROLS)

    try:
        wait_until(enough, 120, what="messages of known id before the first fault")
    except BaseException:
        traffic.end()
        raise
    traffic.go_on(None)


def _decide(database: Database, stack: Stack) -> int:
    """Decide as an operator: look in SMSClick's panel for messages absent twice; returns how many were decided."""
    wait = [each.id for each in unknowns.read(database) if each.open_reason == Doubt.TWICE]
    if not wait:
        return 0
    with database.read() as connection:
        rows = connection.execute(sa.select(messages).where(messages.c.id.in_(wait))).all()
        owned = set(connection.scalars(sa.select(messages.c.id_mensaje).where(messages.c.id_mensaje.is_not(None))))
    ledger = stack.simulator.ledger()
    for row in rows:
        accepted = (each.id_mensaje for each in ledger if (each.phone, each.text) == (row.phone, row.text))
        id_mensaje = next((each for each in accepted if each not in owned), None)
        owned.add(id_mensaje)
        log.info("chaos: a person decides. message_id=%s id_mensaje=%s", row.id, id_mensaje)
        with contextlib.suppress(NotAllowed):  # no longer unknown
            unknowns.decide(database, str(row.id), id_mensaje, "chaos")
    return len(rows)


def _met(stack: Stack) -> dict[str, int]:
    """How often each way to go wrong was met at sendMsg."""
    outcomes = stack.simulator.stats().requests.get("sendMsg", {})
    return {name: count for name, count in outcomes.items() if not name.lstrip("-").isdigit()}


def _keep(logs: Path, database: Database, ledger: Sequence[LedgerEntry], verdict: Verdict) -> None:
    """What the servers take with them when they end."""
    with (logs / "verdict.txt").open("w", encoding="utf-8") as file:
        for name in ("lost", "sent_twice", "reported_wrong", "stuck"):
            file.writelines(f"{name}: {line}\n" for line in getattr(verdict, name))
    with (logs / "ledger.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(entry.as_dict(), ensure_ascii=False) + "\n" for entry in ledger)
    with database.read() as connection:
        for table in (messages, events, incidents):
            rows = connection.execute(sa.select(table).order_by(table.c.id)).mappings()
            with (logs / f"{table.name.removeprefix('smsclick_')}.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(dict(row), default=str, ensure_ascii=False) + "\n" for row in rows)
