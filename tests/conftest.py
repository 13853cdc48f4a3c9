"""What every test may ask for: private servers, a fresh database or broker, processes that end with it."""

from __future__ import annotations

import ipaddress
import itertools
import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import alembic.command
import alembic.config
import hypothesis
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from smsclick.settings import variables
from tests import programs, wall_clocks
from tests.certificates import Authority
from tests.processes import ROOT, Process, alive, reaper, signal_all, working_below
from tests.servers import MariaDBServer, PostgresServer, RabbitServer, RedisServer, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from playwright.sync_api import Browser

S = TypeVar("S", bound=Server)

_NOT_RUN = "not run here: "
_servers = pytest.StashKey[set[str]]()
_processes = pytest.StashKey[list[Process]]()
_terminal: list[pytest.TerminalReporter] = []
"""Of the process that prints."""

# A slow machine is no failure of the code. HYPOTHESIS_PROFILE=thorough tries many more examples.
_slow = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("default", deadline=None, suppress_health_check=_slow, print_blob=True)
hypothesis.settings.register_profile("thorough", parent=hypothesis.settings.get_profile("default"), max_examples=5000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """No setting of the person's shell takes part, and no leftovers of a session that was killed stay."""
    config.stash[_servers] = set()
    for name in list(os.environ):
        if name.startswith("SMSCLICK_") or name in variables():
            del os.environ[name]
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        # A shell that starts us in the background has them ignored, and so would every process under test. A handler
        # that does nothing is as good for us and is not inherited.
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    _remove_leftovers()


_LONG_FILES = [
    "pages",
    "provider_habits",
    "tutorial",
    "kill",
    "adversities",
    "chaos",
    "api_hostile",
    "attempt_protocol",
    "incidents",
    "shipped",
    "fault_matrix",
    "worker_processes",
    "broker_answers",
    "acceptance_flow",
    "odd_rows",
    "query_plans",
    "acceptance_database",
    "deploy",
    "wall_clocks",
    "acceptance_hold",
    "pump",
    "secrecy",
    "tls",
    "background_processes",
    "logs",
    "answers_properties",
    "compose_commands",
    "stalled_processes",
    "wheel",
    "kubernetes_commands",
    "demo",
    "every_order",
    "sentinel",
    "restored",
    "callbacks_processes",
    "first_message",
    "rate_limit",
    "doctor_broker",
    "recorder",
    "settings_processes",
    "commands",
]
"""`test_NAME.py` for each file of a dozen seconds or more, the longest first."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the files, long ones come first: one that began last would keep a single process busy."""
    if hasattr(config, "workerinput"):
        places = {f"test_{name}.py": place for place, name in enumerate(_LONG_FILES)}
        items.sort(key=lambda item: places.get(item.path.name, len(places)))


def _remove_leftovers() -> None:
    """The reaper does this at once; only when it was killed too is there something left."""
    for base in {Path(tempfile.gettempdir()), Path("/tmp")}:  # noqa: S108 - looked at, not written to
        for owner in base.glob("smsclick-tests-*/pytest.pid"):
            try:
                pid, uid = owner.read_text().strip(), owner.stat().st_uid
            except FileNotFoundError:
                continue  # another session has just ended
            if uid == os.geteuid() and not alive(int(pid or 0)):
                signal_all(working_below(owner.parent), signal.SIGKILL)
                shutil.rmtree(owner.parent, ignore_errors=True)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Find who prints."""
    if not hasattr(session.config, "workerinput"):
        _terminal.extend(filter(None, [session.config.pluginmanager.get_plugin("terminalreporter")]))


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Name a failed test at once: a run that is ended from outside prints no summary."""
    if report.failed and _terminal:
        _terminal[0].write("\n")
        _terminal[0].write_line(f"FAILED {report.nodeid} ({report.when}, after {report.duration:.0f} s)", red=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The closing lines: on what it ran, and what did not run and why."""
    if used := config.stash[_servers]:
        terminalreporter.write_line("ran on: " + ", ".join(sorted(used)))
    reasons = Counter(
        match.group(1)
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and (match := re.search(f"{_NOT_RUN}(.*)", report.longrepr[2]))
    )
    for reason, count in sorted(reasons.items()):
        title, _, why = reason.partition(": ")
        terminalreporter.write_line(f"{_NOT_RUN}{count} {title} test{'s'[: count != 1]} ({why})", yellow=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes that share the tests (`-n`) says which servers it had."""
    used = session.config.stash[_servers]
    output: dict[str, list[str]] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["servers"] = sorted(used)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ANN401 - xdist's
    """And is heard by the process that prints."""
    node.config.stash[_servers].update(getattr(node, "workeroutput", {}).get("servers", ()))


@event.listens_for(sa.Engine, "before_cursor_execute")
def _no_pipeline(connection: sa.Connection, *given: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
    """Refuse a list of parameters, which psycopg sends as a pipeline.

    PostgreSQL's bound on idle transactions does not apply in the middle of one: a process that is stopped there, or a
    host that freezes, would hold its row locks for hours. So the product gives PostgreSQL one statement.
    """
    *_, executemany = given
    if executemany and connection.dialect.name == "postgresql":
        files = (Path(frame.f_code.co_filename) for frame, _ in traceback.walk_stack(None))
        ours = (each.relative_to(ROOT) for each in files if each.is_relative_to(ROOT) and each != Path(__file__))
        caller = next(each.parts[0] for each in ours if each.parts[0] != ".venv")
        assert caller in {"tests", "bench"}, f"{caller} executes a statement with a list on PostgreSQL"


# --- The servers, one of each for the session, or for each of the processes that share the tests


def _available(program: programs.Program) -> dict[str, Path]:
    try:
        return programs.find(program)
    except programs.MissingProgramError as missing:
        if program.required or programs.in_ci():
            pytest.fail(f"{program.title} is required: {missing}", pytrace=False)
        pytest.skip(f"{_NOT_RUN}{program.title}: {missing}")


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """A test that configures logging must not change what a later one sees in the log."""
    loggers = [logging.getLogger(name) for name in (None, "smsclick", "worker", "celery")]
    before = [(logger, logger.level) for logger in loggers]
    yield
    for logger, level in before:
        logger.setLevel(level)


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    """Where the servers of this session have their data; gone when it ends, however it ends."""
    yield reaper().directory
    reaper().close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody knows; tests that need it are skipped where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip(f"{_NOT_RUN}TLS: openssl, which makes the certificates, is not on this machine")
    return Authority(tmp_path_factory.mktemp("authority"))


def _secured(server: Server, request: pytest.FixtureRequest) -> None:
    """TLS beside what it speaks, for `localhost` alone: 127.0.0.1 is then a wrong name."""
    if shutil.which("openssl") is not None:
        server.secure(*request.getfixturevalue("authority").issue("DNS:localhost"))


def _session_server(
    kind: type[S], directory: Path, config: pytest.Config, prepare: Callable[[S], None] | None = None
) -> Generator[S, None, None]:
    _available(kind.program)
    server = kind(directory / kind.__name__)
    if prepare is not None:
        prepare(server)
    server.start()
    config.stash[_servers].add(f"{server.program.title} {server.version}")
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgres(servers_directory: Path, pytestconfig: pytest.Config) -> Iterator[PostgresServer]:
    """PostgreSQL. Kill it as you like: whoever asks for a database next finds it running."""
    yield from _session_server(PostgresServer, servers_directory, pytestconfig)


@pytest.fixture(scope="session")
def redis_server(servers_directory: Path, pytestconfig: pytest.Config) -> Iterator[RedisServer]:
    """Redis, without persistence: killed, it forgets."""
    yield from _session_server(RedisServer, servers_directory, pytestconfig)


@pytest.fixture(scope="session")
def rabbitmq(
    servers_directory: Path, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> Iterator[RabbitServer]:
    """RabbitMQ; tests that need it are skipped where it cannot be had."""
    yield from _session_server(RabbitServer, servers_directory, pytestconfig, lambda made: _secured(made, request))


@pytest.fixture(scope="session")
def mariadb(
    servers_directory: Path, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> Iterator[MariaDBServer]:
    """MariaDB; tests that need it are skipped where it cannot be had."""
    yield from _session_server(MariaDBServer, servers_directory, pytestconfig, lambda made: _secured(made, request))


@pytest.fixture(scope="session")
def php() -> str:
    """PHP with PDO for PostgreSQL; tests that need it are skipped where it cannot be had."""
    return str(_available(programs.PHP)["php"])


@pytest.fixture(scope="session")
def laravel() -> str:
    """PHP with Laravel's HTTP client; tests that need it are skipped where it cannot be had."""
    return str(_available(programs.LARAVEL)["php"])


@pytest.fixture(scope="session")
def node() -> str:
    """Node; tests that need it are skipped where it cannot be had."""
    return str(_available(programs.NODE)["node"])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser without a screen; tests that need it are skipped where it cannot be had.

    Of a module and not of the session: while it runs, Playwright occupies this thread with an event loop.
    """
    program = str(_available(programs.CHROMIUM)["chromium"])
    from tests import browser  # noqa: PLC0415 - Playwright takes half a second, and few tests need it

    with browser.chromium(program) as running:
        yield running


class WallClock(Protocol):
    """The environment of a process whose wall clock is wrong; its monotonic clock is right."""

    def __call__(self, offset: str) -> dict[str, str]:
        """`wall_clock("-7s")`, `wall_clock("+1h")`; or the path of a file that says so and may change at any time."""


@pytest.fixture(scope="session")
def wall_clock() -> WallClock:
    """Faketime's library; tests that need it are skipped where it cannot be had."""
    _available(programs.FAKETIME)
    try:
        wall_clocks.library()
    except programs.MissingProgramError as missing:
        pytest.fail(str(missing), pytrace=False)
    return lambda offset: wall_clocks.environment(offset) | wall_clocks.PYTHON


class OwnServer(Protocol):
    """Starts a server for one test alone."""

    def __call__(self, kind: type[S], *, durable: bool = False, prepare: Callable[[S], None] | None = None) -> S:
        """The server, running; `prepare` is called before it starts."""


@pytest.fixture
def own_server(servers_directory: Path, request: pytest.FixtureRequest) -> Iterator[OwnServer]:
    """A server that this test need not share: `own_server(RedisServer, durable=True)`."""
    started: list[Server] = []

    def start(kind: type[S], *, durable: bool = False, prepare: Callable[[S], None] | None = None) -> S:
        _available(kind.program)
        server = kind(servers_directory / f"own-{next(_numbers)}", durable=durable)
        started.append(server)
        if prepare is not None:
            prepare(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()
        shutil.rmtree(server.directory, ignore_errors=True)


# --- Statements are compiled once for each database, not again for each test's engine


class _CompiledStatements(dict[Any, Any]):
    """SQLAlchemy's cache of compiled statements, for all engines of this process with the same dialect and driver.

    An engine's own cache lives as long as the engine, and nearly every test opens two: a tenth of the tests' CPU went
    into compiling the same statements again. Processes under test have their own.
    """

    def get(self, key: Any, default: Any = None) -> Any:  # noqa: ANN401 - SQLAlchemy's
        return super().get(self._shared(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:  # noqa: ANN401
        super().__setitem__(self._shared(key), compiled)

    @staticmethod
    def _shared(key: Any) -> tuple[object, ...]:  # noqa: ANN401
        dialect, *rest = key
        # What a dialect was created with or learned from its server may change what it compiles.
        learned = (dialect.server_version_info, dialect.paramstyle, getattr(dialect, "is_mariadb", None))
        return (type(dialect), learned, *rest)


_compiled_statements = _CompiledStatements()


@sa.event.listens_for(sa.Engine, "engine_connect")
def _share_compiled_statements(connection: sa.Connection) -> None:
    if len(_compiled_statements) > 5000:
        _compiled_statements.clear()
    connection.execution_options(compiled_cache=_compiled_statements)


# --- A fresh database or broker for each test

_numbers = itertools.count(1)
_spare_vhosts: list[str] = []


def _awake(server: Server) -> None:
    server.thaw()
    server.start()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'smsclick.db'}"


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database."""
    _awake(postgres)
    name = f"t{next(_numbers)}"
    yield postgres.create_database(name)
    _awake(postgres)
    postgres.drop_database(name)


@pytest.fixture
def mariadb_url(mariadb: MariaDBServer) -> Iterator[str]:
    """An empty MariaDB database."""
    _awake(mariadb)
    name = f"t{next(_numbers)}"
    yield mariadb.create_database(name)
    _awake(mariadb)
    mariadb.drop_database(name)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis database, one of sixteen in turn: a straggler of the last test finds nothing here."""
    _awake(redis_server)
    database = str(next(_numbers) % 16)
    redis_server.flush(database)
    return redis_server.url(database)


@pytest.fixture
def rabbitmq_url(rabbitmq: RabbitServer) -> str:
    """A RabbitMQ virtual host that nobody has used."""
    _awake(rabbitmq)
    if not _spare_vhosts:
        _spare_vhosts.extend(f"t{next(_numbers)}" for _ in range(8))
        rabbitmq.create_vhosts(_spare_vhosts)
    return rabbitmq.url(_spare_vhosts.pop(0))


# --- The same with our tables in it


def migrate(url: str, revision: str = "head") -> str:
    """Does what `alembic upgrade` does, here in this process, and returns the URL."""
    config = alembic.config.Config(str(ROOT / "alembic.ini"))
    config.attributes["database_url"] = url
    alembic.command.upgrade(config, revision)
    return url


@pytest.fixture
def migrated() -> Callable[[str], str]:
    """The function `migrate`: brings the database of a URL to the newest revision."""
    return migrate


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "smsclick.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def new_sqlite_url(tmp_path: Path, _sqlite_template: Path) -> Callable[[], str]:
    """Each call gives another SQLite file with our tables, copied from one that was migrated."""

    def new() -> str:
        place = tmp_path / f"database-{next(_numbers)}"
        place.mkdir()
        for file in _sqlite_template.parent.glob(f"{_sqlite_template.name}*"):
            shutil.copy(file, place)
        return f"sqlite:///{place / _sqlite_template.name}"

    return new


@pytest.fixture
def migrated_sqlite_url(sqlite_url: str, _sqlite_template: Path) -> str:
    """A SQLite file with our tables, copied from one that was migrated."""
    for file in _sqlite_template.parent.glob(f"{_sqlite_template.name}*"):
        shutil.copy(file, Path(sqlite_url.removeprefix("sqlite:///")).with_name(file.name))
    return sqlite_url


@pytest.fixture(scope="session")
def _postgres_template(postgres: PostgresServer) -> str:
    _awake(postgres)
    migrate(postgres.create_database("migrated"))
    return "migrated"


@pytest.fixture
def new_postgres_url(postgres: PostgresServer, _postgres_template: str) -> Iterator[Callable[[], str]]:
    """Each call gives another PostgreSQL database with our tables, copied from one that was migrated."""
    _awake(postgres)
    names: list[str] = []

    def new() -> str:
        names.append(f"t{next(_numbers)}")
        return postgres.create_database(names[-1], template=_postgres_template)

    yield new
    _awake(postgres)
    for name in names:
        postgres.drop_database(name)


@pytest.fixture
def migrated_postgres_url(new_postgres_url: Callable[[], str]) -> str:
    """A PostgreSQL database with our tables."""
    return new_postgres_url()


@pytest.fixture(scope="session")
def _mariadb_template(mariadb: MariaDBServer) -> str:
    _awake(mariadb)
    migrate(mariadb.create_database("migrated"))
    return "migrated"


@pytest.fixture
def migrated_mariadb_url(mariadb: MariaDBServer, _mariadb_template: str) -> Iterator[str]:
    """A MariaDB database with our tables, copied from one that was migrated."""
    _awake(mariadb)
    name = f"t{next(_numbers)}"
    yield mariadb.create_database(name, template=_mariadb_template)
    _awake(mariadb)
    mariadb.drop_database(name)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The test runs three times: on SQLite, PostgreSQL and MariaDB, each with our tables."""
    url: str = request.getfixturevalue(f"migrated_{request.param}_url")
    return url


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """The test runs twice: on Redis and on RabbitMQ."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


# --- Processes


class StartProcess(Protocol):
    """Starts a program of the project that ends with the test."""

    def __call__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        name: str = "",
        cwd: Path = ROOT,
    ) -> Process:
        """The process, running; its log is named after `name` (default: the program and a number)."""


@pytest.fixture
def start_process(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartProcess]:
    """`start_process(["celery", "-A", "worker", "worker"], {"DATABASE_URL": url}, name="worker-1")`."""
    started = request.node.stash.setdefault(_processes, [])

    def start(
        command: Sequence[str], env: Mapping[str, str] | None = None, *, name: str = "", cwd: Path = ROOT
    ) -> Process:
        label = name or f"{Path(command[0]).name}-{len(started) + 1}"
        process = Process(command, env, log=tmp_path / f"{label}.log", cwd=cwd)
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        process.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the end of what its processes wrote."""
    report = yield
    if report.when == "call" and report.failed:
        for process in item.stash.get(_processes, []):
            state = "running" if process.running else "ended"
            report.sections.append((f"{process.name} ({state}): {' '.join(process.command)}", process.tail(60)))
    return report


# --- Unit tests talk to nobody

_guarded: list[str] = []
_trespasses: list[str] = []


def _guard(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook, since nothing gets around it and nothing needs to be patched for it."""
    if not _guarded or event not in {"socket.connect", "socket.sendto", "socket.getaddrinfo"}:
        return
    target = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    host = target[0] if isinstance(target, tuple) else target
    if event != "socket.getaddrinfo" and not isinstance(target, tuple):
        return  # a socket in the file system
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if name.endswith(".invalid"):
        # Never exists (RFC 6761), so the answer is known without asking the network.
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    if not _is_loopback(name):
        _trespasses.append(f"{event} {name}")
        raise RuntimeError(f"a unit test wanted to reach {name}; unit tests reach nothing but this machine")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


sys.addaudithook(_guard)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Turns the guard on for the tests in tests/unit."""
    if not item.path.is_relative_to(ROOT / "tests" / "unit"):
        return (yield)
    _trespasses.clear()
    _guarded.append(item.nodeid)
    try:
        yield
    finally:
        _guarded.clear()
    # Said once more here, since code under test may swallow the error as one of the network's.
    if _trespasses:
        pytest.fail(f"reached for the network: {', '.join(_trespasses)}", pytrace=False)
    return None
