"""Parquet files of other writers (pyarrow, DuckDB), read by columnar: every value at its level.

dump_parquet (tests/unit/columnar) prints what dl_columnar_read gives; support/shred.py says from the
Python values what it has to be.
"""

import datetime
import decimal
import json
import random
import struct
import subprocess

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import parquet
from support.server import unit_program
from support.shred import shred_row

EPOCH = datetime.datetime(1970, 1, 1)
UTC = datetime.timezone.utc


def field(name, kind, *children, **more):
    return {"name": name, "type": kind, **({"children": children} if children else {}), **more}


def string(name):
    return field(name, "string")


def run(path, *words):
    return subprocess.run(
        [unit_program("columnar/dump_parquet"), str(path), *words], capture_output=True, text=True, errors="surrogateescape"
    )


def read(path, schema, *words):
    """{row number: entries of each leaf}"""
    done = run(path, json.dumps(schema), *words)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    numbers = [row[0] for row in rows]
    assert numbers == sorted(set(numbers))
    return {row[0]: row[1:] for row in rows}


def refused(path, schema, *words):
    done = run(path, schema if isinstance(schema, str) else json.dumps(schema), *words)
    assert done.returncode == 1, done.stdout[:1000]
    return done.stderr


def check(path, schema, rows, *words):
    got = read(path, schema, *words)
    want = {n: shred_row(schema, row) for n, row in enumerate(rows)}
    assert got == want


def micros(text):
    at = datetime.datetime.fromisoformat(text)
    return (at - EPOCH) // datetime.timedelta(microseconds=1)


def write(path, arrays, **options):
    pq.write_table(pa.table(arrays), path, **options)
    return path


# ---- flat types ----

TIMES = ["1970-01-01 00:00:00.000001", "1883-11-18 12:00:00", "1969-12-31 23:59:59.999999",
         "2262-01-01 00:00:00.5", "1677-09-22 00:00:00.123456"]  # fmt: skip
STAMPS = [datetime.datetime.fromisoformat(t) for t in TIMES] + [None]
MICROS = [micros(t) for t in TIMES] + [None]
DAYS = [datetime.date(1970, 1, 1), datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None]
DAY_NUMBERS = [0, -719162, 2932896, None]
INTS = [0, 1, -1, 127, -128, None]


def decimals(texts):
    return [None if t is None else decimal.Decimal(t) for t in texts]


SMALL = ["1.25", "-9999999.99", "0.01", "-0.01", "0", None]
LARGE = ["12345678901234567890123456789012.345678", "-99999999999999999999999999999999.999999",
         "-0.000001", "0", None]  # fmt: skip
