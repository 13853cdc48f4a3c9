"""`smsclick audit`: who did what by hand."""

import dataclasses
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from worker.operator.commands.options import AsJson
from worker.sql import audit

commands = typer.Typer()


@commands.command("audit", rich_help_panel="Operation")
def audit_command(
    *,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The latest so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show what was done by hand, newest first: when, who, what, and how many things it changed."""
    with open_database() as database:
        found = audit.listed(database, limit)
    if as_json:
        for each in found:
            output.json_line(dataclasses.asdict(each))
    elif not found:
        output.say("nothing was done by hand yet")
    else:
        output.show_table(
            ("when", "who", "act", "changed", "detail"),
            [(each.at, each.actor, each.act, each.count, each.detail) for each in found],
            texts={"detail"},
            spare=("detail",),
        )
