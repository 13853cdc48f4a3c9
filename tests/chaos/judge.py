"""The judge: what the provider's ledger says against what the database says, message by message."""

import dataclasses
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.causes import Cause
from smsclick.contract import State, alerts, events, incidents, messages
from smsclick.simulator import LedgerEntry
from tests.chaos.traffic import CONTROL, PANEL, Wanted

if TYPE_CHECKING:
    import datetime as dt

_FINAL = {State.DELIVERED, State.REJECTED, State.FAILED, State.EXPIRED}
_ESTATUS = {State.DELIVERED: 3, State.REJECTED: 4}
_BY: dict[str, str] = {Cause.ABSENT_FROM_REPORT: "absent", Cause.OPERATOR: "by_hand"}


@dataclasses.dataclass
class Verdict:
    """What was found; the first four must be empty. Each holds lines for a person."""

    lost: list[str]
    sent_twice: list[str]
    reported_wrong: list[str]
    stuck: list[str]
    figures: dict[str, Any]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.sent_twice or self.reported_wrong or self.stuck)


def unfinished(database: Database) -> int:
    """How many messages are not final yet, those that wait for their reply included, and the controls left out."""
    waits = sa.or_(messages.c.state.not_in(_FINAL), sa.and_(messages.c.state == State.DELIVERED, _no_reply()))
    wanted = messages.c.key.not_like(f"{CONTROL}%")
    with database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).where(waits, wanted)).scalar_one())


def judge(database: Database, ledger: Sequence[LedgerEntry], wanted: Sequence[Wanted]) -> Verdict:
    """Compare everything with everything."""
    with database.read() as connection:
        rows = {row.key: row for row in connection.execute(sa.select(messages))}
        history = list(connection.execute(sa.select(events).order_by(events.c.id)))
        figures = _figures(connection, history, rows, wanted)
    verdict = Verdict([], [], [], [], figures)
    causes = defaultdict(set)
    for event in history:
        causes[event.message_id].add(event.cause)
    accepted: dict[tuple[str, str], list[LedgerEntry]] = defaultdict(list)
    for entry in ledger:
        accepted[entry.phone, entry.text].append(entry)
    by_id = {entry.id_mensaje: entry for entry in ledger}
    groups: dict[tuple[str, str], list[Wanted]] = defaultdict(list)
    for each in wanted:
        groups[each.phone, each.text].append(each)
    for group, members in groups.items():
        _judge_group(verdict, members, rows, accepted.get(group, []))
        for each in members:
            row = rows.get(each.key)
            if row is None:
                verdict.lost.append(f"{each.key}: committed, and not in the database")
            elif not each.control or State(row.state) in _FINAL:
                # A control that is not final came last: nothing came after it that could prove anything about it.
                _judge_row(verdict, each, row, causes[row.id], by_id, bool(accepted.get(group)))
    owners = Counter(row.id_mensaje for row in rows.values() if row.id_mensaje is not None)
    verdict.reported_wrong += [f"id_mensaje {id_}: of {count} messages" for id_, count in owners.items() if count > 1]
    for phone, text in accepted.keys() - groups.keys():
        if not text.startswith(PANEL):
            verdict.reported_wrong.append(f"accepted, but nobody wanted it: {phone} {text!r}")
    return verdict


def _judge_group(
    verdict: Verdict, members: Sequence[Wanted], rows: dict[str, Any], entries: Sequence[LedgerEntry]
) -> None:
    """Messages with equal phone and text: at most one acceptance for each, and each acceptance somebody's."""
    extra = len(entries) - len(members)
    keys = ", ".join(each.key for each in members)
    if extra > 0:
        ids = [entry.id_mensaje for entry in entries]
        verdict.sent_twice += [f"{keys}: accepted as {ids}"] * extra
    present = [rows[each.key] for each in members if each.key in rows]
    owned = {row.id_mensaje for row in present}
    orphans = [entry.id_mensaje for entry in entries if entry.id_mensaje not in owned]
    if len(orphans) > max(0, extra) and all(State(row.state) in _FINAL for row in present):
        states = ", ".join(f"message {row.id} is {row.state}" for row in present)
        verdict.reported_wrong.append(f"{keys}: accepted as {orphans}, which no message has; {states}")


