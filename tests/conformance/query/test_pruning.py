"""Files that conditions leave out change no answer: random statements over small files with statistics and
partitions, against DuckDB over the same rows in memory, where nothing is left out."""

import datetime
import decimal
import json
import random
import re

import deltalake
import duckdb
import pyarrow
import pytest
from support import lake

FILES = 16
ROWS = 4  # of a file
STATEMENTS = 200  # of a seed
NAMES = ["", "A", "AB", "Ab", "a", "ab", "abc", "b", "ä", "äz", "5", "05", "10", " 5", "a%", "a_b", "\u00ff"]


def value(kind, draw, near=None):
    """`near`: from 0 to 1; values near each other for numbers that are."""
    if draw.random() < 0.12:
        return None
    x = min(0.999, max(0.0, near + draw.uniform(-0.06, 0.06))) if near is not None else draw.random()
    return {
        "id": lambda: int(x * 100),
        "name": lambda: sorted(NAMES)[int(x * len(NAMES))],
        "day": lambda: datetime.date(2024, 1, 1) + datetime.timedelta(days=int(x * 300)),
        "at": lambda: datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=int(x * 2000), microseconds=int(x * 10**9)),
        "score": lambda: draw.choice([0.0, -0.0, round(x, 1), x, (x - 0.5) * 1e300, float("inf") if x > 0.9 else x]),
        "amount": lambda: decimal.Decimal(int(x * 1000) - 500).scaleb(-2),
        "flag": lambda: x < 0.4,
        "part": lambda: "Zxy"[int(x * 3)],
    }[kind]()


TYPES = {
    "id": pyarrow.int64(),
    "name": pyarrow.string(),
    "day": pyarrow.date32(),
    "at": pyarrow.timestamp("us"),
    "score": pyarrow.float64(),
    "amount": pyarrow.decimal128(10, 2),
    "flag": pyarrow.bool_(),
    "part": pyarrow.string(),
}


def files(draw):
    """Rows of a file lie near each other, as those of one hour do."""
    return [
        [{kind: value(kind, draw, near=i / FILES) for kind in TYPES} for _ in range(ROWS)]
        for i in draw.sample(range(FILES), FILES)
    ]


def write(folder, draw, partitioned):
    """A table of many files; all of its rows as one."""
    whole = []
    for rows in files(draw):
        table = pyarrow.Table.from_pylist(rows, pyarrow.schema(list(TYPES.items())))
        deltalake.write_deltalake(folder, table, mode="append", partition_by=["part"] if partitioned else None)
        whole.append(table)
    return pyarrow.concat_tables(whole)


def text(draw, kind):
    """A constant of a column, mostly as one would write it, sometimes as one should not."""
    v = None
    while v is None:
        v = value(kind, draw)
    if draw.random() < 0.08:
        return "NULL"
    if kind == "name" or kind == "part":
        return "'" + v.replace("'", "''") + "'"
    if kind == "id":
        return draw.choice([str(v), str(v), f"'{v}'", f"{v}.5", f"{v}.0", f"CAST({v} AS DOUBLE)"])
    if kind == "day":
        return draw.choice([f"DATE '{v}'", f"'{v}'", f"TIMESTAMP '{v} 12:00:00'", f"TIMESTAMP '{v}'"])
    if kind == "at":
        return draw.choice([f"TIMESTAMP '{v}'", f"'{v}'", f"DATE '{v.date()}'", f"'{v.date()}'"])
    if kind == "score":
        return draw.choice(["0", "0.5", "-1.5", "1e300", "'0.5'", "CAST('inf' AS DOUBLE)"])
    if kind == "amount":
        return draw.choice([str(v), f"'{v}'", f"{v}5", f"CAST({v} AS DOUBLE)", str(int(v))])
    return draw.choice(["true", "false", "'t'", "CAST('f' AS BOOLEAN)"])


def column(draw, name, kind):
    return draw.choice([name, name.upper()]) + "." + draw.choice([kind, kind.upper(), f'"{kind}"'])


def condition(draw, names, depth=0):
    shape = draw.random()
    if depth < 3 and shape < 0.45:
        word = draw.choice([" AND ", " AND ", " AND ", " OR "])
        count = draw.choice([2, 2, 3])
        joined = word.join(condition(draw, names, depth + 1) for _ in range(count))
        return f"(NOT ({joined}))" if draw.random() < 0.1 else f"({joined})"
    name, kind = draw.choice(names), draw.choice(list(TYPES))
    c = column(draw, name, kind)
    kinds = [
        lambda: f"{c} {draw.choice(['=', '<', '<=', '>', '>=', '<>', '=='])} {text(draw, kind)}",
        lambda: f"{text(draw, kind)} {draw.choice(['=', '<', '<=', '>', '>='])} {c}",
        lambda: f"{c} BETWEEN {text(draw, kind)} AND {text(draw, kind)}",
        lambda: f"{c} NOT BETWEEN {text(draw, kind)} AND {text(draw, kind)}",
        lambda: f"{c} {draw.choice(['IN', 'NOT IN'])} ({', '.join(text(draw, kind) for _ in range(draw.choice([1, 2, 3])))})",
        lambda: f"{c} IS {draw.choice(['', 'NOT '])}NULL",
        lambda: f"{c} IS {draw.choice(['', 'NOT '])}DISTINCT FROM {text(draw, kind)}",
        lambda: f"coalesce({c} = {text(draw, kind)}, true)",
        lambda: f"CASE WHEN {c} = {text(draw, kind)} THEN false ELSE true END",
    ]
    if kind in ("name", "part"):
        pattern = draw.choice(["a%", "A%", "ab%", "_b", "a\\%", "%", "ä%", "5", "a_b", "\u00ff%"])
        kinds += [
            lambda: f"{c} {draw.choice(['LIKE', 'LIKE', 'LIKE', 'NOT LIKE', 'ILIKE'])} '{pattern}'",
            lambda: f"starts_with({c}, '{pattern}')",
            lambda: f"{c} COLLATE NOCASE = 'ab'",
            lambda: f"TRY_CAST({c} AS INTEGER) = 5",
        ]
    return draw.choice(kinds[:2] * 4 + kinds[2:3] * 2 + kinds)()


