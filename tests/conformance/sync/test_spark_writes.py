"""Spark writes to our tables between our syncs; Spark's own tables, as we read them; a lake that Spark made.

The rules for what others do are those of tests/conformance/delta/test_foreign_writers.py: what was done is
undone by nothing, and every later sync goes on from what is there.
"""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import delta, readers
from support.feed import FeedServer, Generator
from support.fold import KEYS, shown
from support.lake import Lake, run
from support.past import PARTITIONS
from support.readers import differences, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class World:
    def __init__(self, folder, mode):
        self.generator = Generator(91, PARTITIONS)
        self.feed = self.generator.feed
        self.server = FeedServer(self.feed)
        self.lake = Lake(folder / "lake", url=self.server.url, mode=mode)
        self.mode = mode
        self.go_on(40)

    def go_on(self, changes, *options):
        self.generator.step(changes)
        return self.lake.sync("--BatchSize", 9, "--batch-changes", 9, *options)

    def rows(self, name="instance"):
        return rows_of(readers.by_delta_rs(self.lake.path(name)))

    def wrong(self):
        """Tables against the model, and what our own check finds."""
        want = readers.model(self.feed)
        found = [d for name in KEYS for d in differences(name, self.rows(name), want[name])]
        return found + [one for name in KEYS for one in self.lake.table("check", name)]

    def inconsistent(self):
        """Series and studies against the instances that the table has, whoever wrote those."""
        instance = {tuple(row[c] for c in KEYS["instance"]): row for row in self.rows()}
        series, study = groups(instance)
        found = differences("series", self.rows("series"), series) + differences("study", self.rows("study"), study)
        assert len(instance) == len(self.rows())
        return found + [one for name in KEYS for one in self.lake.table("check", name)]


def groups(instance):
    """Rows of series and study that belong to these instances (docs/tables.md, rule 4)."""
    series, study = {}, {}
    for key, row in instance.items():
        s = series.setdefault(key[:3], {"instanceCount": 0, "top": None})
        s["instanceCount"] += 1
        s["top"] = max(filter(None, (s["top"], ((row["lastModifiedTimestamp"], key[3]), row))), key=lambda t: t[0])
    for key, s in series.items():
        t = study.setdefault(key[:2], {"seriesCount": 0, "instanceCount": 0, "top": None})
        t["seriesCount"] += 1
        t["instanceCount"] += s["instanceCount"]
        mine = ((s["top"][0][0], key[2]), s["top"][1])
        t["top"] = max(filter(None, (t["top"], mine)), key=lambda t: t[0])
    return {k: shown(k, s, True) for k, s in series.items()}, {k: shown(k, s, False) for k, s in study.items()}


@pytest.fixture(params=["dv", "compat"])
def world(request, tmp_path):
    made = World(tmp_path, request.param)
    yield made
    made.server.close()


def table_of(world, name="instance"):
    return f"delta.`{world.lake.path(name)}`"


def is_row(row, table=""):
    return f"sopinstanceuid = '{row['sopinstanceuid']}' AND partitionName = '{row['partitionName']}'"


# ---- Spark on our tables ----


def test_optimize_vacuum_and_checkpoint(world, spark):
    before = spark.history(world.lake.path("instance"))
    for name in KEYS:
        spark.sql(f"OPTIMIZE {table_of(world, name)}")
        spark.sql(f"VACUUM {table_of(world, name)} RETAIN 0 HOURS")
        spark.checkpoint(world.lake.path(name))
    assert len(spark.history(world.lake.path("instance"))) > len(before)
    assert world.wrong() == []
    world.go_on(30)
    assert world.wrong() == []


def test_delete(world, spark):
    """Rows that Spark deletes stay away until their instance changes; series and studies follow."""
    rows = world.rows()
    gone = rows[0]
    spark.sql(f"DELETE FROM {table_of(world)} WHERE {is_row(gone)}")
    world.lake.sync()
    left = world.rows()
    assert not any(r["sopinstanceuid"] == gone["sopinstanceuid"] and r["partitionName"] == gone["partitionName"] for r in left)
    assert len(left) < len(rows) and world.inconsistent() == []
    keys = [k for k in world.feed.current if k[3] == gone["sopinstanceuid"] and k[0] == gone["partitionName"]]
    for key in keys:
        world.feed.add("Update", key, {"00100020": {"vr": "LO", "Value": ["back"]}})
    world.lake.sync()
    created = " created_date: "  # it came into being anew, as far as the tables tell
    assert [d for d in world.wrong() if created not in d] == []
    assert world.inconsistent() == []


def test_update(world, spark):
    """A value that Spark wrote into a column of ours stays until the instance changes."""
    row = max(world.rows(), key=lambda r: (r["lastModifiedTimestamp"], r["sopinstanceuid"]))
    spark.sql(f"UPDATE {table_of(world)} SET patientid = 'theirs' WHERE {is_row(row)}")
    world.lake.sync()
    theirs = [r for r in world.rows() if r["patientid"] == "theirs"]
    assert len(theirs) == 1 and world.inconsistent() == []
    assert any(r["patientId"] == "theirs" for r in world.rows("series"))
    key = tuple(row[c] for c in KEYS["instance"])
    world.feed.add("Update", key, {"00100020": {"vr": "LO", "Value": ["ours"]}})
    world.lake.sync()
    assert world.wrong() == []


