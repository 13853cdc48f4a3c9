"""What can be set about the simulated account, as one immutable value."""

import dataclasses
from collections.abc import Mapping
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from smsclick.errors import SmsclickError
from smsclick.simulator.faults import first_problem

TextForm = Literal["exact", "ascii", "collapsed", "cut"]
"""How the provider gives a text back: as it came, without accents, with single spaces, or its first 150."""


@dataclass(
    frozen=True,
    config=ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False),
)
class SimulatorSettings:
    """The account and the network behind it.

    A message keeps the settings of the moment it was accepted for everything that decides its own course
    (delays, rates, phones, rules, reply, campaign). `api_key`, `balance`, `report_lag`, `timezone`,
    `text_form` and `content_type` are the account's and count from the next request on.

    Attributes:
        api_key: The only APIKEY that is taken.
        balance: Credits. At start, and when set: what the account has now.
        timezone: The zone of all dates in answers and of the report's window.
        delivery_seconds: Median time from acceptance to estatus 3 or 4. On the way the estatus is 1 from a
            tenth of a message's own delay, 2 from three tenths.
        delivery_spread: Standard deviation of the delay's logarithm (0: all alike; 0.5: a thousandth take
            five times the median).
        reject_rate: Share of messages that end with 4, Rechazado.
        never_rate: Share of messages that stay at 2, Enviado, for good.
        reject_phones: Ten-digit phones whose messages end with 4.
        reject_suffixes: The same for phones that end so.
        reject_texts: The same for texts that contain one of these.
        never_phones: Ten-digit phones whose messages stay at 2.
        rules: The interactive rules that exist; the reply to others is -105.
        reply_text: What the recipient of an interactive message answers.
        reply_seconds: Time from estatus 3 to that answer.
        report_lag: Seconds before an accepted message shows in `report`.
        text_form: How `getMsg` and `report` give the text back.
        campaign_id: The campaign that `ID_CAMPANIA` filters by, for messages accepted while it is set.
        campaign_name: Its `nombre_campania`.
        portfolio: Its `portafolio`.
        content_type: The header of the four endpoints' JSON answers.
        seed: With phone and text it decides a message's delay and end, so that a run can be repeated
            whatever the order of arrival.

    Raises:
        pydantic.ValidationError: A value is out of range or a name unknown. It is a ValueError.
    """

    api_key: str = Field(default="simulator-key", min_length=1, repr=False)
    balance: int = 10_000
    timezone: ZoneInfo = Field(default_factory=lambda: ZoneInfo("America/Mexico_City"))
    delivery_seconds: float = Field(default=5.0, ge=0)
    delivery_spread: float = Field(default=0.5, ge=0, le=5)
    reject_rate: float = Field(default=0.0, ge=0, le=1)
    never_rate: float = Field(default=0.0, ge=0, le=1)
    reject_phones: frozenset[str] = frozenset()
    reject_suffixes: tuple[str, ...] = ()
    reject_texts: tuple[str, ...] = ()
    never_phones: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset({"1", "2", "3"})
    reply_text: str = "SI"
    reply_seconds: float = Field(default=3.0, ge=0)
    report_lag: float = Field(default=0.0, ge=0)
    text_form: TextForm = "exact"
    campaign_id: int | None = None
    campaign_name: str | None = None
    portfolio: str | None = None
    content_type: str = Field(default="application/json; charset=utf-8", pattern=r"^[ -~]+$")
    seed: int = 0

    def replace(self, changes: Mapping[str, object]) -> "SimulatorSettings":
        """The same settings but for `changes`, given by name as in Python or as read from JSON.

        Raises:
            SmsclickError: A name is unknown or a value refused; one line says which and why.
        """
        known = [field.name for field in dataclasses.fields(self)]
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise SmsclickError(f"unknown setting {unknown[0]!r}; known are {', '.join(known)} and add_balance")
        try:
            return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # pydantic checks each value
        except ValidationError as error:
            raise SmsclickError(f"setting refused: {first_problem(error)}") from None
