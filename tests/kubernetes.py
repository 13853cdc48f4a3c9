"""`ops/kubernetes` as Kustomize puts it together, for tests on machines without a cluster."""

from __future__ import annotations

from typing import Any

import yaml

from tests.processes import ROOT

FOLDER = ROOT / "ops/kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())


def _all() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in KUSTOMIZATION["resources"]:
        found += yaml.safe_load_all((FOLDER / name).read_text())
    for each in found:
        each["metadata"]["namespace"] = KUSTOMIZATION["namespace"]
        for labels in KUSTOMIZATION["labels"]:
            template = each["spec"]["template"] if "template" in each.get("spec", {}) else None
            for target in (each, template) if template and labels["includeTemplates"] else (each,):
                target["metadata"].setdefault("labels", {}).update(labels["pairs"])
    return found


OBJECTS = _all()


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    """The objects of these kinds, by name."""
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] in kinds}


PODS: dict[str, dict[str, Any]] = {
    name.removeprefix("smsclick-"): each["spec"]["template"] for name, each in of_kind("Deployment", "Job").items()
}
"""The pods' templates by role: `worker`, `beat` and so on."""


def container(role: str) -> dict[str, Any]:
    """The one container of a role's pod."""
    [found] = PODS[role]["spec"]["containers"]
    made: dict[str, Any] = found
    return made


def environment(role: str) -> dict[str, str]:
    """What the container's environment has."""
    found: dict[str, str] = {}
    for source in container(role)["envFrom"]:
        found |= of_kind("ConfigMap")[source["configMapRef"]["name"]]["data"]
    return found
