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
        """Set ``requires_grad`` on every weight.

        Raises:
            ValueError: A part is to be frozen that the model does not have under the names of the Qwen-VL family.
        """
        found = {"vision": False, "projector": False}
        for name, weight in model.named_parameters():
            part = "projector" if ".visual." in name and "merger" in name else "vision" if ".visual." in name else ""
            found |= {part: True} if part else {}
            frozen = (part == "vision" and self.freeze_vision) or (part == "projector" and self.freeze_projector)
            weight.requires_grad_(not frozen)
        for part, frozen in (("vision", self.freeze_vision), ("projector", self.freeze_projector)):
            if frozen and not found[part]:
                raise ValueError(
                    f"freeze_{part}: {type(model).__name__} has no weights named like the {part} of a Qwen-VL model "
                    f"('.visual.'), so nothing would be frozen; set freeze_{part} to false or use LoraTuning"
                )
        return model


class LoraTuning:
    """Low-rank adapters learn, everything else stays (peft). A checkpoint holds the adapters alone.

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
        if rank < 1:
            raise ValueError(f"rank {rank} must be at least 1")
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.targets = targets

    def prepare(self, model: PreTrainedModel) -> PreTrainedModel:
        """Wrap the model in peft; raises ValueError where ``targets`` matches nothing."""
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=self.targets)
        return get_peft_model(model, config)  # type: ignore[return-value]
