#!/bin/bash
# Writes each requirements*.lock from its requirements*.txt: every package that is needed, with its
# version and hashes. Run it after changing one of them, and commit both.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
/usr/bin/python3 -m venv "$tools/venv"
"$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2
for list in tests/requirements.txt tests/requirements-all.txt third_party/duckdb/requirements.txt; do
    cp "${list%.txt}.lock" "$tools/lock" 2>/dev/null || true # what is there stays at its version
    "$tools/venv/bin/pip-compile" --quiet --generate-hashes --allow-unsafe --no-header \
        --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
        --strip-extras --output-file "$tools/lock" "$list"
    {
        echo "# Written by scripts/lock-requirements.sh from $(basename "$list"): do not edit."
        cat "$tools/lock"
    } >"${list%.txt}.lock"
    rm "$tools/lock"
done