def statement(draw):
    """A question with rows that tell one from another: t.n and u.n."""
    join = draw.choice(["", "", "", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", "CROSS JOIN"])
    if join == "":
        where = condition(draw, ["t"])
        if draw.random() < 0.3:  # without the table's name
            where = where.replace("t.", "").replace("T.", "")
        return draw.choice(
            [
                f"SELECT id, name, day FROM t WHERE {where}",
                f"SELECT count(*), sum(id), min(name) FROM t WHERE {where}",
                f"SELECT id, count(*) FROM t WHERE {where} GROUP BY id HAVING count(*) > 0",
                f"SELECT * FROM (SELECT id, name FROM t WHERE {where}) WHERE id > 50",
                f"WITH w AS (SELECT id, name FROM t WHERE {where}) SELECT a.id, b.name FROM w a JOIN w b ON a.id = b.id",
                f"SELECT id FROM t WHERE {where} UNION ALL SELECT id FROM u WHERE id = 5",
                f"SELECT id FROM u WHERE id IN (SELECT id FROM t WHERE {where})",
                f"SELECT id FROM u WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.id = u.id AND {where})",
                f"SELECT id, (SELECT count(*) FROM t WHERE {where}) FROM u",
                f"SELECT id FROM t WHERE {where} EXCEPT SELECT id FROM t",
            ]
        )
    one_sided = join in ("SEMI JOIN", "ANTI JOIN")
    names = ["t"] if one_sided else ["t", "u"]
    shown = "t.id, t.name" if one_sided else "t.id, t.name, u.id, u.name"
    on = "" if join == "CROSS JOIN" else f" ON t.id = u.id AND {condition(draw, ['t', 'u'], 2)}"
    where = f" WHERE {condition(draw, names)}" if draw.random() < 0.7 else ""
    if draw.random() < 0.3:  # each is called by the other's name
        return f"SELECT {shown} FROM u t {join} t u{on}{where}"
    if draw.random() < 0.2:
        return f"SELECT {shown} FROM t {join} t u{on}{where}"
    if draw.random() < 0.2 and not one_sided:
        return f"SELECT {shown}, x.id FROM u x LEFT JOIN (t {join} u{on}) ON x.id = t.id{where}".replace("u x", "u AS x")
    return f"SELECT {shown} FROM t {join} u{on}{where}"


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 10))]
)
def test_no_row_is_lost(tmp_path, seed):
    draw = random.Random(seed)
    folder = tmp_path / "lake"
    memory = duckdb.connect()
    memory.execute("SET TimeZone = 'UTC'")
    for name in ("t", "u"):
        rows = write(folder / "dicom" / name, draw, partitioned=draw.random() < 0.5)  # noqa: F841
        memory.execute(f"CREATE TABLE {name} AS SELECT * FROM rows")
    wanted, script = [], []
    while len(script) < STATEMENTS:
        sql = statement(draw)
        try:
            width = len(memory.execute(sql).description)
            columns = ", ".join(f"c{i}" for i in range(width))
            whole = f"SELECT {len(script)} AS n, to_json(row({columns}))::VARCHAR AS r FROM ({sql}) q({columns})"
            wanted.append(sorted(row for _, row in memory.execute(whole).fetchall()))
        except duckdb.Error:
            continue  # types that do not compare
        script.append(whole)
    file = tmp_path / "script.sql"
    file.write_text(";\n".join(script))
    done = lake.run("sql", "--lake", folder, "--format", "jsonl", "--stats", "-f", file)
    got = [[] for _ in script]
    for line in done.stdout.splitlines():
        row = json.loads(line)
        got[row["n"]].append(row["r"])
    for sql, rows, right in zip(script, got, wanted, strict=True):
        assert sorted(rows) == right, sql
    read = [(int(a), int(b)) for a, b in re.findall(r"(\d+) of (\d+) files", done.stderr)]
    assert sum(2 * a < b for a, b in read) > STATEMENTS / 10, "conditions left out hardly a file"
    assert sum(len(rows) for rows in wanted) > STATEMENTS  # the answers are no empty ones
