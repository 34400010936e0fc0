#!/usr/bin/env python3
"""Checks that every header below src/ compiles alone, and twice in a row.

Usage: check_headers.py [ROOT]; the compiler is $CC or cc. What scripts/fetch-duckdb.sh brought is found.
"""

import concurrent.futures
import os
import pathlib
import shlex
import subprocess
import sys

FLAGS = "-std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Wstrict-prototypes -Wundef -Werror -fsyntax-only"


def check_header(root, header, compiler):
    """What the compiler says, or None."""
    name = header.relative_to(root / "src")
    fetched = [f"-isystem{folder}" for folder in root.glob(".cache/duckdb/*/include")]
    done = subprocess.run(
        [*compiler, *FLAGS.split(), *fetched, "-I", str(root / "src"), "-x", "c", "-"],
        input=f'#include "{name}"\n#include "{name}"\n',
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return None
    first = next((line for line in done.stderr.splitlines() if "error" in line), "does not compile")
    return f"src/{name}:1: {first}"


def check_tree(root, compiler=None):
    """Findings as `path:line: what`."""
    root = pathlib.Path(root).resolve()
    compiler = compiler or shlex.split(os.environ.get("CC", "cc"))
    headers = sorted((root / "src").rglob("*.h"))
    if not headers:
        return ["src:1: no header found"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda header: check_header(root, header, compiler), headers)
        return [finding for finding in found if finding]


def main(arguments):
    findings = check_tree(arguments[0] if arguments else pathlib.Path(__file__).resolve().parents[1])
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
