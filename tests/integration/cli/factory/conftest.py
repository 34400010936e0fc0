"""A home, and a service whose changes its pipelines copy."""

import pytest
from support.factory import Home
from support.feed import FeedServer, Generator

HOUR_US = 3600 * 10**6


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def feed():
    """Changes in each of the first 12 hours from the feed's epoch."""
    generator = Generator(99)
    for hour in range(12):
        generator.feed.us = hour * HOUR_US
        generator.step(4, ties=False)
    return generator.feed


@pytest.fixture
def source(feed):
    with FeedServer(feed) as server:
        yield server
