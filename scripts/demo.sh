#!/bin/bash
# demo.sh [--keep]: a service on a fresh home, real DICOM files imported, what is stored, the change
# feed, the three Delta tables made from it, and a lakehouse that asks them in SQL. Called by ./dev
# demo, which has built the program. --keep leaves the service running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=build/dicomlake
python=.cache/venv/bin/python
start_seconds=30
home=$(mktemp -d "${TMPDIR:-/tmp}/dicomlake-demo.XXXXXX")
service=
keep=
[ "${1:-}" != --keep ] || keep=yes

studies="SELECT studyInstanceUid, studyDate, seriesCount, instanceCount FROM study ORDER BY instanceCount DESC, studyInstanceUid"
joined="SELECT i.modality, count(DISTINCT t.studyInstanceUid) AS studies, count(DISTINCT s.seriesInstanceUid) AS series,
  count(*) AS instances FROM instance i JOIN series s USING (seriesInstanceUid)
  JOIN study t ON t.studyInstanceUid = i.studyInstanceUid GROUP BY ALL ORDER BY instances DESC, modality LIMIT 8"

stop() {
    if [ -n "$service" ] && kill -0 "$service" 2>/dev/null; then
        kill -TERM "$service"
        wait "$service" || true
    fi
    rm -rf "$home" "$home.out" "$home.log"
}
trap stop EXIT

# Shows a command as it can be typed, and runs it.
step() {
    local word line=
    for word in "$@"; do
        case $word in *[!A-Za-z0-9_./:=-]*) word="\"$word\"" ;; esac
        line="$line $word"
    done
    printf '\n$%s\n' "$line"
    "$@"
}
title() { printf '\n--- %s\n' "$*"; }

title "A DICOM service on a fresh folder; real files go in: those that pydicom is tested with, some damaged on purpose"
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
files=${files#"$PWD"/}
# Exit code 3 says that not all of them were taken.
step "$program" import --home "$home" "$files" || [ $? -eq 3 ]
title "What is stored, and the feed that tells every change"
step "$program" search --home "$home" studies --limit 5
step "$program" feed --home "$home" --limit 5

title "The feed as three Delta tables: instance, series, study"
step "$program" sync --home "$home"

title "The tables are plain Delta Lake: DuckDB reads the folders, nothing of dicomlake is in its way"
"$python" scripts/demo_tables.py "$home/tables/dicom"

title "A second sync has nothing to do, and writes nothing"
step "$program" sync --home "$home"

title "Delete the largest study: the next sync takes its rows away, in the time of the changes alone"
study=$("$program" feed --home "$home" --json | "$python" -c '
import collections, json, sys
print(collections.Counter(json.loads(line)["studyInstanceUid"] for line in sys.stdin).most_common(1)[0][0])')
step "$program" delete --home "$home" "$study" --yes
step "$program" sync --home "$home"
step "$program" sql --home "$home" --rows 4 "$studies"

step "$program" table history study --home "$home"

title "Index, files, feed and tables agree"
step "$program" verify --home "$home"

title "A lakehouse: the tables and the files under names of one's own, by shortcuts"
step "$program" lakehouse create demo --home "$home" --description "what analysts ask"
for table in instance series study; do
    step "$program" shortcut add demo --home "$home" --to tables --name "$table" --connection home: --path "/dicom/$table"
done
step "$program" shortcut add demo --home "$home" --to files --name contoso-dicom-files --connection home: --path /dicom/AHDS
step "$program" lakehouse show demo study --home "$home"

title "SQL over the three tables, at one state of the archive; Microsoft's article asks the second"
step "$program" sql --home "$home" "$joined"
step "$program" sql --home "$home" --rows 4 "SELECT sopInstanceUid, filePath FROM instance"
title "From a row to its file"
step "$program" sql --home "$home" --format jsonl \
    "SELECT dicom_value(metadata, 'Rows') AS rows, file_url(filePath) AS url FROM instance WHERE modality = 'CT' LIMIT 2"

if [ -n "$keep" ]; then
    trap - EXIT
    printf '\nStill running: %s (process %s, home %s); stop it with: kill %s\n' \
        "$address" "$service" "$home" "$service"
else
    printf '\nThe service stops and its home is removed. With your own files: %s import --home ~/lake PATH; README.md goes on there.\n' \
        "$program"
fi
