"""The command verify: files and tables that are as they should be, or not."""

import json
import re
import signal
import threading

import deltalake
import pyarrow
import pytest
from support import dicom
from support.cli import DONE, FAILED, facts, many, run, save, start
from support.server import wait_for


# -- verify --


def test_verify(serve, tmp_path):
    service = serve(check=False)
    files = many(5)
    save(tmp_path / "in", *files)
    facts("import", "--url", service.base, tmp_path / "in")
    clean = facts("verify", "--home", service.home)  # beside the running service
    assert clean["problems"] == []
    assert (clean["instances"], clean["files"], clean["changes"]) == (5, 5, 5)
    assert clean["bytes"] == sum(len(i.bytes) for i in files)
    stored = service.stored_files()
    altered = bytearray(stored[0].read_bytes())
    altered[-1] ^= 1
    stored[0].write_bytes(altered)
    found = facts("verify", "--home", service.home, "--hash", code=FAILED)
    assert found["problemCount"] == len(found["problems"]) == 1
    stored[1].unlink()
    done = run("verify", "--home", service.home, "--hash")
    assert done.returncode == FAILED
    assert len(re.findall(r"^problem: ", done.stdout, re.M)) == 2
    assert re.search(r": 2 problems$", done.stdout, re.M)


# -- verify, the tables --


def table_of(home, name):
    return deltalake.DeltaTable(str(home / "tables" / "dicom" / name))


@pytest.mark.parametrize("mode", ["dv", "compat"])
def test_verify_names_rows_that_differ(home, tmp_path, mode):
    """Damage on purpose, by another engine: a row deleted, one changed, one added, one doubled."""
    files = [dicom.capture() for _ in range(4)]
    save(tmp_path / "in", *files)
    where = ["--home", home]
    facts("import", *where, tmp_path / "in")
    assert facts("verify", *where)["tables"] is None  # nothing was synced yet
    facts("sync", *where, "--mode", mode)
    clean = facts("verify", *where)
    assert (clean["tables"], clean["problemCount"]) == ({"rows": 12, "problems": 0}, 0)

    def findings(action, name):
        """What is said after the damage; the table is then as it was."""
        table = table_of(home, name)
        version = table.version()
        action(table)
        found = facts("verify", *where, code=FAILED)
        assert found["problemCount"] == found["tables"]["problems"] == len(found["problems"])
        done = run("verify", *where)
        assert done.returncode == FAILED
        assert [f"problem: {p}" for p in found["problems"]] == done.stdout.splitlines()[:-1]
        assert facts("verify", *where, "--no-tables")["tables"] is None
        facts("table", "restore", name, *where, "--version", version)
        assert facts("verify", *where)["problemCount"] == 0
        return found["problems"]

    one = files[0]
    key = f"Microsoft.Default {one.study} {one.series}"
    by_sop = f"sopinstanceuid = '{one.sop}'"
    assert findings(lambda t: t.delete(by_sop), "instance") == [
        f"table instance, {key} {one.sop}: the row is missing"
    ]
    assert findings(lambda t: t.update({"patientid": "'x'"}, predicate=by_sop), "instance") == [
        f"table instance, {key} {one.sop}: the row differs from the feed"
    ]
    by_series = f"\"seriesInstanceUid\" = '{one.series}'"
    assert findings(lambda t: t.update({"instanceCount": "7"}, predicate=by_series), "series") == [
        f"table series, {key}: the row differs from the feed"
    ]
    by_study = f"\"studyInstanceUid\" = '{one.study}'"
    rows = pyarrow.table(
        deltalake.QueryBuilder()
        .register("t", table_of(home, "study"))
        .execute(f"select * from t where {by_study}")
    )
    append = lambda t: deltalake.write_deltalake(t, rows, mode="append")  # noqa: E731
    assert findings(append, "study") == [f"table study, Microsoft.Default {one.study}: two rows"]


def test_verify_of_tables_that_are_not_all_there(home, tmp_path):
    save(tmp_path / "in", dicom.capture())
    where = ["--home", home]
    facts("import", *where, tmp_path / "in")
    facts("sync", *where)
    aside = tmp_path / "series"
    (home / "tables" / "dicom" / "series").rename(aside)
    found = facts("verify", *where, code=FAILED)
    assert found["problems"] == ["table series is missing beside the others"]
    assert found["tables"] == {"rows": 0, "problems": 1}
    aside.rename(home / "tables" / "dicom" / "series")


