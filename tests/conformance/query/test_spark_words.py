"""Spark's words: what its documentation says they give, given by `dicomlake sql`; where ours differ, that docs/sql.md
says so; and (slow) that Spark itself gives what is written here. The examples of docs/sql.md are run as they stand."""

import datetime
import decimal
import json
import pathlib
import re
import subprocess

import pydicom
import pytest
from support import lake
from support.server import ROOT, program

D = datetime.date.fromisoformat
T = datetime.datetime.fromisoformat

# An expression and its value, in Spark (spark.sql.ansi.enabled=false, UTC) and here.
WORDS = [
    # NULL, conditions
    ("nvl(NULL, 1)", 1),
    ("nvl2(NULL, 1, 2)", 2),
    ("nvl2(0, 1, 2)", 1),
    ("ifnull(NULL, 3)", 3),
    ("if(1 = 1, 'a', 'b')", "a"),
    ("isnull(NULL)", True),
    ("isnotnull(NULL)", False),
    ("nullif(1, 1)", None),
    ("coalesce(NULL, 2)", 2),
    ("NULL <=> NULL", True),
    ("1 <=> NULL", False),
    ("1 == 1", True),
    ("!true", False),
    ("NOT ('a' <=> 'b')", True),
    # types
    ("CAST('5' AS BYTE)", 5),
    ("CAST('5' AS SHORT)", 5),
    ("CAST('5' AS INT)", 5),
    ("CAST('5' AS LONG)", 5),
    ("CAST('5' AS BIGINT)", 5),
    ("CAST(5 AS STRING)", "5"),
    ("CAST('1.5' AS DOUBLE)", 1.5),
    ("CAST('2026-01-05' AS DATE)", D("2026-01-05")),
    ("CAST('2026-01-05 10:00:00' AS TIMESTAMP_NTZ)", T("2026-01-05 10:00:00")),
    ("CAST('true' AS BOOLEAN)", True),
    # text
    ("concat('a', 'b')", "ab"),
    ("'a' || 'b'", "ab"),
    ("concat_ws('-', 'a', NULL, 'b')", "a-b"),
    ("length('äb')", 2),
    ("upper('ä')", "Ä"),
    ("ucase('a')", "A"),
    ("lcase('A')", "a"),
    ("initcap('sPark sql')", "Spark Sql"),
    ("trim('  a ')", "a"),
    ("lpad('hi', 5, '??')", "???hi"),
    ("rpad('hi', 5, '??')", "hi???"),
    ("replace('ABCabc', 'abc', 'DEF')", "ABCDEF"),
    ("reverse('abc')", "cba"),
    ("repeat('ab', 2)", "abab"),
    ("substring('Spark SQL', 5)", "k SQL"),
    ("substring('Spark SQL', -3)", "SQL"),
    ("substring('Spark SQL', 5, 1)", "k"),
    ("substr('Spark SQL', 5, 1)", "k"),
    ("left('Spark', 3)", "Spa"),
    ("right('Spark', 3)", "ark"),
    ("instr('SparkSQL', 'SQL')", 6),
    ("instr('SparkSQL', 'x')", 0),
    ("locate('bar', 'foobarbar')", 4),
    ("locate('bar', 'foobarbar', 5)", 7),
    ("locate('x', 'foobarbar')", 0),
    ("substring_index('www.apache.org', '.', 2)", "www.apache"),
    ("substring_index('www.apache.org', '.', -2)", "apache.org"),
    ("split('a-b', '-')", ["a", "b"]),
    ("startswith('Spark SQL', 'Spark')", True),
    ("endswith('Spark SQL', 'SQL')", True),
    ("contains('Spark SQL', 'rk S')", True),
    ("translate('AaBbCc', 'abc', '123')", "A1B2C3"),
    ("ascii('2')", 50),
    ("levenshtein('kitten', 'sitting')", 3),
    ("md5('Spark')", "8cde774d6f7333752ed72cacddb05126"),
    ("sha2('Spark', 256)", "529bc3b07127ecb7e53a4dcf1991d9152c24537d919178022b2c42657f79a26b"),
    ("'Spark' RLIKE '^S.*k$'", True),
    ("'Spark' RLIKE 'par'", True),
    ("'Spark' NOT RLIKE 'par'", False),
    ("'Spark' REGEXP 'x'", False),
    ("rlike('Spark', 'a')", True),
    ("regexp_like('Spark', 'a')", True),
    ("'abc' LIKE 'a%'", True),
    ("'abc' LIKE 'A%'", False),
    ("'abc' ILIKE 'A%'", True),
    ("regexp_extract('100-200', '([0-9]+)-([0-9]+)', 1)", "100"),
    ("regexp_extract('x', '([0-9]+)', 1)", ""),
    # numbers
    ("7 DIV 2", 3),
    ("-7 DIV 2", -3),
    ("-7 % 2", -1),
    ("mod(7, 2)", 1),
    ("pmod(-7, 3)", 2),
    ("7 / 2", 3.5),
    ("round(2.5)", 3),
    ("ceil(-0.1)", 0),
    ("floor(-0.1)", -1),
    ("greatest(1, NULL, 3)", 3),
    ("least(1, NULL, 3)", 1),
    ("power(2, 3)", 8.0),
    ("ln(1)", 0.0),
    ("sign(-2.0)", -1.0),
    # JSON
    ("get_json_object('{\"a\":\"b\"}', '$.a')", "b"),
    ("get_json_object('{\"a\":[{\"b\":1},{\"b\":2}]}', '$.a[1].b')", "2"),
    ("get_json_object('{\"a\":[1, 2]}', '$.a')", "[1,2]"),
    ("get_json_object('{\"a\":null}', '$.a')", None),
    ("get_json_object('{\"a\":1}', '$.b')", None),
    ("get_json_object('no json', '$.a')", None),
    ("get_json_object('{\"00080060\":{\"Value\":[\"CT\"]}}', '$.00080060.Value[0]')", "CT"),
    # lists and maps
    ("size(array('b', 'd', 'c'))", 3),
    ("size(array())", 0),
    ("array_size(array(1))", 1),
    ("element_at(array(1, 2, 3), 2)", 2),
    ("element_at(array(1, 2, 3), -1)", 3),
    ("array_contains(array(1, 2, 3), 2)", True),
    ("array_join(array('hello', NULL, 'world'), ' ')", "hello world"),
    ("array_join(array('hello', NULL, 'world'), ' ', ',')", "hello , world"),
    ("sort_array(array('b', 'd', NULL, 'c', 'a'), true)", [None, "a", "b", "c", "d"]),
    ("sort_array(array('b', 'd', NULL, 'c', 'a'), false)", ["d", "c", "b", "a", None]),
    ("array_max(array(1, 20, NULL, 3))", 20),
    ("array_min(array(1, 20, NULL, 3))", 1),
    ("array_remove(array(1, 2, 3, NULL, 3), 3)", [1, 2, None]),
    ("slice(array(1, 2, 3, 4), 2, 2)", [2, 3]),
    ("slice(array(1, 2, 3, 4), -2, 2)", [3, 4]),
    ("sequence(1, 5)", [1, 2, 3, 4, 5]),
    ("sequence(5, 1, -2)", [5, 3, 1]),
    ("transform(array(1, 2, 3), x -> x + 1)", [2, 3, 4]),
    ("filter(array(1, 2, 3), x -> x % 2 == 1)", [1, 3]),
    ("flatten(array(array(1, 2), array(3)))", [1, 2, 3]),
    # dates and times
    ("to_date('2009-07-30')", D("2009-07-30")),
    ("to_date('2016-12-31', 'yyyy-MM-dd')", D("2016-12-31")),
    ("to_date('31.12.2016', 'd.M.yyyy')", D("2016-12-31")),
    ("to_date('20161231', 'yyyyMMdd')", D("2016-12-31")),
    ("to_date('soon')", None),
    ("to_timestamp('2016-12-31 00:12:00')", T("2016-12-31 00:12:00")),
    ("to_timestamp('2016-12-31', 'yyyy-MM-dd')", T("2016-12-31 00:00:00")),
    ("to_timestamp('31 Dec 2016 01:02:03.5 PM', 'dd MMM yyyy hh:mm:ss.S a')", T("2016-12-31 13:02:03.500000")),
    ("to_timestamp('2016-12-31T00:12:00+01:00', \"yyyy-MM-dd'T'HH:mm:ssXXX\")", T("2016-12-30 23:12:00")),
    ("date_format(TIMESTAMP '2026-01-05 09:15:01.123', 'yyyy-MM-dd HH:mm:ss.SSS')", "2026-01-05 09:15:01.123"),
    ("date_format(DATE '2026-01-05', 'y')", "2026"),
    ("date_format(DATE '2026-01-05', 'EEEE, d MMMM yyyy')", "Monday, 5 January 2026"),
    ("date_format(DATE '2026-01-05', 'E MMM')", "Mon Jan"),
    ("date_format(DATE '2026-01-05', 'yyMMdd D DDD')", "260105 5 005"),
    ("date_format(DATE '2026-05-05', 'Q QQ QQQ QQQQ')", "2 02 Q2 2nd quarter"),
    ("date_format(TIMESTAMP '2026-01-05 00:05:00', 'h hh K k H a')", "12 12 0 24 0 AM"),
    ("date_format(TIMESTAMP '2026-01-05 13:05:00', 'h hh K k H a')", "1 01 1 13 13 PM"),
    ("date_format(TIMESTAMP '2026-01-05 13:05:00', 'X XXX xxx Z VV z')", "Z Z +00:00 +0000 UTC UTC"),
    ("date_format(DATE '2026-01-05', \"yyyy'W'\")", "2026W"),
    ("date_add('2016-07-30', 1)", D("2016-07-31")),
    ("date_add(DATE '2016-12-31', 1)", D("2017-01-01")),
    ("date_sub('2016-07-30', 1)", D("2016-07-29")),
    ("datediff('2009-07-31', '2009-07-30')", 1),
    ("datediff('2009-07-30', '2009-07-31')", -1),
    ("add_months('2016-08-31', 1)", D("2016-09-30")),
    ("months_between('1997-02-28 10:30:00', '1996-10-30')", 3.94959677),
    ("months_between('2026-02-28', '2026-01-31')", 1.0),
    ("months_between('2026-03-15', '2026-01-15')", 2.0),
    ("last_day(DATE '2009-01-12')", D("2009-01-31")),
    ("year(DATE '2016-07-30')", 2016),
    ("month(DATE '2016-07-30')", 7),
    ("day(DATE '2016-07-30')", 30),
    ("dayofmonth(DATE '2016-07-30')", 30),
    ("dayofyear(DATE '2016-04-09')", 100),
    ("quarter(DATE '2016-08-31')", 3),
    ("weekofyear(DATE '2008-02-20')", 8),
    ("hour(TIMESTAMP '2009-07-30 12:58:59')", 12),
    ("minute(TIMESTAMP '2009-07-30 12:58:59')", 58),
    ("second(TIMESTAMP '2009-07-30 12:58:59')", 59),
    ("extract(YEAR FROM DATE '2019-08-12')", 2019),
    ("unix_timestamp('2016-04-08', 'yyyy-MM-dd')", 1460073600),
    ("from_unixtime(0, 'yyyy-MM-dd HH:mm:ss')", "1970-01-01 00:00:00"),
    ("from_unixtime(0)", "1970-01-01 00:00:00"),
    ("make_date(2013, 7, 15)", D("2013-07-15")),
    ("DATE '2026-01-31' + INTERVAL 1 DAY = DATE '2026-02-01'", True),
    ("CAST(date_trunc('month', TIMESTAMP '2015-03-05 09:32:05') AS DATE)", D("2015-03-01")),
]  # fmt: skip

