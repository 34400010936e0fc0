"""What judges of several folders share."""

import pytest
from support.spark import Spark


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    """Spark with Delta Lake; skips where it is not installed."""
    made = Spark(tmp_path_factory.mktemp("spark"))
    yield made
    made.stop()
