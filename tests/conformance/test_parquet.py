"""Parquet files of our writer, read by pyarrow and DuckDB.

The schema and the rows are made here, and shredded here (Dremel's levels), apart from the C code; the
program write_script only hands the entries to the writer. What both readers give must be what was
made.
"""

import dataclasses
import datetime
import decimal
import math
import random
import struct
import subprocess

import duckdb
import pyarrow.parquet as pq
import pytest
from support.server import unit_program

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1)
GROUPS = ("struct", "list", "map")
INTEGERS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
ORDERED = {*INTEGERS, "string", "float", "double", "decimal", "date", "timestamp", "timestamp_ntz"}
PAGE_ENTRIES = 1 << 17


@dataclasses.dataclass
class Field:
    """A node of a schema; `children` as in the C struct."""

    type: str
    name: str = "f"
    children: list = dataclasses.field(default_factory=list)
    required: bool = False
    field_id: int = 0
    precision: int = 0
    scale: int = 0


@dataclasses.dataclass
class Leaf:
    field: Field
    max_rep: int
    max_def: int
    entries: list  # (rep, def, value); the value counts where def is max_def


# ---- shredding ----


def leaves_of(field, rep, depth):
    """The leaves below a field whose parent has these levels, depth first."""
    depth += not field.required
    if field.type not in GROUPS:
        return [Leaf(field, rep, depth, [])]
    repeated = field.type != "struct"
    found = []
    for i, child in enumerate(field.children):
        if field.type == "map" and i == 0:
            child = dataclasses.replace(child, required=True)
        found += leaves_of(child, rep + repeated, depth + repeated)
    return found


def leaf_count(field):
    return 1 if field.type not in GROUPS else sum(map(leaf_count, field.children))


def put_all(leaves, rep, depth):
    for leaf in leaves:
        leaf.entries.append((rep, depth, None))


def shred(field, value, leaves, rep, depth, level):
    """`level`: the repetition level of the field's own place."""
    if value is None:
        assert not field.required
        return put_all(leaves, rep, depth)
    depth += not field.required
    if field.type not in GROUPS:
        leaves[0].entries.append((rep, depth, value))
        return None
    if field.type == "struct":
        members = [[value[child.name] for child in field.children]]
    elif field.type == "list":
        members = [[element] for element in value]
    else:
        members = [list(pair) for pair in value]
    repeated = field.type != "struct"
    if not members:
        return put_all(leaves, rep, depth)
    for n, member in enumerate(members):
        at = 0
        for i, (child, part) in enumerate(zip(field.children, member)):
            if field.type == "map" and i == 0:
                child = dataclasses.replace(child, required=True)
            count = leaf_count(child)
            shred(
                child,
                part,
                leaves[at : at + count],
                rep if n == 0 else level + 1,
                depth + repeated,
                level + repeated,
            )
            at += count
    return None


# ---- values ----


def as_stored(field, value):
    """The number or bytes that the writer is given."""
    match field.type:
        case "string":
            return value.encode()
        case "decimal":
            return int(value.scaleb(field.scale))
        case "date":
            return (value - EPOCH.date()).days
        case "timestamp":
            return (value.replace(tzinfo=None) - EPOCH) // datetime.timedelta(microseconds=1)
        case "timestamp_ntz":
            return (value - EPOCH) // datetime.timedelta(microseconds=1)
        case "bool":
            return int(value)
    return value


def entry_line(number, leaf, entry):
    rep, depth, value = entry
    if depth < leaf.max_def or value is None:
        return f"null {number} {rep} {depth}"
    stored = as_stored(leaf.field, value)
    if isinstance(stored, bytes):
        return f"str {number} {rep} {stored.hex() or '-'}"
    if isinstance(stored, float):
        return f"double {number} {rep} {struct.pack('>d', stored).hex()}"
    return f"int {number} {rep} {stored}"


