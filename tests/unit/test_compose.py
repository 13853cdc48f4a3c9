"""docker-compose.yml and Dockerfile, as far as they can be checked without a container engine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest
import yaml

from tests.processes import ROOT

COMPOSE = ROOT / "docker-compose.yml"
DOCUMENT: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = ("migrate", "worker", "beat")
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    """What the Dockerfile says after each `name`."""
    return re.findall(rf"^{name} +(.+)$", DOCKERFILE, re.MULTILINE)


def test_compose_file_follows_the_compose_specification() -> None:
    """check-jsonschema brings the specification's schema along."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", OURS)
def test_commands_are_programs_that_the_image_installs(service: str) -> None:
    programs = {point.name for point in entry_points(group="console_scripts")}
    commands = [SERVICES[service]["command"]]
    if "healthcheck" in SERVICES[service]:
        kind, *check = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        commands.append(check)
    for command in commands:
        assert isinstance(command, list)
        assert all(isinstance(word, str) for word in command)
        assert command[0] in programs


@pytest.mark.parametrize("service", OURS)
def test_our_services_share_one_environment_and_read_the_key_from_a_file(service: str) -> None:
    environment = SERVICES[service]["environment"]
    assert environment["SMSCLICK_API_KEY_FILE"] == "/run/secrets/smsclick_api_key"
    assert "SMSCLICK_API_KEY" not in environment
    assert SERVICES[service]["secrets"] == ["smsclick_api_key"]
    assert environment["DATABASE_URL"].startswith("postgresql+psycopg://")
    assert "@postgres:5432/" in environment["DATABASE_URL"]
    assert environment["CELERY_BROKER_URL"] == "redis://redis:6379/0"


def test_nothing_is_reachable_from_outside() -> None:
    assert not [name for name, service in SERVICES.items() if "ports" in service]


def test_what_a_service_waits_for_exists_and_can_come_true() -> None:
    for service in SERVICES.values():
        for name, wish in service.get("depends_on", {}).items():
            assert name in SERVICES
            if wish["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]


def test_redis_never_evicts_and_remembers() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "yes"


def test_named_volumes_and_secrets_are_declared() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in DOCUMENT["volumes"]
        for secret in service.get("secrets", []):
            assert secret in DOCUMENT["secrets"]


def test_workers_have_time_to_finish_a_call_to_the_provider() -> None:
    """Connect and read timeouts of the contract's page are 5 and 30 s."""
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > 35


def test_the_dockerfile_copies_only_what_dockerignore_lets_through() -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {source for copy in instructions("COPY") for source in shlex.split(copy)[:-1]}
    assert copied == allowed


def test_the_image_runs_as_nobody_in_particular_with_commands_that_get_signals() -> None:
    assert instructions("USER") == ["10001"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    [command] = instructions("CMD")
    assert json.loads(command) == SERVICES["worker"]["command"]


def test_the_image_installs_only_what_is_pinned_by_hash() -> None:
    installs = [run for run in instructions("RUN") if "pip install" in run]
    assert installs
    assert all("--require-hashes" in run or "--no-deps" in run for run in installs)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-worker.lock", "requirements-servers.lock"])
def test_locks_pin_everything_by_hash_and_name_no_index(lock: str) -> None:
    lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    assert lines
    assert all(re.fullmatch(r"[a-z0-9.-]+==\S+( ; [^;]+?)?( +--hash=sha256:[0-9a-f]{64})+", line) for line in lines)


def test_the_image_has_the_versions_that_the_tests_ran_with() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9.-]+==\S+", (ROOT / lock).read_text(), re.MULTILINE))

    assert pins("requirements-worker.lock") <= pins("requirements.lock")
