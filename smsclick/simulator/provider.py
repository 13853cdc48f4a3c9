"""Answer a request: find the endpoint and the fault, and carry the request out."""

from smsclick.simulator.account import Account
from smsclick.simulator.answers import HTML, Answer, Manner, Request, page
from smsclick.simulator.control import CONTROL_PATH, Control
from smsclick.simulator.endpoints import ROUTES, echoed, parse_form, refusal, send_later
from smsclick.simulator.faults import Endpoint, Fault, FaultBook, FaultKind
from smsclick.simulator.traffic import Traffic

_SERVER_ERRORS = {
    FaultKind.HTTP_500_BEFORE: (500, "500 Internal Server Error"),
    FaultKind.HTTP_500_AFTER: (500, "500 Internal Server Error"),
    FaultKind.HTTP_502_BEFORE: (502, "502 Bad Gateway"),
    FaultKind.HTTP_502_AFTER: (502, "502 Bad Gateway"),
    FaultKind.HTTP_503_BEFORE: (503, "503 Service Unavailable"),
    FaultKind.HTTP_503_AFTER: (503, "503 Service Unavailable"),
    FaultKind.HTML_BEFORE: (200, "SMSClick"),
    FaultKind.HTML_AFTER: (200, "SMSClick"),
    FaultKind.LATE_ACCEPTANCE: (504, "504 Gateway Timeout"),
}
_MANNERS = {
    FaultKind.HANG_BEFORE: Manner.HANG,
    FaultKind.HANG_AFTER: Manner.HANG,
    FaultKind.RESET_BEFORE: Manner.RESET,
    FaultKind.RESET_AFTER: Manner.RESET,
    FaultKind.CUT: Manner.CUT,
    FaultKind.TRICKLE: Manner.TRICKLE,
}
_ALLOW_POST = b"Allow: POST\r\n"


class Provider:
    """The whole simulated SMSClick, apart from the network. It belongs to one event loop."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.faults = FaultBook()
        self.traffic = Traffic()
        self.control = Control(account, self.faults, self.traffic)

    def answer(self, request: Request) -> Answer:
        """Carry out a request, or what a fault makes of it."""
        route = ROUTES.get(request.path)
        if route is None:
            if request.path.startswith(CONTROL_PATH):
                return self.control.answer(request.method, request.path[len(CONTROL_PATH) :], request.body)
            self.traffic.decided("other", "404")
            return page(404, "404 Not Found")
        endpoint, act = route
        if request.method != b"POST":
            self.traffic.decided(endpoint, "405")
            return page(405, "405 Method Not Allowed", _ALLOW_POST)
        if endpoint == "sendMsg":
            self.traffic.send_arrived(self.account.now())
        form = parse_form(request.body)
        fault, delay = self.faults.pick(endpoint, form) if self.faults else (None, 0.0)
        if fault is None or fault.kind.accepts:
            code, body = act(self.account, form)
            answer = Answer(str(code), 200, body, self.account.settings.content_type)
        else:
            answer = _NOTHING_DONE
            if fault.kind is FaultKind.LATE_ACCEPTANCE and endpoint == "sendMsg":
                send_later(self.account, form, fault.seconds)
        if fault is not None:
            answer = self._spoil(answer, fault, endpoint)
        if self.account.settings.echo_form and answer.outcome != "1" and answer.manner is Manner.WHOLE:
            answer = answer._replace(body=echoed(answer.body, form))
        self.traffic.decided(endpoint, answer.outcome)
        return answer._replace(delay=delay) if delay else answer

    def _spoil(self, answer: Answer, fault: Fault, endpoint: Endpoint) -> Answer:
        """Return the answer as the fault changes it."""
        kind = fault.kind
        content_type = self.account.settings.content_type
        if kind in _SERVER_ERRORS:
            status, title = _SERVER_ERRORS[kind]
            return page(status, title, outcome=kind.value)
        if kind in _MANNERS:
            return answer._replace(outcome=kind.value, manner=_MANNERS[kind], pace=fault.seconds)
        if kind is FaultKind.RATE_LIMIT:
            wait = b"Retry-After: %d\r\n" % fault.retry_after
            return page(429, "429 Too Many Requests", wait, kind.value)
        if kind is FaultKind.REDIRECT:
            return page(302, "302 Found", b"Location: /login/\r\n", kind.value)
        code = {FaultKind.WRONG_KEY: -101, FaultKind.NO_BALANCE: -104}.get(kind, fault.code)
        return Answer(kind.value, 200, refusal(endpoint, code), content_type)


_NOTHING_DONE = Answer("", 200, b"", HTML)
