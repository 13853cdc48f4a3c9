"""`smsclick stats`: print the figures for a person, or as JSON."""

import dataclasses
from typing import Any

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from smsclick._values import times
from worker.account.holds import AccountState
from worker.operator import account
from worker.operator import stats as figures
from worker.operator.commands import incident_table
from worker.operator.commands.options import AsJson
from worker.operator.stats import Stats

commands = typer.Typer()


@commands.command(rich_help_panel="Operation")
def stats(*, as_json: AsJson = False) -> None:
    """Show counts by state, the oldest due message, hold, balance and open incidents."""
    with open_database() as database:
        found = figures.read(database)
    if as_json:
        output.json_line(_record(found))
    else:
        _show(found)


def _show(found: Stats) -> None:
    estimated = found.counts.estimated
    counts = [(state, f"about {n}" if state in estimated else n) for state, n in found.counts.states.items()]
    output.show_table(("state", "messages"), counts)
    state = found.account_state
    oldest = found.oldest_due_seconds
    output.show_pairs(
        {
            "oldest due": "none" if oldest is None else f"has waited for {times.span(oldest)}",
            "hold": "none" if state.is_open else ", ".join(account.hold_reasons(state)),
            "held since": figures.hold_since(state),
            "canary": None if state.canary_id is None else f"message {state.canary_id}",
            "report lag": _report_lag(state),
            "balance": _balance(state),
        }
    )
    if found.heartbeats:
        output.show_table(
            ("heartbeat", "last", "progress"),
            [(each.name, f"{times.span(each.age_seconds)} ago", each.progress) for each in found.heartbeats],
        )
    incident_table.show(found.incidents)


def _balance(state: AccountState) -> str:
    if state.balance is None or state.balance_at is None:
        return "not known yet: the worker asks for it"
    return f"{state.balance} credits at {output.shown(state.balance_at)}"


def _report_lag(state: AccountState) -> str | None:
    """Return how long the report takes to show a message; it must stay well below SMSCLICK_SETTLE_SECONDS."""
    if state.lag_since is not None:
        waited = (state.now - state.lag_since).total_seconds()
        if state.report_lag is None or waited > state.report_lag:
            return f"more than {times.span(waited)}: the report does not show the latest message yet"
    if state.report_lag is None:
        return None
    return f"at most {times.span(state.report_lag)}, measured at {output.shown(state.report_lag_at)}"


def _record(found: Stats) -> dict[str, Any]:
    state = found.account_state
    hold = None
    if not state.is_open:
        hold = {
            "reason": "operator" if state.hold_reason is None else state.hold_reason,
            "since": figures.hold_since(state),
            "by_operator": state.operator_hold_at is not None,
            "canary_id": state.canary_id,
        }
    return {
        "states": found.counts.states,
        "estimated": sorted(found.counts.estimated),
        "oldest_due_seconds": found.oldest_due_seconds,
        "hold": hold,
        "report_lag_seconds": state.report_lag,
        "report_lag_at": state.report_lag_at,
        "balance": state.balance,
        "balance_at": state.balance_at,
        "incidents": [dataclasses.asdict(each) for each in found.incidents],
        "heartbeats": [dataclasses.asdict(each) for each in found.heartbeats],
        "at": found.now,
    }
