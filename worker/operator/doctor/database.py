"""Check whether the database answers, which version its tables have, and its clock."""

import datetime as dt
from pathlib import Path
from typing import Final

from smsclick._database.engine import Database
from smsclick._database.urls import shown
from smsclick._values.times import span
from worker.operator.doctor.check import Check, Verdict

_ROOT: Final = Path(__file__).resolve().parents[3]
_CLOCK_TOLERANCE_SECONDS: Final = 5.0


def reached(database: Database) -> Check:
    """Check whether the database answers; raises `DatabaseUnavailable` if not."""
    database.clock()
    return Check("database", Verdict.OK, shown(database.engine.url))


def migrations(database: Database) -> Check:
    """Check whether the tables have the version that this program needs."""
    from alembic.config import Config  # noqa: PLC0415 - the other commands start sooner without it
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory.from_config(Config(_ROOT / "alembic.ini"))
    head, version = scripts.get_current_head(), database.version()
    if version == head:
        return Check("migrations", Verdict.OK, f"at {version}, the newest")
    known = {script.revision for script in scripts.walk_revisions()}
    if version is not None and version not in known:
        todo = "run the newer release of this program, or go back with its `alembic downgrade`"
        return Check(
            "migrations", Verdict.FAILED, f"the tables are at {version}, newer than this program ({head})", todo
        )
    found = "there are no tables" if version is None else f"the tables are at {version}, the newest version is {head}"
    return Check("migrations", Verdict.FAILED, found, "run: alembic upgrade head")


def clock(database: Database) -> Check:
    """Check whether this machine's clock and the database's agree."""
    before = dt.datetime.now(dt.UTC)
    theirs = database.clock()
    after = dt.datetime.now(dt.UTC)
    difference = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    if difference <= _CLOCK_TOLERANCE_SECONDS:
        return Check("clock", Verdict.OK, "this machine and the database agree")
    todo = "let NTP set both clocks; the database's clock decides all due times"
    return Check("clock", Verdict.WARNING, f"this machine and the database are {span(difference)} apart", todo)
