"""`smsclick health`: print whether the processes of this machine make progress; exit 0 or 1."""

import dataclasses
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick.errors import SmsclickError
from smsclick.settings import get_settings
from worker.operator import health
from worker.operator.commands.options import AsJson

commands = typer.Typer()


@commands.command("health", rich_help_panel="Operation")
def health_command(
    *,
    worker: Annotated[bool, typer.Option("--worker", help="Check the workers of this machine.")] = False,
    beat: Annotated[bool, typer.Option("--beat", help="Check the beat of this machine.")] = False,
    end_stalled: Annotated[
        bool,
        typer.Option(
            "--end-stalled",
            help="End each process that makes no progress (SIGTERM, after 20 s SIGKILL), so that its supervisor starts "
            "it again.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check whether this machine's processes make progress: for containers, exit 0 or 1.

    It asks the processes only, and neither the database nor the broker nor the provider.
    """
    roles = tuple(role for role, wanted in (("worker", worker), ("beat", beat)) if wanted)
    show(roles, as_json=as_json, end_stalled=end_stalled)


def show(roles: tuple[str, ...], *, as_json: bool, end_stalled: bool = False) -> None:
    """Print the health of the processes with these roles; exit with 1 if one is not healthy."""
    try:
        database_url: str | None = get_settings().database_url
    except SmsclickError:
        # The processes started with correct settings: a setting that is wrong now does not make them unhealthy.
        database_url = None
    found = health.examine(roles, database_url)
    for each in found:
        if as_json:
            output.json_line(dataclasses.asdict(each))
        elif each.is_healthy:
            output.say(each.words)
    for each in found:
        if not each.is_healthy:
            output.complain(each.words)
    if end_stalled:
        for pid in health.end_stalled(found):
            output.complain(f"process {pid} was ended")
    if not all(each.is_healthy for each in found):
        raise typer.Exit(1)
