#!/bin/bash
# demo.sh [--keep]: a service on a fresh home, real DICOM files imported, what is stored, the change
# feed, and the three Delta tables made from it, read by DuckDB. Called by ./dev demo, which has built
# the program. --keep leaves the service running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=build/dicomlake
python=.cache/venv/bin/python
start_seconds=30
home=$(mktemp -d "${TMPDIR:-/tmp}/dicomlake-demo.XXXXXX")
service=
keep=
[ "${1:-}" != --keep ] || keep=yes

stop() {
    if [ -n "$service" ] && kill -0 "$service" 2>/dev/null; then
        kill -TERM "$service"
        wait "$service" || true
    fi
    rm -rf "$home" "$home.out" "$home.log"
}
trap stop EXIT

step() { printf '\n$ %s\n' "$*"; "$@"; }
title() { printf '\n--- %s\n' "$*"; }

title "A DICOM service on a fresh folder; real files go in"
printf '$ %s serve --home %s --listen 127.0.0.1:0\n' "$program" "$home"
: >"$home.out" # there before anyone looks into it
"$program" serve --home "$home" --listen 127.0.0.1:0 >"$home.out" 2>"$home.log" &
service=$!
address=
for ((i = 0; i < start_seconds * 10; i++)); do
    address=$(sed -n 's/^listening on \(http.*\)$/\1/p' "$home.out")
    if [ -n "$address" ] && curl --silent --fail --output /dev/null "$address/health/check"; then
        break
    fi
    kill -0 "$service" 2>/dev/null || { cat "$home.log" >&2; exit 1; }
    sleep 0.1
done
[ -n "$address" ] || { echo "demo: the service did not answer in $start_seconds s" >&2; exit 1; }
echo "listening on $address"

files=$($python -c '
import pathlib, pydicom
print(pathlib.Path(pydicom.__file__).parent / "data" / "test_files")')
# Some of these files are damaged on purpose: exit code 3 says that not all of them were taken.
step "$program" import --home "$home" "$files" || [ $? -eq 3 ]
title "What is stored, and the feed that tells every change"
step "$program" search --home "$home" studies --limit 5
step "$program" feed --home "$home" --limit 5

title "The feed as three Delta tables: instance, series, study"
step "$program" sync --home "$home"

title "The tables are plain Delta Lake: DuckDB reads the folders, nothing of dicomlake is in its way"
"$python" scripts/demo_tables.py "$home/tables/dicom" queries
"$python" scripts/demo_tables.py "$home/tables/dicom" studies

title "A second sync has nothing to do, and writes nothing"
step "$program" sync --home "$home"

title "Delete the largest study: the next sync takes its rows away, in the time of the changes alone"
study=$("$program" feed --home "$home" --json | "$python" -c '
import collections, json, sys
print(collections.Counter(json.loads(line)["studyInstanceUid"] for line in sys.stdin).most_common(1)[0][0])')
step "$program" delete --home "$home" "$study" --yes
step "$program" sync --home "$home"
"$python" scripts/demo_tables.py "$home/tables/dicom" studies

title "Three versions at one watermark: each table says itself up to which change it reaches"
step "$program" table list --home "$home"
"$program" table list --home "$home" --json | "$python" scripts/demo_tables.py - versions
step "$program" table history study --home "$home"

title "Index, files, feed and tables agree"
step "$program" verify --home "$home"

if [ -n "$keep" ]; then
    trap - EXIT
    printf '\nStill running: %s (process %s, home %s); stop it with: kill %s\n' \
        "$address" "$service" "$home" "$service"
fi
