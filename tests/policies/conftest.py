"""Every policy with adapters and with all its weights."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policies.families import FAMILIES, WEIGHTS, Family, loaded


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]()


@pytest.fixture(params=WEIGHTS)
def weights(request: pytest.FixtureRequest) -> Any:
    return WEIGHTS[request.param]()


@pytest.fixture
def policy(family: Family, weights: Any) -> Any:
    return loaded(family, weights)
