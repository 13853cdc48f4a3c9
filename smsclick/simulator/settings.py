"""The settings of the simulated account, as one immutable value."""

import dataclasses
from collections.abc import Mapping
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from smsclick.errors import SmsclickError
from smsclick.simulator.faults import first_problem

TextForm = Literal["exact", "ascii", "collapsed", "cut"]
"""How the provider returns a text: as it came, without accents, with single spaces, or its first 150 characters."""

OddRow = Literal["estatus", "null_text", "null_phone", "bad_date", "null_date", "decimal_id", "panel"]
"""A row of the report that differs from the manual: an `estatus_mensaje` of 7; a text, phone or date of null; a date
that
cannot be read; an id with decimals. `panel` is a good row of another system."""

First = Literal["oldest", "newest"]
CreditsForm = Literal["whole", "decimal", "commas", "text", "words"]
"""How `credits` gives the balance: 1200232, 1200232.00, "1,200,232.00", "1200232" or, unreadable, "suficientes"."""


@dataclass(
    frozen=True,
    config=ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False),
)
class SimulatorSettings:
    """The account and the network behind it.

    A message keeps the settings of the time when it was accepted for its own course (delays, rates, phones, rules,
    reply, campaign). `api_key`, `balance`, `timezone`, `content_type` and all settings of answers and reports belong to
    the account, and apply from the next request on.

    Attributes:
        api_key: The only APIKEY that is accepted.
        balance: The credits of the account, at the start and whenever this is set.
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
        report_lag_spread: Up to this many seconds more for each message, always the same for the same message.
        report_cap: At most so many rows in a report, without a word about the rest; None is no limit.
        report_cap_first: In which order the rows of a capped report are counted, and come.
        omit_rate: Share of messages that a report never has.
        omit_suffixes: The same for messages whose phone ends so.
        odd_rows: Rows of other systems in each report, one of each of these kinds, dated in the middle of its span.
        others_phone: The phone of those rows.
        odd_form: How a share of our own messages looks in a report; None is as in the manual.
        odd_rate: That share.
        text_form: How `getMsg` and `report` return the text.
        text_prefix: A prefix of each text there.
        text_suffix: A suffix of each text there.
        phone_mask: How many of a phone's digits are shown there as X, from the left: 6 is XXXXXX2211.
        date_shift: Seconds that the provider's dates are ahead of the true time: 3600 is a zone an hour to the east.
        echo_form: Whether answers that are errors repeat the whole form that was sent.
        credits_form: How `credits` gives the balance.
        charge_rate: Share of messages that are charged at all; answers show their cost as usual.
        charge_share: The part of each credit that is really charged: 0.9 charges 0.9 if the answer says 1.
        characters_per_credit: How many characters a credit pays for.
        charge_seconds: Seconds after acceptance when `credits` shows the charge.
        others_per_hour: Credits that other users of the account use, evenly distributed.
        credits_step: `credits` shows multiples of this, rounded down.
        refund_rejected: Whether `credits` shows the credits of messages that end with 4 again.
        other_keys: APIKEYs of further accounts, each with its own messages, balance and report.
        other_balance: Credits of each of those; when set: what each has now.
        campaign_id: The campaign that `ID_CAMPANIA` filters by, for messages accepted while it is set.
        campaign_name: Its `nombre_campania`.
        portfolio: Its `portafolio`.
        content_type: The header of the four endpoints' JSON answers.
        seed: With phone and text it decides a message's delay and end, so that a run can be repeated with any order
            of arrival.

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
    report_lag_spread: float = Field(default=0.0, ge=0)
    report_cap: int | None = Field(default=None, ge=0)
    report_cap_first: First = "newest"
    omit_rate: float = Field(default=0.0, ge=0, le=1)
    omit_suffixes: tuple[str, ...] = ()
    odd_rows: tuple[OddRow, ...] = ()
    others_phone: str = Field(default="5500000000", pattern=r"^[0-9]{10}$")
    odd_form: OddRow | None = None
    odd_rate: float = Field(default=1.0, ge=0, le=1)
    text_form: TextForm = "exact"
    text_prefix: str = ""
    text_suffix: str = ""
    phone_mask: int = Field(default=0, ge=0, le=10)
    date_shift: float = 0.0
    echo_form: bool = False
    credits_form: CreditsForm = "whole"
    charge_rate: float = Field(default=1.0, ge=0, le=1)
    charge_share: float = Field(default=1.0, ge=0, le=1)
    characters_per_credit: int = Field(default=150, ge=1)
    charge_seconds: float = Field(default=0.0, ge=0)
    others_per_hour: float = Field(default=0.0, ge=0)
    credits_step: int = Field(default=1, ge=1)
    refund_rejected: bool = False
    other_keys: tuple[str, ...] = Field(default=(), repr=False)
    other_balance: int = 10_000
    campaign_id: int | None = None
    campaign_name: str | None = None
    portfolio: str | None = None
    content_type: str = Field(default="application/json; charset=utf-8", pattern=r"^[ -~]+$")
    seed: int = 0

    def replace(self, changes: Mapping[str, object]) -> "SimulatorSettings":
        """Return the settings with `changes`, which are given by name, as in Python or as read from JSON.

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