FLAT = {
    "string": (pa.array(["", "a", "ä€😀", "x" * 12, "x" * 13, "\0nul", None]), "string", {}, None),
    "large string": (pa.array(["", "long" * 100, None], pa.large_string()), "string", {}, None),
    "binary": (pa.array([b"", b"\xff\x00", b"x" * 20, None]), "binary", {},
               ["", "ff00", "78" * 20, None]),
    "fixed binary": (pa.array([b"abcd", None], pa.binary(4)), "binary", {}, ["61626364", None]),
    "bool": (pa.array([True, False, None]), "bool", {}, [1, 0, None]),
    "int8": (pa.array(INTS, pa.int8()), "int8", {}, None),
    "int16": (pa.array([32767, -32768, None], pa.int16()), "int16", {}, None),
    "int32": (pa.array([2**31 - 1, -(2**31), None], pa.int32()), "int32", {}, None),
    "int64": (pa.array([2**63 - 1, -(2**63), None], pa.int64()), "int64", {}, None),
    "float": (pa.array([1.5, -0.25, None], pa.float32()), "float", {}, None),
    "double": (pa.array([0.1, -1e300, 5e-324, None]), "double", {}, None),
    "date": (pa.array(DAYS), "date", {}, DAY_NUMBERS),
    "date64": (pa.array(DAYS, pa.date64()), "date", {}, DAY_NUMBERS),
    "timestamp us": (pa.array(STAMPS, pa.timestamp("us", "UTC")), "timestamp", {}, MICROS),
    "timestamp of a zone": (
        pa.array(STAMPS, pa.timestamp("us", "Europe/Berlin")), "timestamp", {}, MICROS),
    "timestamp ms": (pa.array([0, -1, 1577836800123, None], pa.timestamp("ms", "UTC")), "timestamp",
                     {}, [0, -1000, 1577836800123000, None]),
    "timestamp_ntz us": (pa.array(STAMPS, pa.timestamp("us")), "timestamp_ntz", {}, MICROS),
    "timestamp_ntz ns": (pa.array(STAMPS, pa.timestamp("ns")), "timestamp_ntz", {}, MICROS),
    "timestamp_ntz s": (pa.array([0, -1, 10**9, None], pa.timestamp("s")), "timestamp_ntz", {},
                        [0, -(10**6), 10**15, None]),
    "timestamp ns": (pa.array(STAMPS, pa.timestamp("ns", "UTC")), "timestamp", {}, MICROS),
    # widening: Delta's, and unsigned numbers into what holds them
    "int8 as int64": (pa.array(INTS, pa.int8()), "int64", {}, None),
    "int16 as int32": (pa.array(INTS, pa.int16()), "int32", {}, None),
    "int32 as int64": (pa.array([-(2**31), None], pa.int32()), "int64", {}, None),
    "int32 as double": (pa.array([-(2**31), 2**31 - 1, None], pa.int32()), "double", {}, None),
    "int8 as double": (pa.array(INTS, pa.int8()), "double", {}, None),
    "float as double": (pa.array([1.5, 2.0**-149, None], pa.float32()), "double", {}, None),
    "uint8 as int16": (pa.array([255, None], pa.uint8()), "int16", {}, None),
    "uint16 as int32": (pa.array([65535, None], pa.uint16()), "int32", {}, None),
    "uint32 as int64": (pa.array([2**32 - 1, None], pa.uint32()), "int64", {}, None),
    "date as timestamp_ntz": (pa.array(DAYS), "timestamp_ntz", {},
                              [None if d is None else d * 86400 * 10**6 for d in DAY_NUMBERS]),
    "decimal(9,2)": (pa.array(decimals(SMALL), pa.decimal128(9, 2)), "decimal",
                     {"precision": 9, "scale": 2}, [125, -999999999, 1, -1, 0, None]),
    "decimal(9,2) as (18,4)": (pa.array(decimals(SMALL), pa.decimal128(9, 2)), "decimal",
                               {"precision": 18, "scale": 4},
                               [12500, -99999999900, 100, -100, 0, None]),
    "decimal(18,2)": (pa.array(decimals(["9999999999999999.99", "-1", None]),
                               pa.decimal128(18, 2)), "decimal", {"precision": 18, "scale": 2},
                      [999999999999999999, -100, None]),
    "decimal(38,6)": (pa.array(decimals(LARGE), pa.decimal128(38, 6)), "decimal",
                      {"precision": 38, "scale": 6}, [*LARGE[:3], "0.000000", None]),
    "decimal(9,2) as (38,6)": (pa.array(decimals(["-1.5", "0.25"]), pa.decimal128(9, 2)), "decimal",
                               {"precision": 38, "scale": 6}, ["-1.500000", "0.250000"]),
    "decimal(38,0)": (pa.array(decimals(["9" * 38, "-" + "9" * 38]), pa.decimal128(38, 0)),
                      "decimal", {"precision": 38, "scale": 0}, ["9" * 38, "-" + "9" * 38]),
    "decimal(38,38)": (pa.array(decimals(["0." + "9" * 38, "-0." + "0" * 37 + "1"]),
                                pa.decimal128(38, 38)), "decimal",
                       {"precision": 38, "scale": 38}, ["0." + "9" * 38, "-0." + "0" * 37 + "1"]),
    "int32 as decimal(12,2)": (pa.array([-(2**31), 7, None], pa.int32()), "decimal",
                               {"precision": 12, "scale": 2}, [-(2**31) * 100, 700, None]),
    "int64 as decimal(20,1)": (pa.array([-(2**63), 7], pa.int64()), "decimal",
                               {"precision": 20, "scale": 1}, ["-9223372036854775808.0", "7.0"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAT)
def test_flat(tmp_path, name):
    array, kind, more, want = FLAT[name]
    path = write(tmp_path / "f.parquet", {"v": array})
    check(path, [field("v", kind, **more)], [[v] for v in want or array.to_pylist()])


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_int96(tmp_path, zone):
    array = pa.array(STAMPS, pa.timestamp("ns", zone))
    path = write(tmp_path / "f.parquet", {"v": array}, use_deprecated_int96_timestamps=True)
    check(path, [field("v", "timestamp")], [[v] for v in MICROS])


@pytest.mark.parametrize("digits", [4, 9, 18, 28, 38])
@pytest.mark.parametrize("as_integers", [False, True])
def test_decimals_in_all_their_physical_types(tmp_path, digits, as_integers):
    whole = 10**digits - 1
    texts = [decimal.Decimal(whole).scaleb(-2), decimal.Decimal(-whole).scaleb(-2), None]
    with decimal.localcontext() as context:
        context.prec = 60
        texts = [decimal.Decimal(whole) / 100, decimal.Decimal(-whole) / 100, None]
    path = write(tmp_path / "f.parquet", {"v": pa.array(texts, pa.decimal128(digits, 2))},
                 store_decimal_as_integer=as_integers)  # fmt: skip
    want = [whole, -whole] if digits <= 18 else [f"{texts[0]:f}", f"{texts[1]:f}"]
    schema = [field("v", "decimal", precision=digits, scale=2)]
    check(path, schema, [[want[0]], [want[1]], [None]])


DIFFERENT = {
    "int64 as int32": (pa.array([1], pa.int64()), "int32", {}),
    "int16 as int8": (pa.array([1], pa.int16()), "int8", {}),
    "int64 as double": (pa.array([1], pa.int64()), "double", {}),
    "double as float": (pa.array([1.0]), "float", {}),
    "string as int64": (pa.array(["1"]), "int64", {}),
    "int32 as string": (pa.array([1], pa.int32()), "string", {}),
    "bool as int8": (pa.array([True]), "int8", {}),
    "uint64 as int64": (pa.array([1], pa.uint64()), "int64", {}),
    "uint32 as int32": (pa.array([1], pa.uint32()), "int32", {}),
    "timestamp as date": (pa.array([0], pa.timestamp("us")), "date", {}),
    "date as timestamp": (pa.array([0], pa.date32()), "timestamp", {}),
    "time as timestamp": (pa.array([0], pa.time64("us")), "timestamp", {}),
    "decimal(9,2) as (9,3)": (pa.array([1], pa.decimal128(9, 2)), "decimal",
                              {"precision": 9, "scale": 3}),
    "decimal(9,2) as (10,1)": (pa.array([1], pa.decimal128(9, 2)), "decimal",
                               {"precision": 10, "scale": 1}),
    "int32 as decimal(9,0)": (pa.array([1], pa.int32()), "decimal", {"precision": 9, "scale": 0}),
    "struct as string": (pa.array([{"a": 1}]), "string", {}),
    "list as string": (pa.array([["a"]]), "string", {}),
    "string as struct": (pa.array(["a"]), "struct", {"children": [string("a")]}),
    "string as list": (pa.array(["a"]), "list", {"children": [string("a")]}),
    "list as map": (pa.array([["a"]]), "map", {"children": [string("k"), string("v")]}),
    "map as struct": (pa.array([[("k", "v")]], pa.map_(pa.string(), pa.string())), "struct",
                      {"children": [string("key")]}),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_is_refused(tmp_path, name):
    array, kind, more = DIFFERENT[name]
    path = write(tmp_path / "f.parquet", {"v": array})
    assert refused(path, [field("v", kind, **more)]).startswith("unsupported: columnar: ")


# ---- nesting ----

METADATA = field("metadata", "map", string("key"), field(
    "value", "struct", string("vr"), field("Value", "list", string("element"))))  # fmt: skip
METADATA_TYPE = pa.map_(
    pa.string(), pa.struct([("vr", pa.string()), ("Value", pa.list_(pa.string()))])
)


def test_the_example_of_the_header(tmp_path):
    values = [
        None,
        [],
        [("00100010", None)],
        [("00100010", {"vr": None, "Value": None}), ("00100020", {"vr": "LO", "Value": []})],
        [("00080060", {"vr": "CS", "Value": [None]}), ("b", {"vr": "PN", "Value": ["x", None, "y"]})],
    ]
    path = write(tmp_path / "f.parquet", {"metadata": pa.array(values, METADATA_TYPE)})
    got = read(path, [METADATA])
    assert got[0] == [[[0, 0]], [[0, 0]], [[0, 0]]]
    assert got[1] == [[[0, 1]], [[0, 1]], [[0, 1]]]
    assert got[2] == [[[0, 2, "00100010"]], [[0, 2]], [[0, 2]]]
    assert got[3][2] == [[0, 3], [1, 4]]
    assert got[4][1] == [[0, 4, "CS"], [1, 4, "PN"]]
    assert got[4][2] == [[0, 5], [1, 6, "x"], [2, 5], [2, 6, "y"]]
    check(path, [METADATA], [[v] for v in values])


LEAVES = {"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "bool": pa.bool_(),
          "double": pa.float64(), "date": pa.date32(), "binary": pa.binary()}  # fmt: skip


def random_field(rng, name, depth):
    kind = rng.choice(["struct", "list", "map"]) if depth > 0 and rng.random() < 0.6 else None
    if kind == "struct":
        made = [random_field(rng, f"m{i}", depth - 1) for i in range(rng.randint(1, 3))]
        return (field(name, "struct", *(f for f, _ in made)),
                pa.struct([(f["name"], t) for f, t in made]))  # fmt: skip
    if kind == "list":
        child, inner = random_field(rng, "element", depth - 1)
        return field(name, "list", child), pa.list_(inner)
    if kind == "map":
        child, inner = random_field(rng, "value", depth - 1)
        return field(name, "map", string("key"), child), pa.map_(pa.string(), inner)
    leaf = rng.choice(list(LEAVES))
    return field(name, leaf), LEAVES[leaf]


def random_value(rng, f, few):
    """A value for pyarrow, and the same as the reader gives it."""
    if rng.random() < 0.2:
        return None, None
    kind, children = f["type"], f.get("children", [])
    if kind == "struct":
        pairs = {c["name"]: random_value(rng, c, few) for c in children}
        return {k: v[0] for k, v in pairs.items()}, {k: v[1] for k, v in pairs.items()}
    if kind == "list":
        items = [random_value(rng, children[0], few) for _ in range(rng.choice([0, 1, 2, 5]))]
        return [i[0] for i in items], [i[1] for i in items]
    if kind == "map":
        items = [random_value(rng, children[1], few) for _ in range(rng.choice([0, 1, 3]))]
        return ([(f"k{n}", i[0]) for n, i in enumerate(items)],
                [(f"k{n}", i[1]) for n, i in enumerate(items)])  # fmt: skip
    number = rng.randint(0, 3) if few else rng.randint(-(2**31), 2**31 - 1)
    text = f"{number}" * rng.randint(1, 3)
    if kind == "string":
        return text, text
    if kind == "binary":
        return text.encode(), text.encode().hex()
    if kind == "bool":
        return number % 2 == 0, int(number % 2 == 0)
    if kind == "double":
        return number / 4, number / 4
    if kind == "date":
        return datetime.date(2000, 1, 1) + datetime.timedelta(number % 1000), 10957 + number % 1000
    return number, number


@pytest.mark.parametrize("seed", range(60))
def test_random_schemas(tmp_path, seed):
    """`few` makes all values alike, so that dictionaries come out as such through all layers."""
    rng = random.Random(seed)
    few = seed % 2 == 0
    fields, types = zip(*(random_field(rng, f"c{i}", 4) for i in range(rng.randint(1, 4))))
    count = rng.choice([1, 50, 300, 5000])
    pairs = [[random_value(rng, f, few) for f in fields] for _ in range(count)]
    arrays = {f["name"]: pa.array([row[n][0] for row in pairs], t)
              for n, (f, t) in enumerate(zip(fields, types))}  # fmt: skip
    path = write(
        tmp_path / "f.parquet",
        arrays,
        row_group_size=rng.choice([7, 100, 10000]),
        compression=rng.choice(["zstd", "snappy", "none"]),
        data_page_version=rng.choice(["1.0", "2.0"]),
        data_page_size=rng.choice([100, 1 << 20]),
        use_dictionary=rng.choice([True, True, False]),
    )
    check(path, fields, [[v[1] for v in row] for row in pairs])


def test_dictionary_within_a_struct(tmp_path):
    """DuckDB hands dictionaries on as they are; what we see has to be values."""
    values = [{"a": "same", "b": {"c": ["x", "longer than twelve bytes"][n % 2]}} for n in range(5000)]
    path = write(tmp_path / "f.parquet", {"s": pa.array(values)})
    check(path, [field("s", "struct", string("a"), field("b", "struct", string("c")))],
          [[v] for v in values])  # fmt: skip


# ---- what writers do ----


@pytest.mark.parametrize("codec", ["snappy", "gzip", "zstd", "lz4", "brotli", "none"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_codecs_and_pages(tmp_path, codec, version):
    rows = [[f"value {n % 50}", n, [f"{n}"] * (n % 4)] for n in range(3000)]
    path = write(tmp_path / "f.parquet", {
        "s": [r[0] for r in rows], "n": [r[1] for r in rows], "l": [r[2] for r in rows],
    }, compression=codec, data_page_version=version, row_group_size=700)  # fmt: skip
    check(path, [string("s"), field("n", "int64"), field("l", "list", string("e"))], rows)


@pytest.mark.parametrize("encoding, values", [
    ("DELTA_BINARY_PACKED", [1, -5, 2**60, None, 7]),
    ("DELTA_LENGTH_BYTE_ARRAY", ["a", "", None, "prefix and more"]),
    ("DELTA_BYTE_ARRAY", ["prefix", "prefix and", None, "prefix and more"]),
    ("BYTE_STREAM_SPLIT", [0.5, None, -1e10]),
    ("PLAIN", ["a", None]),
])  # fmt: skip
def test_encodings(tmp_path, encoding, values):
    path = write(tmp_path / "f.parquet", {"v": pa.array(values * 500)}, use_dictionary=False,
                 column_encoding={"v": encoding}, data_page_version="2.0")  # fmt: skip
    kind = {str: "string", int: "int64", float: "double"}[type(values[0])]
    check(path, [field("v", kind)], [[v] for v in values * 500])


def test_lists_of_other_names(tmp_path):
    values = [[1, 2], [], None, [None]]
    path = write(tmp_path / "f.parquet", {"l": pa.array(values)}, use_compliant_nested_type=False)
    check(path, [field("l", "list", field("x", "int64"))], [[v] for v in values])


def test_lists_of_two_levels(tmp_path):
    """The list's repeated node is the element itself: a number, or a struct of two."""
    list_type = 3
    path = parquet.write(tmp_path / "f.parquet", [
        ("l", parquet.OPTIONAL, 1, list_type), ("array", parquet.REPEATED, 0, None),
        ("s", parquet.OPTIONAL, 1, list_type), ("array", parquet.REPEATED, 2, None),
        ("a", parquet.REQUIRED, 0, None), ("b", parquet.OPTIONAL, 0, None),
    ], [
        (["l", "array"], [0, 1, 0, 0], [2, 2, 1, 0], [7, 8]),
        (["s", "array", "a"], [0, 0, 1, 0], [1, 2, 2, 0], [1, 2]),
        (["s", "array", "b"], [0, 0, 1, 0], [1, 3, 2, 0], [3]),
    ], 3)  # fmt: skip
    pair = field("element", "struct", field("b", "int64"), field("a", "int32"))
    rows = [[[7, 8], []], [[], [{"a": 1, "b": 3}, {"a": 2, "b": None}]], [None, None]]
    check(path, [field("l", "list", field("element", "int64")), field("s", "list", pair)], rows)


def test_repeated_without_a_list(tmp_path):
    path = parquet.write(tmp_path / "f.parquet", [("r", parquet.REPEATED, 0, None)],
                         [(["r"], [0, 1, 0], [1, 1, 0], [7, 8])], 2)  # fmt: skip
    check(path, [field("r", "list", field("element", "int32"))], [[[7, 8]], [[]]])


def test_duckdb_writes(tmp_path):
    path = tmp_path / "it's \"here\" [1] * ?.parquet"
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        name = str(path).replace("'", "''")
        db.execute(
            "COPY (SELECT MAP {'k': {'vr': 'PN', 'Value': ['a', NULL]}} AS metadata,"
            " TIMESTAMPTZ '2020-01-01 00:00:00+00' AS t, 7::UTINYINT AS u, 'x' AS \"we \"\"quote\"\"\")"
            f" TO '{name}' (FORMAT parquet)"
        )
    rows = [[[("k", {"vr": "PN", "Value": ["a", None]})], micros("2020-01-01"), 7, "x"]]
    check(path, [METADATA, field("t", "timestamp"), field("u", "int16"), string('we "quote"')], rows)


# ---- which columns ----


def test_order_case_missing_and_extra(tmp_path):
    path = write(tmp_path / "f.parquet", {
        "extra": [1, 2], "StudyDate": ["a", "b"], "s": [{"In": "x", "more": 1}, None],
    })  # fmt: skip
    wanted = field("S", "struct", field("gone", "list", string("e")), string("in"))
    schema = [
        wanted,
        string("missing"),
        string("studydate"),
        field("m", "map", string("key"), field("v", "struct", string("x", ), field("y", "int64", required=True))),
    ]  # fmt: skip
    got = read(path, schema)
    assert got[0] == [[[0, 1]], [[0, 2, "x"]], [[0, 0]], [[0, 1, "a"]], *[[[0, 0]]] * 3]
    assert got[1] == [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 1, "b"]], *[[[0, 0]]] * 3]


def test_no_column_that_the_file_has(tmp_path):
    path = write(tmp_path / "f.parquet", {"a": list(range(5000))})
    check(path, [string("b")], [[None]] * 5000)
    assert read(path, []) == {n: [] for n in range(5000)}


def test_the_exact_name_wins(tmp_path):
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table([pa.array(["upper"]), pa.array(["lower"])], ["NAME", "name"]), path)
    check(path, [string("name")], [["lower"]])
    check(path, [string("NAME")], [["upper"]])
    check(path, [string("name_1")], [[None]])


def test_a_name_that_the_row_number_has(tmp_path):
    path = write(tmp_path / "f.parquet", {"file_row_number": [7], "r": [1], "c0": [2]})
    message = refused(path, [field("r", "int64")])
    assert message.startswith("unsupported: columnar: ") and "file_row_number" in message
    path = write(tmp_path / "f.parquet", {"r": [1], "c0": [2]})
    check(path, [field("c0", "int64"), field("r", "int64")], [[2, 1]])


def test_required(tmp_path):
    path = tmp_path / "f.parquet"
    schema = pa.schema([pa.field("r", pa.string(), nullable=False), pa.field("o", pa.string())])
    pq.write_table(pa.table([["a", "b"], ["c", None]], schema), path)
    check(path, [field("r", "string", required=True), string("o")], [["a", "c"], ["b", None]])
    assert "NULL in a required column" in refused(path, [field("o", "string", required=True)])
    assert "NULL is not allowed" in refused(path, [field("x", "string", required=True)])


def with_id(name, kind, number, **more):
    return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)}, **more)


