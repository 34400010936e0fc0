"""What the documents say of the tree and of each other: files that they name, links, modules, figures."""

import functools
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOP = "src|tests|docs|tools|scripts|bench|fuzz|packaging|third_party|notebooks"
PATH = re.compile(rf"(?:{TOP})/[\w./-]*|[\w./-]+\.(?:c|h|cc|py|sh|md|tsv)")
# What is named and is not in the tree: somebody's choice of a name, or another program's.
MADE = re.compile(r".*\b(NAME|NNNN|fuzz_NAME)\b.*|duckdb\.h|a\.b\.c")


@functools.cache
def tree():
    """Every file of the project, and every folder."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = set(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")) - {""}
    return files, {str(p) for f in files for p in pathlib.Path(f).parents}


def pages():
    return sorted(f for f in tree()[0] if f.endswith(".md"))


def there(name):
    """Whether the tree has it, by its path or by the end of one."""
    files, folders = tree()
    known = folders if name.endswith("/") else files | folders
    name = name.strip("/")
    return name in known or any(f.endswith("/" + name) for f in known)


# The contract and the origins of test data speak of other projects' folders.
@pytest.mark.parametrize("page", [p for p in pages() if p not in ("docs/contract.md", "tests/data/README.md")])
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text()
    for word in re.findall(r"`([^`\s]+)`", text):
        if PATH.fullmatch(word) and not MADE.fullmatch(word):
            assert there(word), word


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page):
    for target, part in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", (ROOT / page).read_text()):
        if not re.match(r"https?:|mailto:", target):
            path = (ROOT / page).parent / target if target else ROOT / page
            assert path.exists(), target
            heads = re.findall(r"^#+ (.*)$", path.read_text(), re.M) if part else []
            assert not part or part in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads}


def test_each_module_has_its_line():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    modules = {f.split("/")[1] for f in tree()[0] if f.startswith("src/") and f.count("/") > 1}
    assert set(re.findall(r"^\| `(\w+)` \|", text.split("| module |")[1].split("\n\n")[0], re.M)) == modules
    layers = re.search(r"```layers\n(.*?)```", text, re.S).group(1)
    assert {m for line in layers.splitlines() for m in line.split(":")[0].split() if not m.isdigit()} == modules


def test_readme_lists_every_page():
    text = (ROOT / "README.md").read_text().split("## Where things are")[1]
    for page in pages():
        if re.fullmatch(r"docs/[^/]+|[A-Z]+\.md", page) and page not in ("README.md", "CHANGELOG.md"):
            assert f"`{page}`" in text, page


def test_readme_starts_spark_with_the_jars_of_the_tests():
    pom = (ROOT / "tests" / "spark" / "pom.xml").read_text()
    ((name, version),) = re.findall(r"<artifactId>(delta-spark\S*)</artifactId>\s*<version>(\S+)</version>", pom)
    assert f"`--packages io.delta:{name}:{version}`" in (ROOT / "README.md").read_text()


def rounded(text):
    """How people write a figure: 7,527 or 0.92."""
    return float(text.replace(",", ""))


# A row of README, and whose figures of the last run stand there in this order: (part, figure, ours or peer, times).
FIGURES = [
    ("store 5 KB", [("5 KB, 8 connections", 0, 1), ("5 KB, 32 connections", 0, 1), ("5 KB, 8 connections", 1, 1)]),
    ("store 528 KB", [("528 KB, 8 connections", 0, 1), ("528 KB, 32 connections", 0, 1)]),
    ("search, slowest", [("series-modality: p95 at 100,000", 0, 1)]),
    ("retrieve CT instances", [("one CT instance, 8 connections", 0, 1), ("one CT frame, 8 connections", 0, 1)]),
    ("retrieve whole series", [("series of 10 CT, 8 connections", 0, 1), ("series of 10 CT, 8 connections", 1, 1)]),
    ("metadata of a series", [("of a series of 500: p50", 0, 1), ("of a series of 500: p50", 1, 1)]),
    ("header of a CT", [("header of a CT to DICOM JSON, one core", 0, 1)]),
    ("memory idle", [("idle RSS", 0, 1), ("peak RSS, 32 stores of 528 KB at once", 0, 1)]),
    ("disk beside", [("disk beside the file, per instance", 0, 1)]),
    ("2,000 changes into", [("window of 2,000 onto 200,000: beside delta-rs' merge", 0, 1)]),
    ("the same, bytes", [("window of 2,000 onto 20,000: written", 0, 1e-3)]),
    ("first load of", [("first load of 1,000,000", 0, 1), ("first load of 1,000,000: peak memory", 0, 1)]),
    ("a store to its row", [("follow at 100 stores a second: p99 to a row", 0, 1)]),
    ("`SELECT count(*)`", [("count(*), 1,000,000 rows: process start to exit", 0, 1)]),
    ("the same beside DuckDB", [("count(*), 1,000,000 rows: beside DuckDB's delta extension", 1, 1)]),
]


@pytest.mark.parametrize("row, figures", FIGURES, ids=[f[0] for f in FIGURES])
def test_figures_of_readme_are_those_of_the_last_run(row, figures):
    table = (ROOT / "README.md").read_text().split("## How it compares")[1].split("## Where")[0]
    (line,) = [text for text in table.splitlines() if text.startswith(f"| {row}")]
    told = [rounded(n) for n in re.findall(r"\d[\d,]*(?:\.\d+)?", line.split("|", 2)[2])]
    run = (ROOT / "docs" / "performance.md").read_text().split("## The last run")[1]
    for figure, column, times in figures:
        (cells,) = re.findall(rf"^\| \w+ \| {re.escape(figure)} \| ([^|]*) \| ([^|]*) \|", run, re.M)
        value = rounded(cells[column]) * times
        assert any(abs(value - n) <= 0.02 * value + 0.06 * (value < 10) for n in told), (figure, value, told)
