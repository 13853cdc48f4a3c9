"""The commands of docker-compose.yml, each run as it stands there: together they deliver a message.

There is no container engine here, so real processes stand in for the containers: PostgreSQL's image is represented by
a private server with the database and the user that its environment asks for, and the host names of the network by
addresses on this machine.
"""

from __future__ import annotations

import itertools
import re
import shutil
from typing import TYPE_CHECKING, Any

import psycopg
import yaml
from psycopg import sql

from smsclick.contract import State
from tests import programs
from tests.acceptance import Cluster, Receiver
from tests.processes import ROOT, wait_until
from tests.servers import PostgresServer, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.conftest import OwnServer, StartProcess
    from tests.processes import Process

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PASSWORD, KEY = "a1b2c3", "compose-key"


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """A value with its `${NAME}`, `${NAME:-default}` and `${NAME:?must be set}` filled in."""
    return re.sub(
        r"\$\{(\w+)(?::([-?])([^}]*))?\}",
        lambda match: variables[match[1]] if match[2] != "-" else variables.get(match[1]) or match[3],
        text,
    )


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
        variables = {"POSTGRES_PASSWORD": PASSWORD, "ALERT_URLS": receiver.url}
        key_file = tmp_path / "smsclick_api_key"
        key_file.write_text(f"{KEY}\n")
        here = {
            "@postgres:5432/": f"@127.0.0.1:{postgres.port}/",
            "//redis:6379/": f"//127.0.0.1:{redis_port}/",
            "/run/secrets/smsclick_api_key": str(key_file),
        }

        def environment(service: str) -> dict[str, str]:
            filled = {name: interpolated(value, variables) for name, value in SERVICES[service]["environment"].items()}
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
            beat = run("beat", SERVICES["beat"]["command"], "beat")
            for worker in workers:
                worker.wait_for_line("celery@", 120)

            enqueue = ["smsclick", "enqueue", "55 5140 2211", "Señal: su pedido va en camino", "--key", "order-1"]
            assert run("worker", enqueue, "enqueue").wait() == 0
            cluster.wait_final(1)
            assert cluster.states() == {State.DELIVERED: 1}
            [entry] = cluster.assert_ledger_agrees()
            assert (entry.phone, entry.text) == ("5551402211", "Señal: su pedido va en camino")

            checks = itertools.count(1)

            def health(service: str) -> int | None:
                kind, *check = SERVICES[service]["healthcheck"]["test"]
                assert kind == "CMD"
                return run(service, check, f"health-{service}-{next(checks)}").wait()

            for service in ("worker", "beat"):
                wait_until(lambda: health(service) == 0, what="a healthy process")  # noqa: B023
            redis_server.sigkill()
            # None is ill for the broker's sake: restarting them would not help.
            assert (health("worker"), health("beat")) == (0, 0)
            for process in [*workers, beat]:
                process.sigterm()
            grace = float(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
            assert [process.wait(grace) for process in workers] == [0] * len(workers)
            assert health("worker") == 1
