"""`smsclick doctor`: what a deployment needs, checked one by one, each with what to do about it. No check raises."""

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from smsclick._database.engine import Database, parse_url
from smsclick._database.sqlite_files import require_there
from smsclick._database.urls import shown
from smsclick._values.times import span
from smsclick.errors import ProviderError, ProviderRefused, SmsclickError
from smsclick.provider.account_client import advice, open_client, way
from smsclick.provider.codes import Fault, lookup
from smsclick.settings import Settings, load_settings
from worker.account import holds
from worker.alerting import delivery
from worker.operator import account, open_incidents, recent_heartbeats
from worker.operator.doctor import broker as doctor_broker
from worker.operator.doctor import database as doctor_database
from worker.operator.doctor import elsewhere, queue, report
from worker.operator.doctor.check import Check, Verdict

log = logging.getLogger(__name__)

_ROOT: Final = Path(__file__).resolve().parents[3]
_BROKER_SECONDS: Final = 3
_PROVIDER_SECONDS: Final = 10.0
_CLOCK_SECONDS: Final = 5.0


def examine(*, load: Callable[[], Settings] = load_settings) -> Iterator[Check]:
    """Yield the checks one by one, as they end; each looks by itself, and what cannot be looked at is skipped.

    Args:
        load: gives the settings.
    """
    try:
        settings = load()
        delivery.channels(settings.alert_urls.get_secret_value())
    except SmsclickError as error:
        yield Check("configuration", Verdict.FAILED, str(error), "correct the environment or .env, then run this again")
        return
    yield Check("configuration", Verdict.OK, "every setting can be used")
    yield from _database(settings)
    broker = _guarded("broker", lambda: doctor_broker.reached(settings))
    yield broker
    if broker.verdict in {Verdict.OK, Verdict.WARNING} and not settings.broker.is_embedded:
        yield from _consumed(settings)
    yield from _provider(settings)


def _consumed(settings: Settings) -> Iterator[Check]:
    queues = _guarded("queues", lambda: doctor_broker.queues(settings))
    yield queues
    if settings.broker.is_redis:
        yield _guarded(elsewhere.NAME, lambda: doctor_broker.elsewhere(settings))
    if queues.verdict is Verdict.OK:
        yield _guarded("workers", lambda: doctor_broker.workers(settings))
    else:
        yield from _skipped(("workers",), "see queues")


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    """A check must not keep the others from being made, whatever happens in it."""
    try:
        return look()
    except SmsclickError as error:
        return _told(name, error)
    except Exception as error:
        log.debug("The check %s ended unexpectedly.", name, exc_info=True)
        return Check(name, Verdict.FAILED, f"it could not be checked ({type(error).__name__})", "see --debug")


def _told(name: str, error: Exception) -> Check:
    """Our errors end with what to do, after a semicolon."""
    found, semicolon, todo = str(error).rpartition("; ")
    return Check(name, Verdict.FAILED, found if semicolon else todo, todo if semicolon else "")


def _database(settings: Settings) -> Iterator[Check]:
    names = ("migrations", "pulse", "queue", "clock", "hold", "incidents")
    try:
        require_there(parse_url(settings.database_url))
        database = Database(settings.database_url, threads=1)
    except (SmsclickError, OSError) as error:
        yield _told("database", error)
        yield from _skipped(names, "the database cannot be used")
        return
    try:
        reached = _guarded("database", lambda: _reached(database))
        yield reached
        if reached.verdict is not Verdict.OK:
            yield from _skipped(names, "the database does not answer")
            return
        migrated = _guarded("migrations", lambda: _migrations(database))
        yield migrated
        yield _guarded("clock", lambda: _clock(database))
        for name, look in doctor_database.checks(database):
            yield _guarded(name, look)
        if migrated.verdict is not Verdict.OK:
            yield from _skipped(("pulse", "queue", "hold", "incidents"), "the tables are of another version")
            return
        yield _guarded("pulse", lambda: _pulse(database, settings))
        yield _guarded("queue", lambda: queue.check(database))
        yield _guarded("hold", lambda: _hold(database))
        yield _guarded("incidents", lambda: _incidents(database))
    finally:
        database.dispose()


def _skipped(names: tuple[str, ...], why: str) -> Iterator[Check]:
    for name in names:
        yield Check(name, Verdict.SKIPPED, f"not checked: {why}")


def _reached(database: Database) -> Check:
    database.clock()
    return Check("database", Verdict.OK, shown(database.engine.url))


