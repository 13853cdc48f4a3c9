"""docs/metrics.md, the dashboard and the alert rules name metrics that there are, and the page names all of them."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.processes import ROOT
from tests.programs import PROMTOOL, MissingProgramError, find, in_ci
from worker.operator.metrics.catalogue import METRICS, Metric

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
RULES = ROOT / "ops" / "alert-rules.yml"
DASHBOARD = json.loads((ROOT / "ops" / "grafana-dashboard.json").read_text())
PREFIX = "smsclick_"


def series(metric: Metric) -> set[str]:
    """The names that a query can use."""
    if metric.kind == "histogram":
        return {f"{metric.name}_{part}" for part in ("bucket", "count", "sum")}
    return {metric.name}


ALL_SERIES = {name for metric in METRICS.values() for name in series(metric)}


def expressions() -> list[str]:
    rules = yaml.safe_load(RULES.read_text())
    found = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    for panel in DASHBOARD["panels"]:
        found += [target["expr"] for target in panel.get("targets", ())]
    return found


def unknown(expression: str) -> set[str]:
    """What an expression names that does not exist: metrics, and labels of metrics."""
    names = set(re.findall(rf"\b{PREFIX}\w+", expression))
    odd = names - ALL_SERIES
    for name, selector in re.findall(rf"({PREFIX}\w+)\{{([^}}]*)\}}", expression):
        metric = next((each for each in METRICS.values() if name in series(each)), None)
        labels = set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", selector))
        if metric is not None:
            odd |= {f"{name}.{label}" for label in labels - set(metric.labels)}
    return odd


def test_the_page_documents_every_metric_as_it_is() -> None:
    rows = re.findall(r"^\| `(smsclick_\w+)` \| (\w+) \| ([^|]*)\| ([^|]+) \|$", PAGE, re.MULTILINE)
    documented = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in rows}
    assert documented == {metric.name: (metric.kind, metric.labels) for metric in METRICS.values()}


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_dashboard_and_rules_name_only_what_there_is(expression: str) -> None:
    assert unknown(expression) == set()


def test_a_name_that_does_not_exist_is_found() -> None:
    expression = 'rate(smsclick_gone_total[5m]) + smsclick_hold{why="x"} + smsclick_call_seconds'
    assert unknown(expression) == {"smsclick_gone_total", "smsclick_hold.why", "smsclick_call_seconds"}


def test_the_dashboard_shows_every_metric_but_the_version() -> None:
    shown = {name for text in expressions() for name in re.findall(rf"{PREFIX}\w+", text)}
    missing = {metric.name for metric in METRICS.values() if not series(metric) & shown}
    assert missing == {"smsclick_build_info"}


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in METRICS.values():
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.name.endswith("_info") == (metric.kind == "info"), metric.name
        if metric.kind == "histogram":
            assert metric.name.endswith("_seconds"), metric.name


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    covered: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at: dict[str, Any] = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & covered, panel["title"]
        covered |= cells


def test_promtool_accepts_the_rules() -> None:
    try:
        promtool = find(PROMTOOL)["promtool"]
    except MissingProgramError as error:
        if in_ci():
            raise
        pytest.skip(str(error))
    done = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