def test_field_ids(tmp_path):
    """Names say nothing, also within structs, lists and maps; what has no id is not there."""
    inner = pa.struct([with_id("a", pa.string(), 11), with_id("b", pa.int64(), 12)])
    schema = pa.schema([
        with_id("one", pa.string(), 1), with_id("two", inner, 2),
        with_id("three", pa.list_(with_id("element", inner, 30)), 3),
        with_id("four", pa.map_(with_id("key", pa.string(), 40, nullable=False),
                                with_id("value", inner, 41)), 4),
        pa.field("five", pa.string()),
    ])  # fmt: skip
    row = {"a": "x", "b": 5}
    path = tmp_path / "f.parquet"
    pq.write_table(pa.Table.from_pylist(
        [{"one": "1", "two": row, "three": [row, None], "four": [("k", row)], "five": "5"}],
        schema), path)  # fmt: skip

    def members():
        return [field("b", "string", id=11), field("a", "int64", id=12)]

    want = {"b": "x", "a": 5}
    wanted = [
        field("map", "map", string("k"), field("v", "struct", *members()), id=4),
        field("one", "list", field("e", "struct", *members()), id=3),
        field("s", "struct", *members(), id=2),
        field("two", "string", id=1),
        field("three", "string", id=99),
        string("five"),
    ]
    check(path, wanted, [[[("k", want)], [want, None], want, "1", None, "5"]], "ids")


