#!/usr/bin/env python3
"""Builds and runs all tests, and ends with one line: `N passed, N failed, N skipped`.

Groups, in this order; the words are what PATTERN is compared with:
  lint/layers lint/banned lint/headers   the quick checks of tools/
  unit/NAME                              each test program of the build in build/
  asan/NAME                              the same, built with ASan and UBSan in build-asan/
  tests/tools tests/integration ...      pytest, against the program in build/, and with --all
                                         tests/integration against that in build-asan/

Usage: run_tests.py [--all] [--jobs N] [PATTERN]
  --all      also what takes long (the pytest marker `slow`)
  --jobs N   how many run at a time; by default as there are processors, at most 3
  PATTERN    only groups whose name holds it; a path below tests/, or what pytest's -k takes
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

import check_banned
import check_headers
import check_layers
import tap

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD, ASAN, CACHE = ROOT / "build", ROOT / "build-asan", ROOT / ".cache"
ASAN_OPTIONS = ["-Db_sanitize=address,undefined", "-Doptimization=1", "-Ddebug=true"]
ASAN_SLOWER = 5  # times that a test's own time limit is multiplied with
LEAST_SECONDS = 300  # of such a limit: it is for what hangs, and a busy machine is slow
PYTEST_FOLDERS = ["tests/tools", "tests/integration", "tests/conformance"]
PYTEST_SECONDS = 4 * 3600
SANITIZER_SETTINGS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


class Totals:
    """Counts cases and says at once what failed."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.problems = []

    def add(self, group, case):
        setattr(self, case.outcome, getattr(self, case.outcome) + 1)
        if case.outcome == "failed":
            self.problems.append(f"{group}: {case.name}")
            say(f"FAILED {group}: {case.name}")
            for line in case.detail.splitlines()[-60:]:
                print("    " + line)
        elif case.outcome == "skipped":
            say(f"skipped {group}: {case.name}: {case.detail}")

    def add_all(self, group, cases, seconds):
        for case in cases:
            self.add(group, case)
        failed = sum(case.outcome == "failed" for case in cases)
        say(f"{group}: {len(cases)} cases, {failed} failed, {seconds:.1f} s")


def say(text):
    print(text, flush=True)


# ---- the quick checks ----


def run_lint(totals, pattern):
    for name, check in (("layers", check_layers), ("banned", check_banned), ("headers", check_headers)):
        group = f"lint/{name}"
        if pattern and pattern not in group:
            continue
        begin = time.monotonic()
        try:
            findings = check.check_tree(ROOT)
        except (check_layers.BadTable, FileNotFoundError) as problem:
            findings = [str(problem)]
        outcome = "failed" if findings else "passed"
        case = tap.Case(f"tools/check_{name}.py", outcome, "\n".join(findings))
        totals.add_all(group, [case], time.monotonic() - begin)


# ---- builds and their test programs ----


