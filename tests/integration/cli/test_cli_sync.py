"""The commands sync and table: what they print, their parameters, wrong usage, several at once."""

import json
import re
import shutil
import signal
import socket
import subprocess

import deltalake
import pyarrow
import pytest
from support import dicom
from support.cli import DONE, FAILED, USAGE, facts, many, on_terminal, run, save, start
from support.server import wait_for

TABLES = ("instance", "series", "study")


@pytest.fixture
def lake(home, tmp_path):
    """A home with three instances of one study, synced once."""
    save(tmp_path / "in", *many(3))
    facts("import", "--home", home, tmp_path / "in")
    facts("sync", "--home", home)
    return home


def test_sync_says_what_it_did(home, tmp_path):
    files = many(3)
    save(tmp_path / "in", *files)
    facts("import", "--home", home, tmp_path / "in")
    done = run("sync", "--home", home)
    assert (done.returncode, done.stderr) == (DONE, "")  # quiet in a pipe
    head, titles, *rows = done.stdout.splitlines()
    assert re.fullmatch(
        r"3 changes in \d+\.\d s \(\d+ a second\): 3 inserted, 0 updated, 0 deleted, "
        r"0 passed over; watermark 3",
        head,
    )
    assert titles.split() == "TABLE VERSION ROWS IN OUT COMMITS FILES WRITTEN".split()
    assert [r.split()[:6] for r in rows] == [
        ["instance", "1", "3", "3", "0", "1"],
        ["series", "1", "1", "1", "0", "1"],
        ["study", "1", "1", "1", "0", "1"],
    ]
    again = facts("sync", "--home", home)
    assert (again["changes"], again["watermark"]) == (0, 3)
    assert [again["tables"][t]["commits"] for t in TABLES] == [0, 0, 0]
    facts("delete", files[0].study, files[0].series, files[0].sop, "--home", home, "--yes")
    third = facts("sync", "--home", home)
    assert {k: v for k, v in third.items() if k in ("changes", "inserted", "updated", "deleted")} == {
        "changes": 1,
        "inserted": 0,
        "updated": 0,
        "deleted": 1,
    }
    assert [third["tables"][t]["rows"] for t in TABLES] == [2, 1, 1]


