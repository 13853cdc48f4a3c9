"""The calls about the account: what flows, whether sending is held and why, hold and resume."""

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from smsclick._values.times import iso
from web.authentication import Operator, Reader, actor_of
from web.bodies import Account, HoldAnswer
from web.description import answers
from web.problems import Kind
from web.shared import database_of
from worker.operator import account, stats
from worker.operator.stats import Stats

router: Final = APIRouter(prefix="/v1/account", tags=["account"])

_PROBLEMS: Final = answers(Kind.UNAUTHENTICATED, Kind.SCOPE_MISSING, Kind.TOO_MANY_REQUESTS, Kind.UNAVAILABLE)


@router.get("", response_model=Account, responses=_PROBLEMS)
async def show(request: Request, _: Reader) -> JSONResponse:
    """Show counts by state, the oldest due message, the hold, the balance and the open incidents."""
    database = database_of(request)
    return JSONResponse(_account(await run_in_threadpool(stats.read, database)))


@router.post("/hold", response_model=HoldAnswer, responses=_PROBLEMS)
async def hold(request: Request, token: Operator) -> JSONResponse:
    """Stop sending until resume. Messages wait, and none is lost."""
    database = database_of(request)
    changed = await run_in_threadpool(account.hold, database, actor=actor_of(token))
    state = await run_in_threadpool(lambda: stats.read(database).account_state)
    return JSONResponse({"held": not state.is_open, "changed": changed, "reasons": account.hold_reasons(state)})


@router.post("/resume", response_model=HoldAnswer, responses=_PROBLEMS)
async def resume(request: Request, token: Operator) -> JSONResponse:
    """Lift the operator's hold. Another reason, such as no balance, may still hold the account."""
    database = database_of(request)
    before = await run_in_threadpool(lambda: stats.read(database).account_state)
    state = await run_in_threadpool(account.resume, database, actor=actor_of(token))
    changed = before.operator_hold_at is not None
    return JSONResponse({"held": not state.is_open, "changed": changed, "reasons": account.hold_reasons(state)})


def _account(found: Stats) -> dict[str, Any]:
    state = found.account_state
    hold = None
    if not state.is_open:
        hold = {
            "reasons": account.hold_reasons(state),
            "since": iso(stats.hold_since(state)),
            "by_operator": state.operator_hold_at is not None,
        }
    return {
        "at": iso(found.now),
        "states": {str(name): count for name, count in found.counts.states.items()},
        "estimated": sorted(str(each) for each in found.counts.estimated),
        "oldest_due_seconds": found.oldest_due_seconds,
        "hold": hold,
        "balance": state.balance,
        "balance_at": iso(state.balance_at),
        "incidents": [
            {
                "kind": each.kind,
                "subject": each.subject,
                "title": each.title,
                "advice": each.advice,
                "opened_at": iso(each.opened_at),
                "occurrences": each.occurrences,
                "detail": each.detail,
            }
            for each in found.incidents
        ],
    }
