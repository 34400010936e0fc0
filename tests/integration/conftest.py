"""What tests of the contract start from."""

import pytest
from support import dicom


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
