"""Tables that others wrote, or that stand as the protocol describes them: what we read of them."""

import datetime as dt
import decimal
import json
import os
import pathlib
import uuid

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from support import delta

UTC = dt.timezone.utc
ID = [delta.field("id", "long")]
ODD = ["ward 7/ä%", "a=b:c", "x", None, "%41", "é#?", "a+b", "q\"uote", "tab\there", "{z}"]


def value(v):
    """A value of pyarrow as delta_dump shows it."""
    if isinstance(v, dt.datetime):
        text = v.astimezone(UTC).replace(tzinfo=None) if v.tzinfo else v
        return text.isoformat(timespec="microseconds") + ("Z" if v.tzinfo else "")
    if isinstance(v, dt.date):
        return v.isoformat()
    if isinstance(v, decimal.Decimal):
        return str(v)
    if isinstance(v, bytes):
        return v.hex()
    if isinstance(v, dict):
        return {k: value(w) for k, w in v.items()}
    if isinstance(v, (list, tuple)):
        return [value(w) for w in v]
    return v


def expected(table):
    return delta.in_order([value(row) for row in table.to_pylist()])


def same_as_delta_rs(folder, version=None):
    theirs = DeltaTable(folder, version=version).to_pyarrow_table()
    ours = delta.read(folder, *([] if version is None else ["-v", version]))
    assert ours == expected(theirs)


def check(folder):
    got = delta.Dump(folder, "-c")
    assert got.error is None, got.error
    return got.findings


def every_type(first, count, parts):
    at = range(first, first + count)
    pick = lambda make: [None if i % 7 == 6 else make(i) for i in at]  # noqa: E731
    z = pa.struct([("z", pa.string())])
    return pa.table({
        "id": pa.array(at, pa.int64()),
        "p": pa.array([parts[i % len(parts)] for i in at]),
        "i": pa.array(pick(lambda i: i), pa.int32()),
        "h": pa.array(pick(lambda i: i), pa.int16()),
        "y": pa.array(pick(lambda i: i % 100), pa.int8()),
        "f": pa.array(pick(lambda i: i / 4), pa.float32()),
        "g": pa.array(pick(lambda i: i / 3), pa.float64()),
        "b": pa.array(pick(lambda i: i % 2 == 0)),
        "x": pa.array(pick(lambda i: bytes([i % 256, 0, 255]))),
        "d": pa.array(pick(lambda i: dt.date(1960, 1, 1) + dt.timedelta(300 * i))),
        "t": pa.array(
            pick(lambda i: dt.datetime(1969, 12, 31, tzinfo=UTC) + dt.timedelta(microseconds=i * 34567891234)),
            pa.timestamp("us", "UTC"),
        ),
        "c": pa.array(pick(lambda i: decimal.Decimal(i - 20) / 4), pa.decimal128(10, 2)),
        "e": pa.array(pick(lambda i: decimal.Decimal(10**25 + i)), pa.decimal128(38, 3)),
        "l": pa.array(pick(lambda i: [str(k) if k else None for k in range(i % 4)]), pa.list_(pa.string())),
        "s": pa.array(
            pick(lambda i: {"x": i, "y": {"z": str(i)} if i % 2 else None}),
            pa.struct([("x", pa.int32()), ("y", z)]),
        ),
        "m": pa.array(
            pick(lambda i: [(f"k{k}", k if k != 1 else None) for k in range(i % 3)]),
            pa.map_(pa.string(), pa.int64()),
        ),
    })  # fmt: skip


# ---- delta-rs ----


def test_types_partitions_checkpoint_and_time_travel(tmp_path):
    folder = tmp_path / "t"
    for k in range(6):
        rows = every_type(k * 20, 20, ODD)
        write_deltalake(folder, rows, mode="append", partition_by=["p"])
        if k == 3:
            DeltaTable(folder).create_checkpoint()
    DeltaTable(folder).delete("id = 3 or id >= 110")
    DeltaTable(folder).optimize.compact()
    newest = DeltaTable(folder).version()
    assert newest == 7
    for version in range(newest + 1):
        same_as_delta_rs(folder, version)
    assert check(folder) == []


