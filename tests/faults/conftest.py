"""``--kills N``: how often each run is killed; ``make faults`` says ten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.killing import Nursery


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where tests/faults is named on the command line."""
    parser.addoption("--kills", type=int, default=2, help="how often each run is killed")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """Two, unless asked for more."""
    return int(request.config.getoption("--kills", default=2))


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """One for all runs."""
    started = Nursery()
    yield started
    started.close()
