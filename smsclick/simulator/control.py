"""The simulator's own pages under `/_simulator/`, for a test that lives in another process.

- `GET ledger`: every accepted message, one JSON object a line, streamed: `id_mensaje`, `phone`, `text`,
  `accepted_at` (epoch seconds), `credits`, `estatus`, `rule_id`, `reply`, `account` (0 is that of `api_key`).
- `GET stats`: the fields of `SimulatorStats` as one JSON object.
- `POST faults`: a JSON list of `Fault` objects replaces the rules in force, such as
  `[{"kind": "reset_after", "count": 3}, {"kind": "latency", "seconds": 0.2, "endpoints": ["report"]}]`.
- `DELETE faults`: no more faults.
- `POST settings`: a JSON object with any of the names of `SimulatorSettings`, and `add_balance`; all or
  nothing.
- `POST status`: `{"id_mensaje": 123, "estatus": 3}` replaces a message's course from now on.
- `POST reset`: an empty ledger, no faults, no counts, the settings of the start.

Answers are 200 with JSON, or 400 with one line that says what was wrong. None of these requests is counted.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice

from smsclick.errors import SmsclickError
from smsclick.simulator.account import Account
from smsclick.simulator.answers import JSON, JSON_LINES, Answer, line, page
from smsclick.simulator.faults import FaultBook, faults_from_json
from smsclick.simulator.messages import LedgerEntry
from smsclick.simulator.traffic import Traffic

CONTROL_PATH = b"/_simulator/"
_LINES_PER_PART = 500
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Control:
    """Answers the requests under `/_simulator/`."""

    def __init__(self, account: Account, faults: FaultBook, traffic: Traffic) -> None:
        self._account = account
        self._faults = faults
        self._traffic = traffic
        self._pages: dict[tuple[bytes, bytes], Callable[[bytes], Answer]] = {
            (b"GET", b"ledger"): self._ledger,
            (b"GET", b"stats"): self._stats,
            (b"POST", b"faults"): self._set_faults,
            (b"DELETE", b"faults"): self._clear_faults,
            (b"POST", b"settings"): self._change,
            (b"POST", b"status"): self._force,
            (b"POST", b"reset"): self._reset,
        }

    def answer(self, method: bytes, name: bytes, body: bytes) -> Answer:
        """Carry out one request; `name` is the path after `/_simulator/`."""
        act = self._pages.get((method, name))
        if act is None:
            methods = [known for known, path in self._pages if path == name]
            if methods:
                allow = b"Allow: %b\r\n" % b", ".join(methods)
                return page(405, "405 Method Not Allowed", allow)._replace(outcome="")
            return page(404, "404 Not Found")._replace(outcome="")
        try:
            return act(body)
        except SmsclickError as error:
            return line(400, str(error))

    def reset(self) -> None:
        """Return to the start: no messages, no faults, no counts, the first settings."""
        self._account.reset()
        self._faults.replace(())
        self._traffic.reset()

    def _ledger(self, _body: bytes) -> Answer:
        return Answer("", 200, _lines(self._account.ledger()), JSON_LINES)

    def _stats(self, _body: bytes) -> Answer:
        return _json(asdict(self._traffic.snapshot(self._account)))

    def _set_faults(self, body: bytes) -> Answer:
        faults = faults_from_json(body)
        self._faults.replace(faults)
        return _json({"faults": len(faults)})

    def _clear_faults(self, _body: bytes) -> Answer:
        self._faults.replace(())
        return _json({"faults": 0})

    def _change(self, body: bytes) -> Answer:
        self._account.change(_object(body))
        return _json({"balance": self._account.balance})

    def _force(self, body: bytes) -> Answer:
        wanted = _object(body)
        id_mensaje, estatus = wanted.get("id_mensaje"), wanted.get("estatus")
        if not isinstance(id_mensaje, int) or not isinstance(estatus, int):
            raise SmsclickError('send a JSON object such as {"id_mensaje": 123, "estatus": 3}')
        self._account.force(id_mensaje, estatus)
        return _json({"id_mensaje": id_mensaje, "estatus": estatus})

    def _reset(self, _body: bytes) -> Answer:
        self.reset()
        return _json({"balance": self._account.balance})


def _json(value: dict[str, object]) -> Answer:
    return Answer("", 200, _to_json(value).encode(), JSON)


def _object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise SmsclickError('the body must be one JSON object, such as {"balance": 500}')
    return value


def _lines(entries: Iterator[LedgerEntry]) -> Iterator[bytes]:
    while part := [_to_json(entry.as_dict()) for entry in islice(entries, _LINES_PER_PART)]:
        yield ("\n".join(part) + "\n").encode()