def test_restore(world, spark):
    """After Spark's RESTORE the rows are the old ones until their instances change: the watermark stays."""
    versions = readers.newest_version(world.lake.path("instance"))
    world.go_on(30)
    for name in KEYS:
        spark.sql(f"RESTORE TABLE {table_of(world, name)} TO VERSION AS OF {min(2, versions)}")
    start = world.feed.sequence
    world.go_on(20)
    assert world.inconsistent() == []
    want, have = readers.model(world.feed)["instance"], {tuple(r[c] for c in KEYS["instance"]): r for r in world.rows()}
    changed = {r["key"] for r in world.feed.rows if r["sequence"] > start}
    assert changed
    for key in changed:
        assert (key in want) == (key in have), key
        if key in want:
            mine = {c: v for c, v in want[key].items() if c != "created_date"}  # an instance may look new to us
            assert {c: have[key][c] for c in mine} == mine


def test_add_column(world, spark):
    spark.sql(f"ALTER TABLE {table_of(world)} ADD COLUMN note STRING")
    spark.sql(f"UPDATE {table_of(world)} SET note = 'seen'")
    world.go_on(25, "--column", "number=InstanceNumber:long")
    rows = world.rows()
    assert len(rows) == len(world.feed.current)
    assert {r["note"] for r in rows} == {None, "seen"} and "number" in rows[0]
    assert world.inconsistent() == []


def test_checkpoints_of_the_second_form(world, spark):
    for name in KEYS:
        spark.sql(f"ALTER TABLE {table_of(world, name)} SET TBLPROPERTIES ('delta.checkpointPolicy' = 'v2')")
        spark.checkpoint(world.lake.path(name))
    log = world.lake.path("instance") / "_delta_log"
    assert any(p.name.count(".") == 3 for p in log.glob("*.checkpoint.*")), list(log.iterdir())
    assert "v2Checkpoint" in world.lake.table("show", "instance")["readerFeatures"]
    world.go_on(30)
    assert world.wrong() == []
    want = readers.model(world.feed)
    for _ in range(2):
        world.go_on(60)  # far enough for checkpoints of ours above theirs
        want = readers.model(world.feed)
        assert world.wrong() == []
    for name in KEYS:
        assert differences(name, rows_of(spark.read(world.lake.path(name))), want[name]) == []


def test_vectors_switched_on(tmp_path, spark):
    """Spark turns a table of mode compat into one with deletion vectors; we go on with them."""
    world = World(tmp_path, "compat")
    for name in KEYS:
        spark.sql(f"ALTER TABLE {table_of(world, name)} SET TBLPROPERTIES ('delta.enableDeletionVectors' = true)")
    world.go_on(40)
    assert world.wrong() == []
    log = world.lake.path("instance") / "_delta_log"
    assert any('"deletionVector":{' in p.read_text() for p in log.glob("*.json"))
    world.server.close()


# ---- Spark's own tables ----

ODD = "array('ward 7/ä%', 'a=b:c', '%41', 'é#?+', '{z}', 'x''y', null)"
FILL = f"""SELECT id, element_at({ODD}, cast(id % 7 + 1 AS int)) AS p, cast(id AS int) AS n,
    timestamp'2026-01-05 08:00:00.123456' + make_dt_interval(0, 0, 0, id) AS t,
    map('k', named_struct('vr', 'LO', 'Value', array(cast(id AS string), null))) AS m FROM range(70)"""
KINDS = {  # properties, clauses
    "vectors": ("'delta.enableDeletionVectors' = true", "PARTITIONED BY (p)"),
    "mapped by name": ("'delta.columnMapping.mode' = 'name'", "PARTITIONED BY (p)"),
    "mapped by id": ("'delta.columnMapping.mode' = 'id'", "PARTITIONED BY (p)"),
    "v2 checkpoints": ("'delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '3'", "PARTITIONED BY (p)"),
    "clustered": ("'delta.enableDeletionVectors' = true", "CLUSTER BY (id)"),
    "row tracking": ("'delta.enableRowTracking' = true", "PARTITIONED BY (p)"),
    "type widening": ("'delta.enableTypeWidening' = true", ""),
    "in-commit timestamps": ("'delta.enableInCommitTimestamps' = true", "PARTITIONED BY (p)"),
    "struct statistics": ("'delta.checkpoint.writeStatsAsJson' = false, 'delta.checkpoint.writeStatsAsStruct' = true,"
                          " 'delta.checkpointInterval' = '2'", "PARTITIONED BY (p)"),
}  # fmt: skip
CHANGES = {
    "type widening": "ALTER TABLE {} ALTER COLUMN n TYPE BIGINT",
    "mapped by name": "ALTER TABLE {} RENAME COLUMN n TO `n, renamed`",
    "mapped by id": "ALTER TABLE {} DROP COLUMN n",
    "clustered": "OPTIMIZE {}",
}