# Whole statements: rows.
STATEMENTS = [
    ("SELECT explode(array(10, 20)) AS v", [10, 20]),
    ("SELECT count_if(v % 2 = 0) AS v FROM (VALUES (NULL), (0), (1), (2), (3)) AS tab(v)", [2]),
    ("SELECT sort_array(collect_list(v)) AS v FROM (VALUES (1), (2), (NULL), (1)) AS tab(v)", [[1, 1, 2]]),
    ("SELECT sort_array(collect_set(v)) AS v FROM (VALUES (1), (2), (NULL), (1)) AS tab(v)", [[1, 2]]),
    ("SELECT collect_list(v) AS v FROM (VALUES (1)) AS tab(v) WHERE v > 1", [[]]),
    ("SELECT approx_count_distinct(v) AS v FROM (VALUES (1), (1), (2), (2), (3)) AS tab(v)", [3]),
    ("SELECT percentile(v, 0.5) AS v FROM (VALUES (0), (10)) AS tab(v)", [5.0]),
    ("SELECT percentile_approx(v, 0.5) AS v FROM (VALUES (0), (1), (2)) AS tab(v)", [1]),
    ("SELECT every(v) AS v FROM (VALUES (true), (true)) AS tab(v)", [True]),
    ("SELECT max_by(x, y) AS v FROM (VALUES ('a', 10), ('b', 50), ('c', 20)) AS tab(x, y)", ["b"]),
    ("SELECT t.v FROM (VALUES (1), (2)) AS t(v) LEFT SEMI JOIN (VALUES (2)) AS u(v) ON t.v = u.v", [2]),
    ("SELECT t.v FROM (VALUES (1), (2)) AS t(v) LEFT ANTI JOIN (VALUES (2)) AS u(v) ON t.v = u.v", [1]),
    ("SELECT v FROM (VALUES (1), (2)) AS t(v) MINUS SELECT 2", [1]),
    ("SELECT `a b` AS v FROM (SELECT 1 AS `a b`)", [1]),
    ("SELECT v FROM (VALUES (2), (1)) AS t(v) ORDER BY v LIMIT 1", [1]),
    ("SELECT row_number() OVER (ORDER BY v) AS v FROM (VALUES (7), (8)) AS t(v)", [1, 2]),
]

