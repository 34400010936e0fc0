"""What `dicomlake sql` writes, read by the programs that people read it with."""

import csv
import datetime
import decimal
import html.parser
import io
import json
import math
import subprocess
import xml.etree.ElementTree

import duckdb
import markdown_it
import pyarrow
import pyarrow.parquet
import pytest
from support.server import program

HOSTILE = "a\"b',;|\\<b>&amp;`*_[x](y)`\t\n\r\x1b[31m\u202e\u2028日本é\U0001f600 "
DAY = datetime.date
UTC = datetime.timezone.utc

# column, its SQL, its values in two rows and NULL
COLUMNS = [
    ("flag", "BOOLEAN", ["true", "false"], [True, False]),
    ("tiny", "TINYINT", ["-128", "127"], [-128, 127]),
    ("small", "USMALLINT", ["0", "65535"], [0, 65535]),
    ("whole", "INTEGER", ["-2147483648", "2147483647"], [-(2**31), 2**31 - 1]),
    ("long", "BIGINT", ["-9223372036854775808", "9223372036854775807"], [-(2**63), 2**63 - 1]),
    ("ulong", "UBIGINT", ["0", "18446744073709551615"], [0, 2**64 - 1]),
    ("huge", "HUGEINT", ["-" + "9" * 38, "9" * 38], [-(10**38) + 1, 10**38 - 1]),
    ("price", "DECIMAL(18,4)", ["-12345678901234.5678", "0.0001"],
     [decimal.Decimal("-12345678901234.5678"), decimal.Decimal("0.0001")]),
    ("wide", "DECIMAL(38,10)", ["-1234567890123456789012345678.0123456789", "0"],
     [decimal.Decimal("-1234567890123456789012345678.0123456789"), decimal.Decimal(0)]),
    ("narrow", "DECIMAL(4,1)", ["-999.9", "999.9"], [decimal.Decimal("-999.9"), decimal.Decimal("999.9")]),
    ("single", "FLOAT", ["-1.5", "0.25"], [-1.5, 0.25]),
    ("real", "DOUBLE", ["1e300", "-0.1"], [1e300, -0.1]),
    ("text", "VARCHAR", [HOSTILE, ""], [HOSTILE, ""]),
    ("bytes", "BLOB", ["\\x00\\xFFa", ""], [b"\x00\xffa", b""]),
    ("day", "DATE", ["1899-12-31", "2026-02-28"], [DAY(1899, 12, 31), DAY(2026, 2, 28)]),
    ("clock", "TIME", ["00:00:00", "23:59:59.999999"],
     [datetime.time(0, 0), datetime.time(23, 59, 59, 999999)]),
    ("moment", "TIMESTAMP", ["1901-02-03 04:05:06.789", "2026-01-05 08:00:00.000001"],
     [datetime.datetime(1901, 2, 3, 4, 5, 6, 789000), datetime.datetime(2026, 1, 5, 8, 0, 0, 1)]),
    ("zoned", "TIMESTAMPTZ", ["1969-12-31 23:00:00-05:30", "2026-01-05 08:00:00+02:00"],
     [datetime.datetime(1970, 1, 1, 4, 30, tzinfo=UTC), datetime.datetime(2026, 1, 5, 6, 0, tzinfo=UTC)]),
    ("list", "INTEGER[]", ["[1, NULL, 3]", "[]"], [[1, None, 3], []]),
    ("deep", "VARCHAR[][]", ["[[a], [], NULL]", "[]"], [[["a"], [], None], []]),
    ("struct", "STRUCT(a INTEGER, b VARCHAR)", ["{'a': 1, 'b': x}", "{'a': NULL, 'b': NULL}"],
     [{"a": 1, "b": "x"}, {"a": None, "b": None}]),
    ("map", "MAP(VARCHAR, INTEGER)", ["{k1=1, k2=NULL}", "{}"], [{"k1": 1, "k2": None}, {}]),
    ("kind", "ENUM('no', 'yes')", ["yes", "no"], ["yes", "no"]),
    ("id", "UUID", ["6a3e8a33-95c8-4e3e-9e3c-7f1f7b8c4a11"] * 2, ["6a3e8a33-95c8-4e3e-9e3c-7f1f7b8c4a11"] * 2),
]


