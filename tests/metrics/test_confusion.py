from __future__ import annotations

import math

import torch

from firm_lightning.metrics.alignment import HumanAlignment
from firm_lightning.metrics.confusion import confusion_counts


def test_counts_by_hand() -> None:
    prediction = torch.tensor([1.0, 2.0, 2.0, 5.0, math.nan, 4.5, 9.0])
    human = torch.tensor([1.0, 2.0, 2.0, 1.0, 3.0, 5.0, 4.4])
    assert confusion_counts(prediction, human).tolist() == [
        [1, 0, 0, 0, 1, 0],
        [0, 2, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1, 0],
    ]


def test_of_no_items() -> None:
    assert confusion_counts(torch.empty(0), torch.empty(0)).tolist() == [[0] * 6] * 5


def test_the_metric_counts_each_id_once() -> None:
    metric = HumanAlignment()
    metric.update([4, None], [5.0, 1.0], ids=["a", "b"])
    metric.update([4], [5.0], ids=["a"])
    counts = metric.confusion()
    assert counts.sum() == 2 and counts[4, 3] == 1 and counts[0, 5] == 1
