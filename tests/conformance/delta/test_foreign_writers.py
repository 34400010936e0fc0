"""Others write to our tables between and beside our syncs: followed, never overwritten.

delta-rs appends, deletes, updates, optimizes, vacuums, restores and checkpoints. What it did is either
undone by nothing (a foreign row stays, a deleted one stays away until its instance changes again), and
every later sync goes on from what is there.
"""

import deltalake
import pyarrow
import pytest
from support.feed import FeedServer, Generator
from support.fold import KEYS
from support.lake import Lake
from support.readers import lake_differences, read_table


@pytest.fixture(params=["dv", "compat"])
def world(request, tmp_path):
    generator = Generator(31)
    generator.step(50)
    with FeedServer(generator.feed) as server:
        lake = Lake(tmp_path / "lake", url=server.url, mode=request.param)
        lake.sync("--batch-changes", 7)
        yield generator, lake


def opened(lake, name="instance"):
    return deltalake.DeltaTable(str(lake.path(name)))


def go_on(generator, lake):
    generator.step(30)
    lake.sync("--batch-changes", 9)
    return lake_differences(lake.folder, generator.feed)


@pytest.mark.parametrize("name", KEYS)
def test_optimize_in_between(world, name):
    generator, lake = world
    if "compat" not in lake.options and any(f for f in [lake.table("show", name)["deletionVectors"]]):
        pytest.skip("delta-rs does not compact files with deletion vectors right in every version")
    opened(lake, name).optimize.compact()
    assert not go_on(generator, lake)
    assert lake.table("check", name) == []


def test_vacuum_and_checkpoint_in_between(world):
    generator, lake = world
    for name in KEYS:
        table = opened(lake, name)
        table.create_checkpoint()
        if "compat" in lake.options:
            table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert not go_on(generator, lake)


def test_delete_in_between(world):
    """Rows that somebody deletes stay away until their instance changes; series and studies follow."""
    generator, lake = world
    if "dv" in lake.options and lake.table("show", "instance")["deletionVectors"]:
        pytest.skip("delta-rs does not rewrite files with deletion vectors")
    rows = read_table(lake.path("instance"))
    gone = rows[0]
    opened(lake).delete(f"sopinstanceuid = '{gone['sopinstanceuid']}' AND seriesinstanceuid = '{gone['seriesinstanceuid']}'")
    lake.sync()
    left = read_table(lake.path("instance"))
    assert len(left) < len(rows)
    for r in read_table(lake.path("series")):
        assert r["instanceCount"] == sum(
            1 for x in left if x["seriesinstanceuid"] == r["seriesInstanceUid"] and x["partitionName"] == r["partitionName"]
            and x["studyinstanceuid"] == r["studyInstanceUid"])
    key = next(k for k in generator.feed.current if k[3] == gone["sopinstanceuid"] and k[0] == gone["partitionName"])
    generator.feed.add("Update", key, {"00100020": {"vr": "LO", "Value": ["back"]}})
    lake.sync()
    assert any(r["patientid"] == "back" for r in read_table(lake.path("instance")))


def test_append_of_a_row_twice(world):
    """A foreign append of rows that are there: one row for each key again after the next sync."""
    generator, lake = world
    table = opened(lake)
    copy = deltalake.QueryBuilder().register("t", table).execute("select * from t limit 3")
    try:
        deltalake.write_deltalake(table, pyarrow.table(copy), mode="append")
    except Exception as problem:  # delta-rs refuses to write tables with features that it lacks
        pytest.skip(f"delta-rs: {problem}")
    assert len(read_table(lake.path("instance"))) == len(generator.feed.current) + 3
    lake.sync()
    assert not go_on(generator, lake)


def test_restore_in_between(world):
    """`table restore` takes the watermark back with the rows: the next sync applies again what came later."""
    generator, lake = world
    lake.table("restore", "instance", "--version", "1")
    assert not go_on(generator, lake)


def test_columns_added_by_others(world):
    generator, lake = world
    from deltalake.schema import Field, PrimitiveType

    opened(lake).alter.add_columns([Field("note", PrimitiveType("string"))])
    generator.step(20)
    lake.sync()
    rows = read_table(lake.path("instance"))
    assert len(rows) == len(generator.feed.current) and all(r["note"] is None for r in rows)


def test_a_table_that_is_not_ours(tmp_path):
    """A table of another shape is refused by name, and not touched."""
    generator = Generator(1)
    generator.step(5)
    path = tmp_path / "lake" / "dicom" / "instance"
    deltalake.write_deltalake(str(path), pyarrow.table({"x": [1]}))
    with FeedServer(generator.feed) as server:
        said = Lake(tmp_path / "lake", url=server.url).fails()
    assert "instance" in said and "partition" in said
    assert deltalake.DeltaTable(str(path)).version() == 0


def test_a_lake_of_the_template_is_adopted(tmp_path):
    """Tables of the real template (1/2, no state of ours, doubled rows, an emptied series) are continued."""
    generator = Generator(41)
    generator.step(40)
    with FeedServer(generator.feed) as server:
        model = Lake(tmp_path / "model", url=server.url, mode="compat")
        model.sync()
        for name in KEYS:
            rows = pyarrow.table(deltalake.QueryBuilder().register("t", opened(model, name)).execute("select * from t"))
            if name == "instance":
                rows = pyarrow.concat_tables([rows, rows.slice(0, 2)])  # a retry of the template
            if name == "series":
                rows = pyarrow.concat_tables([rows, rows.slice(0, 1).set_column(
                    rows.schema.get_field_index("seriesInstanceUid"), "seriesInstanceUid", pyarrow.array(["9.9.9"]).cast(rows.schema.field("seriesInstanceUid").type))])
            deltalake.write_deltalake(str(tmp_path / "lake" / "dicom" / name), rows, partition_by=["partitionName"])
        lake = Lake(tmp_path / "lake", url=server.url)
        assert lake.table("show", "instance")["minReaderVersion"] == 1
        lake.sync()
        assert not go_on(generator, lake)
