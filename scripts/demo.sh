#!/bin/bash
# demo.sh [--keep]: a service on a fresh home, real DICOM files imported, what is stored, and the
# change feed. Called by ./dev demo, which has built the program. --keep leaves the service running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=build/dicomlake
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

printf '$ %s serve --home %s --listen 127.0.0.1:0\n' "$program" "$home"
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

files=$(.cache/venv/bin/python -c '
import pathlib, pydicom
print(pathlib.Path(pydicom.__file__).parent / "data" / "test_files")')
# Some of these files are damaged on purpose: exit code 3 says that not all of them were taken.
step "$program" import --home "$home" "$files" || [ $? -eq 3 ]
step "$program" search --home "$home" studies
step "$program" feed --home "$home" --limit 5
step "$program" verify --home "$home"

if [ -n "$keep" ]; then
    trap - EXIT
    printf '\nStill running: %s (process %s, home %s); stop it with: kill %s\n' \
        "$address" "$service" "$home" "$service"
fi
