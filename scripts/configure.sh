#!/bin/bash
# configure.sh FOLDER [MESON OPTION...]: sets a build folder up, or again when modules, tests or fuzz
# targets came or went since (Meson itself looks only at the build files it knows). Quiet when fine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=$1
shift
parts=$(find src tests/unit fuzz bench \( -name meson.build -o -name 'fuzz_*.c' \) | LC_ALL=C sort)
mkdir -p .cache
log=.cache/configure-$(basename "$folder").log
if [ ! -f "$folder/build.ninja" ]; then
    words=("$@")
elif [ "$(cat "$folder/parts" 2>/dev/null)" != "$parts" ]; then
    words=(--reconfigure)
else
    exit 0
fi
if ! meson setup "$folder" "${words[@]}" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    exit 1
fi
printf '%s\n' "$parts" >"$folder/parts"
