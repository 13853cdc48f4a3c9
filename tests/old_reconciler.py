"""The reconciler as it was before absence had to be earned: for tests that show what it does.

A message that the report of the minutes around its attempt does not have is sent again, unless a message that is known
to be accepted within those very seconds is missing too. Nothing in production calls this.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from smsclick._values.causes import Cause
from smsclick.contract import State, messages
from smsclick.errors import ProviderError
from smsclick.provider.codes import Estatus
from smsclick.provider.results import ReportRow
from worker.lifecycle import message_rows, model, state_machine
from worker.lifecycle.fingerprint import digits, tolerant
from worker.lifecycle.model import Change, Note

if TYPE_CHECKING:
    from worker.runtime import Runtime

_SLACK = dt.timedelta(seconds=90)


def take_silence_for_absence(runtime: Runtime) -> None:
    """Reconcile every unknown attempt that the old rule decides."""
    settle_window = dt.timedelta(seconds=runtime.settings.settle_seconds)
    with runtime.database.read() as connection:
        unknown = list(connection.execute(sa.select(messages).where(messages.c.state == State.UNKNOWN)))
    for row in unknown:
        read_at = runtime.database.clock()
        try:
            report: list[Any] = list(runtime.client.report_rows(row.attempted_at - _SLACK, row.unknown_since + _SLACK))
        except ProviderError:
            continue
        if not all(type(each) is ReportRow and each.estatus is not None for each in report):
            continue  # one odd row made the whole report unreadable
        _record(runtime, row, report, old=read_at >= row.unknown_since + settle_window)


def _record(runtime: Runtime, row: Any, report: list[Any], *, old: bool) -> None:  # noqa: ANN401 - a Row
    def work(connection: sa.Connection) -> None:
        message = message_rows.lock(connection, [row.id])[row.id]
        owned = set(connection.scalars(sa.select(messages.c.id_mensaje).where(messages.c.id_mensaje.is_not(None))))
        known = connection.scalars(
            sa.select(messages.c.id_mensaje).where(
                messages.c.sent_at.between(row.attempted_at, row.unknown_since),
                messages.c.attempted_at >= row.attempted_at,
                messages.c.id_mensaje.is_not(None),
            )
        )
        complete = set(known) <= {each.id_mensaje for each in report}
        hits = [each for each in report if each.id_mensaje not in owned and _is(row, each)]
        if message.state is State.UNKNOWN and message.token == row.token and (hits or (old and complete)):
            state_machine.apply(connection, [_found(message, hits[0]) if hits else _absent(message, row.unknown_since)])

    runtime.database.transact(work)


def _is(row: Any, each: ReportRow) -> bool:  # noqa: ANN401 - a Row
    alike = each.phone == digits(row.phone) and tolerant(each.text) == tolerant(row.text)
    at = each.fecha_envio
    return alike and at is not None and row.attempted_at - _SLACK <= at <= row.unknown_since + _SLACK


def _found(message: model.Message, hit: ReportRow) -> Change:
    becomes = dataclasses.replace(
        message,
        state=State.SENT,
        id_mensaje=hit.id_mensaje,
        estatus_mensaje=Estatus.PENDIENTE,
        sent_at=hit.fecha_envio,
        due_at=hit.fecha_envio,
        token=None,
        lease_until=None,
        wire_key=None,
        unknown_since=None,
    )
    return Change(message, becomes, Note(Cause.FOUND_IN_REPORT, 1, "by the old rule", hit.id_mensaje))


def _absent(message: model.Message, at: dt.datetime) -> Change:
    becomes = dataclasses.replace(
        message, state=State.QUEUED, due_at=at, token=None, lease_until=None, wire_key=None, unknown_since=None
    )
    return Change(message, becomes, Note(Cause.ABSENT_FROM_REPORT, None, "by the old rule"))
