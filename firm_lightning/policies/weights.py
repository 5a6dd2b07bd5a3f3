"""The weight sets of a policy: current, behaviour, ema and reference, as adapters on one transformer or as copies."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, get_args, runtime_checkable

import torch
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

LEARNING_SETS: Final[tuple[WeightSet, ...]] = ("current", "behaviour", "ema")
"""The sets that move; the reference stays where it began."""


class WeightSets(nn.Module, ABC):
    """Owns the transformer and its weight sets. Only the current weights ever require a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self._in_use: WeightSet = "current"

    @property
    @abstractmethod
    def active(self) -> nn.Module:
        """The transformer to call: it computes with the set in use."""

    @abstractmethod
    def named(self, name: WeightSet) -> dict[str, Tensor]:
        """The weights of a set that may differ between sets, by one name and order for all sets; none for reference."""

    @abstractmethod
    def plain(self, name: WeightSet) -> nn.Module:
        """A frozen copy of the transformer with this set, adapters merged: the stock class, ready to be saved."""

    @abstractmethod
    def _switch(self, name: WeightSet) -> None:
        """Make ``name`` the set that ``active`` computes with."""

    @property
    def in_use(self) -> WeightSet:
        """The set that ``active`` computes with."""
        return self._in_use

    @contextmanager
    def use(self, name: WeightSet) -> Iterator[None]:
        """Use a set inside ``with``; what was in use before comes back, whatever happens inside.

        Raises:
            ValueError: There is no such set.
        """
        check_name(name)
        before = self._in_use
        self._turn_to(name)
        try:
            yield
        finally:
            self._turn_to(before)

    def tensors(self, name: WeightSet) -> list[Tensor]:
        """The values of ``named``."""
        return list(self.named(name).values())

    def _turn_to(self, name: WeightSet) -> None:
        if name != self._in_use:
            self._switch(name)
            self._in_use = name


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
        init: How the first matrix begins, ``gaussian`` (standard deviation 1 / rank) or ``kaiming``; the second is zero.
    """

    def __init__(
        self,
        *,
        rank: int = 32,
        alpha: int = 64,
        targets: Sequence[str] = ATTENTION_PROJECTIONS,
        init: str = "gaussian",
    ) -> None:
        if rank < 1 or alpha < 1:
            raise ValueError(f"rank {rank} and alpha {alpha} must be at least 1")
        if init not in ("gaussian", "kaiming"):
            raise ValueError(f"init {init!r} is not one of gaussian, kaiming")
        self.rank = rank
        self.alpha = alpha
        self.targets = tuple(targets)
        self.init = init

    def prepare(self, transformer: nn.Module) -> LoraSets:
        """Add the adapters, in float32 whatever the transformer's own dtype is.

        Raises:
            ValueError: A target matches no layer.
        """
        from peft import LoraConfig

        names = [name for name, _ in transformer.named_modules()]
        unmatched = [t for t in self.targets if not any(n == t or n.endswith(f".{t}") for n in names)]
        if unmatched or not self.targets:
            what = ", ".join(unmatched) or "an empty list"
            raise ValueError(f"targets: {type(transformer).__name__} has no layer whose name ends in {what}")
        init: Any = self.init if self.init == "gaussian" else True
        config = LoraConfig(
            r=self.rank, lora_alpha=self.alpha, target_modules=list(self.targets), init_lora_weights=init
        )
        transformer.requires_grad_(False)
        return LoraSets(transformer, config)


class FullWeights:
    """All weights learn: behaviour, ema and reference are whole copies, so memory holds the transformer four times."""

    def prepare(self, transformer: nn.Module) -> FullSets:
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
        for name in LEARNING_SETS:
            transformer.add_adapter(copy.deepcopy(config), adapter_name=name)
        self.transformer = transformer
        self._layers = tuple(m for m in transformer.modules() if isinstance(m, BaseTunerLayer))
        with torch.no_grad():
            for name in LEARNING_SETS:
                for own, current in zip(self.tensors(name), self.tensors("current"), strict=True):
                    own.data = current.detach().float().clone()  # half precision would swallow small steps
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
        with self.use(name):
            merged: Any = copy.deepcopy(self.transformer)
        if name != "reference":
            merged.fuse_lora(safe_fusing=True, adapter_names=[name])
        merged.unload_lora()
        return merged.requires_grad_(False).eval()

    def _switch(self, name: WeightSet) -> None:
        for layer in self._layers:
            layer.enable_adapters(name != "reference")
            if name != "reference":
                layer.set_adapter([name], inference_mode=True)
        for weight in self.tensors("current"):  # peft takes the gradient away from every set that is not in use
            weight.requires_grad_(True)


class FullSets(WeightSets):
    """Four transformers, of which one learns.

    Args:
        transformer: Becomes the current one.
    """

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
        check_name(name)
        return {} if name == "reference" else dict(self.transformers[name].named_parameters())

    def plain(self, name: WeightSet) -> nn.Module:
        """See ``WeightSets``."""
        check_name(name)
        return copy.deepcopy(self.transformers[name]).requires_grad_(False).eval()

    def _switch(self, name: WeightSet) -> None:
        """Nothing to do: every set has its own transformer."""


def check_name(name: str) -> None:
    """Raise a ValueError unless ``name`` is a weight set."""
    if name not in get_args(WeightSet):
        raise ValueError(f"there is no weight set {name!r}; there are {', '.join(get_args(WeightSet))}")
