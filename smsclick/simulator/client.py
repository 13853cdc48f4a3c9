"""A simulator in another process, steered over HTTP."""

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
    """The calls of `Simulator` for one that runs elsewhere, such as under `smsclick simulate`.

    Every call raises SmsclickError, in one line, when the simulator is not there or refuses.

    Args:
        base_url: Its address, with or without `/sms-services`.
    """

    def __init__(self, base_url: str) -> None:
        self._root = base_url.rstrip("/").removesuffix("/sms-services") + "/_simulator/"

    def ledger(self) -> list[LedgerEntry]:
        """What it accepted, in order, each message as it stands now."""
        return [LedgerEntry(**json.loads(line)) for line in self._call("GET", "ledger").splitlines()]

    def stats(self) -> SimulatorStats:
        """Requests by endpoint and outcome, concurrency, arrivals by second."""
        return _STATS.validate_json(self._call("GET", "stats"))

    def set(self, **settings: object) -> None:
        """Changes any field of `SimulatorSettings` by name; `add_balance=n` adds to the balance."""
        self._call("POST", "settings", json.dumps(settings, default=_plain).encode())

    def faults(self, faults: Iterable[Fault] = ()) -> None:
        """Puts these rules in the place of all earlier ones; none at all makes it behave again."""
        self._call("POST", "faults", faults_to_json(faults))

    def force_status(self, id_mensaje: int, estatus: int) -> None:
        """Gives a message this estatus from now on, whatever its course was."""
        self._call("POST", "status", json.dumps({"id_mensaje": id_mensaje, "estatus": estatus}).encode())

    def reset(self) -> None:
        """As at the start: an empty ledger, no faults, no counts, the settings it was made with."""
        self._call("POST", "reset")

    def _call(self, method: str, name: str, body: bytes | None = None) -> bytes:
        try:
            with requests.Session() as session:
                session.trust_env = False  # no proxy stands between a test and its simulator
                answer = session.request(method, self._root + name, data=body, timeout=_TIMEOUT)
        except requests.RequestException as error:
            raise SmsclickError(f"no simulator answers at {self._root}: {type(error).__name__}") from None
        if answer.status_code != 200:
            reason = answer.text.strip() if answer.status_code == 400 else "is this a simulator's address?"
            raise SmsclickError(f"the simulator answered {answer.status_code}: {reason}")
        return answer.content


def _plain(value: object) -> object:
    """Sets and zones as JSON knows them."""
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)
