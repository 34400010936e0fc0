"""The commands as a whole: help, wrong usage, one round of all of them; pipes, and the service of another."""

import json
import os
import pathlib
import re
import subprocess

import pydicom.data
import pytest
from support import dicom, orthanc
from support.cli import DONE, FAILED, PARTLY, USAGE, facts, many, run, save, start
from support.server import ROOT, program


# -- help and usage --

COMMANDS = [
    *("serve", "import", "search", "get", "delete", "feed", "sync", "table"),
    *("connection", "pipeline", "trigger", "run", "lakehouse", "shortcut", "cohort", "sql", "notebook"),
    *("verify", "version"),
]


def test_help_lists_every_command():
    done = run("help")
    assert done.returncode == DONE
    assert re.findall(r"^  (\w+)  ", done.stdout.split("commands:")[1], re.M) == [*COMMANDS, "help"]
    for words in (["--help"], ["-h"], ["help", "--help"], ["help", "-h"]):
        assert run(*words).stdout == done.stdout, words
    assert run().returncode == USAGE
    assert run("help", "get", "extra").returncode == USAGE


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_manual_agree(command):
    done = run(command, "--help")
    assert done.returncode == DONE
    assert done.stdout.startswith(f"usage: dicomlake {command}")
    assert "\nexample:\n  dicomlake " in done.stdout
    options = r"^ +(?:-(\w), +)?--([\w-]+)(?: ([A-Z:=]+))?(?:  |$)"
    in_help = set(re.findall(options, done.stdout.split("settings (")[0], re.M))
    manual = (ROOT / "packaging" / "dicomlake.1").read_text()
    section = re.search(rf"^\.SS {command}\b(.*?)^\.S[SH] ", manual, re.M | re.S).group(1)
    in_manual = set()
    for tag in re.findall(r"^\.TP\n(.*)", section, re.M):
        plain = re.sub(r"\\f.", "", tag.replace("\\-", "-")).replace('"', "")
        plain = re.sub(r"\s*,\s*", ", ", re.sub(r"^\.\w+ ", "", plain))
        match = re.match(r"(?:-(\w), )?--([\w-]+)(?: +([A-Z:=]+))?$", plain.strip())
        assert match, tag
        in_manual.add(tuple(g or "" for g in match.groups()))
    assert in_help == in_manual


def test_version():
    version = facts("version")
    assert version["name"] == "dicomlake"
    assert re.fullmatch(r"\d+\.\d+\.\d+", version["version"])
    assert (
        run("--version").stdout
        == f"dicomlake {version['version']} (DICOM {version['dicomEdition']})\n"
    )


@pytest.mark.parametrize(
    "words, said",
    [
        (["import"], "something is missing"),
        (["search", "--home", "a", "--url", "http://h"], "exclude each other"),
        (["search"], "no archive named; give --home DIR or --url URL, or set DICOMLAKE_HOME"),
        (["search", "--url", "h:80"], "not a URL"),
        (["search", "--url", "http://u:secret@h"], "user name"),
        (["get", "..", "--url", "http://h"], "not a UID; digits and dots, as dicomlake search shows them"),
        (["search", "StudyDate", "--url", "http://h"], "and conditions as KEYWORD=VALUE"),
        (["feed", "--after", "-1"], "--after"),
        (["serve", "--home", "x", "--listen", "80"], "not HOST:PORT"),
        (["serve", "--home", "x", "--set", "http.body_limit"], "NAME=VALUE"),
        (["serve", "--home", "x", "--set", "no.such=1"], "no.such"),
        (["serve", "--home", "x", "--set", "service.partitions=perhaps"], "service.partitions"),
        (["import", "--jobs", "0", "x"], "from 1 to 64"),
    ],
)
def test_wrong_usage(words, said, tmp_path):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == USAGE
    assert done.stdout == ""
    assert re.fullmatch(r"dicomlake: .*\n", done.stderr), done.stderr
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_mistyped_home_does_not_become_an_archive(tmp_path):
    for words in (["search"], ["get", "1.2"], ["delete", "1.2", "--yes"], ["feed"], ["verify"]):
        done = run(*words, "--home", tmp_path / "typo")
        assert done.returncode == FAILED, (words, done.stderr)
        assert not (tmp_path / "typo").exists(), words
        assert f"no archive in {tmp_path / 'typo'}" in done.stderr


