"""The documents and the program are in step: manual page, settings, attributes, exit codes, every command
that a page names, routes and metrics."""

import re

import pytest
from support.cli import DONE, run
from support.server import ROOT

MANUAL = (ROOT / "packaging" / "dicomlake.1").read_text()
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/README.md"))]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
WIDTH = 120  # of a line of help


def section(name):
    """A .SH of the manual page without its escapes."""
    text = re.search(rf"^\.SH {name}\n(.*?)^\.SH ", MANUAL, re.M | re.S).group(1)
    return text.replace("\\-", "-").replace("\\e", "\\")


@pytest.fixture(scope="module")
def helps():
    """Help of each command by its name."""
    names = re.findall(r"^  (\w+)  ", run("help").stdout.split("commands:")[1], re.M)
    return {name: run(name, "--help").stdout for name in names}


def test_the_manual_has_every_command(helps):
    assert re.findall(r"^\.SS (\w+)", MANUAL, re.M) == list(helps)


def test_lines_of_help_fit(helps):
    for name, text in helps.items():
        for line in text.split("\nexample:")[0].splitlines():
            assert len(line) <= WIDTH, (name, line)


def test_exit_codes_are_told(helps):
    for name, text in helps.items():
        if name not in ("version", "help"):
            (told,) = re.findall(r"^Exit codes: ((?:.|\n(?!\n))*)", text, re.M)
            assert set(re.findall(r"\b[0-9]+\b", told)) in ({"0", "1", "2"}, {"0", "1", "2", "3"}), name
    assert re.findall(r"^\.B (\d)$", section("EXIT STATUS"), re.M) == ["0", "1", "2", "3"]


def test_the_manual_has_every_setting(helps):
    in_help = re.findall(r"^  ([a-z]+\.\w+) +(.*) \(default: (.*)\)$", helps["serve"], re.M)
    assert len(in_help) > 20
    in_manual = re.findall(r"^\.TP\n\.B (\S+)\n(.*)\. Default: (.*)\.$", section("SETTINGS"), re.M)
    assert [(n, t[0].upper() + t[1:], d) for n, t, d in in_help] == in_manual


def test_the_manual_has_every_attribute(helps):
    in_help = helps["search"].split("attributes that")[1].split("below it:\n")[1].split("\n\n")[0]
    assert f".nf\n{in_help}\n.fi\n" in MANUAL


def test_every_attribute_of_the_help_can_be_searched(helps, serve):
    web = serve().http
    text = helps["search"].split("below it:\n")[1].split("\n\n")[0]
    levels = re.findall(r"^  (\w+) +((?:\w+|\s(?!  \w+ +[A-Z]))+)", text, re.M)
    found = {level: words.split() for level, words in levels}
    assert list(found) == ["studies", "series", "instances"]
    asked = []
    for level, words in found.items():
        asked += words
        for word in asked:
            value = "20260101" if word.endswith("Date") else "1"
            answer = web.get(f"/{level}?{word}={value}", {"Accept": "application/dicom+json"})
            assert answer.status == 204, (level, word, answer.text)


COMMAND = re.compile(r"(?:^\$ |^\s*|`|&& |\| )(?:build/)?dicomlake ([a-z]+)((?:[^`\n]|\n(?= {20,}))*)", re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_that_a_page_names_are_there(page, helps):
    for command, rest in COMMAND.findall(page.read_text()):
        assert command in helps, (command, rest)
        for option in re.findall(r"(?<![\w-])(--[A-Za-z][\w-]*)", rest):
            assert re.search(rf"{option}\b(?!-)", helps[command]), (command, option)


def test_examples_of_the_manual_are_there(helps):
    examples = re.findall(r"^dicomlake (\w+)(.*)$", MANUAL.split(".SH EXAMPLES")[1].replace("\\-", "-"), re.M)
    assert len(examples) > 20
    for command, rest in examples:
        for option in re.findall(r"(?<![\w-])(--[A-Za-z][\w-]*)", rest):
            assert re.search(rf"{option}\b(?!-)", helps[command]), (command, option)


# -- over HTTP --


@pytest.fixture(scope="module")
def web(shared_serve):
    return shared_serve().http


def test_operations_has_every_metric(web):
    in_service = re.findall(r"^# HELP (\w+) ", web.get("/metrics", {}, absolute=True).text, re.M)
    page = (ROOT / "docs" / "operations.md").read_text()
    in_page = re.findall(r"`(dicomlake_\w+)`", page.split("## Metrics")[1].split("\n## ")[0])
    assert sorted(set(in_page)) == sorted(in_service)


def shape(path):
    """A route without the names of its parameters."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_the_contract_has_every_route(web):
    text = (ROOT / "docs" / "contract.md").read_text()
    told = {shape(path.split("?")[0]) for path in re.findall(r"`(?:[A-Z]+ )?(?:/v2)?(/[^` ]*)`", text)}
    for path in web.get("/api.json", {}).json()["paths"]:
        short = shape(re.sub("^/v2", "", path))
        assert short in told or any(short.endswith(t) for t in told if t.count("/") > 1), path


@pytest.mark.parametrize("page, part", [("lakehouse-rest.md", "lakehouse"), ("pipelines.md", "factory")])
def test_the_page_has_every_route(web, page, part):
    page = (ROOT / "docs" / page).read_text()
    spans = [re.sub(r"\{Tables.*?\}", "{kind}", s) for s in re.findall(r"`([^`]*)`", page.replace("\\|", "|"))]
    told = {shape(s.split()[-1].replace("...", "")) for s in spans if "/" in s}
    for path in web.get(f"/{part}/openapi.json", {}, absolute=True).json()["paths"]:
        short = shape(path)
        assert short in told or any(short.endswith(t) for t in told if t.startswith("/") and t != "/{}"), path