def run_logged(command, log):
    """Runs it; on failure the end of what it said, else None."""
    with open(log, "wb") as out:
        done = subprocess.run(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        return None
    return "\n".join(pathlib.Path(log).read_text(errors="replace").splitlines()[-40:])


def build_program():
    """The build that everything else uses; build/dicomlake is the program."""
    CACHE.mkdir(exist_ok=True)
    return run_logged(["./dev", "build"], CACHE / "build.log")


def build_sanitized(jobs):
    """The same with ASan and UBSan; with them gcc warns of what is not so."""
    log = CACHE / "build-asan.log"
    problem = run_logged(["scripts/configure.sh", ASAN.name, *ASAN_OPTIONS], log)
    if problem:
        return problem
    return run_logged(["ninja", "--quiet", "-C", str(ASAN), f"-j{jobs}"], log)


def list_programs(folder):
    """The tests of a build folder as Meson knows them."""
    done = subprocess.run(
        ["meson", "introspect", "--tests", str(folder)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def run_program(test, slower, environment):
    """(cases, seconds) of one test program."""
    begin = time.monotonic()
    process = subprocess.Popen(
        test["cmd"],
        cwd=test.get("workdir") or ROOT,
        env={**os.environ, **test.get("env", {}), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    limit = test["timeout"] * slower if test.get("timeout") else None
    try:
        out, err = process.communicate(timeout=limit)
        ending = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the group is the program's own
        out, err = process.communicate()
        ending = f"none: still running after {limit} s"
    if test.get("protocol") == "tap":
        cases = tap.parse(out, ending)
    else:
        outcome = {0: "passed", 77: "skipped"}.get(ending, "failed")
        cases = [tap.Case("exit code", outcome, f"{ending}\n{out[-4000:]}")]
    if err and cases[-1].outcome == "failed":
        cases[-1].detail += "\n" + err[-8000:]
    return cases, time.monotonic() - begin


def run_programs(totals, folder, word, pattern, jobs):
    slower, environment = (ASAN_SLOWER, SANITIZER_SETTINGS) if word == "asan" else (1, {})
    chosen = [
        {**t, "timeout": max(t["timeout"], LEAST_SECONDS)}
        for t in list_programs(folder)
        if not pattern or pattern in f"{word}/{t['name']}"
    ]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(run_program, t, slower, environment): t["name"] for t in chosen}
        for done in concurrent.futures.as_completed(waiting):
            totals.add_all(f"{word}/{waiting[done]}", *done.result())


# ---- pytest ----


def read_case(element):
    """The case of one junit element."""
    children = {child.tag: child for child in element}
    bad = children.get("failure", children.get("error"))
    skip = children.get("skipped")
    case = tap.Case(element.get("name"), "passed", seconds=float(element.get("time") or 0))
    if bad is not None:
        case.outcome, case.detail = "failed", bad.text or bad.get("message") or ""
    elif skip is not None:
        case.outcome, case.detail = "skipped", skip.get("message") or "no reason given"
    return case


def read_junit(path):
    """[(group, case)] of a junit file; a test that fails twice, at its end too, is one case."""
    cases = {}
    for element in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        key = (element.get("classname", "").replace(".", "/"), element.get("name"))
        case, before = read_case(element), cases.get(key)
        if before and before.outcome == "failed":
            before.detail += "\n" + case.detail
            before.seconds += case.seconds
        else:
            cases[key] = case
    return [(group, case) for (group, _), case in cases.items()]


def pytest_command(arguments, junit, jobs, folders):
    """The words of a pytest run, or None when the pattern is for other groups."""
    words = [sys.executable, "-m", "pytest", "-q", "--tb=short", f"--junitxml={junit}"]
    words += ["-c", "tests/pytest.ini", "-n", str(jobs), "--dist=loadfile"]
    words += ["-m", ""] if arguments.all else []
    pattern = arguments.pattern
    if pattern and pattern.startswith(("lint/", "unit/", "asan/")):
        return None
    if pattern and pattern.startswith("tests/"):
        chosen = [pattern] if any(pattern.startswith(folder) for folder in folders) else []
        return [*words, *chosen] if chosen else None
    folders = [folder for folder in folders if any((ROOT / folder).rglob("test_*.py"))]
    return [*words, *(["-k", pattern] if pattern else []), *folders] if folders else None


def run_pytest(totals, arguments, jobs, program, word="", folders=PYTEST_FOLDERS):
    """pytest against a program; `word` stands before the names of its groups."""
    junit, log = CACHE / f"{word}pytest.xml", CACHE / f"{word}pytest.log"
    junit.unlink(missing_ok=True)
    command = pytest_command(arguments, junit, jobs, folders)
    if command is None:
        return
    begin = time.monotonic()
    environment = {**os.environ, **(SANITIZER_SETTINGS if word else {}), "DICOMLAKE": str(program)}
    environment["NODE_PATH"] = str(CACHE / "npm" / "node_modules")
    with open(log, "wb") as out:
        try:
            ending = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, timeout=PYTEST_SECONDS,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            ending = f"none: still running after {PYTEST_SECONDS} s"
    results = read_junit(junit) if junit.exists() else []
    for group in sorted({group for group, _ in results}):
        cases = [case for other, case in results if other == group]
        totals.add_all(f"{word}{group}", cases, sum(case.seconds for case in cases))
    say(f"{word}pytest: {time.monotonic() - begin:.1f} s")
    nothing_chosen = ending == 5 and arguments.pattern  # the pattern was for other groups
    failed = any(case.outcome == "failed" for _, case in results)
    if ending != 0 and not nothing_chosen and not failed:
        detail = f"exit code {ending}\n" + log.read_text(errors="replace")[-4000:]
        totals.add(f"{word}pytest", tap.Case("the run as a whole", "failed", detail))


# ---- all of it ----


def build_case(totals, folder, problem):
    """A build that fails is a failed case; one that works is none."""
    if problem:
        totals.add("build", tap.Case(folder.name, "failed", problem))
    return problem is None


def run_all(arguments, totals):
    jobs = arguments.jobs or min(os.cpu_count() or 1, 3)
    pattern = arguments.pattern
    run_lint(totals, pattern)
    if pattern and pattern.startswith("lint/"):
        return
    say("building build/")
    if not build_case(totals, BUILD, build_program()):
        return
    run_programs(totals, BUILD, "unit", pattern, jobs)
    if not pattern or not pattern.startswith(("unit/", "tests/")):
        say("building build-asan/")
        if build_case(totals, ASAN, build_sanitized(jobs)):
            run_programs(totals, ASAN, "asan", pattern, jobs)
    run_pytest(totals, arguments, jobs, BUILD / "dicomlake")
    if arguments.all:
        program = ASAN / "src" / "cli" / "dicomlake"
        run_pytest(totals, arguments, jobs, program, "asan-", ["tests/integration"])


def main(words):
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("pattern", nargs="?")
    arguments = parser.parse_args(words)
    if arguments.help:
        print(__doc__.strip())
        return 0
    totals = Totals()
    begin = time.monotonic()
    try:
        run_all(arguments, totals)
    except (OSError, subprocess.SubprocessError, ValueError) as problem:
        totals.add("tests", tap.Case("the run as a whole", "failed", repr(problem)))
    for problem in totals.problems:
        say(f"failed: {problem}")
    say(f"{time.monotonic() - begin:.0f} s in all")
    say(f"{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped")
    return 1 if totals.failed or not totals.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
