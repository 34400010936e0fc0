#!/bin/bash
# Brings libduckdb.so and duckdb.h of one version to .cache/duckdb/VERSION/{lib,include}, through npm
# and pip, each checked by the hash that stands in third_party/duckdb/. A second run looks and leaves.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

from=third_party/duckdb
version=$(sed -n 's/^duckdb==\([0-9.]*\).*/\1/p' "$from/requirements.txt")
into=.cache/duckdb/$version
case $(uname -m) in
x86_64) package=linux-x64 ;;
aarch64) package=linux-arm64 ;;
*)
    echo "duckdb: there is no libduckdb for $(uname -m); see the option duckdb in meson_options.txt" >&2
    exit 1
    ;;
esac

stamp="$package $(cat "$from"/* | sha256sum | cut -d' ' -f1)"
if [ -f "$into/lib/libduckdb.so" ] && [ -f "$into/include/duckdb.h" ] &&
    [ "$(cat "$into/stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi
echo "duckdb: fetching libduckdb $version" >&2
mkdir -p "$into"
work=$(mktemp -d "$into/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The library: npm's package for this machine, checked against package-lock.json.
mkdir "$work/npm" "$work/sdist" "$work/lib" "$work/include"
cp "$from/package.json" "$from/package-lock.json" "$work/npm/"
(cd "$work/npm" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
npm_version=$(sed -n "s/.*node-bindings-$package\": \"\([0-9.]*\)-.*/\1/p" "$from/package.json")
if [ "$npm_version" != "$version" ]; then
    echo "duckdb: package.json has $npm_version, requirements.txt $version" >&2
    exit 1
fi
mv "$work/npm/node_modules/@duckdb/node-bindings-$package/libduckdb.so" "$work/lib/"

# The header: from the source archive. pip asks its build script what it is, hence the tools; nothing
# is built, so there need be no CMake.
/usr/bin/python3 -m venv "$work/venv"
pip() { "$work/venv/bin/python" -m pip "$@" --quiet --disable-pip-version-check --no-input >&2; }
grep -v '^#' "$from/requirements.lock" >"$work/all"
sed -n '/^duckdb==/,/[^\\]$/p' "$work/all" >"$work/header"
sed '/^duckdb==/,/[^\\]$/d' "$work/all" >"$work/tools"
pip install --no-deps --require-hashes -r "$work/tools"
SKBUILD_WHEEL_CMAKE=false pip download --no-deps --no-binary :all: --no-build-isolation \
    --require-hashes -r "$work/header" -d "$work/sdist"
tar -xzf "$work/sdist/duckdb-$version.tar.gz" -C "$work/sdist" --strip-components=5 \
    "duckdb-$version/external/duckdb/src/include/duckdb.h"
mv "$work/sdist/duckdb.h" "$work/include/"

rm -rf "$into/lib" "$into/include"
mv "$work/lib" "$work/include" "$into/"
printf '%s\n' "$stamp" >"$into/stamp"
