"""Expected score: the mean of 1..5 under the probabilities that a critic gives to the five score tokens.

Shape letters: V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from firm_lightning.types import SCORES_1TO5

MINIMUM_MASS: Final = 0.5
"""Below this share of the probability on the five scores, another token was about to come and no mean is given."""
_WORD_STARTS: Final = "▁Ġ"  # how SentencePiece and byte-level BPE write the blank before a word
_ROUNDING = 1e-3  # a server's logarithm of a probability of 1 may come out a little above 0


def expected_score(logprobs_by_token_text: Mapping[str, float], *, minimum_mass: float = MINIMUM_MASS) -> float | None:
    """Mean score from the log-probabilities of the candidates at the position of the score.

    ``sum_s s * p(s) / sum_s p(s)`` over s = 1..5. A score may come as several tokens (``4``, `` 4``, ``▁4``, ``Ġ4``):
    their probabilities are added. Scores that are not among the candidates count as probability 0.

    Args:
        logprobs_by_token_text: Natural logarithms of probabilities by the text of the token; the top few will do.
        minimum_mass: Least total probability of the five scores, in [0, 1].

    Returns:
        The mean, in [1, 5], or None if the five scores have less than ``minimum_mass``.

    Raises:
        ValueError: A value is NaN or above 0, so no log-probability; or ``minimum_mass`` is outside [0, 1].
    """
    mass_by_score = dict.fromkeys(SCORES_1TO5, 0.0)
    scores_by_text = {str(score): score for score in SCORES_1TO5}
    for text, logprob in logprobs_by_token_text.items():
        if not logprob <= _ROUNDING:
            raise ValueError(f"log-probability {logprob} of token {text!r} is not a number <= 0")
        score = scores_by_text.get(text.strip().lstrip(_WORD_STARTS).strip())
        if score is not None:
            mass_by_score[score] += math.exp(logprob)
    return _mean_score(mass_by_score, minimum_mass)


def expected_score_from_logits(
    logits_V: Tensor, token_ids_by_score: Mapping[int, Sequence[int]], *, minimum_mass: float = MINIMUM_MASS
) -> float | None:
    """Mean score from the full logits at the position of the score; the same mean as ``expected_score``.

    Args:
        logits_V: Logits of one position, any floating dtype; the softmax is taken in float64.
        token_ids_by_score: For each of 1..5 the ids of the tokens that say it.
        minimum_mass: Least total probability of the five scores, in [0, 1].

    Returns:
        The mean, in [1, 5], or None if the five scores have less than ``minimum_mass``.

    Raises:
        ValueError: ``logits_V`` is not one row or holds NaN; ``token_ids_by_score`` lacks a score, names an id outside
            the vocabulary, or gives one id to two scores.
    """
    if logits_V.ndim != 1:
        raise ValueError(f"logits_V has the shape {tuple(logits_V.shape)}; give the logits of one position, shape (V,)")
    _check_token_ids(token_ids_by_score, vocabulary=logits_V.shape[0])
    probability_V = torch.softmax(logits_V.detach().double(), dim=0)
    if bool(torch.isnan(probability_V).any()):
        raise ValueError("logits_V holds NaN or infinity; the critic's weights or its precision are broken")
    mass_by_score = {score: float(probability_V[sorted(set(token_ids_by_score[score]))].sum()) for score in SCORES_1TO5}
    return _mean_score(mass_by_score, minimum_mass)


def _check_token_ids(token_ids_by_score: Mapping[int, Sequence[int]], *, vocabulary: int) -> None:
    score_by_id: dict[int, int] = {}
    for score in SCORES_1TO5:
        if not token_ids_by_score.get(score):
            raise ValueError(f"token_ids_by_score has no token for score {score}; it needs one for each of 1..5")
        for token_id in token_ids_by_score[score]:
            if not 0 <= token_id < vocabulary:
                raise ValueError(f"token id {token_id} of score {score} is outside the vocabulary of {vocabulary}")
            if score_by_id.setdefault(token_id, score) != score:
                raise ValueError(f"token id {token_id} stands for score {score_by_id[token_id]} and for score {score}")


def _mean_score(mass_by_score: Mapping[int, float], minimum_mass: float) -> float | None:
    if not 0 <= minimum_mass <= 1:
        raise ValueError(f"minimum_mass {minimum_mass} is outside [0, 1]")
    total = math.fsum(mass_by_score.values())
    if total == 0 or total < minimum_mass:
        return None
    return math.fsum(score * mass for score, mass in mass_by_score.items()) / total
