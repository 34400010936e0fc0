"""What tests of the service start from."""

import os
import pathlib
import random
import tempfile

import pytest
from support import dicom
from support.disk import SmallDisk
from support.server import preloadable


@pytest.fixture
def g():
    """An instance that is not stored yet."""
    return dicom.capture()


@pytest.fixture(scope="module")
def full(shared_serve):
    """A client of a service that holds the contract's G, R and B as `.trio`."""
    web = shared_serve().http
    web.trio = dicom.trio()
    assert web.store(*web.trio).status == 200
    return web


@pytest.fixture
def small_disk(tmp_path):
    """Makes a disk of that size: small_disk("3m")."""
    made = []

    def make(size):
        made.append(SmallDisk(tmp_path / "disk", size))
        return made[-1]

    yield make
    for disk in made:
        disk.unmount()


# -- loss of power (support/power.py) --


@pytest.fixture(scope="module")
def recorder(tmp_path_factory):
    """The library that writes down what a program does to files, built for this run."""
    return preloadable(pathlib.Path(__file__).with_name("powerloss.c"), tmp_path_factory.mktemp("recorder"))


@pytest.fixture(scope="module")
def place():
    """A folder on a file system in memory where there is one: nothing here waits for a disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="dicomlake-power-", dir=memory) as folder:
        yield pathlib.Path(folder)


@pytest.fixture(scope="module")
def seed():
    chosen = int(os.environ.get("POWER_SEED", random.randrange(10**9)))
    print(f"POWER_SEED={chosen}")
    return chosen


@pytest.fixture
def chance(seed):
    return random.Random(seed)