def plain(value):
    """Comparable: NaN equals NaN, and zeros keep their sign."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else (value, math.copysign(1, value))
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value


def plain_bound(value):
    return value.astimezone(UTC) if getattr(value, "tzinfo", None) is not None else value


# ---- writing and reading ----


class File:
    """A file of ours: what was put in, and what readers say."""

    def __init__(self, folder, fields, rows, *, codec="zstd", level=1, group_rows=0, **limits):
        self.path = folder / "t.parquet"
        self.fields, self.rows = fields, rows
        self.leaves = [leaf for field in fields for leaf in leaves_of(field, 0, 0)]
        lines = [
            f"options {codec} {level} {group_rows} {limits.get('group_bytes', 0)}"
            f" {limits.get('stat_bytes', 0)}"
        ]
        self.stat_bytes = limits.get("stat_bytes", 512)
        for field in fields:
            lines += self.field_lines(field, 0)
        for row in rows:
            at = 0
            for field in fields:
                count = leaf_count(field)
                part = self.leaves[at : at + count]
                begins = [len(leaf.entries) for leaf in part]
                shred(field, row[field.name], part, 0, 0, 0)
                for n, leaf in enumerate(part):
                    lines += [entry_line(at + n, leaf, e) for e in leaf.entries[begins[n] :]]
                at += count
            lines.append("row")
        script = folder / "t.script"
        script.write_text("\n".join(lines) + "\n")
        self.run = subprocess.run(
            [unit_program("columnar/write_script"), script, self.path], capture_output=True, text=True, check=False
        )
        script.unlink()

    def field_lines(self, field, depth):
        lines = [
            f"field {depth} {field.type} {int(field.required)} {field.field_id}"
            f" {field.precision} {field.scale} {field.name}"
        ]
        for child in field.children:
            lines += self.field_lines(child, depth + 1)
        return lines

    def check(self, by_duckdb=True):
        assert self.run.returncode == 0, self.run.stderr
        want = [plain(row) for row in self.rows]
        self.compare("pyarrow", want, pq.read_table(self.path))
        if by_duckdb:
            self.check_duckdb(want)
        self.check_summary()
        self.check_metadata()
        return self

    def check_duckdb(self, want):
        with duckdb.connect(config={"threads": 1}) as db:
            db.execute("set TimeZone = 'UTC'")
            got = db.execute("select * from read_parquet(?)", [str(self.path)])
            self.compare("duckdb", want, got.to_arrow_table())

    @staticmethod
    def compare(reader, want, table):
        got = [plain(row) for row in table.to_pylist()]
        assert len(got) == len(want), reader
        for n, (g, w) in enumerate(zip(got, want)):
            assert g == w, f"{reader}, row {n}"

    def values(self, leaf):
        return [v for _, depth, v in leaf.entries if depth == leaf.max_def]

    def check_summary(self):
        lines = self.run.stdout.splitlines()
        assert lines[0] == f"rows {len(self.rows)} bytes {self.path.stat().st_size}"
        assert len(lines) == 1 + len(self.leaves)
        for line, leaf in zip(lines[1:], self.leaves):
            assert line == self.want_stat(leaf), leaf.field

    def want_stat(self, leaf):
        values = self.values(leaf)
        nulls = len(leaf.entries) - len(values)
        values = [as_stored(leaf.field, v) for v in values]
        has_nan = any(isinstance(v, float) and math.isnan(v) for v in values)
        values = [v for v in values if v == v]
        if not values or leaf.field.type not in ORDERED:
            return f"stat {nulls} 0 {int(has_nan)} 0 0"
        low, high = min(values), max(values)
        cut, texts = [0, 0], []
        for i, value in enumerate((low, high)):
            if isinstance(value, bytes):
                cut[i] = int(len(value) > self.stat_bytes)
                texts.append(value[: self.stat_bytes].hex() or "-")
            else:
                texts.append(f"{value:.17g}" if isinstance(value, float) else str(value))
        # A text that ends where another was cut is the lesser one.
        return f"stat {nulls} 1 {int(has_nan)} {cut[0]} {cut[1]} {texts[0]} {texts[1]}"

    def check_metadata(self):
        meta = pq.read_metadata(self.path)
        assert meta.created_by == "dicomlake"
        assert meta.num_rows == len(self.rows)
        for number, leaf in enumerate(self.leaves):
            chunks = [meta.row_group(g).column(number) for g in range(meta.num_row_groups)]
            assert sum(c.num_values for c in chunks) == len(leaf.entries)
            stats = [c.statistics for c in chunks]
            nulls = len(leaf.entries) - len(self.values(leaf))
            assert sum(s.null_count for s in stats) == nulls
            self.check_bounds(leaf, [s for s in stats if s.num_values > 0])

    def check_bounds(self, leaf, stats):
        """Bounds of the groups hold all values; numbers are exact. NaN takes a group's bounds away."""
        if leaf.field.type not in ORDERED:
            assert not any(s.has_min_max for s in stats)
            return
        values = self.values(leaf)
        if not values or any(v != v for v in values):
            return
        if leaf.field.type == "string":
            bounded = [s for s in stats if s.has_min_max]
            values = [v.encode() for v in values]
            assert all(s.min.encode() <= max(values) for s in bounded)
            if len(bounded) == len(stats):
                assert min(s.min.encode() for s in stats) <= min(values)
                assert max(s.max.encode() for s in stats) >= max(values)
        else:
            assert min(plain_bound(s.min) for s in stats) == min(values)
            assert max(plain_bound(s.max) for s in stats) == max(values)

    def statistics(self, leaf, group=0):
        return pq.read_metadata(self.path).row_group(group).column(leaf).statistics

    def column(self, leaf, group=0):
        return pq.read_metadata(self.path).row_group(group).column(leaf)