# The same word, another answer: (expression, Spark's, ours, what docs/sql.md calls it).
DIFFERENCES = [
    ("array(1, 2)[0]", 1, None, "list[0]"),
    ("regexp_replace('aXa', 'a', 'b')", "bXb", "bXa", "regexp_replace"),
    ("regexp_extract('a1', '([a-z])([0-9])')", "a", "a1", "regexp_extract"),
    ("split('a.b', '[.]')", ["a", "b"], ["a.b"], "split"),
    ("dayofweek(DATE '2026-01-04')", 1, 0, "dayofweek"),
    ("weekday(DATE '2026-01-05')", 0, 1, "weekday"),
    ("concat('a', NULL)", None, "a", "concat"),
    ("concat_ws(',', array('a', 'b'))", "a,b", "[a, b]", "concat_ws"),
    ("log(100.0D)", 4.605170185988092, None, "log"),
    ("substring('abc', 0, 2)", "ab", "a", "substring"),
    ("array_position(array(1, 2), 3)", 0, None, "array_position"),
    ("size(NULL)", -1, None, "size(NULL)"),
    ("array_distinct(array(1, NULL))", [1, None], [1], "array_distinct"),
    ("length('a\\\\b')", 3, 4, "backslash"),
    ("get_json_object('{\"a\":[{\"b\":1},{\"b\":2}]}', '$.a[*].b')", "[1,2]", ["1", "2"], "[*]"),
]
OURS_ALONE = {"log(100.0D)": ("log(100)", 2.0)}
STATEMENT_DIFFERENCES = [
    ("SELECT v FROM (VALUES (1), (NULL)) AS t(v) ORDER BY v", [None, 1], [1, None], "NULLS"),
]


