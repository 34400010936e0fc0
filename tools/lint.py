#!/usr/bin/env python3
"""Formatting, clang-tidy and the checks of tools/; prints findings and a count a check.

Usage: lint.py [--quick] [PATTERN]
  --quick   without clang-tidy
  PATTERN   only files whose path holds it
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

import check_banned
import check_headers
import check_layers

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ["src", "tests/unit", "fuzz", "bench"]
SUFFIXES = (".c", ".cc", ".h")
FINDING = re.compile(r"^(.*?:\d+:\d+): (?:warning|error): (.*)$")


def sources(pattern):
    found = (p for folder in FOLDERS for p in (ROOT / folder).rglob("*") if p.suffix in SUFFIXES)
    return sorted(p for p in found if pattern in str(p.relative_to(ROOT)))


def check_format(files):
    """One finding a file."""
    findings = []
    for path in files:
        done = subprocess.run(
            ["clang-format", "--dry-run", "--Werror", str(path)], capture_output=True, text=True
        )
        if done.returncode != 0:
            first = next((m for m in map(FINDING.match, done.stderr.splitlines()) if m), None)
            where = shown(first.group(1)) if first else path.relative_to(ROOT)
            findings.append(f"{where}: not formatted: clang-format -i {os.path.relpath(path, ROOT)}")
    return findings


def shown(where):
    """`path:line:column` with the path as seen from the root."""
    path, line, column = where.rsplit(":", 2)
    return f"{os.path.relpath(os.path.join(ROOT / 'build', path), ROOT)}:{line}:{column}"


def tidy_file(path):
    # A process for each file: given several, clang-tidy 14 reports va_lists in all after the first
    # as not initialised (clang-analyzer-valist).
    done = subprocess.run(
        ["clang-tidy", "--quiet", "-p", str(ROOT / "build"),
         "--extra-arg=-Wno-unknown-warning-option", str(path)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    found = [m for m in map(FINDING.match, done.stdout.splitlines()) if m]
    lines = [f"{shown(m.group(1))}: {m.group(2)}" for m in found]
    if done.returncode != 0 and not lines:
        lines = [f"{path.relative_to(ROOT)}:1: clang-tidy: {done.stderr.strip()[-300:]}"]
    return lines


def check_tidy(files):
    """Findings of every file below src/ that the build knows."""
    database = json.loads((ROOT / "build" / "compile_commands.json").read_text())
    known = {(pathlib.Path(e["directory"]) / e["file"]).resolve() for e in database}
    chosen = [p for p in files if p.suffix != ".h" and p in known and "src" in p.parts]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [line for lines in pool.map(tidy_file, chosen) for line in lines]
    return sorted(set(found))


def main(words):
    quick = "--quick" in words
    words = [word for word in words if word != "--quick"]
    if len(words) > 1 or any(word.startswith("-") for word in words):
        print(__doc__.strip())
        return 2
    files = sources(words[0] if words else "")
    checks = {
        "format": lambda: check_format(files),
        "layers": lambda: check_layers.check_tree(ROOT),
        "banned": lambda: check_banned.check_tree(ROOT),
        "headers": lambda: check_headers.check_tree(ROOT),
        **({} if quick else {"tidy": lambda: check_tidy(files)}),
    }
    failed = False
    for name, check in checks.items():
        try:
            findings = check()
        except (check_layers.BadTable, FileNotFoundError) as problem:
            findings = [str(problem)]
        for finding in findings:
            print(finding)
        print(f"{name}: {len(findings)} findings", flush=True)
        failed = failed or bool(findings)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