def test_json_of_whatever_is_there(tmp_path):
    """Statistics of a checkpoint: their types follow the table's, so they are taken as JSON."""
    stats = [{"numRecords": 3, "minValues": {"a": 1, "d": datetime.date(2020, 1, 2)}}, None]
    path = write(tmp_path / "f.parquet", {
        "add": [{"path": "p", "stats_parsed": stats[0]}, {"path": "q", "stats_parsed": None}, None],
        "m": pa.array([[("k", None)], [], None], pa.map_(pa.string(), pa.string())),
        "t": pa.array([0, None, 1], pa.timestamp("us", "UTC")),
    })  # fmt: skip
    schema = [
        field("add", "struct", string("path"), field("stats_parsed", "string", json=True)),
        field("m", "string", json=True),
        field("t", "string", json=True),
        field("none", "string", json=True),
    ]
    got = read(path, schema)
    (entry,) = got[0][1]
    assert entry[:2] == [0, 2]
    assert json.loads(entry[2]) == {
        "numRecords": 3, "minValues": {"a": 1, "d": "2020-01-02"}}  # fmt: skip
    assert [got[n][1] for n in (1, 2)] == [[[0, 1]], [[0, 0]]]
    assert [got[n][2] for n in range(3)] == [[[0, 1, '{"k":null}']], [[0, 1, "{}"]], [[0, 0]]]
    assert got[0][3] == [[0, 1, '"1970-01-01 00:00:00+00"']]
    assert got[0][4] == [[0, 0]]
    nested = [field("add", "list", field("e", "string", json=True))]
    path = write(tmp_path / "g.parquet", {"add": [[{"a": 1}]]})
    assert "no JSON inside of lists" in refused(path, nested)


