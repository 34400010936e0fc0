"""tools/run_tests.py and tools/tap.py: nothing that failed, or never ran, may pass for good."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import run_tests  # noqa: E402
import tap  # noqa: E402


def outcomes(text, code=0):
    return [case.outcome for case in tap.parse(text, code)]


def test_tap_cases_are_counted_by_outcome():
    text = "# note\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no disk\nnot ok 4 - d # TODO later\n1..4\n"
    cases = tap.parse(text, 1)
    assert [(c.name, c.outcome) for c in cases] == [
        ("a", "passed"),
        ("b", "failed"),
        ("c", "skipped"),
        ("d", "skipped"),
    ]
    assert cases[0].detail == "# note" and cases[2].detail == "no disk"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", 0, "ran no case"),
        ("1..0\n", 0, "ran no case"),
        ("ok 1 - a\n", 0, "without its plan"),
        ("ok 1 - a\n1..2\n", 0, "planned 2 cases and ran 1"),
        ("ok 1 - a\n1..1\n", -11, "exit code -11"),
        ("ok 1 - a\n1..1\n", "none: still running after 3 s", "still running"),
        ("okay\n1..0\n", 0, "ran no case"),
    ],
)
def test_a_program_that_did_not_do_it_all_has_failed(text, code, words):
    last = tap.parse(text, code)[-1]
    assert last.outcome == "failed" and words in last.detail


def test_a_failed_case_explains_the_exit_code():
    assert outcomes("not ok 1 - a\n1..1\n", 1) == ["failed"]


@pytest.mark.parametrize(
    ("script", "protocol", "want"),
    [
        ("echo 'ok 1 - a'; echo 1..1", "tap", ["passed"]),
        ("echo 'ok 1 - a'; echo 1..1; exit 3", "tap", ["passed", "failed"]),
        ("echo 'ok 1 - a'; echo 1..1; sleep 600", "tap", ["passed", "failed"]),
        ("echo 'ok 1 - a'; echo 1..1; kill -SEGV $$", "tap", ["passed", "failed"]),
        ("exit 0", "exitcode", ["passed"]),
        ("exit 77", "exitcode", ["skipped"]),
        ("exit 1", "exitcode", ["failed"]),
    ],
)
def test_a_program_is_run_and_judged(script, protocol, want):
    timeout = 5 if "sleep" in script else 60
    test = {"cmd": ["bash", "-c", script], "protocol": protocol, "timeout": timeout, "env": {"A": "b"}}
    cases, seconds = run_tests.run_program(test, 1, {})
    assert [case.outcome for case in cases] == want
    assert seconds < 300


def test_what_a_program_complains_of_is_shown():
    test = {"cmd": ["bash", "-c", "echo leaked >&2; echo 'ok 1 - a'; echo 1..1; exit 1"]}
    cases, _ = run_tests.run_program({**test, "protocol": "tap"}, 1, {})
    assert "leaked" in cases[-1].detail


def test_junit_is_read(tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 1 == 2\n"
        "def test_skipped(): pytest.skip('no disk')\n"
        "@pytest.fixture\n"
        "def broken(): raise OSError\n"
        "def test_error(broken): pass\n"
        "@pytest.fixture\n"
        "def ends_badly():\n"
        "    yield\n"
        "    assert 3 == 4\n"
        "def test_end(ends_badly): pass\n"
        "def test_both(ends_badly): assert 1 == 2\n"
    )
    junit = tmp_path / "junit.xml"
    words = [sys.executable, "-m", "pytest", "-q", f"--junitxml={junit}", "-p", "no:cacheprovider"]
    subprocess.run([*words, str(tmp_path)], capture_output=True, cwd=tmp_path)
    cases = [case for _, case in run_tests.read_junit(junit)]
    assert len(cases) == 6
    assert "1 == 2" in cases[-1].detail and "3 == 4" in cases[-1].detail
    assert {case.name: case.outcome for case in cases} == {
        "test_end": "failed",
        "test_both": "failed",
        "test_good": "passed",
        "test_bad": "failed",
        "test_skipped": "skipped",
        "test_error": "failed",
    }


@pytest.fixture
def no_work(monkeypatch):
    """The runner with all its groups empty."""
    monkeypatch.setattr(run_tests, "build_program", lambda: None)
    monkeypatch.setattr(run_tests, "build_sanitized", lambda jobs: None)
    for name in ("run_lint", "run_programs", "run_pytest"):
        monkeypatch.setattr(run_tests, name, lambda *arguments: None)
    return monkeypatch


def last_line(capsys):
    return capsys.readouterr().out.splitlines()[-1]


def test_a_run_without_any_case_fails(no_work, capsys):
    assert run_tests.main([]) == 1
    assert last_line(capsys) == "0 passed, 0 failed, 0 skipped"


def test_the_last_line_counts_and_the_exit_code_judges(no_work, capsys):
    def some(outcome):
        return lambda totals, *more: totals.add("g", tap.Case("c", outcome, "why"))

    no_work.setattr(run_tests, "run_lint", some("passed"))
    assert run_tests.main([]) == 0
    assert last_line(capsys) == "1 passed, 0 failed, 0 skipped"
    no_work.setattr(run_tests, "run_pytest", some("skipped"))
    assert run_tests.main([]) == 0
    assert last_line(capsys) == "1 passed, 0 failed, 1 skipped"
    no_work.setattr(run_tests, "run_programs", some("failed"))
    assert run_tests.main([]) == 1
    assert last_line(capsys) == "1 passed, 2 failed, 1 skipped"


def test_a_build_that_fails_is_a_failure(no_work, capsys):
    no_work.setattr(run_tests, "build_program", lambda: "error: x")
    assert run_tests.main([]) == 1
    assert last_line(capsys) == "0 passed, 1 failed, 0 skipped"


def test_a_runner_that_breaks_is_a_failure(no_work, capsys):
    def breaks(*arguments):
        raise OSError("no disk")

    no_work.setattr(run_tests, "run_programs", breaks)
    assert run_tests.main([]) == 1
    assert last_line(capsys) == "0 passed, 1 failed, 0 skipped"


def test_pytest_that_ends_badly_is_a_failure(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(run_tests, "CACHE", tmp_path)
    monkeypatch.setattr(run_tests, "pytest_command", lambda *a: ["bash", "-c", "exit 4"])
    totals = run_tests.Totals()
    run_tests.run_pytest(totals, run_tests.argparse.Namespace(pattern=None, all=False), 1, "p")
    assert (totals.passed, totals.failed) == (0, 1)


@pytest.mark.parametrize(
    ("pattern", "want"),
    [
        (None, ["tests/tools", "tests/integration"]),
        ("store", ["-k", "store", "tests/tools", "tests/integration"]),
        ("tests/tools/test_x.py::test_y", ["tests/tools/test_x.py::test_y"]),
        ("tests/elsewhere", None),
        ("unit/store", None),
        ("asan/", None),
        ("lint/", None),
    ],
)
def test_what_pytest_is_asked_for(pattern, want):
    arguments = run_tests.argparse.Namespace(pattern=pattern, all=False)
    folders = ["tests/tools", "tests/integration"]
    words = run_tests.pytest_command(arguments, "j", 2, folders)
    assert (words and words[words.index("--dist=loadfile") + 1 :]) == want


def test_the_exit_code_when_run_as_a_program():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "run_tests.py"), "lint/no-such-check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "0 passed, 0 failed, 0 skipped"


# ---- replaying a fuzz corpus ----

TARGET = """
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size > 0 && bytes[0] == 'X') {
        abort();
    }
    return 0;
}
"""


def test_a_corpus_is_replayed_and_a_finding_fails(tmp_path):
    (tmp_path / "target.c").write_text(TARGET)
    program = tmp_path / "replay"
    subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror", "-o", program, tmp_path / "target.c",
         ROOT / "fuzz" / "replay.c"],
        check=True,
    )  # fmt: skip
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a").write_bytes(b"one")
    (corpus / "b").write_bytes(b"")

    def replay(*paths):
        done = subprocess.run([program, *paths], capture_output=True, text=True)
        return outcomes(done.stdout, done.returncode)

    assert replay(corpus) == ["passed"] * 3
    assert replay(corpus, corpus / "a") == ["passed"] * 4
    assert replay(tmp_path / "nothing") == ["passed", "failed"]
    (corpus / "c").write_bytes(b"X")
    assert replay(corpus) == ["passed", "passed", "passed", "failed"]
