"""`smsclick hold` and `resume`: stop sending and go on."""

from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from worker.operator import account
from worker.operator.commands.parts.current_user import current_user

commands = typer.Typer()


@commands.command(rich_help_panel="Operation")
def hold(
    *,
    reason: Annotated[str, typer.Option(help="Why, for everybody who asks meanwhile; no phone.", metavar="WORDS")] = "",
) -> None:
    """Stop sending until resume; messages wait and none is lost."""
    with open_database() as database:
        held = account.hold(database, actor=current_user(), why=reason)
    output.say("held: nothing is sent until smsclick resume" if held else "held already")


@commands.command(rich_help_panel="Operation")
def resume() -> None:
    """Lift the operator's hold."""
    with open_database() as database:
        state = account.resume(database, actor=current_user())
    if state.is_open:
        output.say("resumed")
    else:
        why = ", ".join(account.hold_reasons(state))
        output.say(f"resumed, but still held: {why}; the worker checks this now, and sending goes on by itself")
