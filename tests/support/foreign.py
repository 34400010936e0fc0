"""Delta tables that are not ours: delta-rs writes some, others stand by hand as the protocol describes them; and their
rows in one spelling. Who reads them (src/delta by delta_dump, SQL by the program) is for the tests to say."""

import datetime as dt
import decimal

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from . import delta
from .delta import ids

UTC = dt.timezone.utc
LONG = pa.int64()
ID = [delta.field("id", "long")]
ODD = ["ward 7/ä%", "a=b:c", "x", None, "%41", "é#?", "a+b", "q\"uote", "tab\there", "{z}", "[a-z]*", "it's"]


def spelled(v):
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
        return {k: spelled(w) for k, w in v.items()}
    if isinstance(v, (list, tuple)):
        return [spelled(w) for w in v]
    return v


def rows_of(table):
    return delta.in_order([spelled(row) for row in table.to_pylist()])


# ---- written by delta-rs ----


def every_type(first, count, parts):
    at = range(first, first + count)
    pick = lambda make: [None if i % 7 == 6 else make(i) for i in at]  # noqa: E731
    z = pa.struct([("z", pa.string())])
    return pa.table({
        "id": pa.array(at, LONG),
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
            pa.map_(pa.string(), LONG),
        ),
    })  # fmt: skip


# version -> rows of what with_a_past() writes
PAST = {0: 24, 1: 48, 2: 72, 3: 96, 4: 120, 5: 144, 6: 109, 7: 109}


def with_a_past(folder):
    """Six appends of every type below odd partitions, a checkpoint amid them, a deletion, a compaction."""
    for k in range(6):
        write_deltalake(folder, every_type(k * 24, 24, ODD), mode="append", partition_by=["p"])
        if k == 3:
            DeltaTable(folder).create_checkpoint()
    DeltaTable(folder).delete("id = 3 or id >= 110")
    DeltaTable(folder).optimize.compact()
    assert DeltaTable(folder).version() == max(PAST)


def partitioned_by_every_type(folder):
    """The rows that were written."""
    at = [dt.datetime(2020, 2, 3, 4, 5, 6, 789012, tzinfo=UTC), dt.datetime(1965, 1, 1, tzinfo=UTC), None]
    table = pa.table({
        "id": ids(*range(9)),
        "i": pa.array([1, -7, None] * 3, pa.int32()),
        "d": pa.array([dt.date(2020, 2, 29), dt.date(1900, 1, 1), None] * 3),
        "t": pa.array(at * 3, pa.timestamp("us", "UTC")),
        "b": pa.array([True, False, None] * 3),
        "c": pa.array([decimal.Decimal("1.50"), decimal.Decimal("0.25"), None] * 3, pa.decimal128(8, 2)),
        "g": pa.array([1.5, -0.25, None] * 3, pa.float64()),
    })  # fmt: skip
    write_deltalake(folder, table, partition_by=["i", "d", "t", "b", "c", "g"])
    return rows_of(table)


