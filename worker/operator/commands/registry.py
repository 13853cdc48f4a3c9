"""Every operator's command, in the order of `smsclick --help`."""

import typer

from worker.operator.commands import (
    dead_letters,
    doctor,
    export,
    health,
    holds,
    messages,
    optouts,
    restored,
    stats,
    unknowns,
    up,
)

operators = typer.Typer()
for group in (
    stats.commands,
    messages.commands,
    export.commands,
    unknowns.commands,
    holds.commands,
    restored.commands,
    health.commands,
    doctor.commands,
    up.commands,
):
    operators.add_typer(group)
operators.add_typer(optouts.group, name="optout", rich_help_panel="Operation")
operators.add_typer(dead_letters.group, name="deadletters", rich_help_panel="Operation")