def dumped(value):
    """A value of pyarrow as tests/unit/delta/delta_dump shows it."""
    if hasattr(value, "isoformat"):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, dict):
        return {k: dumped(v) for k, v in value.items()}
    return [dumped(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("kind", KINDS)
def test_tables_of_spark(spark, tmp_path, kind):
    """Rows, versions, history and check of a table that Spark made and changed."""
    path = tmp_path / "t"
    table = f"delta.`{path}`"
    properties, clause = KINDS[kind]
    nested = "map<string, struct<vr: string, Value: array<string>>>" if "mapped" not in kind else "map<string, string>"
    spark.sql(f"CREATE TABLE {table} (id BIGINT, p STRING, n INT, t TIMESTAMP, m {nested}) USING delta {clause}"
              f" TBLPROPERTIES ({properties})")
    fill = FILL if "mapped" not in kind else f"SELECT id, p, n, t, map('k', p) AS m FROM ({FILL})"
    spark.sql(f"INSERT INTO {table} {fill}")
    spark.sql(f"DELETE FROM {table} WHERE id % 5 = 0")
    spark.sql(f"UPDATE {table} SET p = 'moved' WHERE id % 11 = 1")
    if kind in CHANGES:
        spark.sql(CHANGES[kind].format(table))
    spark.sql(f"DELETE FROM {table} WHERE id = 33")
    if kind == "v2 checkpoints":
        spark.checkpoint(path)
    newest = readers.newest_version(path)
    for version in {1, 2, newest - 1, newest}:
        want = delta.in_order([dumped(row) for row in spark.read(path, version).to_pylist()])
        assert want and delta.read(path, "-v", version) == want, version
    said = json.loads(run("table", "show", path, "--json").stdout)
    assert said["version"] == newest and said["rows"] == spark.read(path).num_rows
    history = json.loads(run("table", "history", path, "--json").stdout)
    assert [(e["version"], e["operation"]) for e in reversed(history)] == [
        (e["version"], e["operation"]) for e in spark.history(path)]
    done = run("table", "check", path, "--json", check=False)
    assert done.returncode == 0 and json.loads(done.stdout) == [], done.stdout + done.stderr


def test_a_variant_of_spark(spark, tmp_path):
    """Read as its two binaries, or refused by the feature's name."""
    path = tmp_path / "t"
    spark.sql(f"CREATE TABLE delta.`{path}` (id BIGINT, v VARIANT) USING delta")
    spark.sql(f"INSERT INTO delta.`{path}` SELECT id, parse_json('{{\"a\": 5}}') FROM range(3)")
    got = delta.Dump(path, "-r")
    if got.error is None:
        assert [row["id"] for row in delta.in_order(got.rows)] == [0, 1, 2]
        assert all(set(row["v"]) == {"metadata", "value"} for row in got.rows)
    else:
        assert got.error["status"] == "unsupported" and "variant" in got.error["message"]


# ---- the template's tables ----


@pytest.mark.parametrize("profile", ["template-r4", "template-r2"])
def test_a_lake_that_spark_made(spark, tmp_path, profile):
    """Tables that Spark created and merged into, as the template does: adopted and continued."""
    generator = Generator(41, PARTITIONS)
    with FeedServer(generator.feed) as server:
        for turn in range(2):  # the template runs twice: all new rows, then a merge
            generator.step(40)
            source = Lake(tmp_path / f"source{turn}", url=server.url, mode="compat", profile=profile)
            source.sync()
            for name in KEYS:
                merge(spark, source.path(name), tmp_path / "lake" / "dicom" / name, name, tmp_path / f"{name}{turn}.parquet")
        lake = Lake(tmp_path / "lake", url=server.url)
        assert lake.table("show", "instance")["minReaderVersion"] == 1
        for changes in (0, 30):
            generator.step(changes)
            lake.sync("--batch-changes", 9)
            want = readers.model(generator.feed, profile)
            for name in KEYS:
                rows = rows_of(spark.read(lake.path(name)))
                assert differences(name, rows, want[name]) == []
                assert lake.table("check", name) == []


def merge(spark, source, target, name, spool):
    """What the template's data flow does with the rows of a source."""
    rows = pa.table(readers.by_delta_rs(source))
    pq.write_table(rows, spool)
    frame = spark.session.read.parquet(str(spool))
    if not target.exists():
        frame.limit(0).write.format("delta").partitionBy("partitionName").save(str(target))
    frame.createOrReplaceTempView("changes")
    keys = readers.key_columns(name, rows.column_names)
    where = " AND ".join(f"t.{key} = s.{key}" for key in keys)
    spark.sql(f"MERGE INTO delta.`{target}` t USING changes s ON {where} WHEN MATCHED THEN UPDATE SET *"
              " WHEN NOT MATCHED THEN INSERT * WHEN NOT MATCHED BY SOURCE THEN DELETE")
