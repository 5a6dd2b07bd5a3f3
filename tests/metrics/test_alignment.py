from __future__ import annotations

import math
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
import torch.distributed
import torch.multiprocessing

from firm_lightning.metrics.agreement import measure_agreement, score_tensors
from firm_lightning.metrics.alignment import HumanAlignment
from firm_lightning.metrics.ceiling import human_ceiling
from firm_lightning.metrics.pairwise import group_numbers

torch.set_num_threads(1)
KEYS = [
    *("mae", "best_constant_mae", "exact", "within_one", "pearson", "spearman", "kendall", "qwk", "pairwise", "bias"),
    *("unreadable_rate", "n", "mae_at_1", "mae_at_2", "mae_at_3", "mae_at_4", "mae_at_5"),
]


def answers(items: int = 60) -> tuple[list[float | None], list[float], list[str]]:
    draw = np.random.default_rng(8)
    human = draw.integers(1, 6, items).astype(float).tolist()
    scores = [float(np.clip(round(score + draw.normal()), 1, 5)) for score in human]
    groups = [f"prompt {place // 4}" for place in range(items)]
    return [None if place % 15 == 3 else score for place, score in enumerate(scores)], human, groups


def assert_same(found: dict[str, float], expected: dict[str, float]) -> None:
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_all_figures_worked_by_hand():
    metric = HumanAlignment()
    metric.update([5, 4, None], [5, 2, 1], ["a", "a", "a"])
    metric.update([1, 3], [2, 3], ["b", "b"])
    found = metric.compute()
    assert list(found) == KEYS
    expected = {"mae": 0.75, "best_constant_mae": 1.0, "exact": 0.5, "within_one": 0.75, "pairwise": 1.0, "bias": 0.25}
    expected |= {"unreadable_rate": 0.2, "n": 5, "mae_at_2": 1.5, "mae_at_3": 0, "mae_at_5": 0}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert math.isnan(found["mae_at_1"])
    assert math.isnan(found["mae_at_4"])
    assert found["spearman"] == pytest.approx(scipy.stats.spearmanr([5, 4, 1, 3], [5, 2, 2, 3])[0], abs=1e-12)


def test_nothing_readable_leaves_only_counts():
    metric = HumanAlignment()
    metric.update([None, None], [1, 2], ["a", "a"])
    found = metric.compute()
    assert {name: value for name, value in found.items() if not math.isnan(value)} == {"unreadable_rate": 1, "n": 2}
    metric.reset()
    found = metric.compute() if metric.update([], []) is None else {}
    assert {name: value for name, value in found.items() if not math.isnan(value)} == {"n": 0}


def test_one_item_and_a_constant_critic():
    metric = HumanAlignment()
    metric.update([4], [5])
    found = metric.compute()
    assert (found["mae"], found["bias"], found["exact"]) == (1, -1, 0)
    assert all(math.isnan(found[name]) for name in ("spearman", "kendall", "pearson", "pairwise"))
    metric = HumanAlignment()
    metric.update([4, 4, 4], [5, 4, 3], ["a", "a", "a"])
    found = metric.compute()
    assert (found["pairwise"], found["qwk"]) == pytest.approx((0.5, 0), abs=1e-12)
    assert all(math.isnan(found[name]) for name in ("spearman", "kendall", "pearson"))


def test_other_scales_keep_only_figures_of_order():
    prediction, human = score_tensors([0.2, 0.9, 0.5], [1, 5, 4])
    found = measure_agreement(prediction, human, same_scale=False).as_dict()
    known = {name for name, value in found.items() if not math.isnan(value)}
    assert known == {"best_constant_mae", "pearson", "spearman", "kendall", "unreadable_rate", "n"}
    assert found["spearman"] == 1


def test_merged_states_equal_the_whole():
    scores, human, groups = answers()
    whole, left, right = HumanAlignment(), HumanAlignment(), HumanAlignment()
    whole.update(scores, human, groups)
    left.update(scores[:23], human[:23], groups[:23])
    right.update(scores[23:40], human[23:40], groups[23:40])
    right.update(scores[40:], human[40:], groups[40:])
    left.merge_state(right)
    assert_same(left.compute(), whole.compute())


def test_repeated_ids_count_once():
    scores, human, groups = answers()
    ids = [str(place) for place in range(60)]
    whole, padded = HumanAlignment(), HumanAlignment()
    whole.update(scores, human, groups)
    padded.update(scores, human, groups, ids)
    padded.update(scores[:3], human[:3], groups[:3], ids[:3])
    assert_same(padded.compute(), whole.compute())


def _figures_in_process(rank: int, port: int) -> list[dict[str, float]]:
    """Figures of 60 items, shared 23 : 37 between two processes and then 60 : 0."""
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    scores, human, groups = answers()
    found = []
    for border in (23, 60):
        part = slice(0, border) if rank == 0 else slice(border, 60)
        metric = HumanAlignment()
        if scores[part]:
            metric.update(scores[part], human[part], groups[part])
        found.append(metric.compute() | {"low": metric.intervals(resamples=50)["mae"].low})
    torch.distributed.destroy_process_group()
    return found


def _other_process(rank: int, port: int, file: str) -> None:
    torch.save(_figures_in_process(rank + 1, port), file)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_two_processes_also_one_without_data_equal_one(tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    file = str(tmp_path / "other.pt")
    other = torch.multiprocessing.spawn(_other_process, args=(port, file), nprocs=1, join=False)
    found = _figures_in_process(0, port)
    while not other.join():
        pass
    metric = HumanAlignment()
    metric.update(*answers())
    expected = metric.compute() | {"low": metric.intervals(resamples=50)["mae"].low}
    for figures in (*found, *torch.load(file, weights_only=True)):
        assert_same(figures, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (([1], [1, 2]), "1 scores for 2 human scores; one of each per item is needed."),
        (([1, math.nan], [1, 2]), "score 1 is nan; an answer that could not be read is None."),
        (([1, 2], [math.inf, 2]), "human score 0 is inf; an answer that could not be read is None."),
        (([1, 2], [1, 2], ["a"]), "1 groups for 2 scores; one per item is needed."),
    ],
)
def test_bad_updates_are_refused(call: tuple, message: str):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        HumanAlignment().update(*call)


def test_the_ceiling_of_two_raters_is_their_agreement():
    scores = [[5, 4], [1, 2], [3, 3], [2, 4], [4]]
    first, second = [5, 1, 3, 2], [4, 2, 3, 4]
    found = human_ceiling(scores, group_numbers(["a", "a", "b", "b", "b"]))
    assert (found.raters, found.n, found.mae) == (2, 4, 1.0)
    assert found.spearman == pytest.approx(scipy.stats.spearmanr(first, second)[0], abs=1e-12)
    assert found.kendall == pytest.approx(scipy.stats.kendalltau(first, second)[0], abs=1e-12)
    # In a both order alike; in b they order against each other.
    assert found.pairwise == 0.5


def test_the_ceiling_of_lists_of_unequal_length_weighs_raters_by_items():
    scores = [[1, 2, 3], [4, 4, 4], [5, 3]]
    # Rater 1: |1-2.5|, 0, |5-3| -> 3.5/3; rater 2: 0, 0, 2 -> 2/3; rater 3: |3-1.5|, 0 -> 1.5/2; weights 3, 3, 2.
    assert human_ceiling(scores).mae == pytest.approx((3.5 + 2 + 1.5) / 8, abs=1e-12)
    assert human_ceiling([[1], [2]]) is None
    assert math.isnan(human_ceiling([[1, 1], [1, 2]]).spearman) is True