def test_shape_of_the_summary(lake):
    summary = facts("sync", "--home", lake)
    numbers = """changes pages inserted updated deleted skipped stale rowsIn rowsOut bytes feedBytes commits
        batches replans requests retries compactions vacuumedFiles watermark newest milliseconds""".split()
    assert {k for k, v in summary.items() if isinstance(v, int)} == set(numbers)
    assert set(summary) - set(numbers) == {"watermarkTime", "stageMilliseconds", "tables"}
    assert set(summary["stageMilliseconds"]) == {
        "wait", "fold", "write", "commit", "state", "maintain",
    }  # fmt: skip
    assert list(summary["tables"]) == list(TABLES)
    for table in summary["tables"].values():
        assert set(table) == {
            "version", "rows", "rowsIn", "rowsOut", "commits", "filesAdded", "filesRemoved",
            "bytes", "dataBytes", "deletionVectorBytes", "logBytes",
        }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6,7}Z", summary["watermarkTime"])


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["sync"], USAGE, "give --home DIR or --lake DIR, or set DICOMLAKE_HOME"),
        (["sync", "now", "--home", "h"], USAGE, "too many words"),
        (["sync", "--home", "typo"], FAILED, "no archive in typo"),
        (["sync", "--home", "HOME", "--BatchSize", "0"], USAGE, "BatchSize: '0' is not a number from 1"),
        (["sync", "--home", "HOME", "--ApiVersion", "1"], USAGE, "ApiVersion"),
        (["sync", "--home", "HOME", "--StartTime", "2026-01-05"], USAGE, "StartTime: '2026-01-05' is no time"),
        (["sync", "--home", "HOME", "--EndTime", "0001-01-01T00:00:00Z"], USAGE, "EndTime is not later"),
        (["sync", "--home", "HOME", "--ContainerName", "a/b"], USAGE, "a container is one step"),
        (["sync", "--home", "HOME", "--InstanceTablePath", "../x"], USAGE, "InstanceTablePath"),
        (["sync", "--home", "HOME", "--StudyTablePath", "series"], USAGE, "give each table a folder of its own"),
        (["sync", "--home", "HOME", "--RetentionHours", "167"], USAGE, "--allow-short-retention"),
        (["sync", "--home", "HOME", "--profile", "r3"], USAGE, "no profile r3: template-r4 or template-r2"),
        (["sync", "--home", "HOME", "--mode", "fast"], USAGE, "no mode fast: dv or compat"),
        (["sync", "--home", "HOME", "--column", "x=NoSuchWord:string"], USAGE, "NoSuchWord"),
        (["sync", "--home", "HOME", "--profile", "template-r2"], USAGE, "column 'studydate'"),
        (["sync", "--home", "HOME", "--source", "ftp://h"], USAGE, "no http or https URL"),
        (["sync", "--lake", "s3://bucket", "--source", "http://h"], FAILED, "only folders are lakes"),
        (["table"], USAGE, "something is missing"),
        (["table", "dance", "--home", "HOME"], USAGE, "no action dance; list, show, history"),
        (["table", "show", "--home", "HOME"], USAGE, "table show takes one table"),
        (["table", "list", "study", "--home", "HOME"], USAGE, "table list takes no table"),
        (["table", "list"], USAGE, "give --home DIR or --lake DIR"),
        (["table", "list", "--lake", "typo"], FAILED, "typo"),
        (["table", "show", "visits", "--home", "HOME"], FAILED, "there is no Delta table in 'visits'"),
        (["table", "show", "./typo"], FAILED, "typo"),
        (["table", "show", "study", "--home", "HOME", "--version", "9"], FAILED, "newest version is 1"),
        (["table", "show", "study", "--home", "HOME", "--version", "-1"], USAGE, "-1 is not a version"),
        (["table", "show", "study", "--home", "HOME", "--timestamp", "now"], USAGE, "now is not a time"),
        (["table", "check", "study", "--home", "HOME", "--reader", "excel"], USAGE, "known are fabric-sql"),
        (["table", "restore", "study", "--home", "HOME"], USAGE, "needs --version or --timestamp"),
        (["table", "vacuum", "study", "--home", "HOME", "--RetentionHours", "1"], USAGE, "below 168"),
        (["table", "optimize", "study", "--home", "HOME", "--mode", "x"], USAGE, "no mode x"),
        (["verify", "--home", "HOME", "--ContainerName", "a/b"], USAGE, "a container is one step"),
    ],
)  # fmt: skip
def test_wrong_usage_of_sync_and_table(lake, tmp_path, words, code, said):
    before = {t: (lake / "tables/dicom" / t / "_delta_log").stat().st_mtime_ns for t in TABLES}
    words = [str(lake) if w == "HOME" else w for w in words]
    done = run(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert re.fullmatch(r"dicomlake: .*\n", done.stderr), done.stderr
    assert said in done.stderr
    assert not (tmp_path / "typo").exists()
    after = {t: (lake / "tables/dicom" / t / "_delta_log").stat().st_mtime_ns for t in TABLES}
    assert before == after


def test_home_of_sync_and_table_comes_from_the_environment(home, tmp_path):
    save(tmp_path / "in", dicom.capture())
    env = {"DICOMLAKE_HOME": str(home)}
    facts("import", tmp_path / "in", env=env)
    assert facts("sync", env=env)["inserted"] == 1
    assert [t["table"] for t in facts("table", "list", env=env)] == list(TABLES)
    assert facts("verify", env=env)["tables"] == {"rows": 3, "problems": 0}
    elsewhere = ["--home", home, "--lake", tmp_path / "lake"]
    assert facts("sync", *elsewhere, env=env)["inserted"] == 1
    assert (tmp_path / "lake" / "dicom" / "study" / "_delta_log").is_dir()
    assert len(list((tmp_path / "lake" / ".dicomlake").iterdir())) == 1
    url = ["--lake", f"file://{tmp_path}/lake"]
    assert facts("table", "list", *url) == facts("table", "list", "--lake", tmp_path / "lake")


def test_parameters_by_the_names_of_the_template(home, tmp_path):
    save(tmp_path / "in", *many(5))
    facts("import", "--home", home, tmp_path / "in")
    places = ["--ContainerName", "lake", "--InstanceTablePath", "a/instances", "--SeriesTablePath",
              "a/series", "--StudyTablePath", "studies", "--RetentionHours", "200"]  # fmt: skip
    window = ["--StartTime", "0001-01-01T00:00:00Z", "--EndTime", "9999-12-31T23:59:59Z"]
    summary = facts("sync", "--home", home, *places, *window, "--BatchSize", "2", "--ApiVersion", "2")
    assert summary["inserted"] == 5
    for path in ("a/instances", "a/series", "studies"):
        assert (home / "tables/lake" / path / "_delta_log").is_dir()
    shown = facts("table", "show", "instance", "--home", home, *places)
    assert shown["properties"]["delta.deletedFileRetentionDuration"] == "interval 200 hours"
    assert facts("table", "list", "--home", home) == []  # the default places are empty
    assert facts("verify", "--home", home)["tables"] is None
    assert facts("verify", "--home", home, *places[:-2])["tables"] == {"rows": 7, "problems": 0}


def test_tables_of_an_empty_lake(home, tmp_path):
    save(tmp_path / "in", dicom.capture())
    facts("import", "--home", home, tmp_path / "in")
    (home / "tables").mkdir()
    assert facts("table", "list", "--home", home) == []
    done = run("table", "show", "study", "--home", home)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "there is no Delta table in 'dicom/study'" in done.stderr


def test_show_history_check(lake):
    where = ["--home", lake]
    shown = facts("table", "show", "study", *where)
    assert (shown["table"], shown["version"], shown["rows"], shown["files"]) == ("study", 1, 1, 1)
    assert (shown["minReaderVersion"], shown["minWriterVersion"]) == (3, 7)
    assert shown["partitionColumns"] == ["partitionName"]
    assert [c["name"] for c in shown["columns"]][-2:] == ["seriesCount", "instanceCount"]
    marks = {a.split(":", 2)[2]: v for a, v in shown["applications"].items()}
    assert marks["study"] == 3
    assert facts("table", "show", "study", *where, "--version", "0")["rows"] == 0
    assert facts("table", "show", "study", *where, "--timestamp", "9999-01-01T00:00:00Z") == shown

    newest, oldest = facts("table", "history", "study", *where)
    assert (newest["version"], newest["operation"]) == (1, "MERGE")
    assert json.loads(newest["userMetadata"])["seq"] == 3
    assert (oldest["version"], oldest["operation"]) == (0, "CREATE TABLE")
    assert facts("table", "history", "study", *where, "--limit", "1") == [newest]

    assert facts("table", "check", "study", *where) == []
    done = run("table", "check", "study", *where)
    assert (done.returncode, done.stdout) == (DONE, "study: version 1 is whole\n")
    hidden = facts("table", "check", "instance", *where, "--reader", "powerbi", code=FAILED)
    assert [v["verdict"] for v in hidden] == ["hides"]
    for path in (lake / "tables/dicom/study").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-5])
        assert len(facts("table", "check", "study", *where, code=FAILED)) > 0
    facts("sync", *where, "--rebuild")