def same(got, wanted):
    if isinstance(wanted, (list, tuple)):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(same, got, wanted))
    if isinstance(wanted, datetime.datetime):
        found = datetime.datetime.fromisoformat(str(got)).replace(tzinfo=None) if got is not None else None
        return found == wanted
    if isinstance(wanted, datetime.date):
        return str(got) == str(wanted)
    if isinstance(wanted, bool) or wanted is None or isinstance(wanted, str):
        return got is wanted if not isinstance(wanted, str) else got == wanted
    if isinstance(got, (str, decimal.Decimal)):
        got = float(got)
    return not isinstance(got, bool) and got is not None and abs(got - wanted) < 1e-9


def ours(folder, statements):
    """The column v of each statement, in order."""
    script = folder / "script.sql"
    marked = [f"SELECT {i} AS n, v FROM ({sql}) q" for i, sql in enumerate(statements)]
    script.write_text(";\n".join(marked))
    done = lake.run("sql", "--lake", folder / "lake", "--format", "jsonl", "-f", script)
    rows = [[] for _ in statements]
    for line in done.stdout.splitlines():
        row = json.loads(line)
        rows[row["n"]].append(row["v"])
    return rows


@pytest.fixture
def place(tmp_path):
    (tmp_path / "lake").mkdir()
    return tmp_path


