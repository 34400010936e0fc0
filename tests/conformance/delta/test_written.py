"""Tables that we wrote (tests/unit/delta/delta_write), read by delta-rs, DuckDB and pyarrow: the rows
that the program says live, with and without conditions that prune files by our statistics."""

import datetime
import decimal
import json
import subprocess

import deltalake
import duckdb
import pyarrow as pa
import pytest
from support.readers import duckdb_extension
from support.server import unit_program

COMMITS = 27
START = datetime.datetime.fromtimestamp(1600000000, datetime.timezone.utc)


def row_of(number, partition):
    """The row that tests/unit/delta/tables.c makes of an id, with times as microseconds."""
    at = 1600000000000000 + number * 1000001
    return {
        "partitionName": partition, "id": number,
        "name": f"näme {number}" if number % 7 else None,
        "at": at if number % 11 else None, "score": number / 4,
        "tags": None if number % 4 == 3 else [f"t{number}.{i}" for i in range(number % 4)],
        "site": f"S{number % 3}" if number % 5 else None,
        "dose": decimal.Decimal(number * 25).scaleb(-2) if number % 5 else None,
    }  # fmt: skip


class Written:
    def __init__(self, folder, mode):
        self.folder, self.mode = folder, mode
        done = subprocess.run(
            [unit_program("delta/delta_write"), str(folder), mode, str(COMMITS)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.rows = {}
        for line in done.stdout.splitlines():
            number, _, partition = line.partition(" ")
            self.rows[int(number)] = row_of(int(number), partition or None)
        assert len(self.rows) > 150


@pytest.fixture(scope="module", params=["dv", "compat", "mapped"])
def written(request, tmp_path_factory):
    return Written(tmp_path_factory.mktemp("written"), request.param)


COLUMNS = """"partitionName", id, name, {at} as at, score, tags, info['site'] as site,
    info['dose'] as dose"""


class DeltaRs:
    def __init__(self, folder):
        self.builder = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(str(folder)))

    def rows(self, where="true"):
        text = COLUMNS.format(at='cast("at" as bigint)')
        return pa.table(self.builder.execute(f"select {text} from t where {where}")).to_pylist()


class DuckDb:
    def __init__(self, folder):
        if duckdb_extension() is None:
            pytest.skip("the package duckdb-extension-delta is not installed")
        self.con = duckdb.connect(config={"threads": 1})
        self.con.execute("set timezone = 'UTC'")
        self.con.execute(f"load '{duckdb_extension()}'")
        self.con.execute(f"attach '{folder}' as t (type delta)")

    def rows(self, where="true"):
        text = COLUMNS.format(at='epoch_us("at")')
        return self.con.execute(f"select {text} from t where {where}").to_arrow_table().to_pylist()


READERS = {"delta-rs": DeltaRs, "duckdb": DuckDb}


@pytest.mark.parametrize("reader", READERS)
def test_every_row(written, reader):
    got = READERS[reader](written.folder).rows()
    assert len(got) == len(written.rows)
    assert {row["id"]: row for row in got} == written.rows


def test_pyarrow(written):
    """The API without deletion vectors: what mode compat is for."""
    if written.mode != "compat":
        table = deltalake.DeltaTable(str(written.folder))
        with pytest.raises(deltalake.exceptions.DeltaProtocolError):
            table.to_pyarrow_table()
        return
    got = deltalake.DeltaTable(str(written.folder)).to_pyarrow_table().to_pylist()
    want = {
        number: (row["partitionName"], row["name"], row["score"], row["tags"], row["dose"])
        for number, row in written.rows.items()
    }
    assert {
        row["id"]: (
            row["partitionName"], row["name"], row["score"], row["tags"],
            row["info"] and row["info"]["dose"],
        )
        for row in got
    } == want  # fmt: skip


def time_text(number):
    at = START + datetime.timedelta(microseconds=number * 1000001)
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")


def conditions(rows):
    """Conditions in SQL and in Python, with bounds that hit first and last rows of files."""
    some = sorted(rows)[:: max(1, len(rows) // 5)]
    for number in some:
        row = rows[number]
        yield f"id = {number}", lambda r, n=number: r["id"] == n
        yield f"score > {number / 4}", lambda r, n=number: r["score"] > n / 4
        yield f"score <= {number / 4}", lambda r, n=number: r["score"] <= n / 4
        if row["name"] is not None:
            name = row["name"]
            yield f"name >= '{name}'", lambda r, n=name: (r["name"] or "") >= n
            yield f"name = '{name}'", lambda r, n=name: r["name"] == n
        if row["at"] is not None:
            at, text = row["at"], time_text(number)
            yield (
                f"\"at\" = cast('{text}+00:00' as timestamp with time zone)",
                lambda r, n=at: r["at"] == n,
            )
            yield (
                f"\"at\" >= cast('{text}+00:00' as timestamp with time zone)",
                lambda r, n=at: r["at"] is not None and r["at"] >= n,
            )
        if row["dose"] is not None:
            dose = row["dose"]
            yield (
                f"info['dose'] <= cast({dose} as decimal(10,2))",
                lambda r, n=dose: r["dose"] is not None and r["dose"] <= n,
            )
    yield "name is null", lambda r: r["name"] is None
    yield '"at" is not null', lambda r: r["at"] is not None
    yield "info['site'] = 'S2'", lambda r: r["site"] == "S2"
    yield "\"partitionName\" = 'ward 7/ä%'", lambda r: r["partitionName"] == "ward 7/ä%"
    yield '"partitionName" is null', lambda r: r["partitionName"] is None


@pytest.mark.parametrize("reader", READERS)
def test_pruning_loses_nothing(written, reader):
    checked, table = 0, READERS[reader](written.folder)
    for where, holds in conditions(written.rows):
        got = sorted(row["id"] for row in table.rows(where))
        assert got == sorted(n for n, row in written.rows.items() if holds(row)), where
        checked += 1
    assert checked > 20


def commits(folder):
    for path in sorted((folder / "_delta_log").glob("*.json")):
        yield [json.loads(line) for line in path.read_text().splitlines()]


def test_history(written):
    history = deltalake.DeltaTable(str(written.folder)).history()
    assert len(history) == COMMITS + 1
    assert {entry["operation"] for entry in history[:-1]} == {"MERGE"}
    assert history[-1]["operation"] == "CREATE TABLE"
    assert [entry["version"] for entry in history] == list(range(COMMITS, -1, -1))
    newest = history[0]["operationMetrics"]
    assert newest["numTargetFilesAdded"] == "1"
    assert all(isinstance(value, str) for value in newest.values())


def test_log_is_tidy(written):
    """commitInfo first, one action a line, no path twice, the counts of the statistics."""
    vectors = 0
    for actions in commits(written.folder):
        assert list(actions[0]) == ["commitInfo"]
        assert all(len(action) == 1 for action in actions)
        adds = [action["add"] for action in actions if "add" in action]
        removes = [action["remove"] for action in actions if "remove" in action]
        assert len({add["path"] for add in adds}) == len(adds)
        assert len({remove["path"] for remove in removes}) == len(removes)
        for add in adds:
            stats = json.loads(add["stats"])
            assert stats["numRecords"] == 50
            vectors += "deletionVector" in add
            assert stats.get("tightBounds", True) == ("deletionVector" not in add)
        for remove in removes:
            assert "stats" not in remove
            assert remove["extendedFileMetadata"] is True
    assert (vectors > 0) == (written.mode != "compat")


def test_each_version(written):
    """Time travel: every version has the rows that its predecessors' metrics add up to."""
    live = 0
    for version, actions in enumerate(commits(written.folder)):
        for action in actions:
            add, remove = action.get("add"), action.get("remove")
            for file, sign in ((add, 1), (remove, -1)):
                if file is not None:
                    dead = file.get("deletionVector", {}).get("cardinality", 0)
                    live += sign * (50 - dead)
        if version % 9 == 0:
            reader = deltalake.QueryBuilder().register(
                "t", deltalake.DeltaTable(str(written.folder), version=version)
            )
            (row,) = pa.table(reader.execute("select count(id) as n from t")).to_pylist()
            assert row["n"] == live, version
