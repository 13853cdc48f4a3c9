"""Check whether the account is held, and whether incidents are open."""

from smsclick._database.engine import Database
from worker.account import account_state
from worker.operator import open_incidents
from worker.operator.account import hold_reasons
from worker.operator.doctor.check import Check, Verdict


def hold(database: Database) -> Check:
    """Check whether sending is held."""
    with database.read() as connection:
        state = account_state.read(connection)
    if state.is_open:
        return Check("hold", Verdict.OK, "sending is not held")
    todo = "smsclick resume" if state.hold_reason is None else "see the incidents; the hold ends when its cause does"
    return Check("hold", Verdict.WARNING, f"sending is held: {', '.join(hold_reasons(state))}", todo)


def incidents(database: Database) -> Check:
    """Check whether incidents are open."""
    with database.read() as connection:
        found = open_incidents.read(connection)
    if not found:
        return Check("incidents", Verdict.OK, "none is open")
    titles = "; ".join(f"{each.title} ({each.detail})" if each.detail else each.title for each in found)
    return Check("incidents", Verdict.WARNING, titles, " ".join(dict.fromkeys(each.advice for each in found)))
