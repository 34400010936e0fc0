"""`dicomlake cohort`: lists of instances in versions, and their files."""

import hashlib
import json
import os
import signal
import subprocess
import time

import pydicom
import pytest
from support.cli import DONE, FAILED, PARTLY, USAGE
from support.lake import home_of_files, run
from support.server import program

ALL = "SELECT studyInstanceUid, seriesInstanceUid, sopInstanceUid, filePath FROM instance"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return home_of_files(tmp_path_factory.mktemp("cohorts") / "home")


@pytest.fixture
def home(archive, tmp_path):
    """The archive, copied: cohorts of each test are its own."""
    made = tmp_path / "home"
    subprocess.run(["cp", "-r", archive, made], check=True)
    return made


def cohort(home, *words, check=True):
    return run("cohort", *words, "--home", home, check=check)


def facts(home, *words):
    return json.loads(cohort(home, *words, "--json").stdout)


def check_folder(folder, count):
    """Every file is what the manifest says, and nothing else is there."""
    manifest = json.loads((folder / "manifest.json").read_text())
    there = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert there == sorted([f["path"] for f in manifest["files"] if "path" in f] + ["manifest.json"])
    assert manifest["fileCount"] == count == len(there) - 1
    for f in manifest["files"]:
        if "path" not in f:
            assert f["missing"]
            continue
        content = (folder / f["path"]).read_bytes()
        assert len(content) == f["size"]
        assert hashlib.sha256(content).hexdigest() == f["sha256"]
        assert f["path"] == f"{f['studyInstanceUid']}/{f['seriesInstanceUid']}/{f['sopInstanceUid']}.dcm"
    return manifest


def test_from_a_question_to_files(home, tmp_path):
    saved = facts(home, "save", "ct", f"{ALL} WHERE modality = 'CT'")
    assert saved["version"] == 1
    assert saved["instanceCount"] > 1
    assert saved["reads"][0]["table"] == "instance"
    got = facts(home, "get", "ct", "--to", tmp_path / "out")
    assert got["files"] == saved["instanceCount"]
    assert got["missing"] == 0
    manifest = check_folder(tmp_path / "out", saved["instanceCount"])
    assert manifest["statement"].endswith("WHERE modality = 'CT'")
    for f in manifest["files"]:
        data = pydicom.dcmread(tmp_path / "out" / f["path"], force=True)
        assert data.Modality == "CT"
        assert data.SOPInstanceUID == f["sopInstanceUid"]
    again = facts(home, "get", "ct", "--to", tmp_path / "out")
    assert (again["files"], again["alreadyThere"]) == (0, saved["instanceCount"])


def test_versions_stand(home):
    facts(home, "save", "x", f"{ALL} WHERE modality = 'CT'")
    one = facts(home, "show", "x")
    facts(home, "save", "x", ALL)
    assert facts(home, "show", "x")["version"] == 2
    assert facts(home, "show", "x", "--version", 1) == one
    assert [(c["name"], c["version"]) for c in facts(home, "list")] == [("x", 2)]
    assert cohort(home, "show", "x", "--version", 3, check=False).returncode == FAILED
    cohort(home, "remove", "x")
    assert facts(home, "list") == []
    done = cohort(home, "show", "x", check=False)
    assert done.returncode == FAILED
    assert "no cohort 'x'" in done.stderr


def test_a_version_says_what_it_read(home):
    facts(home, "save", "x", ALL)
    version = json.loads(run("lakehouse", "show", "home", "instance", "--home", home, "--json").stdout)
    reads = facts(home, "show", "x")["reads"]
    assert str(reads[0]["version"]) in json.dumps(version)


@pytest.mark.parametrize(
    "statement, words",
    [
        ("SELECT modality FROM instance", "no column sopInstanceUid"),
        ("SELECT nothing FROM instance", "line 1, column 8"),
        ("SELECT * FROM", "line 1"),
        ("SELECT 'x/../y' AS sopInstanceUid", "is no UID"),
        ("COPY instance TO '/tmp/x'", ""),
        ("SELECT * FROM read_csv('/etc/passwd')", ""),
    ],
)
def test_wrong_statements_leave_nothing(home, statement, words):
    done = cohort(home, "save", "x", statement, check=False)
    assert done.returncode in (FAILED, USAGE)
    assert words in done.stderr
    assert facts(home, "list") == []


