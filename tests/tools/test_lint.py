"""tools/lint.py: format and tidy find what they are for, with this project's own settings."""

import json
import pathlib
import shutil
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import lint  # noqa: E402

GOOD = """\
int dl_x_sum(const int *values, int count);

int dl_x_sum(const int *values, int count)
{
    int sum = 0;
    for (int i = 0; i < count; i++) {
        sum += values[i];
    }
    return sum;
}
"""


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A tree of one source file with our settings; gives a function that writes it."""
    monkeypatch.setattr(lint, "ROOT", tmp_path)
    for name in (".clang-format", ".clang-tidy"):
        shutil.copy(ROOT / name, tmp_path)
    source = tmp_path / "src" / "x" / "x.c"
    source.parent.mkdir(parents=True)
    (tmp_path / "build").mkdir()
    entry = {"directory": str(tmp_path / "build"), "file": "../src/x/x.c"}
    entry["command"] = "cc -std=gnu17 -c ../src/x/x.c"
    (tmp_path / "build" / "compile_commands.json").write_text(json.dumps([entry]))

    def write(text):
        source.write_text(text)
        return [source]

    return write


def test_good_code_passes(tree):
    files = tree(GOOD)
    assert lint.sources("src/x") == files
    assert lint.sources("src/y") == []
    assert lint.check_format(files) == []
    assert lint.check_tidy(files) == []


def test_bad_form_is_found(tree):
    found = lint.check_format(tree(GOOD.replace("int sum = 0;", "int sum=0;")))
    assert found == ["src/x/x.c:5:12: not formatted: clang-format -i src/x/x.c"]


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        ("dl_x_sum", "x_sum", "readability-identifier-naming"),
        ("int sum = 0;", "int sum;\n    sum = 0;", "cppcoreguidelines-init-variables"),
        (" {\n        sum += values[i];\n    }", "\n        sum += values[i];", "braces"),
        ("int count)", "int a, int b, int c, int d, int e, int count)", "readability-function-size"),
        ("return sum;", "return dl_x_sum(values, sum);", "misc-no-recursion"),
        ("return sum;", "return sum +", "clang-diagnostic-error"),
    ],
)
def test_bad_code_is_found(tree, old, new, check):
    found = lint.check_tidy(tree(GOOD.replace(old, new)))
    assert found and all(line.startswith("src/x/x.c:") for line in found)
    assert any(check in line for line in found)


def test_a_deep_function_is_found(tree):
    deep = "".join("    " * (i + 1) + f"if (count > {i}) {{\n" for i in range(8))
    deep += "sum = 1;\n" + "}" * 8
    found = lint.check_tidy(tree(GOOD.replace("    return sum;", deep + "\n    return sum;")))
    assert any("readability-function-cognitive-complexity" in line for line in found)
