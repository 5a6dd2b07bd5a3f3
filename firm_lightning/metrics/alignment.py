"""torchmetrics classes that collect a critic's answers beside the human scores, over batches and processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from firm_lightning.metrics.agreement import agreement_intervals, measure_agreement, score_tensors
from firm_lightning.metrics.bootstrap import Interval
from firm_lightning.metrics.confusion import confusion_counts
from firm_lightning.metrics.pairwise import group_numbers


class CollectedScores(Metric):
    """Keeps every answer, because medians, ranks and pairs cannot be added up batch by batch.

    All states are float64 vectors: a process without data is then synchronised with an empty vector of the same type.
    Group and id numbers fit exactly (see :func:`firm_lightning.metrics.pairwise.group_numbers`).
    """

    full_state_update = False
    predictions: list[Tensor]
    people: list[Tensor]
    groups: list[Tensor]
    ids: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.set_dtype(torch.float64)
        for state in ("predictions", "people", "groups", "ids"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(
        self,
        scores: Sequence[float | None],
        human: Sequence[float],
        groups: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        """Add a batch.

        Args:
            scores: the critic's numbers; None where the answer was unreadable.
            human: human scores of the same items.
            groups: prompt or group name of each item; "" or None for an item on its own.
            ids: where given, an id that comes again counts once. Distributed samplers repeat items to fill the last
                batch, which would otherwise count them twice.

        Raises:
            ValueError: if the lists differ in length or a number is not finite.
        """
        prediction_N, human_N = score_tensors(scores, human)
        for name, labels in (("groups", groups), ("ids", ids)):
            if labels is not None and len(labels) != len(scores):
                raise ValueError(f"{len(labels)} {name} for {len(scores)} scores; one per item is needed.")
        blank = [""] * len(scores)
        # Apple's devices have no float64; there is but one process then, so the states may stay in main memory.
        device = torch.device("cpu") if self.device.type == "mps" else self.device
        self.predictions.append(prediction_N.to(device))
        self.people.append(human_N.to(device))
        self.groups.append(group_numbers(blank if groups is None else groups).double().to(device))
        self.ids.append(group_numbers(blank if ids is None else ids).double().to(device))

    def collected(self) -> tuple[Tensor, Tensor, Tensor]:
        """Predictions (NaN for unreadable), human scores and integer groups of all items, each (N,), on the CPU."""
        states = (self.predictions, self.people, self.groups, self.ids)
        prediction_N, human_N, groups_N, ids_N = (_joined(state) for state in states)
        first_N = _first_of_each(ids_N)
        return prediction_N[first_N], human_N[first_N], groups_N[first_N].long()


class HumanAlignment(CollectedScores):
    """Agreement of a critic with people on one task; use one metric per task.

    Args:
        kwargs: passed on to :class:`torchmetrics.Metric`.
    """

    def compute(self) -> dict[str, float]:
        """Figures by name, ready for ``self.log_dict``; see :class:`firm_lightning.metrics.agreement.Agreement`."""
        return measure_agreement(*self.collected()).as_dict()

    def confusion(self) -> Tensor:
        """Counts as in :func:`firm_lightning.metrics.confusion.confusion_counts`. Call it in every process."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            prediction_N, human_N, _ = self.collected()
        return confusion_counts(prediction_N, human_N)

    def intervals(self, *, resamples: int = 1000, seed: int = 0) -> dict[str, Interval]:
        """95 % bootstrap intervals of the same figures. Call it in every process: it gathers all items."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            return agreement_intervals(*self.collected(), resamples=resamples, seed=seed)


def _joined(state: Tensor | list[Tensor]) -> Tensor:
    if isinstance(state, list) and not state:
        return torch.empty(0, dtype=torch.float64)
    return dim_zero_cat(state).detach().cpu()


def _first_of_each(ids_N: Tensor) -> Tensor:
    """Places of the items to count, in order: the first of each id, and every item that has none."""
    seen: set[float] = set()
    places = []
    for place, number in enumerate(ids_N.tolist()):
        if number < 0 or number not in seen:
            places.append(place)
            seen.add(number)
    return torch.tensor(places, dtype=torch.int64)
