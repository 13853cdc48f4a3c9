"""Private servers for tests: each on a free loopback port, in its own directory, killable and restartable.

Nothing that runs on the machine already is touched. The databases write each commit out at once but do not wait
for the disk: a killed process loses nothing, only a machine without power would. `durable=True` does wait.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import closing, suppress
from secrets import SystemRandom, token_hex
from typing import TYPE_CHECKING, Any, ClassVar, LiteralString

import amqp
import psycopg
import pymysql
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests import programs
from tests.processes import descendants, kill_tree, reaper, signal_all, stop_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

HOST = "127.0.0.1"
# Below the ports that the system gives to outgoing connections: one of those could take the place of a server
# that is down for a short time, and a client that retries could even connect to itself. SystemRandom, because
# pytest-randomly gives the usual one the same seed for every test.
_PORTS = range(20000, 32000)
_random = SystemRandom()


class ServerError(Exception):
    """A private server did not do what it was asked; the end of its log is in the text."""


_given: set[int] = set()


def free_port() -> int:
    """A port on the loopback interface where nobody listens, and that was not given out before."""
    while True:
        port = _random.choice(_PORTS)
        if port in _given:
            continue  # of a server that is down just now, or not up yet
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind((HOST, port))
            _given.add(port)
            return port


class Server(ABC):
    """What all private servers have in common."""

    program: ClassVar[programs.Program]
    _gentle: ClassVar[signal.Signals] = signal.SIGTERM
    _patience: ClassVar[float] = 180.0

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        """Prepares a server; nothing runs before `start`.

        Args:
            directory: Its own, is made if need be; data, log and all.
            durable: Waits for the disk as in production, instead of being fast.
        """
        self.directory = directory
        self.durable = durable
        self._take_ports()
        self.log = directory / "server.log"
        self.version = ""
        self.started_in = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_once = False
        self._executables: dict[str, Path] = {}
        self.tls_port = 0
        """Where it speaks TLS, if `secure` was called; PostgreSQL and MariaDB do so at their usual port."""
        self._tls: tuple[Path, Path] | None = None

    @abstractmethod
    def url(self, database: str = ...) -> str:
        """The address for SQLAlchemy or Celery."""

    @abstractmethod
    def _create(self) -> None:
        """Makes the data directory, once."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """What to run in the foreground."""

    @abstractmethod
    def _probe(self) -> str:
        """A real question over the network; the server's version, or the client library's error."""

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _take_ports(self) -> None:
        """Decides where it will listen."""
        self.port = free_port()

    def secure(self, certificate: Path, key: Path) -> None:
        """Makes it speak TLS with this certificate, from its next start on; call it before the first."""
        self._own(self.directory)
        self._tls = (self.directory / "server.crt", self.directory / "server.key")
        self.tls_port = free_port()
        for source, copy in zip((certificate, key), self._tls, strict=True):
            shutil.copy(source, copy)
            copy.chmod(0o600)
            if self._account:
                os.chown(copy, self._account.pw_uid, self._account.pw_gid)

    @property
    def pid(self) -> int:
        """The process that everything else of this server descends from."""
        if self._process is None:
            raise ServerError(f"{self.program.title} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it, again with the same data and port if it ran before, and returns when it answers."""
        if self.running:
            return
        began = time.monotonic()
        if not self._executables:
            self._executables = programs.find(self.program)
            self._own(self.directory)
            self._executables = self._reachable(self._executables)
            self._create()
        for attempt in range(3):
            try:
                self._start_once()
                break
            except ServerError:
                # Another process may use the free port by now. Later it is the address others know, and stays.
                if self._ready_once or attempt == 2:
                    raise
                self._take_ports()
        self._ready_once = True
        self.started_in = time.monotonic() - began

    def _start_once(self) -> None:
        self._process = self._spawn(self._command())
        reaper().watch(self.pid)
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self.version = self._probe()
            except (OSError, psycopg.Error, pymysql.Error, redis.RedisError, amqp.AMQPError) as error:
                if not self.running:
                    self._ended()
                    raise ServerError(f"{self.program.title} ended at its start:\n{self.tail()}") from error
                if time.monotonic() > deadline:
                    self.kill()
                    raise ServerError(f"{self.program.title} does not answer ({error}):\n{self.tail()}") from error
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Asks it to end properly and waits for that."""
        self._end(self._gentle)

    def kill(self) -> None:
        """SIGKILL for it and all its children, as when the power fails."""
        if self.running:
            kill_tree(self.pid)
            self._ended()

    def restart(self) -> None:
        """Down and up again, with every connection cut."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        if self.running:
            stop_tree(self.pid)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        if self.running:
            signal_all([*descendants(self.pid), self.pid], signal.SIGCONT)

    def tail(self, lines: int = 30) -> str:
        """The last lines of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, number: signal.Signals) -> None:
        if not self.running or self._process is None:
            return
        self.thaw()
        self._process.send_signal(number)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
        self._ended()

    def _ended(self) -> None:
        if self._process is not None:
            self._process.wait(60)
            reaper().forget(self._process.pid)

    # PostgreSQL and MariaDB refuse to run as root, and the others do not need to.

    @property
    def _account(self) -> pwd.struct_passwd | None:
        return pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    def _own(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        if self._account:
            os.chown(directory, self._account.pw_uid, self._account.pw_gid)

    def _reachable(self, executables: dict[str, Path]) -> dict[str, Path]:
        """Out of a wheel below root's home, nobody else may run them: then from a copy."""
        one = next(iter(executables.values()))
        if not self._account or not one.is_relative_to(programs.WHEELS):
            return executables
        package = one.relative_to(programs.WHEELS).parts[0]
        for source in programs.WHEELS.glob(f"{package}*"):
            shutil.copytree(source, self.directory / source.name, ignore=shutil.ignore_patterns("pginstall18"))
        return {name: self.directory / path.relative_to(programs.WHEELS) for name, path in executables.items()}

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, **self._surroundings())

    def _run(self, command: Sequence[str]) -> None:
        """Runs a helper of the server to its end."""
        with self.log.open("ab") as log:
            done = subprocess.run(command, stdout=log, stderr=log, check=False, timeout=240, **self._surroundings())
        if done.returncode:
            raise ServerError(f"{command[0]} failed:\n{self.tail()}")

    def _surroundings(self) -> dict[str, Any]:
        account = self._account
        return {
            "cwd": self.directory,
            "env": {
                "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]),
                "HOME": str(self.directory),
                "TMPDIR": str(self.directory),
                "LC_ALL": "C",
                **self._environment(),
            },
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,
            **({"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}),
        }


class PostgresServer(Server):
    """PostgreSQL, superuser `postgres` without a password."""

    program = programs.POSTGRES
    _gentle = signal.SIGINT  # "fast": does not wait for clients to leave

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://postgres@{HOST}:{self.port}/{database}"

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Makes a database, as a copy of another one if so wished, and returns its URL."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._execute_alone(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Removes a database, with its connections."""
        self._execute_alone(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def restart(self) -> None:
        """Immediate: no checkpoint, so that it recovers at the next start, as after a crash."""
        self._end(signal.SIGQUIT)
        self.start()

    def refuse_writes(self) -> None:
        """Writes and row locks fail from each session's next transaction on (SQLSTATE 25006), as on a standby."""
        self._alter("ALTER SYSTEM SET default_transaction_read_only = on")

    def take_writes(self) -> None:
        """They work again."""
        self._alter("ALTER SYSTEM RESET default_transaction_read_only")

    def _alter(self, statement: LiteralString) -> None:
        with closing(self._connect()) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(statement)
            connection.execute("SELECT pg_reload_conf()")

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host=HOST, port=self.port, user="postgres", dbname="postgres", connect_timeout=60, autocommit=True
        )

    def _execute_alone(self, statement: sql.Composed) -> None:
        """What nobody else may be in the database for. PostgreSQL waits five seconds for those that it sent away."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with closing(self._connect()) as connection:
                    connection.execute(statement)
            except psycopg.errors.ObjectInUse:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def _probe(self) -> str:
        with closing(self._connect()) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]).split()[0] if row else ""

    def _create(self) -> None:
        arguments = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
        data = self.directory / "data"
        self._run([str(self._executables["initdb"]), *arguments, "--no-instructions", "-D", str(data)])

    def _command(self) -> Sequence[str]:
        settings = {
            "port": str(self.port),
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "max_connections": "300",
            "max_prepared_transactions": "10",
            "shared_buffers": "64MB",
            "log_timezone": "UTC",
            "timezone": "America/Mexico_City",  # not UTC, so that a test notices who forgot to say
        }
        if not self.durable:
            # Not synchronous_commit: without it a commit is a promise in memory that dies with the process.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        if self._tls:
            settings |= {"ssl": "on", "ssl_cert_file": str(self._tls[0]), "ssl_key_file": str(self._tls[1])}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._executables["postgres"]), "-D", str(self.directory / "data"), *options]


class StandbyServer(PostgresServer):
    """A streaming standby of another server: `follow(primary)`, then `start()`."""

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        super().__init__(directory, durable=durable)
        self.primary: PostgresServer | None = None

    def follow(self, primary: PostgresServer) -> None:
        """Copies a running server, which it follows from its start on."""
        self.primary = primary

    def promote(self) -> None:
        """Makes it take writes; returns when it does."""
        with closing(self._connect()) as connection:
            connection.execute("SELECT pg_promote(true, 60)")

    def _create(self) -> None:
        if self.primary is None:
            raise ServerError("a standby follows a server: call follow() before start()")
        tool = self._executables["postgres"].with_name("pg_basebackup")
        source = ["--host", HOST, "--port", str(self.primary.port), "--username", "postgres"]
        target = ["--pgdata", str(self.directory / "data"), "--write-recovery-conf", "--wal-method", "stream"]
        self._run([str(tool), *source, *target, "--checkpoint", "fast", "--no-sync"])


class PgBouncerServer(Server):
    """PgBouncer in transaction mode before a PostgreSQL, with few sessions so that they change hands."""

    program = programs.PGBOUNCER
    _gentle = signal.SIGINT

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        super().__init__(directory, durable=durable)
        self.behind: PostgresServer | None = None
        self.settings: dict[str, str] = {}

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://postgres@{HOST}:{self.port}/{database}"

    def _create(self) -> None:
        users = self.directory / "users.txt"
        users.write_text('"postgres" ""\n')
        users.chmod(0o644)

    def _command(self) -> Sequence[str]:
        if self.behind is None:
            raise ServerError("a pooler needs a server behind it: set `behind` before start()")
        settings = {
            "listen_addr": HOST,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": self.directory / "users.txt",
            "pool_mode": "transaction",
            "default_pool_size": "3",
            "max_client_conn": "200",
            **self.settings,
        }
        lines = ["[databases]", f"* = host={HOST} port={self.behind.port}", "[pgbouncer]"]
        file = self.directory / "pgbouncer.ini"
        file.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items())]) + "\n")
        file.chmod(0o644)
        return [str(self._executables["pgbouncer"]), str(file)]

    def _probe(self) -> str:
        with closing(psycopg.connect(host=HOST, port=self.port, user="postgres", dbname="postgres")) as connection:
            connection.execute("SELECT 1")
        return "in transaction mode"


class RedisServer(Server):
    """Redis that never evicts; with `durable=True` it writes an append-only file and finds its keys again."""

    program = programs.REDIS

    def url(self, database: str = "0") -> str:
        return f"redis://{HOST}:{self.port}/{database}"

    def flush(self, database: str = "0") -> None:
        """Empties one of its sixteen databases."""
        with closing(redis.Redis(host=HOST, port=self.port, db=int(database))) as client:
            client.flushdb()

    def _probe(self) -> str:
        with closing(redis.Redis(host=HOST, port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0))) as client:
            information = client.info("server")
        assert isinstance(information, dict)
        return str(information["redis_version"])

    def _create(self) -> None:
        """It makes its files itself."""

    def _command(self) -> Sequence[str]:
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(self.directory),
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        if self._tls:
            settings |= {
                "tls-port": str(self.tls_port),
                "tls-cert-file": str(self._tls[0]),
                "tls-key-file": str(self._tls[1]),
                "tls-auth-clients": "no",
            }
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return [str(self._executables["redis-server"]), *options]


class RabbitServer(Server):
    """RabbitMQ with an Erlang port mapper of its own, both on loopback only; user guest, password guest."""

    program = programs.RABBITMQ
    _patience = 240.0

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        super().__init__(directory, durable=durable)
        self._mapper: subprocess.Popen[bytes] | None = None
        self._node = f"smsclick-{token_hex(4)}@localhost"

    def _take_ports(self) -> None:
        super()._take_ports()
        self._mapper_port, self._node_port = free_port(), free_port()

    def url(self, database: str = "/") -> str:
        """The address of a virtual host."""
        return f"amqp://guest:guest@{HOST}:{self.port}/{database}"

    def create_vhosts(self, names: Iterable[str]) -> None:
        """Makes virtual hosts that guest may use; one call for many, each call costs half a second."""
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        definitions = {
            "vhosts": [{"name": name} for name in names],
            "permissions": [{"user": "guest", "vhost": name, **everything} for name in names],
        }
        file = self.directory / "definitions.json"
        file.write_text(json.dumps(definitions))
        file.chmod(0o644)
        self._run([str(self._executables["rabbitmqctl"]), "import_definitions", str(file)])
        for name in names:
            self._await(name)

    def raise_memory_alarm(self) -> None:
        """It finds itself short of memory: it no longer reads from connections that publish."""
        self._run([str(self._executables["rabbitmqctl"]), "set_vm_memory_high_watermark", "0.000001"])

    @property
    def mapper_pid(self) -> int:
        """The port mapper (epmd) that belongs to it."""
        if self._mapper is None:
            raise ServerError("RabbitMQ does not run")
        return self._mapper.pid

    def _await(self, vhost: str) -> None:
        """The import answers before it is done."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self._ask(vhost)
            except (OSError, amqp.AMQPError) as error:
                if time.monotonic() > deadline:
                    raise ServerError(f"the virtual host {vhost} does not come ({error}):\n{self.tail()}") from error
                time.sleep(0.05)
            else:
                return

    def _ask(self, vhost: str) -> str:
        connection = amqp.Connection(
            f"{HOST}:{self.port}", "guest", "guest", virtual_host=vhost, connect_timeout=5, read_timeout=20
        )
        try:
            connection.connect()
            return str(vars(connection)["server_properties"]["version"])
        finally:
            connection.collect()

    def _probe(self) -> str:
        return self._ask("/")

    def _create(self) -> None:
        configuration = "loopback_users.guest = true\ndisk_free_limit.absolute = 10MB\n"
        if self._tls:
            configuration += (
                f"listeners.ssl.1 = {HOST}:{self.tls_port}\nssl_options.cacertfile = {self._tls[0]}\n"
                f"ssl_options.certfile = {self._tls[0]}\nssl_options.keyfile = {self._tls[1]}\n"
                "ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n"
            )
        for name, text in {
            "rabbitmq.conf": configuration,
            "rabbitmq-env.conf": "",
            "enabled_plugins": "[].\n",
            ".erlang.cookie": token_hex(16),
        }.items():
            file = self.directory / name
            file.write_text(text)
            file.chmod(0o400 if name.startswith(".") else 0o644)
            if self._account:
                os.chown(file, self._account.pw_uid, self._account.pw_gid)

    def _environment(self) -> Mapping[str, str]:
        place = self.directory
        return {
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._mapper_port),
            # For the server and for rabbitmqctl, which listens too while it runs.
            "ERL_FLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_MNESIA_BASE": str(place / "mnesia"),
            "RABBITMQ_LOG_BASE": str(place / "log"),
            "RABBITMQ_LOGS": "-",
            # Each of these names something in /etc/rabbitmq unless it is said.
            "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(place / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(place / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(place / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(place / "rabbitmq.pid"),
            # The start script then becomes the server instead of watching it: its pid is the server's.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _command(self) -> Sequence[str]:
        return [str(self._executables["rabbitmq-server"])]

    def _start_once(self) -> None:
        # Started by hand it stays a child of ours; the server would leave it behind as a daemon.
        if self._mapper is None or self._mapper.poll() is not None:
            mapper = shutil.which("epmd")
            if mapper is None:
                raise ServerError("no epmd, which belongs to Erlang; apt install erlang-base")
            self._mapper = self._spawn([mapper, "-address", HOST, "-port", str(self._mapper_port)])
            reaper().watch(self._mapper.pid)
            self._await_mapper(self._mapper)
        super()._start_once()

    def _await_mapper(self, mapper: subprocess.Popen[bytes]) -> None:
        """A server that does not find it starts one of its own, which stays behind."""
        while True:
            with suppress(OSError), socket.create_connection((HOST, self._mapper_port), 60):
                return
            if mapper.poll() is not None:
                reaper().forget(mapper.pid)
                raise ServerError(f"epmd ended at its start:\n{self.tail()}")
            time.sleep(0.02)

    def _ended(self) -> None:
        super()._ended()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait(60)
            reaper().forget(self._mapper.pid)
            self._mapper = None


class MariaDBServer(Server):
    """MariaDB, all in utf8mb4, user `smsclick` without a password."""

    program = programs.MARIADB

    def url(self, database: str = "mysql") -> str:
        return f"mysql+pymysql://smsclick@{HOST}:{self.port}/{database}?charset=utf8mb4"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Makes a database, empty or a copy of another one, and returns its URL."""
        self._execute(f"CREATE DATABASE `{name}`")
        if template is not None:
            self._copy(template, name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Removes a database."""
        self._execute(f"DROP DATABASE IF EXISTS `{name}`")

    def _copy(self, template: str, name: str) -> None:
        """Tables with their rows and triggers: a migration takes five times as long."""
        with closing(self._connect()) as connection, connection.cursor() as cursor:

            def column(statement: str, place: int) -> list[str]:
                cursor.execute(statement)
                return [str(row[place]) for row in cursor.fetchall()]

            cursor.execute(f"USE `{template}`")
            tables = column("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'", 0)
            made = [each for table in tables for each in column(f"SHOW CREATE TABLE `{table}`", 1)]
            made += [f"INSERT INTO `{table}` SELECT * FROM `{template}`.`{table}`" for table in tables]  # noqa: S608
            triggers = column("SHOW TRIGGERS", 0)
            made += [each for trigger in triggers for each in column(f"SHOW CREATE TRIGGER `{trigger}`", 2)]
            cursor.execute(f"USE `{name}`")
            cursor.execute("SET foreign_key_checks = 0, sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")
            for statement in made:
                cursor.execute(statement)
            connection.commit()

    def _connect(self) -> pymysql.Connection:
        return pymysql.connect(host=HOST, port=self.port, user="smsclick", charset="utf8mb4", connect_timeout=60)

    def _execute(self, statement: str) -> str:
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
        return str(row[0]) if row else ""

    def _probe(self) -> str:
        return self._execute("SELECT VERSION()").partition("-")[0]

    def _create(self) -> None:
        self._run(
            [
                str(self._executables["mariadb-install-db"]),
                *("--no-defaults", f"--datadir={self.directory / 'data'}", "--innodb-log-file-size=16M"),
                *("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"),
            ]
        )
        account = self.directory / "account.sql"
        account.write_text(
            f"CREATE USER IF NOT EXISTS smsclick@'{HOST}';\nGRANT ALL ON *.* TO smsclick@'{HOST}' WITH GRANT OPTION;\n"
        )
        account.chmod(0o644)

    def _command(self) -> Sequence[str]:
        settings = {
            "datadir": self.directory / "data",
            "bind-address": HOST,
            "port": self.port,
            "socket": self.directory / "sock",
            "pid-file": self.directory / "mariadb.pid",
            "tmpdir": self.directory,
            "init-file": self.directory / "account.sql",
            "skip-name-resolve": "ON",
            "character-set-server": "utf8mb4",
            "collation-server": "utf8mb4_general_ci",
            "default-time-zone": "-06:00",  # not UTC, so that a test notices who forgot to say
            "max-connections": 300,
            "innodb-buffer-pool-size": "64M",
            "innodb-log-file-size": "16M",
        }
        if not self.durable:
            # 2 writes at each commit; 0 would keep a second's commits in memory that dies with the process.
            settings |= {"innodb-flush-log-at-trx-commit": 2, "innodb-flush-method": "nosync"}
        if self._tls:
            settings |= {"ssl-cert": self._tls[0], "ssl-key": self._tls[1]}
        return [
            str(self._executables["mariadbd"]),
            "--no-defaults",
            *(f"--{name}={value}" for name, value in settings.items()),
        ]