def quoted(text):
    """SQL's text; what no statement may hold is made by chr()."""
    parts = ["''"]
    for c in text:
        parts.append(f"chr({ord(c)})" if ord(c) < 32 or ord(c) > 126 or c in "'\\" else f"'{c}'")
    return " || ".join(parts)


def literal(type_, text):
    if type_ == "VARCHAR":
        return quoted(text)
    return "CAST('{}' AS {})".format(text.replace("'", "''"), type_)


def statement(columns=COLUMNS):
    """Two rows of values, and one of NULLs."""
    rows = []
    for i in range(2):
        cells = [f"{literal(t, texts[i])} AS \"{name}\"" for name, t, texts, _ in columns]
        rows.append(f"SELECT {i} AS row, {', '.join(cells)}")
    rows.append("SELECT 2, " + ", ".join(f"CAST(NULL AS {t})" for _, t, _, _ in columns))
    return " UNION ALL ".join(rows) + " ORDER BY row"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    (folder / "dicom").mkdir()
    return folder


def sql(lake, text, form, *words, code=0):
    done = subprocess.run(
        [program(), "sql", "--lake", lake, "--format", form, "--file", "-", *words],
        input=text.encode(), capture_output=True, timeout=120)
    assert done.returncode == code, (done.returncode, done.stderr)
    return done.stdout if code == 0 else done.stderr.decode()


def values(i):
    return {"row": i, **{name: v[i] if i < 2 else None for name, _, _, v in COLUMNS}}


def test_arrow_by_pyarrow(lake):
    table = pyarrow.ipc.open_stream(sql(lake, statement(), "arrow")).read_all()
    table.validate(full=True)
    got = table.to_pylist(maps_as_pydicts="strict")
    assert got == [values(i) for i in range(3)]
    types = {f.name: str(f.type) for f in table.schema}
    assert types["zoned"] == "timestamp[us, tz=UTC]" and types["moment"] == "timestamp[us]"
    assert types["price"] == "decimal128(18, 4)" and types["tiny"] == "int8" and types["day"] == "date32[day]"


def test_arrow_of_many_batches_and_of_none(lake):
    text = "SELECT range AS i, CASE WHEN range % 3 > 0 THEN repeat('x', (range % 50)::INT) END AS s FROM range(100000)"
    table = pyarrow.ipc.open_stream(sql(lake, text, "arrow")).read_all()
    table.validate(full=True)
    assert table.num_rows == 100000
    assert table["i"].to_pylist() == list(range(100000))
    assert table["s"].to_pylist() == [("x" * (i % 50) if i % 3 else None) for i in range(100000)]
    empty = pyarrow.ipc.open_stream(sql(lake, "SELECT 1 AS a, 'x' AS b WHERE false", "arrow")).read_all()
    assert empty.num_rows == 0 and empty.schema.names == ["a", "b"]


def test_arrow_names_are_unique(lake):
    table = pyarrow.ipc.open_stream(sql(lake, "SELECT 1 AS a, 2 AS a", "arrow")).read_all()
    assert table.to_pylist() == [{"a": 1, "a_1": 2}]