def test_verify_of_tables_that_are_named_and_not_there(home, tmp_path):
    """A name with a slip in it must not read as tables that are well."""
    save(tmp_path / "in", dicom.capture())
    facts("import", "--home", home, tmp_path / "in")
    slips = [
        ["--ContainerName", "dicon"],
        ["--StudyTablePath", "a", "--SeriesTablePath", "b", "--InstanceTablePath", "c"],
    ]
    for synced in (False, True):
        if synced:
            facts("sync", "--home", home)
        for slip in slips:
            found = facts("verify", "--home", home, *slip, code=FAILED)
            assert found["tables"] == {"rows": 0, "problems": 1}
            assert found["problems"][0].startswith("there are no tables in container dico")
            assert facts("verify", "--home", home, *slip, "--no-tables")["tables"] is None
    (tmp_path / "lake").mkdir()
    found = facts("verify", "--home", home, "--lake", tmp_path / "lake", code=FAILED)
    assert found["problemCount"] == 1
    assert facts("verify", "--home", home)["tables"]["problems"] == 0


def test_verify_of_tables_of_another_feed(home, tmp_path):
    """Nothing would be compared: that is no proof."""
    for name in ("one", "other"):
        save(tmp_path / name, dicom.capture())
        facts("import", "--home", tmp_path / f"{name}.home", tmp_path / name)
    facts("sync", "--home", tmp_path / "one.home", "--lake", tmp_path / "lake")
    good = facts("verify", "--home", tmp_path / "one.home", "--lake", tmp_path / "lake")
    assert good["tables"] == {"rows": 3, "problems": 0}
    done = run("verify", "--home", tmp_path / "other.home", "--lake", tmp_path / "lake")
    assert done.returncode == FAILED
    assert "the tables have rows, but none of this feed" in done.stderr


def test_verify_tells_of_the_archive_when_the_tables_cannot_be_compared(home, tmp_path):
    one, other = dicom.capture(), dicom.capture()
    save(tmp_path / "in", one, other)
    facts("import", "--home", home, tmp_path / "in")
    facts("sync", "--home", home)
    stored = min((home / "files" / "AHDS").rglob("*.dcm"))
    part = next((home / "tables" / "dicom" / "instance").rglob("*.parquet"))
    stored.rename(tmp_path / "stored")
    part.rename(tmp_path / "part")
    done = run("verify", "--home", home, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == FAILED
    assert (found["instances"], found["problemCount"]) == (2, 2)
    assert found["tables"] == {"rows": 0, "problems": 1}
    missing, gone = found["problems"]
    assert missing.endswith(f"{stored.name} is missing")
    assert f"{part.name} of the table is gone" in gone
    assert "comparing the tables with the feed" in done.stderr
    text = run("verify", "--home", home)
    assert text.returncode == FAILED
    assert [line.partition(":")[0] for line in text.stdout.splitlines()[:2]] == ["problem"] * 2
    (tmp_path / "stored").rename(stored)
    (tmp_path / "part").rename(part)


@pytest.mark.parametrize("mode", ["dv", "compat"])
def test_verify_beside_stores_and_a_sync(serve, tmp_path, mode):
    """While a service stores, replaces and deletes, and a sync follows it: no false alarm."""
    service = serve({"service.partitions": "on"})
    where = ["--home", service.home]
    partitions = ["clinic-A", "clinic-B"]
    first = [dicom.capture() for _ in range(10)]
    save(tmp_path / "in", *first)
    for name in partitions:
        facts("import", *where, "--partition", name, tmp_path / "in")
    facts("sync", *where, "--mode", mode)
    follower = start("sync", *where, "--follow", "--json")
    stop = threading.Event()
    stored = []

    def store():
        while not stop.is_set():
            for name in partitions:
                web = service.http.at(f"/v2/partitions/{name}")
                one = dicom.capture()
                assert web.store(one).status == 200
                assert web.store(one.with_(PatientID="other"), method="PUT").status == 200
                stored.append(one)
                if len(stored) % 3 == 0:
                    assert web.delete(f"/studies/{one.study}").status == 204

    study_version = lambda: facts("table", "show", "study", *where)["version"]  # noqa: E731
    begun = study_version()
    writer = threading.Thread(target=store)
    writer.start()
    try:
        for _ in range(4):
            before = len(stored)
            wait_for(lambda b=before: len(stored) > b + 4, what="further stores")
            found = facts("verify", *where)
            assert found["problems"] == []
            assert found["tables"]["rows"] > 0
        wait_for(lambda: study_version() > begun + 1, 120, "what the follower commits")
    finally:
        stop.set()
        writer.join()
        follower.send_signal(signal.SIGINT)
        out, err = follower.communicate(timeout=60)
    assert follower.returncode == DONE, err
    assert json.loads(out)["changes"] > 0
    facts("sync", *where)
    found = facts("verify", *where)
    assert found["problemCount"] == 0
    tables = {t["table"]: t["rows"] for t in facts("table", "list", *where)}
    assert found["tables"]["rows"] == sum(tables.values())
    searched = [facts("search", "instances", *where, "--partition", n, "--all") for n in partitions]
    assert tables["instance"] == sum(map(len, searched))
