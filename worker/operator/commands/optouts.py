"""`smsclick optout`: the phones that are never written to."""

import dataclasses
import sys
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database, opened, progress_line
from worker.operator.commands.options import AsJson
from worker.operator.commands.parts.current_user import current_user
from worker.queue import optouts

group = typer.Typer(no_args_is_help=True, help="Phones that are never written to.")

Phones = Annotated[list[str], typer.Argument(metavar="PHONE...", help="Mexican numbers, in any usual form.")]


@group.command("add")
def add_command(
    phones: Phones, *, reason: Annotated[str | None, typer.Option(help="Why it is on the list, in your words.")] = None
) -> None:
    """Never write to these phones; their waiting messages fail when a worker claims them."""
    with open_database() as database:
        added = optouts.add(database, phones, reason, actor=current_user())
    output.say(f"{added} added, {len(phones) - added} already known")


@group.command("remove")
def remove_command(phones: Phones) -> None:
    """Write to these phones again; messages that failed stay failed until they are retried."""
    with open_database() as database:
        removed = optouts.remove(database, phones, actor=current_user())
    output.say(f"{removed} removed, {len(phones) - removed} not on the list")


@group.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """Write the list to stdout: CSV that import reads, or JSON lines."""
    with open_database() as database:
        if as_json:
            for each in optouts.listed(database):
                output.json_line(dataclasses.asdict(each))
        else:
            optouts.write_csv(optouts.listed(database), sys.stdout)


@group.command("import")
def import_command(
    file: Annotated[str, typer.Argument(help="CSV or JSON lines with phone and perhaps reason; - is stdin.")],
) -> None:
    """Add the phones of a file; bad lines are reported and the good ones are stored."""
    summary = optouts.Summary()
    with open_database() as database, opened(file) as stream, progress_line() as progress:
        optouts.import_file(
            database,
            stream,
            name=file,
            report=lambda number, why: progress.say(f"line {number}: {why}"),
            summary=summary,
            actor=current_user(),
        )
    output.note(f"{summary.added} added, {summary.known} already known, {summary.refused} refused")
    if summary.refused:
        raise typer.Exit(1)