def evolved_and_merged(folder):
    """A column that came later (version 1: 3 rows), then a merge (version 2: 4 rows)."""
    write_deltalake(folder, pa.table({"id": ids(1, 2)}))
    more = pa.table({"id": ids(3), "new": ["n"]})
    write_deltalake(folder, more, mode="append", schema_mode="merge")
    source = pa.table({"id": ids(2, 9), "new": ["two", "nine"]})
    merge = DeltaTable(folder).merge(source, "t.id = s.id", source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


def vacuumed(folder):
    """Two rows; the file of version 0 is gone."""
    write_deltalake(folder, pa.table({"id": [1, 2, 3]}))
    DeltaTable(folder).delete("id = 2")
    DeltaTable(folder).vacuum(0, dry_run=False, enforce_retention_duration=False)


# ---- by hand: partitions ----

PARTITION_VALUES = [  # type, text in the log, value
    ("timestamp", "2020-02-03 04:05:06", "2020-02-03T04:05:06.000000Z"),
    ("timestamp", "2020-02-03 04:05:06.5", "2020-02-03T04:05:06.500000Z"),
    ("timestamp", "2020-02-03T04:05:06.123456Z", "2020-02-03T04:05:06.123456Z"),
    ("timestamp_ntz", "1969-12-31 23:59:59.999999", "1969-12-31T23:59:59.999999"),
    ("string", "", None),
    ("string", "it's \"q\" %41 {}", "it's \"q\" %41 {}"),
    ("binary", "abc", "616263"),
    ("byte", "-128", -128),
    ("short", "32767", 32767),
    ("decimal(5,2)", "-1.5", "-1.50"),
    ("decimal(5,2)", "7", "7.00"),
    ("float", "0.1", 0.10000000149011612),
    ("boolean", "false", False),
    ("date", "0001-01-01", "0001-01-01"),
    ("integer", None, None),
]


def partitioned(folder, kind):
    """No rows yet; the column p, of this type, is the partition."""
    reader = ["timestampNtz"] if kind == "timestamp_ntz" else []
    return delta.Table(folder, [*ID, delta.field("p", kind)], ["p"], reader=reader)


# ---- by hand: files ----


def oddly_named(folder, *more):
    """(table, rows): file names that a URL, a pattern or SQL would read as something else."""
    table = delta.Table(folder, ID)
    odd = ["a b.parquet", "c%20d.parquet", "ä#?.parquet", "e+f&g=h.parquet", 'q"u.parquet', "it's.parquet",
           "[a-z].parquet", "x*y.parquet", "p{1,2}.parquet", *more]  # fmt: skip
    (table.folder / "x_y.parquet").write_bytes(b"what a pattern would find")
    for i, name in enumerate(odd):
        table.commit(table.write({"id": ids(i)}, path=f"p=1%2F2/{name}"))
    return table, [{"id": i} for i in range(len(odd))]


def with_absolute_path(table):
    """Adds a row, id 99, below each form of its file's absolute path in turn; it is gone again afterwards."""
    last = table.write({"id": ids(99)}, path="z.parquet")
    absolute = (table.folder / "z.parquet").as_uri()
    for form in (absolute, absolute.replace("file://", "file:"), str(table.folder / "z.parquet")):
        table.commit({"add": {**last["add"], "path": form}})
        yield form
        table.commit(delta.remove(last))


def with_file_elsewhere(table):
    """Adds a file that is not below the table, one in turn; it is gone again afterwards."""
    action = table.write({"id": ids(1)}, path="z.parquet")
    for path in ("s3://bucket/z.parquet", "file:/elsewhere/z.parquet", "../z.parquet"):
        table.commit({"add": {**action["add"], "path": path}})
        yield path
        table.commit({"remove": {**delta.remove(action)["remove"], "path": path}})


# ---- by hand: columns ----

INNER = {"type": "struct", "fields": [
    delta.mapped("x y", "long", 4, "col-4"), delta.mapped("z", "string", 5, "col-5")]}  # fmt: skip
LIST = {"type": "array", "elementType": INNER, "containsNull": True}
DICT = {"type": "map", "keyType": "string", "valueType": INNER, "valueContainsNull": True}


def with_mapped_columns(folder, mode, nested=True):
    """A renamed column, a dropped one, nested ones in structs, lists and maps, a mapped partition column.

    Rows: (1, "b", one, 42, [one, None], {k: one, n: None}), (2, None, None, 42, [], None) and (3, None ...), where
    one is {"x y": 10, "z": "a"}. `nested`: by id, the names of nested columns in files say nothing either."""
    table = delta.Table(
        folder,
        [delta.mapped("id", "long", 1, "col-1"), delta.mapped("new, name", "string", 2, "col-2"),
         delta.mapped("s", INNER, 3, "col-3"), delta.mapped("part", "integer", 6, "col-6"),
         delta.mapped("l", LIST, 8, "col-8"), delta.mapped("m", DICT, 9, "col-9")],
        partitions=["part"], reader=["columnMapping"],
        configuration={"delta.columnMapping.mode": mode, "delta.columnMapping.maxColumnId": "9"},
    )  # fmt: skip

    def column(number, kind, told=mode == "name"):
        name = f"col-{number}" if told else f"other-{number}"  # by id, the names in files say nothing
        return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)})

    told = mode == "name" or not nested
    x, z = column(4, LONG, told), column(5, pa.string(), told)
    inner, one = pa.struct([x, z]), {x.name: 10, z.name: "a"}
    fields = pa.schema([
        column(7, pa.string()),  # dropped from the table
        column(2, pa.string()), column(1, LONG), column(3, inner),
        column(8, pa.list_(inner)), column(9, pa.map_(pa.string(), inner)),
    ])  # fmt: skip
    data = pa.table(
        [["gone", "gone"], ["b", None], [1, 2], [one, None], [[one, None], []], [[("k", one), ("n", None)], None]],
        schema=fields,
    )
    table.commit(table.write(data, values={"col-6": "42"}))
    old = pa.table([[3]], schema=pa.schema([column(1, LONG)]))
    table.commit(table.write(old, values={"col-6": None}))
    return table


def columns_by_name(folder):
    """(table, rows): written in capitals, one too many, some not there; names that DuckDB has a use for."""
    fields = [*ID, delta.field("Name", "string"), delta.field("nothing", "void"), delta.field("late", "date"),
              delta.field("file_index", "long"), delta.field("filename", "string")]  # fmt: skip
    table = delta.Table(folder, fields)
    table.commit(table.write({"NAME": ["a"], "extra": [5], "ID": ids(1), "file_index": ids(7)}))
    row = {"id": 1, "Name": "a", "nothing": None, "late": None, "file_index": 7, "filename": None}
    return table, [row]


WIDENED = [  # type and value in the file, type of the table, value
    (pa.int8(), 5, "short", 5), (pa.int8(), 5, "integer", 5), (pa.int16(), 5, "long", 5),
    (pa.int32(), -5, "long", -5), (pa.float32(), 0.25, "double", 0.25), (pa.int32(), 3, "double", 3),
    (pa.date32(), dt.date(2020, 1, 2), "timestamp_ntz", "2020-01-02T00:00:00.000000"),
    (pa.decimal128(6, 2), decimal.Decimal("1.25"), "decimal(12,4)", "1.2500"),
    (pa.int32(), 7, "decimal(12,2)", "7.00"),
]  # fmt: skip
WIDENED_IDS = [f"{w[0]}-{w[2]}" for w in WIDENED]


def widened(folder, kind, old, wide):
    """One row, id 1, whose column v was written before it got its type of today."""
    features = ["typeWidening"] + (["timestampNtz"] if wide == "timestamp_ntz" else [])
    table = delta.Table(folder, [*ID, delta.field("v", wide)], reader=features)
    table.commit(table.write({"id": ids(1), "v": pa.array([old], kind)}))
    return table
