"""Tables = fold(feed) where one thing is looked at closely; the generated feeds are in test_sync_seeds_*.py."""

import random

import pytest
from support.feed import FeedServer, Generator
from support.lake import Lake
from support.readers import lake_differences, read_table


def test_state_from_the_tables(tmp_path):
    """The state index is lost, broken or foreign: it is made anew and the tables go on."""
    generator = Generator(1)
    lake = Lake(tmp_path / "lake")
    with FeedServer(generator.feed) as server:
        lake.url = server.url
        for damage in (None, "gone", "garbage", "cut", "foreign"):
            state = next(iter((tmp_path / "lake" / ".dicomlake").glob("*/lake.db")), None)
            if damage == "gone":
                state.unlink()
            elif damage == "garbage":
                state.write_bytes(random.Random(2).randbytes(100000))
            elif damage == "cut":
                state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
            elif damage == "foreign":
                other = Lake(tmp_path / "other", url=server.url)
                other.sync()
                state.write_bytes(next((tmp_path / "other" / ".dicomlake").glob("*/lake.db")).read_bytes())
            generator.step(40)
            lake.sync()
            assert not lake_differences(tmp_path / "lake", generator.feed), damage
        run_tables = {t["table"]: t for t in lake.table("list")}
        assert set(run_tables) == {"instance", "series", "study"}


def test_profile_r2_and_columns(tmp_path):
    """The article's profile, and typed columns that come later without a file being rewritten."""
    generator = Generator(5)
    generator.step(40)
    with FeedServer(generator.feed) as server:
        lake = Lake(tmp_path / "r2", url=server.url, profile="template-r2")
        lake.sync()
        rows = read_table(lake.path("instance"))
        assert len(rows) == len(generator.feed.current)
        assert {"sopInstanceUid", "studyDate", "filePath", "patientName"} <= set(rows[0])
        lake = Lake(tmp_path / "r4", url=server.url)
        lake.sync()
        before = {p.name for p in lake.path("instance").rglob("*.parquet")}
        generator.step(10)
        lake.sync("--column", "number=InstanceNumber:long", "--column", "step=RequestAttributesSequence.00400007:string")
        assert before <= {p.name for p in lake.path("instance").rglob("*.parquet")}
        rows = {tuple(r[c] for c in ("partitionName", "studyinstanceuid", "seriesinstanceuid", "sopinstanceuid")): r
                for r in read_table(lake.path("instance"))}
        changed = {r["key"] for r in generator.feed.rows[40:]} & generator.feed.current.keys()
        assert changed
        for key in changed:
            metadata = generator.feed.current[key]["metadata"]
            number = metadata.get("00200013", {}).get("Value", [None])[0]
            assert rows[key]["number"] == number
            assert rows[key]["step"] == ("step" if "00400275" in metadata else None)


def test_watermark_is_one(tmp_path):
    """After every run the three tables say the same sequence, in txn and in the commit."""
    generator = Generator(3)
    with FeedServer(generator.feed) as server:
        lake = Lake(tmp_path / "lake", url=server.url)
        for _ in range(5):
            generator.step(7)
            out = lake.sync()
            marks = []
            for name in ("instance", "series", "study"):
                apps = lake.table("show", name)["applications"]
                marks.append(next(v for k, v in apps.items() if k.endswith(":" + name)))
                newest = next(h for h in lake.table("history", name) if h["userMetadata"])
                assert f'"seq":{marks[-1]},' in newest["userMetadata"]
            assert marks == [out["watermark"]] * 3 == [generator.feed.sequence] * 3


@pytest.mark.parametrize("mode", ["dv", "compat"])
def test_many_partitions(mode, tmp_path):
    """More partitions in one batch than a commit may touch."""
    generator = Generator(6, partitions=[f"p{n}" for n in range(300)], studies=300)
    generator.step(900)
    assert len({key[0] for key in generator.feed.current}) > 128
    with FeedServer(generator.feed) as server:
        lake = Lake(tmp_path / "lake", url=server.url, mode=mode)
        lake.sync()
        assert not lake_differences(lake.folder, generator.feed)
        generator.step(300)
        lake.sync()
        assert not lake_differences(lake.folder, generator.feed)