def test_missing_files_are_told(home, tmp_path):
    saved = facts(home, "save", "x", ALL)
    row = json.loads(run("sql", "--home", home, "--json", "SELECT filepath FROM instance LIMIT 1").stdout)[0]
    (home / "files" / row["filepath"]).unlink()
    done = cohort(home, "get", "x", "--to", tmp_path / "out", "--json", check=False)
    assert done.returncode == PARTLY
    assert json.loads(done.stdout)["missing"] == 1
    assert "1 instances have no file" in done.stderr
    check_folder(tmp_path / "out", saved["instanceCount"] - 1)


def test_a_folder_of_another_cohort_stays(home, tmp_path):
    facts(home, "save", "a", ALL)
    facts(home, "save", "b", ALL)
    facts(home, "get", "a", "--to", tmp_path / "out")
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    done = cohort(home, "get", "b", "--to", tmp_path / "out", check=False)
    assert done.returncode == FAILED
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("sign, code", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, FAILED)])
def test_an_ended_get_goes_on(home, tmp_path, sign, code):
    count = facts(home, "save", "x", ALL)["instanceCount"]
    out = tmp_path / "out"
    for files in range(0, count, 5):
        words = [program(), "cohort", "get", "x", "--to", out, "--home", home]
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.rglob("*.dcm"))) <= files:
            time.sleep(0)
        process.send_signal(sign)
        process.wait()
        assert process.returncode in (DONE, code, -sign)  # -sign: before it could catch it
        for p in out.rglob("*.dcm"):  # nothing half done has a name
            assert pydicom.dcmread(p, force=True).SOPInstanceUID == p.stem
        if (out / "manifest.json").exists():  # it is written last, perhaps just before the signal
            check_folder(out, count)
            break
    got = facts(home, "get", "x", "--to", out)
    assert got["files"] + got["alreadyThere"] == count
    check_folder(out, count)


def test_a_killed_save_is_not_there(home):
    """A statement that gives rows for long: the process ends in the middle of writing."""
    statement = "SELECT '1.2.' || range AS sopInstanceUid FROM range(9000000)"
    folder = home / "lakehouse" / "home" / "cohorts" / "x"
    process = subprocess.Popen([program(), "cohort", "save", "x", statement, "--home", home])
    while process.poll() is None and not any(p.stat().st_size > 1 << 20 for p in folder.glob(".new-*")):
        time.sleep(0.001)
    assert process.poll() is None
    process.kill()
    process.wait()
    assert facts(home, "list") == []
    saved = facts(home, "save", "x", ALL)
    assert saved["version"] == 1
    assert [p.name for p in folder.iterdir()] == ["1.json"]


def test_a_million_instances_stream(home):
    """The list is never whole in memory: 100 MiB would not hold it."""
    statement = (
        "SELECT '1.2.3' AS studyInstanceUid, '1.2.3.4' AS seriesInstanceUid, '1.2.826.0.1.3680043.8.498.' || range AS "
        "sopInstanceUid, 'AHDS/ws/dicom/svc/Microsoft.Default/' || range || '.dcm' AS filePath FROM range(1000000)"
    )
    assert facts(home, "save", "x", statement)["instanceCount"] == 1000000
    file = home / "lakehouse" / "home" / "cohorts" / "x" / "1.json"
    assert file.stat().st_size > 150 << 20
    whole = json.loads(file.read_text())
    assert len(whole["instances"]) == whole["instanceCount"] == 1000000
    assert whole["instances"][999999]["sopInstanceUid"].endswith(".999999")


def test_home_of_nobody_else(home, tmp_path):
    """What is written is its owner's alone, as the home is."""
    facts(home, "save", "x", ALL)
    assert os.stat(home / "lakehouse" / "home" / "cohorts" / "x" / "1.json").st_mode & 0o077 == 0
