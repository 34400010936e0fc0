"""One generated history, synced in parts and in any order, against the model."""

import pathlib
import random
import tempfile

from .feed import FeedServer, Generator, at
from .readers import lake_differences
from .lake import Lake
from .server import sanitized

COUNT = 40 if sanitized() else 500
GROUP = 10
MEMORY = pathlib.Path("/dev/shm")  # lakes of a moment: nothing is learnt from a disk's syncs


def windows_of(rng, end):
    """Parts of [0, end) in any order, some left out; now and then an old one again."""
    cuts = sorted(rng.randrange(0, end + 1) for _ in range(rng.randrange(0, 3)))
    parts = [w for w in zip([0, *cuts], [*cuts, end]) if w[0] < w[1] and rng.random() < 0.7]
    rng.shuffle(parts)
    return parts + parts[: rng.randrange(0, 2)]


def run_seed(seed, folder):
    rng = random.Random(seed * 7 + 1)
    generator = Generator(seed)
    lake = Lake(folder, mode=rng.choice(["dv", "dv", "compat"]))
    with FeedServer(generator.feed) as server:
        lake.url = server.url
        for turn in range(2):
            generator.step(rng.randrange(1, 60))
            sizes = ["--BatchSize", rng.choice([1, 3, 10, 200]), "--batch-changes", rng.choice([1, 5, 20, 1000])]
            for start, end in windows_of(rng, generator.feed.us + 1):
                window = ["--StartTime", at(start).isoformat(), "--EndTime", at(end).isoformat()]
                lake.sync(*sizes, *window)
            lake.sync(*sizes)
            found = lake_differences(folder, generator.feed)
            assert not found, f"seed {seed}, turn {turn}: {found}"


def run_group(first):
    """Seeds first <= n < first + GROUP."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        for seed in range(first, first + GROUP):
            run_seed(seed, pathlib.Path(folder) / str(seed))
