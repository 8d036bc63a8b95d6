"""What the tests of the embedded servers share: Kafka's jars, fetched once for a machine."""

import os
from pathlib import Path

import pytest

from deploy.embedded import default_cache_dir, kafka_unavailable
from tests.conftest import skip_loudly


@pytest.fixture(scope="session")
def kafka_cache() -> Path:
    """Where the jars are; skip loudly where they cannot be had."""
    cache = default_cache_dir(os.environ)
    reason = kafka_unavailable(cache, print)
    if reason:
        skip_loudly(f"tests of the embedded Kafka need its jars: {reason}")
    return cache
