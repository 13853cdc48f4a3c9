"""ops/kubernetes, as far as it can be checked without a cluster: schemas, names, selectors, limits and probes."""

from __future__ import annotations

import kubernetes_validate
import pytest

from tests.compose import SERVICES
from tests.kubernetes import FOLDER, KUSTOMIZATION, OBJECTS, PODS, container, environment, of_kind

VERSIONS = ("1.27", kubernetes_validate.latest_version())
"""The oldest that the page names, and the newest that is known here."""


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_follows_the_schema_of_kubernetes(version: str) -> None:
    for each in OBJECTS:
        kubernetes_validate.validate(each, version, strict=True)


def test_the_kustomization_names_every_file_and_no_other() -> None:
    assert sorted(KUSTOMIZATION["resources"]) == sorted(
        path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml"
    )
    names = [(each["kind"], each["metadata"]["name"]) for each in OBJECTS]
    assert len(names) == len(set(names))
    assert {container(role)["image"] for role in PODS} == {each["name"] for each in KUSTOMIZATION["images"]}


@pytest.mark.parametrize("role", sorted(PODS))
def test_a_pod_has_few_rights_and_a_limit(role: str) -> None:
    spec, only = PODS[role]["spec"], container(role)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["resources"]["limits"]["memory"]
    assert only["resources"]["requests"].keys() == {"cpu", "memory"}
    # The image's user, and a place for what processes show of their health.
    dockerfile = (FOLDER.parents[1] / "Dockerfile").read_text()
    assert f"USER {spec['securityContext']['runAsUser']}" in dockerfile
    mounted = {each["mountPath"]: each["name"] for each in only["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert mounted.keys() == {"/tmp", "/run/secrets/smsclick"}  # noqa: S108 - a container's
    assert volumes[mounted["/tmp"]]["emptyDir"]["medium"] == "Memory"  # noqa: S108
    assert volumes[mounted["/run/secrets/smsclick"]]["secret"]["secretName"] == "smsclick"


@pytest.mark.parametrize("role", sorted(PODS))
def test_settings_are_known_and_secrets_are_files(role: str) -> None:
    # Those of compose are compared with the code.
    known = SERVICES["worker"]["environment"].keys()
    found = environment(role)
    assert {name for name in found if not name.endswith("_FILE")} <= known
    assert {"SMSCLICK_API_KEY", "DATABASE_URL", "CELERY_BROKER_URL"}.isdisjoint(found)
    files = {value for name, value in found.items() if name.endswith("_FILE")}
    page = (FOLDER / "README.md").read_text()
    assert all(f"--from-file={path.removeprefix('/run/secrets/smsclick/')}" in page for path in files)


@pytest.mark.parametrize("role", sorted(set(PODS) - {"migrate"}))
def test_a_pod_that_hangs_is_found_and_ended_within_two_minutes(role: str) -> None:
    probe = container(role)["livenessProbe"]
    failures = probe.get("failureThreshold", 3)
    # A process that hangs is found after 60 seconds at the latest (worker.threads.liveness).
    until = 60 * ("exec" in probe) + probe["periodSeconds"] * failures
    assert until <= 120


def test_everything_that_selects_finds_its_pods() -> None:
    labels = {role: template["metadata"]["labels"] for role, template in PODS.items()}

    def selected(wanted: dict[str, str]) -> set[str]:
        return {role for role, has in labels.items() if wanted.items() <= has.items()}

    for kind in ("Deployment", "PodDisruptionBudget"):
        for name, each in of_kind(kind).items():
            assert selected(each["spec"]["selector"]["matchLabels"]) == {name.removeprefix("smsclick-")}
    for name, each in of_kind("Service").items():
        [role] = selected(each["spec"]["selector"])
        assert name == f"smsclick-{role}"
        ports = {port["name"] for port in container(role)["ports"]}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports
    policies = of_kind("NetworkPolicy")
    assert selected(policies["smsclick"]["spec"]["podSelector"]["matchLabels"]) == set(PODS)
    for role in ("web", "metrics"):
        assert selected(policies[f"smsclick-{role}"]["spec"]["podSelector"]["matchLabels"]) == {role}
    [scaler] = of_kind("HorizontalPodAutoscaler").values()
    target = of_kind("Deployment")[scaler["spec"]["scaleTargetRef"]["name"]]
    assert "replicas" not in target["spec"]


def test_the_autoscaler_goes_by_a_documented_metric() -> None:
    [scaler] = of_kind("HorizontalPodAutoscaler").values()
    [metric] = scaler["spec"]["metrics"]
    page = (FOLDER.parents[1] / "docs/metrics.md").read_text()
    assert f"`{metric['external']['metric']['name']}`" in page
