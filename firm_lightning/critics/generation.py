"""Batched greedy generation with a transformers model, and the verdicts in what it wrote.

Shape letters: B batch, L tokens, V vocabulary, S score tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from firm_lightning.critics.chat import Chat, EncodedChat
from firm_lightning.rewards.expected import expected_score_from_logits
from firm_lightning.rewards.reading import read_verdict
from firm_lightning.types import SCORES_1TO5, ScoringRequest, Unreadable, Verdict

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
    encoded = chat.encode(
        [request.images for request in requests],
        [request.question for request in requests],
        names=[f"request '{request.id}'" for request in requests],
    )
    watch = ScoreLogits(chat) if expected_score else None
    verdicts: list[Verdict | Unreadable] = []
    for row, generated in enumerate(generate(model, chat, encoded, max_new_tokens=max_new_tokens, watch=watch)):
        verdict = read_verdict(generated.text)
        if isinstance(verdict, Unreadable) and generated.is_cut:
            verdict = Unreadable(generated.text, f"{verdict.why} (cut at {max_new_tokens} tokens)")
        if isinstance(verdict, Verdict) and watch is not None:
            mean = watch.expected(row, generated.answer_L, verdict.score_1to5)
            verdict = Verdict(verdict.score_1to5, verdict.reasoning, verdict.text, mean)
        verdicts.append(verdict)
    return verdicts


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """What a model wrote: its text, and the tokens ``answer_L`` behind it, filled up to the longest of the batch.

    ``is_cut`` if it ran into the limit. ``tokens_in`` counts question and pictures, ``tokens_out`` the answer with its
    end.
    """

    text: str
    answer_L: Tensor
    is_cut: bool
    tokens_in: int
    tokens_out: int


@torch.inference_mode()
def generate(
    model: PreTrainedModel, chat: Chat, encoded: EncodedChat, *, max_new_tokens: int, watch: ScoreLogits | None = None
) -> list[Generated]:
    """Continue one batch of questions greedily; ``watch`` listens to the logits."""
    inputs = encoded.to(model.device).inputs
    ends = end_token_ids(model, chat)
    with evaluation_mode(model):
        sequences_BL = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            repetition_penalty=1.0,  # some models ask for one, which would make the answer other than greedy
            use_cache=True,
            eos_token_id=ends,
            pad_token_id=chat.tokenizer.pad_token_id,
            logits_processor=[watch] if watch is not None else None,
        )
    answers_BL = sequences_BL[:, inputs["input_ids"].shape[1] :].cpu()
    tokens_in = encoded.inputs["attention_mask"].sum(dim=1).tolist()
    generated = []
    for row, text in enumerate(chat.decode(answers_BL)):
        answer_L = answers_BL[row]
        end_places = [place for place, token in enumerate(answer_L.tolist()) if token in ends]
        tokens_out = end_places[0] + 1 if end_places else len(answer_L)
        generated.append(Generated(text, answer_L, not end_places, int(tokens_in[row]), tokens_out))
    return generated


def end_token_ids(model: PreTrainedModel, chat: Chat) -> list[int]:
    """The tokens that end an answer: the one that is taught, and those that the model's makers name."""
    named = model.generation_config.eos_token_id
    others = [] if named is None else [named] if isinstance(named, int) else list(named)
    return list(dict.fromkeys([int(chat.tokenizer.eos_token_id), *others]))


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Dropout off and the key-value cache on, inside the block only; every part gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class ScoreLogits:
    """Listens to a generation and keeps, of each step's logits, what the expected score needs.

    Keeping all logits would take 10 GB for 16 answers of 1,024 tokens over a vocabulary of 150,000. The softmax over
    the score tokens and one more value, the logsumexp of all others, gives the same probabilities.

    Args:
        chat: Knows which tokens spell the scores.
    """

    def __init__(self, chat: Chat) -> None:
        self._ids_by_score = {score: chat.score_token_ids(score) for score in SCORES_1TO5}
        self._columns = [token for ids in self._ids_by_score.values() for token in ids]
        self._steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take in the logits of one step, shape (B, V), and leave them as they are."""
        logits_BS = scores[:, self._columns].float()
        others_BV = scores.float().index_fill(1, torch.tensor(self._columns, device=scores.device), -torch.inf)
        self._steps.append(torch.cat([logits_BS, others_BV.logsumexp(1, keepdim=True)], dim=1).cpu())
        return scores

    def expected(self, row: int, answer_L: Tensor, score_1to5: int) -> float | None:
        """The expected score at the last answer token that spells the score which was read; None if none does."""
        written = set(self._ids_by_score[score_1to5])
        places = [place for place, token in enumerate(answer_L.tolist()) if token in written]
        if not places:
            return None
        columns = {score: [self._columns.index(token) for token in ids] for score, ids in self._ids_by_score.items()}
        return expected_score_from_logits(self._steps[places[-1]][row], columns)
