"""Tables that others wrote, or that stand as the protocol describes them: what we read of them."""

import datetime as dt
import decimal
import json
import os
import uuid

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from support import delta, foreign
from support.delta import ids
from support.foreign import ID, UTC, rows_of
from support.readers import by_pyarrow, duckdb_extension


def same_as_delta_rs(folder, version=None):
    ours = delta.read(folder, *([] if version is None else ["-v", version]))
    assert ours == rows_of(by_pyarrow(folder, version))
    return ours


def check(folder):
    got = delta.Dump(folder, "-c")
    assert got.error is None, got.error
    return got.findings


# ---- delta-rs ----


def test_types_partitions_checkpoint_and_time_travel(tmp_path):
    folder = tmp_path / "t"
    foreign.with_a_past(folder)
    for version, count in foreign.PAST.items():
        assert len(same_as_delta_rs(folder, version)) == count
    assert check(folder) == []


def test_partition_columns_of_every_type(tmp_path):
    written = foreign.partitioned_by_every_type(tmp_path)
    assert delta.read(tmp_path) == written
    DeltaTable(tmp_path).create_checkpoint()
    assert delta.read(tmp_path) == written
    assert check(tmp_path) == []


def test_schema_evolution_merge_and_restore(tmp_path):
    foreign.evolved_and_merged(tmp_path)
    assert len(same_as_delta_rs(tmp_path)) == 4
    DeltaTable(tmp_path).restore(1)
    assert len(same_as_delta_rs(tmp_path)) == 3
    got = delta.Dump(tmp_path, "-h")
    done = [info["operation"] for info in got.history]
    assert done == ["RESTORE", "MERGE", "WRITE", "WRITE"]
    assert [info["version"] for info in got.history] == [3, 2, 1, 0]


def test_vacuumed_files_are_named_so(tmp_path):
    foreign.vacuumed(tmp_path)
    assert len(same_as_delta_rs(tmp_path)) == 2
    error = delta.refused(tmp_path, "-v", 0)
    assert error["status"] == "not_found" and "vacuumed" in error["message"]


def test_applications_and_properties(tmp_path):
    from deltalake import CommitProperties, Transaction

    for n in (5, 8):
        write_deltalake(
            tmp_path, pa.table({"id": [n]}), mode="append",
            configuration={"delta.appendOnly": "false"},
            commit_properties=CommitProperties(app_transactions=[Transaction("app", n)]),
        )  # fmt: skip
    DeltaTable(tmp_path).create_checkpoint()
    table = delta.Dump(tmp_path).table
    assert table["apps"] == {"app": 8}
    assert table["configuration"]["delta.appendOnly"] == "false"


def test_tables_of_the_duckdb_writer(tmp_path):
    if duckdb_extension() is None:
        pytest.skip("the package duckdb-extension-delta is not installed")
    write_deltalake(tmp_path / "t", pa.table({"id": [1, 2], "p": ["x", "y"]}), partition_by=["p"])
    con = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    con.execute(f"LOAD '{duckdb_extension()}'")
    con.execute(f"ATTACH '{tmp_path / 't'}' AS t (TYPE delta)")
    # 1.5.5 does not encode paths in the log, so that nobody, itself included, reads odd partitions
    con.execute("INSERT INTO t SELECT range + 10, 'zw' FROM range(50)")
    con.close()
    want = [{"id": 1, "p": "x"}, {"id": 2, "p": "y"}]
    want += [{"id": 10 + i, "p": "zw"} for i in range(50)]
    assert delta.read(tmp_path / "t") == delta.in_order(want)
    assert check(tmp_path / "t") == []


# ---- deletion vectors ----

ROWS = 200_000
SETS = {
    "one row": [7],
    "array": list(range(0, 4000, 3)),
    "a full array": list(range(4096)),
    "bitmap": list(range(0, 65536, 3)),
    "three containers": [0, 65535, 65536, 65537, 131071, 131072, ROWS - 1],
    "five containers": [1, 65536 + 1, 2 * 65536 + 1, 3 * 65536 + 1],
}


