"""Every operator's command, in the order of `smsclick --help`. A module is loaded only if its command is called."""

import importlib
from typing import Final

import typer

_PARTS: Final = (
    ("stats", "commands", ("stats", "watch")),
    ("messages", "commands", ("show", "cancel", "retry")),
    ("find", "commands", ("find",)),
    ("forget", "commands", ("forget",)),
    ("export", "commands", ("export",)),
    ("unknowns", "commands", ("unknown", "settle")),
    ("holds", "commands", ("hold", "resume")),
    ("audits", "commands", ("audit",)),
    ("restored", "commands", ("restored",)),
    ("health", "commands", ("health",)),
    ("metrics", "commands", ("metrics",)),
    ("doctor", "commands", ("doctor",)),
    ("up", "commands", ("migrate", "up")),
    ("optouts", "group", ("optout",)),
    ("callbacks", "group", ("callbacks",)),
    ("dead_letters", "group", ("deadletters",)),
    ("access", "token", ("token",)),
    ("access", "user", ("user",)),
)
"""A module, its `typer.Typer`, and the commands in there; `commands` has them itself, any other is one with its own."""


def operators(command: str | None = None) -> typer.Typer:
    """Return the commands of the module that has this one; of all modules where it is None."""
    loaded = typer.Typer()
    for module, attribute, names in _PARTS:
        if command is not None and command not in names:
            continue
        part: typer.Typer = getattr(importlib.import_module(f"worker.operator.commands.{module}"), attribute)
        if attribute == "commands":
            loaded.add_typer(part)
        else:
            loaded.add_typer(part, name=names[0], rich_help_panel="Operation")
    return loaded
