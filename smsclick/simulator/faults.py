"""What can go wrong between a client and SMSClick, on demand.

A `Fault` is a rule: which kind, at which endpoints, how often, for which messages. Rules are tried in
order; the first that matches a request decides how it goes wrong. `FaultKind.LATENCY` is the exception: it
only delays the answer, adds up over all matching rules, and the other rules are tried as well.

The name of a kind ends in `_before` or `_after` where both exist: before or after the provider has
accepted the message. The client sees the same in both cases; only the ledger shows the difference.
"""

import dataclasses
import random
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from smsclick.errors import SmsclickError

Endpoint = Literal["sendMsg", "getMsg", "report", "credits"]
"""The provider's four calls, by their names in the manual."""

ENDPOINTS: tuple[Endpoint, ...] = ("sendMsg", "getMsg", "report", "credits")
"""All four, for a fault of every endpoint."""


class FaultKind(StrEnum):
    """The ways a request can go wrong; the value is its name in JSON and in the statistics."""

    LATENCY = "latency"
    """Carried out on arrival, answered after `seconds` plus up to `jitter`. Other requests are not delayed."""
    HANG_BEFORE = "hang_before"
    """Read, not carried out, never answered; the connection stays open."""
    HANG_AFTER = "hang_after"
    """Carried out, never answered; the connection stays open."""
    RESET_BEFORE = "reset_before"
    """The connection is reset (TCP RST); nothing was carried out."""
    RESET_AFTER = "reset_after"
    """Carried out, then the connection is reset."""
    HTTP_500_BEFORE = "http_500_before"
    HTTP_500_AFTER = "http_500_after"
    HTTP_502_BEFORE = "http_502_before"
    HTTP_502_AFTER = "http_502_after"
    HTTP_503_BEFORE = "http_503_before"
    HTTP_503_AFTER = "http_503_after"
    HTML_BEFORE = "html_before"
    """Status 200 with an HTML page; nothing was carried out."""
    HTML_AFTER = "html_after"
    """Carried out, then status 200 with an HTML page."""
    CUT = "cut"
    """Carried out; the true length is announced, half of the body follows, then the connection is closed."""
    TRICKLE = "trickle"
    """Carried out; the true body, byte by byte, spread over `seconds`."""
    RATE_LIMIT = "rate_limit"
    """429 with `Retry-After: retry_after`; nothing was carried out."""
    UNLISTED = "unlisted"
    """A readable answer with `code`, which the manual does not list; nothing was carried out."""
    WRONG_KEY = "wrong_key"
    """-101, whatever the key; nothing was carried out."""
    NO_BALANCE = "no_balance"
    """-104, whatever the balance; nothing was carried out."""
    REDIRECT = "redirect"
    """302 to `/login/`; nothing was carried out."""
    LATE_ACCEPTANCE = "late_acceptance"
    """504 at once; a valid sendMsg is accepted `seconds` plus up to `jitter` later, with the date of that time."""

    @property
    def accepts(self) -> bool:
        """Return whether the request is carried out in spite of the fault: then a valid sendMsg is in the ledger.

        With `LATE_ACCEPTANCE` it is not: the message comes into the ledger later.
        """
        return self.value.endswith("_after") or self in _CARRIED_OUT


_CARRIED_OUT = frozenset({FaultKind.LATENCY, FaultKind.CUT, FaultKind.TRICKLE})


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Fault:
    """One rule. In JSON: an object with the same names, of which only `kind` is needed.

    Attributes:
        kind: What goes wrong.
        endpoints: The endpoints that it hits; by default only sendMsg.
        rate: Probability for each request that matches, 0 to 1.
        count: How many requests it hits; None is no limit.
        phone_suffix: Hit only requests whose TELEFONO ends so.
        text_contains: Hit only requests whose MENSAJE contains this.
        seed: Makes `rate` and `jitter` repeatable.
        seconds: The delay of `latency`, the whole duration of `trickle`, the wait of `late_acceptance`.
        jitter: At most so many seconds more for `latency` and `late_acceptance`, evenly distributed.
        code: The `codigo` of `unlisted`.
        retry_after: Seconds announced by `rate_limit`.

    Raises:
        pydantic.ValidationError: A value is out of range or a name unknown. It is a ValueError.
    """

    kind: FaultKind
    endpoints: tuple[Endpoint, ...] = ("sendMsg",)
    rate: float = Field(default=1.0, ge=0, le=1)
    count: int | None = Field(default=None, ge=0)
    phone_suffix: str | None = None
    text_contains: str | None = None
    seed: int = 0
    seconds: float = Field(default=0.0, ge=0)
    jitter: float = Field(default=0.0, ge=0)
    code: int = -999
    retry_after: int = Field(default=1, ge=0)

    def matches(self, endpoint: str, form: Mapping[str, str]) -> bool:
        """Return whether the rule applies to this request, apart from chance and count."""
        return (
            endpoint in self.endpoints
            and (self.phone_suffix is None or form.get("TELEFONO", "").endswith(self.phone_suffix))
            and (self.text_contains is None or self.text_contains in form.get("MENSAJE", ""))
        )


class _Armed:
    """A rule in force, with the number of requests that it still hits."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = fault.count
        self.chance = random.Random(fault.seed)

    def fires(self, endpoint: str, form: Mapping[str, str]) -> bool:
        if self.left == 0 or not self.fault.matches(endpoint, form):
            return False
        if self.fault.rate < 1 and self.chance.random() >= self.fault.rate:
            return False
        if self.left is not None:
            self.left -= 1
        return True


class FaultBook:
    """The rules in force. It belongs to one event loop, like the account."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []

    def __bool__(self) -> bool:
        return bool(self._armed)

    def replace(self, faults: Iterable[Fault]) -> None:
        """Replace all rules by these, with new counts and chances."""
        self._armed = [_Armed(fault) for fault in faults]

    def pick(self, endpoint: str, form: Mapping[str, str]) -> tuple[Fault | None, float]:
        """Decide what goes wrong with one request.

        Returns:
            The fault, or None; and by how many seconds the answer is delayed.
        """
        chosen: Fault | None = None
        delay = 0.0
        for armed in self._armed:
            fault = armed.fault
            if fault.kind is FaultKind.LATENCY:
                if armed.fires(endpoint, form):
                    delay += fault.seconds + armed.chance.random() * fault.jitter
            elif chosen is None and armed.fires(endpoint, form):
                chosen = fault
                if fault.jitter and fault.kind is FaultKind.LATE_ACCEPTANCE:
                    late = fault.seconds + armed.chance.random() * fault.jitter
                    chosen = dataclasses.replace(fault, seconds=late)
        return chosen, delay


_FAULTS = TypeAdapter(list[Fault])


def faults_to_json(faults: Iterable[Fault]) -> bytes:
    """Return the JSON list for `POST /_simulator/faults`."""
    return _FAULTS.dump_json(list(faults))


def faults_from_json(body: bytes) -> list[Fault]:
    """Read the JSON list of `POST /_simulator/faults`.

    Raises:
        SmsclickError: The body is no such list; one line names the rule, the field and what was wrong.
    """
    try:
        return _FAULTS.validate_json(body)
    except ValidationError as error:
        raise SmsclickError(f"faults refused: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """Return the first of pydantic's errors in one line: where, and what was wrong."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else problem["msg"]