def test_parquet_by_pyarrow(lake, tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(sql(lake, statement(), "parquet"))
    got = pyarrow.parquet.read_table(path).to_pylist(maps_as_pydicts="strict")
    want = [values(i) for i in range(3)]
    for row in got:
        row["id"] = None if row["id"] is None else str(row["id"])
    assert got == want
    metadata = pyarrow.parquet.ParquetFile(path).metadata
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_parquet_by_duckdb(lake, tmp_path):
    path = tmp_path / "t.parquet"
    columns = [c for c in COLUMNS if c[0] != "zoned"]  # its Python values need pytz
    path.write_bytes(sql(lake, statement(columns), "parquet"))
    rows = duckdb.sql(f"SELECT * FROM '{path}' ORDER BY row").fetchall()
    assert [r[0] for r in rows] == [0, 1, 2]
    for i, (name, _, _, want) in enumerate(columns):
        got = [str(r[i + 1]) if name == "id" and r[i + 1] else r[i + 1] for r in rows]
        assert got == [*want, None], name


def test_parquet_of_many_rows_and_of_none(lake, tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(sql(lake, "SELECT range AS i, 'x' AS \"I\" FROM range(100000)", "parquet"))
    assert duckdb.sql(f"SELECT count(*), sum(i), max(\"I_1\") FROM '{path}'").fetchall() == [(100000, 4999950000, "x")]
    assert pyarrow.parquet.ParquetFile(path).metadata.num_row_groups == 4
    path.write_bytes(sql(lake, "SELECT 1 AS a WHERE false", "parquet"))
    assert pyarrow.parquet.read_table(path).num_rows == 0


def test_numbers_that_are_none(lake, tmp_path):
    text = "SELECT unnest(['nan'::DOUBLE, 'inf'::DOUBLE, '-inf'::DOUBLE, NULL, '-0.0'::DOUBLE]) AS d"
    for form in "arrow", "parquet":
        path = tmp_path / form
        path.write_bytes(sql(lake, text, form))
        table = pyarrow.ipc.open_stream(path).read_all() if form == "arrow" else pyarrow.parquet.read_table(path)
        d = table["d"].to_pylist()
        assert math.isnan(d[0]) and d[1:4] == [math.inf, -math.inf, None] and math.copysign(1, d[4]) == -1
    assert [r["d"] for r in json.loads(sql(lake, text, "json"))][:4] == [None] * 4
    assert sql(lake, text, "csv") == b"d\nnan\ninf\n-inf\n\n-0.0\n"


def test_csv_by_python(lake):
    rows = list(csv.reader(io.StringIO(sql(lake, statement(), "csv").decode(), newline="")))
    assert rows[0] == ["row", *(name for name, *_ in COLUMNS)]
    assert rows[3] == ["2", *([""] * len(COLUMNS))]
    for i in range(2):
        got = dict(zip(rows[0], rows[i + 1], strict=True))
        for name in "list", "deep", "struct", "map":
            assert json.loads(got[name]) == values(i)[name]
        assert got["text"] == values(i)["text"]
        assert int(got["huge"]) == values(i)["huge"] and int(got["ulong"]) == values(i)["ulong"]
        assert decimal.Decimal(got["wide"]) == values(i)["wide"]
        assert datetime.datetime.fromisoformat(got["moment"]) == values(i)["moment"]
        assert datetime.datetime.fromisoformat(got["zoned"] + ":00") == values(i)["zoned"]
        assert got["day"] == values(i)["day"].isoformat() and got["kind"] == values(i)["kind"]
        assert float(got["real"]) == values(i)["real"] and got["flag"] == str(values(i)["flag"]).lower()


def test_csv_by_duckdb_and_pyarrow(lake, tmp_path):
    path = tmp_path / "t.csv"
    columns = [c for c in COLUMNS if c[0] in ("long", "price", "text", "day", "moment", "flag")]
    path.write_bytes(sql(lake, statement(columns), "csv"))
    read = f"read_csv('{path}', all_varchar := true, new_line := '\\n', quote := '\"', escape := '\"', strict_mode := false)"
    rows = duckdb.sql(f"SELECT text FROM {read} ORDER BY row").fetchall()
    assert rows[0] == (HOSTILE,)
    from pyarrow import csv as arrow_csv

    table = arrow_csv.read_csv(path, parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                               convert_options=arrow_csv.ConvertOptions(strings_can_be_null=True,
                                                                        quoted_strings_can_be_null=False))
    assert table["text"].to_pylist() == [HOSTILE, "", None]
    assert table["long"].to_pylist() == [-(2**63), 2**63 - 1, None]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_by_python(lake, form):
    text = sql(lake, statement(), form).decode()
    rows = json.loads(text) if form == "json" else [json.loads(line) for line in text.split("\n")[:-1]]
    assert len(rows) == 3
    for i, row in enumerate(rows):
        want = values(i)
        assert list(row) == list(want)
        for name in "flag", "tiny", "small", "whole", "single", "real", "text", "list", "deep", "struct", "map", "kind", "id":
            assert row[name] == want[name], name
        for name in "long", "ulong", "huge", "price", "wide", "narrow":  # no reader's doubles come near them
            assert row[name] is None if want[name] is None else decimal.Decimal(row[name]) == want[name], name


class Cells(html.parser.HTMLParser):
    """Texts of the cells, and whatever stands in no table."""

    def __init__(self):
        super().__init__()
        self.rows, self.tags, self.inside = [], set(), False

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def shown(text):
    """Control characters as symbols, what hides or turns text as U+FFFD; lines stay."""
    symbols = "".join(chr(0x2400 + ord(c)) if ord(c) < 32 and c != "\n" else c for c in text)
    return symbols.replace("\u202e", "\ufffd").replace("\u2028", "\ufffd")


def test_html_by_a_parser(lake):
    page = Cells()
    page.feed(sql(lake, statement(), "html").decode())
    assert page.tags == {"div", "table", "thead", "tbody", "tr", "th", "td", "i", "p"}
    assert page.rows[0] == ["row", *(name for name, *_ in COLUMNS)]
    at = page.rows[0].index("text")
    assert [r[at] for r in page.rows[1:]] == [shown(HOSTILE), "", "NULL"]
    assert [len(r) for r in page.rows] == [len(COLUMNS) + 1] * 4
    xml.etree.ElementTree.fromstring(sql(lake, statement(), "html"))  # well-formed too


def test_markdown_by_a_parser(lake):
    text = sql(lake, statement(), "markdown").decode()
    page = Cells()
    page.feed(markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").render(text))
    assert page.tags <= {"table", "thead", "tbody", "tr", "th", "td", "em", "br"}
    at = page.rows[0].index("text")
    assert [len(r) for r in page.rows] == [len(COLUMNS) + 1] * 4
    assert page.rows[1][at] == shown(HOSTILE).replace("\n", "").strip()  # a line's end is <br>
    assert page.rows[3][at] == "NULL" and page.rows[2][at] == ""


def test_charts_are_pictures(lake):
    for words in "bar", "line", "scatter x=i y=n", "histogram x=n", "pie x=label y=n":
        done = subprocess.run(
            [program(), "sql", "--lake", lake, "--chart", f"{words} title='<&>{'t' * 300}'",
             f"SELECT {quoted(HOSTILE)} || range AS label, range AS i, range * 2 + 1 AS n FROM range(12)"],
            capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        root = xml.etree.ElementTree.fromstring(done.stdout)
        names = {e.tag.removeprefix("{http://www.w3.org/2000/svg}") for e in root.iter()}
        assert root.attrib["viewBox"] == "0 0 720 400"
        assert names <= {"svg", "title", "rect", "line", "path", "circle", "text"}, names
        assert root.find("{http://www.w3.org/2000/svg}title").text.startswith("<&>ttt")
        for e in root.iter():
            assert not any(k.startswith("on") or "href" in k for k in e.attrib)
            for k in "x", "y", "cx", "cy", "x1", "x2", "y1", "y2", "width", "height":
                if k in e.attrib:
                    assert 0 <= float(e.attrib[k]) <= 720, (words, e.tag, e.attrib)
