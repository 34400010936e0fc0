"""Tables of others in our SQL: written by delta-rs, by Spark, and by hand as the protocol describes them; their
rows beside what delta-rs and DuckDB's own delta extension say."""

import datetime as dt
import decimal
import json
import os
import re
import subprocess

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from support import delta, foreign
from support.delta import ids
from support.foreign import ID, UTC, rows_of
from support.readers import by_delta_rs, by_duckdb, duckdb_extension
from support.server import program

SECONDS = 120


@pytest.fixture
def lake(tmp_path):
    """A lake; its table "t" is to be written to lake / "dicom" / "t"."""
    folder = tmp_path / "lake"
    (folder / "dicom").mkdir(parents=True)
    return folder


def run(lake, statement, *options):
    command = [program(), "sql", "--lake", str(lake), *options, statement]
    return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)


def ask(lake, statement="SELECT * FROM t"):
    done = run(lake, statement, "--format", "arrow")
    assert done.returncode == 0, done.stderr.decode()
    return pa.ipc.open_stream(done.stdout).read_all()


def refused(lake, statement="SELECT * FROM t"):
    done = run(lake, statement, "--format", "json")
    assert done.returncode in (1, 2), done.stdout  # 2: it is the statement's
    return done.stderr.decode()


def skipped(lake, statement):
    """How many files the log alone left out, by what the statement says it read."""
    done = run(lake, statement, "--format", "csv", "--stats")
    assert done.returncode == 0, done.stderr.decode()
    said = re.search(rb"version \d+, (?:(\d+) of )?(\d+) files?,", done.stderr)
    assert said, done.stderr.decode()
    return 0 if said[1] is None else int(said[2]) - int(said[1])


def same_as_others(lake, version=None, duckdb=True):
    """Ours, delta-rs' and DuckDB's rows are the same; returns them. `duckdb` False: its extension is known to read
    this table wrongly."""
    at = "" if version is None else f" VERSION AS OF {version}"
    ours = rows_of(ask(lake, f"SELECT * FROM t{at}"))
    folder = lake / "dicom" / "t"
    assert ours == rows_of(by_delta_rs(folder, version))
    if duckdb and duckdb_extension() is not None:
        assert ours == rows_of(by_duckdb(folder, version))
    return ours


# ---- delta-rs ----


def test_types_partitions_checkpoint_and_versions(lake):
    foreign.with_a_past(lake / "dicom" / "t")
    for version in (0, 3, 4, 6):
        assert len(same_as_others(lake, version)) == foreign.PAST[version]
    assert len(same_as_others(lake)) == foreign.PAST[7]
    error = refused(lake, "SELECT * FROM t VERSION AS OF 8")
    assert "version 8" in error and "newest version is 7" in error


def test_partition_columns_of_every_type(lake):
    written = foreign.partitioned_by_every_type(lake / "dicom" / "t")
    assert same_as_others(lake) == written
    one = "SELECT count(*) AS n FROM t WHERE i = 1 AND d = DATE '2020-02-29' AND b AND c = 1.5 AND t > '2020-01-01'"
    assert ask(lake, one).to_pylist() == [{"n": 3}]
    assert skipped(lake, "SELECT count(*) FROM t WHERE i = 1") == 2


def test_schema_evolution_merge_and_restore(lake):
    folder = lake / "dicom" / "t"
    foreign.evolved_and_merged(folder)
    assert len(same_as_others(lake)) == 4
    DeltaTable(folder).restore(1)
    assert len(same_as_others(lake)) == 3
    assert [c for c in ask(lake, "SELECT * FROM t VERSION AS OF 0").column_names] == ["id"]


