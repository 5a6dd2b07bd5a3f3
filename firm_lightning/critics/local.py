"""A critic in this process: batched greedy generation with a transformers model.

Shape letters: B batch, L tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from firm_lightning.critics.chat import Chat
from firm_lightning.rewards.expected import expected_score_from_logits
from firm_lightning.rewards.reading import read_verdict
from firm_lightning.types import ScoringRequest, Unreadable, Verdict

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from firm_lightning.critics.start import Start


class LocalCritic:
    """A vision-language model of transformers that judges pictures.

    Args:
        start: Where weights and processor come from; loaded at the first request.
        max_new_tokens: Longest answer, in tokens. A longer one is cut and is unreadable unless its score came first.
        batch_size: Requests that are answered together.
        expected_score: Also give the mean score under the probabilities of the score tokens.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...
    """

    def __init__(
        self,
        *,
        start: Start,
        max_new_tokens: int = 1024,
        batch_size: int = 16,
        expected_score: bool = False,
        device: str = "cpu",
    ) -> None:
        self.start = start
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self.expected_score = expected_score
        self.device = device
        self._loaded: tuple[PreTrainedModel, Chat] | None = None

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Verdict | Unreadable]:
        """Answer every request, in order."""
        if self._loaded is None:
            model, chat = self.start.load()
            self._loaded = model.to(self.device), chat  # type: ignore[arg-type]
        verdicts: list[Verdict | Unreadable] = []
        for first in range(0, len(requests), self.batch_size):
            verdicts += generate_verdicts(
                *self._loaded,
                requests[first : first + self.batch_size],
                max_new_tokens=self.max_new_tokens,
                expected_score=self.expected_score,
            )
        return verdicts


@torch.inference_mode()
def generate_verdicts(
    model: PreTrainedModel,
    chat: Chat,
    requests: Sequence[ScoringRequest],
    *,
    max_new_tokens: int,
    expected_score: bool = False,
) -> list[Verdict | Unreadable]:
    """Answer one batch greedily; an answer that does not end within ``max_new_tokens`` says so if it is unreadable."""
    if not requests:
        return []
    encoded = chat.encode([request.images for request in requests], [request.question for request in requests])
    inputs = encoded.to(model.device).inputs
    output = model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=chat.tokenizer.eos_token_id,
        pad_token_id=chat.tokenizer.pad_token_id,
        return_dict_in_generate=True,
        output_logits=expected_score,
    )
    answers_BL = output.sequences[:, inputs["input_ids"].shape[1] :]
    verdicts: list[Verdict | Unreadable] = []
    for row, text in enumerate(chat.decode(answers_BL)):
        verdict = read_verdict(text)
        if isinstance(verdict, Unreadable) and not bool((answers_BL[row] == chat.tokenizer.eos_token_id).any()):
            verdict = Unreadable(text, f"{verdict.why} (cut at {max_new_tokens} tokens)")
        if isinstance(verdict, Verdict) and expected_score:
            mean = _expected(chat, answers_BL[row], [step[row] for step in output.logits], verdict)
            verdict = Verdict(verdict.score_1to5, verdict.reasoning, verdict.text, mean)
        verdicts.append(verdict)
    return verdicts


def _expected(chat: Chat, answer_L: Tensor, logits_LV: list[Tensor], verdict: Verdict) -> float | None:
    """The expected score at the last answer token that spells the score which was read; None if none does."""
    ids_by_score = {score: chat.score_token_ids(score) for score in range(1, 6)}
    written = set(ids_by_score[verdict.score_1to5])
    places = [place for place, token in enumerate(answer_L.tolist()) if token in written]
    if not places:
        return None
    mean = expected_score_from_logits(logits_LV[places[-1]].float(), ids_by_score)
    return None if mean is None else float(mean)