def test_optimize_vacuum_restore(lake, tmp_path):
    where = ["--home", lake]
    assert facts("table", "optimize", "instance", *where) == []
    assert run("table", "optimize", "instance", *where).stdout == "instance: nothing to do\n"
    save(tmp_path / "more", *many(2))
    facts("import", *where, tmp_path / "more")
    assert facts("sync", *where)["inserted"] == 2
    (done,) = facts("table", "optimize", "instance", *where, "--full")
    assert (done["operation"], done["filesAdded"], done["filesRemoved"]) == ("OPTIMIZE", 1, 2)
    assert facts("table", "vacuum", "instance", *where) == {"files": 0, "bytes": 0, "folders": 0}
    force = ["--RetentionHours", "0", "--allow-short-retention"]
    dry = facts("table", "vacuum", "instance", *where, *force, "--dry-run")
    assert dry["files"] == 2
    assert facts("table", "show", "instance", *where)["files"] == 1
    back = facts("table", "restore", "instance", *where, "--version", "1")
    assert (back["operation"], back["version"]) == ("RESTORE", done["version"] + 3)  # VACUUM: two
    assert facts("table", "show", "instance", *where)["rows"] == 3
    assert facts("sync", *where)["inserted"] == 2  # what came after version 1 comes again
    assert facts("verify", *where)["problemCount"] == 0
    assert facts("table", "rebuild-state", *where) is None
    assert facts("sync", *where)["changes"] == 0


