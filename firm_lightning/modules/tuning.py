"""Which weights of a critic learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@runtime_checkable
class Tuning(Protocol):
    """Prepares a loaded model for training."""

    def prepare(self, model: PreTrainedModel) -> PreTrainedModel:
        """Set ``requires_grad`` and add what has to be added."""
        ...


class FullTuning:
    """All weights learn, or all but those of the eye.

    Args:
        freeze_vision: Keep the vision tower as it is.
        freeze_projector: Keep the projector (the mergers from vision to language) as it is.
    """

    def __init__(self, *, freeze_vision: bool = False, freeze_projector: bool = False) -> None:
        self.freeze_vision = freeze_vision
        self.freeze_projector = freeze_projector

    def prepare(self, model: PreTrainedModel) -> PreTrainedModel:
        """Set ``requires_grad`` on every weight."""
        for name, weight in model.named_parameters():
            vision = ".visual." in name
            projector = vision and "merger" in name
            weight.requires_grad_(not ((projector and self.freeze_projector) or (vision and not projector and self.freeze_vision)))
        return model


class LoraTuning:
    """Low-rank adapters learn, everything else stays (peft).

    Args:
        rank: Rank of the adapters.
        alpha: Adapters are scaled by alpha / rank.
        dropout: Dropout before the adapters.
        targets: Regular expression over module names that get an adapter; by default every linear layer of the language
            model's attention and MLP.
    """

    def __init__(
        self,
        *,
        rank: int = 32,
        alpha: int = 64,
        dropout: float = 0.0,
        targets: str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
    ) -> None:
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.targets = targets

    def prepare(self, model: PreTrainedModel) -> PreTrainedModel:
        """Wrap the model in peft; raises ValueError where ``targets`` matches nothing."""
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=self.targets)
        return get_peft_model(model, config)  # type: ignore[return-value]
