"""kill -9 at any moment of a sync, of optimize and of vacuum: what is visible is always the model's.

After each kill the program runs again on what is there. At the end the tables equal the model, each key
has one row, and old versions within the retention still read.
"""

import os
import random
import signal
import subprocess
import time

import pytest
from support.cli import RUN_SECONDS
from support.feed import FeedServer, Generator
from support.fold import KEYS
from support.lake import Lake, run
from support.readers import lake_differences, read_table
from support.server import program, sanitized

KILLS = int(os.environ.get("CRASH_KILLS", 20 if sanitized() else 300))
MODES = ("dv", "compat")


def killed(words, after_s):
    """Run and kill after a while; whether it was still running."""
    process = subprocess.Popen([program(), *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        process.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(RUN_SECONDS)
        return True
    finally:
        process.stderr.close()


def no_duplicates(lake):
    for name, keys in KEYS.items():
        if (lake.path(name) / "_delta_log").exists():
            rows = [tuple(r[k] for k in keys) for r in read_table(lake.path(name))]
            assert len(rows) == len(set(rows)), f"{name}: a key twice"


@pytest.mark.parametrize("mode", MODES)
def test_kill_sync(tmp_path, mode):
    rng = random.Random(mode)
    generator = Generator(11)
    lake = Lake(tmp_path / "lake", mode=mode)
    hits = 0
    with FeedServer(generator.feed) as server:
        lake.url = server.url
        generator.step(20)
        begin = time.monotonic()
        lake.sync("--batch-changes", 3)
        reach = (time.monotonic() - begin) / 4
        for n in range(KILLS // len(MODES)):
            generator.step(rng.randrange(1, 8))
            sizes = ["--batch-changes", rng.choice([1, 2, 5, 100])]
            hit = killed(lake.command(*sizes), rng.uniform(0.002, reach))
            hits += hit
            reach = max(reach * (1.1 if hit else 0.7), 0.01)  # the machine may be busier, or less so, than before
            if n % 10 == 0:
                no_duplicates(lake)
            if n % 5 == 0:
                lake.sync()
                assert not lake_differences(lake.folder, generator.feed), f"after kill {n}"
        lake.sync()
        assert not lake_differences(lake.folder, generator.feed)
        for name in KEYS:
            assert lake.table("check", name) == []
            newest = lake.table("show", name)["version"]
            for version in rng.sample(range(newest + 1), min(10, newest + 1)):
                read_table(lake.path(name), version)
    assert hits > KILLS // len(MODES) // 4, f"only {hits} kills hit a running sync"


@pytest.mark.parametrize("mode", MODES)
def test_kill_maintenance(tmp_path, mode):
    rng = random.Random(mode)
    generator = Generator(12)
    lake = Lake(tmp_path / "lake", mode=mode, no_maintenance=None)
    lake.options = [w for w in lake.options if w is not None]
    with FeedServer(generator.feed) as server:
        lake.url = server.url
        for _ in range(max(KILLS // 15, 4)):
            generator.step(12)
            lake.sync("--batch-changes", 4)
            for name in KEYS:
                words = ["table", "optimize", name, "--full", "--lake", lake.folder]
                killed(words, rng.uniform(0.002, 0.05))
                words = ["table", "vacuum", name, "--lake", lake.folder, "--RetentionHours", "0",
                         "--allow-short-retention"]
                killed(words, rng.uniform(0.002, 0.03))
            assert not lake_differences(lake.folder, generator.feed)
        run("table", "optimize", "instance", "--full", "--lake", lake.folder)
        lake.sync()
        assert not lake_differences(lake.folder, generator.feed)