def test_a_time_is_the_newest_version_before_it(lake):
    folder = lake / "dicom" / "t"
    for n in range(3):
        write_deltalake(folder, pa.table({"id": [n]}), mode="append")
        at = dt.datetime(2024, 1, 1 + n, tzinfo=UTC).timestamp()
        os.utime(folder / "_delta_log" / f"{n:020}.json", (at, at))
    for time, count in (("2024-01-01", 1), ("2024-01-01 23:59:59", 1), ("2024-01-02", 2), ("2030-01-01", 3)):
        statement = f"SELECT count(*) AS n FROM t TIMESTAMP AS OF '{time}'"
        assert ask(lake, statement).to_pylist() == [{"n": count}], time
    assert "after that time" in refused(lake, "SELECT * FROM t TIMESTAMP AS OF '2023-12-31'")


def test_vacuumed_files_are_named_so(lake):
    foreign.vacuumed(lake / "dicom" / "t")
    assert len(same_as_others(lake)) == 2
    assert "vacuumed" in refused(lake, "SELECT * FROM t VERSION AS OF 0")


def test_statistics_of_delta_rs_leave_out_files(lake):
    folder = lake / "dicom" / "t"
    for k in range(10):
        day = dt.datetime(2024, 1, 1 + k, tzinfo=UTC)
        table = pa.table({
            "id": pa.array(range(k * 10, k * 10 + 10), pa.int64()),
            "uid": [f"1.2.840.10008.{k}.{i:040}" for i in range(10)],  # longer than statistics keep
            "moment": pa.array([day + dt.timedelta(hours=i) for i in range(10)], pa.timestamp("us", "UTC")),
            "day": pa.array([day.date()] * 10),
            "cost": pa.array([decimal.Decimal(k * 100 + i) / 100 for i in range(10)], pa.decimal128(10, 2)),
        })  # fmt: skip
        write_deltalake(folder, table, mode="append")
    for parsed in (False, True):
        if parsed:
            DeltaTable(folder).create_checkpoint()
        for condition, count, files in (
            ("id = 42", 1, 9), ("id BETWEEN 15 AND 24", 10, 8), (f"uid = '1.2.840.10008.7.{3:040}'", 1, 9),
            ("moment >= '2024-01-10 05:00:00'", 5, 9), ("day = '2024-01-03'", 10, 9), ("cost < 0.05", 5, 9),
            ("id IN (1, 99)", 2, 8), ("id = 1000", 0, 10), ("id = 1 OR moment IS NULL", 1, 0),
        ):  # fmt: skip
            statement = f"SELECT count(*) AS n FROM t WHERE {condition}"
            assert ask(lake, statement).to_pylist() == [{"n": count}], condition
            assert skipped(lake, statement) == files, condition


# ---- by hand ----

DEAD = {"one": [7], "many": list(range(0, 4000, 3)), "far": [0, 65535, 65536, 131071, 199_999]}


@pytest.mark.parametrize("runs", [False, True], ids=["plain", "runs"])
def test_deletion_vectors(lake, runs):
    table = delta.Table(lake / "dicom" / "t", ID, reader=["deletionVectors"])
    made, _ = delta.vectors(table.folder, *DEAD.values(), runs=runs)
    numbers = pa.array(range(200_000), pa.int64())
    for name, vector in zip(DEAD, made, strict=True):
        table.commit(table.write({"id": numbers}, path=f"{name}.parquet", deletionVector=vector))
    table.commit(table.write({"id": ids(-1)}, path="without.parquet"))
    dead = sum(map(len, DEAD.values()))
    assert ask(lake, "SELECT count(*) AS n FROM t").to_pylist() == [{"n": 600_001 - dead}]
    assert ask(lake, "SELECT count(*) AS n FROM t WHERE id = 7").to_pylist() == [{"n": 2}]
    assert ask(lake, "SELECT count(*) AS n FROM t WHERE id > 199_990").to_pylist() == [{"n": 26}]
    got = ask(lake, "SELECT id, count(*) AS n FROM t GROUP BY id").to_pylist()
    want = {i: 3 for i in range(200_000)} | {-1: 1}
    for ids_dead in DEAD.values():
        for i in ids_dead:
            want[i] -= 1
    assert {r["id"]: r["n"] for r in got} == {i: n for i, n in want.items() if n}


