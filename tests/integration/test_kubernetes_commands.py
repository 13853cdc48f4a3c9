"""The commands and probes of ops/kubernetes, each run as it stands there: together they deliver a message."""

from __future__ import annotations

import itertools
import urllib.request
from typing import TYPE_CHECKING, Any

from smsclick.contract import State
from tests.acceptance import Cluster
from tests.kubernetes import PODS, container, environment
from tests.processes import wait_until
from tests.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.processes import Process

KEY = "kubernetes-key"


class Machine:
    """Runs containers' commands as real processes; of this machine are only the folder of secrets and the ports."""

    def __init__(self, start: StartProcess, secrets: Path, further: dict[str, str]) -> None:
        self._start = start
        self._secrets = str(secrets)
        self._further = further
        self._numbers = itertools.count()
        self._ports = {"http": free_port(), "metrics": free_port()}

    def run(self, role: str, command: list[str]) -> Process:
        given = {name: each.replace("/run/secrets/smsclick", self._secrets) for name, each in environment(role).items()}
        given["SMSCLICK_WEB_BIND"] = given["SMSCLICK_WEB_BIND"].replace("8080", str(self._ports["http"]))
        if command[:2] == ["smsclick", "metrics"]:
            command = [*command, "--port", str(self._ports["metrics"])]
        return self._start(command, given | self._further, name=f"{role}-{next(self._numbers)}")

    def passes(self, role: str, probe: dict[str, Any]) -> bool:
        """What kubelet does."""
        if "exec" in probe:
            return self.run(role, probe["exec"]["command"]).wait(60) == 0
        address = f"http://127.0.0.1:{self._ports[probe['httpGet']['port']]}{probe['httpGet']['path']}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def test_the_pods_own_commands_deliver_a_message_and_their_probes_pass(
    postgres_url: str, redis_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    for name, secret in {"api_key": KEY, "database_url": postgres_url, "broker_url": redis_url}.items():
        (tmp_path / name).write_text(f"{secret}\n")
    with Cluster(start_process, postgres_url, redis_url, api_key=KEY) as cluster:
        hurry = {name: cluster.env[name] for name in ("SMSCLICK_BASE_URL", "SMSCLICK_POLL_SECONDS")}
        machine = Machine(start_process, tmp_path, hurry)
        assert machine.run("migrate", container("migrate")["command"]).wait(120) == 0
        running = {role: machine.run(role, container(role)["command"]) for role in PODS if role != "migrate"}
        enqueue = ["smsclick", "enqueue", "55 5140 2211", "Señal: su pedido va en camino", "--key", "order-1"]
        assert machine.run("worker", enqueue).wait(120) == 0
        cluster.wait_final(1)
        assert cluster.states() == {State.DELIVERED: 1}
        for role in running:
            probes = [probe for name, probe in container(role).items() if name.endswith("Probe")]
            assert probes
            for probe in probes:
                wait_until(lambda: machine.passes(role, probe), 120, what=f"a probe of {role}")  # noqa: B023
        for process in running.values():
            process.sigterm()
        for role, process in running.items():
            assert process.wait(PODS[role]["spec"]["terminationGracePeriodSeconds"]) == 0
        assert not machine.passes("worker", container("worker")["livenessProbe"])
