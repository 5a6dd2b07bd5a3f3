from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from firm_lightning.modules.everywhere import means_everywhere, sum_of_known


def test_means_are_over_what_all_processes_know() -> None:
    """The other process has 3 pictures that sum to 0.6, and 2 more with a source."""

    def reduce(local: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        return local + torch.tensor([[0.6, 3.0], [1.0, 2.0], [0.0, 0.0]])

    trainer = SimpleNamespace(strategy=SimpleNamespace(reduce=reduce))
    module: Any = SimpleNamespace(device=torch.device("cpu"), trainer=trainer)
    means = means_everywhere(module, {"reward": (0.4, 1), "copy_share": (0.0, 0), "unknown": (0.0, 0)})
    assert means == {"reward": pytest.approx(0.25), "copy_share": pytest.approx(0.5)}
    assert means_everywhere(module, {}) == {}


def test_what_is_not_known_is_in_no_sum() -> None:
    assert sum_of_known(torch.tensor([0.25, torch.nan, 0.5])) == (0.75, 2)
    assert sum_of_known(torch.tensor([torch.nan])) == (0.0, 0)