def test_damaged_deletion_vectors_are_named(lake):
    table = delta.Table(lake / "dicom" / "t", ID, reader=["deletionVectors"])
    (vector,), path = delta.vectors(table.folder, [1, 5])
    table.commit(table.write({"id": pa.array(range(9), pa.int64())}, deletionVector=vector))
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    assert "deletion vector" in refused(lake)
    path.unlink()
    assert "deletion vector" in refused(lake)


@pytest.mark.parametrize("mode", ["name", "id"])
def test_column_mapping(lake, mode):
    foreign.with_mapped_columns(lake / "dicom" / "t", mode, nested=False)
    shown = {"x y": 10, "z": "a"}
    assert rows_of(ask(lake)) == delta.in_order([
        {"id": 1, "new, name": "b", "s": shown, "part": 42, "l": [shown, None], "m": [["k", shown], ["n", None]]},
        {"id": 2, "new, name": None, "s": None, "part": 42, "l": [], "m": None},
        {"id": 3, "new, name": None, "s": None, "part": None, "l": None, "m": None},
    ])  # fmt: skip
    one = ask(lake, 'SELECT id, s."x y" AS x, m[\'k\'].z AS z FROM t WHERE "new, name" = \'b\' AND part = 42')
    assert one.to_pylist() == [{"id": 1, "x": 10, "z": "a"}]


@pytest.mark.parametrize("names", [("col-4", "col-5"), ("other-4", "col-5"), ("other-4", "other-5")])
def test_fields_of_structs_that_files_call_otherwise(lake, names):
    """By id, the engine finds columns but not their fields: better no answer than NULL for what is there."""
    inner = {"type": "struct", "fields": [delta.mapped("x", "long", 4, "col-4"), delta.mapped("z", "string", 5, "col-5")]}
    table = delta.Table(
        lake / "dicom" / "t", [delta.mapped("id", "long", 1, "col-1"), delta.mapped("s", inner, 3, "col-3")],
        reader=["columnMapping"], configuration={"delta.columnMapping.mode": "id", "delta.columnMapping.maxColumnId": "5"},
    )  # fmt: skip

    def column(number, name, kind):
        return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)})

    fields = pa.struct([column(4, names[0], pa.int64()), column(5, names[1], pa.string())])
    schema = pa.schema([column(1, "other-1", pa.int64()), column(3, "other-3", fields)])
    table.commit(table.write(pa.table([[1], [{names[0]: 10, names[1]: "a"}]], schema=schema)))
    if names == ("col-4", "col-5"):
        assert rows_of(ask(lake)) == [{"id": 1, "s": {"x": 10, "z": "a"}}]
    else:
        assert "fields of structs otherwise" in refused(lake)


@pytest.mark.parametrize(
    ("kind", "text", "want"), [*foreign.PARTITION_VALUES, ("double", "-Infinity", float("-inf"))]
)
@pytest.mark.parametrize("mixed", [False, True], ids=["one", "two"])
def test_partition_values(lake, kind, text, want, mixed):
    table = foreign.partitioned(lake / "dicom" / "t", kind)
    # the log's value wins over a column of that name in the file
    table.commit(table.write({"id": ids(1), "p": ["other"]}, values={"p": text}))
    rest = []
    if mixed:
        table.commit(table.write({"id": ids(2)}, values={"p": None}))
        rest = [{"id": 2, "p": None}]
    assert rows_of(ask(lake)) == [{"id": 1, "p": want}, *rest]


def test_partition_values_that_are_none(lake):
    table = foreign.partitioned(lake / "dicom" / "t", "date")
    table.commit(table.write({"id": ids(1)}, values={"p": "2020-02-30"}))
    error = refused(lake)
    assert "'p'" in error and "2020-02-30" not in error


