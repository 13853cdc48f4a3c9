"""docker-compose.yml as Compose reads it, for tests on machines without a container engine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from dotenv import dotenv_values

from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COMPOSE = ROOT / "docker-compose.yml"
DOCUMENT: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = ("migrate", "worker", "beat", "web", "metrics")


def first_lines() -> list[str]:
    """The commands at the top of the file, without their comments."""
    head = COMPOSE.read_text().partition("\nname:")[0]
    return [line.partition("  #")[0].strip() for line in re.findall(r"^# {5}(.+)$", head, re.MULTILINE)]


def dot_env(file: Path) -> dict[str, str]:
    """What a file `.env` says, without the quotes around a value."""
    return {name: value for name, value in dotenv_values(file, interpolate=False).items() if value is not None}


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """A value with its `${NAME}`, `${NAME:-default}` and `${NAME:?must be set}` filled in."""
    return re.sub(
        r"\$\{(\w+)(?::([-?])([^}]*))?\}",
        lambda match: variables[match[1]] if match[2] != "-" else variables.get(match[1]) or match[3],
        text,
    )


def container_environment(service: str, variables: Mapping[str, str]) -> dict[str, str]:
    """A container's environment; `variables` are those of the shell and of `.env`.

    A name without a value takes the variable of that name, and is not set in the container where there is none.
    """
    found: dict[str, str] = {}
    for name, value in SERVICES[service]["environment"].items():
        if value is not None:
            found[name] = interpolated(value, variables)
        elif name in variables:
            found[name] = variables[name]
    return found