def test_the_folder_is_no_column(tmp_path):
    """partition=value in a path is Delta's business."""
    folder = tmp_path / "partitionName=ward 7"
    folder.mkdir()
    path = write(folder / "f.parquet", {"a": ["x"]})
    check(path, [string("a"), string("partitionName")], [["x", None]])


# ---- which rows ----


@pytest.mark.parametrize("first, end", [
    (0, 0), (0, 1), (0, 700), (1, 0), (699, 701), (700, 1400), (2999, 3000), (3000, 4000),
    (2999, 0), (5, 5), (5, 4), (4000, 0),
])  # fmt: skip
def test_row_ranges(tmp_path, first, end):
    path = write(tmp_path / "f.parquet", {"n": list(range(3000))}, row_group_size=700)
    got = read(path, [field("n", "int64")], f"first={first}", f"end={end}")
    assert got == {n: [[[0, 1, n]]] for n in range(first, min(end or 3000, 3000))}


def test_more_threads_keep_the_order(tmp_path):
    path = write(tmp_path / "f.parquet", {"n": list(range(100000))}, row_group_size=1000)
    check(path, [field("n", "int64")], [[n] for n in range(100000)], "threads=4")


@pytest.mark.parametrize("count", [0, 1, 3000])
def test_row_count(tmp_path, count):
    path = write(tmp_path / "f.parquet", {"n": pa.array(list(range(count)), pa.int64())})
    assert run(path, "count").stdout == f"{count}\n"
    check(path, [field("n", "int64")], [[n] for n in range(count)])