def _migrations(database: Database) -> Check:
    from alembic.config import Config  # noqa: PLC0415 - the other commands have no use for it
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory.from_config(Config(_ROOT / "alembic.ini"))
    head, version = scripts.get_current_head(), database.version()
    if version == head:
        return Check("migrations", Verdict.OK, f"at {version}, the newest")
    known = {script.revision for script in scripts.walk_revisions()}
    if version is not None and version not in known:
        todo = "run this program's newer release, or go back with its `alembic downgrade`"
        return Check(
            "migrations", Verdict.FAILED, f"the tables are at {version}, newer than this program ({head})", todo
        )
    found = "the tables are not there" if version is None else f"the tables are at {version}, the newest is {head}"
    return Check("migrations", Verdict.FAILED, found, "run: alembic upgrade head")


def _clock(database: Database) -> Check:
    before = dt.datetime.now(dt.UTC)
    theirs = database.clock()
    after = dt.datetime.now(dt.UTC)
    off = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    if off <= _CLOCK_SECONDS:
        return Check("clock", Verdict.OK, "this machine and the database agree")
    todo = "let NTP set both clocks; due times go by the database's"
    return Check("clock", Verdict.WARNING, f"this machine and the database are {span(off)} apart", todo)


def _pulse(database: Database, settings: Settings) -> Check:
    todo = "start `celery -A worker beat` and `celery -A worker worker`, or `smsclick up`; their logs say why they stop"
    with database.read() as connection:
        beats = recent_heartbeats.read(connection, named="sweep")
    sweep = next((beat for beat in beats if beat.name == "sweep"), None)
    if sweep is None:
        return Check("pulse", Verdict.FAILED, "the sweep has never run", todo)
    if sweep.age_seconds > 3 * settings.sweep_seconds + 5:
        return Check("pulse", Verdict.FAILED, f"the last sweep was {span(sweep.age_seconds)} ago", todo)
    return Check("pulse", Verdict.OK, f"the last sweep was {span(sweep.age_seconds)} ago")


def _hold(database: Database) -> Check:
    with database.read() as connection:
        state = holds.read(connection)
    if state.is_open:
        return Check("hold", Verdict.OK, "sending is not held")
    todo = (
        "smsclick resume" if state.hold_reason is None else "see the incidents; it ends by itself when its cause does"
    )
    return Check("hold", Verdict.WARNING, f"sending is held: {', '.join(account.hold_reasons(state))}", todo)


def _incidents(database: Database) -> Check:
    with database.read() as connection:
        found = open_incidents.read(connection)
    if not found:
        return Check("incidents", Verdict.OK, "none is open")
    words = "; ".join(f"{each.title} ({each.detail})" if each.detail else each.title for each in found)
    return Check("incidents", Verdict.WARNING, words, " ".join(dict.fromkeys(each.advice for each in found)))


def _provider(settings: Settings) -> Iterator[Check]:
    try:
        key = settings.require_api_key()
    except SmsclickError as error:
        yield _told("key", error)
        yield from _skipped(("balance", report.NAME), "there is no key")
        return
    yield from _account(settings, key)


def _account(settings: Settings, key: str) -> Iterator[Check]:
    where = way(settings)
    try:
        with open_client(settings, key=key, longest=_PROVIDER_SECONDS) as client:
            credits_left = client.credits()
    except ProviderRefused as error:
        if lookup(error.code).fault is Fault.ACCOUNT:
            todo = "compare SMSCLICK_API_KEY with SMSClick's panel (HERRAMIENTAS > Componentes/APIS)"
            yield Check("key", Verdict.FAILED, f"refused with {error.code}: {lookup(error.code).meaning}", todo)
        else:
            yield Check("key", Verdict.FAILED, str(error), "ask SMSClick what this code means")
        yield from _skipped(("balance", report.NAME), "the provider refused the question")
    except ProviderError as error:
        yield Check("key", Verdict.FAILED, f"not checked: {error}", advice(error, settings))
        yield from _skipped(("balance", report.NAME), "the provider did not answer")
    except SmsclickError as error:
        yield _told("key", error)
        yield from _skipped(("balance", report.NAME), "the provider could not be asked")
    else:
        yield Check("key", Verdict.OK, f"accepted at {where}")
        yield _balance(credits_left, settings.low_balance)
        yield _guarded(report.NAME, lambda: report.check(settings))


def _balance(credits_left: int, limit: int) -> Check:
    found = f"{credits_left} credits"
    if credits_left <= 0:
        return Check("balance", Verdict.FAILED, found, "buy credits at SMSClick; until then messages wait")
    if limit and credits_left < limit:
        return Check(
            "balance", Verdict.WARNING, f"{found}, below SMSCLICK_LOW_BALANCE={limit}", "buy credits at SMSClick"
        )
    return Check("balance", Verdict.OK, found)