def test_odd_names_and_paths(lake):
    table, rows = foreign.oddly_named(lake / "dicom" / "t", "w\\d.parquet")
    assert rows_of(ask(lake)) == rows
    for form in foreign.with_absolute_path(table):
        assert {"id": 99} in rows_of(ask(lake)), form


def test_files_of_another_place_are_refused(lake):
    table = delta.Table(lake / "dicom" / "t", ID)
    for path in foreign.with_file_elsewhere(table):
        assert "z.parquet" in refused(lake), path
    assert ask(lake).num_rows == 0


def test_columns_by_name_missing_extra_and_void(lake):
    _, rows = foreign.columns_by_name(lake / "dicom" / "t")
    assert rows_of(ask(lake)) == rows


@pytest.mark.parametrize(("kind", "old", "wide", "want"), foreign.WIDENED, ids=foreign.WIDENED_IDS)
def test_type_widening(lake, kind, old, wide, want):
    foreign.widened(lake / "dicom" / "t", kind, old, wide)
    assert rows_of(ask(lake)) == [{"id": 1, "v": want}]


def test_types_that_differ_are_refused(lake):
    table = delta.Table(lake / "dicom" / "t", [*ID, delta.field("v", "long")])
    table.commit(table.write({"id": ids(1), "v": ["secret"]}))
    assert "secret" not in refused(lake)


@pytest.mark.parametrize("name", ["someNewThing", "catalogManaged"])
def test_unknown_reader_features_are_named(lake, name):
    table = delta.Table(lake / "dicom" / "t", ID, reader=[name])
    table.commit()
    error = refused(lake)
    assert f"'{name}'" in error and "'t'" in error


def test_a_table_that_is_no_table_or_gone(lake):
    (lake / "dicom" / "t" / "_delta_log").mkdir(parents=True)
    assert "no Delta table" in refused(lake)
    (lake / "dicom" / "t" / "_delta_log" / f"{0:020}.json").write_text("{nonsense\n")
    assert "commit 0" in refused(lake) or "version 0" in refused(lake)


def test_checkpoint_with_struct_statistics_alone(lake):
    """delta.checkpoint.writeStatsAsJson = false: statistics as columns still leave out files."""
    folder = lake / "dicom" / "t"
    for k in range(4):
        write_deltalake(folder, pa.table({"id": pa.array(range(k * 10, k * 10 + 10), pa.int64())}), mode="append")
    made = DeltaTable(folder)
    adds = [json.loads(line)["add"] for path in sorted((folder / "_delta_log").glob("*.json"))
            for line in path.read_text().splitlines() if '"add"' in line]  # fmt: skip
    bounds = pa.struct([("id", pa.int64())])
    parsed = pa.struct([("numRecords", pa.int64()), ("minValues", bounds), ("maxValues", bounds), ("nullCount", bounds)])
    kind = pa.struct([*[f for f in delta.ADD if f[0] != "stats"], ("stats_parsed", parsed)])
    actions = []
    for add in adds:
        said = json.loads(add.pop("stats"))
        add["stats_parsed"] = {name: said[name] for name in ("numRecords", "minValues", "maxValues", "nullCount")}
        actions.append({"add": add})
    heads = [json.loads(line) for line in (folder / "_delta_log" / f"{0:020}.json").read_text().splitlines()]
    heads = [head for head in heads if "protocol" in head or "metaData" in head]
    name = f"{made.version():020}.checkpoint.parquet"
    delta.write_actions(folder / "_delta_log" / name, [*heads, *actions], {"add": kind})
    for path in (folder / "_delta_log").glob("*.json"):
        if int(path.stem) < made.version():
            path.unlink()
    statement = "SELECT count(*) AS n FROM t WHERE id = 25"
    assert ask(lake, statement).to_pylist() == [{"n": 1}]
    assert skipped(lake, statement) == 3


