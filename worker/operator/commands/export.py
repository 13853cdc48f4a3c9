"""`smsclick export`: write one record for each message to stdout."""

import sys
from typing import Annotated, Literal

import typer

from smsclick._cli.tools import open_database
from smsclick.contract import State
from smsclick.errors import InvalidField
from smsclick.settings import get_settings
from worker.operator import exporting, person_export
from worker.operator.commands.options import Since, Until, time_of

commands = typer.Typer()


@commands.command(rich_help_panel="Operation")
def export(
    *,
    form: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help="JSON lines or CSV.")] = "jsonl",
    states: Annotated[
        list[State] | None, typer.Option("--state", help="Only messages in this state; can be given several times.")
    ] = None,
    since: Since = None,
    until: Until = None,
    phone: Annotated[
        str | None,
        typer.Option(help="All that is stored of this phone, for the person: JSON lines of messages, opt-out, calls."),
    ] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="CSV for spreadsheets: marked as UTF-8, with local times.")
    ] = False,
    keep_formulas: Annotated[
        bool, typer.Option("--keep-formulas", help="Keep texts like =1+1 as they are in a CSV.")
    ] = False,
) -> None:
    """Write one record for each message to stdout, as a stream.

    Times without a zone are in the provider's zone (SMSCLICK_TIMEZONE). In a CSV an apostrophe goes before each text
    that a spreadsheet would read as a formula.
    """
    if phone is not None:
        if form != "jsonl" or states or not (since is None and until is None) or excel or keep_formulas:
            raise InvalidField("--phone: takes no other option; all that is stored is written as JSON lines")
        with open_database() as database:
            exporting.write_jsonl(person_export.records(database, phone), sys.stdout)
        return
    if (excel or keep_formulas) and form != "csv":
        raise InvalidField(f"{'--excel' if excel else '--keep-formulas'}: is for CSV; add --format csv")
    zone = get_settings().zone
    wanted = exporting.Wanted(
        states or (),
        time_of("--since", since),
        time_of("--until", until, end_of_day=True),
    )
    with open_database() as database:
        records = exporting.export(database, wanted)
        if form == "csv":
            exporting.write_csv(records, sys.stdout, exporting.CsvForm(excel, zone, keep_formulas))
        else:
            exporting.write_jsonl(records, sys.stdout)