def test_any_table_by_its_folder(lake, tmp_path):
    folder = tmp_path / "visits"
    deltalake.write_deltalake(str(folder), pyarrow.table({"id": [1, 2], "place": ["x", "y"]}))
    shown = facts("table", "show", folder)
    assert (shown["version"], shown["rows"]) == (0, 2)
    assert [c["name"] for c in shown["columns"]] == ["id", "place"]
    assert run("table", "history", "./visits", cwd=tmp_path).returncode == DONE
    assert facts("table", "check", folder) == []
    below = facts("table", "show", "dicom/study", "--home", lake)
    assert below["id"] == facts("table", "show", "study", "--home", lake)["id"]


def test_sync_from_a_service_and_from_one_that_is_away(serve, peer, tmp_path):
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    lake = tmp_path / "lake"
    assert facts("sync", "--source", service.base, "--lake", lake)["inserted"] == 1
    denied = peer(lambda h: h.say(401, "text/plain", b"who are you"))
    done = run("sync", "--source", denied.url, "--lake", lake)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "the service wants a token" in done.stderr
    assert facts("table", "list", "--lake", lake)[0]["rows"] == 1


def test_sync_follows_and_a_second_one_waits_its_turn(serve, tmp_path):
    service = serve()
    where = ["--home", service.home]
    follower = start("sync", *where, "--follow")
    for _ in range(2):
        assert service.http.store(dicom.capture()).status == 200
    study = service.home / "tables/dicom/study"
    rows = lambda: facts("table", "show", "study", *where)["rows"]  # noqa: E731
    wait_for(lambda: (study / "_delta_log").is_dir() and rows() == 2, what="two rows")
    second = run("sync", *where)
    assert (second.returncode, second.stdout) == (FAILED, "")
    assert "another sync works on this lake; wait for it, or give --wait SECONDS" in second.stderr
    patient = start("sync", *where, "--wait", "600")
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=60)
    assert (follower.returncode, err) == (DONE, "")
    assert out.startswith("2 changes in ")
    out, err = patient.communicate(timeout=60)
    assert (patient.returncode, err) == (DONE, "")


