"""The weight sets of a policy: current, behaviour, ema and reference, as adapters on one transformer or as copies."""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, get_args, runtime_checkable

from torch import Tensor, nn

from firm_lightning.types import WeightSet

ATTENTION_PROJECTIONS: Final = (
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_q_proj",
    "attn.add_k_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
)
"""The projections of joint attention in Stable Diffusion 3 and Qwen-Image: FIRM's targets (arXiv 2603.12247)."""

INITS: Final = {"gaussian": "gaussian", "kaiming": True}  # ours -> peft's
LEARNING_SETS: Final[tuple[WeightSet, ...]] = ("current", "behaviour", "ema")


class WeightSets(nn.Module, ABC):
    """Owns the transformer and its weight sets. Only the current weights ever require a gradient.

    Attributes:
        in_use: The set that ``active`` computes with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.in_use: WeightSet = "current"

    @property
    @abstractmethod
    def active(self) -> nn.Module:
        """The transformer to call: it computes with the set in use."""

    @abstractmethod
    def named(self, name: WeightSet) -> dict[str, Tensor]:
        """The weights of a set that may differ between sets, by one name and order for all sets; none for reference."""

    @abstractmethod
    def plain(self, name: WeightSet) -> nn.Module:
        """A frozen copy of the transformer with this set, adapters merged: the stock class, ready to be saved.

        Raises:
            RuntimeError: The weights are spread over processes.
        """

    def save_lora(self, folder: str | Path, name: WeightSet, pipeline: Any) -> None:
        """Write a set's adapters with their rank and alpha; ``pipeline`` is the stock class that is to load them.

        Raises:
            ValueError: The set has no adapters.
            RuntimeError: The weights are spread over processes.
        """
        raise ValueError("all weights learn, so there are no adapters to save; save the transformer instead")

    @abstractmethod
    def _switch(self, name: WeightSet) -> None:
        """Make ``name`` the set that ``active`` computes with."""

    @contextmanager
    def use(self, name: WeightSet) -> Iterator[None]:
        """Use a set inside ``with``; what was in use before comes back, whatever happens inside.

        Raises:
            ValueError: There is no such set.
        """
        check_name(name)
        before = self.in_use
        self._turn_to(name)
        try:
            yield
        finally:
            self._turn_to(before)

    def tensors(self, name: WeightSet) -> list[Tensor]:
        """The values of ``named``."""
        return list(self.named(name).values())

    def _turn_to(self, name: WeightSet) -> None:
        if name != self.in_use:
            self._switch(name)
            self.in_use = name


@runtime_checkable
class WeightsConfig(Protocol):
    """Decides which weights of a transformer learn."""

    def prepare(self, transformer: nn.Module) -> WeightSets:
        """The weight sets; behaviour and ema begin as current, and all of them draw what the reference draws."""
        ...


class LoraWeights:
    """Low-rank adapters learn (arXiv 2106.09685): three small sets on one transformer, whose own weights stay.

    Args:
        rank: Rank of the adapters.
        alpha: Adapters are scaled by alpha / rank.
        targets: Ends of the names of the linear layers that get an adapter.
        init: How the first matrix begins: ``gaussian`` (standard deviation 1 / rank) or ``kaiming``. The second is 0.
    """

    def __init__(
        self,
        *,
        rank: int = 32,
        alpha: int = 64,
        targets: Sequence[str] = ATTENTION_PROJECTIONS,
        init: str = "gaussian",
    ) -> None:
        if min(rank, alpha, len(targets)) < 1:
            raise ValueError(f"rank {rank}, alpha {alpha} and the number of targets {len(targets)} must be at least 1")
        if init not in INITS:
            raise ValueError(f"init {init!r} is not one of {', '.join(INITS)}")
        self.rank = rank
        self.alpha = alpha
        self.targets = tuple(targets)
        self.init = init

    def prepare(self, transformer: nn.Module) -> WeightSets:
        """Add the adapters, in float32 whatever the transformer's own dtype is.

        Raises:
            ValueError: A target matches no layer.
        """
        from peft import LoraConfig

        names = [name for name, _ in transformer.named_modules()]
        unmatched = [t for t in self.targets if not any(n == t or n.endswith(f".{t}") for n in names)]
        if unmatched:
            raise ValueError(f"targets: {type(transformer).__name__} has no layer ending in {', '.join(unmatched)}")
        how: dict[str, Any] = {"target_modules": list(self.targets), "init_lora_weights": INITS[self.init]}
        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, **how)
        return LoraSets(transformer.requires_grad_(False), config)


class FullWeights:
    """All weights learn: behaviour, ema and reference are whole copies, so memory holds the transformer four times."""

    def prepare(self, transformer: nn.Module) -> WeightSets:
        """Copy the transformer."""
        return FullSets(transformer)


class LoraSets(WeightSets):
    """Adapters ``current``, ``behaviour`` and ``ema`` on one transformer; all of them off is the reference.

    Args:
        transformer: A diffusers model; it is changed.
        config: peft's ``LoraConfig`` of every adapter.
    """

    def __init__(self, transformer: Any, config: Any) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        super().__init__()
        self.config = config
        with warnings.catch_warnings():  # several adapters are what is wanted
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            for name in LEARNING_SETS:
                transformer.add_adapter(copy.deepcopy(config), adapter_name=name)
        self.transformer = transformer
        self._layers = tuple(m for m in transformer.modules() if isinstance(m, BaseTunerLayer))
        for name in LEARNING_SETS:
            for own, current in zip(self.tensors(name), self.tensors("current"), strict=True):
                own.data = current.detach().float().clone()  # half precision would swallow small steps
        self._current = tuple(self.tensors("current"))
        self._switch("current")

    @property
    def active(self) -> nn.Module:
        """The one transformer."""
        return self.transformer

    def named(self, name: WeightSet) -> dict[str, Tensor]:
        """The adapter's matrices under the names that peft saves them by."""
        check_name(name)
        part = f".{name}."
        return {n.replace(part, "."): p for n, p in self.transformer.named_parameters() if part in n and ".lora_" in n}

    def plain(self, name: WeightSet) -> nn.Module:
        """See ``WeightSets``."""
        check_whole(self)
        with self.use(name):
            merged: Any = copy.deepcopy(self.transformer)
        if name != "reference":
            merged.fuse_lora(safe_fusing=True, adapter_names=[name])
        merged.unload_lora()
        return merged.requires_grad_(False).eval()

    def save_lora(self, folder: str | Path, name: WeightSet, pipeline: Any) -> None:
        """See ``WeightSets``."""
        from peft import get_peft_model_state_dict

        if name == "reference":
            raise ValueError("the reference has no adapters: it is the transformer that you started from")
        check_whole(self)
        layers, how = get_peft_model_state_dict(self.transformer, adapter_name=name), self.config.to_dict()
        pipeline.save_lora_weights(folder, transformer_lora_layers=layers, transformer_lora_adapter_metadata=how)

    def _switch(self, name: WeightSet) -> None:
        for layer in self._layers:
            layer.enable_adapters(name != "reference")
            if name != "reference":
                layer.set_adapter([name], inference_mode=True)
        for weight in self._current:  # peft takes the gradient away from every set that is not in use
            weight.requires_grad_(True)


