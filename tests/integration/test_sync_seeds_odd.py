"""Tables = fold(feed): generated feeds against the model (support/fold.py), column by column.

A seed is a history, the table mode, page and batch sizes, windows in any order, and reruns of old
windows. After every round all three tables, read by delta-rs, must be what the model says. The
half of the seeds that `--all` adds to those of test_sync_seeds_even.py.
"""

import pytest
from support import seeds


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1 * seeds.GROUP, seeds.COUNT, 2 * seeds.GROUP))
def test_seeds(first):
    seeds.run_group(first)
