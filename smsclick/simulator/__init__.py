"""SMSClick on your own machine: the provider's four endpoints, its codes, its delays and its bad days.

For a test in the same process `Simulator`; for one in another process `smsclick simulate` (which is `serve`)
and `SimulatorClient`. Both give the ledger: what the provider truly accepted, whatever the client was told.

Over HTTP: `POST /sms-services/sendMsg.json`, `getMsg.json`, `report.json` and `credits.json` as in the
manual, and the simulator's own pages, described in `smsclick.simulator.control`: `GET /_simulator/ledger` and
`stats`, `POST /_simulator/faults` (`DELETE` clears), `settings`, `status`, `reset`.

It binds 127.0.0.1 unless told otherwise, and logs nothing: no text, no phone, no key.
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