class FullSets(WeightSets):
    """Four transformers, of which one learns: the one that is given, and three copies of it."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        copies = {name: copy.deepcopy(transformer).requires_grad_(False) for name in get_args(WeightSet)[1:]}
        self.transformers = nn.ModuleDict({"current": transformer.requires_grad_(True), **copies})

    @property
    def active(self) -> nn.Module:
        """The transformer of the set in use."""
        return self.transformers[self.in_use]

    def named(self, name: WeightSet) -> dict[str, Tensor]:
        """All parameters, by their names in the transformer."""
        return {} if name == "reference" else dict(self.transformers[name].named_parameters())

    def plain(self, name: WeightSet) -> nn.Module:
        """See ``WeightSets``."""
        check_whole(self)
        return copy.deepcopy(self.transformers[name]).requires_grad_(False).eval()

    def _switch(self, name: WeightSet) -> None:
        """Nothing to do: every set has its own transformer."""


def check_whole(sets: nn.Module) -> None:
    """Raise a RuntimeError where ZeRO-3 has left this process a part of each weight: what it saved would be empty."""
    if any(hasattr(weight, "ds_tensor") for weight in sets.parameters()):
        raise RuntimeError(
            "ZeRO-3 spreads the weights over processes, so that none can save them; take the run's checkpoint, "
            "'python train.py consolidate' makes one file of it, and 'export' that"
        )


def check_name(name: str) -> None:
    """Raise a ValueError unless ``name`` is a weight set."""
    if name not in get_args(WeightSet):
        raise ValueError(f"there is no weight set {name!r}; there are {', '.join(get_args(WeightSet))}")