@pytest.mark.parametrize("runs", [False, True], ids=["plain", "runs"])
@pytest.mark.parametrize("prefix", ["", "ab"], ids=["root", "prefix"])
def test_deletion_vectors_in_files(tmp_path, prefix, runs):
    table = delta.Table(tmp_path / "t", ID, reader=["deletionVectors"])
    made, _ = delta.vectors(table.folder, *SETS.values(), prefix=prefix, runs=runs)
    for name, vector in zip(SETS, made, strict=True):
        numbers = pa.array(range(ROWS), pa.int64())
        table.commit(table.write({"id": numbers}, path=f"{name}.parquet", deletionVector=vector))
    got = delta.Dump(table.folder)
    assert got.error is None
    assert got.table["deleted_rows"] == sum(map(len, SETS.values()))
    assert got.table["rows"] == len(SETS) * ROWS - got.table["deleted_rows"]
    dead = {name: set(rows) for name, rows in SETS.items()}
    want = [i for rows in dead.values() for i in range(ROWS) if i not in rows]
    assert sorted(row["id"] for row in delta.Dump(table.folder, "-r").rows) == sorted(want)


def test_inline_and_absolute_vectors_and_a_second_one(tmp_path):
    table = delta.Table(tmp_path / "t", ID, reader=["deletionVectors"])
    first = table.write({"id": pa.array(range(10), pa.int64())})
    table.commit(first)
    second = {"add": {**first["add"], "deletionVector": delta.inline_vector([1, 2])}}
    table.commit(delta.remove(first), second)
    assert [r["id"] for r in delta.read(table.folder)] == [0, 3, 4, 5, 6, 7, 8, 9]
    (vector,), path = delta.vectors(table.folder, [1, 2, 3])
    vector = {**vector, "storageType": "p", "pathOrInlineDv": path.as_uri()}
    third = {"add": {**first["add"], "deletionVector": vector}}
    table.commit(third, delta.remove(second))  # in this order: removes count first
    assert [r["id"] for r in delta.read(table.folder)] == [0, 4, 5, 6, 7, 8, 9]
    assert [r["id"] for r in delta.read(table.folder, "-v", 0)] == list(range(10))
    assert check(table.folder) == []


@pytest.mark.parametrize("harm", ["checksum", "size", "cardinality", "gone", "beyond"])
def test_damaged_vectors_are_refused(tmp_path, harm):
    table = delta.Table(tmp_path / "t", ID, reader=["deletionVectors"])
    (vector,), path = delta.vectors(table.folder, [1, 5])
    body = bytearray(path.read_bytes())
    if harm == "checksum":
        body[-1] ^= 1
    elif harm == "size":
        body[4] ^= 1
    elif harm == "cardinality":
        vector["cardinality"] = 3
    elif harm == "beyond":
        vector["offset"] = 1000
    path.write_bytes(body)
    if harm == "gone":
        path.unlink()
    table.commit(table.write({"id": pa.array(range(9), pa.int64())}, deletionVector=vector))
    error = delta.refused(table.folder)
    assert error["status"] == ("not_found" if harm == "gone" else "corrupt"), error
    assert "deletion vector" in error["message"]


# ---- column mapping ----


@pytest.mark.parametrize("mode", ["name", "id"])
def test_column_mapping(tmp_path, mode):
    table = foreign.with_mapped_columns(tmp_path / "t", mode)
    got = delta.Dump(table.folder, "-r")
    assert got.error is None, got.error
    physical = {"col-4": 10, "col-5": "a"}
    assert delta.in_order(got.rows) == delta.in_order([
        {"id": 1, "new, name": "b", "s": physical, "part": 42,
         "l": [physical, None], "m": [["k", physical], ["n", None]]},
        {"id": 2, "new, name": None, "s": None, "part": 42, "l": [], "m": None},
        {"id": 3, "new, name": None, "s": None, "part": None, "l": None, "m": None},
    ])  # fmt: skip


# ---- partitions by hand ----


@pytest.mark.parametrize(
    ("kind", "text", "want"), [*foreign.PARTITION_VALUES, ("double", "NaN", "NaN")]
)
def test_partition_values(tmp_path, kind, text, want):
    table = foreign.partitioned(tmp_path / "t", kind)
    columns = {"id": ids(1)}
    action = table.write(columns, values={"p": text})
    table.commit(action)
    assert delta.read(table.folder) == [{"id": 1, "p": want}]
    # the log's value wins over a column of that name in the file
    more = table.write({**columns, "p": ["other"]}, values={"p": text})
    table.commit(more, delta.remove(action))
    assert delta.read(table.folder) == [{"id": 1, "p": want}]