def judge(statements, found, wanted):
    wrong = [f"{s}: {f!r}, not {w!r}" for s, f, w in zip(statements, found, wanted, strict=True) if not same(f, w)]
    assert not wrong, "\n".join(wrong)


def plain(text):
    """Texts of Spark's in double quotes are texts; here they have to be in single ones."""
    return re.sub(r'"([^"]*)"', lambda m: "'" + m[1].replace("'", "''") + "'", text) if "\"yyyy" in text else text


def test_words_give_what_spark_gives(place):
    statements = [f"SELECT {plain(word)} AS v" for word, _ in WORDS]
    judge(statements, ours(place, statements), [[value] for _, value in WORDS])


def test_statements_give_what_spark_gives(place):
    statements = [sql for sql, _ in STATEMENTS]
    judge(statements, [sorted(rows, key=str) for rows in ours(place, statements)], [sorted(r, key=str) for _, r in STATEMENTS])


def test_other_answers_are_as_written_and_in_the_document(place):
    text = (ROOT / "docs" / "sql.md").read_text().split("## Where Spark answers otherwise")[1]
    words = [(OURS_ALONE.get(word, (word, value))) for word, _, value, _ in DIFFERENCES]
    statements = [f"SELECT {word} AS v" for word, _ in words] + [sql for sql, _, _, _ in STATEMENT_DIFFERENCES]
    wanted = [[value] for _, value in words] + [rows for _, _, rows, _ in STATEMENT_DIFFERENCES]
    judge(statements, ours(place, statements), wanted)
    for *_, name in DIFFERENCES + STATEMENT_DIFFERENCES:
        assert f"`{name}`" in text, name


@pytest.mark.slow
def test_spark_itself_says_so(tmp_path):
    from support import spark

    session = spark.Spark(tmp_path / "spark")
    try:
        session.sql("SET spark.sql.ansi.enabled=false")
        asked = [(f"SELECT {word} AS v", [value]) for word, value in WORDS]
        asked += [(f"SELECT {word} AS v", [value]) for word, value, _, _ in DIFFERENCES]
        asked += STATEMENTS + [(sql, rows) for sql, rows, _, _ in STATEMENT_DIFFERENCES]
        wrong = []
        for sql, wanted in asked:
            ordered = (lambda rows: rows) if "ORDER BY" in sql else (lambda rows: sorted(rows, key=str))
            try:
                found = [row["v"] for row in session.sql(sql).collect()]
            except Exception as problem:  # noqa: BLE001 - all of them are told at once
                wrong.append(f"{sql}: {str(problem).splitlines()[0]}")
                continue
            if not same(ordered(found), ordered(wanted)):
                wrong.append(f"{sql}: {found!r}, not {wanted!r}")
        assert not wrong, "\n".join(wrong)
    finally:
        session.stop()


# ---- docs/sql.md ----


def examples():
    """(statement, words of its refusal or None) of each block of SQL."""
    text = (ROOT / "docs" / "sql.md").read_text()
    found = []
    for block in re.findall(r"```sql\n(.*?)```", text, re.S):
        for part in re.split(r";[ \t]*(?:\n|$)", block):
            if part.strip():
                refused = re.search(r"^-- refused: (.*)$", part, re.M)
                found.append((part.strip(), refused[1] if refused else None))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    files = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
    for name in ("CT_small.dcm", "MR_small.dcm"):  # a version of the tables each
        lake.run("import", "--home", folder, files / name)
        lake.run("sync", "--home", folder)
    return folder


def test_examples_of_the_document_are_many():
    assert sum(refused is None for _, refused in examples()) >= 25
    assert sum(refused is not None for _, refused in examples()) >= 8


@pytest.mark.parametrize("statement, refused", examples(), ids=lambda v: str(v)[:60].replace("\n", " "))
def test_examples_of_the_document(home, statement, refused):
    done = subprocess.run(
        [program(), "sql", "--home", home, "--format", "jsonl", statement], capture_output=True, text=True, timeout=60
    )
    if refused is None:
        assert done.returncode == 0, done.stderr
        assert done.stdout or "-- no rows" in statement, "an example without an answer"
    else:
        assert done.returncode != 0 and refused in done.stderr, done.stderr
