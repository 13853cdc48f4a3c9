"""Control a simulator in another process over HTTP."""

import json
from collections.abc import Iterable

import requests
from pydantic import TypeAdapter

from smsclick.errors import SmsclickError
from smsclick.simulator.faults import Fault, faults_to_json
from smsclick.simulator.messages import LedgerEntry
from smsclick.simulator.traffic import SimulatorStats

_TIMEOUT = (5, 120)
_STATS = TypeAdapter(SimulatorStats)


class SimulatorClient:
    """The calls of `Simulator` for a simulator in another process, such as `smsclick simulate`.

    Every call raises SmsclickError, with one line, if the simulator does not answer or refuses.

    Args:
        base_url: Its address, with or without `/sms-services`.
    """

    def __init__(self, base_url: str) -> None:
        self._root = base_url.rstrip("/").removesuffix("/sms-services") + "/_simulator/"

    def ledger(self) -> list[LedgerEntry]:
        """Return the accepted messages in order, each in its present state."""
        return [LedgerEntry(**json.loads(line)) for line in self._call("GET", "ledger").splitlines()]

    def stats(self) -> SimulatorStats:
        """Return the requests by endpoint and outcome, the concurrency, and the arrivals by second."""
        return _STATS.validate_json(self._call("GET", "stats"))

    def set(self, **settings: object) -> None:
        """Change any fields of `SimulatorSettings` by name; `add_balance=n` adds to the balance."""
        self._call("POST", "settings", json.dumps(settings, default=_plain).encode())

    def faults(self, faults: Iterable[Fault] = ()) -> None:
        """Replace all rules by these; without rules, nothing goes wrong."""
        self._call("POST", "faults", faults_to_json(faults))

    def force_status(self, id_mensaje: int, estatus: int) -> None:
        """Give a message this estatus from now on, instead of its own course."""
        self._call("POST", "status", json.dumps({"id_mensaje": id_mensaje, "estatus": estatus}).encode())

    def reset(self) -> None:
        """Return to the start: an empty ledger, no faults, no counts, the first settings."""
        self._call("POST", "reset")

    def _call(self, method: str, name: str, body: bytes | None = None) -> bytes:
        try:
            with requests.Session() as session:
                session.trust_env = False  # a test reaches its simulator without a proxy
                answer = session.request(method, self._root + name, data=body, timeout=_TIMEOUT)
        except requests.RequestException as error:
            raise SmsclickError(f"no simulator answers at {self._root}: {type(error).__name__}") from None
        if answer.status_code != 200:
            reason = answer.text.strip() if answer.status_code == 400 else "is this a simulator's address?"
            raise SmsclickError(f"the simulator answered {answer.status_code}: {reason}")
        return answer.content


def _plain(value: object) -> object:
    """Return sets and zones in a form that JSON has."""
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)
