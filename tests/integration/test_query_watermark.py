"""Statements over the three tables while a sync is between them: what they see is one state of the feed, whatever
was committed last and wherever a sync was killed."""

import json
import random
import shutil
import signal
import subprocess

from support.cli import RUN_SECONDS
from support.feed import FeedServer, Generator
from support.lake import Lake, run
from support.server import program

# Of one state: each series and study counts its instances, and there is none that has no row.
STATEMENT = """
    SELECT (SELECT count(*) FROM instance) AS instances,
           (SELECT coalesce(sum(instanceCount), 0) FROM series) AS by_series,
           (SELECT coalesce(sum(instanceCount), 0) FROM study) AS by_study,
           (SELECT coalesce(sum(seriesCount), 0) FROM study) AS series_of_studies,
           (SELECT count(*) FROM series) AS series,
           (SELECT count(*) FROM instance i WHERE NOT EXISTS
             (SELECT 1 FROM series s WHERE s.seriesInstanceUid = i.seriesinstanceuid)) AS without
"""


def agrees(folder):
    """The number of instances that the statement saw."""
    (row,) = json.loads(run("sql", "--lake", folder, "--format", "json", STATEMENT).stdout)
    row = {name: int(value) for name, value in row.items()}
    assert row["instances"] == row["by_series"] == row["by_study"], row
    assert row["series"] == row["series_of_studies"] and row["without"] == 0, row
    return row["instances"]


def newest(table):
    return max(int(path.stem) for path in (table / "_delta_log").glob("*.json"))


def cut(table, version):
    """As if the commits after `version` had not been made yet."""
    for path in (table / "_delta_log").iterdir():
        if path.name == "_last_checkpoint" or int(path.name[:20]) > version:
            path.unlink()


def test_between_the_commits_of_a_sync(tmp_path):
    """Every place between two commits of a sync of a few batches."""
    rng = random.Random(6)
    generator = Generator(31)
    lake = Lake(tmp_path / "lake", no_maintenance=None)
    lake.options = [w for w in lake.options if w is not None]
    with FeedServer(generator.feed) as server:
        lake.url = server.url
        generator.step(30)
        lake.sync()
        before = {name: newest(lake.path(name)) for name in ("instance", "series", "study")}
        old = agrees(lake.folder)
        generator.step(24)
        lake.sync("--batch-changes", 8)
    whole = agrees(lake.folder)
    seen = set()
    for n in range(12):
        copy = tmp_path / f"copy{n}"
        shutil.copytree(lake.folder, copy)
        for name in ("series", "study"):  # instance is committed first
            table = copy / "dicom" / name
            cut(table, rng.randrange(before[name], newest(table) + 1) if n else before[name])
        seen.add(agrees(copy))
        alone = json.loads(run("sql", "--lake", copy, "--format", "json", "SELECT count(*) AS n FROM instance").stdout)
        assert int(alone[0]["n"]) == whole  # a table for itself is read at its newest
        shutil.rmtree(copy)
    assert old in seen  # nothing of the second sync was in study: all tables as they were


def test_killed_syncs(tmp_path):
    rng = random.Random(7)
    generator = Generator(32)
    lake = Lake(tmp_path / "lake")
    hits = 0
    with FeedServer(generator.feed) as server:
        lake.url = server.url
        generator.step(20)
        lake.sync()
        for _ in range(12):
            generator.step(20)
            words = lake.command("--batch-changes", "3")
            process = subprocess.Popen([program(), *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(rng.uniform(0.02, 0.3))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                hits += 1
            process.wait(RUN_SECONDS)
            agrees(lake.folder)
        lake.sync()
        agrees(lake.folder)
    assert hits > 2, f"only {hits} kills hit a running sync"
