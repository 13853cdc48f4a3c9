"""`smsclick up` and `smsclick migrate`: run everything in one process, and create or upgrade the tables."""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from smsclick._cli import output
from smsclick._database.engine import parse_url
from smsclick._database.sqlite_files import path_of
from smsclick._database.urls import shown
from smsclick._logs.event_log import EventLog
from smsclick.settings import Settings, get_settings

log = EventLog(__name__)

commands = typer.Typer()


@commands.command(rich_help_panel="Operation")
def migrate() -> None:
    """Create or upgrade the tables, from any folder."""
    from worker import embedded  # noqa: PLC0415 - Alembic; the other commands start sooner without it

    settings = get_settings()
    embedded.migrate(settings.database_url)
    output.say(f"the tables are at the newest version in {_database_place(settings)}")


@commands.command(rich_help_panel="Operation")
def up(
    *,
    simulate: Annotated[bool, typer.Option("--simulate", help="Send to a simulator of its own.")] = False,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="Of the log on stderr.")
    ] = "info",
) -> None:
    """Run everything in one process, without any server: migrate, worker, beat (and the simulator)."""
    from worker import embedded  # noqa: PLC0415 - Celery and Alembic; the other commands start sooner without them

    def ready(settings: Settings) -> None:
        log.info("up_started", base_url=settings.base_url)
        if settings.log_format == "json":
            return  # each line is for machines
        output.say(f"smsclick is up and sends to {settings.base_url}; Ctrl-C stops it")
        if simulate:
            key = settings.require_api_key()
            output.say(f"this is a simulator; ask it with SMSCLICK_BASE_URL={settings.base_url} SMSCLICK_API_KEY={key}")
        output.say(f"from another terminal{_same_database()}: {program_name()} enqueue 5551402211 'Hola'")
        sys.stdout.flush()

    embedded.up(simulate=simulate, log_level=log_level, on_ready=ready)


def program_name() -> str:
    """Return how a person in this folder starts this program: its name if the shell finds it, else its path."""
    found = shutil.which("smsclick")
    own = Path(sys.argv[0]).absolute()
    if own.name != "smsclick" or (found is not None and Path(found).absolute() == own):
        return "smsclick"
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)


def _database_place(settings: Settings) -> str:
    url = parse_url(settings.database_url)
    return str(path_of(url) or shown(url))


def _same_database() -> str:
    return " with the same DATABASE_URL" if os.environ.get("DATABASE_URL") else ""