def _judge_row(
    verdict: Verdict,
    wanted: Wanted,
    row: Any,  # noqa: ANN401 - a Row, whose columns no type can name
    causes: set[str],
    by_id: dict[int, LedgerEntry],
    accepted: bool,  # noqa: FBT001
) -> None:
    state, name = State(row.state), f"message {row.id} ({wanted.key})"
    if (row.phone, row.text) != (wanted.phone, wanted.text):
        verdict.reported_wrong.append(f"{name}: its phone or text changed")
    if state not in _FINAL:
        verdict.stuck.append(f"{name}: {state}, due {row.due_at}, attempts {row.attempts}, {row.last_error}")
        return
    if state in _ESTATUS:
        entry = by_id.get(row.id_mensaje)
        if entry is None or (entry.phone, entry.text) != (wanted.phone, wanted.text):
            verdict.reported_wrong.append(f"{name}: {state} as {row.id_mensaje}, which is another's or nobody's")
            if not accepted:
                verdict.lost.append(f"{name}: {state}, but never accepted")
        elif not entry.estatus == row.estatus_mensaje == _ESTATUS[state]:
            verdict.reported_wrong.append(
                f"{name}: {state}, estatus {row.estatus_mensaje}; the provider: {entry.estatus}"
            )
        elif row.reply != entry.reply:
            verdict.reported_wrong.append(f"{name}: reply {row.reply!r}; the provider: {entry.reply!r}")
        return
    if row.id_mensaje is not None:
        verdict.reported_wrong.append(f"{name}: {state} although it has the id_mensaje {row.id_mensaje}")
    wished = (state is State.FAILED and wanted.if_absent == "fail" and Cause.ABSENT_FROM_REPORT in causes) or (
        state is State.EXPIRED and wanted.expires
    )
    if not wished:
        verdict.lost.append(f"{name}: {state} without a good reason: {row.last_error}")


def _figures(
    connection: sa.Connection, history: Sequence[Any], rows: dict[str, Any], wanted: Sequence[Wanted]
) -> dict[str, Any]:
    since: dict[int, dt.datetime] = {}
    reconciled: dict[str, list[float]] = defaultdict(list)
    unknown = 0
    first_claim: dict[int, dt.datetime] = {}
    for event in history:
        if event.to_state == State.SENDING and event.from_state == State.QUEUED:
            first_claim.setdefault(event.message_id, event.at)
        if event.to_state == State.UNKNOWN and event.from_state != State.UNKNOWN:
            unknown += 1
            since[event.message_id] = event.at
        elif event.from_state == State.UNKNOWN and event.message_id in since:
            seconds = (event.at - since.pop(event.message_id)).total_seconds()
            reconciled[_BY.get(event.cause, "found")].append(seconds)
    alike = Counter((each.phone, each.text) for each in wanted)
    waited = [
        (first_claim[row.id] - row.created_at).total_seconds()
        for each in wanted
        # Messages of equal content wait for each other by design.
        if alike[each.phone, each.text] == 1 and (row := rows.get(each.key)) is not None and row.id in first_claim
    ]
    kinds = connection.execute(sa.select(incidents.c.kind, sa.func.count()).group_by(incidents.c.kind))
    return {
        "unknown": unknown,
        "settle_seconds": {kind: _spread(values) for kind, values in sorted(reconciled.items())},
        "wait_seconds": _spread(waited),
        "alerts": connection.execute(sa.select(sa.func.count()).select_from(alerts)).scalar_one(),
        "incidents": {row[0]: row[1] for row in kinds},
        "states": dict(Counter(row.state for row in rows.values())),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"count": 0}
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "median": round(statistics.median(ordered), 2),
        "p99": round(ordered[int(len(ordered) * 0.99)], 2),
        "worst": round(ordered[-1], 2),
    }


def _no_reply() -> sa.ColumnElement[bool]:
    return sa.and_(messages.c.rule_id.is_not(None), messages.c.reply.is_(None))