def test_sync_follows_a_home_that_nobody_serves(serve, home, tmp_path):
    """Changes come from other commands and servers on that home: it must leave them room."""
    where = ["--home", home]
    save(tmp_path / "in", *many(2))
    assert facts("import", *where, tmp_path / "in")["stored"] == 2
    follower = start("sync", *where, "--follow", "--json")
    rows = lambda: facts("table", "show", "instance", *where)["rows"]  # noqa: E731
    table = home / "tables/dicom/instance/_delta_log"
    try:
        wait_for(lambda: table.is_dir() and rows() == 2, what="the first rows")
        save(tmp_path / "more", *many(3))
        assert facts("import", *where, tmp_path / "more")["stored"] == 3
        wait_for(lambda: rows() == 5, what="rows of an import")
        service = serve(home=home)
        assert service.http.store(dicom.capture()).status == 200
        wait_for(lambda: rows() == 6, what="a row of a service")
    finally:
        follower.send_signal(signal.SIGINT)
        out, err = follower.communicate(timeout=60)
    assert (follower.returncode, err) == (DONE, "")
    # Each look counts its own; what is stopped behind its first commit is counted by the next sync.
    assert json.loads(out)["changes"] in (5, 6)


def test_sync_follows_a_home_whose_service_comes_back_elsewhere(serve, tmp_path):
    """The source is the home, wherever its service listens, and when none does."""
    service = serve()
    assert service.http.store(dicom.capture()).status == 200
    where = ["--home", service.home]
    follower = start("sync", *where, "--follow", "--json", stderr=subprocess.DEVNULL)
    rows = lambda: facts("table", "show", "instance", *where)["rows"]  # noqa: E731
    log = service.home / "tables/dicom/instance/_delta_log"
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        wait_for(lambda: log.is_dir() and rows() == 1, what="the first row")
        port = service.port
        assert service.stop() == 0
        taken.bind(("127.0.0.1", port))  # and refuses: no service comes back to it
        save(tmp_path / "in", *many(2))
        assert facts("import", *where, tmp_path / "in")["stored"] == 2
        wait_for(lambda: rows() == 3, what="rows of an import", seconds=60)
        assert service.start().http.store(dicom.capture()).status == 200
        wait_for(lambda: rows() == 4, what="a row of the service elsewhere", seconds=60)
    finally:
        follower.send_signal(signal.SIGINT)
        out, _ = follower.communicate(timeout=60)
        taken.close()
    assert follower.returncode == DONE
    assert json.loads(out)["changes"] in (3, 4)


def test_the_bar_of_a_sync_shows_on_a_terminal_only(home, tmp_path):
    save(tmp_path / "in", *many(1500))
    facts("import", "--home", home, tmp_path / "in")
    sizes = ["--batch-changes", "50"]
    code, out, shown = on_terminal("sync", "--home", home, *sizes, width=70)
    assert code == DONE, shown
    assert out.startswith("1500 changes in ")
    assert "syncing  " in shown and " changes" in shown
    assert shown.endswith("\r\x1b[K")


def test_an_older_index_was_restored(home, tmp_path):
    """The feed goes on with numbers that the tables have seen: said, not passed over."""
    where = ["--home", home]
    save(tmp_path / "old", *many(2))
    facts("import", *where, tmp_path / "old")
    shutil.copy(home / "state" / "index.db", tmp_path / "index.db")
    save(tmp_path / "lost", *many(3))
    facts("import", *where, tmp_path / "lost")
    assert facts("sync", *where)["watermark"] == 5
    shutil.copy(tmp_path / "index.db", home / "state" / "index.db")
    save(tmp_path / "new", dicom.capture())
    facts("import", *where, tmp_path / "new")
    for words in ([], ["--follow"]):
        done = run("sync", *where, *words)
        assert (done.returncode, done.stdout) == (FAILED, "")
        assert "ends at sequence 3, the tables are at 5: it was set back; " in done.stderr
    assert facts("verify", *where, code=FAILED)["tables"]["problems"] > 0
    assert facts("sync", *where, "--rebuild")["inserted"] == 3
    shutil.rmtree(home / "files" / ".unreferenced")
    left = facts("verify", *where, code=FAILED)
    assert (left["tables"]["problems"], left["problemCount"]) == (0, 2)  # files newer than the index
    for path in (home / "files").rglob("*_[45].dcm"):
        path.unlink()
