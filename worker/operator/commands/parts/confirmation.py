"""Ask before a command changes many things: on a terminal a question, in a script the option --yes."""

import sys
from typing import Annotated

import typer

from smsclick._cli import output

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; for scripts.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count; change nothing.")]


def require(question: str, *, yes: bool) -> None:
    """Return if the person agrees; otherwise end the command.

    Args:
        question: what will be done, with figures; without a question mark.
        yes: whether the person agreed on the command line.

    Raises:
        typer.Exit: 1 if the answer is no; 2 if there is no terminal to ask on.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        output.complain(f"{question}: there is no terminal to ask on; add --yes to do it")
        raise typer.Exit(2)
    if not typer.confirm(f"{output.shown(question)}?", err=True):
        output.note("nothing was changed")
        raise typer.Exit(1)
