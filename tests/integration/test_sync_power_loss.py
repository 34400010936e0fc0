"""What a sync that has ended is worth when the power fails: as test_power_loss.py, for tables.

The commits that a sync, an optimize or a vacuum made are there, byte for byte; what a commit names is
there, whole; and the next sync goes on to what the feed says, whatever is left of the state index.
"""

import os
import shutil

import pytest
from support import cli, power
from support.feed import FeedServer, Generator
from support.fold import KEYS
from support.lake import Lake
from support.readers import lake_differences
from support.server import sanitized

STATES = int(os.environ.get("POWER_STATES", 4 if sanitized() else 16))


class Run(power.Recording):
    """Recorded commands on a lake, and the log of each table when each of them had ended."""

    def __init__(self, folder, recorder):
        super().__init__(folder, recorder)
        self.lake = Lake(self.box / "lake")
        self.lake.folder.rmdir()  # the sync makes it
        self.ended = []  # (number of changes, {path of a commit: content})

    def __call__(self, *words):
        done = cli.run(*words, env=self.env)
        assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}{done.stdout}"
        self.ended.append((len(power.read_log(self.log)), commits(self.box / "lake")))


def commits(lake):
    return {str(p.relative_to(lake)): p.read_bytes() for p in lake.glob("dicom/*/_delta_log/*[0-9].json")}


@pytest.fixture(scope="module")
def history():
    generator = Generator(21)
    with FeedServer(generator.feed) as server:
        generator.url = server.url
        yield generator


@pytest.fixture(scope="module")
def recorded(place, recorder, history):
    run = Run(place / "run", recorder)
    run.lake.url = history.url
    for n in range(4):
        history.step(8)
        run(*run.lake.command("--batch-changes", 3))
        if n == 2:
            run("table", "optimize", "instance", "--full", "--lake", run.box / "lake")
    run("table", "vacuum", "instance", "--lake", run.box / "lake", "--RetentionHours", "0",
        "--allow-short-retention")
    run.end()
    return run


def fault(run, folder, tree, position, history):
    """What is wrong on this disk, in words; None when nothing is."""
    tree.write(folder)
    lake = Lake(folder / "lake", url=history.url)
    try:
        promised = [logs for end, logs in run.ended if end <= position]
        found = commits(lake.folder)
        lost = sorted(k for k, v in (promised[-1] if promised else {}).items() if found.get(k) != v)
        if lost:
            return f"commits lost or changed: {lost}"
        for name in KEYS:
            if any(k.startswith(f"dicom/{name}/") for k in found) and (said := lake.table("check", name)):
                return f"table check {name}: {said}"
        lake.sync()
        return lake_differences(lake.folder, history.feed) or None
    except AssertionError as problem:
        return str(problem)[:1000]
    finally:
        shutil.rmtree(folder)


def first_fault(run, place, history, cuts, chance, forgotten=None):
    seen = set()
    for position, mode, tree in run.disks(cuts, chance, forgotten):
        key = tree.digest(), sum(end <= position for end, _ in run.ended)
        if key not in seen and (found := fault(run, place / "found", tree, position, history)):
            return position, mode, found
        seen.add(key)
    print(f"{len(run.records)} changes, {len(seen)} states")
    return None


def test_recorder_sees_everything(recorded):
    assert recorded.differences() is None


@pytest.mark.timeout(3600)
def test_commands_that_ended(recorded, place, history, chance):
    cuts = {end: ("nothing", chance.choice(power.MODES)) for end, _ in recorded.ended}
    assert first_fault(recorded, place, history, cuts, chance) is None


@pytest.mark.timeout(3600)
def test_any_moment(recorded, place, history, chance):
    places = chance.sample(range(1, len(recorded.records) + 1), min(STATES, len(recorded.records)))
    cuts = {at: [chance.choice(power.MODES)] for at in places}
    assert first_fault(recorded, place, history, cuts, chance) is None


# -- that a test can fail: what each sync is worth --


def last_names(run):
    """By where in the log a file was made: what it was called in the end."""
    disk, names = run.disk(), {}
    for r in run.records:
        disk.step(r)
        if r.file in disk.objects and isinstance(made := disk.objects[r.file], power.File):
            names[made.born] = made.last
    return names


def class_of(made, kind, names):
    """What a sync is for, by what it syncs."""
    if kind == power.SYNC_ALL:
        return "new lake"
    if isinstance(made, power.Folder):
        path = made.made
        if path.endswith("/_delta_log"):
            return "names of commits"
        if "/partitionName=" in path:
            return "names of data"
        if path.startswith("/lake/dicom/"):
            return "names of vectors"
        return "folders above" if path in ("/lake", "/lake/dicom") else "state index"
    name = names[made.born]
    if name.endswith(".json"):
        return "commits"
    return "data" if name.endswith((".parquet", ".bin")) and "/_delta_log/" not in name else "other"


CLASSES = (
    "new lake", "folders above", "names of commits", "names of data", "names of vectors", "commits", "data"
)  # fmt: skip


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CLASSES)
def test_without_a_sync_something_is_lost(recorded, place, history, chance, name):
    """The same run as if one kind of sync did nothing: it has to be noticed."""
    names = last_names(recorded)
    cuts = {end: ("nothing", "names") for end, _ in recorded.ended}
    found = first_fault(recorded, place, history, cuts, chance,
                        lambda kind, made: None if class_of(made, kind, names) == name else kind)
    assert found is not None, f"nobody notices that {name} is not synced"
    print(found)
