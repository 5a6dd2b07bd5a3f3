"""A critic in this process. What needs torch is imported when it is asked: its config is checked without."""

from __future__ import annotations

from collections.abc import Sequence

from firm_lightning.critics.start import Start
from firm_lightning.types import ScoringRequest, Unreadable, Verdict

MYPY = False  # true to mypy; under TYPE_CHECKING, jsonargparse would import all this to check a config
if MYPY:
    from transformers import PreTrainedModel

    from firm_lightning.critics.chat import Chat


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
        for name, value in (("max_new_tokens", max_new_tokens), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        self.start = start
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self.expected_score = expected_score
        self.device = device
        self._loaded: tuple[PreTrainedModel, Chat] | None = None

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Verdict | Unreadable]:
        """Answer every request, in order."""
        from firm_lightning.critics.generation import generate_verdicts

        if not requests:
            return []
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
