"""The private servers: they answer, die when killed, come back with their data, and hear only this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import kombu
import psycopg
import pymysql
import pytest
import redis
import sqlalchemy as sa
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests import programs
from tests.processes import ROOT, alive, descendants, wait_until
from tests.servers import MariaDBServer, PostgresServer, RabbitServer, RedisServer, Server, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import OwnServer, StartProcess


def listening_addresses(pid: int) -> set[str]:
    """The addresses on which the process or a child of it accepts TCP connections, out of /proc."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as lines:  # noqa: PTH123 - a file of the kernel
            for fields in map(str.split, list(lines)[1:]):
                if fields[3] == "0A":
                    sockets[fields[9]] = fields[1].partition(":")[0]
    found = set()
    for each in [pid, *descendants(pid)]:
        # A file may be closed meanwhile, and a child that does something now and then may end.
        with suppress(FileNotFoundError, ProcessLookupError):
            for entry in os.listdir(f"/proc/{each}/fd"):  # noqa: PTH208 - socket:[123] is no path
                with suppress(FileNotFoundError):
                    target = os.readlink(f"/proc/{each}/fd/{entry}")  # noqa: PTH115
                    inode = target.removeprefix("socket:[").removesuffix("]")
                    if inode in sockets:
                        found.add(sockets[inode])
    return found


LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
only_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def insert_and_count(url: str) -> int:
    """Adds a row to a table of one column and counts them, each time over a new connection."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE IF NOT EXISTS kept (word VARCHAR(20))"))
        connection.execute(sa.text("INSERT INTO kept VALUES ('señal ✓ 📱')"))
        return len(connection.execute(sa.text("SELECT word FROM kept WHERE word = 'señal ✓ 📱'")).all())


def test_postgres_is_killed_and_comes_back_with_its_rows(postgres: PostgresServer, postgres_url: str) -> None:
    assert insert_and_count(postgres_url) == 1
    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_url.replace("+psycopg", ""))
    postgres.start()
    assert insert_and_count(postgres_url) == 2
    postgres.restart()
    assert insert_and_count(postgres_url) == 3


def test_mariadb_is_killed_and_comes_back_with_its_rows(mariadb: MariaDBServer, mariadb_url: str) -> None:
    assert insert_and_count(mariadb_url) == 1
    mariadb.kill()
    with pytest.raises(pymysql.OperationalError):
        pymysql.connect(host="127.0.0.1", port=mariadb.port, user="smsclick")
    mariadb.start()
    assert insert_and_count(mariadb_url) == 2


def test_redis_forgets_when_killed_unless_it_is_durable(own_server: OwnServer) -> None:
    for durable in (False, True):
        server = own_server(RedisServer, durable=durable)
        client = redis.Redis.from_url(server.url())
        client.set("word", "kept")
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.get("word") == (b"kept" if durable else None)
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.close()


def test_rabbitmq_is_killed_and_comes_back_with_its_messages(rabbitmq: RabbitServer, rabbitmq_url: str) -> None:
    confirmed = kombu.Connection(rabbitmq_url, transport_options={"confirm_publish": True})
    with confirmed as connection, connection.SimpleQueue("kept") as queue:
        queue.put({"ids": [1]})
    rabbitmq.kill()
    rabbitmq.start()
    with kombu.Connection(rabbitmq_url) as connection, connection.SimpleQueue("kept") as queue:
        assert queue.get(timeout=60).payload == {"ids": [1]}


@only_linux
@pytest.mark.parametrize("kind", [PostgresServer, RedisServer, MariaDBServer, RabbitServer])
def test_servers_listen_on_the_loopback_interface_only(kind: type[Server], request: pytest.FixtureRequest) -> None:
    names = {
        PostgresServer: "postgres",
        RedisServer: "redis_server",
        MariaDBServer: "mariadb",
        RabbitServer: "rabbitmq",
    }
    server: Server = request.getfixturevalue(names[kind])
    server.start()
    pids = [server.pid]
    if isinstance(server, RabbitServer):
        pids.append(server.mapper_pid)
    for pid in pids:
        addresses = listening_addresses(pid)
        assert addresses
        assert addresses <= LOOPBACK


def test_each_test_gets_an_empty_database_of_its_own(postgres_url: str, mariadb_url: str, sqlite_url: str) -> None:
    for url in (postgres_url, mariadb_url, sqlite_url):
        assert insert_and_count(url) == 1


def test_a_migrated_database_has_our_tables_and_no_rows(database_url: str) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    assert "smsclick_messages" in sa.inspect(engine).get_table_names()
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM smsclick_messages")) == 0


def test_a_frozen_server_is_silent_and_a_thawed_one_answers(own_server: OwnServer) -> None:
    server = own_server(RedisServer)

    def ping(patience: float) -> bool:
        retry = Retry(NoBackoff(), 0)
        with closing(redis.Redis(host="127.0.0.1", port=server.port, socket_timeout=patience, retry=retry)) as client:
            return bool(client.ping())

    assert ping(60)
    server.freeze()
    with pytest.raises((redis.TimeoutError, redis.ConnectionError)):
        ping(0.3)
    server.thaw()
    assert ping(60)


def test_a_killed_session_leaves_no_server_and_no_directory(tmp_path: Path, start_process: StartProcess) -> None:
    file = tmp_path / "session.py"
    file.write_text(
        textwrap.dedent("""
            import time
            from tests.processes import reaper
            from tests.servers import RedisServer

            server = RedisServer(reaper().directory / "redis")
            server.start()
            print(f"pid={server.pid} in={server.directory}", flush=True)
            time.sleep(600)
        """)
    )
    session = start_process([sys.executable, str(file)], {"PYTHONPATH": str(ROOT)})
    line = session.wait_for_line(r"pid=(\d+) in=(.+)")
    server, directory = int(line.group(1)), line.group(2)
    assert alive(server)
    session.sigkill(tree=False)
    wait_until(lambda: not alive(server), what="the server's end")
    wait_until(lambda: not os.path.exists(directory), what="the directory's end")  # noqa: PTH110


def test_a_process_that_ends_early_says_so_at_once_with_its_log(start_process: StartProcess) -> None:
    process = start_process([sys.executable, "-c", "raise SystemExit('no such thing')"])
    with pytest.raises(AssertionError, match=r"ended with 1 before(?s:.)*no such thing"):
        process.wait_for_line("ready")
    assert process.wait() == 1


def test_a_stopped_process_ends_with_the_test_all_the_same(start_process: StartProcess) -> None:
    process = start_process(["sh", "-c", "echo here; sleep 1000 & wait"])
    process.wait_for_line("^here$")
    process.sigstop()
    child = descendants(process.pid)
    process.end()
    assert not process.running
    assert not any(alive(pid) for pid in child)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_an_old_program_is_refused_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "mariadbd"
    old.write_text("#!/bin/sh\necho 'mariadbd  Ver 10.3.39-MariaDB'\n")
    installer = tmp_path / "mariadb-install-db"
    installer.write_text("#!/bin/sh\n")
    for file in (old, installer):
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(programs.MissingProgramError, match=r"MariaDB 10\.3\.39 is too old, 10\.6 is needed"):
        programs.find(programs.MARIADB, wheels_only=False)


def test_what_is_missing_is_named_with_the_package_that_brings_it() -> None:
    nothing = programs.Program(title="Nothing", executables=("no-such-program",), package="nothing-server")
    with pytest.raises(programs.MissingProgramError, match="no no-such-program; apt install nothing-server"):
        programs.find(nothing)


def test_a_free_port_is_outside_the_range_of_outgoing_connections() -> None:
    assert all(20000 <= free_port() < 32000 for _ in range(50))


@pytest.mark.usefixtures("postgres", "redis_server")
def test_the_closing_lines_name_servers_and_what_did_not_run(tmp_path: Path) -> None:
    """A session inside the session, where RabbitMQ and MariaDB cannot be found."""
    inner = ROOT / "tests" / "integration" / "test_servers.py"
    environment = {**os.environ, "TEST_SERVERS": "wheels", "TMPDIR": str(tmp_path)}
    environment.pop("CI", None)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            str(inner),
            "-k",
            "mariadb_is_killed",
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "not run here: 1 MariaDB test (no mariadbd; apt install mariadb-server)" in done.stdout