def test_a_home_that_cannot_be_looked_into_is_not_called_missing(tmp_path):
    (tmp_path / "round").symlink_to("round")
    for command in (["search"], ["feed"], ["verify"], ["delete", "1.2", "--yes"]):
        done = run(*command, "--home", tmp_path / "round")
        assert done.returncode == FAILED
        assert "levels of symbolic links" in done.stderr and "no archive" not in done.stderr


def test_home_comes_from_the_environment(home, tmp_path):
    save(tmp_path / "in", dicom.capture())
    env = {"DICOMLAKE_HOME": str(home)}
    assert facts("import", tmp_path / "in", env=env)["stored"] == 1
    assert len(facts("search", env=env)) == 1
    assert len(facts("verify", env=env)["problems"]) == 0


# -- the round --


def test_import_search_get_delete_feed(where, tmp_path):
    trio = dicom.trio(8, 8)
    save(tmp_path / "in", *trio)
    report = facts("import", *where, tmp_path / "in")
    assert report["stored"] == 3
    assert report["complete"] is True
    assert report["bytes"] == sum(len(i.bytes) for i in trio)
    assert report["reasons"] == []
    assert report["seconds"] > 0

    studies = facts("search", *where, f"StudyInstanceUID={trio.study}")
    assert [s["0020000D"]["Value"] for s in studies] == [[trio.study]]
    assert len(facts("search", "series", *where)) == 2
    assert len(facts("search", "instances", *where, "--limit", "2")) == 2
    assert facts("search", *where, "PatientID=nobody") == []

    got = facts("get", trio.study, *where, "--to", tmp_path / "out")
    assert (got["files"], got["complete"]) == (3, True)
    assert got["bytes"] == report["bytes"]
    files = {p.relative_to(tmp_path / "out"): p for p in (tmp_path / "out").rglob("*.dcm")}
    wanted = {pathlib.Path(i.study, i.series, i.sop + ".dcm"): i.bytes for i in trio}
    assert {name: path.read_bytes() for name, path in files.items()} == wanted
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files.values())

    one = facts("get", trio.b.study, trio.b.series, trio.b.sop, *where, "--to", tmp_path / "one")
    assert one["files"] == 1

    assert facts("delete", trio.b.study, trio.b.series, *where, "--yes") == {
        "deleted": "series",
        "studyInstanceUid": trio.b.study,
        "seriesInstanceUid": trio.b.series,
    }
    again = run("delete", trio.b.study, trio.b.series, *where, "--yes")
    assert (again.returncode, again.stdout) == (FAILED, "")
    assert again.stderr == f"dicomlake: there is no series {trio.b.series}; dicomlake search lists what there is\n"
    gone = run("get", trio.b.study, trio.b.series, *where, "--to", tmp_path / "none")
    assert (gone.returncode, gone.stdout, gone.stderr) == (FAILED, "", again.stderr)

    done = run("feed", *where)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [r[0] for r in rows] == ["1", "2", "3", "4"]
    states = {(r[2], r[3]): r[7] for r in rows}
    assert sorted((r[2], r[3]) for r in rows) == [
        ("Create", "Current"),
        ("Create", "Current"),
        ("Create", "Deleted"),
        ("Delete", "Deleted"),
    ]
    assert states["Create", "Deleted"] == states["Delete", "Deleted"] == trio.b.sop
    assert all(len(r) == 8 and r[4] == "Microsoft.Default" and r[5] == trio.study for r in rows)