def leaf(kind, name="v", **more):
    return Field(kind, name, **more)


def list_of(child, name="v", **more):
    return Field("list", name, [child], **more)


def map_of(key, value, name="v", **more):
    return Field("map", name, [key, value], **more)


def struct_of(*children, name="v", **more):
    return Field("struct", name, list(children), **more)


METADATA = map_of(
    leaf("string", "key", required=True),
    struct_of(leaf("string", "vr"), list_of(leaf("string", "e"), "Value")),
)


# ---- types ----

DECIMAL = decimal.Decimal
TYPES = {
    "string": (leaf("string"), ["", "a", "Zoë", "日本語", "x" * 5000, "a\0b", None]),
    "binary": (leaf("binary"), [b"", b"\xff\x00", None, b"abc"]),
    "bool": (leaf("bool"), [True, False, None, True, True, False, False, True, True, True]),
    "int8": (leaf("int8"), [-128, 127, 0, None]),
    "int16": (leaf("int16"), [-32768, 32767, 0, None]),
    "int32": (leaf("int32"), [-(2**31), 2**31 - 1, 0, None]),
    "int64": (leaf("int64"), [-(2**63), 2**63 - 1, 0, None]),
    "float": (leaf("float"), [1.5, -0.0, math.inf, -math.inf, None]),
    "float nan": (leaf("float"), [1.5, math.nan, None]),
    "double": (leaf("double"), [0.1, -1e300, 5e-324, None]),
    "double nan": (leaf("double"), [math.nan, None]),
    "decimal 9": (leaf("decimal", precision=9, scale=2), [DECIMAL("-9999999.99"), None, DECIMAL("0.01")]),
    "decimal 10": (leaf("decimal", precision=10, scale=0), [DECIMAL(-(10**10) + 1), DECIMAL(7), None]),
    "decimal 18": (leaf("decimal", precision=18, scale=18), [DECIMAL("0.999999999999999999"), None]),
    "date": (
        leaf("date"),
        [datetime.date(1969, 12, 31), datetime.date(9999, 12, 31), datetime.date(1, 1, 1), None],
    ),
    "timestamp": (
        leaf("timestamp"),
        [datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), None, datetime.datetime(2026, 1, 5, 8, tzinfo=UTC)],
    ),
    "timestamp_ntz": (
        leaf("timestamp_ntz"),
        [datetime.datetime(1900, 1, 1), None, datetime.datetime(2026, 1, 5, 8, 0, 0, 1)],
    ),
}


@pytest.mark.parametrize("codec", ["zstd", "snappy", "plain"])
@pytest.mark.parametrize("times", [1, 200])
@pytest.mark.parametrize("name", TYPES)
def test_type(tmp_path, name, times, codec):
    field, values = TYPES[name]
    rows = [{"v": v} for v in values * times]
    required = dataclasses.replace(field, name="r", required=True)
    there = [v for v in values if v is not None]
    for n, row in enumerate(rows):
        row["r"] = there[n % len(there)]
    File(tmp_path, [field, required], rows, codec=codec).check()