@pytest.mark.parametrize(
    ("kind", "text"),
    [("integer", "x"), ("byte", "128"), ("date", "2020-02-30"), ("boolean", "1"),
     ("timestamp", "yesterday"), ("decimal(5,2)", "1.234"), ("double", "1.5x")],
)  # fmt: skip
def test_partition_values_that_are_none(tmp_path, kind, text):
    table = foreign.partitioned(tmp_path / "t", kind)
    table.commit(table.write({"id": ids(1)}, values={"p": text}))
    error = delta.refused(table.folder)
    assert error["status"] == "corrupt" and "'p'" in error["message"]


def test_odd_names_and_paths(tmp_path):
    table, rows = foreign.oddly_named(tmp_path / "t")
    assert delta.read(table.folder) == rows
    for form in foreign.with_absolute_path(table):  # the same file
        assert delta.read(table.folder)[-1] == {"id": 99}, form
    assert delta.read(table.folder) == rows


def test_files_of_another_place_are_refused(tmp_path):
    table = delta.Table(tmp_path / "t", ID)
    for path in foreign.with_file_elsewhere(table):
        error = delta.refused(table.folder)
        assert error["status"] in ("unsupported", "invalid", "corrupt"), (path, error)
    assert delta.read(table.folder) == []


# ---- schemas ----


def test_columns_by_name_missing_extra_and_void(tmp_path):
    table, rows = foreign.columns_by_name(tmp_path / "t")
    assert delta.read(table.folder) == rows


@pytest.mark.parametrize(("kind", "old", "wide", "want"), foreign.WIDENED, ids=foreign.WIDENED_IDS)
def test_type_widening(tmp_path, kind, old, wide, want):
    table = foreign.widened(tmp_path / "t", kind, old, wide)
    assert delta.read(table.folder) == [{"id": 1, "v": want}]


def test_types_that_differ_are_refused(tmp_path):
    table = delta.Table(tmp_path / "t", [*ID, delta.field("v", "long")])
    table.commit(table.write({"id": ids(1), "v": ["text"]}))
    assert delta.refused(table.folder)["status"] == "unsupported"


# ---- features ----


@pytest.mark.parametrize("name", ["someNewThing", "variantShredding", "catalogManaged"])
def test_unknown_reader_features_are_named(tmp_path, name):
    table = delta.Table(tmp_path / "t", ID, reader=[name])
    table.commit()
    error = delta.refused(table.folder)
    assert error["status"] == "unsupported" and f"'{name}'" in error["message"]


def test_unknown_writer_features_and_actions_do_not_matter_to_readers(tmp_path):
    table = delta.Table(tmp_path / "t", ID, writer=["someNewThing", "rowTracking", "domainMetadata"])
    action = table.write({"id": ids(1)})
    action["add"]["futureField"] = {"a": [1]}
    table.commit(action, {"futureAction": {"x": 1}}, {"cdc": {"path": "_change_data/x", "size": 1}})
    assert delta.read(table.folder) == [{"id": 1}]


def test_versions_beyond_us(tmp_path):
    table = delta.Table(tmp_path / "t", ID)
    table.protocol["protocol"]["minReaderVersion"] = 4
    table.commit()
    assert "version 4" in delta.refused(table.folder)["message"]


# ---- checkpoints ----


def five_commits(folder, **options):
    """(table, live adds, tombstones): a file a commit, the first one removed."""
    table = delta.Table(folder, ID, **options)
    adds = []
    for i in range(5):
        adds.append(table.write({"id": ids(i)}))
        gone = [delta.remove(adds[0])] if i == 4 else []
        table.commit(adds[-1], {"txn": {"appId": "a", "version": i}}, *gone)
    quiet = [{"add": {**a["add"], "dataChange": False}} for a in adds[1:]]
    return table, quiet, [delta.remove(adds[0])]


def forget(table, versions):
    """Commits that only a checkpoint can stand for now."""
    for version in versions:
        table.commit_path(version).unlink()


LEFT = [{"id": 1}, {"id": 2}, {"id": 3}, {"id": 4}]
TXN = {"txn": {"appId": "a", "version": 4}}


def checked(table, rows=LEFT):
    assert delta.read(table.folder) == rows
    assert delta.Dump(table.folder).table["apps"] == {"a": 4}
    table.commit(table.write({"id": ids(7)}))
    assert delta.read(table.folder) == [*rows, {"id": 7}]


