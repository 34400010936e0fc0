"""Tables = fold(feed): generated feeds against the model (support/fold.py), column by column.

A seed is a history, the table mode, page and batch sizes, windows in any order, and reruns of old
windows. After every round all three tables, read by delta-rs, must be what the model says. The
other half is in test_sync_seeds_odd.py.
"""

import pytest
from support import seeds


@pytest.mark.parametrize("first", range(0 * seeds.GROUP, seeds.COUNT, 2 * seeds.GROUP))
def test_seeds(first):
    seeds.run_group(first)
