"""The card's own figures, beside those of the agreement report: bias, sameness of answers, reasons, speed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from firm_lightning.metrics.agreement import score_tensors
from firm_lightning.metrics.bootstrap import Interval, bootstrap_intervals
from firm_lightning.metrics.functional import bias, nearest_level
from firm_lightning.metrics.pairwise import group_numbers
from firm_lightning.report.card_answers import Said
from firm_lightning.report.joining import ScoredItem
from firm_lightning.report.measuring import Bootstrap, Scale
from firm_lightning.types import Task

Answers = Mapping[tuple[Task, str], Said]
"""Answers by task and id."""


def bias_by_score(items: Sequence[ScoredItem], scale: Scale, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """Mean of critic minus people at each true score; nothing where the critic answers on another scale.

    A mean of several raters belongs to the nearest score, halves to the upper one.

    Returns:
        For each score ``{"score", "n", "bias", "interval_95"}`` over the readable answers; null where not known.
    """
    if not scale.shared:
        return []
    read = [item for item in items if item.prediction.score is not None]
    prediction_N, human_N = score_tensors([i.prediction.score for i in read], [i.human.target for i in read])
    groups_N = group_numbers([item.human.group for item in read])
    here_LN = [nearest_level(human_N) == level for level in scale.levels]

    def figures(weights_RN: Tensor) -> dict[str, Tensor]:
        return {
            str(level): bias(prediction_N[here_N], human_N[here_N], weights_RN[:, here_N])
            for level, here_N in zip(scale.levels, here_LN, strict=True)
        }

    found = bootstrap_intervals(
        figures, len(read), groups_N=groups_N, resamples=bootstrap.resamples, seed=bootstrap.seed
    )
    return [
        {
            "score": level,
            "n": int(here_N.sum()),
            "bias": _known(float(bias(prediction_N[here_N], human_N[here_N]))),
            "interval_95": _ends(found.get(str(level))),
        }
        for level, here_N in zip(scale.levels, here_LN, strict=True)
    ]


def sameness(first: Answers, others: Iterable[Answers], task: str) -> dict[str, Any] | None:
    """How often the same requests got the same answer, letter by letter, and the same score; None if none was repeated.

    Two unreadable answers count as the same score (none), an unreadable beside a readable one as another.

    Returns:
        ``{"n", "answers", "scores", "mean_distance", "most_distant"}``: pairs, shares of them in [0, 1], and the
        distance of the scores, in points, where both are readable (null where none is).
    """
    pairs = [(first[key], said) for other in others for key, said in other.items() if key[0] == task and key in first]
    if not pairs:
        return None
    distances = [abs(a.score - b.score) for a, b in pairs if a.score is not None and b.score is not None]
    return {
        "n": len(pairs),
        "answers": sum(a.text == b.text for a, b in pairs) / len(pairs),
        "scores": sum(a.score == b.score for a, b in pairs) / len(pairs),
        "mean_distance": math.fsum(distances) / len(distances) if distances else None,
        "most_distant": max(distances, default=None),
    }


def unreadable_reasons(items: Sequence[ScoredItem]) -> dict[str, int]:
    """How many answers could not be read for each reason, most frequent first."""
    reasons = Counter(
        item.prediction.unreadable or "no reason given" for item in items if item.prediction.score is None
    )
    return dict(reasons.most_common())


def speed(said: Sequence[Said], answer_tokens: int | None, hardware: str) -> dict[str, Any] | None:
    """Judgements and answer tokens per second, the weights loaded; None if no answer says how long it took.

    Args:
        said: The first answers; each carries its share of its batch's time.
        answer_tokens: Tokens of all these answers; None where nobody knows the critic's tokens.
        hardware: What it ran on.
    """
    seconds = math.fsum(one.seconds for one in said)
    if seconds <= 0:
        return None
    return {
        "judgements": len(said),
        "seconds": round(seconds, 3),
        "judgements_per_s": len(said) / seconds,
        "answer_tokens": answer_tokens,
        "answer_tokens_per_s": None if answer_tokens is None else answer_tokens / seconds,
        "hardware": hardware,
    }


def confusion(items: Sequence[ScoredItem], scale: Scale) -> list[list[int]] | None:
    """Counts: rows are the levels of the human scale, columns the critic's; None on another or a long scale."""
    pairs = [(item.human.target, item.prediction.score) for item in items if item.prediction.score is not None]
    if not scale.shared or not scale.levels or not pairs:
        return None
    levels_2N = nearest_level(torch.tensor(pairs, dtype=torch.float64)).long().T.tolist()
    counts = Counter(zip(*levels_2N, strict=True))
    return [[counts[human, critic] for critic in scale.levels] for human in scale.levels]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _ends(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval is not None and interval.known else None
