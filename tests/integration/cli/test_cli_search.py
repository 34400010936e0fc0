"""The command search: the table, its pages, services that do not page."""

import json
import re

from support import dicom
from support.cli import DONE, FAILED, USAGE, facts, many, on_terminal, run, save


def test_search_table(home, tmp_path):
    one = dicom.capture(
        PatientName=("PN", b"Evil\x1b[2J^\x9bName"),
        StudyDescription="A description that is far too long to show",
    )
    wide = dicom.capture(
        SpecificCharacterSet="ISO_IR 192", PatientName=("PN", "山田^太郎".encode()), PatientID="ID2"
    )
    save(tmp_path / "in", one, wide, wide.fresh("instance"))
    facts("import", "--home", home, tmp_path / "in")
    text = run("search", "--home", home).stdout
    head, first, second = text.splitlines()
    assert head.split() == "DATE PATIENT ID PATIENT MODALITIES DESCRIPTION INSTANCES STUDY".split()
    assert {first.split()[-1], second.split()[-1]} == {one.study, wide.study}
    assert "\x1b" not in text and "\x9b" not in text
    assert "A description that is far too long to show" in text  # whole in a pipe
    row = first if wide.study in first else second
    assert row.index("山田^太郎") == head.index("PATIENT", head.index("PATIENT ID") + 7)
    assert re.search(r" 2  " + re.escape(wide.study), row)
    code, _, shown = on_terminal("search", "--home", home, stdout_too=True)
    assert code == DONE
    assert "A description that is far too long to s…" in shown
    included = run("search", "--home", home, "--include", "StudyTime", "--include", "00100040")
    assert included.stdout.splitlines()[0].endswith("  StudyTime  00100040")
    assert included.stdout.splitlines()[1].endswith("  101112     O")
    none = run("search", "--home", home, "PatientID=none")
    assert (none.returncode, none.stdout, none.stderr) == (DONE, "", "nothing found\n")
    wild = run("search", "--home", home, "PatientID=ID*")
    assert (wild.returncode, wild.stdout) == (DONE, "")
    assert "nothing found; * and ? stand for themselves" in wild.stderr
    assert run("search", "--home", home, "PatientID=none", "--json").stderr == ""


def test_search_pages(home, tmp_path):
    files = many(450)
    save(tmp_path / "in", *files)
    facts("import", "--home", home, tmp_path / "in")
    where = ["--home", home]
    found = facts("search", "instances", *where, "--all")
    assert {f["00080018"]["Value"][0] for f in found} == {i.sop for i in files}
    assert len(found) == 450
    assert len(facts("search", "instances", *where)) == 100
    some = facts("search", "instances", *where, "--limit", "30", "--offset", "440")
    assert [f["00080018"]["Value"] for f in some] == [f["00080018"]["Value"] for f in found[440:]]
    table = run("search", "instances", *where, "--all")
    assert len(table.stdout.splitlines()) == 451
    assert table.stderr == ""
    assert run("search", "instances", *where, "--limit", "5").stderr.startswith("there may be more")
    assert run("search", *where, "NoSuchKeyword=1").returncode == USAGE
    assert run("search", *where, "--include", "NoSuchKeyword").returncode == USAGE


def test_search_of_a_peer_that_does_not_page(peer):
    page = json.dumps([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]).encode()
    deaf = peer(lambda h: h.say(200, "application/dicom+json", page))
    done = run("search", "--url", deaf.url, "--all")
    assert done.returncode == FAILED
    assert "same page" in done.stderr
    assert len(facts("search", "--url", deaf.url)) == 1
    html = peer(lambda h: h.say(200, "text/html", b"<html>"))
    done = run("search", "--url", html.url)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "base of a DICOMweb service" in done.stderr


def test_search_that_is_refused_says_where_to_look(home, serve):
    assert run("import", "--home", home, save(home.parent / "in", dicom.capture())).returncode == DONE
    for words in (["Rows=512"], ["PatientNam=doe"], ["StudyDate=2001-01-01"], ["series", "SOPInstanceUID=1.2"]):
        refused = run("search", *words, "--home", home)
        assert (refused.returncode, refused.stdout) == (USAGE, "")
        assert refused.stderr.endswith("; dicomlake search --help lists the attributes and how they match\n")
    astray = run("search", "--url", serve().base + "/wrong")
    assert (astray.returncode, astray.stdout) == (FAILED, "")
    assert astray.stderr.endswith("; is the URL the base of a DICOMweb service?\n")


def test_json_of_a_peer_is_no_order_to_a_terminal(peer):
    """The same text to a program; but nothing in it moves a cursor or turns a line around."""
    sly = "A\u009b31m\u007f\u202e\u2066\u2028\u00fc\u65e5\U0001f600"
    match = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": sly}]}}
    row = {"sequence": 1, "action": sly}
    answers = {"search": [match], "feed": [row]}
    for command, answer in answers.items():
        text = json.dumps(answer, ensure_ascii=False).encode()
        other = peer(lambda h, b=text: h.say(200, "application/dicom+json", b))
        done = run(command, "--url", other.url, "--json")
        assert done.returncode == DONE, done.stderr
        assert json.loads(done.stdout) in (answer, answer[0])
        assert not set("\u009b\u007f\u202e\u2066\u2028") & set(done.stdout)
        assert "\u00fc\u65e5\U0001f600" in done.stdout


def test_search_of_what_is_no_service(peer):
    other = peer(lambda h: h.say(200, "application/dicom+json", b"[1, null]"))
    done = run("search", "--url", other.url)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "not a DICOM data set" in done.stderr
    done = run("search", "--url", "http://127.0.0.1:99999")
    assert done.returncode == USAGE
    assert "attributes" not in done.stderr  # they are not what is wrong
    done = run("search", "PatientID=" + "a" * 20000, "--url", other.url)
    assert done.returncode == USAGE
    assert "the conditions are longer than" in done.stderr
