"""`smsclick doctor`: print what each check found and what to do about it; exit 1 if one failed."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import typer

from smsclick._cli import output
from worker.operator.commands import health
from worker.operator.commands.options import AsJson
from worker.operator.doctor import alert_test as trial
from worker.operator.doctor import checkup
from worker.operator.doctor.check import Check, Verdict

commands = typer.Typer()

_SIGNS = {Verdict.OK: "✔", Verdict.WARNING: "!", Verdict.FAILED: "✘", Verdict.SKIPPED: "-"}
_PLAIN_SIGNS = _SIGNS | {Verdict.OK: "ok", Verdict.FAILED: "X"}
"""For terminals without these characters, which would show success and failure alike as `?`."""


@commands.command(rich_help_panel="Operation")
def doctor(
    *,
    this_worker: Annotated[bool, typer.Option("--worker", help="The same as `smsclick health --worker`.")] = False,
    alert_test: Annotated[
        bool, typer.Option("--alert-test", help="Send a test alert to every address of ALERT_URLS, and nothing else.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check configuration, database, broker, beat, key, balance and clock, and say what to do."""
    if this_worker:
        health.show(("worker",), as_json=as_json)
        return
    checks = list(trial.run() if alert_test else checkup.examine())
    if as_json:
        for check in checks:
            output.json_line(dataclasses.asdict(check))
    else:
        show(checks)
    failed = [check.name for check in checks if check.verdict is Verdict.FAILED]
    if failed:
        output.complain(f"{'not acknowledged' if alert_test else 'not healthy'}: {', '.join(failed)}")
        raise typer.Exit(1)


def show(checks: Sequence[Check]) -> None:
    """Print a table of the checks, with a sign for each verdict that the terminal can show."""
    signs = _SIGNS if output.can_show("".join(_SIGNS.values())) else _PLAIN_SIGNS
    output.show_table(
        ("", "check", "found", "what to do"),
        [(signs[check.verdict], check.name, check.found, check.todo) for check in checks],
        texts={"found", "what to do"},
    )
