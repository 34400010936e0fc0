"""The part about SQL: statements from process start to exit on a lake of a million rows, beside PySpark and DuckDB's
own delta extension; opening a table with ten thousand commits."""

import csv
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from lake import Lake

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
ROUNDS = 9
COMMITS = 10000
SPARK_TIMES = 20  # so much faster than PySpark from its start


def python_with(module):
    """A Python that has a module; None where there is none."""
    for python in (sys.executable, ROOT / ".cache" / "venv" / "bin" / "python"):
        if subprocess.run([str(python), "-c", f"import {module}"], capture_output=True).returncode == 0:
            return str(python)
    return None


def timed(command):
    """Seconds from start to exit, and what was printed."""
    start = time.monotonic()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        raise RuntimeError(f"{command[1]} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return seconds, done.stdout


def rows_of(text):
    return [row for row in csv.reader(io.StringIO(text))][1:]


def best(command, rounds):
    """The best round (others' work only ever adds) and its output."""
    return min((timed(command) for _ in range(rounds)), key=lambda pair: pair[0])


def statements(binary, lake):
    _, text = timed([binary, "sql", "--lake", lake, "--format", "csv", "SELECT max(sopinstanceuid) AS uid FROM instance"])
    uid = rows_of(text)[0][0]
    return [
        ("count(*)", "SELECT count(*) AS n FROM instance", 150),
        ("look-up by UID", f"SELECT patientid, modality FROM instance WHERE sopinstanceuid = '{uid}'", 200),
        ("group by modality", "SELECT modality, count(*) AS n FROM instance GROUP BY modality ORDER BY modality", 300),
    ]


def spark_seconds(table, sql):
    """One process from its start to its exit; None where there is no PySpark."""
    python = python_with("pyspark")
    if python is None or not any((ROOT / ".cache" / "spark").glob("*.jar")):
        return None
    seconds, text = timed([python, PEERS / "spark_sql.py", table, sql])
    return seconds, json.loads(text.splitlines()[-1])["rows"]


def sql(bench):
    report, size = bench.report, 100000 if bench.quick else 1000000
    with bench.feed(size) as feed:
        lake = Lake(bench, feed.url)
        lake.sync()
    binary, table = bench.tools.binary, lake.table("instance")
    asked = statements(binary, lake.folder)
    duckdb = python_with("duckdb_extension_delta")
    theirs = json.loads(timed([duckdb, PEERS / "duckdb_sql.py", table, ROUNDS, *(s for _, s, _ in asked)])[1]) if duckdb else None
    for i, (name, statement, bound) in enumerate(asked):
        figure = f"{name}, {size:,} rows"
        seconds, text = best([binary, "sql", "--lake", lake.folder, "--format", "csv", statement], ROUNDS)
        rows = rows_of(text)
        report.below("sql", f"{figure}: process start to exit", seconds * 1e3, "ms", bound)
        if theirs is None:
            report.not_measured("sql", f"{figure}: beside DuckDB's delta extension", "no such extension here")
        else:
            if theirs[i]["rows"] != rows:
                report.wrong("sql", f"{figure}: rows", "DuckDB's are others")
            report.faster("sql", f"{figure}: beside DuckDB's delta extension", seconds * 1e3, theirs[i]["seconds"] * 1e3, "ms", 1)
        spark = spark_seconds(table, statement)
        if spark is None:
            report.not_measured("sql", f"{figure}: beside PySpark", "no PySpark here: scripts/install-packages.sh all")
            continue
        if spark[1] != rows:
            report.wrong("sql", f"{figure}: rows", "PySpark's are others")
        report.faster("sql", f"{figure}: beside PySpark from its start", seconds * 1e3, spark[0] * 1e3, "ms", SPARK_TIMES)
    shutil.rmtree(lake.folder)
    many_commits(bench)


# ---- a long log ----


def append_commits(table, count):
    """Commits after the newest of `table`, each adding one more file (a link to the first one's bytes)."""
    log = table / "_delta_log"
    version = max(int(path.stem) for path in log.glob("*.json"))
    adds = [json.loads(line)["add"] for path in log.glob("*.json") for line in path.read_text().splitlines() if '"add"' in line]
    first = adds[0]
    for v in range(version + 1, version + 1 + count):
        path = f"part-{v:05d}.parquet"
        os.link(table / first["path"], table / path)
        now = int(time.time() * 1000)
        actions = [{"commitInfo": {"timestamp": now, "operation": "WRITE"}}, {"add": first | {"path": path, "modificationTime": now}}]
        (log / f"{v:020d}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))


def many_commits(bench):
    report, count = bench.report, 1000 if bench.quick else COMMITS
    figure = f"opening a table with {count:,} commits and a checkpoint"
    python = python_with("deltalake")
    if python is None:
        report.not_measured("sql", figure, "no deltalake in this Python to write the checkpoint")
        return
    with bench.feed(2000) as feed:
        lake = Lake(bench, feed.url)
        lake.sync()
    table = lake.table("instance")
    append_commits(table, count)
    script = "import sys, deltalake; deltalake.DeltaTable(sys.argv[1]).create_checkpoint()"
    timed([python, "-c", script, table])
    seconds, text = best([bench.tools.binary, "table", "show", "instance", "--lake", lake.folder, "--json"], ROUNDS)
    if json.loads(text)["files"] < count:
        report.wrong("sql", figure, "files are missing")
    start, _ = best([bench.tools.binary, "version"], ROUNDS)
    note = f"`table show` in {seconds * 1e3:.0f} ms, less {start * 1e3:.0f} ms to start a process; a live file a commit"
    report.below("sql", figure, (seconds - start) * 1e3, "ms", 100, note=note)
    shutil.rmtree(lake.folder)