def test_partition_columns_of_every_type(tmp_path):
    at = [dt.datetime(2020, 2, 3, 4, 5, 6, 789012, tzinfo=UTC), dt.datetime(1965, 1, 1, tzinfo=UTC), None]
    table = pa.table({
        "id": pa.array(range(9), pa.int64()),
        "i": pa.array([1, -7, None] * 3, pa.int32()),
        "d": pa.array([dt.date(2020, 2, 29), dt.date(1900, 1, 1), None] * 3),
        "t": pa.array(at * 3, pa.timestamp("us", "UTC")),
        "b": pa.array([True, False, None] * 3),
        "c": pa.array([decimal.Decimal("1.50"), decimal.Decimal("0.25"), None] * 3, pa.decimal128(8, 2)),
        "g": pa.array([1.5, -0.25, None] * 3, pa.float64()),
    })  # fmt: skip
    write_deltalake(tmp_path, table, partition_by=["i", "d", "t", "b", "c", "g"])
    assert delta.read(tmp_path) == expected(table)
    DeltaTable(tmp_path).create_checkpoint()
    assert delta.read(tmp_path) == expected(table)
    assert check(tmp_path) == []


def test_schema_evolution_merge_and_restore(tmp_path):
    write_deltalake(tmp_path, pa.table({"id": pa.array([1, 2], pa.int64())}))
    more = pa.table({"id": pa.array([3], pa.int64()), "new": ["n"]})
    write_deltalake(tmp_path, more, mode="append", schema_mode="merge")
    source = pa.table({"id": pa.array([2, 9], pa.int64()), "new": ["two", "nine"]})
    merge = DeltaTable(tmp_path).merge(source, "t.id = s.id", source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()
    same_as_delta_rs(tmp_path)
    DeltaTable(tmp_path).restore(1)
    same_as_delta_rs(tmp_path)
    got = delta.Dump(tmp_path, "-h")
    done = [info["operation"] for info in got.history]
    assert done == ["RESTORE", "MERGE", "WRITE", "WRITE"]
    assert [info["version"] for info in got.history] == [3, 2, 1, 0]


def test_vacuumed_files_are_named_so(tmp_path):
    write_deltalake(tmp_path, pa.table({"id": [1, 2, 3]}))
    DeltaTable(tmp_path).delete("id = 2")
    DeltaTable(tmp_path).vacuum(0, dry_run=False, enforce_retention_duration=False)
    same_as_delta_rs(tmp_path)
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
    extension = pytest.importorskip("duckdb_extension_delta", reason="no duckdb-extension-delta")
    import duckdb

    file = next(pathlib.Path(extension.__file__).parent.rglob("delta.duckdb_extension"))
    write_deltalake(tmp_path / "t", pa.table({"id": [1, 2], "p": ["x", "y"]}), partition_by=["p"])
    con = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    con.execute(f"LOAD '{file}'")
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
        ids = pa.array(range(ROWS), pa.int64())
        table.commit(table.write({"id": ids}, path=f"{name}.parquet", deletionVector=vector))
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


def mapped(name, kind, number, physical):
    names = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": physical}
    return delta.field(name, kind, names)


INNER = {"type": "struct", "fields": [mapped("x y", "long", 4, "col-4"), mapped("z", "string", 5, "col-5")]}


@pytest.mark.parametrize("mode", ["name", "id"])
def test_column_mapping(tmp_path, mode):
    """A renamed column, a dropped one, a nested one, a mapped partition column."""
    table = delta.Table(
        tmp_path / "t",
        [mapped("id", "long", 1, "col-1"), mapped("new, name", "string", 2, "col-2"),
         mapped("s", INNER, 3, "col-3"), mapped("part", "integer", 6, "col-6")],
        partitions=["part"], reader=["columnMapping"],
        configuration={"delta.columnMapping.mode": mode, "delta.columnMapping.maxColumnId": "7"},
    )  # fmt: skip

    def column(name, kind, number):
        # by id, the names in the files say nothing
        return pa.field(
            name if mode == "name" else f"other-{number}", kind,
            metadata={"PARQUET:field_id": str(number)},
        )  # fmt: skip

    inner = pa.struct([column("col-4", pa.int64(), 4), column("col-5", pa.string(), 5)])
    fields = pa.schema([
        column("col-7", pa.string(), 7),  # dropped from the table
        column("col-2", pa.string(), 2), column("col-1", pa.int64(), 1), column("col-3", inner, 3),
    ])  # fmt: skip
    names = inner.field(0).name, inner.field(1).name
    rows = [{names[0]: 10, names[1]: "a"}, None]
    data = pa.table([["gone", "gone"], ["b", None], [1, 2], rows], schema=fields)
    table.commit(table.write(data, values={"col-6": "42"}))
    old = pa.table([[3]], schema=pa.schema([column("col-1", pa.int64(), 1)]))
    table.commit(table.write(old, values={"col-6": None}))
    got = delta.Dump(table.folder, "-r")
    assert got.error is None, got.error
    physical = {"col-4": 10, "col-5": "a"}
    assert delta.in_order(got.rows) == delta.in_order([
        {"id": 1, "new, name": "b", "s": physical, "part": 42},
        {"id": 2, "new, name": None, "s": None, "part": 42},
        {"id": 3, "new, name": None, "s": None, "part": None},
    ])  # fmt: skip


# ---- partitions by hand ----


@pytest.mark.parametrize(
    ("kind", "text", "want"),
    [
        ("timestamp", "2020-02-03 04:05:06", "2020-02-03T04:05:06.000000Z"),
        ("timestamp", "2020-02-03 04:05:06.5", "2020-02-03T04:05:06.500000Z"),
        ("timestamp", "2020-02-03T04:05:06.123456Z", "2020-02-03T04:05:06.123456Z"),
        ("timestamp_ntz", "1969-12-31 23:59:59.999999", "1969-12-31T23:59:59.999999"),
        ("string", "", None),
        ("binary", "abc", "616263"),
        ("byte", "-128", -128),
        ("short", "32767", 32767),
        ("decimal(5,2)", "-1.5", "-1.50"),
        ("decimal(5,2)", "7", "7.00"),
        ("float", "0.1", 0.10000000149011612),
        ("double", "NaN", "NaN"),
        ("boolean", "false", False),
        ("date", "0001-01-01", "0001-01-01"),
        ("integer", None, None),
    ],
)
def test_partition_values(tmp_path, kind, text, want):
    reader = ["timestampNtz"] if kind == "timestamp_ntz" else []
    table = delta.Table(tmp_path / "t", [*ID, delta.field("p", kind)], ["p"], reader=reader)
    columns = {"id": pa.array([1], pa.int64())}
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
    table = delta.Table(tmp_path / "t", [*ID, delta.field("p", kind)], ["p"])
    table.commit(table.write({"id": pa.array([1], pa.int64())}, values={"p": text}))
    error = delta.refused(table.folder)
    assert error["status"] == "corrupt" and "'p'" in error["message"]


def test_odd_names_and_paths(tmp_path):
    table = delta.Table(tmp_path / "t", ID)
    odd = ["a b.parquet", "c%20d.parquet", "ä#?.parquet", "e+f&g=h.parquet", 'q"u.parquet']
    want = []
    for i, name in enumerate(odd):
        table.commit(table.write({"id": pa.array([i], pa.int64())}, path=f"p=1%2F2/{name}"))
        want.append({"id": i})
    assert delta.read(table.folder) == want
    # an absolute path below the table is the same file
    last = table.write({"id": pa.array([99], pa.int64())}, path="z.parquet")
    absolute = (table.folder / "z.parquet").as_uri()
    for form in (absolute, absolute.replace("file://", "file:"), str(table.folder / "z.parquet")):
        table.commit({"add": {**last["add"], "path": form}})
        assert delta.read(table.folder)[-1] == {"id": 99}
        table.commit(delta.remove(last))
        assert delta.read(table.folder) == want


def test_files_of_another_place_are_refused(tmp_path):
    table = delta.Table(tmp_path / "t", ID)
    action = table.write({"id": pa.array([1], pa.int64())}, path="z.parquet")
    for path in ("s3://bucket/z.parquet", "file:/elsewhere/z.parquet", "../z.parquet"):
        table.commit({"add": {**action["add"], "path": path}})
        error = delta.refused(table.folder)
        assert error["status"] in ("unsupported", "invalid", "corrupt"), error
        table.commit({"remove": {**delta.remove(action)["remove"], "path": path}})
    assert delta.read(table.folder) == []


# ---- schemas ----


def test_columns_by_name_missing_extra_and_void(tmp_path):
    fields = [*ID, delta.field("Name", "string"), delta.field("nothing", "void"), delta.field("late", "date")]
    table = delta.Table(tmp_path / "t", fields)
    table.commit(table.write({"NAME": ["a"], "extra": [5], "ID": pa.array([1], pa.int64())}))
    want = {"id": 1, "Name": "a", "nothing": None, "late": None}
    assert delta.read(table.folder) == [want]


WIDER = [
    (pa.int8(), 5, "short", 5), (pa.int8(), 5, "integer", 5), (pa.int16(), 5, "long", 5),
    (pa.int32(), -5, "long", -5), (pa.float32(), 0.25, "double", 0.25), (pa.int32(), 3, "double", 3),
    (pa.date32(), dt.date(2020, 1, 2), "timestamp_ntz", "2020-01-02T00:00:00.000000"),
    (pa.decimal128(6, 2), decimal.Decimal("1.25"), "decimal(12,4)", "1.2500"),
    (pa.int32(), 7, "decimal(12,2)", "7.00"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "old", "wide", "want"), WIDER, ids=[f"{w[0]}-{w[2]}" for w in WIDER])
def test_type_widening(tmp_path, kind, old, wide, want):
    features = ["typeWidening"] + (["timestampNtz"] if wide == "timestamp_ntz" else [])
    table = delta.Table(tmp_path / "t", [*ID, delta.field("v", wide)], reader=features)
    table.commit(table.write({"id": pa.array([1], pa.int64()), "v": pa.array([old], kind)}))
    assert delta.read(table.folder) == [{"id": 1, "v": want}]


def test_types_that_differ_are_refused(tmp_path):
    table = delta.Table(tmp_path / "t", [*ID, delta.field("v", "long")])
    table.commit(table.write({"id": pa.array([1], pa.int64()), "v": ["text"]}))
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
    action = table.write({"id": pa.array([1], pa.int64())})
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
        adds.append(table.write({"id": pa.array([i], pa.int64())}))
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
    table.commit(table.write({"id": pa.array([7], pa.int64())}))
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
    action = table.write({"id": pa.array([1, 2, 3], pa.int64())}, values={"p": "2021-05-06"})
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
        table.commit(table.write({"id": pa.array([i], pa.int64())}))
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
        table.commit(table.write({"id": pa.array([i], pa.int64())}), info=info)
        touch(table, i, [100, 200, 900, 900, 900, 900][i])
    for ms, version in [(100_000, 0), (249_999, 1), (250_000, 2), (349_999, 2), (350_000, 3),
                        (549_999, 4), (550_000, 5), (10**12, 5)]:  # fmt: skip
        got = delta.Dump(table.folder, "-t", ms * 1000).table
        assert got["version"] == version, ms
    assert delta.Dump(table.folder).table["timestamp_ms"] == 550_000


# ---- our own check sees damage ----


def test_check_finds_what_is_wrong(tmp_path):
    table = delta.Table(tmp_path / "t", [*ID, delta.field("s", "string")], reader=["deletionVectors"])
    columns = {"id": pa.array([1, 2, 3], pa.int64()), "s": ["a", None, "c"]}
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
