"""Who may call what: the bearer token of a request, and its scopes."""

import time
from collections import OrderedDict
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick.errors import SmsclickError
from web.limits import RateLimit
from web.problems import Kind, ProblemError
from worker.operator.access import tokens
from worker.operator.access.tokens import Scope, Token

log = EventLog(__name__)

KNOWN_FOR_SECONDS: Final = 0.5
"""A token is looked up again after so long, so that a revoked one works for less than a second."""

_MOST_KNOWN: Final = 1000
_USE_NOTED_SECONDS: Final = 60.0

bearer: Final = HTTPBearer(auto_error=False, bearerFormat="smsclick_…", description="From `smsclick token create`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


class TokenChecker:
    """Finds the token of each request, and limits guesses and requests.

    Args:
        database: where the tokens are.
        guesses: failed tries for each address.
        requests: requests of each token.
    """

    def __init__(self, database: Database, *, guesses: RateLimit, requests: RateLimit) -> None:
        self._database = database
        self._guesses = guesses
        self._requests = requests
        self._known: OrderedDict[str, tuple[float, Token]] = OrderedDict()
        self._use_noted: dict[int, float] = {}

    async def token_of(self, request: Request, credentials: HTTPAuthorizationCredentials | None) -> Token:
        """Return the valid token of a request.

        Raises:
            ProblemError: it has none, or too many requests come with it or from its address.
        """
        address = request.client.host if request.client else ""
        token = None if credentials is None else await self._find(credentials.credentials, address)
        if token is None:
            self._guesses.take(address, "too many requests without a valid token came from this address")
            raise ProblemError(
                Kind.UNAUTHENTICATED,
                "send a token as `Authorization: Bearer TOKEN`; `smsclick token create` makes one",
                headers={"WWW-Authenticate": "Bearer"},
            )
        self._requests.take(str(token.id), "too many requests came with this token")
        await self._note_use(token)
        return token

    async def _find(self, secret: str, address: str) -> Token | None:
        known = self._known.get(secret)
        now = time.monotonic()
        if known is not None and now - known[0] < KNOWN_FOR_SECONDS:
            return known[1]
        if known is None:
            # A token that was valid just now is no guess: others behind the same proxy must not lock it out.
            self._guesses.check(address, "too many requests without a valid token came from this address")
        token = await run_in_threadpool(tokens.find, self._database, secret)
        self._known.pop(secret, None)
        if token is not None:
            self._known[secret] = (now, token)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return token

    async def _note_use(self, token: Token) -> None:
        now = time.monotonic()
        if now - self._use_noted.get(token.id, float("-inf")) < _USE_NOTED_SECONDS:
            return
        self._use_noted[token.id] = now
        try:
            await run_in_threadpool(tokens.note_use, self._database, token.id)
        except SmsclickError as error:
            # When it was used last is for people; the request itself goes on.
            log.warning("token_use_not_noted", token_id=token.id, error=type(error).__name__)


class Requires:
    """A dependency: the token of the request, which must have one of the scopes.

    Args:
        scopes: any of these is enough.
    """

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = frozenset(scopes)

    async def __call__(self, request: Request, credentials: Credentials) -> Token:
        """Return the token."""
        checker: TokenChecker = request.app.state.tokens
        token = await checker.token_of(request, credentials)
        if not token.scopes & self._scopes:
            needed = " or ".join(sorted(self._scopes))
            raise ProblemError(
                Kind.SCOPE_MISSING,
                f"this needs a token with the scope {needed}",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'},
            )
        return token


Sender = Annotated[Token, Depends(Requires(Scope.SEND))]
Reader = Annotated[Token, Depends(Requires(Scope.READ))]
Operator = Annotated[Token, Depends(Requires(Scope.OPERATE))]


def actor_of(token: Token) -> str:
    """Return who acts, for events and the audit."""
    return f"token {token.name}"
