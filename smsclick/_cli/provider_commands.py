"""The commands that ask SMSClick itself: `balance`, `status`, `report`."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from smsclick._cli import output
from smsclick._values.times import parse_time_or_day
from smsclick.errors import InvalidField, ProviderRefused, ProviderUnreachable, SmsclickError, UnreadableAnswer
from smsclick.provider.account_client import advice, open_client
from smsclick.provider.client import SmsclickClient
from smsclick.provider.codes import Estatus, Fault, lookup
from smsclick.provider.results import MessageStatus, ReportRow, UnreadableRow
from smsclick.settings import Settings, get_settings

provider = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="JSON also on a terminal.")]

_STATUS_WORDS: Final = {
    Estatus.PENDIENTE: "Pendiente de envío",
    Estatus.EN_PROCESO: "En proceso de envío",
    Estatus.ENVIADO: "Enviado",
    Estatus.RECIBIDO: "Recibido",
    Estatus.RECHAZADO: "Rechazado",
}
_ADVICE: Final = {
    -100: "set SMSCLICK_API_KEY (SMSClick's panel: HERRAMIENTAS > Componentes/APIS)",
    -101: "check SMSCLICK_API_KEY against SMSClick's panel (HERRAMIENTAS > Componentes/APIS)",
    -200: "ID_MENSAJE is the provider's number of a message, as `smsclick show` gives it",
    -201: "ID_MENSAJE is the provider's number of a message, as `smsclick show` gives it",
    -300: "check FROM",
    -301: "check TO",
    -302: "check --status",
    -303: "check --campaign",
}


@provider.command(rich_help_panel="The provider")
def balance(*, as_json: AsJson = False) -> None:
    """Ask SMSClick how many credits the account has."""
    with _asking() as (client, _):
        credits_left = client.credits()
    if as_json or not output.for_people():
        output.json_line({"credits": credits_left})
    else:
        output.say(f"{credits_left} credits")


@provider.command(rich_help_panel="The provider")
def status(
    id_mensaje: Annotated[int, typer.Argument(min=1, help="The provider's number of the message.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Ask SMSClick for the status of one message."""
    with _asking() as (client, _):
        seen = client.status(id_mensaje)
    if as_json or not output.for_people():
        output.json_line({"id_mensaje": id_mensaje} | _record(seen))
    else:
        output.show_pairs({"id_mensaje": id_mensaje} | _record(seen) | {"estatus_mensaje": _estatus(seen.estatus)})


@provider.command(rich_help_panel="The provider")
def report(
    start: Annotated[str, typer.Argument(metavar="FROM", help="ISO 8601 or DD-MM-AAAA HH:mm:ss.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="The same; a day alone means its end.")],
    *,
    statuses: Annotated[str | None, typer.Option("--status", help="Only messages with these, like 2,3,4.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only this ID_CAMPANIA.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask SMSClick for all messages between two times.

    Times without a zone are in the provider's zone (SMSCLICK_TIMEZONE).
    """
    with _asking() as (client, settings):
        rows = client.report(
            parse_time_or_day(start, settings.zone),
            parse_time_or_day(end, settings.zone, end_of_day=True),
            None if statuses is None else parse_statuses(statuses),
            campaign,
        )
    if as_json or not output.for_people():
        for row in rows:
            output.json_line(_record(row))
        return
    output.show_table(
        ("id_mensaje", "estatus", "phone", "text", "fecha_envio", "campaign", "portfolio", "reply"),
        (
            (row.id_mensaje, "cannot be read", "", f"({row.why})", row.fecha_envio, "", "", "")
            if isinstance(row, UnreadableRow)
            else (
                row.id_mensaje,
                _estatus(row.estatus),
                row.phone,
                row.text,
                row.fecha_envio,
                row.nombre_campania,
                row.portafolio,
                row.reply,
            )
            for row in rows
        ),
        title=f"{len(rows)} messages",
        texts={"text", "reply", "campaign", "portfolio"},
        spare=("campaign", "portfolio"),
    )


def parse_statuses(words: str) -> list[int]:
    """Read numbers separated by commas.

    Raises:
        InvalidField: one of them is not a number of one digit.
    """
    parts = [part.strip() for part in words.split(",")]
    if not all(re.fullmatch("[0-9]", part) for part in parts):
        raise InvalidField("--status: write numbers from 0 to 4 separated by commas, like 2,3,4")
    return [int(part) for part in parts]


@contextlib.contextmanager
def _asking() -> Iterator[tuple[SmsclickClient, Settings]]:
    """Yield a client; an answer without data becomes an error with advice for a person."""
    settings = get_settings()
    with open_client(settings, pool_size=1) as client:
        try:
            yield client, settings
        except ProviderRefused as error:
            words = f": {error.description}" if error.description and lookup(error.code).fault is Fault.NONE else ""
            todo = _ADVICE.get(error.code, "ask SMSClick what this code means")
            raise SmsclickError(f"{error}{words}", advice=todo) from None
        except ProviderUnreachable as error:
            todo = f"{advice(error, settings)} (smsclick simulate gives one to try with)"
            raise SmsclickError(str(error), advice=todo) from None
        except UnreadableAnswer as error:
            if error.is_redirect:
                raise SmsclickError(str(error), advice=advice(error, settings)) from None
            raise


def _record(seen: MessageStatus | ReportRow | UnreadableRow) -> dict[str, Any]:
    values = dataclasses.asdict(seen)
    return {"estatus_mensaje" if name == "estatus" else name: value for name, value in values.items()}


def _estatus(estatus: Estatus | None) -> str:
    if estatus is None:
        return "not one of 0 to 4"
    return f"{int(estatus)} {_STATUS_WORDS[estatus]}"
