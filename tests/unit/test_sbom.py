"""`make sbom`: an SBOM with each package of the image's lock and its hashes, and the licences they declare."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def locked() -> list[tuple[Requirement, set[str]]]:
    """Each package of the lock with the hashes of its files."""
    entries = (ROOT / "requirements-worker.lock").read_text().replace("\\\n", " ").splitlines()
    return [
        (Requirement(entry.split("--hash")[0]), set(re.findall(r"sha256:(\w+)", entry)))
        for entry in entries
        if entry.strip() and not entry.startswith("#")
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sbom")
    ended = subprocess.run([ROOT / "scripts/sbom.sh", folder], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return folder


def test_the_sbom_has_each_locked_package_with_its_version_and_hashes(made: Path) -> None:
    bom = json.loads((made / "sbom.cdx.json").read_text())
    assert (bom["bomFormat"], bom["metadata"]["component"]["name"]) == ("CycloneDX", "smsclick")
    found = {
        (canonicalize_name(each["name"]), f"=={each['version']}"): {
            file["content"] for where in each["externalReferences"] for file in where.get("hashes", ())
        }
        for each in bom["components"]
    }
    assert found == {(canonicalize_name(each.name), str(each.specifier)): hashes for each, hashes in locked()}


def test_the_licences_of_all_packages_for_this_system_are_known(made: Path) -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (made / "licences.md").read_text().splitlines()[2:]
    ]
    licences = {canonicalize_name(name): licence for name, _version, licence, *_ in rows}
    wanted = {canonicalize_name(each.name) for each, _ in locked() if each.marker is None or each.marker.evaluate()}
    assert licences.keys() >= wanted
    assert not {name for name, licence in licences.items() if licence in {"", "UNKNOWN"}}
