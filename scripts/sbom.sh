#!/bin/sh
# Writes what the image is made of into the folder of the first argument (dist): sbom.cdx.json, a CycloneDX SBOM of
# requirements-worker.lock with each package's hashes, and licences.md, the licences that those packages declare. Reads
# the lock and what is installed in .venv, and asks no network.
set -eu

cd "$(dirname "$0")/.."
out=${1:-dist}
bin=.venv/bin
lock=requirements-worker.lock
mkdir -p "$out"

# Without a dependency graph: a lock has none. The tool warns of that, which says nothing new.
PYTHONWARNINGS=ignore $bin/cyclonedx-py requirements $lock --pyproject pyproject.toml --output-reproducible \
    --output-format JSON --output-file "$out/sbom.cdx.json"

# shellcheck disable=SC2046 # one word for each package
$bin/pip-licenses --format markdown --with-urls --with-system --output-file "$out/licences.md" \
    --packages $(sed -nE 's/^([A-Za-z0-9._-]+)(\[[^]]*\])?==.*/\1/p' $lock) >/dev/null

echo "$out/sbom.cdx.json: $(grep -c '"bom-ref": "requirements' "$out/sbom.cdx.json") packages"
echo "$out/licences.md: $(grep -c '^|' "$out/licences.md" | awk '{ print $1 - 2 }') packages that are installed here"