def test_file_schema(tmp_path):
    """Names, annotations and ids as other engines expect them."""
    fields = [
        leaf("timestamp", "t", field_id=3),
        leaf("timestamp_ntz", "n"),
        leaf("int8", "b"),
        leaf("decimal", "d", precision=9, scale=2),
        dataclasses.replace(METADATA, name="metadata", field_id=9),
    ]
    f = File(tmp_path, fields, []).check()
    got = str(pq.ParquetFile(f.path).schema).split("\n", 1)[1].strip()
    assert got == (
        "required group field_id=-1 schema {\n"
        "  optional int64 field_id=3 t (Timestamp(isAdjustedToUTC=true, timeUnit=microseconds,"
        " is_from_converted_type=false, force_set_converted_type=false));\n"
        "  optional int64 field_id=-1 n (Timestamp(isAdjustedToUTC=false, timeUnit=microseconds,"
        " is_from_converted_type=false, force_set_converted_type=false));\n"
        "  optional int32 field_id=-1 b (Int(bitWidth=8, isSigned=true));\n"
        "  optional int32 field_id=-1 d (Decimal(precision=9, scale=2));\n"
        "  optional group field_id=9 metadata (Map) {\n"
        "    repeated group field_id=-1 key_value {\n"
        "      required binary field_id=-1 key (String);\n"
        "      optional group field_id=-1 value {\n"
        "        optional binary field_id=-1 vr (String);\n"
        "        optional group field_id=-1 Value (List) {\n"
        "          repeated group field_id=-1 list {\n"
        "            optional binary field_id=-1 element (String);\n"
        "          }\n"
        "        }\n"
        "      }\n"
        "    }\n"
        "  }\n"
        "}"
    )
    with duckdb.connect() as db:
        told = db.execute(
            "select name, converted_type from parquet_schema(?)", [str(f.path)]
        ).fetchall()
    assert dict(told) == {
        "schema": None, "t": "TIMESTAMP_MICROS", "n": None, "b": "INT_8", "d": "DECIMAL",
        "metadata": "MAP", "key_value": None, "key": "UTF8", "value": None, "vr": "UTF8",
        "Value": "LIST", "list": None, "element": "UTF8",
    }  # fmt: skip


# ---- nesting ----