def test_real_files(home, tmp_path):
    """Whatever pydicom ships: each file is stored as it is, or refused with a reason."""
    source = pathlib.Path(pydicom.data.__file__).parent / "test_files"
    report = facts("import", "--home", home, source, code=PARTLY)
    files = [p for p in source.rglob("*") if p.is_file()]
    outcomes = ("stored", "storedWithWarnings", "alreadyThere", "refused", "skipped")
    assert sum(report[o] for o in outcomes) == len(files)
    assert report["stored"] > 60
    again = facts("import", "--home", home, source, code=PARTLY)
    assert again["stored"] == again["storedWithWarnings"] == 0
    assert again["refused"] == report["refused"]
    assert again["alreadyThere"] == sum(report[o] for o in outcomes[:3])
    instances = facts("search", "instances", "--home", home, "--all")
    assert len(instances) == report["stored"] + report["storedWithWarnings"]
    known = {i.read_bytes() for i in files}
    studies = {i["0020000D"]["Value"][0] for i in instances}
    count = 0
    for study in studies:
        count += facts("get", study, "--home", home, "--to", tmp_path / "out")["files"]
    assert count == len(instances)
    for path in (tmp_path / "out").rglob("*.dcm"):
        content = path.read_bytes()
        if content not in known:  # a dangerous preamble is zeroed (contract 5.2)
            assert bytes(128) + content[128:] == content
            assert any(content[128:] == k[128:] for k in known)


def test_two_commands_at_once_wait_for_each_other(home, tmp_path):
    save(tmp_path / "in", *many(20))
    assert facts("import", "--home", home, tmp_path / "in")["stored"] == 20
    running = [start("search", "instances", "--home", home, "--json") for _ in range(4)]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == DONE, err
        assert len(json.loads(out)) == 20


# -- pipes --


def test_a_reader_that_leaves_is_no_news(home, tmp_path):
    save(tmp_path / "in", *many(300))
    facts("import", "--home", home, tmp_path / "in")
    for words in (["feed", "--json", "--metadata"], ["search", "instances", "--all"]):
        read, write = os.pipe()
        process = subprocess.Popen(
            [program(), *words, "--home", str(home)],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(write)
        os.close(read)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (FAILED, "")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [program(), "search", "--home", str(home), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.returncode == FAILED
    assert "cannot write" in done.stderr


def test_following_ends_with_its_reader(serve):
    """Also while there is nothing to say: it would be seen at the next change alone."""
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    for where in (["--url", service.base], ["--home", service.home]):
        process = start("feed", *where, "--follow")
        assert process.stdout.readline().startswith("1\t")
        process.stdout.close()
        assert process.wait(60) == DONE
        assert process.stderr.read() == ""
        process.stderr.close()


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", ">&- 2>&-", "2>&-"])
def test_a_closed_stream_is_no_file_that_is_opened_later(closed, home, tmp_path):
    save(tmp_path / "in", *many(3))
    facts("import", "--home", home, tmp_path / "in")
    for words, code in (
        (["feed", "--json", "--metadata"], DONE),
        (["search", "--json"], DONE),
        (["import", "--verbose", tmp_path / "in", tmp_path / "none"], PARTLY),
    ):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", program(), *map(str, words), "--home", str(home)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == (FAILED if ">&-" in closed.split() else code), words
        if ">&-" in closed.split() and "2>&-" not in closed:
            assert "cannot write to standard output" in done.stderr
        assert (home / "state" / "lock").read_bytes() == b"", words


# -- somebody else's service --


@pytest.mark.skipif(
    None in orthanc.find(), reason="Orthanc with its DICOMweb plugin is not installed"
)
def test_orthanc_as_the_service(tmp_path):
    files = [dicom.capture() for _ in range(40)]
    folder = save(tmp_path / "in", *files, dicom.capture(900, 900))
    (folder / "bad.dcm").write_bytes(bytes(128) + b"DICMgarbage")
    server = orthanc.Orthanc(tmp_path / "orthanc", "http://127.0.0.1:9/")
    try:
        where = ["--url", server.base + "/dicom-web"]
        report = facts("import", *where, folder, code=PARTLY)
        assert (report["stored"], report["refused"], report["complete"]) == (41, 1, True)
        found = facts("search", "instances", *where, "--all")
        assert len(found) == 41
        one = files[0]
        assert facts("search", *where, f"StudyInstanceUID={one.study}")[0]["00201208"] is not None
        assert facts("get", one.study, *where, "--to", tmp_path / "out")["files"] == 1
        path = tmp_path / "out" / one.study / one.series / f"{one.sop}.dcm"
        assert path.read_bytes()[132:] == one.bytes[132:]
        done = run("feed", *where)
        assert (done.returncode, done.stdout) == (FAILED, "")
    finally:
        server.stop()