# ---- Spark ----


@pytest.mark.slow
def test_tables_of_spark(spark, lake):
    """Deletion vectors, both kinds of column mapping, renames, nested additions, v2 checkpoints, clustering."""
    spark.session.conf.set("spark.databricks.delta.properties.defaults.enableDeletionVectors", "true")
    for mode in ("name", "id"):
        folder = lake / "dicom" / mode
        spark.sql(
            f"create table delta.`{folder}` (id bigint, at timestamp, day date, s struct<a:int,b:string>, "
            f"m map<string,struct<vr:string,Value:array<string>>>, p string) using delta partitioned by (p) "
            f"tblproperties ('delta.columnMapping.mode' = '{mode}', 'delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '3')"
        )
        for k in range(5):
            spark.sql(
                f"insert into delta.`{folder}` select id + {k * 100}, timestamp_micros(id * 1000003), date_add(date'2020-01-01', cast(id as int)), "
                f"named_struct('a', cast(id as int), 'b', 'x'), map('00080060', named_struct('vr', 'CS', 'Value', array('CT', null))), "
                f"if(id % 2 = 0, 'even', null) from range(100)"
            )
        spark.sql(f"delete from delta.`{folder}` where id % 10 = 3")
        spark.sql(f"alter table delta.`{folder}` rename column id to number")
        spark.sql(f"alter table delta.`{folder}` rename column s.a to `first one`")
        spark.sql(f"alter table delta.`{folder}` add column (s.c double, late decimal(20,3))")
        spark.sql(f"alter table delta.`{folder}` drop column day")
        spark.sql(f"insert into delta.`{folder}` select 1000, null, named_struct('first one', 1, 'b', 'y', 'c', 2.5D), null, 'odd %/', 1.5")
        theirs = rows_of(spark.read(folder))
        assert rows_of(ask(lake, f"SELECT * FROM {mode}")) == theirs and len(theirs) == 451
        for version in (0, 4, 6):
            assert rows_of(ask(lake, f"SELECT * FROM {mode} VERSION AS OF {version}")) == rows_of(spark.read(folder, version))
        got = ask(lake, f"SELECT count(*) AS n FROM {mode} WHERE number = 142 AND s.\"first one\" = 42")
        assert got.to_pylist() == [{"n": 1}]


@pytest.mark.slow
def test_statistics_and_old_timestamps_of_spark(spark, lake):
    folder = lake / "dicom" / "t"
    spark.session.conf.set("spark.sql.parquet.outputTimestampType", "INT96")
    try:
        for k in range(4):
            spark.sql(
                f"select id + {k * 1000} as id, timestamp_micros((id + {k * 1000}) * 86400000000 + 999) as moment, "
                f"concat('a text longer than thirty-two characters ', lpad(cast(id + {k * 1000} as string), 5, '0')) as s from range(1000)"
            ).coalesce(1).write.format("delta").mode("append").save(str(folder))
    finally:
        spark.session.conf.unset("spark.sql.parquet.outputTimestampType")
    assert rows_of(ask(lake)) == rows_of(spark.read(folder))
    for condition, count, files in (
        ("id = 2500", 1, 3), ("moment = TIMESTAMPTZ '1970-01-01 00:00:00.000999'", 1, 3),
        ("s = 'a text longer than thirty-two characters 01234'", 1, 0),
        ("moment >= '1978-03-20 00:00:00'", 1000, 3),
    ):  # fmt: skip
        statement = f"SELECT count(*) AS n FROM t WHERE {condition}"
        theirs = spark.sql(f"select count(*) n from delta.`{folder}` where {condition.replace('TIMESTAMPTZ', 'timestamp')}").collect()
        assert ask(lake, statement).to_pylist() == [{"n": theirs[0]["n"]}], condition
        assert theirs[0]["n"] == count and skipped(lake, statement) == files, condition
