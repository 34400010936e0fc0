"""What DuckDB sees in the tables of a home, by the queries of Microsoft's article; a part of scripts/demo.sh.

    demo_tables.py TABLES
"""

import pathlib
import sys

import duckdb
import duckdb_extension_delta

TABLES = ("instance", "series", "study")
ROWS = 4  # shown of each answer
WIDTH = 118  # of a line
CELL = 12  # of a column
ARTICLE = ["SELECT * FROM instance", "SELECT sopInstanceUid, filePath FROM instance"]


def connect(folder):
    """A session in which each table is a view on its folder; DuckDB reads the Delta log itself."""
    package = pathlib.Path(duckdb_extension_delta.__file__).parent
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.execute(f"LOAD '{next(package.rglob('delta.duckdb_extension'))}'")
    for table in TABLES:
        con.execute(f"CREATE VIEW {table} AS FROM delta_scan('{folder / table}')")
    return con


def cut(value, width):
    text = "NULL" if value is None else str(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def show(con, query, cell=CELL):
    """The first rows of the answer; whole columns as far as a line takes them."""
    print(f"\nduckdb> {query};")
    answer = con.execute(query).to_arrow_table()
    names = answer.column_names
    rows = [row.values() for row in answer.slice(0, ROWS).to_pylist()]
    lines = [[cut(value, cell) for value in line] for line in [names, *rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    fit = len(names)
    while sum(widths[:fit]) + 2 * (fit - 1) > WIDTH:
        fit -= 1
    for line in lines:
        cells = [text.ljust(width) for text, width in zip(line, widths)][:fit]
        print("  ".join(cells + ["…"] * (fit < len(names))).rstrip())
    more = f"{fit} of {len(names)} columns" if fit < len(names) else f"{len(names)} columns"
    print(f"({len(rows)} of {answer.num_rows} rows, {more})")


def main():
    con = connect(pathlib.Path(sys.argv[1]))
    show(con, ARTICLE[0])
    show(con, ARTICLE[1], 57)


main()
