"""Tables that we maintained, read by delta-rs and DuckDB; and their maintenance on our tables, ours on
theirs. Rows follow from their id (tests/unit/delta/tables.c), so the live ids are the whole table."""

import datetime
import json
import pathlib
import subprocess

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import delta
from support.readers import by_delta_rs, by_duckdb, duckdb_extension
from support.server import unit_program

UTC = datetime.timezone.utc


def write(folder, mode, commits):
    """A table of ours; its live ids with their partitions."""
    done = subprocess.run(
        [unit_program("delta/delta_write"), str(folder), mode, str(commits)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {}
    for line in done.stdout.splitlines():
        number, _, partition = line.partition(" ")
        rows[int(number)] = partition or None
    assert len(rows) > 20
    return rows


def maintain(folder, *verbs, fails=False):
    """What each verb said."""
    done = subprocess.run(
        [unit_program("delta/delta_maintain"), str(folder), *map(str, verbs)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout.splitlines()


def killed(rows, modulus):
    return {number: partition for number, partition in rows.items() if number % modulus}


def row_of(number, partition):
    """The row that the program makes of an id."""
    tags = None if number % 4 == 3 else [f"t{number}.{i}" for i in range(number % 4)]
    at = datetime.datetime.fromtimestamp(1600000000, UTC) + datetime.timedelta(
        microseconds=number * 1000001
    )
    return {
        "partitionName": partition, "id": number,
        "name": f"näme {number}" if number % 7 else None,
        "at": at if number % 11 else None, "score": number / 4, "tags": tags,
        "info": None if number % 5 == 0 else (f"S{number % 3}", number * 25),
    }  # fmt: skip


def plain(row):
    """A row as readers give it, with the struct as a pair of text and hundredths."""
    info = row["info"]
    if info is not None and info["site"] is not None:
        info = (info["site"], int(info["dose"] * 100))
    else:
        info = None
    return {**row, "info": info}


def rows_by_id(table):
    return {row["id"]: plain(row) for row in table.to_pylist()}


@pytest.fixture
def judge():
    """Every reader there is finds these rows, whole."""

    def check(folder, rows):
        want = {number: row_of(number, partition) for number, partition in rows.items()}
        assert rows_by_id(by_delta_rs(folder)) == want
        if duckdb_extension():
            assert rows_by_id(by_duckdb(folder)) == want
        ours = delta.Dump(folder, "-r", "-c")
        assert ours.error is None, ours.error
        assert sorted(row["id"] for row in ours.rows) == sorted(rows)
        assert ours.findings == []

    return check


def test_duckdb_judges_too():
    if not duckdb_extension():
        pytest.skip("no package duckdb-extension-delta: delta-rs judges alone")


@pytest.mark.parametrize("mode", ["dv", "compat"])
def test_after_checkpoints(tmp_path, judge, mode):
    rows = write(tmp_path, mode, 23)
    log = tmp_path / "_delta_log"
    assert (log / f"{20:020}.checkpoint.parquet").exists()
    judge(tmp_path, rows)
    assert maintain(tmp_path, "checkpoint") == ["checkpoint 23"]
    for file in log.glob("*.json"):
        if file.name < f"{23:020}":
            file.unlink()
    judge(tmp_path, rows)


def test_checkpoint_is_plain_parquet(tmp_path):
    """V1 pages, snappy, no booleans by RLE (Fabric), one action a row."""
    write(tmp_path, "dv", 12)
    (path,) = (tmp_path / "_delta_log").glob("*.checkpoint.parquet")
    file = pq.ParquetFile(path)
    hint = json.loads((tmp_path / "_delta_log/_last_checkpoint").read_text())
    assert hint["size"] == file.metadata.num_rows
    assert hint["sizeInBytes"] == path.stat().st_size
    for group in range(file.metadata.num_row_groups):
        for at in range(file.metadata.num_columns):
            column = file.metadata.row_group(group).column(at)
            assert column.compression in ("SNAPPY", "UNCOMPRESSED")
            assert "DELTA" not in "".join(column.encodings)
    rows = file.read().to_pylist()
    assert all(sum(value is not None for value in row.values()) == 1 for row in rows)
    assert hint["numOfAddFiles"] == sum(row["add"] is not None for row in rows)
    assert sum(row["protocol"] is not None for row in rows) == 1
    assert sum(row["metaData"] is not None for row in rows) == 1
    assert [row["txn"]["appId"] for row in rows if row["txn"]] == ["dicomlake:test:rows"]


def test_checksum_file(tmp_path):
    """What `.crc` says is what delta-rs counts."""
    rows = write(tmp_path, "dv", 9)
    crc = json.loads((tmp_path / f"_delta_log/{9:020}.crc").read_text())
    table = deltalake.DeltaTable(tmp_path)
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    assert crc["numFiles"] == len(actions)
    assert crc["tableSizeBytes"] == sum(action["size_bytes"] for action in actions)
    physical = sum(action["num_records"] for action in actions)
    assert physical - crc["numDeletedRecordsOpt"] == len(rows)
    assert crc["metadata"]["id"] == str(table.metadata().id)
    assert crc["setTransactions"][0]["version"] == 9


def test_after_compaction(tmp_path, judge):
    rows = write(tmp_path, "dv", 30)
    before = len(deltalake.DeltaTable(tmp_path).file_uris())
    said = maintain(tmp_path, "optimize", 1)
    assert said[0].startswith("optimize 4 jobs"), said
    table = deltalake.DeltaTable(tmp_path)
    assert len(table.file_uris()) == 4 < before
    info = table.history(1)[0]
    assert info["operation"] == "OPTIMIZE"
    judge(tmp_path, rows)
    metrics = info["operationMetrics"]
    assert int(metrics["numAddedFiles"]) == 1 and int(metrics["numRemovedFiles"]) >= 2
    assert metrics["minFileSize"] == metrics["maxFileSize"] == metrics["numAddedBytes"]
    maintain(tmp_path, "kill", 3, "optimize", 0, "checkpoint")
    assert len(deltalake.DeltaTable(tmp_path).file_uris()) == 4
    judge(tmp_path, killed(rows, 3))


def test_after_vacuum(tmp_path, judge):
    rows = write(tmp_path, "dv", 30)
    maintain(tmp_path, "optimize", 0)
    judge(tmp_path, rows)
    (tmp_path / "orphan.parquet").write_bytes(b"x")
    (said,) = maintain(tmp_path, "vacuum", 0)
    assert int(said.split()[1]) > 20
    data = [p for p in tmp_path.rglob("*") if p.is_file() and "_delta_log" not in p.parts]
    assert len(data) == 4
    judge(tmp_path, rows)
    history = deltalake.DeltaTable(tmp_path).history(2)
    assert [info["operation"] for info in history] == ["VACUUM END", "VACUUM START"]
    assert "NotFound" not in maintain(tmp_path, "restore", 3, fails=True)


def test_after_restore(tmp_path, judge):
    rows = write(tmp_path, "dv", 12)
    judge(tmp_path, rows)
    said = maintain(tmp_path, "kill", 3, "kill", 2)
    judge(tmp_path, killed(killed(rows, 3), 2))
    assert int(said[0].split()[1]) > 0
    maintain(tmp_path, "restore", 13)
    judge(tmp_path, killed(rows, 3))
    maintain(tmp_path, "restore", 12)
    judge(tmp_path, rows)
    assert deltalake.DeltaTable(tmp_path).transaction_version("dicomlake:test:rows") == 12
    maintain(tmp_path, "restore", 5, "checkpoint")
    assert deltalake.DeltaTable(tmp_path).transaction_version("dicomlake:test:rows") == 5
    maintain(tmp_path, "restore", 0)
    assert deltalake.DeltaTable(tmp_path).transaction_version("dicomlake:test:rows") == -1
    assert by_delta_rs(tmp_path).num_rows == 0


def test_after_changes_of_mode(tmp_path, judge):
    rows = write(tmp_path, "dv", 14)
    maintain(tmp_path, "kill", 5)
    rows = killed(rows, 5)
    maintain(tmp_path, "mode", "compat")
    judge(tmp_path, rows)
    configuration = deltalake.DeltaTable(tmp_path).metadata().configuration
    assert configuration["delta.enableDeletionVectors"] == "false"
    actions = delta.Dump(tmp_path, "-f").files
    assert all(not (file.get("dv") or file.get("deletionVector")) for file in actions)
    maintain(tmp_path, "mode", "dv", "kill", 7)
    judge(tmp_path, killed(rows, 7))


def test_compat_to_vectors(tmp_path, judge):
    rows = write(tmp_path, "compat", 6)
    before = deltalake.DeltaTable(tmp_path)
    assert before.protocol().min_reader_version == 1
    before.to_pyarrow_table()  # the interface that knows no vectors
    maintain(tmp_path, "mode", "dv", "kill", 3)
    judge(tmp_path, killed(rows, 3))


def test_the_matrix_is_right_about_delta_rs(tmp_path):
    """to_pyarrow_table refuses what the matrix says it refuses."""
    write(tmp_path, "dv", 3)
    assert any(line.startswith("refuses") for line in maintain(tmp_path, "reader", "delta-rs"))
    with pytest.raises(Exception, match="(?i)deletion"):
        deltalake.DeltaTable(tmp_path).to_pyarrow_table()


# ---- theirs on ours ----


def test_their_maintenance_on_our_table(tmp_path, judge):
    rows = write(tmp_path, "compat", 12)
    table = deltalake.DeltaTable(tmp_path)
    table.optimize.compact()
    judge(tmp_path, rows)
    table.create_checkpoint()
    judge(tmp_path, rows)
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    judge(tmp_path, rows)
    maintain(tmp_path, "checkpoint", "vacuum", 0, "optimize", 0)
    judge(tmp_path, rows)


def test_their_vacuum_keeps_our_vectors(tmp_path, judge):
    rows = write(tmp_path, "dv", 12)
    maintain(tmp_path, "optimize", 3, "kill", 4)
    rows = killed(rows, 4)
    table = deltalake.DeltaTable(tmp_path)
    table.create_checkpoint()
    judge(tmp_path, rows)
    # delta-rs 1.6.6 looks at data files only: our vectors' files are none
    gone = table.vacuum(retention_hours=0, dry_run=True, enforce_retention_duration=False)
    assert not any(name.endswith(".bin") for name in gone)


# ---- ours on theirs ----


def their_table(folder, count=6):
    rows = {}
    for i in range(count):
        part = {
            "id": [i * 10 + k for k in range(10)],
            "p": [["x", "y z", None][i % 3]] * 10,
            "t": [f"text {i * 10 + k}" for k in range(10)],
        }
        rows.update(zip(part["id"], zip(part["p"], part["t"])))
        deltalake.write_deltalake(folder, pa.table(part), mode="append", partition_by=["p"])
    return rows


def their_rows(folder):
    got = deltalake.DeltaTable(folder).to_pyarrow_table().to_pylist()
    return {row["id"]: (row["p"], row["t"]) for row in got}


def test_our_maintenance_on_their_table(tmp_path):
    rows = their_table(tmp_path)
    assert their_rows(tmp_path) == rows
    maintain(tmp_path, "checkpoint")
    assert their_rows(tmp_path) == rows
    maintain(tmp_path, "optimize", 0)
    assert len(deltalake.DeltaTable(tmp_path).file_uris()) == 3
    assert their_rows(tmp_path) == rows
    (said,) = maintain(tmp_path, "vacuum", 0)
    assert said.startswith("vacuum 6 files")
    assert their_rows(tmp_path) == rows
    deltalake.DeltaTable(tmp_path).delete("id % 2 = 0")
    rows = {number: row for number, row in rows.items() if number % 2}
    assert their_rows(tmp_path) == rows
    maintain(tmp_path, "optimize", 0, "checkpoint", "vacuum", 0)
    assert their_rows(tmp_path) == rows
    assert delta.Dump(tmp_path, "-c").findings == []


def test_our_restore_on_their_table(tmp_path):
    rows = their_table(tmp_path)
    version = deltalake.DeltaTable(tmp_path).version()
    deltalake.DeltaTable(tmp_path).delete("id < 30")
    maintain(tmp_path, "restore", version)
    assert their_rows(tmp_path) == rows
    assert deltalake.DeltaTable(tmp_path).history(1)[0]["operation"] == "RESTORE"
    deltalake.DeltaTable(tmp_path).restore(0)  # and theirs goes on
    maintain(tmp_path, "mode", "dv", "kill", 2)
    left = {n: row for n, row in rows.items() if n < 10 and n % 2}
    got = pa.table(
        deltalake.QueryBuilder()
        .register("t", deltalake.DeltaTable(tmp_path))
        .execute("select * from t")
    )
    assert {row["id"]: (row["p"], row["t"]) for row in got.to_pylist()} == left


def test_names_that_are_encoded(tmp_path):
    """Vacuum compares decoded paths: nothing that lives goes."""
    rows = {}
    for i, name in enumerate(["a=b:c", "ward 7/ä%", "100%", "q?#", "[x]^"]):
        part = {"id": [i], "p": [name], "t": ["x"]}
        rows[i] = (name, "x")
        deltalake.write_deltalake(tmp_path, pa.table(part), mode="append", partition_by=["p"])
    (said,) = maintain(tmp_path, "vacuum", 0)
    assert said.startswith("vacuum 0 files")
    assert their_rows(tmp_path) == rows
    maintain(tmp_path, "optimize", 0, "vacuum", 0, "checkpoint")
    assert their_rows(tmp_path) == rows
    assert pathlib.Path(tmp_path).exists()
