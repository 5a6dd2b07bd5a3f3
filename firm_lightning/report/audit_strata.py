"""From a stratified sample to its set: a rated record counts for as many as the set has of its like.

Legend: N rated records.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch

from firm_lightning.curation.audit_sample import Stratum
from firm_lightning.metrics.functional import exact_accuracy, mean_absolute_error
from firm_lightning.report.columns import percent, points
from firm_lightning.report.joining import ScoredItem
from firm_lightning.report.summary import ReportSummary
from firm_lightning.types import Task

NOTICE = "The sample takes rare scores as often as frequent ones: all figures but the weighted ones are of the sample."


@dataclass(frozen=True, slots=True)
class WeightedAgreement:
    """One task's figures, weighted to the set. ``exact`` is NaN where people's mean is a fraction.

    ``covered`` is the share of the task's scored records that the figures speak for: those of a stratum of which at
    least one record was rated.
    """

    mae: float
    exact: float
    covered: float


@dataclass(frozen=True)
class AuditSummary(ReportSummary):
    """A report that says of what its figures are: of a stratified sample, and weighted of the set.

    ``in_set`` holds the number of records of each stratum, ``stratum_of`` the stratum of each rated record.
    """

    in_set: Mapping[Stratum, int] = field(default_factory=dict)
    stratum_of: Mapping[tuple[Task, str], Stratum] = field(default_factory=dict)

    @classmethod
    def of(
        cls, summary: ReportSummary, in_set: Mapping[Stratum, int], stratum_of: Mapping[tuple[Task, str], Stratum]
    ) -> AuditSummary:
        """The same report with its strata."""
        same = {each.name: getattr(summary, each.name) for each in fields(summary)}
        return cls(**same, in_set=in_set, stratum_of=stratum_of)

    def weighted(self) -> dict[Task, WeightedAgreement]:
        """Figures of each task as they would be if its whole set had been rated."""
        found = {}
        for part in self.tasks:
            items = [item for item in self.joined.items if item.human.task == part.task]
            there = {each: count for each, count in self.in_set.items() if each.task == part.task and each.score_1to5}
            found[part.task] = _weighted(items, [self._stratum(item) for item in items], there)
        return found

    def notices(self) -> list[str]:
        """What a reader must know before the figures, one line each."""
        told = [NOTICE]
        for task, found in self.weighted().items():
            line = f"{task.capitalize()}, weighted to the set: MAE {points(found.mae)}, exact {percent(found.exact)}."
            if found.covered < 1:
                line += f" That is {percent(found.covered)} of it; of the other scores and data sets none was rated."
            told.append(line)
        return told + super().notices()

    def as_json(self) -> dict[str, Any]:
        """The content of ``report.json``."""
        rated = Counter(self._stratum(item) for item in self.joined.items)
        strata = [asdict(each) | {"in_set": count, "rated": rated[each]} for each, count in self.in_set.items()]
        weighted = {
            task: {name: None if math.isnan(value) else value for name, value in asdict(found).items()}
            for task, found in self.weighted().items()
        }
        return super().as_json() | {"strata": strata, "weighted_to_the_set": weighted}

    def _stratum(self, item: ScoredItem) -> Stratum:
        return self.stratum_of[item.human.task, item.human.id]


def _weighted(
    items: Sequence[ScoredItem], strata: Sequence[Stratum], in_set: Mapping[Stratum, int]
) -> WeightedAgreement:
    rated = Counter(strata)
    weights_1N = torch.tensor([[in_set[each] / rated[each] for each in strata]], dtype=torch.float64)
    prediction_N = torch.tensor([item.prediction.score for item in items], dtype=torch.float64)
    human_N = torch.tensor([item.human.target for item in items], dtype=torch.float64)
    return WeightedAgreement(
        mae=float(mean_absolute_error(prediction_N, human_N, weights_1N)),
        exact=float(exact_accuracy(prediction_N, human_N, weights_1N)),
        covered=sum(in_set[each] for each in rated) / sum(in_set.values()),
    )
