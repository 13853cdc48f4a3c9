"""Every operator's command, in the order of `smsclick --help`."""

import typer

from worker.operator.commands import (
    access,
    audits,
    callbacks,
    dead_letters,
    doctor,
    export,
    find,
    forget,
    health,
    holds,
    messages,
    metrics,
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
    find.commands,
    forget.commands,
    export.commands,
    unknowns.commands,
    holds.commands,
    audits.commands,
    restored.commands,
    health.commands,
    metrics.commands,
    doctor.commands,
    up.commands,
):
    operators.add_typer(group)
operators.add_typer(optouts.group, name="optout", rich_help_panel="Operation")
operators.add_typer(callbacks.group, name="callbacks", rich_help_panel="Operation")
operators.add_typer(dead_letters.group, name="deadletters", rich_help_panel="Operation")
operators.add_typer(access.token, name="token", rich_help_panel="Operation")
operators.add_typer(access.user, name="user", rich_help_panel="Operation")
