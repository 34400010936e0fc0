#!/usr/bin/env python3
"""Statements through DuckDB's own delta extension: peers/duckdb_sql.py TABLE ROUNDS SQL...

Prints, for each statement over `instance`, its rows and the best of the rounds' seconds from opening a database to the
last row, the extension loaded: without Python's own start, and with nothing kept between rounds.
"""

import json
import pathlib
import sys
import time

import duckdb
import duckdb_extension_delta


def once(extension, table, sql):
    start = time.monotonic()
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension}'")
        connection.execute(f"CREATE VIEW instance AS SELECT * FROM delta_scan('{table}')")
        rows = connection.execute(sql).fetchall()
    return time.monotonic() - start, [[str(value) for value in row] for row in rows]


def main():
    extension = next(pathlib.Path(duckdb_extension_delta.__file__).parent.rglob("delta.duckdb_extension"))
    table, rounds, found = sys.argv[1], int(sys.argv[2]), []
    for sql in sys.argv[3:]:
        best, rows = min((once(extension, table, sql) for _ in range(rounds)), key=lambda pair: pair[0])
        found.append({"seconds": best, "rows": rows})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
