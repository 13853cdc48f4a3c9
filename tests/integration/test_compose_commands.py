"""The commands of docker-compose.yml, each run as it stands there: together they deliver a message.

There is no container engine here, so real processes stand in for the containers: PostgreSQL's image is represented by
a private server with the database and the user that its environment asks for, and the host names of the network by
addresses on this machine.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from smsclick.contract import State
from tests import programs
from tests.acceptance import Cluster, Receiver
from tests.compose import SERVICES, container_environment, dot_env
from tests.processes import wait_until
from tests.servers import PostgresServer, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.conftest import OwnServer, StartProcess
    from tests.processes import Process

PASSWORD, KEY = "a1b2c3", "compose-key"
DOT_ENV = """
# What a developer has for a worker outside of containers, and what is meant for all
DATABASE_URL=sqlite:///var/mine.db
CELERY_BROKER_URL='redis://127.0.0.1:1/0'
SMSCLICK_API_KEY="a-developers-key"
POSTGRES_PASSWORD={password}
ALERT_URLS="{alerts}"
SMSCLICK_LOW_BALANCE='1000000'
SMSCLICK_BALANCE_SECONDS=1  # as impatient as a test
"""


def make_database(server: PostgresServer, environment: Mapping[str, str]) -> None:
    """What PostgreSQL's image does at its first start: the user and the database that it is asked for."""
    user, database = sql.Identifier(environment["POSTGRES_USER"]), sql.Identifier(environment["POSTGRES_DB"])
    with psycopg.connect(server.url().replace("+psycopg", ""), autocommit=True) as connection:
        password = sql.Literal(environment["POSTGRES_PASSWORD"])
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(user, password))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, user))


def test_the_services_own_commands_deliver_a_message_together(
    own_server: OwnServer, start_process: StartProcess, tmp_path: Path
) -> None:
    postgres = own_server(PostgresServer)
    redis_port = free_port()
    with Receiver() as receiver:
        file = tmp_path / ".env"
        file.write_text(DOT_ENV.format(password=PASSWORD, alerts=receiver.url))
        variables = dot_env(file)
        key_file = tmp_path / "smsclick_api_key"
        key_file.write_text(f"{KEY}\n")
        here = {
            "@postgres:5432/": f"@127.0.0.1:{postgres.port}/",
            "//redis:6379/": f"//127.0.0.1:{redis_port}/",
            "/run/secrets/smsclick_api_key": str(key_file),
        }

        def environment(service: str) -> dict[str, str]:
            filled = container_environment(service, variables)
            for there, instead in here.items():
                filled = {name: value.replace(there, instead) for name, value in filled.items()}
            return filled

        make_database(postgres, environment("postgres"))

        redis_command = SERVICES["redis"]["command"]
        server = str(programs.find(programs.REDIS)[redis_command[0]])
        place = ["--port", str(redis_port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
        redis_server = start_process([server, *redis_command[1:], *place], name="redis")
        redis_server.wait_for_line("Ready to accept connections")
        if cli := shutil.which("redis-cli"):
            kind, *check = SERVICES["redis"]["healthcheck"]["test"]
            ping = start_process([cli, "-p", str(redis_port), *check[1:]], name="redis-health")
            assert (kind, ping.wait(), ping.output) == ("CMD", 0, "PONG\n")

        with Cluster(
            start_process,
            environment("worker")["DATABASE_URL"],
            environment("worker")["CELERY_BROKER_URL"],
            api_key=KEY,
        ) as cluster:
            # Besides the file's own settings only the provider's address, and impatience.
            hurry = {
                name: cluster.env[name]
                for name in ("SMSCLICK_BASE_URL", "SMSCLICK_POLL_SECONDS", "SMSCLICK_SWEEP_SECONDS")
            }

            def run(service: str, command: list[str], name: str) -> Process:
                return start_process(command, {**environment(service), **hurry}, name=name)

            migrate = run("migrate", SERVICES["migrate"]["command"], "migrate")
            assert migrate.wait() == 0
            replicas = range(SERVICES["worker"]["deploy"]["replicas"])
            workers = [run("worker", SERVICES["worker"]["command"], f"worker-{n}") for n in replicas]
            beats = [
                run("beat", SERVICES["beat"]["command"], f"beat-{n}")
                for n in range(SERVICES["beat"]["deploy"]["replicas"])
            ]
            # Beside others on this machine it needs a port of its own.
            port = str(free_port())
            metrics = run("metrics", [*SERVICES["metrics"]["command"], "--port", port], "metrics")
            web_port = free_port()
            hurry["SMSCLICK_WEB_BIND"] = f"127.0.0.1:{web_port}"
            web = run("web", SERVICES["web"]["command"], "web")
            for worker in workers:
                worker.wait_for_line("celery@", 120)

            enqueue = ["smsclick", "enqueue", "55 5140 2211", "Señal: su pedido va en camino", "--key", "order-1"]
            assert run("worker", enqueue, "enqueue").wait() == 0
            cluster.wait_final(1)
            assert cluster.states() == {State.DELIVERED: 1}
            [entry] = cluster.assert_ledger_agrees()
            assert (entry.phone, entry.text) == ("5551402211", "Señal: su pedido va en camino")
            # The account never has so many credits: two settings of .env have reached the processes.
            wait_until(lambda: receiver.titles, 120, what="the alert of a low balance")

            checks = itertools.count(1)

            def health(service: str) -> int | None:
                kind, *check = SERVICES[service]["healthcheck"]["test"]
                assert kind == "CMD"
                if service == "metrics":
                    check = [sys.executable, *(word.replace("9808", port) for word in check[1:])]
                return run(service, check, f"health-{service}-{next(checks)}").wait()

            for service in ("worker", "beat", "web", "metrics"):
                wait_until(lambda: health(service) == 0, what="a healthy process")  # noqa: B023
            redis_server.sigkill()
            # None is ill for the broker's sake: restarting them would not help.
            assert (health("worker"), health("beat")) == (0, 0)
            for process in [*workers, *beats]:
                process.sigterm()
            grace = float(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
            assert [process.wait(grace) for process in workers] == [0] * len(workers)
            metrics.sigterm()
            assert metrics.wait(float(SERVICES["metrics"]["stop_grace_period"].removesuffix("s"))) == 0
            assert [process.wait(30) for process in beats] == [0] * len(beats)
            web.sigterm()
            assert web.wait(float(SERVICES["web"]["stop_grace_period"].removesuffix("s"))) == 0
            assert health("worker") == 1
