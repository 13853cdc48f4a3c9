"""The statistics of the simulator: the requests that came, and their outcomes."""

from collections import Counter
from dataclasses import dataclass

from smsclick.simulator.account import Account


@dataclass(frozen=True)
class SimulatorStats:
    """A snapshot of the traffic since the start or the last reset.

    Attributes:
        requests: How many requests, by endpoint and outcome. The outcome is the provider's `codigo`
            ("1", "-104"), the kind of the fault that decided ("reset_after"), or the HTTP status of what
            never reached an endpoint's own logic ("405"). The endpoint is "other" for unknown paths.
        accepted: Messages in the ledger.
        balance: Credits left.
        accepting_later: Messages of `late_acceptance` whose time has not come.
        in_flight: Requests read and not yet answered; hanging ones count until their connection ends.
        max_in_flight: The most there were at once.
        connections: Accepted connections; a keep-alive client needs one.
        open_connections: Those open now.
        sends_per_second: Arrivals of `sendMsg`, accepted or not, by epoch second of the simulator's clock.
    """

    requests: dict[str, dict[str, int]]
    accepted: int
    balance: int
    in_flight: int
    max_in_flight: int
    connections: int
    open_connections: int
    sends_per_second: dict[int, int]
    accepting_later: int = 0


class Traffic:
    """The counters behind `SimulatorStats`."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.connections = 0
        self.open_connections = 0
        self.max_in_flight = 0
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._sends: Counter[int] = Counter()

    def reset(self) -> None:
        """Reset the counts; requests in flight and open connections stay counted."""
        self.max_in_flight = self.in_flight
        self.connections = self.open_connections
        self._outcomes.clear()
        self._sends.clear()

    def request_began(self) -> None:
        """Count a request of the provider that was read and waits for its answer."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def request_ended(self) -> None:
        """Count the end of a request: it was answered, or its connection is gone."""
        self.in_flight -= 1

    def send_arrived(self, now: float) -> None:
        """Count a sendMsg, accepted or not."""
        self._sends[int(now)] += 1

    def decided(self, endpoint: str, outcome: str) -> None:
        """Count the outcome of a request."""
        self._outcomes[endpoint, outcome] += 1

    def snapshot(self, account: Account) -> SimulatorStats:
        """Return the present figures."""
        account.now()
        requests: dict[str, dict[str, int]] = {}
        for (endpoint, outcome), count in sorted(self._outcomes.items()):
            requests.setdefault(endpoint, {})[outcome] = count
        return SimulatorStats(
            requests=requests,
            accepted=len(account.messages),
            balance=account.balance,
            in_flight=self.in_flight,
            max_in_flight=self.max_in_flight,
            connections=self.connections,
            open_connections=self.open_connections,
            sends_per_second=dict(self._sends),
            accepting_later=account.accepting_later,
        )
