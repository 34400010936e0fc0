"""What tests of the service start from."""

import pytest
from support import dicom
from support.disk import SmallDisk


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
