#!/bin/bash
# Installs what building and testing need, only what is missing:
#   install-packages.sh build    Debian packages for building, and libduckdb (.cache/duckdb)
#   install-packages.sh python   also Python packages, among them the demo's DICOM files
#   install-packages.sh tests    also what tests need, and the npm test clients
#   install-packages.sh all      also what takes long: Spark (Java, pyspark, the jars of Delta Lake)
#   install-packages.sh list     prints all Debian packages
# Python packages go to .cache/venv, npm's to .cache/npm, jars to .cache/spark; a second run looks and leaves.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build_packages=(
    build-essential meson ninja-build pkg-config curl
    libmicrohttpd-dev libsqlite3-dev libzstd-dev libsnappy-dev libxxhash-dev libarchive-dev
    libcurl4-openssl-dev zlib1g-dev libssl-dev libutf8proc-dev libcmark-dev
    python3-venv tzdata
)
test_packages=(
    mount dcmtk dicom3tools orthanc orthanc-dicomweb
    clang clang-tidy clang-format libclang-rt-14-dev valgrind
)

spark_packages=()

say() { printf 'install: %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "need root or sudo for: $*"
        return 1
    fi
}

# Packages of the arguments that are not installed, one a line.
missing() {
    local package state
    for package in "$@"; do
        state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || printf '%s\n' "$package"
    done
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 \
        -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@"
}

policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d} # a test names another
policy_is_ours=
drop_policy() {
    if [ -n "$policy_is_ours" ]; then
        as_root rm -f "$policy"
        policy_is_ours=
    fi
}

# Some packages bring a service that starts by itself on a fixed port. Tests start their own, so
# nothing is started now; what runs already goes on.
forbid_services() {
    [ ! -e "$policy" ] || return 0
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    policy_is_ours=yes
    trap drop_policy EXIT
}

install_debian() {
    local wanted log
    if ! command -v apt-get >/dev/null; then
        say "this is not Debian; building needs what these packages hold: $*"
        return 0
    fi
    mapfile -t wanted < <(missing "$@")
    [ "${#wanted[@]}" -gt 0 ] || return 0
    say "installing ${wanted[*]}"
    mkdir -p .cache
    log=.cache/apt.log
    forbid_services
    if ! { apt update && apt install -y --no-install-recommends "${wanted[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "apt-get failed; all of it is in $log"
        return 1
    fi
    drop_policy
    case " ${wanted[*]} " in
    *" orthanc "*) as_root update-rc.d orthanc disable >/dev/null 2>&1 || true ;; # not at boot either
    esac
}

# A Python with venv; the system's own first, since what stands in PATH may lack it.
find_python() {
    local python
    for python in /usr/bin/python3 python3; do
        if "$python" -c 'import venv, ensurepip' 2>/dev/null; then
            command -v "$python"
            return 0
        fi
    done
    say "no python3 with venv"
    return 1
}

# One word for the content of the files.
stamp_of() { cat "$@" | sha256sum | cut -d' ' -f1; }

install_python() {
    local list=tests/requirements.lock venv=.cache/venv python stamp
    python=$(find_python)
    stamp="$("$python" -V 2>&1) $PWD $(stamp_of "$list")"
    if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ]; then
        return 0
    fi
    say "Python packages of $list, into .cache/venv; the first time takes minutes"
    rm -rf "$venv"
    mkdir -p .cache
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes -r "$list"
    printf '%s\n' "$stamp" >"$venv/stamp"
}

install_npm() {
    local from=tests/clients into=.cache/npm stamp
    if [ ! -f "$from/package-lock.json" ]; then
        return 0
    fi
    stamp="$(node --version) $(stamp_of "$from/package.json" "$from/package-lock.json")"
    if [ -d "$into/node_modules" ] && [ "$(cat "$into/stamp" 2>/dev/null)" = "$stamp" ]; then
        return 0
    fi
    say "npm packages of $from"
    rm -rf "$into"
    mkdir -p "$into"
    cp "$from/package.json" "$from/package-lock.json" "$into/"
    (cd "$into" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    printf '%s\n' "$stamp" >"$into/stamp"
}

# Maven checks what it brings against its registry's own sums; jars.sha256 says what it has to be.
install_spark() {
    local list=tests/requirements-all.lock venv=.cache/venv into=.cache/spark stamp
    stamp=$(stamp_of "$list" tests/spark/*)
    if [ -d "$into" ] && [ "$(cat "$venv/stamp-all" 2>/dev/null)" = "$stamp" ]; then
        return 0
    fi
    say "Spark, by $list and tests/spark/pom.xml"
    # pyspark comes as source: its build script needs setuptools, which is pinned as all is.
    sed -n '/^setuptools==/,/[^\\]$/p' "$list" >.cache/setuptools.lock
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
        --require-hashes -r .cache/setuptools.lock
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
        --no-build-isolation --use-pep517 --require-hashes -r "$list"
    rm -rf "$into"
    mvn --quiet --batch-mode --strict-checksums --file tests/spark/pom.xml \
        dependency:copy-dependencies -DincludeGroupIds=io.delta,io.unitycatalog \
        -DoutputDirectory="$PWD/$into"
    (cd "$into" && sha256sum --quiet --strict --check ../../tests/spark/jars.sha256)
    printf '%s\n' "$stamp" >"$venv/stamp-all"
}

if [ "${1:-}" != list ]; then # where they stand already, from elsewhere, they need no package
    command -v node >/dev/null || build_packages+=(nodejs)
    command -v npm >/dev/null || build_packages+=(npm)
    command -v java >/dev/null || spark_packages+=(default-jre-headless)
    command -v mvn >/dev/null || spark_packages+=(maven)
fi
case "${1:-}" in
build)
    install_debian "${build_packages[@]}"
    scripts/fetch-duckdb.sh
    ;;
python)
    install_debian "${build_packages[@]}"
    scripts/fetch-duckdb.sh
    install_python
    ;;
tests | all)
    [ "$1" = tests ] || test_packages+=("${spark_packages[@]}")
    install_debian "${build_packages[@]}" "${test_packages[@]}"
    scripts/fetch-duckdb.sh
    install_python
    install_npm
    [ "$1" = tests ] || install_spark
    ;;
list)
    printf '%s\n' "${build_packages[@]}" "${test_packages[@]}" nodejs npm default-jre-headless maven
    ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