INT = leaf("int32", "e")
NESTED = {
    "list": (list_of(INT), [None, [], [None], [1, None, 2], [3]]),
    "required list": (list_of(INT, required=True), [[], [None], [1]]),
    "list of required": (list_of(leaf("int32", "e", required=True)), [None, [], [1, 2]]),
    "list of lists": (list_of(list_of(INT, "e")), [None, [], [None], [[]], [[], [None], [1, 2], None], [[3]]]),
    "map": (map_of(leaf("string", "key"), INT), [None, [], [("a", 1), ("b", None)], [("", 2)]]),
    "map of lists": (
        map_of(leaf("int64", "key"), list_of(INT, "e")),
        [None, [(1, None), (2, []), (3, [None, 4])], []],
    ),
    "struct": (struct_of(INT, leaf("string", "s")), [None, {"e": None, "s": None}, {"e": 1, "s": ""}]),
    "required struct": (
        struct_of(INT, leaf("string", "s", required=True), required=True),
        [{"e": None, "s": "a"}, {"e": 1, "s": ""}],
    ),
    "list of structs": (
        list_of(struct_of(INT, list_of(leaf("bool", "b"), "l"))),
        [None, [], [None, {"e": 1, "l": None}], [{"e": None, "l": [True, None]}, {"e": 2, "l": []}]],
    ),
    "metadata": (
        METADATA,
        [
            None,
            [],
            [("00080018", {"vr": "UI", "Value": ["1.2"]}), ("00080020", None)],
            [("1", {"vr": None, "Value": None}), ("2", {"vr": "PN", "Value": [None, "a", ""]})],
            [("1", {"vr": "SQ", "Value": []})],
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("codec", ["zstd", "snappy", "plain"])
@pytest.mark.parametrize("times", [1, 300])
@pytest.mark.parametrize("name", NESTED)
def test_nesting(tmp_path, name, times, codec):
    field, values = NESTED[name]
    rows = [{"v": v} for v in values * times]
    File(tmp_path, [field], rows, codec=codec, group_rows=0 if times == 1 else 700).check()


@pytest.mark.parametrize("depth", [8, 32])
def test_deep(tmp_path, depth):
    """32 is the limit of our schemas; DuckDB takes minutes for lists as deep as that."""
    field, value = INT, 7
    for _ in range(depth - 1):
        field, value = list_of(field, "e"), [value]
    field = dataclasses.replace(field, name="v")
    rows = [{"v": value}, {"v": None}, {"v": []}, {"v": [[[None]]]}, {"v": value + value}]
    File(tmp_path, [field], rows).check(by_duckdb=depth < 10)


# ---- sizes ----


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 30])
def test_row_counts(tmp_path, count):
    fields = [leaf("string", "s"), leaf("int64", "i"), dataclasses.replace(METADATA, name="m")]
    rows = [{"s": f"{n}", "i": n, "m": [("a", {"vr": "UI", "Value": [f"{n}"]})]} for n in range(count)]
    f = File(tmp_path, fields, rows).check()
    assert pq.read_metadata(f.path).num_row_groups == (count > 0)


@pytest.mark.parametrize("count, groups", [(9, 1), (10, 1), (11, 2), (20, 2), (1005, 101)])
def test_group_rows(tmp_path, count, groups):
    rows = [{"s": f"{n % 3}", "v": list(range(n % 5))} for n in range(count)]
    f = File(tmp_path, [leaf("string", "s"), list_of(INT)], rows, group_rows=10).check()
    assert pq.read_metadata(f.path).num_row_groups == groups


def test_group_bytes(tmp_path):
    """Ten bytes and their length of four: the seventh row reaches 98, the eighth passes it."""
    rows = [{"v": f"{n:010}"} for n in range(21)]
    meta = pq.read_metadata(File(tmp_path, [leaf("string")], rows, group_bytes=98).check().path)
    assert [meta.row_group(g).num_rows for g in range(meta.num_row_groups)] == [7, 7, 7]
    meta = pq.read_metadata(File(tmp_path, [leaf("string")], rows, group_bytes=99).check().path)
    assert [meta.row_group(g).num_rows for g in range(meta.num_row_groups)] == [8, 8, 5]


def test_dictionary(tmp_path):
    """Words that repeat, of every kind of value, and what is not worth a dictionary."""
    day = datetime.date(2026, 1, 1)
    rows = [
        {
            "s": f"word {n % 50}",
            "same": "always",
            "i": n % 7,
            "l": 10**12 + n % 300,
            "d": n % 9 / 3,
            "f": float(n % 4),
            "t": day + datetime.timedelta(days=n % 11),
            "unique": f"{n * 2654435761 % 2**32:032x}",
            "few": None if n % 100 else "now and then",
        }
        for n in range(5000)
    ]
    kinds = dict(s="string", same="string", i="int16", l="int64", d="double", f="float", t="date",
                 unique="string", few="string")  # fmt: skip
    f = File(tmp_path, [leaf(kind, name) for name, kind in kinds.items()], rows).check()
    for n, name in enumerate(kinds):
        column = f.column(n)
        assert column.has_dictionary_page == (name != "unique"), name
        assert ("RLE_DICTIONARY" in column.encodings) == (name != "unique"), name
        assert column.statistics.min == min(r[name] for r in rows if r[name] is not None)
        assert column.statistics.max == max(r[name] for r in rows if r[name] is not None)


def test_dictionary_grows_too_large(tmp_path):
    """It pays at first; then new words come, and the pages after are plain."""
    rows = [{"v": f"{n % 500:0100}"} for n in range(4000)]
    rows += [{"v": f"{n:0100}"} for n in range(30000)]
    rows += [{"v": None}, {"v": "end"}]
    f = File(tmp_path, [leaf("string")], rows, group_rows=100000).check()
    column = f.column(0)
    assert column.has_dictionary_page and "RLE_DICTIONARY" in column.encodings
    assert column.total_uncompressed_size > 20000 * 104  # most are there in full


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_page_entries(tmp_path, extra):
    """A page ends at so many entries, at the end of a row."""
    rows = [{"v": [1, None]}] * (PAGE_ENTRIES // 2) + [{"v": [2] * (2 + extra)}] * 3
    File(tmp_path, [list_of(INT)], rows, group_rows=10**6).check()


def test_long_texts(tmp_path):
    rows = [{"v": c * n} for c in "ab" for n in (10, 1 << 16, 1 << 20, (1 << 20) + 1, 3 << 20)]
    File(tmp_path, [leaf("string")], rows * 2, codec="zstd").check()
    File(tmp_path, [leaf("string")], rows * 2, codec="snappy").check()


def test_row_of_many_entries(tmp_path):
    """A row is never cut, also when it is more than a page."""
    long = [f"{n % 1000}" for n in range(3 * PAGE_ENTRIES)]
    rows = [{"v": ["a"]}, {"v": long}, {"v": []}, {"v": long[:5]}, {"v": None}]
    File(tmp_path, [list_of(leaf("string", "e"))], rows).check()


def test_levels_of_zstd(tmp_path):
    rows = [{"v": f"some text {n % 1000} and {n}"} for n in range(20000)]
    sizes = [File(tmp_path, [leaf("string")], rows, level=n).check().path.stat().st_size for n in (1, 9)]
    assert sizes[1] < sizes[0]


# ---- statistics ----


@pytest.mark.parametrize(
    "values, low, high",
    [
        (["b", "a", None], "a", "b"),
        (["a" * 64, "b" * 64], "a" * 64, "b" * 64),
        (["a" * 65, "b" * 65], "a" * 64, "b" * 63 + "c"),
        (["é" * 40, "é" * 41], "é" * 32, None),  # no successor within ASCII
        (["x" + "é" * 40], "x" + "é" * 31, "y"),
        (["a" * 63 + "é"], "a" * 63, "a" * 62 + "b"),  # not within a character
        (["z" + "~" * 63 + "\x7f"], "z" + "~" * 63, "z" + "~" * 62 + "\x7f"),
        (["\x7f" * 65], "\x7f" * 64, None),
    ],
)
def test_text_bounds(tmp_path, values, low, high):
    f = File(tmp_path, [leaf("string")], [{"v": v} for v in values]).check()
    got = f.statistics(0)
    if high is None:
        assert not got.has_min_max
        return
    assert (got.min, got.max) == (low, high)
    with duckdb.connect() as db:
        exact = db.execute(
            "select min_is_exact, max_is_exact from parquet_metadata(?)", [str(f.path)]
        ).fetchone()
    assert exact == (low in values, high in values)


@pytest.mark.parametrize("size", [7, 8, 9])
def test_text_statistics_limit(tmp_path, size):
    """Beginnings that are equal as far as they are kept: the one that goes on is the greater."""
    long, short = "x" * size, "x" * 8
    for values in ([long], [long, short], [short, long], ["a" * size, "z" * size, long]):
        for group_rows in (0, 1):
            rows = [{"v": v} for v in values]
            File(tmp_path, [leaf("string")], rows, stat_bytes=8, group_rows=group_rows).check()


def test_float_bounds(tmp_path):
    rows = [{"z": 0.0, "m": -0.0, "n": math.nan}, {"z": 0.0, "m": -0.0, "n": 1.0}]
    f = File(tmp_path, [leaf("double", "z"), leaf("float", "m"), leaf("double", "n")], rows).check()
    for n in (0, 1):
        got = f.statistics(n)
        assert (math.copysign(1, got.min), math.copysign(1, got.max)) == (-1, 1)
    assert not f.statistics(2).has_min_max


def test_pruning(tmp_path):
    """DuckDB skips groups by our statistics, and finds what is there."""
    rows = [{"s": f"{n:06}", "i": n} for n in range(10000)]
    f = File(tmp_path, [leaf("string", "s"), leaf("int64", "i")], rows, group_rows=1000).check()
    with duckdb.connect() as db:
        for where in ("s = '004711'", "i = 4711", "s >= '004711' and i < 4712"):
            got = db.execute(f"select i from read_parquet(?) where {where}", [str(f.path)])
            assert got.fetchall() == [(4711,)]
    assert pq.read_table(f.path, filters=[("s", "==", "004711")]).num_rows == 1


# ---- random ----


class Random:
    """Schemas and rows by chance, the same for the same seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.words = [self.text() for _ in range(self.random.choice([1, 3, 40, 1000]))]
        self.nulls = self.random.choice([0, 0.1, 0.5])

    def text(self):
        r = self.random
        kind = r.randrange(6)
        size = r.choice([0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 60, 64, 65, 200])
        return "".join(r.choice("abc" if kind else "aé日\0~\x7f") for _ in range(size))

    def field(self, name, depth):
        r = self.random
        kinds = [*INTEGERS, "string", "string", "binary", "bool", "float", "double", "decimal",
                 "date", "timestamp", "timestamp_ntz"]  # fmt: skip
        if depth < 5:
            kinds += GROUPS * (5 - depth)
        made = Field(r.choice(kinds), name, required=r.random() < 0.3, field_id=r.choice([0, 0, 5, 10**9]))
        if made.type == "decimal":
            made.precision = r.randint(1, 18)
            made.scale = r.randint(0, made.precision)
        elif made.type == "struct":
            made.children = [self.field(f"m{n}", depth + 1) for n in range(r.randint(1, 4))]
        elif made.type == "list":
            made.children = [self.field("element", depth + 1)]
        elif made.type == "map":
            key = Field(r.choice(["string", "int32", "int64", "date"]), "key", required=True)
            made.children = [key, self.field("value", depth + 1)]
        return made

    def value(self, field, depth=0):
        r = self.random
        if not field.required and r.random() < self.nulls:
            return None
        if field.type == "struct":
            return {c.name: self.value(c, depth + 1) for c in field.children}
        if field.type in ("list", "map"):
            count = r.choice([0, 1, 2, 3, r.randint(0, 12 >> min(depth, 2))])
            if field.type == "list":
                return [self.value(field.children[0], depth + 1) for _ in range(count)]
            keys = {self.value(field.children[0]): None for _ in range(count)}
            return [(k, self.value(field.children[1], depth + 1)) for k in keys]
        return self.leaf_value(field)

    def leaf_value(self, field):
        r = self.random
        few = r.random() < 0.7
        match field.type:
            case "string":
                return r.choice(self.words) if few else self.text()
            case "binary":
                return r.randbytes(r.randrange(20))
            case "bool":
                return few
            case "float":
                value = r.choice([0.0, -0.0, 1.5, math.nan]) if few else r.uniform(-1e9, 1e9)
                return struct.unpack("f", struct.pack("f", value))[0]
            case "double":
                return r.choice([0.0, -0.0, 2.5, math.inf]) if few else r.uniform(-1e99, 1e99)
            case "decimal":
                limit = 10 ** r.randint(0, field.precision) - 1
                return DECIMAL(r.randint(-limit, limit)).scaleb(-field.scale)
            case "date":
                return datetime.date.fromordinal(r.randint(1, 3652059) if not few else r.randint(7 * 10**5, 7 * 10**5 + 9))
            case "timestamp" | "timestamp_ntz":
                micros = r.randint(-(10**15), 10**16) if not few else r.randrange(20)
                made = EPOCH + datetime.timedelta(microseconds=micros)
                return made.replace(tzinfo=UTC) if field.type == "timestamp" else made
        half = 2 ** (INTEGERS[field.type] - 1)
        return r.randint(-half, half - 1) if not few else r.randrange(20)


@pytest.mark.parametrize("tens", range(30))
def test_random(tmp_path, tens):
    for seed in range(10 * tens, 10 * tens + 10):
        r = Random(seed)
        fields = [r.field(f"c{n}", 0) for n in range(r.random.randint(1, 6))]
        count = r.random.choice([0, 1, 2, 9, 50, 300])
        rows = [{f.name: r.value(f) for f in fields} for _ in range(count)]
        codec = r.random.choice(["zstd", "snappy", "plain"])
        made = File(
            tmp_path,
            fields,
            rows,
            codec=codec,
            group_rows=r.random.choice([0, 1, 7, 64]) if count < 100 else 128,
            group_bytes=r.random.choice([0, 0, 5000]),
            stat_bytes=r.random.choice([1, 8, 64, 512]),
        )
        try:
            made.check()
        except Exception as e:
            raise AssertionError(f"seed {seed}: {fields}") from e