# ---- what is no Parquet file ----


def test_missing_file(tmp_path):
    for words in ("count", "[]"):
        assert refused(tmp_path / "none.parquet", words).startswith("not_found: columnar: ")


def test_not_a_file(tmp_path):
    assert refused(tmp_path, "[]").startswith("corrupt: columnar: ")
    assert refused("relative.parquet", "[]").startswith("unsupported: columnar: ")
    assert refused("https://127.0.0.1:1/a.parquet", "[]").startswith("unsupported: columnar: ")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"\0" * 100, b"PAR1" + b"\xff" * 8 + b"PAR1",
                                     b"PAR1" + struct.pack("<I", 2**31) + b"PAR1",
                                     b"PARE" + b"\0" * 8 + b"PARE"])  # fmt: skip
def test_garbage(tmp_path, content):
    path = tmp_path / "f.parquet"
    path.write_bytes(content)
    for words in ("count", "[]", json.dumps([string("a")])):
        assert refused(path, words).split(":")[0] in ("corrupt", "unsupported")


def test_truncated_and_damaged(tmp_path):
    """Cut anywhere it is corrupt; a changed byte gives an error or other values, never a crash, and no
    message holds a value."""
    secret = "Doe^Jane"
    path = write(tmp_path / "f.parquet", {"n": [f"{secret}{n}" for n in range(300)],
                                          "l": [[n] * (n % 5) for n in range(300)]},
                 compression="none")  # fmt: skip
    content = path.read_bytes()
    schema = [string("n"), field("l", "list", field("e", "int64"))]
    rng = random.Random(4)
    for cut in sorted(rng.sample(range(len(content)), 12)):
        path.write_bytes(content[:cut])
        assert refused(path, schema).split(":")[0] == "corrupt"
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(damaged)
        done = run(path, json.dumps(schema))
        assert done.returncode in (0, 1), done.stderr
        if done.returncode == 1:
            assert secret not in done.stderr
            assert done.stderr.split(":")[0] in ("corrupt", "unsupported", "limit"), done.stderr


def test_text_that_is_not_utf8_is_never_in_the_message(tmp_path):
    path = write(tmp_path / "f.parquet", {"n": pa.array([b"Doe^Jane\xff"])})
    assert "Doe" not in refused(path, [string("n")])  # BINARY in the file: our own check
    content = write(tmp_path / "g.parquet", {"n": ["Doe^JaneX"]}, compression="none").read_bytes()
    path.write_bytes(content.replace(b"Doe^JaneX", b"Doe^Jane\xff"))
    message = refused(path, [string("n")])
    assert message.startswith("corrupt: ") and "Doe" not in message


def test_memory_has_a_limit(tmp_path):
    path = write(tmp_path / "f.parquet", {"v": ["x" * 30_000_000] * 8})
    assert refused(path, [string("v")], "memory=1000000").startswith("limit: columnar: ")
