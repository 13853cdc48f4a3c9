"""Arguments and options that several commands share."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Names = Annotated[
    list[str], typer.Argument(metavar="ID...", help="Ids or keys; write id:… or key:… if a name is both.")
]
