#!/bin/bash
# fuzz.sh [SECONDS] [TARGET]: builds the fuzz targets with libFuzzer, ASan and UBSan in build-fuzz/
# and runs each, or TARGET (fuzz/fuzz_TARGET.c), for SECONDS (60). What is new stays in
# .cache/fuzz/TARGET; an input that breaks something is left there as crash-*, and the run fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=60
if [[ "${1:-}" =~ ^[0-9]+$ ]]; then
    seconds=$1
    shift
fi
wanted=${1:-}

mkdir -p .cache/fuzz
CC=clang CXX=clang++ scripts/configure.sh build-fuzz --buildtype=debugoptimized -Dfuzz=true \
    -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link

targets=()
for file in fuzz/fuzz_*.c; do
    [ -e "$file" ] || continue
    name=$(basename "$file" .c)
    if [ -z "$wanted" ] || [ "fuzz_$wanted" = "$name" ]; then
        targets+=("$name")
    fi
done
if [ "${#targets[@]}" -eq 0 ]; then
    echo "fuzz: there is no target ${wanted:-at all} in fuzz/" >&2
    exit 1
fi
ninja --quiet -C build-fuzz "${targets[@]/#/fuzz/}"

failed=()
for name in "${targets[@]}"; do
    short=${name#fuzz_}
    work=.cache/fuzz/$short
    mkdir -p "$work"
    words=(-max_total_time="$seconds" -artifact_prefix="$work/" -print_final_stats=1 -timeout=10
        -rss_limit_mb=2048)
    [ ! -f "fuzz/$short.dict" ] || words+=(-dict="fuzz/$short.dict")
    echo "fuzz: $short for $seconds s"
    if UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
        "build-fuzz/fuzz/$name" "${words[@]}" "$work" "fuzz/corpus/$short" >"$work.log" 2>&1; then
        grep -E 'stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)' "$work.log"
    else
        tail -n 40 "$work.log"
        failed+=("$short")
    fi
done
echo "fuzz: ${#targets[@]} targets, ${#failed[@]} failed ${failed[*]:-}"
[ "${#failed[@]}" -eq 0 ]
