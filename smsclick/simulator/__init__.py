"""SMSClick on your own machine: the provider's four endpoints, with its codes, its delays and its faults.

Use `Simulator` in a test of the same process. For another process there are `smsclick simulate` (which is `serve`) and
`SimulatorClient`. Both return the ledger: the messages that the provider really accepted, whatever it answered.

Over HTTP: `POST /sms-services/sendMsg.json`, `getMsg.json`, `report.json` and `credits.json` as in the
manual, and the simulator's own pages, which `smsclick.simulator.control` describes: `GET /_simulator/ledger` and
`stats`, `POST /_simulator/faults` (`DELETE` clears), `settings`, `status`, `reset`.

The default address is 127.0.0.1. The simulator logs nothing: no text, no phone, no key. It owns no table, and may
import `smsclick.errors` only. Invariant: the state belongs to one event loop, and other threads reach it through
`Simulator`.
"""

from smsclick.simulator.client import SimulatorClient
from smsclick.simulator.faults import ENDPOINTS, Endpoint, Fault, FaultKind
from smsclick.simulator.messages import LedgerEntry
from smsclick.simulator.server import Simulator, serve
from smsclick.simulator.settings import SimulatorSettings
from smsclick.simulator.traffic import SimulatorStats

__all__ = [
    "ENDPOINTS",
    "Endpoint",
    "Fault",
    "FaultKind",
    "LedgerEntry",
    "Simulator",
    "SimulatorClient",
    "SimulatorSettings",
    "SimulatorStats",
    "serve",
]
