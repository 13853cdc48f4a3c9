"""docs/fault-matrix.md names the tests that show what it says; this keeps it from naming tests that are not there."""

from __future__ import annotations

import ast
import re
from dataclasses import fields

import pytest

from smsclick.simulator import FaultKind, SimulatorSettings
from tests.chaos.mischief import KINDS
from tests.processes import ROOT

PAGE = (ROOT / "docs" / "fault-matrix.md").read_text(encoding="utf-8")
PROVIDER, PROCESSES = PAGE.split("## Our own processes")
HABITS = PROVIDER.split("## What a provider does beside its manual")[1]
OWN_COURSE = frozenset(
    {"api_key", "balance", "rules", "reply_text", "reply_seconds", "content_type", "seed"}
    | {"campaign_id", "campaign_name", "portfolio", "delivery_seconds", "delivery_spread", "reject_rate", "never_rate"}
    | {"reject_phones", "reject_suffixes", "reject_texts", "never_phones"}
)
"""Settings about what happens to a message, as the manual says, and not about how the provider reports it."""


def cells(part: str) -> list[list[str]]:
    lines = (line for line in part.splitlines() if line.startswith("|") and not line.startswith("| ---"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_test_that_the_matrix_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    defined = {
        node.name
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert len(named) > 30
    assert named - defined == set()


@pytest.mark.parametrize("kind", list(FaultKind), ids=lambda kind: kind.value)
def test_every_fault_of_the_simulator_has_an_outcome_at_each_of_the_providers_calls(kind: FaultKind) -> None:
    [row] = [row for row in cells(PROVIDER) if row[0] == f"`{kind.value}`"]
    assert len(row) == 5
    assert all(row)


@pytest.mark.parametrize("name", sorted({each.name for each in fields(SimulatorSettings)} - OWN_COURSE))
def test_every_habit_of_the_simulator_has_an_outcome(name: str) -> None:
    rows = [row for row in cells(HABITS)[1:] if f"`{name}`" in row[0]]
    assert rows != []
    assert all(all(row) and "`test_" in row[-1] for row in rows)


def test_the_matrix_has_a_row_for_everything_that_chaos_does_and_for_nothing_else() -> None:
    struck = {kind for row in cells(PROCESSES)[1:] for kind in re.findall(r"`(\w+)`", row[0])}
    assert struck == set(KINDS)


def test_every_row_of_the_matrix_says_what_shows_it() -> None:
    lacking = [row[0] for row in cells(PROCESSES)[1:] if "test_" not in row[-1] and row[-1] != "`make chaos`"]
    assert lacking == []