def test_classic_checkpoint(tmp_path):
    table, adds, gone = five_commits(tmp_path / "t")
    table.checkpoint([*table.heads(), TXN, *adds, *gone])
    table.last_checkpoint()
    forget(table, range(5))
    checked(table)
    error = delta.refused(table.folder, "-v", 2)
    assert error["status"] == "not_found" and "4" in error["hint"]
    error = delta.refused(table.folder, "-v", 9)
    assert error["status"] == "not_found" and "newest version is 5" in error["hint"]


@pytest.mark.parametrize("pointer", [None, "", "{", '{"version":99}', '{"version":"4"}', "[]", '{"version":-1}'])
def test_the_pointer_is_a_hint_only(tmp_path, pointer):
    table, adds, gone = five_commits(tmp_path / "t")
    table.checkpoint([*table.heads(), TXN, *adds, *gone])
    if pointer is not None:
        table.last_checkpoint(text=pointer)
    forget(table, range(4))
    checked(table)


def test_multi_part_checkpoint(tmp_path):
    table, adds, gone = five_commits(tmp_path / "t")
    parts = [[*table.heads(), TXN, adds[0]], adds[1:3], [*adds[3:], *gone]]
    names = [
        table.checkpoint(part, f"{4:020}.checkpoint.{i + 1:010}.{len(parts):010}.parquet")
        for i, part in enumerate(parts)
    ]
    # parts of another try, not all of them
    table.checkpoint(parts[1], f"{4:020}.checkpoint.{2:010}.{4:010}.parquet")
    kept = {v: table.commit_path(v).read_bytes() for v in range(4)}
    forget(table, range(4))
    assert delta.read(table.folder) == LEFT
    (table.log / names[1]).write_bytes(b"")  # an empty file is none: no checkpoint is complete
    assert delta.refused(table.folder)["status"] == "corrupt"
    for version, text in kept.items():
        table.commit_path(version).write_bytes(text)
    assert delta.read(table.folder) == LEFT


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    table, adds, gone = five_commits(tmp_path / "t")
    name = table.checkpoint([*table.heads(), TXN, *adds, *gone])
    table.last_checkpoint()
    body = (table.log / name).read_bytes()
    (table.log / name).write_bytes(body[: len(body) // 2])
    assert delta.read(table.folder) == LEFT
    assert any("checkpoint 4" in finding for finding in check(table.folder))


@pytest.mark.parametrize("form", ["json", "parquet", "classic name"])
@pytest.mark.parametrize("sidecars", [0, 1, 3])
def test_v2_checkpoints(tmp_path, form, sidecars):
    table, adds, gone = five_commits(tmp_path / "t", reader=["v2Checkpoint"])
    files = [*adds, *gone]
    actions = [{"checkpointMetadata": {"version": 4}}, *table.heads(), TXN]
    for i in range(sidecars):
        name = f"{uuid.uuid4()} s.parquet"
        size = delta.write_actions(table.log / "_sidecars" / name, files[i::sidecars])
        path = delta.encode(name)
        actions.append({"sidecar": {"path": path, "sizeInBytes": size, "modificationTime": 1}})
    if sidecars == 0:
        actions += files
    stem = f"{4:020}.checkpoint.{uuid.uuid4()}"
    if form == "json":
        (table.log / f"{stem}.json").write_text(delta.lines(*actions))
    else:
        table.checkpoint(actions, f"{stem}.parquet" if form == "parquet" else None)
    forget(table, range(4))
    checked(table)


def test_struct_statistics_only(tmp_path):
    """delta.checkpoint.writeStatsAsJson = false: what is written as structs reads as the text."""
    fields = [
        *ID, delta.field("t", "timestamp"), delta.field("c", "decimal(10,2)"),
        delta.field("f", "double"), delta.field("d", "date"), delta.field("b", "boolean"),
        delta.field("s", {"type": "struct", "fields": [
            delta.field("x", "string"),
            delta.field("l", {"type": "array", "elementType": "long", "containsNull": True})]}),
        delta.field("p", "date"),
    ]  # fmt: skip
    table = delta.Table(tmp_path / "t", fields, ["p"])
    action = table.write({"id": ids(1, 2, 3)}, values={"p": "2021-05-06"})
    table.commit(action)
    at = dt.datetime(2020, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    inner = pa.struct([("x", pa.string())])
    bounds = pa.struct([
        ("id", pa.int64()), ("t", pa.timestamp("us", "UTC")), ("c", pa.decimal128(10, 2)),
        ("f", pa.float64()), ("d", pa.date32()), ("s", inner),
    ])  # fmt: skip
    nulls = pa.struct([("id", pa.int64()), ("s", pa.struct([("x", pa.int64()), ("l", pa.int64())]))])
    parsed = pa.struct([
        ("numRecords", pa.int64()), ("minValues", bounds), ("maxValues", bounds), ("nullCount", nulls),
    ])  # fmt: skip
    low = {"id": 1, "t": at, "c": decimal.Decimal("-0.05"), "f": float("nan"), "d": at.date(), "s": {"x": "a"}}
    high = {**low, "id": 3, "t": at + dt.timedelta(microseconds=1), "s": None}
    body = {k: v for k, v in action["add"].items() if k not in ("stats", "partitionValues")}
    body["stats_parsed"] = {
        "numRecords": 3, "minValues": low, "maxValues": high,
        "nullCount": {"id": 0, "s": {"x": 2, "l": 3}},
    }  # fmt: skip
    body["partitionValues_parsed"] = {"p": dt.date(2021, 5, 6)}
    kind = pa.struct([
        *[pair for pair in delta.ADD if pair[0] not in ("stats", "partitionValues")],
        ("stats_parsed", parsed), ("partitionValues_parsed", pa.struct([("p", pa.date32())])),
    ])  # fmt: skip
    table.checkpoint([*table.heads(), {"add": body}], schema_of={"add": kind})
    forget(table, [0])
    got = delta.Dump(table.folder, "-f", "-r")
    assert got.error is None, got.error
    (file,) = got.files
    assert file["rows"] == 3 and file["partition_values"] == {"p": "2021-05-06"}
    assert {row["p"] for row in got.rows} == {"2021-05-06"}
    text = "2020-01-02T03:04:05.678Z"
    minimum = {"id": 1, "t": text, "c": -0.05, "f": "NaN", "d": "2020-01-02", "s": {"x": "a"}}
    maximum = {**minimum, "id": 3, "t": "2020-01-02T03:04:05.679Z"}
    del maximum["s"]
    assert json.loads(file["stats"]) == {
        "numRecords": 3, "minValues": minimum, "maxValues": maximum,
        "nullCount": {"id": 0, "s": {"x": 2, "l": 3}},
    }  # fmt: skip


def test_compactions_stand_for_commits(tmp_path):
    table, adds, gone = five_commits(tmp_path / "t")
    text = delta.lines({"txn": {"appId": "a", "version": 3}}, *adds[:3])
    (table.log / f"{1:020}.{3:020}.compacted.json").write_text(text)
    for version in (1, 2, 3):
        table.commit_path(version).write_text("this is read by nobody")
    checked(table)
    # one that reaches beyond the target is of no use
    error = delta.refused(table.folder, "-v", 2)
    assert error["status"] == "corrupt" and "commit 1, line 1" in error["message"]


# ---- the log ----


@pytest.mark.parametrize(
    ("harm", "words"),
    [("gap", "commit 2 is missing"), ("torn", "commit 4, line 3"), ("no start", "commit 0 is missing"),
     ("no metadata", "no metaData"), ("empty folder", "there is no Delta table")],
)  # fmt: skip
def test_damaged_logs(tmp_path, harm, words):
    table, _, _ = five_commits(tmp_path / "t")
    if harm == "gap":
        forget(table, [2])
    elif harm == "torn":
        text = table.commit_path(4).read_text()
        table.commit_path(4).write_text("".join(text.splitlines(True)[:3])[:-9])
    elif harm == "no start":
        forget(table, [0, 1])
    elif harm == "no metadata":
        first = table.commit_path(0)
        keep = [line for line in first.read_text().splitlines() if "metaData" not in line]
        first.write_text("\n".join(keep))
    else:
        for file in table.log.iterdir():
            file.unlink()
    error = delta.refused(table.folder)
    assert error["status"] == ("not_found" if harm == "empty folder" else "corrupt")
    assert words in error["message"], error


def test_values_may_span_lines(tmp_path):
    table, _, _ = five_commits(tmp_path / "t")
    for version in range(5):
        path = table.commit_path(version)
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("\n\n".join(json.dumps(a, indent=2) for a in actions))
    assert delta.read(table.folder) == LEFT


def touch(table, version, second):
    os.utime(table.commit_path(version), (second, second))


def test_time_travel_by_file_times(tmp_path):
    table = delta.Table(tmp_path / "t", ID)
    for i in range(4):
        table.commit(table.write({"id": ids(i)}))
    for version, second in enumerate([100, 200, 150, 300]):  # 2 counts as 200.001
        touch(table, version, second)
    for us, version in [(100_000_000, 0), (199_999_999, 0), (200_000_999, 1), (200_001_000, 2),
                        (299_999_999, 2), (300_000_000, 3), (10**15, 3)]:  # fmt: skip
        assert delta.Dump(table.folder, "-t", us).table["version"] == version, us
    assert delta.refused(table.folder, "-t", 99_999_999)["status"] == "not_found"


def test_time_travel_by_in_commit_timestamps(tmp_path):
    table = delta.Table(
        tmp_path / "t", ID, writer=["inCommitTimestamp"],
        configuration={"delta.enableInCommitTimestamps": "true",
                       "delta.inCommitTimestampEnablementVersion": "2",
                       "delta.inCommitTimestampEnablementTimestamp": "250000"},
    )  # fmt: skip
    for i in range(6):
        info = {"inCommitTimestamp": 250_000 + 100_000 * (i - 2)} if i >= 2 else None
        table.commit(table.write({"id": ids(i)}), info=info)
        touch(table, i, [100, 200, 900, 900, 900, 900][i])
    for ms, version in [(100_000, 0), (249_999, 1), (250_000, 2), (349_999, 2), (350_000, 3),
                        (549_999, 4), (550_000, 5), (10**12, 5)]:  # fmt: skip
        got = delta.Dump(table.folder, "-t", ms * 1000).table
        assert got["version"] == version, ms
    assert delta.Dump(table.folder).table["timestamp_ms"] == 550_000


# ---- our own check sees damage ----


def test_check_finds_what_is_wrong(tmp_path):
    table = delta.Table(tmp_path / "t", [*ID, delta.field("s", "string")], reader=["deletionVectors"])
    columns = {"id": ids(1, 2, 3), "s": ["a", None, "c"]}
    good = {"numRecords": 3, "minValues": {"id": 1, "s": "a"}, "maxValues": {"id": 3, "s": "c"},
            "nullCount": {"id": 0, "s": 1}}  # fmt: skip
    wrong = [
        ({**good, "numRecords": 4}, "has 3 rows"),
        ({**good, "minValues": {"id": 2}}, "column id has values beyond"),
        ({**good, "maxValues": {"s": "b"}}, "column s has values beyond"),
        ({**good, "nullCount": {"s": 0}}, "column s is NULL 1 times"),
    ]
    for stats, words in wrong:
        action = table.write(columns, stats=False)
        action["add"]["stats"] = json.dumps(stats)
        table.commit(action)
        assert [words in finding for finding in check(table.folder)] == [True], words
        table.commit(delta.remove(action))
    assert check(table.folder) == []
    action = table.write(columns, deletionVector=delta.inline_vector([1, 3]))
    action["add"]["size"] += 1
    table.commit(action)
    found = check(table.folder)
    assert len(found) == 2 and "bytes" in found[0] and "names row 3 of 3" in found[1], found
    (table.folder / action["add"]["path"]).unlink()
    assert len(check(table.folder)) == 1


def test_check_compares_checkpoint_and_checksum(tmp_path):
    table, adds, gone = five_commits(tmp_path / "t")
    table.checkpoint([*table.heads(), TXN, *adds, *gone])
    crc = table.log / f"{4:020}.crc"
    crc.write_text(json.dumps({"numFiles": 4, "tableSizeBytes": 0}))
    found = check(table.folder)
    assert len(found) == 1 and "tableSizeBytes is 0" in found[0], found
    crc.unlink()
    assert check(table.folder) == []
    table.checkpoint([*table.heads(), {"txn": {"appId": "a", "version": 3}}, *adds[1:], *gone])
    table.last_checkpoint()
    found = "\n".join(check(table.folder))
    assert "is missing" in found and "application a" in found
